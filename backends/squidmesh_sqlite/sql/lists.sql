-- Rows are given as they were written. A status is judged as of now: what waits only for a time that has come is
-- running. Each page is read in the order of one index and stops at its limit.

-- name: newest
SELECT run_id, workflow, version, trigger, key, queue, status, step, error, started_at, due_at, ended_at, parent,
    active_at
FROM runs
WHERE (started_at, run_id) < (:started_at, :run_id) AND started_at >= :since
    AND (:queue IS NULL OR queue = :queue)
    AND (:status IS NULL OR :status = iif(status IN ('waiting', 'retrying') AND due_at <= :now, 'running', status))
ORDER BY started_at DESC, run_id DESC LIMIT :limit;

-- name: of_workflow
SELECT run_id, workflow, version, trigger, key, queue, status, step, error, started_at, due_at, ended_at, parent,
    active_at
FROM runs
WHERE workflow = :workflow
    AND (started_at, run_id) < (:started_at, :run_id) AND started_at >= :since
    AND (:queue IS NULL OR queue = :queue)
    AND (:status IS NULL OR :status = iif(status IN ('waiting', 'retrying') AND due_at <= :now, 'running', status))
ORDER BY started_at DESC, run_id DESC LIMIT :limit;

-- name: of_queue
SELECT run_id, workflow, version, trigger, key, queue, status, step, error, started_at, due_at, ended_at, parent,
    active_at
FROM runs
WHERE queue = :queue
    AND (started_at, run_id) < (:started_at, :run_id) AND started_at >= :since
    AND (:workflow IS NULL OR workflow = :workflow)
    AND (:status IS NULL OR :status = iif(status IN ('waiting', 'retrying') AND due_at <= :now, 'running', status))
ORDER BY started_at DESC, run_id DESC LIMIT :limit;

-- name: of_status
SELECT run_id, workflow, version, trigger, key, queue, status, step, error, started_at, due_at, ended_at, parent,
    active_at
FROM runs
WHERE status = :status AND status <> 'completed'
    AND (started_at, run_id) < (:started_at, :run_id) AND started_at >= :since
    AND iif(status IN ('waiting', 'retrying') AND due_at <= :now, 0, 1)
    AND (:queue IS NULL OR queue = :queue)
    AND (:workflow IS NULL OR workflow = :workflow)
ORDER BY started_at DESC, run_id DESC LIMIT :limit;

-- name: running
-- Each arm names the condition of the partial index as well, or SQLite would walk all runs from the newest.
SELECT run_id, workflow, version, trigger, key, queue, status, step, error, started_at, due_at, ended_at, parent,
    active_at
FROM runs
WHERE status = 'running' AND status <> 'completed'
    AND (started_at, run_id) < (:started_at, :run_id) AND started_at >= :since
    AND (:queue IS NULL OR queue = :queue)
    AND (:workflow IS NULL OR workflow = :workflow)
UNION ALL
SELECT run_id, workflow, version, trigger, key, queue, status, step, error, started_at, due_at, ended_at, parent,
    active_at
FROM runs
WHERE status = 'waiting' AND status <> 'completed' AND due_at <= :now
    AND (started_at, run_id) < (:started_at, :run_id) AND started_at >= :since
    AND (:queue IS NULL OR queue = :queue)
    AND (:workflow IS NULL OR workflow = :workflow)
UNION ALL
SELECT run_id, workflow, version, trigger, key, queue, status, step, error, started_at, due_at, ended_at, parent,
    active_at
FROM runs
WHERE status = 'retrying' AND status <> 'completed' AND due_at <= :now
    AND (started_at, run_id) < (:started_at, :run_id) AND started_at >= :since
    AND (:queue IS NULL OR queue = :queue)
    AND (:workflow IS NULL OR workflow = :workflow)
ORDER BY started_at DESC, run_id DESC LIMIT :limit;

-- name: of_text
-- From its start: what begins with the text sorts from the text up to the text and the last character that there is.
SELECT run_id, workflow, version, trigger, key, queue, status, step, error, started_at, due_at, ended_at, parent,
    active_at
FROM runs
WHERE run_id IN (
        SELECT run_id FROM runs WHERE run_id >= :text AND run_id < :text || char(1114111)
        UNION
        SELECT run_id FROM runs WHERE key >= :text AND key < :text || char(1114111)
    )
    AND (started_at, run_id) < (:started_at, :run_id) AND started_at >= :since
    AND (:queue IS NULL OR queue = :queue)
    AND (:workflow IS NULL OR workflow = :workflow)
    AND (:status IS NULL OR :status = iif(status IN ('waiting', 'retrying') AND due_at <= :now, 'running', status))
ORDER BY started_at DESC, run_id DESC LIMIT :limit;

-- name: active
-- The latest active first. What else is asked for is looked for among these (squidmesh/ports/pages.py).
SELECT run_id, workflow, version, trigger, key, queue, status, step, error, started_at, due_at, ended_at, parent,
    active_at
FROM runs
WHERE (active_at, run_id) < (:place, :run_id)
ORDER BY active_at DESC, run_id DESC LIMIT :limit;

-- name: active_of_text
SELECT run_id, workflow, version, trigger, key, queue, status, step, error, started_at, due_at, ended_at, parent,
    active_at
FROM runs
WHERE run_id IN (
        SELECT run_id FROM runs WHERE run_id >= :text AND run_id < :text || char(1114111)
        UNION
        SELECT run_id FROM runs WHERE key >= :text AND key < :text || char(1114111)
    )
    AND (active_at, run_id) < (:place, :run_id)
ORDER BY active_at DESC, run_id DESC LIMIT :limit;

-- name: run_row
SELECT run_id, workflow, version, trigger, key, queue, status, step, error, started_at, due_at, ended_at, parent,
    active_at
FROM runs WHERE run_id = ?;

-- name: count_runs
-- Those that have ended are tallied. The open ones are counted as they stand, which the index of their status tells: it
-- is asked for each status by its name, and for that of a completed one it has none.
SELECT status, sum(n) FROM (
    SELECT iif(status IN ('waiting', 'retrying') AND due_at <= :now, 'running', status) AS status, count(*) AS n
    FROM runs INDEXED BY runs_by_status
    WHERE status IN ('running', 'waiting', 'retrying', 'paused', 'failing', 'compensating') AND status <> 'completed'
        AND (:workflow IS NULL OR workflow = :workflow)
    GROUP BY 1
    UNION ALL
    SELECT status, runs FROM run_tallies WHERE :workflow IS NULL OR workflow = :workflow
) GROUP BY status HAVING sum(n) > 0;

-- name: open_attempts
SELECT item, run_id, step, attempt, queue, priority, visible_at, generation, fence, owner, claim_hash, lease,
    concurrency_key, concurrency_limit
FROM agenda WHERE item > :after AND item < :below ORDER BY item LIMIT :limit;

-- name: dead_letters
SELECT item, run_id, workflow, step, attempt, queue, generation, fence, cause, lost, lapsed, detail, owner, died_at
FROM dead_letters
WHERE (died_at, item) > (:died_at, :item) AND (:until IS NULL OR died_at <= :until)
    AND (:run_id IS NULL OR run_id = :run_id) AND (:workflow IS NULL OR workflow = :workflow)
    AND (:step IS NULL OR step = :step) AND (:queue IS NULL OR queue = :queue) AND (:cause IS NULL OR cause = :cause)
ORDER BY died_at, item LIMIT :limit;

-- name: dead_letter
SELECT item, run_id, workflow, step, attempt, queue, generation, fence, cause, lost, lapsed, detail, owner, died_at
FROM dead_letters WHERE item = ?;

-- name: count_dead_letters
SELECT count(*) FROM dead_letters;

-- name: paused_queues
SELECT queue, actor, comment, paused_at FROM pauses ORDER BY queue;
