-- name: put
INSERT OR REPLACE INTO registered_workers
    (name, host, pid, version, queues, slots, busy, leases, draining, started_at, seen_at)
VALUES (:name, :host, :pid, :version, :queues, :slots, :busy, :leases, :draining, :started_at, :seen_at);

-- name: forget_stale
DELETE FROM registered_workers WHERE name IN (
    SELECT name FROM registered_workers WHERE seen_at < :stale ORDER BY seen_at, name LIMIT :most
);

-- name: all
SELECT name, host, pid, version, queues, slots, busy, leases, draining, started_at, seen_at
FROM registered_workers WHERE name > :after ORDER BY name LIMIT :limit;

-- name: forget
DELETE FROM registered_workers WHERE name = ?;
