-- name: threads
-- Hops from one thread to the next: two seeks each, however long they are.
WITH RECURSIVE found (thread) AS (
    SELECT min(thread) FROM entries WHERE thread > :after
    UNION ALL
    SELECT (SELECT min(thread) FROM entries WHERE thread > found.thread) FROM found WHERE found.thread IS NOT NULL
    LIMIT :limit
)
SELECT thread, (SELECT max(revision) FROM entries WHERE entries.thread = found.thread)
FROM found WHERE thread IS NOT NULL;

-- name: last_revisions
SELECT value, (SELECT max(revision) FROM entries WHERE thread = value) FROM json_each(?);

-- name: names_of_runs
SELECT run_id FROM runs WHERE run_id > :after ORDER BY run_id LIMIT :limit;

-- name: names_of_agenda
SELECT item FROM agenda WHERE item > :after ORDER BY item LIMIT :limit;

-- name: names_of_dead_letters
SELECT item FROM dead_letters WHERE item > :after ORDER BY item LIMIT :limit;

-- name: names_of_timers
SELECT timer FROM timers WHERE timer > :after ORDER BY timer LIMIT :limit;

-- name: names_of_pauses
SELECT queue FROM pauses WHERE queue > :after ORDER BY queue LIMIT :limit;

-- name: runs_of
SELECT run_id, workflow, version, trigger, key, queue, status, step, error, started_at, due_at, ended_at, parent,
    active_at
FROM runs WHERE run_id IN (SELECT value FROM json_each(?));

-- name: attempts_under
-- The names of a thread's rows lie in a few ranges: [from, below].
SELECT item, run_id, step, attempt, queue, priority, visible_at, generation, fence, owner, claim_hash, lease,
    concurrency_key, concurrency_limit
FROM json_each(?) AS range CROSS JOIN agenda
    ON item >= json_extract(range.value, '$[0]') AND item < json_extract(range.value, '$[1]');

-- name: dead_letters_under
SELECT item, run_id, workflow, step, attempt, queue, generation, fence, cause, lost, lapsed, detail, owner, died_at
FROM json_each(?) AS range CROSS JOIN dead_letters
    ON item >= json_extract(range.value, '$[0]') AND item < json_extract(range.value, '$[1]');

-- name: timers_under
SELECT timer, run_id, kind, due_at, subject, sender, detail
FROM json_each(?) AS range CROSS JOIN timers
    ON timer >= json_extract(range.value, '$[0]') AND timer < json_extract(range.value, '$[1]');

-- name: arrivals_under
SELECT item, arrival
FROM json_each(?) AS range CROSS JOIN agenda
    ON item >= json_extract(range.value, '$[0]') AND item < json_extract(range.value, '$[1]');

-- name: place_of_entry
SELECT rowid FROM entries WHERE thread = ? AND revision = ?;

-- name: replace_run
-- In full: what never changes by itself may have been damaged. `drop_run` comes first: a row that is replaced would not
-- be taken from the tallies.
INSERT INTO runs
    (run_id, workflow, version, trigger, key, queue, status, step, error, started_at, due_at, ended_at, parent,
    active_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: drop_run
DELETE FROM runs WHERE run_id = ?;

-- name: no_tallies
DELETE FROM run_tallies;

-- name: count_again
INSERT INTO run_tallies (workflow, status, runs)
SELECT workflow, status, count(*) FROM runs WHERE status IN ('completed', 'failed', 'cancelled')
GROUP BY workflow, status;
