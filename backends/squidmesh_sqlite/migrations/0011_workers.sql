-- Who works now: written by each worker of itself, every few seconds. Small; nothing of it is derived from threads.
CREATE TABLE registered_workers (
    name       TEXT    NOT NULL PRIMARY KEY,
    host       TEXT    NOT NULL,
    pid        INTEGER NOT NULL,
    version    TEXT    NOT NULL,
    queues     TEXT    NOT NULL,
    slots      INTEGER NOT NULL,
    busy       INTEGER NOT NULL,
    leases     INTEGER NOT NULL,
    draining   INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 11;
