-- The best checkpoint of a task by a metric stays, however old it is.

-- The complete one of a task with the least, or the largest, value: of METRIC:min or METRIC:max, the newest of equals.
create function corral.best_checkpoint(of_task uuid, wanted text) returns uuid
language sql stable
begin atomic
    select c.id
    from corral.checkpoints c,
        lateral (select left(wanted, -4) as metric, case when right(wanted, 4) = ':max' then -1 else 1 end as sign) w
    where length(wanted) > 4 and c.task_id = of_task and c.complete and jsonb_typeof(c.metrics -> w.metric) = 'number'
    order by w.sign * (c.metrics ->> w.metric)::double precision, c.completed_at desc
    limit 1;
end;

create or replace function corral.keep_checkpoint(
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
    best uuid;
begin
    select
        t.id as task_id, a.node_id,
        (coalesce(g.parameters -> 'checkpoint' ->> 'keep', '3'))::integer as keep,
        (coalesce(g.parameters -> 'checkpoint' ->> 'replicas', '1'))::smallint as replicas,
        coalesce(g.parameters -> 'checkpoint' ->> 'keep_best', '') as keep_best,
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
    best := corral.best_checkpoint(place.task_id, place.keep_best);
    select array_agg(c.id), array_agg(c.path) filter (where c.fence = attempt) into doomed, paths
    from corral.checkpoints c
    where c.task_id = place.task_id and c.id <> known.id
        and (case
            when c.complete then c.id is distinct from best and c.id not in (
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

create or replace view corral.checkpoints_shown with (security_invoker = true) as
select
    c.id, j.number, t.index, u.username, c.fence, c.step, c.kind, c.path, c.complete, c.completed_at, c.created_at,
    c.size_bytes, coalesce(c.sha256, '') as sha256, c.world_size, c.replicas, c.chosen, c.metrics,
    f.files, f.ranks, f.copies, f.nodes,
    coalesce(c.id = corral.best_checkpoint(c.task_id, g.parameters -> 'checkpoint' ->> 'keep_best'), false) as best
from corral.checkpoints c
    join corral.tasks t on t.id = c.task_id
    join corral.tasks g on g.id = coalesce(t.range_id, t.id)
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
