-- Attempts that wait for an operator. As many rows as there are dead letters, which is few.
CREATE TABLE dead_letters (
    item       TEXT    NOT NULL PRIMARY KEY,
    run_id     TEXT    NOT NULL,
    workflow   TEXT    NOT NULL,
    step       TEXT    NOT NULL,
    attempt    INTEGER NOT NULL,
    queue      TEXT    NOT NULL,
    generation INTEGER NOT NULL,
    fence      INTEGER NOT NULL,
    cause      TEXT    NOT NULL,
    lost       INTEGER NOT NULL,
    lapsed     INTEGER NOT NULL,
    detail     TEXT,
    owner      TEXT,
    died_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX dead_letters_oldest ON dead_letters (died_at, item);

-- Leases in a row that ended without a word.
ALTER TABLE leases ADD COLUMN lapsed INTEGER NOT NULL DEFAULT 0;

PRAGMA user_version = 5;
