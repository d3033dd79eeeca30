-- name: tables
SELECT name FROM sqlite_schema WHERE type = 'table' AND name IN (
    'entries', 'checkpoints', 'definitions', 'runs', 'agenda', 'leases', 'store', 'paused_queues', 'plane', 'changes',
    'tokens', 'dead_letters', 'timers', 'pauses', 'tombstones', 'registered_workers', 'run_tallies'
);

-- name: save
SAVEPOINT completion;

-- name: undo
ROLLBACK TO completion;

-- name: release
RELEASE completion;
