-- Steering: priorities that change, labels that people give to nodes, entries of the audit that can be named.

comment on column corral.tasks.priority is 'As it was submitted; what orders is the priority of the job';

-- `labels` are what counts: both together, where people win.
alter table corral.nodes
    add column agent_labels jsonb not null default '{}' check (jsonb_typeof(agent_labels) = 'object'),
    add column set_labels jsonb not null default '{}' check (jsonb_typeof(set_labels) = 'object');
update corral.nodes set agent_labels = labels;
comment on column corral.nodes.agent_labels is 'What its agent says of itself';
comment on column corral.nodes.set_labels is 'What people set; kept when the agent registers again';

alter table corral.audit add column reference text;
comment on column corral.audit.reference is 'Epoch, batch and place of the commit that it belongs to: what answers name it by';
create index audit_reference on corral.audit (reference) where reference is not null;

-- What a batch may say besides: see 0013, 0015 and 0019.

alter type corral.job_change add attribute priority smallint;
drop function corral.insert_audits(corral.audit_row[]);
alter type corral.audit_row add attribute reference text;

create function corral.insert_audits(audits corral.audit_row[]) returns void
language sql
begin atomic
    insert into corral.audit (at, actor, action, object, details, reference)
    select to_timestamp(at), actor, action, object, details, reference from unnest(audits);
end;

create or replace function corral.change_jobs(changes corral.job_change[]) returns void
language plpgsql
as $$
declare
    written bigint;
begin
    with changed as (
        update corral.jobs j
        set pending = u.pending, queued = u.queued, assigned = u.assigned, running = u.running,
            completed = u.completed, failed = u.failed, cancelled = u.cancelled, priority = u.priority,
            cancel_requested = u.cancel_requested, held = u.held_by <> '', held_by = u.held_by,
            held_at = to_timestamp(u.held), paused = u.paused_by <> '', paused_by = u.paused_by,
            paused_at = to_timestamp(u.paused),
            started_at = case when u.started is not null then greatest(to_timestamp(u.started), j.created_at) end,
            ended_at = case when u.ended is not null
                then greatest(to_timestamp(u.ended), to_timestamp(u.started), j.created_at) end,
            exit_code = u.exit_code, reason = u.reason, updated_at = clock_timestamp()
        from unnest(changes) u
        where j.id = u.id
        returning corral.expect_state(j.number, j.state, u.state)
    )
    select count(*) into written from changed;
    perform corral.expect(written, cardinality(changes), 'changed jobs');
end $$;
