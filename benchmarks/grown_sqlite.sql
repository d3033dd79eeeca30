-- So many copies (:count) of one run (:run), with all that is derived from it. Nobody folds them: their entries have the
-- bytes of the first one.

CREATE TEMPORARY TABLE copies AS
WITH RECURSIVE numbers (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < :count)
SELECT i, substr(:run, 1, 24) || printf('%012x', i) AS run_id FROM numbers;

INSERT INTO entries (thread, revision, entry_id, body)
SELECT copies.run_id, revision, substr(copies.run_id, 1, 23) || printf('%013x', i * 8 + revision), body
FROM copies CROSS JOIN entries WHERE thread = :run;

INSERT INTO runs
    (run_id, workflow, version, trigger, key, queue, status, step, error, started_at, due_at, ended_at, parent)
SELECT copies.run_id, workflow, version, trigger, key, queue, status, step, error, started_at + i, due_at,
    ended_at + i, parent
FROM copies CROSS JOIN runs WHERE runs.run_id = :run;

INSERT INTO agenda
    (item, run_id, step, attempt, queue, priority, visible_at, generation, fence, lease, arrival)
SELECT copies.run_id || substr(item, length(:run) + 1), copies.run_id, step, attempt, queue, priority, visible_at,
    generation, fence, lease, arrival + i
FROM copies CROSS JOIN agenda WHERE agenda.run_id = :run;

DROP TABLE copies;
