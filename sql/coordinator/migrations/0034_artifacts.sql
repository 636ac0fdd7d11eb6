-- Artifacts: what tasks leave and people bring. A row is there once a node has all of the content, verified.

alter table corral.artifacts
    add column name text check (name <> '' and octet_length(name) <= 1024),
    add column name_key text,
    add column user_id uuid references corral.users on delete cascade;
comment on column corral.artifacts.name is 'The relative path under which it was left; file_name is its last part';
comment on column corral.artifacts.name_key is 'Equal for names that some file system could not tell apart';
create unique index artifacts_of_attempt on corral.artifacts (task_id, fence, name_key) where task_id is not null;
create unique index artifacts_of_user on corral.artifacts (user_id, name_key) where task_id is null;

-- Which nodes have which content. Where no artifact or model names it any more, the node is told to let it go.
create table corral.blobs (
    sha256 text not null check (sha256 ~ '^[0-9a-f]{64}\Z'),
    node_id uuid not null references corral.nodes on delete cascade,
    size_bytes bigint not null check (size_bytes >= 0),
    dropping boolean not null default false,
    created_at timestamptz not null default now(),
    primary key (sha256, node_id)
);
create index blobs_node on corral.blobs (node_id);
comment on column corral.blobs.dropping is 'The node is being told to let it go: until it has, nothing new may count on it';

drop policy people on corral.artifacts;
create policy people on corral.artifacts for select
    to corral_readonly, corral_user, corral_operator, corral_admin
    using (
        (select corral.session_sees_all())
        or task_id in (select id from corral.tasks)
        or user_id = (select corral.session_user_id()));

-- A file that a node keeps becomes an artifact; the same again is the same artifact. Of an attempt: the one that
-- counts, at the node that speaks. A name that it left before has the newer content from now on.
create function corral.keep_artifact(
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
            left join corral.tools tool on tool.name = t.type
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
