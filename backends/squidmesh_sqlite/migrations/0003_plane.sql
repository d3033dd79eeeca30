-- At most one row: the lease backend that delivers this journal's work. Every commit that records a claim compares the
-- epoch.
CREATE TABLE plane (
    one         INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    mesh        TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    epoch       INTEGER NOT NULL,
    incarnation TEXT,
    moving      INTEGER NOT NULL
) STRICT;

PRAGMA user_version = 3;
