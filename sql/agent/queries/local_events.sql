-- name: add_event
-- Something to report; the number is given by the agent's core.
insert into local_events (event_id, session_id, event, created_at)
values (:event_id, :session_id, :event, :now);

-- name: remove_event
-- The coordinator has it.
delete from local_events where event_id = :event_id;

-- name: events
-- What is still to be reported, oldest first.
select event_id, session_id, event from local_events order by event_id;

-- name: last_sequence
-- The highest number ever written.
select coalesce(max(seq), 0) from sqlite_sequence where name = 'local_events';
