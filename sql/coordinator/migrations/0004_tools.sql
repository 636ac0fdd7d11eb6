-- What can be run: task types and tools.

create table corral.task_types (
    name varchar(50) primary key check (name ~ '^[a-z0-9_]{3,50}\Z'),
    description text not null,
    agent_type text not null,
    avg_complexity numeric(3, 2) check (avg_complexity between 0 and 1),
    avg_duration_seconds numeric(10, 2) check (avg_duration_seconds >= 0),
    required_input text[] not null default '{}',
    input_schema jsonb,
    parallel text not null default 'array' check (parallel in ('none', 'array', 'gang')),
    standard boolean not null default false,
    created_at timestamptz not null default now()
);
comment on column corral.task_types.standard is 'One of the thirteen types that every cluster starts with';
comment on column corral.task_types.required_input is 'Keys that a task''s input must have; see tasks_input_schema';

create table corral.tools (
    id uuid primary key default corral.uuid7(),
    name varchar(100) not null check (name ~ '^[a-z0-9][a-z0-9_-]{0,99}\Z'),
    version text not null default '1.0.0' check (
        version ~ '^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?\Z'),
    current boolean not null default true,
    description text,
    category text not null check (category in ('analysis', 'processing', 'validation', 'storage')),
    status text not null default 'enabled' check (status in ('enabled', 'disabled')),
    spec jsonb not null default '{}' check (jsonb_typeof(spec) = 'object'),
    sha256 text check (sha256 ~ '^[0-9a-f]{64}\Z'),
    input_schema jsonb,
    output_schema jsonb,
    target_node_id uuid references corral.nodes on delete set null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unique (name, version)
);
comment on column corral.tools.current is 'The version that the bare name means; older ones stay as history';
create unique index tools_name on corral.tools (name) where current;
create index tools_category on corral.tools (category);
create index tools_status on corral.tools (status);
create index tools_target_node on corral.tools (target_node_id);
create index tools_input_schema on corral.tools using gin (input_schema jsonb_path_ops);
create index tools_output_schema on corral.tools using gin (output_schema jsonb_path_ops);
create trigger tools_touch before update on corral.tools
    for each row when (old.updated_at = new.updated_at) execute function corral.touch_updated_at();

create table corral.tool_tags (
    tool_id uuid not null references corral.tools on delete cascade,
    tag_name varchar(50) not null check (tag_name ~ '^[a-z0-9][a-z0-9_-]{0,49}\Z'),
    created_at timestamptz not null default now(),
    primary key (tool_id, tag_name)
);
create index tool_tags_tag on corral.tool_tags (tag_name);
