-- name: server
SELECT current_setting('server_version'), current_setting('server_version_num')::integer, pg_is_in_recovery(),
    current_setting('transaction_read_only')::boolean;

-- name: settings
SELECT name, setting FROM pg_settings WHERE name IN (
    'synchronous_commit', 'fsync', 'full_page_writes', 'autovacuum', 'max_connections', 'wal_level',
    'idle_in_transaction_session_timeout'
);

-- name: connections
SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend';

-- name: oldest_transaction
-- What is dead stays in the tables, and in the indexes that claims walk, for as long as somebody might still see it.
SELECT extract(epoch FROM clock_timestamp() - min(xact_start))::float8 FROM pg_stat_activity
WHERE xact_start IS NOT NULL AND backend_type = 'client backend' AND pid <> pg_backend_pid();

-- name: sizes
SELECT relname, pg_total_relation_size(oid), pg_table_size(oid) FROM pg_class
WHERE relnamespace = to_regnamespace(%(schema)s)::oid AND relkind = 'r' ORDER BY 2 DESC, 1;

-- name: rights
-- Whether this role may append, and whether it may do what nobody should.
SELECT has_table_privilege('squidmesh.entries', 'INSERT'), has_table_privilege('squidmesh.entries', 'UPDATE');

-- name: moment
SELECT squidmesh.moment();
