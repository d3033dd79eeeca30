-- name: durable
-- Each commit is on the disk when it returns.
PRAGMA foreign_keys = OFF;
PRAGMA temp_store = MEMORY;
PRAGMA cache_size = -16384;
PRAGMA synchronous = FULL;

-- name: ordered
-- A commit may be lost in a power cut, but only together with all that came after it: the next durable commit writes
-- the same log, so it takes every earlier one with it.
PRAGMA foreign_keys = OFF;
PRAGMA temp_store = MEMORY;
PRAGMA cache_size = -16384;
PRAGMA synchronous = NORMAL;

-- name: begin
BEGIN IMMEDIATE;

-- name: commit
COMMIT;

-- name: rollback
ROLLBACK;

-- name: data_version
PRAGMA data_version;
