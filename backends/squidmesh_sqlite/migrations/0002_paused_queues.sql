-- The queues of which nothing is granted. An operator's word, so it is kept where the leases are; empty in most files.
CREATE TABLE paused_queues (
    queue TEXT NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 2;
