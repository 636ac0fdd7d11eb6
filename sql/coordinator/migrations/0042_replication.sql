-- Copies of content on other nodes. corral.blobs says who has what; a row of corral.replicas is a place beside the
-- primary where content of a task should be, and what is known of it there.

alter table corral.blobs add column verified_at timestamptz;
comment on column corral.blobs.verified_at is 'When its hash was last seen to be right there';

alter table corral.replicas
    add column tries integer not null default 0 check (tries >= 0),
    add column fault text not null default '';
comment on column corral.replicas.tries is 'How often the node failed to make the copy, since the last that was good';
comment on column corral.replicas.fault is 'The code of why it is not active';
create unique index replicas_place on corral.replicas (blob_sha256, replica_node_id, task_id);

-- Content of tasks that is to survive its node, and how many copies it should have beside the first.
create view corral.task_content with (security_invoker = true) as
select c.task_id, f.sha256, f.size_bytes, c.replicas as copies
from corral.checkpoints c join corral.checkpoint_files f on f.checkpoint_id = c.id
where c.complete;
grant select on corral.task_content to corral_coordinator;

-- What a node found of its content: '' as code is a copy that it has, seen to be right; E_HASH and E_NOT_FOUND one that is
-- not there any more; E_SPACE and others a copy that it could not make. Answers whether the cluster counts on each there.
create function corral.hear_held(node text, hashes text[], sizes bigint[], codes text[])
returns boolean[]
language plpgsql
as $$
#variable_conflict use_column
declare
    place uuid := (select n.id from corral.nodes n where n.name = node);
    each record;
    counts boolean;
    counted boolean[] := '{}';
begin
    for each in select * from unnest(hashes, sizes, codes) with ordinality as f (hash, bytes, code, position) order by position
    loop
        if each.code = '' then
            if exists (select from corral.replicas r where r.blob_sha256 = each.hash and r.replica_node_id = place) then
                insert into corral.blobs as b (sha256, node_id, size_bytes, verified_at)
                values (each.hash, place, each.bytes, now())
                on conflict (sha256, node_id) do update set verified_at = now() where not b.dropping;
                counts := found;
                update corral.replicas r
                set state = 'active', verified_at = now(), tries = 0, fault = ''
                where counts and r.blob_sha256 = each.hash and r.replica_node_id = place;
            else
                update corral.blobs b set verified_at = now()
                where b.sha256 = each.hash and b.node_id = place and not b.dropping;
                counts := found;
            end if;
        else
            if each.code in ('E_HASH', 'E_NOT_FOUND') then
                delete from corral.blobs b where b.sha256 = each.hash and b.node_id = place and not b.dropping;
            end if;
            counts := found and each.code in ('E_HASH', 'E_NOT_FOUND');
            update corral.replicas r
            set state = 'out_of_sync', fault = each.code, tries = r.tries + case when counts then 0 else 1 end
            where r.blob_sha256 = each.hash and r.replica_node_id = place;
            counts := found
                or exists (select from corral.task_content c where c.sha256 = each.hash)
                or exists (select from corral.artifacts a where a.sha256 = each.hash);
        end if;
        counted := counted || counts;
    end loop;
    return counted;
end $$;
