-- Queues of which nothing is claimed: a row of the journal, with who said so, in place of a note of the leases.
CREATE TABLE pauses (
    queue     TEXT    NOT NULL PRIMARY KEY,
    actor     TEXT    NOT NULL,
    comment   TEXT    NOT NULL,
    paused_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What stands there is paused on, and becomes a fact, so that the row can be made again from its thread. The functions
-- are those of migrating.py.
INSERT INTO entries (thread, revision, entry_id, body)
SELECT queue_thread(queue), 1, lower(hex(randomblob(16))), pause_entry(queue) FROM paused_queues;

INSERT INTO pauses (queue, actor, comment, paused_at)
SELECT queue, paused_by(), paused_why(), paused_at() FROM paused_queues;

DROP TABLE paused_queues;

PRAGMA user_version = 8;
