-- name: write
-- A whole batch as one call: who leads, whether it is new, its rows.
select corral.write_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13);

-- name: claim
-- The same in pieces, within a transaction: first who leads, and whether the batch is new,
select corral.claim_batch($1, $2);

-- name: write_piece
-- then some of its rows.
select corral.write_rows($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);
