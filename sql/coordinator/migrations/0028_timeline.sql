-- What ran between two instants: attempts lie on disk about as they came and went, so a summary of each few pages
-- finds them, and costs the commits nothing that one could measure (a tree of ranges would be written twice an
-- attempt).
create index attempts_times on corral.attempts using brin (assigned_at, ended_at)
    with (pages_per_range = 16, autosummarize = on);
