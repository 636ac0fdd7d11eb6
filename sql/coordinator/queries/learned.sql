-- What the scheduler has learned: snapshots (ai_state), notes since, experiences. Rows that somebody else wrote into
-- ai_state have no learner, and are none of ours.

-- name: newest
-- The newest snapshot.
select
    extract(epoch from created_at)::double precision as at, mode, policy_version, feature_schema, sequence, learner,
    digest, epsilon, reward_avg, reward_window, q_table, model_weights, reason, evidence
from corral.ai_state
where learner is not null
order by number desc
limit 1;

-- name: state
-- The snapshot of a number.
select
    extract(epoch from created_at)::double precision as at, mode, policy_version, feature_schema, sequence, learner,
    digest, epsilon, reward_avg, reward_window, q_table, model_weights, reason, evidence
from corral.ai_state
where learner is not null and number = $1;

-- name: states
-- The newest $1 snapshots without their tables.
select
    number, extract(epoch from created_at)::double precision as at, reason, mode, policy_version, sequence, digest,
    epsilon, reward_avg, evidence
from corral.ai_state
where learner is not null
order by number desc
limit $1;

-- name: notes_since
-- What was learned from since the newest snapshot.
select sequence, extract(epoch from at)::double precision as at, notes
from corral.learning_notes
where sequence > coalesce(
    (select s.sequence from corral.ai_state s where s.learner is not null order by s.number desc limit 1), 0)
order by sequence;

-- name: history
-- The newest $1 tasks that ran; ids of experiences grow with time.
select
    (action -> 'job' ->> 0)::double precision as at_s, action -> 'job' ->> 1 as "user",
    (action -> 'job' ->> 2)::bigint as width, (action -> 'job' ->> 3)::bigint as nodes,
    (action -> 'job' ->> 4)::double precision as requested_s, (action ->> 'run_s')::double precision as run_s
from corral.learning_experiences
where action ? 'job'
order by id desc
limit $1;

-- name: written
-- Which of the notes $1 have their experience, written at $2 or later.
select sequence from corral.learning_experiences where sequence = any($1::bigint[]) and at >= to_timestamp($2);

-- name: prune_notes
-- Away with the notes that the newest two snapshots have: one of them may turn out unreadable.
delete from corral.learning_notes
where sequence <= coalesce(
        (select s.sequence from corral.ai_state s where s.learner is not null order by s.number desc offset 1 limit 1),
        0)
    and exists (select from corral.leadership where epoch = $1);

-- name: prune_states
-- Away with snapshots older than the newest $2; those of a change of mode or policy stay.
delete from corral.ai_state
where learner is not null and reason not like 'mode %' and reason not like 'policy %'
    and number <= (select max(number) from corral.ai_state) - $2
    and exists (select from corral.leadership where epoch = $1);
