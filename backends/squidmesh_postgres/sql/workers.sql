-- name: put
INSERT INTO squidmesh.registered_workers
    (name, host, pid, version, queues, slots, busy, leases, draining, started_at, seen_at)
VALUES (
    %(name)s, %(host)s, %(pid)s, %(version)s, %(queues)s, %(slots)s, %(busy)s, %(leases)s, %(draining)s, %(started_at)s,
    squidmesh.moment()
)
ON CONFLICT (name) DO UPDATE SET
    host = excluded.host, pid = excluded.pid, version = excluded.version, queues = excluded.queues,
    slots = excluded.slots, busy = excluded.busy, leases = excluded.leases, draining = excluded.draining,
    started_at = excluded.started_at, seen_at = excluded.seen_at;

-- Passes over what others are about to take away.
-- name: forget_stale
DELETE FROM squidmesh.registered_workers WHERE name = ANY (ARRAY(
    SELECT name FROM squidmesh.registered_workers
    WHERE seen_at < %(stale)s ORDER BY seen_at, name LIMIT %(most)s FOR UPDATE SKIP LOCKED
));

-- name: all
SELECT name, host, pid, version, queues, slots, busy, leases, draining, started_at, seen_at
FROM squidmesh.registered_workers WHERE name > %(after)s ORDER BY name LIMIT %(limit)s;

-- name: forget
DELETE FROM squidmesh.registered_workers
WHERE name = ANY (ARRAY(SELECT json_array_elements_text(%(names)s::json)));
