-- Fair share: what people have used of the cluster of late, and what their part of it is; the formulas stand in
-- coordinator/core/scheduler/shares.py.

create table corral.fair_shares (
    user_id uuid primary key references corral.users on delete cascade,
    shares integer not null default 1 check (shares between 1 and 1000000),
    usage_s double precision not null default 0 check (usage_s >= 0),
    settled_at timestamptz not null default now()
);
comment on column corral.fair_shares.shares is 'One''s part of the cluster, against the shares of the others; who has no row has 1';
comment on column corral.fair_shares.usage_s is 'Seconds of the whole cluster as of settled_at; from then on it halves with every half-life';

grant select, insert, update, delete on corral.fair_shares to corral_coordinator;
grant select on corral.fair_shares to corral_operator, corral_admin;
