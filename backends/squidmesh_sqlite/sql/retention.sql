-- name: ended
SELECT run_id, workflow, version, trigger, key, queue, status, step, error, started_at, due_at, ended_at, parent,
    active_at
FROM runs
WHERE ended_at IS NOT NULL AND parent IS NULL AND ended_at <= :until AND (ended_at, run_id) > (:ended_at, :run_id)
ORDER BY ended_at, run_id LIMIT :limit;

-- name: forget_entries
DELETE FROM entries WHERE thread = ?;

-- name: forget_checkpoint
DELETE FROM checkpoints WHERE thread = ?;

-- name: forget_run
DELETE FROM runs WHERE run_id = ?;

-- name: forget_leases
-- The items of one run are those that begin with its id and a slash; the character after a slash is 0.
DELETE FROM leases WHERE item > ?1 || '/' AND item < ?1 || '0';

-- name: forget_attempts
DELETE FROM agenda WHERE item > ?1 || '/' AND item < ?1 || '0';

-- name: forget_dead_letters
DELETE FROM dead_letters WHERE item > ?1 || '/' AND item < ?1 || '0';

-- name: forget_timer
DELETE FROM timers WHERE timer = ? AND run_id = ?;

-- name: put_tombstone
INSERT OR REPLACE INTO tombstones (run_id, workflow, status, ended_at, revision) VALUES (?, ?, ?, ?, ?);

-- name: read_tombstone
SELECT run_id, workflow, status, ended_at, revision FROM tombstones WHERE run_id = ?;

-- name: pruned_at
SELECT run_id, revision FROM tombstones WHERE run_id IN (SELECT value FROM json_each(?));
