-- name: journal_mode
PRAGMA journal_mode;

-- name: synchronous
PRAGMA synchronous;

-- name: quick_check
-- Up to so many faults.
PRAGMA quick_check(3);
