-- More runs, as a SQLite journal holds them: :runs that have ended, over the month before. What nobody folds is filled
-- with bytes of the usual length.

-- name: numbers
CREATE TEMPORARY TABLE filled AS
WITH RECURSIVE numbered (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbered WHERE i < :runs)
SELECT i, :now - (:runs - i + 1) * (2592000000000 / (:runs + 1)) AS started_at,
    -- A UUID of version 7 sorts by its time: so does this.
    printf('%012x', (:now - (:runs - i + 1) * (2592000000000 / (:runs + 1))) / 1000) || printf('7%019x', i) AS hex
FROM numbered;

-- name: runs
INSERT INTO runs (run_id, workflow, version, trigger, key, queue, status, step, error, started_at, due_at, ended_at,
    active_at)
SELECT substr(hex, 1, 8) || '-' || substr(hex, 9, 4) || '-' || substr(hex, 13, 4) || '-' || substr(hex, 17, 4) || '-'
        || substr(hex, 21),
    CASE WHEN i % 1000 = 0 THEN 'Rare' ELSE 'Workflow' || i % 20 END, '1', 'begin', printf('order-%09d', i),
    CASE WHEN i % 1000 = 0 THEN 'rare' WHEN i % 10 < 7 THEN 'orders' ELSE 'letters-' || i % 3 END,
    CASE WHEN i % 100 = 7 THEN 'failed' WHEN i % 500 = 9 THEN 'cancelled' ELSE 'completed' END, NULL,
    CASE WHEN i % 100 = 7 THEN 'step_failed' END, started_at, NULL, started_at + 1000000,
    started_at + 1000000
FROM filled;

-- name: entries
INSERT INTO entries (thread, revision, entry_id, body)
SELECT run_id, revision, substr(run_id, 1, 24) || printf('%012x', revision), zeroblob(length)
FROM runs, (SELECT 1 AS revision, 500 AS length UNION ALL SELECT 2, 220 UNION ALL SELECT 3, 430)
WHERE runs.trigger = 'begin';

-- name: drop
DROP TABLE filled;
