-- name: revisions
SELECT value, (SELECT max(revision) FROM entries WHERE thread = value) FROM json_each(?);

-- name: stand
-- The same, and beside each all that a commit has to know before it writes: the plane's epoch, the number of the last
-- entry, and where changes are tracked, the position of the next writer.
SELECT value, (SELECT max(revision) FROM entries WHERE thread = value), (SELECT epoch FROM plane),
    (SELECT max(rowid) FROM entries), (SELECT position FROM changes)
FROM json_each(?);

-- name: append
INSERT INTO entries (thread, revision, entry_id, body) VALUES (?, ?, ?, ?);

-- name: save_checkpoint
INSERT OR REPLACE INTO checkpoints (thread, revision, body) VALUES (?, ?, ?);

-- name: save_definition
INSERT OR IGNORE INTO definitions (fingerprint, body) VALUES (?, ?);

-- name: put_run
-- A run's workflow, key, queue and start never change: their indexes are left alone.
INSERT INTO runs
    (run_id, workflow, version, trigger, key, queue, status, step, error, started_at, due_at, ended_at, parent,
    active_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run_id) DO UPDATE SET
    version = excluded.version, trigger = excluded.trigger, status = excluded.status,
    step = excluded.step, error = excluded.error, due_at = excluded.due_at, ended_at = excluded.ended_at,
    parent = excluded.parent, active_at = excluded.active_at;

-- name: move_run
-- The most common change: the run stands at another step, and all else is as it was. SQLite writes the indexes of every
-- column that is named in a SET, whether its value changes or not; of the step there is none.
UPDATE runs SET step = ?
WHERE run_id = ? AND status = ? AND version = ? AND trigger = ? AND active_at = ?
    AND due_at IS NULL AND ended_at IS NULL AND error IS NULL AND parent IS NULL;

-- name: move_run_on
-- Every ten seconds at most, the time of its newest entry is another as well.
UPDATE runs SET step = ?, active_at = ?
WHERE run_id = ? AND status = ? AND version = ? AND trigger = ? AND active_at <> ?
    AND due_at IS NULL AND ended_at IS NULL AND error IS NULL AND parent IS NULL;

-- name: next_position
-- No row where nobody reconciles.
UPDATE changes SET position = position + 1 RETURNING position - 1;

-- name: put_attempt
INSERT INTO agenda
    (item, run_id, step, attempt, queue, priority, visible_at, generation, fence, owner, claim_hash, lease,
    concurrency_key, concurrency_limit, arrival, writer)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (item) DO UPDATE SET
    queue = excluded.queue, priority = excluded.priority, visible_at = excluded.visible_at,
    generation = excluded.generation, fence = excluded.fence,
    owner = excluded.owner, claim_hash = excluded.claim_hash, lease = excluded.lease,
    concurrency_key = excluded.concurrency_key, concurrency_limit = excluded.concurrency_limit,
    writer = excluded.writer, aside = 0;

-- name: claim_attempt
-- What a recorded claim changes is in no index.
UPDATE agenda SET generation = ?, fence = ?, owner = ?, claim_hash = ?, lease = ?
WHERE item = ? AND queue = ? AND priority = ? AND visible_at = ?
    AND aside = 0 AND concurrency_key IS NULL AND concurrency_limit IS NULL AND writer IS NULL;

-- name: follow_attempt
-- One statement in place of a DELETE and an INSERT: an attempt has ended, and another one of its run follows. A row that
-- is there under the new name already is left alone, and so is this one.
UPDATE OR IGNORE agenda SET item = ?, step = ?, attempt = ?, priority = ?, visible_at = ?, generation = ?, fence = ?,
    owner = ?, claim_hash = ?, lease = ?, arrival = ?
WHERE item = ? AND run_id = ? AND queue = ?
    AND aside = 0 AND concurrency_key IS NULL AND concurrency_limit IS NULL AND writer IS NULL;

-- name: remove_attempt
DELETE FROM agenda WHERE item = ?;

-- name: bury
INSERT OR REPLACE INTO dead_letters
    (item, run_id, workflow, step, attempt, queue, generation, fence, cause, lost, lapsed, detail, owner, died_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: unbury
DELETE FROM dead_letters WHERE item = ?;

-- name: pause_queue
INSERT OR REPLACE INTO pauses (queue, actor, comment, paused_at) VALUES (?, ?, ?, ?);

-- name: resume_queue
DELETE FROM pauses WHERE queue = ?;

-- name: read_checkpoints
SELECT request.value, checkpoints.revision, checkpoints.body
FROM json_each(?) AS request CROSS JOIN checkpoints ON checkpoints.thread = request.value;

-- name: read_tails
SELECT request.key, entries.revision, entries.entry_id, entries.body
FROM json_each(?) AS request CROSS JOIN entries
    ON entries.thread = json_extract(request.value, '$[0]')
    AND entries.revision > json_extract(request.value, '$[1]');

-- name: read_entry
SELECT entry_id, body FROM entries WHERE thread = ? AND revision = ?;

-- name: read_definition
SELECT body FROM definitions WHERE fingerprint = ?;

-- name: read_plane
SELECT mesh, kind, name, epoch, incarnation, moving FROM plane;

-- name: put_plane
INSERT OR REPLACE INTO plane (one, mesh, kind, name, epoch, incarnation, moving) VALUES (1, ?, ?, ?, ?, ?, ?);

-- name: nothing_aside
-- Who delivers from now on begins with everything in order.
UPDATE agenda SET aside = 0 WHERE aside = 1;
