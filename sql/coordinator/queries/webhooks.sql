-- Webhooks and their deliveries. What changes a webhook writes its row of the audit in the same statement.

-- name: add
-- A webhook; the audit says who made it. No row: $4 is no user.
with made as (
    insert into corral.webhooks (user_id, url, events, of_user_id, job, tag_name, tag_value, secret)
    select $1, $2, $3::text[], o.id, $5, $6, $7, $8
    from (select 1) one left join corral.users o on o.username = $4::text
    where $4::text is null or o.id is not null
    returning *),
noted as (
    insert into corral.audit (actor, action, object, details)
    select u.username, 'webhook.add', m.id::text, jsonb_build_object('url', m.url, 'on', m.events)
    from made m join corral.users u on u.id = m.user_id)
select id from made;

-- name: count_of
-- How many somebody has.
select count(*) from corral.webhooks where user_id = $1;

-- name: find
-- Those of one user, or of all ($1 null); $2: the one of that number, null for all.
select w.id, w.url, w.events, w.job, w.tag_name, w.tag_value, w.enabled, w.reason, w.is_full, w.failing_since,
    w.created_at, u.username, o.username as of_user,
    (select count(*) from corral.webhook_deliveries d where d.webhook_id = w.id and d.state = 'waiting') as waiting,
    (select count(*) from corral.webhook_deliveries d where d.webhook_id = w.id and d.state = 'delivered') as delivered,
    (select count(*) from corral.webhook_deliveries d where d.webhook_id = w.id and d.state = 'dead') as dead
from corral.webhooks w
    join corral.users u on u.id = w.user_id
    left join corral.users o on o.id = w.of_user_id
where ($1::text is null or u.username = $1) and ($2::bigint is null or w.id = $2)
order by w.id;

-- name: remove!
-- With what waits for it. The audit has it: $2 did so.
with gone as (
    delete from corral.webhooks where id = $1 returning id, url)
insert into corral.audit (actor, action, object, details)
select $2, 'webhook.remove', id::text, jsonb_build_object('url', url) from gone;

-- name: enable!
-- Called again from here on. The audit has it: $2 did so.
with changed as (
    update corral.webhooks set enabled = true, reason = '', dead_in_row = 0, failing_since = null
    where id = $1 returning id)
insert into corral.audit (actor, action, object)
select $2, 'webhook.enable', id::text from changed;

-- name: test
-- A delivery of its own, whatever the webhook asks for.
insert into corral.webhook_deliveries (id, webhook_id, event, body)
select d.id, w.id, 'webhook.test', jsonb_build_object(
    'version', 1, 'id', d.id, 'event', 'webhook.test', 'webhook', w.id,
    'at', corral.rfc3339(clock_timestamp()))::text
from corral.webhooks w cross join (select corral.uuid7() as id) d
where w.id = $1
returning *;

-- name: deliveries
-- The newest $2 of one webhook.
select * from corral.webhook_deliveries where webhook_id = $1 order by id desc limit $2;

-- name: delivery
-- One, and whose webhook it is.
select d.*, u.username
from corral.webhook_deliveries d
    join corral.webhooks w on w.id = d.webhook_id
    join corral.users u on u.id = w.user_id
where d.id = $1;

-- name: redeliver
-- From the first try on.
update corral.webhook_deliveries
set state = 'waiting', attempts = 0, due_at = clock_timestamp(), error = ''
where id = $1 returning *;

-- name: due
-- At most $1 of each webhook whose time has come, those overdue longest first, $2 in all; $3 are under way.
select d.id, d.webhook_id, d.event, d.body, d.attempts, w.url, w.secret, u.username
from corral.webhooks w
    join corral.users u on u.id = w.user_id
    cross join lateral (
        select * from corral.webhook_deliveries d
        where d.webhook_id = w.id and d.state = 'waiting' and d.due_at <= clock_timestamp()
            and d.id <> all ($3::uuid[])
        order by d.due_at limit $1) d
where w.enabled
order by d.due_at
limit $2;

-- name: note
-- What came of try $2 of a delivery: delivered, waiting for $4 seconds more, or dead; nothing where that is noted.
-- A webhook of which $9 in a row are dead is disabled; so is one that says by $8 that it is gone. Answers what is
-- new about the webhook.
with before as (
    -- first, as whoever removes a webhook locks it before its deliveries
    select w.id, w.failing_since, w.dead_in_row + ($3 = 'dead')::integer as dead_in_row, w.enabled
    from corral.webhooks w
    where w.id = (select d.webhook_id from corral.webhook_deliveries d where d.id = $1)
    for no key update of w),
noted as (
    update corral.webhook_deliveries d
    set state = $3, attempts = $2, last_at = clock_timestamp(), status = $5, error = $6, took_ms = $7,
        due_at = clock_timestamp() + make_interval(secs => $4)
    from before b
    where d.id = $1 and d.webhook_id = b.id and d.attempts = $2 - 1 and d.state = 'waiting'
    returning d.webhook_id),
changed as (
    update corral.webhooks w
    set failing_since = case when $3 = 'delivered' then null else coalesce(w.failing_since, clock_timestamp()) end,
        dead_in_row = case when $3 = 'delivered' then 0 else b.dead_in_row end,
        enabled = w.enabled and not ($3 = 'dead' and ($8 or b.dead_in_row >= $9)),
        reason = case
            when $3 = 'dead' and $8 then 'its address says that it is gone (410)'
            when $3 = 'dead' and b.dead_in_row >= $9 then format('%s deliveries in a row were given up', b.dead_in_row)
            else w.reason
        end
    from before b join noted n on n.webhook_id = b.id
    where w.id = b.id
    returning w.id, w.enabled, w.reason)
select b.failing_since is null and $3 <> 'delivered' as began, b.enabled and not c.enabled as ended, c.reason
from before b join changed c on c.id = b.id;

-- name: weigh
-- Whether as many as $1 wait for a webhook; it hears of further events again when half of them are gone. Answers
-- those that have become full.
with weighed as (
    select w.id, w.is_full as was_full,
        exists (
            select from corral.webhook_deliveries d
            where d.webhook_id = w.id and d.state = 'waiting'
            offset case when w.is_full then $1::integer / 2 else $1::integer end) as is_full
    from corral.webhooks w
), changed as (
    update corral.webhooks w set is_full = e.is_full
    from weighed e
    where w.id = e.id and e.is_full <> e.was_full
    returning w.id, w.user_id, w.is_full
)
select c.id, u.username from changed c join corral.users u on u.id = c.user_id where c.is_full;

-- name: sweep!
-- Those delivered longer than $1 days ago, and given up longer than $2.
delete from corral.webhook_deliveries
where state <> 'waiting'
    and last_at < clock_timestamp() - make_interval(days => case state when 'delivered' then $1::integer else $2::integer end);
