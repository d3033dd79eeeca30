-- name: ended
SELECT run_id, workflow, version, trigger, key, queue, status, step, error, started_at, due_at, ended_at, parent,
    greatest(active_at, ended_at, started_at) AS active_at
FROM squidmesh.runs
WHERE ended_at IS NOT NULL AND parent IS NULL AND ended_at <= %(until)s
    AND (ended_at, run_id) > (%(ended_at)s, %(run_id)s)
ORDER BY ended_at, run_id LIMIT %(limit)s;

-- name: tombstone
SELECT run_id, workflow, status, ended_at, revision FROM squidmesh.tombstones WHERE run_id = %(run_id)s;

-- name: prune
-- All of them, or none: where one stands at another revision, nothing is deleted, and it is named. The thread of a run
-- that leaves a tombstone stays, below zero: so its name is taken, and costs nobody a look.
--
-- The items of a run are those that begin with its id and a slash; the character after a slash is 0.
WITH given AS MATERIALIZED (
    SELECT * FROM ROWS FROM (
        json_to_recordset(%(runs)s::json) AS (thread text, revision integer, buried boolean)
    ) WITH ORDINALITY AS given (thread, revision, buried, place)
),
held AS MATERIALIZED (
    SELECT thread, revision FROM squidmesh.threads
    WHERE thread = ANY (ARRAY(SELECT thread FROM given)) ORDER BY thread FOR UPDATE
),
refused AS MATERIALIZED (
    SELECT given.thread, greatest(coalesce(held.revision, 0), 0) AS revision, given.place
    FROM given LEFT JOIN held ON held.thread = given.thread
    WHERE held.revision IS DISTINCT FROM given.revision
),
gone AS MATERIALIZED (SELECT thread, buried FROM given WHERE NOT EXISTS (SELECT FROM refused)),
no_entries AS (DELETE FROM squidmesh.entries WHERE thread = ANY (ARRAY(SELECT thread FROM gone))),
no_checkpoints AS (DELETE FROM squidmesh.checkpoints WHERE thread = ANY (ARRAY(SELECT thread FROM gone))),
no_runs AS (
    DELETE FROM squidmesh.runs WHERE run_id = ANY (ARRAY(SELECT thread FROM gone)) RETURNING workflow, status
),
tallied AS (
    INSERT INTO squidmesh.run_tallies (workflow, status, runs)
    SELECT workflow, status, -count(*) FROM no_runs GROUP BY workflow, status
),
no_attempts AS (
    DELETE FROM squidmesh.agenda WHERE item = ANY (ARRAY(
        SELECT found.item FROM gone CROSS JOIN LATERAL (
            SELECT item FROM squidmesh.agenda WHERE item > gone.thread || '/' AND item < gone.thread || '0' OFFSET 0
        ) AS found
    ))
    RETURNING item
),
no_leases AS (
    DELETE FROM squidmesh.leases WHERE (SELECT count(*) FROM no_attempts) >= 0 AND item = ANY (ARRAY(
        SELECT found.item FROM gone CROSS JOIN LATERAL (
            SELECT item FROM squidmesh.leases WHERE item > gone.thread || '/' AND item < gone.thread || '0' OFFSET 0
        ) AS found
    ))
),
no_dead_letters AS (
    DELETE FROM squidmesh.dead_letters WHERE item = ANY (ARRAY(
        SELECT found.item FROM gone CROSS JOIN LATERAL (
            SELECT item FROM squidmesh.dead_letters
            WHERE item > gone.thread || '/' AND item < gone.thread || '0' OFFSET 0
        ) AS found
    ))
),
no_timers AS (
    DELETE FROM squidmesh.timers
    WHERE timer = ANY (ARRAY(
            SELECT timer FROM json_to_recordset(%(timers)s::json) AS (timer text) WHERE EXISTS (SELECT FROM gone)
        ))
        AND ((timer, run_id) IN (
            SELECT timer, thread FROM json_to_recordset(%(timers)s::json) AS (timer text, thread text)
        )) IS TRUE
),
buried AS (
    INSERT INTO squidmesh.tombstones (run_id, workflow, status, ended_at, revision)
    SELECT run_id, workflow, status, ended_at, revision
    FROM json_to_recordset(%(tombstones)s::json)
        AS (run_id text, workflow text, status text, ended_at bigint, revision integer)
    WHERE EXISTS (SELECT FROM gone) ORDER BY run_id
    ON CONFLICT (run_id) DO UPDATE SET
        workflow = excluded.workflow, status = excluded.status, ended_at = excluded.ended_at,
        revision = excluded.revision
),
taken AS (
    UPDATE squidmesh.threads SET revision = -revision
    WHERE thread = ANY (ARRAY(SELECT thread FROM gone WHERE buried))
),
free AS (
    DELETE FROM squidmesh.threads WHERE thread = ANY (ARRAY(SELECT thread FROM gone WHERE NOT buried))
)
SELECT thread, revision FROM refused ORDER BY place LIMIT 1;
