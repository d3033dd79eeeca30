-- What runs have to hear, and when: their own deadlines, and words of other runs. As many rows as are open.
CREATE TABLE timers (
    timer   TEXT    NOT NULL PRIMARY KEY,
    run_id  TEXT    NOT NULL,
    kind    TEXT    NOT NULL,
    due_at  INTEGER NOT NULL,
    subject TEXT    NOT NULL,
    sender  TEXT,
    detail  TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX timers_due ON timers (due_at, timer);

PRAGMA user_version = 6;
