-- What a reconciler asks: which agenda rows were written since it passed last. Writers of one file come one after the
-- other, so a count of them does. A file without reconciler has no row in `changes`, and no row in the index.
CREATE TABLE changes (
    one      INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    position INTEGER NOT NULL
) STRICT;

ALTER TABLE agenda ADD COLUMN writer INTEGER;

CREATE INDEX agenda_changes ON agenda (queue, writer, item) WHERE writer IS NOT NULL;

-- Random words that reconcilers commit before they offer: a cursor whose word is not here was written for another past.
CREATE TABLE tokens (
    queue  TEXT    NOT NULL,
    number INTEGER NOT NULL,
    token  TEXT    NOT NULL,
    PRIMARY KEY (queue, number)
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 4;
