-- What a judge has read of histories and ledgers. Nothing here outlives the judge, so nothing is synchronised.
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA temp_store = MEMORY;

CREATE TABLE calls (run TEXT, begun INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE deeds (
    run TEXT NOT NULL, mono INTEGER NOT NULL, file TEXT NOT NULL, line INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE TABLE met (run TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE expected (run TEXT PRIMARY KEY, place TEXT NOT NULL) WITHOUT ROWID;
