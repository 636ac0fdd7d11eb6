-- Tools that people register: who did, why one is disabled, and how their calls went.

insert into corral.task_types (name, description, agent_type)
values ('tool', 'A registered tool of no other type', 'NodeAgent');

alter table corral.tools
    add column built_in boolean not null default false,
    add column created_by text not null default '',
    add column status_reason text not null default '',
    add column status_by text not null default '';
comment on column corral.tools.status is 'As people set it; a tool of one node is disabled by rule while that takes no work, see tools_as_they_are';
comment on column corral.tools.spec is 'What a version runs: command, type, capability, file, amounts; never changed';

alter table corral.agent_capabilities add column fault text not null default '';
comment on column corral.agent_capabilities.level is 'The share of its own tests that the agent passed';

-- The inputs of the standard types: their keys are there, and are no nulls or empty texts.
update corral.task_types t
set input_schema = jsonb_build_object(
    'type', 'object',
    'required', to_jsonb(t.required_input),
    'properties', (
        select jsonb_object_agg(key, case
            when key = 'data' then '{"type": ["array", "object", "string"]}'::jsonb
            else '{"type": "string", "minLength": 1}'::jsonb end)
        from unnest(t.required_input) as key))
where t.standard and t.required_input <> '{}';

create view corral.tools_as_they_are with (security_invoker = true) as
select t.*, n.name as node,
    case
        when t.status = 'disabled' then 'disabled'
        when n.id is not null and (n.admin <> 'active' or n.health = 'unreachable' or n.kind = 'control') then 'disabled'
        else 'enabled'
    end as effective,
    t.status = 'enabled' and n.id is not null
        and (n.admin <> 'active' or n.health = 'unreachable' or n.kind = 'control') as disabled_by_rule
from corral.tools t left join corral.nodes n on n.id = t.target_node_id;

create or replace view corral.active_tools_with_nodes with (security_invoker = true) as
select t.id as tool_id, t.name, t.version, t.category, n.id as node_id, n.name as node, n.kind, n.roles, n.address
from corral.tools_as_they_are t left join corral.nodes n on n.id = t.target_node_id
where t.effective = 'enabled' and t.current;

-- The calls of tools: the row of a group says which tool it is, the rows of its elements do not.
create index tasks_called on corral.tasks ((parameters ->> 'called')) where parameters ? 'called';

create view corral.tool_calls with (security_invoker = true) as
select g.parameters ->> 'called' as called, t.id as task_id, t.type, t.state, t.created_at, t.started_at, t.completed_at,
    extract(epoch from t.completed_at - t.started_at)::double precision as seconds,
    case when t.output is null then 0 else octet_length(t.output::text) end as output_bytes
from corral.tasks g join corral.tasks t on t.id = g.id and t.count = 1 or t.range_id = g.id
where g.parameters ? 'called';

grant select on corral.tools_as_they_are, corral.tool_calls to corral_coordinator, corral_operator, corral_admin;
