-- What happened is asked for newest first: a page of it must not read a month.
drop index corral.task_events_at;
create index task_events_at on corral.task_events (at desc);
create index jobs_ended on corral.jobs (ended_at) where ended_at is not null;
