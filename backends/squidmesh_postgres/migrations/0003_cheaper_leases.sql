-- serves: 1

-- A lease that was handed over from one step to the next has no request, so nobody looks for it by one: only what a claim
-- granted stands in this index. Older code asks in the same words.
CREATE INDEX leases_by_request ON squidmesh.leases (owner, request_hash) WHERE request_hash IS NOT NULL;
DROP INDEX squidmesh.leases_by_owner;

-- As before, with a look at concurrency keys only where an attempt that has gone had one: most have none, and this runs
-- in every commit that ends one.
CREATE OR REPLACE FUNCTION squidmesh.attempts_are_gone() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    counted text[];
BEGIN
    WITH ended AS (
        DELETE FROM squidmesh.leases WHERE item = ANY (ARRAY(SELECT item FROM gone)) RETURNING item, concurrency_key
    )
    SELECT array_agg(item) INTO counted FROM ended WHERE concurrency_key IS NOT NULL;
    IF EXISTS (SELECT FROM gone WHERE concurrency_key IS NOT NULL) THEN
        PERFORM squidmesh.bring_back(queue, concurrency_key) FROM gone
        WHERE concurrency_key IS NOT NULL AND aside_until IS NULL AND (item = ANY (counted)) IS NOT TRUE;
    END IF;
    RETURN NULL;
END
$$;
