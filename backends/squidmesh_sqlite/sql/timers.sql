-- name: set
INSERT OR REPLACE INTO timers (timer, run_id, kind, due_at, subject, sender, detail) VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: drop
DELETE FROM timers WHERE timer = ?;

-- name: due
SELECT timer, run_id, kind, due_at, subject, sender, detail
FROM timers WHERE due_at <= :until AND (due_at, timer) > (:due_at, :timer) ORDER BY due_at, timer LIMIT :limit;

-- name: next
SELECT min(due_at) FROM timers;

-- name: open
SELECT timer, run_id, kind, due_at, subject, sender, detail FROM timers WHERE timer > :after ORDER BY timer LIMIT :limit;

-- name: drop_signal
DELETE FROM timers WHERE timer = ? AND sender IS NOT NULL;
