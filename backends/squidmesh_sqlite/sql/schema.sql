-- name: as_it_is
-- A file that was cut short tells its mark all the same.
PRAGMA writable_schema = ON;

-- name: application_id
PRAGMA application_id;

-- name: user_version
PRAGMA user_version;

-- name: count_objects
SELECT count(*) FROM sqlite_schema;

-- name: write_ahead
PRAGMA journal_mode = WAL;

-- name: incarnation
SELECT incarnation FROM store;
