-- The parts of a commit that change leases (leases.py, writes.py), and the same as calls of their own. What a commit
-- removes from the agenda takes its lease along by itself: see the triggers.
--
-- A commit has written its agenda rows when these begin: nobody waits for an agenda row while he holds a lease row. The
-- rows that are settled and released are locked first, in order of their items.
--
-- A row that another transaction has just changed is looked at again, with all that the condition mentions; what was
-- computed once, as arrays are, is not computed again. So there is no subquery here that depends on a row.

-- name: lease_locks
lease_locks AS MATERIALIZED (
    SELECT item FROM squidmesh.leases
    WHERE (SELECT count(*) FROM agenda_done) >= 0
        AND item = ANY (ARRAY(
            SELECT item FROM json_to_recordset(%(lease_locks)s::json) AS (g integer, item text)
            WHERE (g IN (SELECT g FROM accepted)) IS TRUE
        ))
        AND claim_hash = ANY (ARRAY(
            SELECT claim_hash FROM json_to_recordset(%(lease_locks)s::json) AS (claim_hash text)
        ))
    ORDER BY item FOR UPDATE
)

-- name: settle
settled AS (
    DELETE FROM squidmesh.leases
    USING json_to_recordset(%(settle)s::json) AS change (g integer, item text, claim_hash text, fence bigint)
    WHERE (SELECT count(*) FROM lease_locks) >= 0 AND change.g = ANY (ARRAY(SELECT g FROM accepted))
        AND leases.item = ANY (ARRAY(
            SELECT item FROM json_to_recordset(%(settle)s::json) AS (item text)
        ))
        AND leases.item = change.item AND leases.claim_hash = change.claim_hash AND leases.fence = change.fence
)

-- name: release
-- The row stays, for its counter: the next grant overwrites it, and the end of the attempt removes it.
released AS (
    UPDATE squidmesh.leases SET
        granted = greatest(granted, change.floor), owner = NULL, claim_hash = NULL, request_hash = NULL,
        expires_at = (SELECT now FROM clock) + change.delay, concurrency_key = NULL
    FROM json_to_recordset(%(release)s::json)
        AS change (g integer, item text, claim_hash text, fence bigint, floor bigint, delay bigint)
    WHERE (SELECT count(*) FROM lease_locks) >= 0 AND change.g = ANY (ARRAY(SELECT g FROM accepted))
        AND leases.item = ANY (ARRAY(
            SELECT item FROM json_to_recordset(%(release)s::json) AS (item text)
        ))
        AND leases.item = change.item AND leases.claim_hash = change.claim_hash AND leases.fence = change.fence
)

-- name: release_as
-- It counts for its concurrency key, if it has one, as long as it is held.
released_as AS (
    UPDATE squidmesh.leases SET
        granted = greatest(granted, change.floor, change.recorded_fence),
        generation = greatest(generation, change.recorded_generation), fence = change.recorded_fence,
        owner = change.recorded_owner, claim_hash = change.recorded_hash, request_hash = NULL,
        lease = change.recorded_lease, expires_at = (SELECT now FROM clock) + change.recorded_lease, lapsed = 0,
        concurrency_key = (SELECT agenda.concurrency_key FROM squidmesh.agenda WHERE agenda.item = leases.item)
    FROM json_to_recordset(%(release_as)s::json) AS change (
        g integer, item text, claim_hash text, fence bigint, floor bigint, recorded_generation integer,
        recorded_fence bigint, recorded_owner text, recorded_hash text, recorded_lease bigint
    )
    WHERE (SELECT count(*) FROM lease_locks) >= 0 AND change.g = ANY (ARRAY(SELECT g FROM accepted))
        AND leases.item = ANY (ARRAY(
            SELECT item FROM json_to_recordset(%(release_as)s::json) AS (item text)
        ))
        AND leases.item = change.item AND leases.claim_hash = change.claim_hash AND leases.fence = change.fence
)

-- name: hand_over
-- Only what is put on the agenda here (or stands there, in a call of its own) can be leased; only something newer than
-- the known lease takes its place.
handed_over AS (
    INSERT INTO squidmesh.leases AS held
        (item, queue, generation, fence, granted, owner, claim_hash, request_hash, position, lease, expires_at,
        concurrency_key)
    SELECT DISTINCT ON (change.item COLLATE "C") change.item, put_rows.queue, change.generation, change.fence, change.fence,
        change.owner, change.claim_hash, NULL, NULL::integer, change.lease, (SELECT now FROM clock) + change.lease,
        put_rows.concurrency_key
    FROM json_to_recordset(%(hand_over)s::json) AS change (
        g integer, item text, generation integer, fence bigint, owner text, claim_hash text, lease bigint
    ) JOIN put_rows ON put_rows.item = change.item
    WHERE (SELECT count(*) FROM agenda_done) >= 0 AND (change.g IN (SELECT g FROM accepted)) IS TRUE
    ORDER BY change.item COLLATE "C", change.generation DESC, change.fence DESC
    ON CONFLICT (item) DO UPDATE SET
        generation = excluded.generation, fence = excluded.fence, granted = excluded.granted, owner = excluded.owner,
        claim_hash = excluded.claim_hash, request_hash = NULL, lease = excluded.lease,
        expires_at = excluded.expires_at, lapsed = 0, concurrency_key = excluded.concurrency_key
    WHERE (excluded.generation, excluded.fence) > (held.generation, held.granted)
)

-- name: call
-- Outside of a commit: one group, which nobody refuses.
clock AS MATERIALIZED (SELECT squidmesh.moment() AS now),
accepted AS MATERIALIZED (SELECT 0 AS g),
put_rows AS MATERIALIZED (
    SELECT item, queue, concurrency_key FROM squidmesh.agenda
    WHERE item = ANY (ARRAY(SELECT item FROM json_to_recordset(%(hand_over)s::json) AS (item text)))
    ORDER BY item FOR UPDATE
),
agenda_done AS MATERIALIZED (SELECT item FROM put_rows)

-- name: called
SELECT now FROM clock
