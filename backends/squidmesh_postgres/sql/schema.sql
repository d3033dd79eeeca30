-- name: session
-- A migration may take its time; it does not wait behind a session that sleeps in a transaction for ever.
SELECT
    set_config('application_name', 'squidmesh migrate', false),
    set_config('timezone', 'UTC', false),
    set_config('lock_timeout', '60s', false),
    set_config('statement_timeout', '0', false),
    set_config('client_min_messages', 'warning', false);

-- name: lock
-- One node migrates; the others wait for it, and find it done.
SELECT pg_advisory_xact_lock(hashtextextended('squidmesh migrate ' || %(schema)s, 0));

-- name: look
SELECT to_regclass('squidmesh.migrations') IS NOT NULL, to_regnamespace(%(schema)s) IS NOT NULL,
    EXISTS (SELECT FROM pg_class WHERE relnamespace = to_regnamespace(%(schema)s)::oid);

-- name: found
CREATE SCHEMA IF NOT EXISTS squidmesh;

-- name: found_list
-- `serves`: the oldest code that can go on with this schema, as the last migration that it knows.
CREATE TABLE IF NOT EXISTS squidmesh.migrations (
    number     integer     NOT NULL PRIMARY KEY,
    name       text        NOT NULL,
    serves     integer     NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- name: applied
SELECT number FROM squidmesh.migrations ORDER BY number;

-- name: state
SELECT coalesce(max(number), 0), coalesce(max(serves), 0) FROM squidmesh.migrations;

-- name: note
INSERT INTO squidmesh.migrations (number, name, serves) VALUES (%(number)s, %(name)s, %(serves)s);

-- name: opened
SELECT squidmesh.moment(), incarnation FROM squidmesh.store;
