-- name: priorities
-- Hops from one priority that the queue has to the next: one seek each, however many items there are.
WITH RECURSIVE found (priority) AS (
    SELECT min(priority) FROM agenda WHERE queue = :queue AND aside = 0
    UNION ALL
    SELECT (SELECT min(priority) FROM agenda WHERE queue = :queue AND aside = 0 AND priority > found.priority)
    FROM found WHERE found.priority IS NOT NULL
)
SELECT priority FROM found WHERE priority IS NOT NULL;

-- name: head
-- The visible items of one priority that no live lease holds, in order, after those that are chosen already. Walks past
-- the held ones, and nothing else.
SELECT agenda.item, agenda.queue, agenda.generation, max(agenda.fence, ifnull(leases.granted, 0)), agenda.visible_at,
    iif(leases.owner IS NOT NULL AND leases.generation = agenda.generation, leases.lapsed + 1, 0),
    agenda.concurrency_key, agenda.concurrency_limit
FROM agenda LEFT JOIN leases ON leases.item = agenda.item
WHERE agenda.queue = :queue AND agenda.aside = 0 AND agenda.priority = :priority AND agenda.visible_at <= :now
    AND (leases.item IS NULL OR leases.expires_at <= :now OR leases.generation < agenda.generation)
ORDER BY agenda.visible_at, agenda.arrival
LIMIT :limit OFFSET :chosen;

-- name: head_without
-- The same for a worker that lacks the functions of some steps: walks past their items too.
SELECT agenda.item, agenda.queue, agenda.generation, max(agenda.fence, ifnull(leases.granted, 0)), agenda.visible_at,
    iif(leases.owner IS NOT NULL AND leases.generation = agenda.generation, leases.lapsed + 1, 0),
    agenda.concurrency_key, agenda.concurrency_limit
FROM agenda LEFT JOIN leases ON leases.item = agenda.item
WHERE agenda.queue = :queue AND agenda.aside = 0 AND agenda.priority = :priority AND agenda.visible_at <= :now
    AND agenda.step NOT IN (SELECT value FROM json_each(:skip))
    AND (leases.item IS NULL OR leases.expires_at <= :now OR leases.generation < agenda.generation)
ORDER BY agenda.visible_at, agenda.arrival
LIMIT :limit OFFSET :chosen;

-- name: head_item
SELECT agenda.item, agenda.queue, agenda.generation, max(agenda.fence, ifnull(leases.granted, 0)), agenda.visible_at,
    iif(leases.owner IS NOT NULL AND leases.generation = agenda.generation, leases.lapsed + 1, 0),
    agenda.concurrency_key, agenda.concurrency_limit
FROM agenda LEFT JOIN leases ON leases.item = agenda.item
WHERE agenda.item = :item AND agenda.visible_at <= :now
    AND (leases.item IS NULL OR leases.expires_at <= :now OR leases.generation < agenda.generation);

-- name: repeated
-- What the same request was granted before, and still holds.
SELECT item, queue, generation, fence, position, lease, lapsed
FROM leases WHERE owner = :owner AND request_hash = :request_hash AND expires_at > :now ORDER BY position;

-- name: grant
INSERT OR REPLACE INTO leases
    (item, queue, generation, fence, granted, owner, claim_hash, request_hash, position, lease, expires_at, lapsed,
    concurrency_key)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: count_places
-- Live leases of a concurrency key, up to a limit.
SELECT count(*) FROM (
    SELECT 1 FROM leases
    WHERE queue = :queue AND concurrency_key = :concurrency_key AND expires_at > :now LIMIT :limit
);

-- name: has_ended
SELECT count(*) FROM (
    SELECT 1 FROM leases WHERE queue = :queue AND concurrency_key IS NOT NULL AND expires_at <= :now LIMIT 1
);

-- name: count_no_more
-- Leases whose time is over leave their places. (A trigger lets the next try.)
UPDATE leases SET concurrency_key = NULL WHERE queue = :queue AND concurrency_key IS NOT NULL AND expires_at <= :now;

-- name: put_aside
UPDATE agenda SET aside = 1 WHERE item = ?;

-- name: take_back
UPDATE agenda SET aside = 0 WHERE item = ? AND aside = 1;

-- name: fill_places
-- Lets the first of those that wait for a concurrency key try, where that one has room.
UPDATE agenda SET aside = 0 WHERE concurrency_limit > :taken AND item = (
    SELECT item FROM agenda
    WHERE queue = :queue AND concurrency_key = :concurrency_key AND aside = 1
    ORDER BY priority, visible_at, arrival LIMIT 1
);

-- name: oldest_aside
SELECT min(visible_at) FROM agenda WHERE queue = :queue AND aside = 1;

-- name: next_visible
SELECT min(visible_at) FROM agenda WHERE queue = :queue AND aside = 0 AND priority = :priority AND visible_at > :now;

-- name: next_end
SELECT min(expires_at) FROM leases WHERE queue = :queue AND expires_at > :now;

-- name: beat
UPDATE leases SET expires_at = :now + leases.lease
FROM json_each(:claims) AS claim
WHERE leases.item = json_extract(claim.value, '$[0]') AND leases.claim_hash = json_extract(claim.value, '$[1]')
    AND leases.fence = json_extract(claim.value, '$[2]') AND leases.expires_at > :now
    AND leases.generation >= (SELECT generation FROM agenda WHERE agenda.item = leases.item)
RETURNING item, claim_hash, fence;

-- name: known
SELECT item FROM agenda WHERE item IN (SELECT value FROM json_each(?));

-- name: settle
DELETE FROM leases WHERE item = ? AND claim_hash = ? AND fence = ?;

-- name: forget
DELETE FROM leases WHERE item = ?;

-- name: release
-- The row stays, for its counter: the next grant overwrites it, and the end of the attempt removes it.
UPDATE leases SET granted = max(granted, ?), owner = NULL, claim_hash = NULL, request_hash = NULL, expires_at = ?,
    concurrency_key = NULL
WHERE item = ? AND claim_hash = ? AND fence = ?;

-- name: release_as
UPDATE leases SET granted = max(granted, :floor, :fence), generation = max(generation, :generation), fence = :fence,
    owner = :owner, claim_hash = :claim_hash, request_hash = NULL, lease = :lease, expires_at = :expires_at, lapsed = 0,
    concurrency_key = (SELECT concurrency_key FROM agenda WHERE agenda.item = leases.item)
WHERE item = :item AND claim_hash = :released_hash AND fence = :released_fence;

-- name: pass_on
-- The lease of an attempt that has ended becomes that of the next one, which the same holder has claimed: in place of a
-- DELETE and an INSERT. Only what the agenda holds can be leased. What is leased under the new name already is left alone.
UPDATE OR IGNORE leases SET item = ?, generation = ?, fence = ?, granted = ?, owner = ?, claim_hash = ?,
    request_hash = NULL, position = NULL, lease = ?, expires_at = ?, lapsed = 0
WHERE item = ? AND queue = ? AND concurrency_key IS NULL AND EXISTS (
    SELECT 1 FROM agenda WHERE agenda.item = ? AND agenda.queue = leases.queue AND agenda.concurrency_key IS NULL
);

-- name: hand_over
-- Only what the agenda holds can be leased; only something newer than the known lease takes its place.
INSERT INTO leases
    (item, queue, generation, fence, granted, owner, claim_hash, request_hash, position, lease, expires_at,
    concurrency_key)
SELECT item, queue, :generation, :fence, :fence, :owner, :claim_hash, NULL, NULL, :lease, :expires_at, concurrency_key
FROM agenda WHERE item = :item
ON CONFLICT (item) DO UPDATE SET
    generation = excluded.generation, fence = excluded.fence, granted = excluded.granted, owner = excluded.owner,
    claim_hash = excluded.claim_hash, request_hash = NULL, lease = excluded.lease, expires_at = excluded.expires_at,
    lapsed = 0, concurrency_key = excluded.concurrency_key
WHERE (excluded.generation, excluded.fence) > (leases.generation, leases.granted);

-- name: items
-- In order of the table itself (the + keeps SQLite from sorting the whole queue for each page).
SELECT item, queue, priority, generation, fence, visible_at, owner, claim_hash, lease, concurrency_key, concurrency_limit
FROM agenda WHERE item > :after AND +queue = :queue ORDER BY item LIMIT :limit;

-- name: count_items
SELECT count(*), count(*) FILTER (WHERE visible_at <= :now) FROM agenda WHERE queue = :queue;

-- name: count_leased
-- Live leases with a holder; and the visible items that a lease keeps from being claimed.
SELECT count(*) FILTER (WHERE leases.owner IS NOT NULL), count(*) FILTER (WHERE agenda.visible_at <= :now)
FROM leases CROSS JOIN agenda ON agenda.item = leases.item AND agenda.generation <= leases.generation
WHERE leases.queue = :queue AND leases.expires_at > :now;

-- name: queue
-- The next queue that has anything.
SELECT min(queue) FROM agenda WHERE queue BETWEEN :low AND :high;

-- name: paused
-- The journal's own row: a claim reads it in its own transaction.
SELECT queue FROM pauses;
