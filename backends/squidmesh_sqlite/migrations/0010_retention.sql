-- Which run started this one as its child. Of runs that were started before, it is known when they are written next; who
-- prunes looks into their threads.
ALTER TABLE runs ADD COLUMN parent TEXT;

-- What may be pruned, by its end: a run enters it once, when it ends, and at its end.
CREATE INDEX runs_ended ON runs (ended_at, run_id) WHERE ended_at IS NOT NULL AND parent IS NULL;

-- What stays of a pruned run whose id is derived. Looked at by appends at revision 0 only.
CREATE TABLE tombstones (
    run_id   TEXT    NOT NULL PRIMARY KEY,
    workflow TEXT    NOT NULL,
    status   TEXT    NOT NULL,
    ended_at INTEGER NOT NULL,
    revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 10;
