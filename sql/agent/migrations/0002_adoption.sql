-- What tells a task's process from a later one of the same pid, should its guard die with the agent.

alter table local_sessions add column start_ticks integer not null default 0;  -- field 22 of /proc/<pid>/stat
alter table local_sessions add column cgroup text not null default '';         -- of its guard, hence its own
