-- Lists that a client sent ahead of a submission which no message holds, and that it never took away again: it died meanwhile.

-- Whether nobody will ask for an artifact any more: its job is gone, or it is such a list, a day old, and no schedule
-- points to it. Clients name these lists, with the beginning of their own hash, which no file has by chance (bus/long_lists.py).
create function corral.is_left_behind(a corral.artifacts) returns boolean
language sql stable
begin atomic
    select a.task_id is null and (
        a.fence is not null
        or a.name ~ '^for_each-[0-9a-f]{12}-[0-9a-f]{12}\.txt\Z' and substr(a.name, 23, 12) = left(a.sha256, 12)
            and a.created_at < now() - interval '1 day'
            and not exists (select from corral.schedules s where strpos(s.spec::text, a.sha256) > 0));
end;
