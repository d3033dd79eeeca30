-- name: queues
-- Hops from one queue to the next: one seek each, however many attempts there are.
WITH RECURSIVE found (queue) AS (
    SELECT min(queue) FROM agenda
    UNION ALL
    SELECT (SELECT min(queue) FROM agenda WHERE queue > found.queue) FROM found WHERE found.queue IS NOT NULL
)
SELECT queue FROM found WHERE queue IS NOT NULL;

-- name: priorities
-- Hops from one priority that the queue has, aside or not, to the next: one seek each, however many items there are.
WITH RECURSIVE found (priority) AS (
    SELECT min(priority) FROM agenda WHERE queue = :queue AND aside = :aside
    UNION ALL
    SELECT (SELECT min(priority) FROM agenda WHERE queue = :queue AND aside = :aside AND priority > found.priority)
    FROM found WHERE found.priority IS NOT NULL
)
SELECT priority FROM found WHERE priority IS NOT NULL;

-- name: of_queue
-- In the order of claims, so that one index serves both. What is put aside stands by itself.
SELECT item, run_id, step, attempt, queue, priority, visible_at, generation, fence, owner, claim_hash, lease,
    concurrency_key, concurrency_limit, arrival
FROM agenda
WHERE queue = :queue AND aside = :aside AND priority = :priority AND visible_at <= :until AND (visible_at, arrival) > (:since, :arrival)
ORDER BY visible_at, arrival LIMIT :limit;

-- name: of_items
SELECT item, run_id, step, attempt, queue, priority, visible_at, generation, fence, owner, claim_hash, lease,
    concurrency_key, concurrency_limit
FROM agenda WHERE item IN (SELECT value FROM json_each(?));

-- name: track
INSERT OR IGNORE INTO changes (one, position) VALUES (1, 1);

-- name: position
SELECT position FROM changes;

-- name: changed
SELECT item, run_id, step, attempt, queue, priority, visible_at, generation, fence, owner, claim_hash, lease,
    concurrency_key, concurrency_limit, writer
FROM agenda
WHERE queue = :queue AND writer IS NOT NULL AND (writer, item) > (:writer, :item)
ORDER BY writer, item LIMIT :limit;

-- name: put_token
INSERT INTO tokens (queue, number, token)
VALUES (:queue, 1 + ifnull((SELECT max(number) FROM tokens WHERE queue = :queue), 0), :token);

-- name: forget_tokens
DELETE FROM tokens WHERE queue = :queue AND number <= (SELECT max(number) FROM tokens WHERE queue = :queue) - :kept;

-- name: has_token
SELECT count(*) FROM tokens WHERE queue = :queue AND token = :token;
