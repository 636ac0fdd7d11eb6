-- Artifacts may have copies on other nodes, as files of checkpoints do: as many as their job asks for.

alter table corral.artifacts add column copies smallint not null default 0 check (copies >= 0);
comment on column corral.artifacts.copies is 'Of its content on other nodes, as its job''s spec says (replicas)';
create index artifacts_copied on corral.artifacts (sha256) where copies > 0;

-- Kept with the row: a spec may be long, and every round of copies looks at all artifacts that have some.
create function corral.say_artifact_copies() returns trigger language plpgsql as $$
begin
    new.copies := coalesce(
        (select (j.spec ->> 'replicas')::smallint
            from corral.tasks t join corral.jobs j on j.id = t.job_id where t.id = new.task_id), 0);
    return new;
end $$;
create trigger artifacts_copies before insert on corral.artifacts
    for each row when (new.task_id is not null) execute function corral.say_artifact_copies();

create or replace view corral.task_content with (security_invoker = true) as
select c.task_id, f.sha256, f.size_bytes, c.replicas as copies
from corral.checkpoints c join corral.checkpoint_files f on f.checkpoint_id = c.id
where c.complete
union all
select a.task_id, a.sha256, a.size_bytes, a.copies
from corral.artifacts a
where a.copies > 0 and a.task_id is not null and a.sha256 is not null;
