-- name: columns
-- Every column of every table and view of the schema; partitions are parts of their table.
select c.relname as table_name, c.relkind::text as kind, a.attname as column_name,
    format_type(a.atttypid, a.atttypmod) as type, a.attgenerated <> '' as generated, coalesce(p.key, false) as is_key
from pg_class c
    join pg_namespace s on s.oid = c.relnamespace and s.nspname = 'corral'
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    left join lateral (
        select true as key from pg_index i where i.indrelid = c.oid and i.indisprimary and a.attnum = any (i.indkey)
    ) p on true
where c.relkind in ('r', 'p', 'v') and not c.relispartition
order by c.relname, a.attnum;

-- name: foreign_keys
-- Every foreign key: its columns, and whether null is allowed in them.
select c.relname as table_name, f.relname as target,
    (select array_agg(a.attname order by k.position)
     from unnest(o.conkey) with ordinality as k (number, position)
        join pg_attribute a on a.attrelid = c.oid and a.attnum = k.number) as columns,
    (select bool_or(not a.attnotnull)
     from unnest(o.conkey) as k (number) join pg_attribute a on a.attrelid = c.oid and a.attnum = k.number) as nullable
from pg_constraint o
    join pg_class c on c.oid = o.conrelid and not c.relispartition
    join pg_class f on f.oid = o.confrelid
    join pg_namespace s on s.oid = c.relnamespace and s.nspname = 'corral'
where o.contype = 'f'
order by c.relname, columns;

-- name: unindexed_foreign_keys
-- Foreign keys whose columns begin no index: deleting what they point at would read the whole table.
select c.relname as table_name, o.conname as name
from pg_constraint o
    join pg_class c on c.oid = o.conrelid
    join pg_namespace s on s.oid = c.relnamespace and s.nspname = 'corral'
where o.contype = 'f'
    and not exists (
        select from pg_index i
        where i.indrelid = o.conrelid
            and (i.indkey::int2[])[0 : cardinality(o.conkey) - 1] @> o.conkey);

-- name: indexes
-- Every index as PostgreSQL would write it.
select tablename as table_name, indexname as name, indexdef as definition
from pg_indexes where schemaname = 'corral' order by tablename, indexname;
