-- So many copies (%(count)s) of one run (%(run)s), with all that is derived from it. Nobody folds them: their entries
-- have the bytes of the first one.

CREATE TEMPORARY TABLE copies AS
SELECT i, left(%(run)s, 24) || lpad(to_hex(i), 12, '0') AS run_id FROM generate_series(1, %(count)s) AS i;

INSERT INTO squidmesh.threads (thread, revision)
SELECT copies.run_id, revision FROM copies CROSS JOIN squidmesh.threads WHERE thread = %(run)s;

INSERT INTO squidmesh.entries (thread, revision, entry_id, body)
SELECT copies.run_id, revision, left(copies.run_id, 23) || lpad(to_hex(i * 8 + revision), 13, '0'), body
FROM copies CROSS JOIN squidmesh.entries WHERE thread = %(run)s;

INSERT INTO squidmesh.runs
    (run_id, workflow, version, trigger, key, queue, status, step, error, started_at, due_at, ended_at, parent)
SELECT copies.run_id, workflow, version, trigger, key, queue, status, step, error, started_at + i, due_at,
    ended_at + i, parent
FROM copies CROSS JOIN squidmesh.runs WHERE runs.run_id = %(run)s;

INSERT INTO squidmesh.run_tallies (workflow, status, runs)
SELECT workflow, status, %(count)s FROM squidmesh.runs WHERE run_id = %(run)s;

INSERT INTO squidmesh.agenda
    (item, run_id, step, attempt, queue, priority, visible_at, generation, fence, lease, writer)
SELECT copies.run_id || substr(item, length(%(run)s) + 1), copies.run_id, step, attempt, queue, priority, visible_at,
    generation, fence, lease, writer
FROM copies CROSS JOIN squidmesh.agenda WHERE agenda.run_id = %(run)s ORDER BY i;

DROP TABLE copies;
