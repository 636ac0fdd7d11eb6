-- name: entries
-- What audit.list chooses from: a column for each field of bus/fields.py. What was committed with a change has
-- the reference of its commit for an id.
select
    a.id as number, coalesce(a.reference, a.id::text) as id, a.reference, a.at, a.actor, a.action, a.object,
    a.outcome, a.details::text as details
from corral.audit a;

-- name: note!
-- What somebody did, or was refused.
insert into corral.audit (at, actor, action, object, outcome, details)
values (to_timestamp($1), $2, $3, $4, $5, $6);
