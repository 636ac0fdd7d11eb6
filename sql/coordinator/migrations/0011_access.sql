-- Who may see what when people query the database themselves. Policies go by session_user, which a session
-- cannot change, through users.db_role; no setting is trusted. The coordinator writes for everybody: its
-- role has a policy of its own, and it authorises in its API.

create function corral.session_user_id() returns uuid
language sql stable security definer set search_path = corral, pg_temp
as $$ select id from corral.users where db_role = session_user and status = 'active' $$;

create function corral.session_sees_all() returns boolean
language sql stable security definer set search_path = corral, pg_temp
as $$
    select exists (
        select from corral.users
        where db_role = session_user and status = 'active' and role in ('operator', 'admin'))
$$;

grant select, insert, update, delete on all tables in schema corral to corral_coordinator;
grant usage on all sequences in schema corral to corral_coordinator;

-- Nobody's in particular: every person may read it.
grant select on corral.nodes, corral.agents, corral.agent_capabilities, corral.node_resources, corral.gpus,
    corral.network_topologies, corral.network_interfaces, corral.task_types, corral.tools, corral.tool_tags,
    corral.model_versions, corral.storage_pools, corral.leadership, corral.node_usage, corral.node_metrics,
    corral.node_overview, corral.active_tools_with_nodes, corral.tools_with_tags
    to corral_readonly, corral_user, corral_operator, corral_admin;

-- Jobs and what hangs from them: reading is granted, rows are chosen by the policies below.
grant select on corral.jobs, corral.jobs_archive, corral.tasks, corral.task_dependencies, corral.task_events,
    corral.attempts, corral.allocations, corral.checkpoints, corral.replicas, corral.artifacts,
    corral.storage_volumes, corral.tasks_expanded, corral.job_nodes, corral.artifacts_with_tools
    to corral_readonly, corral_user, corral_operator, corral_admin;

-- The whole cluster's books. Password hashes, tokens and secrets are nobody's to read.
grant select on corral.ledger_mismatches, corral.ai_state, corral.learning_experiences, corral.node_logs,
    corral.batches, corral.timeseries, corral.system_events, corral.system_events_archive, corral.task_logs,
    corral.job_metrics, corral.task_usage
    to corral_operator, corral_admin;
grant select (id, username, full_name, role, status, created_at)
    on corral.users to corral_operator, corral_admin;
grant select (email, db_role, last_login_at, failed_login_attempts, locked_until, preferences,
              quota_cpu_hours, quota_mem_gib_hours, quota_storage_gib, updated_at)
    on corral.users to corral_admin;
grant select on corral.audit to corral_admin;

do $$
declare
    protected record;
begin
    for protected in
        select * from (values
            ('jobs', 'user_id = (select corral.session_user_id())'),
            ('jobs_archive', 'user_id = (select corral.session_user_id())'),
            ('tasks', 'job_id in (select id from corral.jobs)'),
            ('task_dependencies', 'task_id in (select id from corral.tasks)'),
            ('task_events', 'task_id in (select id from corral.tasks)'),
            ('attempts', 'task_id in (select id from corral.tasks)'),
            ('allocations', 'task_id in (select id from corral.tasks)'),
            ('checkpoints', 'task_id in (select id from corral.tasks)'),
            ('replicas', 'task_id in (select id from corral.tasks)'),
            ('artifacts', 'task_id in (select id from corral.tasks)'),
            ('storage_volumes', 'job_id in (select id from corral.jobs)'),
            ('dedupe_keys', 'user_id = (select corral.session_user_id())')
        ) as p(table_name, own)
    loop
        execute format('alter table corral.%I enable row level security', protected.table_name);
        execute format('alter table corral.%I force row level security', protected.table_name);
        execute format('create policy coordinator on corral.%I to corral_coordinator using (true) with check (true)',
                       protected.table_name);
        execute format(
            'create policy people on corral.%I for select '
            'to corral_readonly, corral_user, corral_operator, corral_admin '
            'using ((select corral.session_sees_all()) or %s)',
            protected.table_name, protected.own);
    end loop;
end $$;

-- Time-series know no row-level security where they are compressed or aggregated: people reach what belongs
-- to a job through these.
create view corral.my_job_metrics with (security_barrier = true) as
select m.* from corral.job_metrics m join corral.jobs j on j.id = m.job_id
where corral.session_sees_all() or j.user_id = corral.session_user_id();

create view corral.my_task_usage with (security_barrier = true) as
select u.* from corral.task_usage u join corral.tasks t on t.id = u.task_id join corral.jobs j on j.id = t.job_id
where corral.session_sees_all() or j.user_id = corral.session_user_id();

create view corral.my_task_logs with (security_barrier = true) as
select l.* from corral.task_logs l join corral.tasks t on t.id = l.task_id join corral.jobs j on j.id = t.job_id
where corral.session_sees_all() or j.user_id = corral.session_user_id();

create view corral.my_system_events with (security_barrier = true) as
select e.* from corral.system_events e
where corral.session_sees_all()
    or e.user_id = corral.session_user_id()
    or e.job_id in (select id from corral.jobs where user_id = corral.session_user_id());

grant select on corral.my_job_metrics, corral.my_task_usage, corral.my_task_logs, corral.my_system_events
    to corral_readonly, corral_user, corral_operator, corral_admin;
