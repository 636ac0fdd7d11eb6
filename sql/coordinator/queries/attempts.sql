-- name: insert_attempts
-- New attempts, as they stand at the end of their first batch.
with inserted as (
    insert into corral.attempts (
        task_id, rank, fence, node_id, node_name, state, waiting, cpu_millis, mem_mib, gpus, storage_mib, net_mbps,
        holding, gpu_uuids, assigned_at, started_at, ended_at, exit_code, signal, message, explanation, cancelling,
        updated_at)
    select
        task_id, rank, fence, node_id, node_name, state, waiting, cpu_millis, mem_mib, gpus, storage_mib, net_mbps,
        holding, string_to_array(gpu_uuids, ' '), to_timestamp(assigned), to_timestamp(started), to_timestamp(ended),
        exit_code, signal, message, explanation::jsonb, cancelling, clock_timestamp()
    from unnest(
        $1::uuid[], $2::integer[], $3::integer[], $4::uuid[], $5::text[], $6::text[], $7::boolean[], $8::bigint[],
        $9::bigint[], $10::integer[], $11::bigint[], $12::bigint[], $13::boolean[], $14::text[],
        $15::double precision[], $16::double precision[], $17::double precision[], $18::integer[], $19::integer[],
        $20::text[], $21::text[], $22::boolean[]
    ) as u (task_id, rank, fence, node_id, node_name, state, waiting, cpu_millis, mem_mib, gpus, storage_mib, net_mbps,
            holding, gpu_uuids, assigned, started, ended, exit_code, signal, message, explanation, cancelling)
    returning 1
)
select count(*) from inserted;

-- name: update_attempts
-- Attempts that changed. The fence is part of the key: a late word about an older attempt meets its own row.
-- The whole key comes from the arrays: with a constant for the rank the planner may walk the whole index.
with changed as (
    update corral.attempts a
    set state = u.state, waiting = u.waiting, holding = u.holding, gpu_uuids = string_to_array(u.gpu_uuids, ' '),
        started_at = to_timestamp(u.started), ended_at = to_timestamp(u.ended), exit_code = u.exit_code,
        signal = u.signal, message = u.message, cancelling = u.cancelling, updated_at = clock_timestamp()
    from unnest(
        $1::uuid[], $2::integer[], $3::integer[], $4::text[], $5::boolean[], $6::boolean[], $7::text[],
        $8::double precision[], $9::double precision[], $10::integer[], $11::integer[], $12::text[], $13::boolean[]
    ) as u (task_id, rank, fence, state, waiting, holding, gpu_uuids, started, ended, exit_code, signal, message,
            cancelling)
    where a.task_id = u.task_id and a.rank = u.rank and a.fence = u.fence
    returning 1
)
select count(*) from changed;

-- name: live
-- Attempts that a node has or may have.
select
    j.number, t.index, a.fence, a.task_id, a.node_name, a.node_id, a.state, a.waiting, a.cpu_millis, a.mem_mib,
    a.gpus, a.storage_mib, a.net_mbps, a.holding, a.gpu_uuids,
    extract(epoch from a.assigned_at)::double precision as assigned_at,
    extract(epoch from a.started_at)::double precision as started_at, a.message, a.cancelling
from corral.attempts a
    join corral.tasks t on t.id = a.task_id
    join corral.jobs j on j.id = t.job_id
where a.state in ('assigned', 'running')
order by j.number, t.index, a.fence;
