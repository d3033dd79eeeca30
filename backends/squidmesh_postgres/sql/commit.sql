-- A commit is one statement, made of those of these parts that its batch needs (writes.py), in this order. Each is a
-- common table expression over one parameter, a JSON array of rows; `g` is the number of the row's group in the batch.
--
-- `held` locks the threads in order of their names, and reads them as they are once they are locked. All that is
-- written waits for `accepted`, which looks at every one of them: so all threads are locked before the first row is,
-- and what follows is written for the groups that agree with what was found, and for no other.
--
-- Tables that grow are reached by keys in an array only. A join could be planned as a walk over the whole table.

-- name: found
-- Sent first, where threads begin: from here on they are there, with revision 0, and locked like any other.
INSERT INTO squidmesh.threads (thread, revision)
SELECT thread, 0 FROM json_array_elements_text(%(new)s::json) AS new (thread) ORDER BY thread
ON CONFLICT (thread) DO NOTHING;

-- name: announce_behind
-- In a transaction of its own, behind the one that it speaks of: a word is a hint, and waits for no disk.
SELECT set_config('synchronous_commit', 'off', true), pg_notify(%(channel)s, queue)
FROM json_array_elements_text(%(queues)s::json) AS word (queue);

-- name: announce
SELECT pg_notify(%(channel)s, queue) FROM json_array_elements_text(%(queues)s::json) AS word (queue);

-- name: given
clock AS MATERIALIZED (SELECT squidmesh.moment() AS now),
given AS MATERIALIZED (
    SELECT * FROM ROWS FROM (
        json_to_recordset(%(appends)s::json)
            AS (g integer, thread text, expected integer, epoch bigint, entry_id text, body text)
    ) WITH ORDINALITY AS given (g, thread, expected, epoch, entry_id, body, place)
),
held AS MATERIALIZED (
    SELECT thread, revision FROM squidmesh.threads
    WHERE thread = ANY (ARRAY(SELECT thread FROM given)) ORDER BY thread FOR UPDATE
)

-- name: given_new
-- Where every group is one thread that begins, and nothing else decides about it: its row is written as it is to be, once.
-- What it wrote is known by its return. A row with revision 0 is one that somebody left.
clock AS MATERIALIZED (SELECT squidmesh.moment() AS now),
given AS MATERIALIZED (
    SELECT * FROM ROWS FROM (
        json_to_recordset(%(appends)s::json)
            AS (g integer, thread text, expected integer, epoch bigint, entry_id text, body text)
    ) WITH ORDINALITY AS given (g, thread, expected, epoch, entry_id, body, place)
),
held AS (
    INSERT INTO squidmesh.threads (thread, revision) SELECT thread, 1 FROM given ORDER BY thread
    ON CONFLICT (thread) DO UPDATE SET revision = 1 WHERE threads.revision = 0
    RETURNING thread
)

-- name: given_alike
-- The same, where many threads begin at once: lists of what differs, and the bodies one behind the other (alike.py).
clock AS MATERIALIZED (SELECT squidmesh.moment() AS now),
given AS MATERIALIZED (
    SELECT (each.place - 1)::integer AS g, each.thread, each.entry_id,
        substr(%(bodies)s::bytea, each.begins, each.size) AS body, each.place
    FROM json_to_record(%(appends)s::json) AS said (thread text[], entry_id text[], begins integer[], sizes integer[]),
        unnest(said.thread, said.entry_id, said.begins, said.sizes) WITH ORDINALITY
            AS each (thread, entry_id, begins, size, place)
),
held AS (
    INSERT INTO squidmesh.threads (thread, revision) SELECT thread, 1 FROM given ORDER BY thread
    ON CONFLICT (thread) DO UPDATE SET revision = 1 WHERE threads.revision = 0
    RETURNING thread
)

-- name: judged_new
-- A thread that somebody else began after this statement did is not seen by it: it has an entry at least.
judged AS MATERIALIZED (
    SELECT given.g, given.thread, given.place,
        CASE WHEN held.thread IS NULL THEN coalesce(
            (SELECT greatest(abs(revision), 1) FROM squidmesh.threads WHERE threads.thread = given.thread), 1
        ) END AS revision,
        held.thread IS NOT NULL AS agrees, false AS moved
    FROM given LEFT JOIN held ON held.thread = given.thread
)

-- name: judged
judged AS MATERIALIZED (
    SELECT given.g, given.thread, given.place,
        CASE WHEN held.revision < 0 AND given.expected > 0 THEN 0 ELSE coalesce(abs(held.revision), 0) END AS revision,
        coalesce(held.revision = given.expected, false) AS agrees, false AS moved
    FROM given LEFT JOIN held ON held.thread = given.thread
)

-- name: judged_by_epoch
-- The same, where claims are recorded: under the epoch of the plane, or not at all.
judged AS MATERIALIZED (
    SELECT given.g, given.thread, given.place,
        CASE WHEN held.revision < 0 AND given.expected > 0 THEN 0 ELSE coalesce(abs(held.revision), 0) END AS revision,
        coalesce(held.revision = given.expected, false) AS agrees,
        given.epoch IS NOT NULL AND given.epoch IS DISTINCT FROM (SELECT epoch FROM squidmesh.plane) AS moved
    FROM given LEFT JOIN held ON held.thread = given.thread
)

-- name: accepted
accepted AS MATERIALIZED (SELECT g FROM judged GROUP BY g HAVING bool_and(agrees AND NOT moved))

-- name: accepted_with_mark
-- In a step's transaction: none but the one that was begun for it. A step that has ended it finds nothing written.
accepted AS MATERIALIZED (
    SELECT g FROM judged GROUP BY g
    HAVING bool_and(agrees AND NOT moved) AND current_setting('squidmesh_step.claim', true) = %(mark)s::text
)

-- name: written
written AS MATERIALIZED (SELECT * FROM given WHERE (g IN (SELECT g FROM accepted)) IS TRUE),
appended AS (
    INSERT INTO squidmesh.entries (thread, revision, entry_id, body)
    SELECT thread, expected + 1, entry_id, decode(body, 'base64') FROM written ORDER BY place
),
counted AS (
    UPDATE squidmesh.threads SET revision = revision + 1 WHERE thread = ANY (ARRAY(SELECT thread FROM written))
)

-- name: written_new
written AS MATERIALIZED (SELECT * FROM given WHERE (g IN (SELECT g FROM accepted)) IS TRUE),
appended AS (
    INSERT INTO squidmesh.entries (thread, revision, entry_id, body)
    SELECT thread, 1, entry_id, decode(body, 'base64') FROM written ORDER BY place
)

-- name: written_alike
written AS MATERIALIZED (SELECT * FROM given WHERE (g IN (SELECT g FROM accepted)) IS TRUE),
appended AS (
    INSERT INTO squidmesh.entries (thread, revision, entry_id, body)
    SELECT thread, 1, entry_id, body FROM written ORDER BY place
)

-- name: by_themselves
-- In place of all that is above, where rows are written without an entry (reindex.py): under the locks of their threads.
clock AS MATERIALIZED (SELECT squidmesh.moment() AS now),
given AS MATERIALIZED (SELECT 0 AS g WHERE false),
accepted AS MATERIALIZED (SELECT 0 AS g)

-- name: run_rows
run_rows AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(runs)s::json) AS (
        g integer, run_id text, workflow text, version text, trigger text, key text, queue text, status text,
        step text, error text, started_at bigint, due_at bigint, ended_at bigint, parent text,
        active_at bigint
    )
    WHERE (g IN (SELECT g FROM accepted)) IS TRUE
)

-- name: run_rows_alike
-- A row for each set of runs that differ in nothing but what stands in lists.
run_rows AS MATERIALIZED (
    SELECT each.run_id, workflow, version, trigger, each.key, queue, status, step, error, started_at, due_at, ended_at,
        parent, active_at
    FROM json_to_recordset(%(runs)s::json) AS alike (
        g integer[], run_id text[], key text[], workflow text, version text, trigger text, queue text, status text,
        step text, error text, started_at bigint, due_at bigint, ended_at bigint, parent text,
        active_at bigint
    ), unnest(alike.g, alike.run_id, alike.key) AS each (g, run_id, key)
    WHERE (each.g IN (SELECT g FROM accepted)) IS TRUE
)

-- name: tallied
tallied AS (
    INSERT INTO squidmesh.run_tallies (workflow, status, runs)
    SELECT workflow, status, sum(n) FROM (
        SELECT workflow, status, 1 AS n FROM run_rows
        UNION ALL
        SELECT workflow, status, -1 FROM squidmesh.runs WHERE run_id = ANY (ARRAY(SELECT run_id FROM run_rows))
    ) AS change GROUP BY workflow, status HAVING sum(n) <> 0
)

-- name: runs
put_runs AS (
    -- A run's workflow, key, queue and start never change: their indexes are left alone.
    INSERT INTO squidmesh.runs
        (run_id, workflow, version, trigger, key, queue, status, step, error, started_at, due_at, ended_at, parent,
        active_at)
    SELECT run_id, workflow, version, trigger, key, queue, status, step, error, started_at, due_at, ended_at, parent,
        active_at
    FROM run_rows ORDER BY run_id
    ON CONFLICT (run_id) DO UPDATE SET
        version = excluded.version, trigger = excluded.trigger, status = excluded.status,
        step = excluded.step, error = excluded.error, due_at = excluded.due_at, ended_at = excluded.ended_at,
        parent = excluded.parent, active_at = excluded.active_at
)

-- name: runs_known
-- In place of that where no thread begins: an update is half of what an insertion costs that finds its row there. What
-- is missing all the same is put.
updated_runs AS (
    UPDATE squidmesh.runs SET
        version = run_rows.version, trigger = run_rows.trigger, status = run_rows.status,
        step = run_rows.step, error = run_rows.error, due_at = run_rows.due_at, ended_at = run_rows.ended_at,
        parent = run_rows.parent, active_at = run_rows.active_at
    FROM run_rows
    WHERE runs.run_id = ANY (ARRAY(SELECT run_id FROM run_rows)) AND runs.run_id = run_rows.run_id
    RETURNING runs.run_id
),
put_runs AS (
    INSERT INTO squidmesh.runs
        (run_id, workflow, version, trigger, key, queue, status, step, error, started_at, due_at, ended_at, parent,
        active_at)
    SELECT run_id, workflow, version, trigger, key, queue, status, step, error, started_at, due_at, ended_at, parent,
        active_at
    FROM run_rows WHERE run_id <> ALL (ARRAY(SELECT run_id FROM updated_runs)) ORDER BY run_id
)

-- name: remove
removed AS (
    DELETE FROM squidmesh.agenda WHERE item = ANY (ARRAY(
        SELECT item FROM json_to_recordset(%(remove)s::json) AS (g integer, item text)
        WHERE (g IN (SELECT g FROM accepted)) IS TRUE
    ))
    RETURNING item
)

-- name: put_rows
put_rows AS MATERIALIZED (
    SELECT * FROM ROWS FROM (
        json_to_recordset(%(put)s::json) AS (
            g integer, item text, run_id text, step text, attempt integer, queue text, priority integer,
            visible_at bigint, generation integer, fence bigint, owner text, claim_hash text, lease bigint,
            concurrency_key text, concurrency_limit integer
        )
    ) WITH ORDINALITY AS put_rows (
        g, item, run_id, step, attempt, queue, priority, visible_at, generation, fence, owner, claim_hash, lease,
        concurrency_key, concurrency_limit, place
    )
    WHERE (g IN (SELECT g FROM accepted)) IS TRUE
)

-- name: put_rows_alike
put_rows AS MATERIALIZED (
    SELECT each.item, each.run_id, step, attempt, queue, priority, visible_at, generation, fence, owner, claim_hash,
        lease, concurrency_key, concurrency_limit, each.place
    FROM json_to_recordset(%(put)s::json) AS alike (
        g integer[], place integer[], item text[], run_id text[], step text, attempt integer, queue text,
        priority integer, visible_at bigint, generation integer, fence bigint, owner text, claim_hash text,
        lease bigint, concurrency_key text, concurrency_limit integer
    ), unnest(alike.g, alike.place, alike.item, alike.run_id) AS each (g, place, item, run_id)
    WHERE (each.g IN (SELECT g FROM accepted)) IS TRUE
)

-- name: put
put AS (
    -- A new row arrives now; one that is there keeps its place.
    INSERT INTO squidmesh.agenda
        (item, run_id, step, attempt, queue, priority, visible_at, generation, fence, owner, claim_hash, lease,
        concurrency_key, concurrency_limit, writer)
    SELECT item, run_id, step, attempt, queue, priority, visible_at, generation, fence, owner, claim_hash, lease,
        concurrency_key, concurrency_limit,
        CASE WHEN EXISTS (SELECT FROM squidmesh.changes) THEN pg_current_xact_id() END
    FROM put_rows ORDER BY place
    ON CONFLICT (item) DO UPDATE SET
        run_id = excluded.run_id, step = excluded.step, attempt = excluded.attempt,
        queue = excluded.queue, priority = excluded.priority, visible_at = excluded.visible_at,
        generation = excluded.generation, fence = excluded.fence,
        owner = excluded.owner, claim_hash = excluded.claim_hash, lease = excluded.lease,
        concurrency_key = excluded.concurrency_key, concurrency_limit = excluded.concurrency_limit,
        writer = excluded.writer, aside_until = NULL
    RETURNING item
)

-- name: agenda_done
-- The parts that follow begin when the agenda is as it should be.
agenda_done AS MATERIALIZED (SELECT item FROM removed UNION ALL SELECT item FROM put)

-- name: unbury
unburied AS (
    DELETE FROM squidmesh.dead_letters WHERE item = ANY (ARRAY(
        SELECT item FROM json_to_recordset(%(unbury)s::json) AS (g integer, item text)
        WHERE (g IN (SELECT g FROM accepted)) IS TRUE
    ))
)

-- name: bury
buried AS (
    INSERT INTO squidmesh.dead_letters
        (item, run_id, workflow, step, attempt, queue, generation, fence, cause, lost, lapsed, detail, owner, died_at)
    SELECT item, run_id, workflow, step, attempt, queue, generation, fence, cause, lost, lapsed, detail, owner, died_at
    FROM json_to_recordset(%(bury)s::json) AS (
        g integer, item text, run_id text, workflow text, step text, attempt integer, queue text, generation integer,
        fence bigint, cause text, lost integer, lapsed integer, detail text, owner text, died_at bigint
    )
    WHERE (g IN (SELECT g FROM accepted)) IS TRUE ORDER BY item
    ON CONFLICT (item) DO UPDATE SET
        run_id = excluded.run_id, workflow = excluded.workflow, step = excluded.step, attempt = excluded.attempt,
        queue = excluded.queue, generation = excluded.generation, fence = excluded.fence, cause = excluded.cause,
        lost = excluded.lost, lapsed = excluded.lapsed, detail = excluded.detail, owner = excluded.owner,
        died_at = excluded.died_at
)

-- name: drop_timers
dropped_timers AS (
    DELETE FROM squidmesh.timers WHERE timer = ANY (ARRAY(
        SELECT timer FROM json_to_recordset(%(drop_timers)s::json) AS (g integer, timer text)
        WHERE (g IN (SELECT g FROM accepted)) IS TRUE
    ))
)

-- name: set_timers
timers_set AS (
    INSERT INTO squidmesh.timers (timer, run_id, kind, due_at, subject, sender, detail)
    SELECT timer, run_id, kind, due_at, subject, sender, detail
    FROM json_to_recordset(%(set_timers)s::json) AS (
        g integer, timer text, run_id text, kind text, due_at bigint, subject text, sender text, detail text
    )
    WHERE (g IN (SELECT g FROM accepted)) IS TRUE ORDER BY timer
    ON CONFLICT (timer) DO UPDATE SET
        run_id = excluded.run_id, kind = excluded.kind, due_at = excluded.due_at, subject = excluded.subject,
        sender = excluded.sender, detail = excluded.detail
)

-- name: resume
resumed AS (
    DELETE FROM squidmesh.pauses WHERE queue = ANY (ARRAY(
        SELECT queue FROM json_to_recordset(%(resume)s::json) AS (g integer, queue text)
        WHERE (g IN (SELECT g FROM accepted)) IS TRUE
    ))
)

-- name: pause
paused AS (
    INSERT INTO squidmesh.pauses (queue, actor, comment, paused_at)
    SELECT queue, actor, comment, paused_at
    FROM json_to_recordset(%(pause)s::json) AS (g integer, queue text, actor text, comment text, paused_at bigint)
    WHERE (g IN (SELECT g FROM accepted)) IS TRUE ORDER BY queue
    ON CONFLICT (queue) DO UPDATE SET
        actor = excluded.actor, comment = excluded.comment, paused_at = excluded.paused_at
)

-- name: checkpoints
saved AS (
    INSERT INTO squidmesh.checkpoints (thread, revision, body)
    SELECT thread, revision, decode(body, 'base64')
    FROM json_to_recordset(%(checkpoints)s::json) AS (g integer, thread text, revision integer, body text)
    WHERE (g IN (SELECT g FROM accepted)) IS TRUE ORDER BY thread
    ON CONFLICT (thread) DO UPDATE SET revision = excluded.revision, body = excluded.body
)

-- name: definitions
-- Each once, with the numbers of all groups that bring it: one that is accepted is enough, and so is one that appends
-- nothing.
defined AS (
    INSERT INTO squidmesh.definitions (fingerprint, body)
    SELECT fingerprint, decode(body, 'base64')
    FROM json_to_recordset(%(definitions)s::json) AS of_groups (groups integer[], fingerprint text, body text)
    WHERE groups && ARRAY(SELECT g FROM accepted) OR NOT groups <@ ARRAY(SELECT g FROM given)
    ORDER BY fingerprint
    ON CONFLICT (fingerprint) DO NOTHING
)

-- name: done
SELECT now FROM clock;

-- name: answer
-- The time, and what was refused: in the order of the appends.
SELECT now, NULL::integer AS g, NULL::text AS thread, NULL::integer AS revision, NULL::boolean AS agrees, 0 AS place
FROM clock
UNION ALL
SELECT NULL::bigint, g, thread, revision, agrees, place FROM judged WHERE NOT agrees OR moved
ORDER BY place
