-- Models: versions of content that are never changed, and whose names are never used again.

alter table corral.model_versions
    add column user_id uuid references corral.users on delete set null,
    add column file_name varchar(255) not null default 'model' check (
        file_name <> '' and file_name !~ '[\x00-\x1f/]'),
    add column mime_type varchar(100) not null default 'application/octet-stream' check (
        mime_type ~ '^[a-z0-9.+-]+/[A-Za-z0-9.+-]+\Z'),
    add column size_bytes bigint not null default 0 check (size_bytes >= 0),
    add column tags text[] not null default '{}',
    add column metrics jsonb not null default '{}' check (jsonb_typeof(metrics) = 'object'),
    add column removed_at timestamptz,
    add constraint model_versions_url check (url ~ '^(corral|s3|file)://');
create index model_versions_user on corral.model_versions (user_id);
create index model_versions_sha256 on corral.model_versions (sha256);
comment on column corral.model_versions.removed_at is 'It is gone; the row stays, so that nothing else gets its name';

create function corral.refuse_other_model() returns trigger
language plpgsql
as $$
begin
    if (new.name, new.version, new.url, new.sha256, new.size_bytes, new.file_name)
        is distinct from (old.name, old.version, old.url, old.sha256, old.size_bytes, old.file_name)
    then
        raise exception 'model %@% is never changed', old.name, old.version using errcode = 'restrict_violation';
    end if;
    return new;
end $$;
create trigger model_versions_fixed before update on corral.model_versions
    for each row execute function corral.refuse_other_model();

-- Content that jobs which are not over will want on their nodes.
create view corral.contents_in_use with (security_invoker = true) as
select j.number, each ->> 'model' as model, each ->> 'version' as version, each ->> 'sha256' as sha256
from corral.jobs j cross join lateral jsonb_array_elements(j.spec -> 'contents') as each
where j.ended_at is null and jsonb_typeof(j.spec -> 'contents') = 'array';
grant select on corral.contents_in_use
    to corral_coordinator, corral_readonly, corral_user, corral_operator, corral_admin;
