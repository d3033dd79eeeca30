-- name: read
-- One snapshot: the newest checkpoint of each thread that is read from its beginning, and the entries above it (or
-- above what was asked for). `n` is the place of the request, from 1 on.
WITH given AS MATERIALIZED (
    SELECT * FROM ROWS FROM (
        json_to_recordset(%(reads)s::json) AS (thread text, after integer)
    ) WITH ORDINALITY AS given (thread, after, n)
),
points AS MATERIALIZED (
    SELECT given.n, point.revision, point.body
    FROM given CROSS JOIN LATERAL (
        SELECT revision, body FROM squidmesh.checkpoints WHERE checkpoints.thread = given.thread OFFSET 0
    ) AS point
    WHERE given.after = 0 AND NOT %(whole)s::boolean
)
SELECT 0::bigint AS n, NULL::integer AS revision, NULL::text AS entry_id, NULL::bytea AS body, squidmesh.moment() AS now
UNION ALL
SELECT n, revision, NULL, body, NULL FROM points
UNION ALL
SELECT given.n, tail.revision, tail.entry_id, tail.body, NULL
FROM given LEFT JOIN points ON points.n = given.n CROSS JOIN LATERAL (
    SELECT revision, entry_id, body FROM squidmesh.entries
    WHERE entries.thread = given.thread AND entries.revision > coalesce(points.revision, given.after)
    ORDER BY revision OFFSET 0
) AS tail;

-- name: read_entry
SELECT entry_id, body FROM squidmesh.entries WHERE thread = %(thread)s AND revision = %(revision)s;

-- name: read_definition
SELECT body FROM squidmesh.definitions WHERE fingerprint = %(fingerprint)s;

-- name: locked_threads
-- Those of them that somebody holds locked now; whoever asks waits for nobody.
WITH free AS MATERIALIZED (
    SELECT thread FROM squidmesh.threads WHERE thread = ANY (%(threads)s::text[]) FOR UPDATE SKIP LOCKED
)
SELECT thread FROM squidmesh.threads
WHERE thread = ANY (%(threads)s::text[]) AND (thread IN (SELECT thread FROM free)) IS NOT TRUE;

-- name: fold_tallies
-- Many rows become few; the sum stays. Whoever else is at it takes others.
WITH taken AS (
    DELETE FROM squidmesh.run_tallies WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM squidmesh.run_tallies LIMIT 2000 FOR UPDATE SKIP LOCKED
    ))
    RETURNING workflow, status, runs
)
INSERT INTO squidmesh.run_tallies (workflow, status, runs)
SELECT workflow, status, sum(runs) FROM taken GROUP BY workflow, status HAVING sum(runs) <> 0;

-- name: read_plane
SELECT mesh, kind, name, epoch, incarnation, moving FROM squidmesh.plane;

-- name: lock_plane
-- Waits for every commit that compares its epoch, and lets none begin: the next one sees the new row.
LOCK TABLE squidmesh.plane IN ACCESS EXCLUSIVE MODE;

-- name: put_plane
INSERT INTO squidmesh.plane (one, mesh, kind, name, epoch, incarnation, moving)
VALUES (1, %(mesh)s, %(kind)s, %(name)s, %(epoch)s, %(incarnation)s, %(moving)s)
ON CONFLICT (one) DO UPDATE SET
    mesh = excluded.mesh, kind = excluded.kind, name = excluded.name, epoch = excluded.epoch,
    incarnation = excluded.incarnation, moving = excluded.moving;

-- name: nothing_aside
-- Who delivers from now on begins with everything in order.
UPDATE squidmesh.agenda SET aside_until = NULL WHERE aside_until IS NOT NULL;
