-- GPUs that are given to nobody, or were: the newest time of each, also of one that its node does not find any more.

create table corral.gpu_quarantines (
    node_id uuid not null references corral.nodes on delete cascade,
    uuid text not null,
    kind text not null check (kind ~ '^[a-z0-9_]{1,50}\Z'),
    reason text not null default '',
    quarantined_at timestamptz not null,
    quarantined_by text not null default '',
    released_at timestamptz,
    released_by text not null default '',
    forgiven text[] not null default '{}',
    primary key (node_id, uuid)
);
comment on table corral.gpu_quarantines is 'A GPU is out while released_at is null';
comment on column corral.gpu_quarantines.quarantined_by is 'Empty: a rule, because of what its agent told';
comment on column corral.gpu_quarantines.forgiven is 'What its agent told of when it was released: that does not count again';
create index gpu_quarantines_open on corral.gpu_quarantines (node_id) where released_at is null;

comment on column corral.gpus.healthy is 'Found in order by its agent, and not quarantined';

grant select, insert, update, delete on corral.gpu_quarantines to corral_coordinator;
grant select on corral.gpu_quarantines to corral_readonly, corral_user, corral_operator, corral_admin;
