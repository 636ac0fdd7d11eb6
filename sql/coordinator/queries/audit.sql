-- name: note!
-- What somebody did, or was refused.
insert into corral.audit (at, actor, action, object, outcome, details)
values (to_timestamp($1), $2, $3, $4, $5, $6);
