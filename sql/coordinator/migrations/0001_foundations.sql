-- What every later migration leans on: the schema, roles, ids, timestamps and the time-series engine.
-- (The schema itself and corral.migrations are made by sql.migrate before the first migration.)

-- Roles belong to the whole server, not to this database: another Corral database may have made them.
do $$
declare
    role_name text;
begin
    foreach role_name in array array[
        'corral_coordinator', 'corral_readonly', 'corral_user', 'corral_operator', 'corral_admin']
    loop
        begin
            execute format('create role %I nologin', role_name);
        exception when duplicate_object or unique_violation then
            null;
        end;
    end loop;
    execute format('grant corral_coordinator to %I', current_user);
exception when unique_violation then
    null;  -- the grant raced with another database's migration, which made it
end $$;

grant usage on schema corral to corral_coordinator, corral_readonly, corral_user, corral_operator, corral_admin;

-- UUID version 7 (RFC 9562): millisecond clock first, so that new rows lie together in the indexes.
-- PostgreSQL 18 has uuidv7(); this one serves from 15 on.
create function corral.uuid7() returns uuid
language sql volatile parallel safe
as $$
    select encode(
        set_bit(set_bit(
            overlay(uuid_send(gen_random_uuid())
                placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
                from 1 for 6),
            52, 1), 53, 1),
        'hex')::uuid
$$;

-- updated_at for writers that do not set it themselves.
create function corral.touch_updated_at() returns trigger
language plpgsql
as $$
begin
    new.updated_at := greatest(clock_timestamp(), old.updated_at);
    return new;
end $$;

create function corral.refuse_change() returns trigger
language plpgsql
as $$
begin
    raise exception '% is append-only', tg_table_name using errcode = 'restrict_violation';
end $$;

-- Which of the three time-series editions this database runs on: community, apache or none.
create function corral.timeseries_edition() returns text
language sql stable
as $$
    select case
        when not exists (select from pg_extension where extname = 'timescaledb') then 'none'
        when current_setting('timescaledb.license', true) = 'timescale' then 'community'
        else 'apache'
    end
$$;

do $$
begin
    if exists (select from pg_available_extensions where name = 'timescaledb') then
        create extension if not exists timescaledb;
    end if;
exception when insufficient_privilege or object_not_in_prerequisite_state or feature_not_supported then
    raise notice 'timescaledb is on this server but cannot be used here: %; native partitions instead', sqlerrm;
end $$;

-- The tables whose rows belong to instants: how they are cut, and how long they are kept.
create table corral.timeseries (
    table_name name primary key,
    time_column name not null,
    step interval not null check (step in (interval '1 day', interval '1 month')),
    keep interval,
    native boolean not null
);
comment on table corral.timeseries is 'Registry of hypertables and natively partitioned tables; see corral.upkeep';

-- Ranges of `step` around the instants [from_at, to_at] as native partitions; answers how many are new.
-- Rows that came before their partition lie in the default one, and their range stays there.
create function corral.make_partitions(from_at timestamptz, to_at timestamptz) returns integer
language plpgsql
as $$
declare
    series corral.timeseries;
    lower_at timestamptz;
    partition_name text;
    made integer := 0;
begin
    for series in select * from corral.timeseries where native loop
        lower_at := date_trunc(
            case when series.step = interval '1 day' then 'day' else 'month' end, from_at, 'UTC');
        while lower_at <= to_at loop
            partition_name := series.table_name
                || to_char(lower_at at time zone 'UTC',
                           case when series.step = interval '1 day' then '_YYYYMMDD' else '_YYYYMM' end);
            if to_regclass(format('corral.%I', partition_name)) is null then
                begin
                    execute format(
                        'create table corral.%I partition of corral.%I for values from (%L) to (%L)',
                        partition_name, series.table_name, lower_at,
                        (lower_at at time zone 'UTC' + series.step) at time zone 'UTC');
                    made := made + 1;
                exception when check_violation then
                    null;  -- the default partition holds rows of this range
                end;
            end if;
            lower_at := (lower_at at time zone 'UTC' + series.step) at time zone 'UTC';
        end loop;
    end loop;
    return made;
end $$;

-- Turns a plain, still empty table into a hypertable, or into a natively partitioned one where there is no
-- extension. Indexes come afterwards: the native way rebuilds the table. The default partition takes rows of
-- instants that nobody foresaw (a clock that was moved): writing must never fail for want of a partition.
create procedure corral.make_timeseries(
    table_name name, time_column name, keep interval, step interval default interval '1 day',
    always_native boolean default false)
language plpgsql
as $$
declare
    native boolean := always_native or corral.timeseries_edition() = 'none';
begin
    insert into corral.timeseries values (table_name, time_column, step, keep, native);
    if native then
        execute format('alter table corral.%I rename to %I', table_name, table_name || '_plain');
        execute format(
            'create table corral.%I (like corral.%I including all) partition by range (%I)',
            table_name, table_name || '_plain', time_column);
        execute format('drop table corral.%I', table_name || '_plain');
        execute format(
            'create table corral.%I partition of corral.%I default', table_name || '_default', table_name);
    else
        execute format(
            'select create_hypertable(%L::regclass, %L::name, chunk_time_interval => %L::interval, '
            'create_default_indexes => false)',
            'corral.' || quote_ident(table_name), time_column, step);
    end if;
end $$;

-- The regular care of the time-series: partitions from yesterday to `ahead`, and what is past its time goes.
-- Answers the names of the partitions or chunks that were dropped.
create function corral.upkeep(now_at timestamptz default now(), ahead interval default interval '3 days')
returns setof text
language plpgsql
as $$
declare
    series corral.timeseries;
    partition_name name;
    stamp text;
begin
    perform corral.make_partitions(now_at - interval '1 day', now_at + ahead);
    for series in select * from corral.timeseries where keep is not null loop
        if not series.native then
            return query execute format(
                'select drop_chunks(%L::regclass, older_than => %L::timestamptz)::text',
                'corral.' || quote_ident(series.table_name), now_at - series.keep);
            continue;
        end if;
        for partition_name in
            select c.relname
            from pg_inherits i join pg_class c on c.oid = i.inhrelid
            where i.inhparent = format('corral.%I', series.table_name)::regclass
        loop
            stamp := substring(partition_name from '_(\d+)$');
            if stamp is null then
                execute format('delete from corral.%I where %I < %L', partition_name, series.time_column,
                               now_at - series.keep);
            elsif (to_date(rpad(stamp, 8, '01'), 'YYYYMMDD')::timestamp + series.step) at time zone 'UTC'
                <= now_at - series.keep
            then
                execute format('drop table corral.%I', partition_name);
                return next partition_name;
            end if;
        end loop;
    end loop;
end $$;
