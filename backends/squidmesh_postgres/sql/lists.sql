-- Rows are given as they were written. A status is judged as of now: what waits only for a time that has come is
-- running. Each page is read in the order of one index and stops at its limit.
--
-- What is asked for stands in front of the place, in the comparison and in the order, so that only its own index gives
-- both: with "queue = …" it could be planned as a walk through the newest of all, for a queue that most runs are in.

-- name: newest
SELECT run_id, workflow, version, trigger, key, queue, status, step, error, started_at, due_at, ended_at, parent,
    greatest(active_at, ended_at, started_at) AS active_at
FROM squidmesh.runs
WHERE (started_at, run_id) < (%(started_at)s, %(run_id)s) AND started_at >= %(since)s
    AND (%(queue)s::text IS NULL OR queue = %(queue)s)
    AND (%(status)s::text IS NULL OR %(status)s = CASE
        WHEN status IN ('waiting', 'retrying') AND due_at <= (SELECT squidmesh.moment()) THEN 'running' ELSE status END)
ORDER BY started_at DESC, run_id DESC LIMIT %(limit)s;

-- name: of_workflow
SELECT run_id, workflow, version, trigger, key, queue, status, step, error, started_at, due_at, ended_at, parent,
    greatest(active_at, ended_at, started_at) AS active_at
FROM squidmesh.runs
WHERE (workflow, started_at, run_id) < (%(workflow)s::text, %(started_at)s, %(run_id)s)
    AND (workflow, started_at) >= (%(workflow)s::text, %(since)s)
    AND (%(queue)s::text IS NULL OR queue = %(queue)s)
    AND (%(status)s::text IS NULL OR %(status)s = CASE
        WHEN status IN ('waiting', 'retrying') AND due_at <= (SELECT squidmesh.moment()) THEN 'running' ELSE status END)
ORDER BY workflow DESC, started_at DESC, run_id DESC LIMIT %(limit)s;

-- name: of_queue
SELECT run_id, workflow, version, trigger, key, queue, status, step, error, started_at, due_at, ended_at, parent,
    greatest(active_at, ended_at, started_at) AS active_at
FROM squidmesh.runs
WHERE (queue, started_at, run_id) < (%(queue)s::text, %(started_at)s, %(run_id)s)
    AND (queue, started_at) >= (%(queue)s::text, %(since)s)
    AND (%(workflow)s::text IS NULL OR workflow = %(workflow)s)
    AND (%(status)s::text IS NULL OR %(status)s = CASE
        WHEN status IN ('waiting', 'retrying') AND due_at <= (SELECT squidmesh.moment()) THEN 'running' ELSE status END)
ORDER BY queue DESC, started_at DESC, run_id DESC LIMIT %(limit)s;

-- name: of_status
SELECT run_id, workflow, version, trigger, key, queue, status, step, error, started_at, due_at, ended_at, parent,
    greatest(active_at, ended_at, started_at) AS active_at
FROM squidmesh.runs
WHERE (status, started_at, run_id) < (%(status)s::text, %(started_at)s, %(run_id)s)
    AND (status, started_at) >= (%(status)s::text, %(since)s) AND status <> 'completed'
    AND (status IN ('waiting', 'retrying') AND due_at <= (SELECT squidmesh.moment())) IS NOT TRUE
    AND (%(queue)s::text IS NULL OR queue = %(queue)s)
    AND (%(workflow)s::text IS NULL OR workflow = %(workflow)s)
ORDER BY status DESC, started_at DESC, run_id DESC LIMIT %(limit)s;

-- name: running
-- Those whose time has come are few, for workers take them up: they are looked at by their time, however many wait for
-- theirs. Only where more than a thousand were left lying are those that wait walked through, the newest first.
WITH due AS MATERIALIZED (
    SELECT * FROM squidmesh.runs
    WHERE status IN ('waiting', 'retrying') AND due_at IS NOT NULL AND due_at <= (SELECT squidmesh.moment())
    ORDER BY due_at LIMIT 1001
)
SELECT run_id, workflow, version, trigger, key, queue, status, step, error, started_at, due_at, ended_at, parent,
    greatest(active_at, ended_at, started_at) AS active_at
FROM (
    (
        SELECT * FROM squidmesh.runs
        WHERE (status, started_at, run_id) < ('running', %(started_at)s, %(run_id)s)
            AND (status, started_at) >= ('running', %(since)s) AND status <> 'completed'
            AND (%(queue)s::text IS NULL OR queue = %(queue)s)
            AND (%(workflow)s::text IS NULL OR workflow = %(workflow)s)
        ORDER BY status DESC, started_at DESC, run_id DESC LIMIT %(limit)s
    )
    UNION ALL (
        SELECT * FROM due
        WHERE (SELECT count(*) FROM due) <= 1000
            AND (started_at, run_id) < (%(started_at)s, %(run_id)s) AND started_at >= %(since)s
            AND (%(queue)s::text IS NULL OR queue = %(queue)s)
            AND (%(workflow)s::text IS NULL OR workflow = %(workflow)s)
    )
    UNION ALL (
        SELECT found.* FROM (VALUES ('waiting'), ('retrying')) AS arm (of_status) CROSS JOIN LATERAL (
            SELECT * FROM squidmesh.runs
            WHERE (status, started_at, run_id) < (arm.of_status, %(started_at)s, %(run_id)s)
                AND (status, started_at) >= (arm.of_status, %(since)s) AND status <> 'completed'
                AND due_at <= (SELECT squidmesh.moment())
                AND (%(queue)s::text IS NULL OR queue = %(queue)s)
                AND (%(workflow)s::text IS NULL OR workflow = %(workflow)s)
            ORDER BY status DESC, started_at DESC, run_id DESC LIMIT %(limit)s
        ) AS found
        WHERE (SELECT count(*) FROM due) > 1000
    )
) AS found
ORDER BY started_at DESC, run_id DESC LIMIT %(limit)s;

-- name: of_text
-- From its start: what begins with the text sorts from the text up to the text and the last character that there is.
-- First those rows, and then their order: or it could be planned as a walk through all runs in that order.
WITH named AS MATERIALIZED (
    SELECT * FROM squidmesh.runs
    WHERE run_id = ANY (ARRAY(
        SELECT run_id FROM squidmesh.runs WHERE run_id >= %(text)s AND run_id < %(text)s || chr(1114111)
        UNION
        SELECT run_id FROM squidmesh.runs WHERE key >= %(text)s AND key < %(text)s || chr(1114111)
    ))
)
SELECT run_id, workflow, version, trigger, key, queue, status, step, error, started_at, due_at, ended_at, parent,
    greatest(active_at, ended_at, started_at) AS active_at
FROM named
WHERE (started_at, run_id) < (%(started_at)s, %(run_id)s) AND started_at >= %(since)s
    AND (%(queue)s::text IS NULL OR queue = %(queue)s)
    AND (%(workflow)s::text IS NULL OR workflow = %(workflow)s)
    AND (%(status)s::text IS NULL OR %(status)s = CASE
        WHEN status IN ('waiting', 'retrying') AND due_at <= (SELECT squidmesh.moment()) THEN 'running' ELSE status END)
ORDER BY started_at DESC, run_id DESC LIMIT %(limit)s;

-- name: active
-- The latest active first. What else is asked for is looked for among these (squidmesh/ports/pages.py).
SELECT run_id, workflow, version, trigger, key, queue, status, step, error, started_at, due_at, ended_at, parent,
    greatest(active_at, ended_at, started_at) AS active_at
FROM squidmesh.runs
WHERE (greatest(active_at, ended_at, started_at), run_id) < (%(place)s::bigint, %(run_id)s)
ORDER BY greatest(active_at, ended_at, started_at) DESC, run_id DESC LIMIT %(limit)s;

-- name: active_of_text
WITH named AS MATERIALIZED (
    SELECT * FROM squidmesh.runs
    WHERE run_id = ANY (ARRAY(
        SELECT run_id FROM squidmesh.runs WHERE run_id >= %(text)s AND run_id < %(text)s || chr(1114111)
        UNION
        SELECT run_id FROM squidmesh.runs WHERE key >= %(text)s AND key < %(text)s || chr(1114111)
    ))
)
SELECT run_id, workflow, version, trigger, key, queue, status, step, error, started_at, due_at, ended_at, parent,
    greatest(active_at, ended_at, started_at) AS active_at
FROM named
WHERE (greatest(active_at, ended_at, started_at), run_id) < (%(place)s::bigint, %(run_id)s)
ORDER BY greatest(active_at, ended_at, started_at) DESC, run_id DESC LIMIT %(limit)s;

-- name: run_row
SELECT run_id, workflow, version, trigger, key, queue, status, step, error, started_at, due_at, ended_at, parent,
    greatest(active_at, ended_at, started_at) AS active_at
FROM squidmesh.runs WHERE run_id = %(run_id)s;

-- name: count_runs
-- The tallies say how many have which status; those whose time has come meanwhile count as running.
WITH tallied AS (
    SELECT status, sum(runs)::bigint AS n FROM squidmesh.run_tallies
    WHERE %(workflow)s::text IS NULL OR workflow = %(workflow)s GROUP BY status
),
due AS (
    SELECT status, count(*) AS n FROM squidmesh.runs
    WHERE status IN ('waiting', 'retrying') AND due_at IS NOT NULL AND due_at <= (SELECT squidmesh.moment())
        AND (%(workflow)s::text IS NULL OR workflow = %(workflow)s)
    GROUP BY status
)
SELECT status, sum(n)::bigint FROM (
    SELECT status, n FROM tallied
    UNION ALL SELECT status, -n FROM due
    UNION ALL SELECT 'running', n FROM due
) AS all_of_them GROUP BY status HAVING sum(n) > 0;

-- name: open_attempts
SELECT item, run_id, step, attempt, queue, priority, visible_at, generation, fence, owner, claim_hash, lease,
    concurrency_key, concurrency_limit
FROM squidmesh.agenda WHERE item > %(after)s AND item < %(below)s ORDER BY item LIMIT %(limit)s;

-- name: dead_letters
SELECT item, run_id, workflow, step, attempt, queue, generation, fence, cause, lost, lapsed, detail, owner, died_at
FROM squidmesh.dead_letters
WHERE (died_at, item) > (%(died_at)s, %(item)s) AND died_at >= '-9223372036854775808'::bigint
    AND (%(until)s::bigint IS NULL OR died_at <= %(until)s)
    AND (%(run_id)s::text IS NULL OR run_id = %(run_id)s)
    AND (%(workflow)s::text IS NULL OR workflow = %(workflow)s)
    AND (%(step)s::text IS NULL OR step = %(step)s)
    AND (%(queue)s::text IS NULL OR queue = %(queue)s)
    AND (%(cause)s::text IS NULL OR cause = %(cause)s)
ORDER BY died_at, item LIMIT %(limit)s;

-- name: dead_letter
SELECT item, run_id, workflow, step, attempt, queue, generation, fence, cause, lost, lapsed, detail, owner, died_at
FROM squidmesh.dead_letters WHERE item = %(item)s;

-- name: count_dead_letters
SELECT count(*) FROM squidmesh.dead_letters;

-- name: paused_queues
SELECT queue, actor, comment, paused_at FROM squidmesh.pauses ORDER BY queue;
