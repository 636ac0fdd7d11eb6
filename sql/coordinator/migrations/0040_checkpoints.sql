-- Checkpoints: what tasks save to go on from. A row is there once the files of one rank are at a node, verified; it is
-- complete once those of all ranks are, and only then does anybody resume from it.

alter table corral.checkpoints
    add column sharded boolean not null default false,
    add column world_size integer not null default 1 check (world_size > 0),
    add column replicas smallint not null default 1 check (replicas >= 0),
    add column chosen boolean not null default false,
    add column completed_at timestamptz,
    add constraint checkpoints_completed check (complete = (completed_at is not null)),
    add constraint checkpoints_hashed check (not complete or sha256 is not null);
comment on column corral.checkpoints.path is 'Its name below CORRAL_CHECKPOINT_DIR';
comment on column corral.checkpoints.sha256 is 'Of the list of its files; see bus.checkpoints.digest';
comment on column corral.checkpoints.replicas is 'Copies that it should have beyond the first';
comment on column corral.checkpoints.sharded is 'Each rank of a gang saved a part of it';
comment on column corral.checkpoints.chosen is 'Somebody asked that the next attempt goes on from it, rather than from the newest';
create unique index checkpoints_step on corral.checkpoints (task_id, fence, step);
create index checkpoints_newest on corral.checkpoints (task_id, completed_at desc) where complete;

-- Its files: content that nodes keep (corral.blobs), under the names that they had.
create table corral.checkpoint_files (
    checkpoint_id uuid not null references corral.checkpoints on delete cascade,
    rank integer not null default 0 check (rank >= 0),
    name text not null check (name <> '' and octet_length(name) <= 1024),
    sha256 text not null check (sha256 ~ '^[0-9a-f]{64}\Z'),
    size_bytes bigint not null check (size_bytes >= 0),
    primary key (checkpoint_id, rank, name)
);
create index checkpoint_files_sha256 on corral.checkpoint_files (sha256);

-- From what each attempt goes on: chosen once, so that all ranks of a gang begin at the same step.
create table corral.resumes (
    task_id uuid not null references corral.tasks on delete cascade,
    fence integer not null check (fence > 0),
    checkpoint_id uuid references corral.checkpoints on delete set null,
    step bigint,
    created_at timestamptz not null default now(),
    primary key (task_id, fence)
);
create index resumes_checkpoint on corral.resumes (checkpoint_id);
comment on column corral.resumes.step is 'Null: it began anew, for want of a checkpoint that any node had';

do $$
declare
    name text;
begin
    foreach name in array array['checkpoint_files', 'resumes'] loop
        execute format('alter table corral.%I enable row level security', name);
        execute format('alter table corral.%I force row level security', name);
        execute format('create policy coordinator on corral.%I to corral_coordinator using (true) with check (true)', name);
        execute format('grant select on corral.%I to corral_readonly, corral_user, corral_operator, corral_admin', name);
    end loop;
end $$;
create policy people on corral.checkpoint_files for select
    to corral_readonly, corral_user, corral_operator, corral_admin
    using ((select corral.session_sees_all()) or checkpoint_id in (select id from corral.checkpoints));
create policy people on corral.resumes for select
    to corral_readonly, corral_user, corral_operator, corral_admin
    using ((select corral.session_sees_all()) or task_id in (select id from corral.tasks));

-- One name for what all its files are, whoever asks: lines "<rank> <sha256> <size> <name>" in byte order.
create function corral.checkpoint_digest(checkpoint uuid) returns text
language sql stable
as $$
    select encode(sha256(convert_to(string_agg(line, '' order by line collate "C"), 'UTF8')), 'hex')
    from (
        select format(E'%s %s %s %s\n', rank, sha256, size_bytes, name) as line
        from corral.checkpoint_files
        where checkpoint_id = checkpoint
    ) lines
$$;

-- The files of one rank that a node has, all of them, become a checkpoint or a part of one. Only the attempt that counts
-- is heard, from the node that it is at. The same again is the same. With a complete one those beyond the number to keep
-- go: `freed` is content that no checkpoint names any more, `gone` are the names below CORRAL_CHECKPOINT_DIR.
create function corral.keep_checkpoint(
    node text, job_number bigint, task_index integer, attempt integer, of_rank integer, at_step bigint,
    its_path text, its_kind text, is_shard boolean, its_metrics jsonb,
    names text[], hashes text[], sizes bigint[])
returns table (id uuid, refused text, complete boolean, freed text[], gone text[])
language plpgsql
as $$
#variable_conflict use_column
declare
    place record;
    known record;
    digest text;
    is_complete boolean;
    its_state text;
    doomed uuid[];
    released text[];
    paths text[];
begin
    select
        t.id as task_id, a.node_id,
        (coalesce(g.parameters -> 'checkpoint' ->> 'keep', '3'))::integer as keep,
        (coalesce(g.parameters -> 'checkpoint' ->> 'replicas', '1'))::smallint as replicas,
        (coalesce(g.parameters -> 'gang' ->> 'size', '1'))::integer as world_size
    into place
    from corral.jobs j
        join corral.tasks t on t.job_id = j.id and t.index = task_index and t.count = 1
        join corral.tasks g on g.id = coalesce(t.range_id, t.id)
        join corral.attempts a on a.task_id = t.id and a.fence = attempt and a.rank = of_rank
    where j.number = job_number and t.fence = attempt and a.node_name = node
        and a.state not in ('lost', 'returned');
    if not found then
        return query select null::uuid, 'E_FENCED', false, null::text[], null::text[];
        return;
    end if;
    if place.keep <= (
        select count(*) from corral.checkpoints c
        where c.task_id = place.task_id and c.fence = attempt and c.complete and c.step > at_step)
    then
        return query select null::uuid, 'E_CONFLICT', false, null::text[], null::text[];
        return;
    end if;
    insert into corral.blobs as b (sha256, node_id, size_bytes)
    select distinct on (f.sha256) f.sha256, place.node_id, f.size_bytes
    from unnest(hashes, sizes) as f (sha256, size_bytes)
    order by f.sha256
    on conflict (sha256, node_id) do nothing;
    perform from corral.blobs b
    where b.node_id = place.node_id and b.sha256 = any (hashes) and b.dropping
    limit 1;
    if found then
        return query select null::uuid, 'E_UNAVAILABLE', false, null::text[], null::text[];
        return;
    end if;
    insert into corral.checkpoints (
        task_id, node_id, rank, fence, step, path, kind, sharded, world_size, replicas, metrics)
    values (
        place.task_id, place.node_id, of_rank, attempt, at_step, its_path, its_kind, is_shard, place.world_size,
        place.replicas, its_metrics)
    on conflict (task_id, fence, step) do nothing;
    select c.id, c.complete, c.sharded, c.rank into known
    from corral.checkpoints c
    where c.task_id = place.task_id and c.fence = attempt and c.step = at_step
    for update;
    if known.sharded <> is_shard or (not is_shard and known.rank <> of_rank) then
        return query select null::uuid, 'E_CONFLICT', false, null::text[], null::text[];
        return;
    end if;
    if exists (select from corral.checkpoint_files f where f.checkpoint_id = known.id and f.rank = of_rank) then
        if exists (
            select name, sha256 from corral.checkpoint_files where checkpoint_id = known.id and rank = of_rank
            except select * from unnest(names, hashes))
            or exists (
                select * from unnest(names, hashes)
                except select name, sha256 from corral.checkpoint_files
                where checkpoint_id = known.id and rank = of_rank)
        then
            return query select null::uuid, 'E_CONFLICT', false, null::text[], null::text[];
            return;
        end if;
        return query select known.id, null::text, known.complete, null::text[], null::text[];
        return;
    end if;
    insert into corral.checkpoint_files (checkpoint_id, rank, name, sha256, size_bytes)
    select known.id, of_rank, f.name, f.sha256, f.size_bytes
    from unnest(names, hashes, sizes) as f (name, sha256, size_bytes);
    update corral.attempts a
    set checkpoint_path = its_path, metrics = coalesce(its_metrics, a.metrics)
    where a.task_id = place.task_id and a.fence = attempt and a.rank = of_rank;
    update corral.checkpoints c
    set size_bytes = c.size_bytes + (select sum(size) from unnest(sizes) as size),
        metrics = coalesce(c.metrics, its_metrics),
        kind = case when its_kind = 'emergency' then its_kind else c.kind end
    where c.id = known.id;
    is_complete := not is_shard or place.world_size = (
        select count(distinct f.rank) from corral.checkpoint_files f where f.checkpoint_id = known.id);
    if not is_complete then
        return query select known.id, null::text, false, null::text[], null::text[];
        return;
    end if;
    digest := corral.checkpoint_digest(known.id);
    -- the task's row before those of other checkpoints, as the trigger of its completion locks them
    update corral.tasks t set checkpoint_path = 'corral://' || digest where t.id = place.task_id
    returning t.state into its_state;
    update corral.checkpoints c set chosen = false where c.task_id = place.task_id and c.chosen;
    update corral.checkpoints c
    set complete = true, completed_at = clock_timestamp(), sha256 = digest,
        kind = case when its_state = 'completed' then 'final' else c.kind end
    where c.id = known.id;
    select array_agg(c.id), array_agg(c.path) filter (where c.fence = attempt) into doomed, paths
    from corral.checkpoints c
    where c.task_id = place.task_id and c.id <> known.id
        and (case
            when c.complete then c.id not in (
                select k.id from corral.checkpoints k
                where k.task_id = place.task_id and k.complete
                order by k.completed_at desc
                limit place.keep)
            else c.fence < attempt or c.step < at_step
        end);
    if doomed is not null then
        released := corral.forget_checkpoints(doomed);
    end if;
    return query select known.id, null::text, true, released, paths;
end $$;

-- Away with checkpoints: answers the content that no checkpoint names any more.
create function corral.forget_checkpoints(doomed uuid[]) returns text[]
language plpgsql
as $$
declare
    named text[];
begin
    select array_agg(distinct f.sha256) into named
    from corral.checkpoint_files f
    where f.checkpoint_id = any (doomed);
    delete from corral.checkpoints where id = any (doomed);
    return (
        select array_agg(each.sha256)
        from unnest(named) as each (sha256)
        where not exists (select from corral.checkpoint_files f where f.sha256 = each.sha256));
end $$;

-- From what an attempt at a node goes on: chosen when the first of its ranks asks, of what nodes in `live` have. `passed`:
-- newer ones that nobody has just now.
create function corral.begin_resume(
    node text, job_number bigint, task_index integer, attempt integer, of_rank integer, live text[])
returns table (refused text, checkpoint_id uuid, passed bigint)
language plpgsql
as $$
#variable_conflict use_column
declare
    place record;
    found_id uuid;
    newest record;
begin
    select t.id as task_id into place
    from corral.jobs j
        join corral.tasks t on t.job_id = j.id and t.index = task_index and t.count = 1
        join corral.attempts a on a.task_id = t.id and a.fence = attempt and a.rank = of_rank
    where j.number = job_number and t.fence = attempt and a.node_name = node
        and a.state in ('assigned', 'running');
    if not found then
        return query select 'E_FENCED', null::uuid, 0::bigint;
        return;
    end if;
    select c.id, c.step, c.completed_at, c.chosen into newest
    from corral.checkpoints c
    where c.task_id = place.task_id and c.complete and not exists (
        select from corral.checkpoint_files f
        where f.checkpoint_id = c.id and not exists (
            select from corral.blobs b join corral.nodes n on n.id = b.node_id
            where b.sha256 = f.sha256 and not b.dropping and n.name = any (live)))
    order by c.chosen desc, c.completed_at desc
    limit 1;
    insert into corral.resumes (task_id, fence, checkpoint_id, step)
    values (place.task_id, attempt, newest.id, newest.step)
    on conflict (task_id, fence) do nothing;
    select r.checkpoint_id into found_id
    from corral.resumes r
    where r.task_id = place.task_id and r.fence = attempt;
    return query
    select null::text, found_id, (
        select count(*) from corral.checkpoints c
        where c.task_id = place.task_id and c.complete
            and (newest.id is null or (not newest.chosen and c.completed_at > newest.completed_at)));
end $$;

-- The newest checkpoint of a task that has completed is its final one.
create function corral.finish_checkpoints() returns trigger
language plpgsql
as $$
begin
    update corral.checkpoints c
    set kind = 'final'
    where c.id = (
        select k.id from corral.checkpoints k
        where k.task_id = new.id and k.complete
        order by k.completed_at desc
        limit 1);
    return null;
end $$;
create trigger tasks_final_checkpoint after update of state on corral.tasks
    for each row when (new.state = 'completed' and old.state <> 'completed' and new.checkpoint_path is not null)
    execute function corral.finish_checkpoints();

-- As people see them: with the task that saved them, how much there is, and on how many nodes each file lies at least.
create view corral.checkpoints_shown with (security_invoker = true) as
select
    c.id, j.number, t.index, u.username, c.fence, c.step, c.kind, c.path, c.complete, c.completed_at, c.created_at,
    c.size_bytes, coalesce(c.sha256, '') as sha256, c.world_size, c.replicas, c.chosen, c.metrics,
    f.files, f.ranks, f.copies, f.nodes
from corral.checkpoints c
    join corral.tasks t on t.id = c.task_id
    join corral.jobs j on j.id = t.job_id
    join corral.users u on u.id = j.user_id
    cross join lateral (
        select
            count(distinct (each.rank, each.name)) as files, count(distinct each.rank) as ranks,
            coalesce(min(held.copies), 0) as copies,
            array(
                select distinct n.name
                from corral.checkpoint_files k
                    join corral.blobs b on b.sha256 = k.sha256 and not b.dropping
                    join corral.nodes n on n.id = b.node_id
                where k.checkpoint_id = c.id
                order by n.name) as nodes
        from corral.checkpoint_files each
            cross join lateral (
                select count(*) as copies from corral.blobs b where b.sha256 = each.sha256 and not b.dropping) held
        where each.checkpoint_id = c.id) f;
grant select on corral.checkpoints_shown to corral_readonly, corral_user, corral_operator, corral_admin, corral_coordinator;
