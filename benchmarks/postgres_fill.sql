-- More runs, as a journal holds them: %(finished)s that have ended, then %(open)s that are open, numbered from %(first)s
-- on. What nobody folds is filled with bytes of the usual length.

CREATE TEMPORARY TABLE new_runs AS
SELECT i, is_open, started_at, CASE WHEN i > 60 THEN 'Workflow' || i %% 20 ELSE 'Rare' END AS workflow, 'order-' || lpad(i::text, 9, '0') AS key,
    CASE WHEN i <= 60 THEN 'rare' WHEN i %% 10 < 7 THEN 'orders' ELSE 'letters-' || i %% 3 END AS queue,
    -- A UUID of version 7: it sorts by its time.
    left(hex, 8) || '-' || right(hex, 4) || '-7' || left(md5, 3) || '-8' || substr(md5, 4, 3) || '-' || right(md5, 12)
        AS run_id,
    CASE
        WHEN is_open THEN coalesce((ARRAY['waiting', 'waiting', 'retrying'])[i %% 20 + 1], 'running')
        ELSE coalesce((ARRAY['cancelled', 'failed', 'failed'])[i %% 30 + 1], 'completed')
    END AS status,
    now.now + 30 * 86400 * 1000000::bigint AS later
FROM (SELECT squidmesh.moment() AS now) AS now CROSS JOIN LATERAL (
    -- The ended ones in the month before, the open ones in the hour before.
    SELECT i, i > %(first)s + %(finished)s AS is_open, md5(i::text) AS md5, CASE
        WHEN i > %(first)s + %(finished)s
        THEN now - 3600000000 + (i - %(first)s - %(finished)s) * 3000000000 / (%(open)s + 1)
        ELSE now - 31 * 86400 * 1000000::bigint + (i - %(first)s) * (30 * 86400 * 1000000::bigint / (%(finished)s + 1))
    END AS started_at
    FROM generate_series(%(first)s + 1, %(first)s::bigint + %(finished)s + %(open)s) AS i
) AS numbered CROSS JOIN LATERAL (SELECT lpad(to_hex(started_at / 1000), 12, '0') AS hex) AS hexadecimal;

INSERT INTO squidmesh.threads (thread, revision) SELECT run_id, CASE WHEN is_open THEN 1 ELSE 3 END FROM new_runs;

INSERT INTO squidmesh.entries (thread, revision, entry_id, body)
SELECT run_id, revision, left(run_id, 24) || lpad(to_hex(i * 4 + revision), 12, '0'), decode(repeat('ab', length), 'hex')
FROM new_runs CROSS JOIN (VALUES (1, 500), (2, 220), (3, 430)) AS entry (revision, length)
WHERE revision = 1 OR NOT is_open;

INSERT INTO squidmesh.runs
    (run_id, workflow, version, trigger, key, queue, status, step, error, started_at, due_at, ended_at)
SELECT run_id, workflow, '1', 'begin', key, queue, status, CASE WHEN is_open THEN 'step-0' END,
    CASE status WHEN 'failed' THEN 'step_failed' END, started_at, CASE WHEN status IN ('waiting', 'retrying') THEN later END,
    CASE WHEN NOT is_open THEN started_at + 1000000 END
FROM new_runs;

INSERT INTO squidmesh.run_tallies (workflow, status, runs)
SELECT workflow, status, count(*) FROM new_runs GROUP BY workflow, status;

INSERT INTO squidmesh.agenda
    (item, run_id, step, attempt, queue, priority, visible_at, generation, fence, writer)
SELECT run_id || '/step-0#1', run_id, 'step-0', 1, queue, CASE WHEN queue = 'orders' THEN 5 ELSE i %% 10 END,
    CASE WHEN status IN ('waiting', 'retrying') THEN later ELSE started_at END, 0, 0, pg_current_xact_id()
FROM new_runs WHERE is_open ORDER BY i;

INSERT INTO squidmesh.timers (timer, run_id, kind, due_at, subject, detail)
SELECT run_id || '!run', run_id, 'run', later + i, '', '' FROM new_runs WHERE is_open AND i %% 10 = 3;

DROP TABLE new_runs;
