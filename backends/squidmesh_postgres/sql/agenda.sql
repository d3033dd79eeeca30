-- name: queues
-- Hops from one queue to the next: one seek each, however many attempts there are. What is in order, and what is aside.
WITH RECURSIVE in_order (queue) AS (
    (SELECT queue FROM squidmesh.agenda WHERE aside_until IS NULL ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (
        SELECT queue FROM squidmesh.agenda WHERE aside_until IS NULL AND queue > in_order.queue ORDER BY queue LIMIT 1
    ) FROM in_order WHERE in_order.queue IS NOT NULL
),
aside (queue) AS (
    (SELECT queue FROM squidmesh.agenda WHERE aside_until IS NOT NULL ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (
        SELECT queue FROM squidmesh.agenda WHERE aside_until IS NOT NULL AND queue > aside.queue ORDER BY queue LIMIT 1
    ) FROM aside WHERE aside.queue IS NOT NULL
)
SELECT queue FROM in_order WHERE queue IS NOT NULL UNION SELECT queue FROM aside WHERE queue IS NOT NULL ORDER BY queue;

-- name: in_order
-- In the order of claims, so that one index serves both: on from the place of the page before.
SELECT found.* FROM generate_series(%(priority)s::integer, 9) AS of (priority) CROSS JOIN LATERAL (
    SELECT item, run_id, step, attempt, queue, priority, visible_at, generation, fence, owner, claim_hash, lease,
        concurrency_key, concurrency_limit, arrival
    FROM squidmesh.agenda
    WHERE queue = %(queue)s AND aside_until IS NULL AND priority = of.priority AND visible_at <= %(until)s
        AND (visible_at, arrival) > (
            CASE WHEN of.priority = %(priority)s THEN %(visible_at)s::bigint ELSE %(since)s::bigint END,
            CASE WHEN of.priority = %(priority)s THEN %(arrival)s::bigint ELSE -1 END
        )
    ORDER BY visible_at, arrival LIMIT %(limit)s
) AS found
LIMIT %(limit)s;

-- name: aside
SELECT item, run_id, step, attempt, queue, priority, visible_at, generation, fence, owner, claim_hash, lease,
    concurrency_key, concurrency_limit
FROM squidmesh.agenda
WHERE queue = %(queue)s AND aside_until IS NOT NULL AND visible_at BETWEEN %(since)s AND %(until)s AND item > %(item)s
ORDER BY item LIMIT %(limit)s;

-- name: of_items
SELECT item, run_id, step, attempt, queue, priority, visible_at, generation, fence, owner, claim_hash, lease,
    concurrency_key, concurrency_limit
FROM squidmesh.agenda WHERE item = ANY (ARRAY(SELECT json_array_elements_text(%(items)s::json)));

-- name: is_tracked
SELECT EXISTS (SELECT FROM squidmesh.changes);

-- name: lock_changes
-- Waits for every commit that has not seen the row, and lets none begin: the next one sees it.
LOCK TABLE squidmesh.changes IN ACCESS EXCLUSIVE MODE;

-- name: track
INSERT INTO squidmesh.changes (one) VALUES (1) ON CONFLICT (one) DO NOTHING;

-- name: position
-- No transaction that is still open has a lower id.
SELECT CASE
    WHEN EXISTS (SELECT FROM squidmesh.changes) THEN pg_snapshot_xmin(pg_current_snapshot())::text::bigint ELSE 0 END;

-- name: changed
SELECT item, run_id, step, attempt, queue, priority, visible_at, generation, fence, owner, claim_hash, lease,
    concurrency_key, concurrency_limit, writer::text::bigint
FROM squidmesh.agenda
WHERE queue = %(queue)s AND writer IS NOT NULL AND (writer, item) > (%(writer)s::text::xid8, %(item)s)
ORDER BY writer, item LIMIT %(limit)s;

-- name: put_token
INSERT INTO squidmesh.tokens (queue, number, token) VALUES (%(queue)s, nextval('squidmesh.arrivals'), %(token)s);

-- name: forget_tokens
DELETE FROM squidmesh.tokens WHERE queue = %(queue)s AND number <= (
    SELECT number FROM squidmesh.tokens WHERE queue = %(queue)s ORDER BY number DESC OFFSET %(kept)s LIMIT 1
);

-- name: has_token
SELECT EXISTS (SELECT FROM squidmesh.tokens WHERE queue = %(queue)s AND token = %(token)s);
