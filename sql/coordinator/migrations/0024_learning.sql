-- What the scheduler learns from, and what it has learned: see coordinator/core/scheduler/learner.py.

-- Written with the batch that it came of, so that whoever leads next learns the same again from the newest snapshot on.
create table corral.learning_notes (
    sequence bigint primary key,
    at timestamptz not null,
    notes json not null
);
comment on table corral.learning_notes is 'Inputs of the learner, a row a batch; sequence is the number of the last one in it';

alter table corral.learning_experiences add column sequence bigint;
comment on column corral.learning_experiences.sequence is 'Its number among all notes of the learner';

-- `learner` is json and not jsonb: every number must read as it was written. The text's digest names the state.
alter table corral.ai_state
    add column number bigint generated always as identity unique,
    add column mode text check (mode in ('off', 'shadow', 'on')),
    add column sequence bigint not null default 0,
    add column learner json,
    add column digest text not null default '',
    add column reason text not null default '',
    add column evidence jsonb;
comment on column corral.ai_state.policy_version is 'The order that the gate let act; empty: the configured static one';
comment on column corral.ai_state.mode is 'As somebody asked; null: as configured';
comment on column corral.ai_state.sequence is 'How many notes of the learner went into it';

grant select, insert, update, delete on corral.learning_notes to corral_coordinator;
grant usage on all sequences in schema corral to corral_coordinator;
grant select on corral.learning_notes to corral_operator, corral_admin;

-- What a batch may say besides: see 0013 and 0015.

create type corral.learning_note as (sequence bigint, at double precision, notes json);

create type corral.learned_state as (
    at double precision, policy_version text, feature_schema text, q_table jsonb, model_weights bytea,
    epsilon double precision, reward_avg double precision, reward_window integer, mode text, sequence bigint,
    learner json, digest text, reason text, evidence jsonb);

create function corral.insert_learned(notes corral.learning_note[], states corral.learned_state[]) returns void
language plpgsql
as $$
begin
    insert into corral.learning_notes (sequence, at, notes)
    select u.sequence, to_timestamp(u.at), u.notes from unnest(notes) u;
    insert into corral.ai_state (
        created_at, policy_version, feature_schema, q_table, model_weights, weights_format, epsilon, reward_avg,
        reward_window, mode, sequence, learner, digest, reason, evidence)
    select
        to_timestamp(u.at), u.policy_version, u.feature_schema, u.q_table, u.model_weights,
        case when u.model_weights is not null then 'npz' end, u.epsilon, u.reward_avg, u.reward_window, u.mode,
        u.sequence, u.learner, u.digest, u.reason, u.evidence
    from unnest(states) u;
end $$;

drop function corral.write_batch(
    bigint, bigint, corral.node_state[], corral.job_row[], corral.task_row[], corral.task_change[],
    corral.attempt_change[], corral.attempt_row[], corral.node_ledger[], corral.job_change[], corral.audit_row[]);
drop function corral.write_rows(
    corral.node_state[], corral.job_row[], corral.task_row[], corral.task_change[], corral.attempt_change[],
    corral.attempt_row[], corral.node_ledger[], corral.job_change[], corral.audit_row[]);

create function corral.write_rows(
    node_states corral.node_state[], new_jobs corral.job_row[], new_tasks corral.task_row[],
    task_changes corral.task_change[], attempt_changes corral.attempt_change[], new_attempts corral.attempt_row[],
    ledgers corral.node_ledger[], job_changes corral.job_change[], audits corral.audit_row[],
    notes corral.learning_note[], states corral.learned_state[])
returns void
language plpgsql
as $$
begin
    if cardinality(node_states) > 0 then
        perform corral.change_nodes(node_states);
    end if;
    if cardinality(new_jobs) > 0 then
        perform corral.insert_jobs(new_jobs);
    end if;
    if cardinality(new_tasks) > 0 then
        perform corral.insert_tasks(new_tasks);
    end if;
    if cardinality(task_changes) > 0 then
        perform corral.change_tasks(task_changes);
    end if;
    -- the old attempt of a task ends before its next one begins: only one may be live
    if cardinality(attempt_changes) > 0 then
        perform corral.change_attempts(attempt_changes);
    end if;
    if cardinality(new_attempts) > 0 then
        perform corral.insert_attempts(new_attempts);
    end if;
    if cardinality(ledgers) > 0 then
        perform corral.write_ledgers(ledgers);
    end if;
    if cardinality(job_changes) > 0 then
        perform corral.change_jobs(job_changes);
    end if;
    if cardinality(audits) > 0 then
        perform corral.insert_audits(audits);
    end if;
    if cardinality(notes) > 0 or cardinality(states) > 0 then
        perform corral.insert_learned(notes, states);
    end if;
end $$;

create function corral.write_batch(
    leader_epoch bigint, batch_number bigint, node_states corral.node_state[], new_jobs corral.job_row[],
    new_tasks corral.task_row[], task_changes corral.task_change[], attempt_changes corral.attempt_change[],
    new_attempts corral.attempt_row[], ledgers corral.node_ledger[], job_changes corral.job_change[],
    audits corral.audit_row[], notes corral.learning_note[], states corral.learned_state[])
returns void
language plpgsql
as $$
begin
    if corral.claim_batch(leader_epoch, batch_number) then
        perform corral.write_rows(
            node_states, new_jobs, new_tasks, task_changes, attempt_changes, new_attempts, ledgers, job_changes,
            audits, notes, states);
    end if;
end $$;
