-- The coordinator works as corral_coordinator (or a login in it), which owns nothing: its rows come through its
-- policies, and what needs the owner's rights is named here.

grant select, insert, update, delete on all tables in schema corral to corral_coordinator;
grant usage on all sequences in schema corral to corral_coordinator;
alter default privileges in schema corral grant select, insert, update, delete on tables to corral_coordinator;
alter default privileges in schema corral grant usage on sequences to corral_coordinator;

revoke update, delete on corral.audit from corral_coordinator;
revoke insert, update, delete on corral.migrations from corral_coordinator;

-- Partitions are made and dropped with the owner's rights. The path is fixed, as for everything that runs so.
do $$
declare
    engine name := coalesce(
        (select n.nspname from pg_extension e join pg_namespace n on n.oid = e.extnamespace
         where e.extname = 'timescaledb'),
        'corral');
begin
    execute format('alter function corral.upkeep(timestamptz, interval) '
                   'security definer set search_path = corral, %I, pg_temp', engine);
end $$;
revoke execute on function corral.upkeep(timestamptz, interval) from public;
grant execute on function corral.upkeep(timestamptz, interval) to corral_coordinator;
