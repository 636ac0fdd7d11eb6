-- Tokens that let machines ('join') and people ('login') into the cluster, each once, and the key that each admitted.

alter table corral.user_tokens
    alter column user_id drop not null,
    drop constraint user_tokens_kind_check,
    add constraint user_tokens_kind_check check (kind in ('session', 'refresh', 'join', 'login', 'api')),
    add column public_id text unique check (public_id ~ '^[a-z2-7]{8}\Z'),
    add column name text check (name ~ '^[a-z0-9][a-z0-9_-]{0,62}\Z'),
    add column role text check (role in ('readonly', 'user', 'operator', 'admin')),
    add column created_by uuid references corral.users on delete set null,
    add column used_at timestamptz,
    add column credential text check (credential ~ '^U[A-Z2-7]{55}\Z'),
    add constraint user_tokens_owner check (kind in ('join', 'login') or user_id is not null),
    add constraint user_tokens_login check (kind <> 'login' or (name is not null and role is not null)),
    add constraint user_tokens_used check ((used_at is null) = (credential is null)),
    add constraint user_tokens_joined check (kind <> 'join' or used_at is null or name is not null);
comment on column corral.user_tokens.public_id is 'By which a join or login token is listed and revoked';
comment on column corral.user_tokens.name is 'Of the node or user that the token admits; of a node it may come with the use';
comment on column corral.user_tokens.credential is 'The public key that the token admitted: revoking the token revokes the key';

-- One key a node: two machines cannot take the same name, whatever tokens they hold.
create unique index user_tokens_node on corral.user_tokens (name)
    where kind = 'join' and used_at is not null and revoked_at is null;
create unique index user_tokens_credential on corral.user_tokens (credential);
create index user_tokens_created_by on corral.user_tokens (created_by);
