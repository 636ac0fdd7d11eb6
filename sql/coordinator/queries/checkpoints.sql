-- name: keep
-- What one rank of an attempt saved; see corral.keep_checkpoint.
select id::text, refused, complete, freed, gone
from corral.keep_checkpoint($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13);

-- name: resume
-- From what an attempt goes on; see corral.begin_resume.
select r.refused, r.passed, c.id, c.step, c.path, c.sha256, c.sharded, c.world_size
from corral.begin_resume($1, $2, $3, $4, $5, $6) r
    left join corral.checkpoints c on c.id = r.checkpoint_id;

-- name: files
-- The files of a checkpoint ($2: of one rank, null for all) and the nodes that have them.
select
    f.rank, f.name, f.sha256, f.size_bytes,
    array(
        select n.name from corral.blobs b join corral.nodes n on n.id = b.node_id
        where b.sha256 = f.sha256 and not b.dropping order by n.name) as nodes
from corral.checkpoint_files f
where f.checkpoint_id = $1 and ($2::integer is null or f.rank = $2)
order by f.rank, f.name collate "C";

-- name: list
-- Checkpoints that may be seen ($1: by whom, null for everybody), newest first, from before the cursor ($5) on.
select v.*
from corral.checkpoints_shown v
where ($1::text is null or v.username = $1)
    and ($2::bigint is null or v.number = $2)
    and ($3::integer is null or v.index = $3)
    and ($5::uuid is null or v.id < $5)
order by v.id desc
limit $4;

-- name: find
-- At most two that are meant by an id ($2 to $3), or by a task ($4, $5) and its step ($6, null for the newest).
select v.*
from corral.checkpoints_shown v
where ($1::text is null or v.username = $1)
    and ((v.id >= $2::uuid and v.id <= $3::uuid)
        or (v.complete and v.number = $4::bigint and v.index = $5::integer and ($6::bigint is null or v.step = $6)))
order by v.completed_at desc nulls last, v.id desc
limit 2;

-- name: best
-- The complete one of a job ($2) or task ($3) with the least ($5: 1) or the largest (-1) value of a metric ($4).
select v.*
from corral.checkpoints_shown v
where ($1::text is null or v.username = $1)
    and v.complete and v.number = $2 and ($3::integer is null or v.index = $3)
    and jsonb_typeof(v.metrics -> $4::text) = 'number'
order by $5::double precision * (v.metrics ->> $4)::double precision, v.completed_at desc
limit 1;

-- name: metrics
-- The names of all metrics of a job's or task's complete checkpoints.
select distinct jsonb_object_keys(v.metrics) as name
from corral.checkpoints_shown v
where ($1::text is null or v.username = $1)
    and v.complete and v.number = $2 and ($3::integer is null or v.index = $3) and v.metrics is not null
order by name;

-- name: choose
-- The next attempt of a task goes on from this checkpoint of it. The audit says who wanted that.
with chosen as (
    update corral.checkpoints c
    set chosen = c.id = $1
    from corral.checkpoints this
    where this.id = $1 and this.complete and c.task_id = this.task_id and c.chosen <> (c.id = $1)
    returning c.id, c.step, c.chosen)
insert into corral.audit (actor, action, object, details)
select $2, 'checkpoint.use', id::text, jsonb_build_object('step', step) from chosen where chosen
returning object;

-- name: remove
-- The checkpoint goes; answers the content that no checkpoint names any more. The audit says who did it.
with known as (
    select id, step from corral.checkpoints where id = $1
), told as (
    insert into corral.audit (actor, action, object, details)
    select $2, 'checkpoint.remove', id::text, jsonb_build_object('step', step) from known
)
select corral.forget_checkpoints(array[id]) as freed from known;
