-- Roles with no more rights than they need. Apply it after each migration, as the owner of the tables:
--
--     psql -f roles.sql "postgresql://owner@host/database"
--
-- and give the login roles of your processes one of them: GRANT squidmesh_worker TO checkout_worker;
--
-- squidmesh_reader    lists, inspects, explains, counts
-- squidmesh_worker    starts, commands, works: may append to the journal, and neither change nor delete an entry
-- squidmesh_operator  prunes and reindexes besides: deletes whole threads, and still changes no entry
--
-- To migrate is for the owner alone.

DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['squidmesh_reader', 'squidmesh_worker', 'squidmesh_operator'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
        END IF;
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA squidmesh TO squidmesh_reader, squidmesh_worker, squidmesh_operator;
GRANT SELECT ON ALL TABLES IN SCHEMA squidmesh TO squidmesh_reader, squidmesh_worker, squidmesh_operator;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA squidmesh TO squidmesh_worker, squidmesh_operator;

-- The journal: append only. A revision is counted on by updating the thread's row.
GRANT INSERT ON squidmesh.entries, squidmesh.definitions TO squidmesh_worker, squidmesh_operator;
GRANT INSERT, UPDATE ON squidmesh.threads, squidmesh.checkpoints TO squidmesh_worker, squidmesh_operator;

-- The rows that are derived from it.
GRANT INSERT, UPDATE ON squidmesh.runs TO squidmesh_worker, squidmesh_operator;
GRANT INSERT, UPDATE, DELETE ON
    squidmesh.run_tallies, squidmesh.agenda, squidmesh.timers, squidmesh.dead_letters, squidmesh.pauses
    TO squidmesh_worker, squidmesh_operator;

-- Leases, and what reconcilers and the plane need.
GRANT INSERT, UPDATE, DELETE ON squidmesh.leases, squidmesh.tokens TO squidmesh_worker, squidmesh_operator;
GRANT INSERT, UPDATE ON squidmesh.plane, squidmesh.changes TO squidmesh_worker, squidmesh_operator;

-- Who works now.
GRANT INSERT, UPDATE, DELETE ON squidmesh.registered_workers TO squidmesh_worker, squidmesh_operator;

-- Whole threads that are over.
GRANT INSERT, UPDATE ON squidmesh.tombstones TO squidmesh_operator;
GRANT DELETE ON squidmesh.threads, squidmesh.entries, squidmesh.checkpoints, squidmesh.runs TO squidmesh_operator;
