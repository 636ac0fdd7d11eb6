-- The tool that made an artifact is the version that the task called, not one whose name is the task's type: a tool
-- can be of any type, and a name can have several versions.
create or replace function corral.keep_artifact(
    node text, job_number bigint, task_index integer, attempt integer, owner text,
    left_name text, left_key text, kind text, bytes bigint, hash text)
returns table (id uuid, refused text)
language plpgsql
as $$
#variable_conflict use_column
declare
    place record;
    before record;
begin
    if job_number is not null then
        select t.id as task_id, a.node_id, j.user_id, tool.id as tool_id into place
        from corral.jobs j
            join corral.tasks t on t.job_id = j.id and t.index = task_index and t.count = 1
            join corral.attempts a on a.task_id = t.id and a.fence = attempt
            join corral.tasks g on g.id = coalesce(t.range_id, t.id)
            left join corral.tools tool
                on tool.name = split_part(g.parameters ->> 'called', '@', 1)
                and tool.version = split_part(g.parameters ->> 'called', '@', 2)
        where j.number = job_number and t.fence = attempt and a.node_name = node
            and a.state not in ('lost', 'returned');
    else
        select null::uuid as task_id, n.id as node_id, u.id as user_id, null::uuid as tool_id into place
        from corral.nodes n, corral.users u
        where n.name = node and u.username = owner;
    end if;
    if not found then
        return query select null::uuid, 'E_FENCED';
        return;
    end if;
    insert into corral.blobs as b (sha256, node_id, size_bytes) values (hash, place.node_id, bytes)
    on conflict (sha256, node_id) do update set size_bytes = bytes where not b.dropping;
    if not found then
        return query select null::uuid, 'E_UNAVAILABLE';
        return;
    end if;
    select a.id, a.name into before
    from corral.artifacts a
    where a.name_key = left_key
        and ((a.task_id = place.task_id and a.fence = attempt)
            or (place.task_id is null and a.task_id is null and a.user_id = place.user_id))
    for update;
    if found then
        if before.name <> left_name
            or (place.task_id is null and exists (
                select from corral.artifacts a where a.id = before.id and a.sha256 <> hash))
        then
            return query select null::uuid, 'E_NAME_CLASH';
            return;
        end if;
        update corral.artifacts a
        set sha256 = hash, size_bytes = bytes, mime_type = kind, storage_pointer = 'corral://' || hash
        where a.id = before.id;
        return query select before.id, null::text;
        return;
    end if;
    return query
    insert into corral.artifacts (
        name, name_key, file_name, mime_type, storage_pointer, size_bytes, sha256, task_id, fence,
        created_by_tool_id, user_id)
    values (
        left_name, left_key, substring(left_name from '[^/]+$'), kind, 'corral://' || hash, bytes, hash,
        place.task_id, attempt, place.tool_id, place.user_id)
    returning artifacts.id, null::text;
end $$;
