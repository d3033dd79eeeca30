-- What a lease row says is asked with (SELECT … FROM leases WHERE item = …) for each row of the agenda: never by a join,
-- nor with EXISTS, which could be planned as a walk over the whole table.

-- name: lock
-- Who answers a request does it alone, and who decides about a concurrency key. Sent in front, in the same transaction:
-- what follows sees what was granted by whoever had the lock before. In one order, before anything else is locked.
SELECT pg_advisory_xact_lock(lock) FROM (
    SELECT 0 AS place, hashtextextended(json_build_array(%(schema)s::text, 'request', %(owner)s::text,
        %(request_hash)s::text)::text, 0) AS lock
    UNION
    SELECT 1, hashtextextended(json_build_array(%(schema)s::text, 'key', queue, concurrency_key)::text, 0)
    FROM json_to_recordset(%(keyed)s::json) AS (queue text, concurrency_key text)
    ORDER BY place, lock
) AS locks;

-- name: claim
-- One round of a claim, in one statement: what the same request was granted before (other than what the rounds before
-- have: `mine`), or the first of the queues. What has no concurrency key is granted here; what has one is told, and
-- decided on under the lock of its key.
WITH clock AS MATERIALIZED (SELECT squidmesh.moment() AS now),
repeated AS MATERIALIZED (
    SELECT item, queue, generation, fence, position, lease, lapsed FROM squidmesh.leases
    -- (IS TRUE, or it could be planned as a walk through all that is live.)
    WHERE owner = %(owner)s AND request_hash = %(request_hash)s AND (expires_at > (SELECT now FROM clock)) IS TRUE
),
asked AS MATERIALIZED (
    -- Those that are not paused.
    SELECT queue, turn FROM json_array_elements_text(%(queues)s::json) WITH ORDINALITY AS asked (queue, turn)
    WHERE (SELECT count(*) FROM repeated) = %(mine)s
        AND (SELECT true FROM squidmesh.pauses WHERE pauses.queue = asked.queue) IS NULL
)

-- name: share_of_one
shares AS MATERIALIZED (SELECT queue, turn, %(look)s::bigint AS share FROM asked)

-- name: shares
-- How many of each queue it will be, in turns: nobody locks more rows than he takes.
shares AS MATERIALIZED (
    SELECT queue, turn, count(*) AS share FROM (
        SELECT asked.queue, asked.turn
        FROM asked CROSS JOIN LATERAL (
            SELECT row_number() OVER () AS place
            FROM generate_series(0, 9) AS of (priority) CROSS JOIN LATERAL (
                SELECT FROM squidmesh.agenda
                WHERE queue = asked.queue AND aside_until IS NULL AND priority = of.priority
                    AND visible_at <= (SELECT now FROM clock)
                    AND step <> ALL (ARRAY(SELECT json_array_elements_text(%(skip)s::json)))
                    AND (
                        SELECT expires_at > (SELECT now FROM clock) AND leases.generation >= agenda.generation
                        FROM squidmesh.leases WHERE leases.item = agenda.item
                    ) IS NOT TRUE
                ORDER BY visible_at, arrival LIMIT %(look)s
            ) AS found
            LIMIT %(look)s
        ) AS head
        ORDER BY head.place, asked.turn LIMIT %(look)s
    ) AS head
    GROUP BY queue, turn
)

-- name: heads
-- The visible items that no live lease holds, in order. Walks past the held ones, and nothing else.
heads AS MATERIALIZED (
    SELECT head.*, shares.turn
    FROM shares CROSS JOIN LATERAL (
        SELECT found.*, row_number() OVER () AS place
        FROM generate_series(0, 9) AS of (priority) CROSS JOIN LATERAL (
            SELECT item, queue, generation, fence, concurrency_key, concurrency_limit FROM squidmesh.agenda
            WHERE queue = shares.queue AND aside_until IS NULL AND priority = of.priority
                AND visible_at <= (SELECT now FROM clock)
                AND step <> ALL (ARRAY(SELECT json_array_elements_text(%(skip)s::json)))
                AND (
                    SELECT expires_at > (SELECT now FROM clock) AND leases.generation >= agenda.generation
                    FROM squidmesh.leases WHERE leases.item = agenda.item
                ) IS NOT TRUE
            ORDER BY visible_at, arrival LIMIT shares.share FOR UPDATE SKIP LOCKED
        ) AS found
        LIMIT shares.share
    ) AS head
)

-- name: head_of_item
-- One certain item, in order or aside.
heads AS MATERIALIZED (
    SELECT head.*, shares.turn, 1 AS place
    FROM shares CROSS JOIN LATERAL (
        SELECT item, queue, generation, fence, concurrency_key, concurrency_limit FROM squidmesh.agenda
        WHERE item = %(item)s AND queue = shares.queue AND visible_at <= (SELECT now FROM clock)
            AND (
                SELECT expires_at > (SELECT now FROM clock) AND leases.generation >= agenda.generation
                FROM squidmesh.leases WHERE leases.item = agenda.item
            ) IS NOT TRUE
        FOR UPDATE SKIP LOCKED
    ) AS head
)

-- name: granted
-- A claim that was faster has left a live lease, which this one does not take. `hashes`: of the claim ids, by place.
chosen AS MATERIALIZED (
    SELECT heads.*, concurrency_key IS NOT NULL AND concurrency_limit IS NOT NULL AS keyed,
        row_number() OVER (ORDER BY place, turn) - 1 AS nth
    FROM heads
),
granted AS (
    INSERT INTO squidmesh.leases AS held
        (item, queue, generation, fence, granted, owner, claim_hash, request_hash, position, lease, expires_at,
        concurrency_key)
    SELECT item, queue, generation, fence + 1, fence + 1, %(owner)s, %(hashes)s::jsonb ->> nth::integer,
        %(request_hash)s, %(base)s + nth::integer, %(lease)s::bigint, (SELECT now FROM clock) + %(lease)s::bigint,
        concurrency_key
    FROM (SELECT *, row_number() OVER (PARTITION BY keyed ORDER BY nth) AS of_its_kind FROM chosen) AS chosen
    WHERE NOT keyed AND of_its_kind <= %(most)s
    ORDER BY item COLLATE "C"
    ON CONFLICT (item) DO UPDATE SET
        generation = excluded.generation,
        fence = greatest(excluded.fence, held.granted + 1), granted = greatest(excluded.fence, held.granted + 1),
        owner = excluded.owner, claim_hash = excluded.claim_hash, request_hash = excluded.request_hash,
        position = excluded.position, lease = excluded.lease, expires_at = excluded.expires_at,
        lapsed = CASE
            WHEN held.owner IS NOT NULL AND held.generation = excluded.generation THEN held.lapsed + 1 ELSE 0 END,
        concurrency_key = excluded.concurrency_key
    WHERE held.expires_at <= (SELECT now FROM clock) OR held.generation < excluded.generation
    RETURNING item, queue, generation, fence, position, lease, lapsed
),
begun AS MATERIALIZED (
    -- Of runs that have no second entry: who has claimed their first step asks for nothing else. A large one is left to
    -- be read: the answer to a claim is one row, which the server holds in memory several times. (The length is known
    -- without the body.)
    SELECT granted.item, first.entry_id, first.body
    FROM granted CROSS JOIN LATERAL (
        SELECT run_id FROM squidmesh.agenda WHERE agenda.item = granted.item OFFSET 0
    ) AS its CROSS JOIN LATERAL (
        SELECT entry_id, body FROM squidmesh.entries
        WHERE entries.thread = its.run_id AND entries.revision = 1 AND octet_length(body) <= 8192
            AND (SELECT threads.revision FROM squidmesh.threads WHERE threads.thread = its.run_id) = 1
        OFFSET 0
    ) AS first
)
SELECT (SELECT now FROM clock) AS now,
    CASE WHEN (SELECT count(*) FROM repeated) <> %(mine)s THEN (
        SELECT json_agg(json_build_array(item, queue, generation, fence, position, lease, lapsed)) FROM repeated
    )::text END AS repeated,
    (SELECT json_agg(json_build_array(item, queue, generation, fence, position, lease, lapsed)) FROM granted)::text
        AS granted,
    (SELECT json_agg(json_build_array(item, queue, concurrency_key, nth) ORDER BY nth) FROM chosen WHERE keyed)::text
        AS keyed,
    (SELECT count(*) FROM chosen) AS seen,
    EXISTS (
        SELECT FROM asked CROSS JOIN LATERAL (
            SELECT FROM squidmesh.agenda
            WHERE queue = asked.queue AND aside_until IS NOT NULL AND aside_until <= (SELECT now FROM clock)
            ORDER BY aside_until LIMIT 1
        ) AS due
    ) OR EXISTS (
        SELECT FROM asked CROSS JOIN LATERAL (
            SELECT FROM squidmesh.leases
            WHERE queue = asked.queue AND concurrency_key IS NOT NULL AND expires_at <= (SELECT now FROM clock)
            ORDER BY expires_at LIMIT 1
        ) AS ended
    ) AS some_come_back,
    CASE WHEN (SELECT count(*) FROM chosen) < %(look)s THEN least(
        (
            SELECT min(later.visible_at)
            FROM asked CROSS JOIN generate_series(0, 9) AS of (priority) CROSS JOIN LATERAL (
                SELECT visible_at FROM squidmesh.agenda
                WHERE queue = asked.queue AND aside_until IS NULL AND priority = of.priority
                    AND visible_at > (SELECT now FROM clock)
                ORDER BY visible_at LIMIT 1
            ) AS later
        ),
        (
            SELECT min(held.expires_at) FROM asked CROSS JOIN LATERAL (
                SELECT expires_at FROM squidmesh.leases
                WHERE queue = asked.queue AND expires_at > (SELECT now FROM clock)
                ORDER BY expires_at LIMIT 1
            ) AS held
        ),
        (
            SELECT min(aside.aside_until) FROM asked CROSS JOIN LATERAL (
                SELECT aside_until FROM squidmesh.agenda
                WHERE queue = asked.queue AND aside_until IS NOT NULL ORDER BY aside_until LIMIT 1
            ) AS aside
        )
    ) END AS next_due,
    begun.items, begun.entry_ids, begun.bodies
FROM (SELECT array_agg(item) AS items, array_agg(entry_id) AS entry_ids, array_agg(body) AS bodies FROM begun) AS begun

-- name: claim_keyed
-- Under the lock of their keys, and with a snapshot that was taken when those were held: grants what has a place, and
-- puts the others aside. Waits for no row.
--
-- A lease that ends at this moment brings nothing back of what is put aside here: it does not see it yet. So those that
-- hold the places are locked until this commits; where one is locked already by somebody else, the wait is short.
WITH clock AS MATERIALIZED (SELECT squidmesh.moment() AS now),
asked AS MATERIALIZED (
    SELECT item, queue, concurrency_key, nth
    FROM json_to_recordset(%(keyed)s::json) AS (item text, queue text, concurrency_key text, nth integer)
    WHERE %(mine)s = (
        -- Else somebody has answered this request meanwhile: the next round tells.
        SELECT count(*) FROM squidmesh.leases
        WHERE owner = %(owner)s AND request_hash = %(request_hash)s AND (expires_at > (SELECT now FROM clock)) IS TRUE
    )
),
waiting AS MATERIALIZED (
    SELECT asked.nth, one.* FROM asked CROSS JOIN LATERAL (
        SELECT item, queue, generation, fence, concurrency_key, concurrency_limit, aside_until FROM squidmesh.agenda
        WHERE item = asked.item AND queue = asked.queue AND concurrency_key = asked.concurrency_key
            AND concurrency_limit IS NOT NULL AND visible_at <= (SELECT now FROM clock)
            AND (aside_until IS NULL OR %(out_of_turn)s::boolean)
            AND (SELECT true FROM squidmesh.pauses WHERE pauses.queue = asked.queue) IS NULL
            AND (
                SELECT expires_at > (SELECT now FROM clock) AND leases.generation >= agenda.generation
                FROM squidmesh.leases WHERE leases.item = agenda.item
            ) IS NOT TRUE
        FOR UPDATE SKIP LOCKED
    ) AS one
),
old AS MATERIALIZED (
    SELECT item FROM squidmesh.leases WHERE item = ANY (ARRAY(SELECT item FROM waiting)) FOR UPDATE SKIP LOCKED
),
free AS MATERIALIZED (
    SELECT * FROM waiting
    WHERE (SELECT true FROM squidmesh.leases WHERE leases.item = waiting.item) IS NULL
        OR item = ANY (ARRAY(SELECT item FROM old))
),
named AS MATERIALIZED (SELECT DISTINCT queue, concurrency_key FROM free),
ended AS MATERIALIZED (
    -- A lease that seems to have ended may have been extended since the snapshot: it is looked at under its lock. Whose
    -- lease can not be locked holds its place.
    SELECT named.queue, named.concurrency_key FROM named CROSS JOIN LATERAL (
        SELECT FROM squidmesh.leases
        WHERE queue = named.queue AND concurrency_key = named.concurrency_key
            AND expires_at <= (SELECT now FROM clock)
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS one
),
keys AS MATERIALIZED (
    SELECT queue, concurrency_key, (
        SELECT count(*) FROM squidmesh.leases
        WHERE leases.queue = named.queue AND leases.concurrency_key = named.concurrency_key
    ) - (
        SELECT count(*) FROM ended
        WHERE ended.queue = named.queue AND ended.concurrency_key = named.concurrency_key
    ) AS taken
    FROM named
),
granted AS (
    INSERT INTO squidmesh.leases AS held
        (item, queue, generation, fence, granted, owner, claim_hash, request_hash, position, lease, expires_at,
        concurrency_key)
    SELECT item, queue, generation, fence + 1, fence + 1, %(owner)s, %(hashes)s::jsonb ->> nth,
        %(request_hash)s, %(base)s + nth, %(lease)s::bigint, (SELECT now FROM clock) + %(lease)s::bigint,
        concurrency_key
    FROM (
        SELECT free.*
        FROM (
            SELECT free.*, keys.taken,
                row_number() OVER (PARTITION BY free.queue, free.concurrency_key ORDER BY free.nth) AS of_its_key
            FROM free JOIN keys ON keys.queue = free.queue AND keys.concurrency_key = free.concurrency_key
            WHERE keys.taken < free.concurrency_limit
        ) AS free
        WHERE free.taken + free.of_its_key <= free.concurrency_limit ORDER BY nth LIMIT %(most)s
    ) AS free
    ORDER BY item COLLATE "C"
    ON CONFLICT (item) DO UPDATE SET
        generation = excluded.generation,
        fence = greatest(excluded.fence, held.granted + 1), granted = greatest(excluded.fence, held.granted + 1),
        owner = excluded.owner, claim_hash = excluded.claim_hash, request_hash = excluded.request_hash,
        position = excluded.position, lease = excluded.lease, expires_at = excluded.expires_at,
        lapsed = CASE
            WHEN held.owner IS NOT NULL AND held.generation = excluded.generation THEN held.lapsed + 1 ELSE 0 END,
        concurrency_key = excluded.concurrency_key
    WHERE held.expires_at <= (SELECT now FROM clock) OR held.generation < excluded.generation
    RETURNING item, queue, generation, fence, position, lease, lapsed, concurrency_key
),
places AS MATERIALIZED (
    SELECT keys.queue, keys.concurrency_key, keys.taken, mine.granted
    FROM keys CROSS JOIN LATERAL (
        SELECT count(*) AS granted FROM granted
        WHERE granted.queue = keys.queue AND granted.concurrency_key = keys.concurrency_key
    ) AS mine
),
crowd AS MATERIALIZED (
    SELECT free.item, free.queue, free.concurrency_key, places.taken
    FROM free JOIN places ON places.queue = free.queue AND places.concurrency_key = free.concurrency_key
    WHERE free.aside_until IS NULL AND places.taken + places.granted >= free.concurrency_limit
        AND free.item <> ALL (ARRAY(SELECT item FROM granted))
),
holders AS MATERIALIZED (
    SELECT crowded.queue, crowded.concurrency_key
    FROM (SELECT DISTINCT queue, concurrency_key FROM crowd) AS crowded CROSS JOIN LATERAL (
        SELECT FROM squidmesh.leases
        WHERE queue = crowded.queue AND concurrency_key = crowded.concurrency_key
            AND (expires_at > (SELECT now FROM clock)) IS TRUE
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS holder
),
put_aside AS (
    UPDATE squidmesh.agenda SET aside_until = (SELECT now FROM clock) + CASE
        WHEN item = ANY (ARRAY(
            SELECT item FROM crowd WHERE taken <= (
                SELECT count(*) FROM holders
                WHERE holders.queue = crowd.queue AND holders.concurrency_key = crowd.concurrency_key
            )
        ))
        THEN %(aside)s::bigint ELSE %(soon)s::bigint END
    WHERE item = ANY (ARRAY(SELECT item FROM crowd))
    RETURNING aside_until
),
taken_back AS (
    -- (With "aside_until IS NOT NULL" here, it could be planned as a walk over all that is aside.)
    UPDATE squidmesh.agenda SET aside_until = NULL WHERE item = ANY (ARRAY(
        SELECT granted.item FROM granted JOIN free ON free.item = granted.item WHERE free.aside_until IS NOT NULL
    ))
),
filled AS (
    -- Limits of one key may differ, and who ran alone may leave room for several: the next of its key may try.
    UPDATE squidmesh.agenda SET aside_until = NULL WHERE item = ANY (ARRAY(
        SELECT next.item FROM places CROSS JOIN LATERAL (
            SELECT item, concurrency_limit FROM squidmesh.agenda
            WHERE queue = places.queue AND concurrency_key = places.concurrency_key AND aside_until IS NOT NULL
                AND item <> ALL (ARRAY(SELECT item FROM granted))
            ORDER BY priority, visible_at, arrival LIMIT 1 FOR UPDATE SKIP LOCKED
        ) AS next
        WHERE places.granted > 0 AND places.taken + places.granted < next.concurrency_limit
    ))
    RETURNING item
)
SELECT
    (SELECT json_agg(json_build_array(item, queue, generation, fence, position, lease, lapsed)) FROM granted)::text
        AS granted,
    (SELECT min(aside_until) FROM put_aside) AS back_at,
    EXISTS (SELECT FROM filled) OR NOT EXISTS (SELECT FROM asked) AS look_again;

-- name: bring_back
-- Leases whose time is over leave their places (a trigger lets the next try), and who has been aside for long enough
-- tries for himself.
WITH clock AS MATERIALIZED (SELECT squidmesh.moment() AS now),
asked AS MATERIALIZED (SELECT queue FROM json_array_elements_text(%(queues)s::json) AS asked (queue)),
ended AS (
    UPDATE squidmesh.leases SET concurrency_key = NULL
    WHERE (expires_at <= (SELECT now FROM clock)) IS TRUE AND item = ANY (ARRAY(
        SELECT one.item FROM asked CROSS JOIN LATERAL (
            SELECT item FROM squidmesh.leases
            WHERE queue = asked.queue AND concurrency_key IS NOT NULL AND expires_at <= (SELECT now FROM clock)
            ORDER BY expires_at LIMIT %(most)s FOR UPDATE SKIP LOCKED
        ) AS one
    ))
    RETURNING item
),
due AS (
    UPDATE squidmesh.agenda SET aside_until = NULL WHERE item = ANY (ARRAY(
        SELECT one.item FROM asked CROSS JOIN LATERAL (
            SELECT item FROM squidmesh.agenda
            WHERE queue = asked.queue AND aside_until IS NOT NULL AND aside_until <= (SELECT now FROM clock)
            ORDER BY aside_until LIMIT %(most)s FOR UPDATE SKIP LOCKED
        ) AS one
    ))
    RETURNING item
)
SELECT (SELECT count(*) FROM ended) + (SELECT count(*) FROM due);

-- name: held
-- A lease that somebody else is changing at this moment is left out: who waits for none can not be in a deadlock.
WITH asked AS MATERIALIZED (
    SELECT * FROM ROWS FROM (
        json_to_recordset(%(claims)s::json) AS (item text, claim_hash text, fence bigint)
    ) WITH ORDINALITY AS asked (item, claim_hash, fence, place)
),
held AS MATERIALIZED (
    SELECT item, claim_hash, fence, generation, expires_at FROM squidmesh.leases
    WHERE item = ANY (ARRAY(SELECT item FROM asked)) AND claim_hash = ANY (ARRAY(SELECT claim_hash FROM asked))
    FOR NO KEY UPDATE SKIP LOCKED
)

-- name: held_by_one
-- The same for a single claim, which waits for its lease.
WITH asked AS MATERIALIZED (
    SELECT * FROM ROWS FROM (
        json_to_recordset(%(claims)s::json) AS (item text, claim_hash text, fence bigint)
    ) WITH ORDINALITY AS asked (item, claim_hash, fence, place)
),
held AS MATERIALIZED (
    SELECT item, claim_hash, fence, generation, expires_at FROM squidmesh.leases
    WHERE item = ANY (ARRAY(SELECT item FROM asked)) AND claim_hash = ANY (ARRAY(SELECT claim_hash FROM asked))
    FOR NO KEY UPDATE
)

-- name: beat
-- The clock is read when the leases are locked: what ended while this waited is not revived.
clock AS MATERIALIZED (SELECT squidmesh.moment() AS now, (SELECT count(*) FROM held) AS held),
live AS MATERIALIZED (
    SELECT asked.place, held.item
    FROM asked JOIN held
        ON held.item = asked.item AND held.claim_hash = asked.claim_hash AND held.fence = asked.fence
    WHERE held.expires_at > (SELECT now FROM clock)
        AND held.generation >= (SELECT generation FROM squidmesh.agenda WHERE agenda.item = held.item)
),
extended AS (
    UPDATE squidmesh.leases SET expires_at = (SELECT now FROM clock) + lease
    WHERE item = ANY (ARRAY(SELECT item FROM live))
)
SELECT (SELECT now FROM clock) AS now, CASE
    WHEN place = ANY (ARRAY(SELECT place FROM live)) THEN 'extended'
    WHEN (SELECT true FROM squidmesh.agenda WHERE agenda.item = asked.item) IS NULL THEN 'gone'
    WHEN asked.item <> ALL (ARRAY(SELECT item FROM held)) AND (
        SELECT leases.claim_hash = asked.claim_hash AND leases.fence = asked.fence
        FROM squidmesh.leases WHERE leases.item = asked.item
    ) THEN 'busy'
    ELSE 'lost' END AS answer
FROM asked ORDER BY place

-- name: items
-- In order of the table itself.
SELECT item, queue, priority, generation, fence, visible_at, owner, claim_hash, lease, concurrency_key,
    concurrency_limit, squidmesh.moment() AS now
FROM squidmesh.agenda WHERE item > %(after)s AND queue = %(queue)s ORDER BY item LIMIT %(limit)s;

-- name: due_queues
-- The first queues, in the order of the spans, that have something claimable. Hops from one queue that has anything to
-- the next, one seek each, and no further than it must.
WITH clock AS MATERIALIZED (SELECT squidmesh.moment() AS now),
found AS MATERIALIZED (
    SELECT one.queue
    FROM json_to_recordset(%(spans)s::json) AS span (low text, high text) CROSS JOIN LATERAL (
        WITH RECURSIVE hop (queue) AS (
            SELECT least(
                (
                    SELECT min(queue) FROM squidmesh.agenda
                    WHERE aside_until IS NULL AND queue >= span.low COLLATE "C" AND queue <= span.high COLLATE "C"
                ),
                (
                    SELECT min(queue) FROM squidmesh.agenda
                    WHERE aside_until IS NOT NULL AND queue >= span.low COLLATE "C" AND queue <= span.high COLLATE "C"
                )
            )
            UNION ALL
            SELECT least(
                (
                    SELECT min(queue) FROM squidmesh.agenda
                    WHERE aside_until IS NULL AND queue > hop.queue AND queue <= span.high COLLATE "C"
                ),
                (
                    SELECT min(queue) FROM squidmesh.agenda
                    WHERE aside_until IS NOT NULL AND queue > hop.queue AND queue <= span.high COLLATE "C"
                )
            )
            FROM hop WHERE hop.queue IS NOT NULL
        )
        SELECT queue FROM hop WHERE queue IS NOT NULL
    ) AS one
),
running AS MATERIALIZED (
    SELECT queue FROM found WHERE (SELECT true FROM squidmesh.pauses WHERE pauses.queue = found.queue) IS NULL
),
due AS MATERIALIZED (
    SELECT running.queue FROM running
    WHERE (
        SELECT true FROM generate_series(0, 9) AS of (priority) CROSS JOIN LATERAL (
            SELECT FROM squidmesh.agenda
            WHERE queue = running.queue AND aside_until IS NULL AND priority = of.priority
                AND visible_at <= (SELECT now FROM clock)
                AND (
                    SELECT expires_at > (SELECT now FROM clock) AND leases.generation >= agenda.generation
                    FROM squidmesh.leases WHERE leases.item = agenda.item
                ) IS NOT TRUE
            ORDER BY visible_at, arrival LIMIT 1
        ) AS head
        LIMIT 1
    ) OR (
        SELECT true FROM squidmesh.agenda
        WHERE queue = running.queue AND aside_until IS NOT NULL AND aside_until <= (SELECT now FROM clock)
        ORDER BY aside_until LIMIT 1
    ) OR (
        SELECT true FROM squidmesh.leases
        WHERE queue = running.queue AND concurrency_key IS NOT NULL AND expires_at <= (SELECT now FROM clock)
        ORDER BY expires_at LIMIT 1
    )
    LIMIT %(limit)s
)
SELECT (SELECT now FROM clock) AS now, (SELECT json_agg(queue) FROM due)::text AS due,
    CASE WHEN (SELECT count(*) FROM due) < %(limit)s THEN least(
        (
            SELECT min(later.visible_at)
            FROM running CROSS JOIN generate_series(0, 9) AS of (priority) CROSS JOIN LATERAL (
                SELECT visible_at FROM squidmesh.agenda
                WHERE queue = running.queue AND aside_until IS NULL AND priority = of.priority
                    AND visible_at > (SELECT now FROM clock)
                ORDER BY visible_at LIMIT 1
            ) AS later
        ),
        (
            SELECT min(held.expires_at) FROM running CROSS JOIN LATERAL (
                SELECT expires_at FROM squidmesh.leases
                WHERE queue = running.queue AND expires_at > (SELECT now FROM clock)
                ORDER BY expires_at LIMIT 1
            ) AS held
        ),
        (
            SELECT min(aside.aside_until) FROM running CROSS JOIN LATERAL (
                SELECT aside_until FROM squidmesh.agenda
                WHERE queue = running.queue AND aside_until IS NOT NULL ORDER BY aside_until LIMIT 1
            ) AS aside
        )
    ) END AS next_due;

-- name: paused
SELECT queue FROM squidmesh.pauses
WHERE queue = ANY (ARRAY(SELECT json_array_elements_text(%(queues)s::json)));

-- name: stats
-- `kept`: the visible items that a lease keeps from being claimed.
WITH clock AS MATERIALIZED (SELECT squidmesh.moment() AS now),
asked AS MATERIALIZED (
    SELECT queue, turn FROM json_array_elements_text(%(queues)s::json) WITH ORDINALITY AS asked (queue, turn)
)
SELECT asked.queue, in_order.items + aside.items, in_order.visible + aside.visible, held.leased, held.kept,
    (SELECT now FROM clock) - least(aside.oldest, (
        SELECT min(head.visible_at)
        FROM generate_series(0, 9) AS of (priority) CROSS JOIN LATERAL (
            SELECT visible_at FROM squidmesh.agenda
            WHERE queue = asked.queue AND aside_until IS NULL AND priority = of.priority
                AND visible_at <= (SELECT now FROM clock)
                AND (
                    SELECT expires_at > (SELECT now FROM clock) AND leases.generation >= agenda.generation
                    FROM squidmesh.leases WHERE leases.item = agenda.item
                ) IS NOT TRUE
            ORDER BY visible_at, arrival LIMIT 1
        ) AS head
    )) AS oldest
FROM asked CROSS JOIN LATERAL (
    SELECT count(*) AS items, count(*) FILTER (WHERE visible_at <= (SELECT now FROM clock)) AS visible
    FROM squidmesh.agenda WHERE queue = asked.queue AND aside_until IS NULL
) AS in_order CROSS JOIN LATERAL (
    SELECT count(*) AS items, count(*) FILTER (WHERE visible_at <= (SELECT now FROM clock)) AS visible,
        min(visible_at) AS oldest
    FROM squidmesh.agenda WHERE queue = asked.queue AND aside_until IS NOT NULL
) AS aside CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE leases.owner IS NOT NULL) AS leased,
        count(*) FILTER (WHERE item.visible_at <= (SELECT now FROM clock)) AS kept
    FROM squidmesh.leases CROSS JOIN LATERAL (
        SELECT visible_at FROM squidmesh.agenda
        WHERE agenda.item = leases.item AND agenda.generation <= leases.generation OFFSET 0
    ) AS item
    WHERE leases.queue = asked.queue AND leases.expires_at > (SELECT now FROM clock)
) AS held
ORDER BY asked.turn;
