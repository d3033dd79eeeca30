-- Applied in one transaction, before the file is switched to WAL: so the header of the main file names us from its
-- first commit on, and a foreign file is told by its first hundred bytes.
PRAGMA application_id = 1397837105;

-- ---------------------------------------------------------------------------------------------------- the threads

-- In order of arrival, with a slim index by thread: a batch of entries of many runs then fills a few pages at the end
-- of the table, instead of changing a page a run. No index of entry ids: an append whose outcome is unknown can only
-- stand at its expected revision + 1.
CREATE TABLE entries (
    thread   TEXT    NOT NULL,
    revision INTEGER NOT NULL,
    entry_id TEXT    NOT NULL,
    body     BLOB    NOT NULL
) STRICT;

CREATE UNIQUE INDEX entries_of_thread ON entries (thread, revision);

CREATE TABLE checkpoints (
    thread   TEXT    NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL,
    body     BLOB    NOT NULL
) STRICT;

CREATE TABLE definitions (
    fingerprint TEXT NOT NULL PRIMARY KEY,
    body        BLOB NOT NULL
) STRICT;

-- ------------------------------------------------------------------------------------------------------- the rows

CREATE TABLE runs (
    run_id     TEXT    NOT NULL PRIMARY KEY,
    workflow   TEXT    NOT NULL,
    version    TEXT    NOT NULL,
    trigger    TEXT    NOT NULL,
    key        TEXT,
    queue      TEXT    NOT NULL,
    status     TEXT    NOT NULL,
    step       TEXT,
    error      TEXT,
    started_at INTEGER NOT NULL,
    due_at     INTEGER,
    ended_at   INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX runs_newest ON runs (started_at, run_id);
CREATE INDEX runs_of_workflow ON runs (workflow, started_at, run_id);
CREATE INDEX runs_by_key ON runs (key) WHERE key IS NOT NULL;
-- Most runs end well, and nobody looks for those by their status.
CREATE INDEX runs_by_status ON runs (status, started_at, run_id) WHERE status <> 'completed';

CREATE TABLE agenda (
    item       TEXT    NOT NULL PRIMARY KEY,
    run_id     TEXT    NOT NULL,
    step       TEXT    NOT NULL,
    attempt    INTEGER NOT NULL,
    queue      TEXT    NOT NULL,
    priority   INTEGER NOT NULL,
    visible_at INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    fence      INTEGER NOT NULL,
    owner      TEXT,
    claim_hash TEXT,
    lease      INTEGER,
    arrival    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX agenda_order ON agenda (queue, priority, visible_at, arrival);

-- ----------------------------------------------------------------------------------------------------- the leases

-- One row at most an agenda row, and gone with it. `fence` is the fence of the holder, `granted` the greatest one that
-- was ever granted or told as a floor. Without an owner the item is only held back until `expires_at`.
CREATE TABLE leases (
    item         TEXT    NOT NULL PRIMARY KEY,
    queue        TEXT    NOT NULL,
    generation   INTEGER NOT NULL,
    fence        INTEGER NOT NULL,
    granted      INTEGER NOT NULL,
    owner        TEXT,
    claim_hash   TEXT,
    request_hash TEXT,
    position     INTEGER,
    lease        INTEGER,
    expires_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX leases_by_owner ON leases (owner, request_hash) WHERE owner IS NOT NULL;
CREATE INDEX leases_by_end ON leases (queue, expires_at);

-- ------------------------------------------------------------------------------------------------------- the file

-- One row: the name of this file's memory.
CREATE TABLE store (
    incarnation TEXT NOT NULL
) STRICT;

INSERT INTO store (incarnation) VALUES (lower(hex(randomblob(16))));

PRAGMA user_version = 1;
