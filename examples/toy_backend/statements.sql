-- The tables of the toy, and all that it asks of them. Times are microseconds since 1970, lengths are microseconds.

-- name: open
-- WAL and NORMAL: no commit waits for the disk. A power cut may take the newest transactions, and then all that came after
-- them, too: a reconciler's cursor never outlives the items that it vouches for.
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;

-- name: tables
-- A lease stays in its item's row when it ends: until somebody takes over, its holder may still settle or release.
-- No claim id is here, and no request id: only their hashes.
CREATE TABLE IF NOT EXISTS items (
    arrival INTEGER PRIMARY KEY,
    item TEXT NOT NULL UNIQUE,
    queue TEXT NOT NULL,
    step TEXT NOT NULL,
    priority INTEGER NOT NULL,
    concurrency_key TEXT,
    concurrency_limit INTEGER,
    visible_at INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    fence INTEGER NOT NULL,       -- the item's counter: the greatest fence that was granted, or told as a floor
    owner TEXT,                   -- from here on: the last lease, NULL where there was none
    claim_hash TEXT,
    lease_fence INTEGER,
    lease INTEGER,
    expires_at INTEGER,
    request TEXT,
    position INTEGER,
    lapsed INTEGER NOT NULL       -- leases in a row that ended without a word
);
CREATE INDEX IF NOT EXISTS items_in_order ON items (queue, priority, visible_at, arrival);
CREATE INDEX IF NOT EXISTS items_by_request ON items (request) WHERE request IS NOT NULL;
CREATE TABLE IF NOT EXISTS tombstones (
    item TEXT PRIMARY KEY, generation INTEGER NOT NULL, fence INTEGER NOT NULL, until INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS queues (
    queue TEXT PRIMARY KEY,
    paused INTEGER NOT NULL DEFAULT 0,
    turn INTEGER NOT NULL DEFAULT 0,
    sweeper TEXT,
    sweeps_until INTEGER,
    incarnation TEXT,             -- from here on: the reconciler's cursor
    token TEXT,
    position INTEGER
);
-- One row: the name of this life of the memory, its longest lease, and the marker of the mesh that it works for.
CREATE TABLE IF NOT EXISTS life (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    incarnation TEXT NOT NULL,
    longest INTEGER NOT NULL DEFAULT 0,
    mesh TEXT,
    marked TEXT
);

-- name: begin_life
INSERT OR IGNORE INTO life (only, incarnation) VALUES (1, :incarnation);

-- name: life
SELECT incarnation, longest, mesh, marked FROM life;

-- name: mark
UPDATE life SET mesh = :mesh, marked = :incarnation;

-- name: note_lease
UPDATE life SET longest = max(longest, :lease);

-- name: item
SELECT * FROM items WHERE item = :item;

-- name: put
INSERT OR REPLACE INTO items VALUES (
    :arrival, :item, :queue, :step, :priority, :concurrency_key, :concurrency_limit, :visible_at, :generation, :fence,
    :owner, :claim_hash, :lease_fence, :lease, :expires_at, :request, :position, :lapsed
);

-- name: remove
DELETE FROM items WHERE item = :item;

-- name: free
SELECT * FROM items
WHERE queue = :queue AND visible_at <= :now AND (expires_at IS NULL OR expires_at <= :now)
ORDER BY priority, visible_at, arrival;

-- name: live_leases
SELECT concurrency_key, count(*) AS leases FROM items
WHERE queue = :queue AND concurrency_key IS NOT NULL AND expires_at > :now
GROUP BY concurrency_key;

-- name: granted_before
SELECT * FROM items WHERE request = :request AND expires_at > :now ORDER BY position;

-- name: next_due
SELECT min(max(visible_at, coalesce(expires_at, 0))) AS due FROM items
WHERE queue = :queue AND max(visible_at, coalesce(expires_at, 0)) > :now;

-- name: tombstone
SELECT generation, fence FROM tombstones WHERE item = :item AND until > :now;

-- name: forget_tombstones
DELETE FROM tombstones WHERE until <= :now;

-- name: bury
INSERT OR REPLACE INTO tombstones VALUES (:item, :generation, :fence, :until);

-- name: page
SELECT * FROM items WHERE queue = :queue AND item > :after ORDER BY item LIMIT :limit;

-- name: stats
SELECT
    count(*) AS held,
    count(*) FILTER (WHERE expires_at > :now) AS leased,
    count(*) FILTER (WHERE visible_at <= :now AND (expires_at IS NULL OR expires_at <= :now)) AS ready,
    min(visible_at) FILTER (WHERE visible_at <= :now AND (expires_at IS NULL OR expires_at <= :now)) AS oldest
FROM items WHERE queue = :queue;

-- name: queues_with_items
SELECT DISTINCT items.queue, coalesce(queues.turn, 0) AS turn
FROM items LEFT JOIN queues ON queues.queue = items.queue
WHERE coalesce(queues.paused, 0) = 0
ORDER BY turn, items.queue;

-- name: note_queue
INSERT OR IGNORE INTO queues (queue) VALUES (:queue);

-- name: queue
SELECT * FROM queues WHERE queue = :queue;

-- name: take_turn
UPDATE queues SET turn = (SELECT max(turn) + 1 FROM queues) WHERE queue = :queue;

-- name: set_paused
UPDATE queues SET paused = :paused WHERE queue = :queue;

-- name: paused
SELECT queue FROM queues WHERE paused = 1;

-- name: set_sweeper
UPDATE queues SET sweeper = :owner, sweeps_until = :until WHERE queue = :queue;

-- name: set_cursor
UPDATE queues SET incarnation = :incarnation, token = :token, position = :position WHERE queue = :queue;
