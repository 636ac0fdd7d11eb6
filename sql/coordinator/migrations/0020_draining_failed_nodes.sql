-- A node that was quarantined (failed) still runs what it had: it may be drained, and so be taken into maintenance.
-- coordinator/core/transitions.py has the same table.

create or replace function corral.admin_may_follow(old_admin text, new_admin text) returns boolean
language sql immutable parallel safe
return old_admin || '>' || new_admin in (
    'active>draining', 'active>inactive', 'active>maintenance', 'active>failed',
    'draining>active', 'draining>inactive', 'draining>maintenance', 'draining>failed',
    'inactive>active', 'inactive>draining', 'inactive>maintenance', 'inactive>failed',
    'maintenance>active', 'maintenance>inactive', 'maintenance>failed',
    'failed>active', 'failed>draining', 'failed>inactive', 'failed>maintenance');
