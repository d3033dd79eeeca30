-- name: threads
SELECT thread, revision FROM squidmesh.threads WHERE thread > %(after)s ORDER BY thread LIMIT %(limit)s;

-- name: last_revisions
SELECT given.thread, coalesce(
    (SELECT greatest(revision, 0) FROM squidmesh.threads WHERE threads.thread = given.thread), 0
)
FROM json_array_elements_text(%(threads)s::json) WITH ORDINALITY AS given (thread, place) ORDER BY place;

-- name: names_of_runs
SELECT run_id FROM squidmesh.runs WHERE run_id > %(after)s ORDER BY run_id LIMIT %(limit)s;

-- name: names_of_agenda
SELECT item FROM squidmesh.agenda WHERE item > %(after)s ORDER BY item LIMIT %(limit)s;

-- name: names_of_dead_letters
SELECT item FROM squidmesh.dead_letters WHERE item > %(after)s ORDER BY item LIMIT %(limit)s;

-- name: names_of_timers
SELECT timer FROM squidmesh.timers WHERE timer > %(after)s ORDER BY timer LIMIT %(limit)s;

-- name: names_of_pauses
SELECT queue FROM squidmesh.pauses WHERE queue > %(after)s ORDER BY queue LIMIT %(limit)s;

-- name: runs_of
SELECT run_id, workflow, version, trigger, key, queue, status, step, error, started_at, due_at, ended_at, parent,
    greatest(active_at, ended_at, started_at) AS active_at
FROM squidmesh.runs WHERE run_id = ANY (ARRAY(SELECT json_array_elements_text(%(threads)s::json)));

-- name: attempts_under
-- The names of a thread's rows lie in a few ranges: from the one, below the other.
SELECT found.* FROM json_to_recordset(%(ranges)s::json) AS range (first text, below text) CROSS JOIN LATERAL (
    SELECT item, run_id, step, attempt, queue, priority, visible_at, generation, fence, owner, claim_hash, lease,
        concurrency_key, concurrency_limit
    FROM squidmesh.agenda WHERE item >= range.first AND item < range.below ORDER BY item OFFSET 0
) AS found;

-- name: dead_letters_under
SELECT found.* FROM json_to_recordset(%(ranges)s::json) AS range (first text, below text) CROSS JOIN LATERAL (
    SELECT item, run_id, workflow, step, attempt, queue, generation, fence, cause, lost, lapsed, detail, owner, died_at
    FROM squidmesh.dead_letters WHERE item >= range.first AND item < range.below ORDER BY item OFFSET 0
) AS found;

-- name: timers_under
SELECT found.* FROM json_to_recordset(%(ranges)s::json) AS range (first text, below text) CROSS JOIN LATERAL (
    SELECT timer, run_id, kind, due_at, subject, sender, detail
    FROM squidmesh.timers WHERE timer >= range.first AND timer < range.below ORDER BY timer OFFSET 0
) AS found;

-- name: hold
SELECT thread, greatest(revision, 0) FROM squidmesh.threads
WHERE thread = ANY (ARRAY(SELECT json_array_elements_text(%(threads)s::json))) ORDER BY thread FOR UPDATE;

-- name: drop_runs
-- In full: what never changes by itself may have been damaged, so a run row is taken out, and put in again.
WITH dropped AS (
    DELETE FROM squidmesh.runs WHERE run_id = ANY (ARRAY(SELECT json_array_elements_text(%(runs)s::json)))
    RETURNING workflow, status
)
INSERT INTO squidmesh.run_tallies (workflow, status, runs)
SELECT workflow, status, -count(*) FROM dropped GROUP BY workflow, status;

-- name: take_time
SELECT set_config('statement_timeout', '0', true);

-- name: is_miscounted
WITH counted AS MATERIALIZED (SELECT workflow, status, count(*) AS runs FROM squidmesh.runs GROUP BY workflow, status),
tallied AS MATERIALIZED (
    SELECT workflow, status, sum(runs)::bigint AS runs FROM squidmesh.run_tallies
    GROUP BY workflow, status HAVING sum(runs) <> 0
)
SELECT EXISTS (TABLE counted EXCEPT TABLE tallied) OR EXISTS (TABLE tallied EXCEPT TABLE counted);

-- name: stop_tallies
LOCK TABLE squidmesh.run_tallies IN EXCLUSIVE MODE;

-- name: no_tallies
DELETE FROM squidmesh.run_tallies;

-- name: count_again
INSERT INTO squidmesh.run_tallies (workflow, status, runs)
SELECT workflow, status, count(*) FROM squidmesh.runs GROUP BY workflow, status;
