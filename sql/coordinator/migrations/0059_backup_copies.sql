-- A backup may lie on several nodes: each of its copies is a row, with a number of its own.

alter table corral.storage_volumes
    add column backup_copies smallint not null default 1 check (backup_copies between 1 and 5);
alter table corral.storage_backups
    add column copy smallint not null default 1 check (copy > 0),
    add column copies smallint not null default 1 check (copies between 1 and 5);
comment on column corral.storage_backups.copies is 'On how many nodes it should lie; more rows are on their way in or out';
drop index corral.storage_backups_current;
create unique index storage_backups_current on corral.storage_backups (volume_id, name, copy) where not dropping;
