-- name: begin
BEGIN ISOLATION LEVEL READ COMMITTED;

-- name: mark
SELECT set_config('squidmesh_step.claim', %(mark)s, true),
    set_config('statement_timeout', %(limit)s, true),
    set_config('idle_in_transaction_session_timeout', %(limit)s, true);

-- name: is_marked
SELECT current_setting('squidmesh_step.claim', true) = %(mark)s;

-- name: plan_as_we_do
-- As in our own sessions (connection.sql), for the rest of this transaction.
SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
    set_config('enable_mergejoin', 'off', true), set_config('enable_material', 'off', true),
    set_config('jit', 'off', true);

-- name: commit
COMMIT;

-- name: rollback
ROLLBACK;

-- name: as_before
-- What a step may have set beyond its transaction.
RESET SESSION AUTHORIZATION;
RESET ALL;
UNLISTEN *;
CLOSE ALL;
SELECT pg_advisory_unlock_all();
DISCARD TEMP;
DISCARD SEQUENCES;

-- name: save
SAVEPOINT squidmesh_start;

-- name: undo
ROLLBACK TO SAVEPOINT squidmesh_start;

-- name: release
RELEASE SAVEPOINT squidmesh_start;

-- name: whose
-- And how long the host's transaction waits for a lock, as it was set, where that is longer than we want to wait.
SELECT incarnation, CASE
    WHEN (SELECT setting::integer NOT BETWEEN 1 AND %(longest)s::integer FROM pg_settings WHERE name = 'lock_timeout')
    THEN current_setting('lock_timeout') END
FROM squidmesh.store;

-- name: wait_for_locks
SELECT set_config('lock_timeout', %(lock_timeout)s, true);
