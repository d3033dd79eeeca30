-- Attempts that share a key may not all be leased at once. What is met at its key's limit is put `aside`, so that a crowd
-- of such attempts is walked past once, not by every claim.
--
-- What always holds: where something of a key is aside, a lease of that key counts, or something of that key is in order.
-- So whatever ends the one or takes away the other brings the first of those that wait back in order, which then tries
-- its luck like everyone. The triggers see to it, whoever writes.
ALTER TABLE agenda ADD COLUMN concurrency_key TEXT;
ALTER TABLE agenda ADD COLUMN concurrency_limit INTEGER;
ALTER TABLE agenda ADD COLUMN aside INTEGER NOT NULL DEFAULT 0;

DROP INDEX agenda_order;
CREATE INDEX agenda_order ON agenda (queue, aside, priority, visible_at, arrival);
CREATE INDEX agenda_aside ON agenda (queue, concurrency_key, priority, visible_at, arrival) WHERE aside = 1;

-- Set while the lease counts: from the grant to its end, or until a claim notices that its time is over.
ALTER TABLE leases ADD COLUMN concurrency_key TEXT;

CREATE INDEX leases_by_key ON leases (queue, concurrency_key, expires_at) WHERE concurrency_key IS NOT NULL;
CREATE INDEX leases_that_count ON leases (queue, expires_at) WHERE concurrency_key IS NOT NULL;

CREATE TRIGGER lease_is_gone AFTER DELETE ON leases WHEN old.concurrency_key IS NOT NULL
BEGIN
    UPDATE agenda SET aside = 0 WHERE item = (
        SELECT item FROM agenda
        WHERE queue = old.queue AND concurrency_key = old.concurrency_key AND aside = 1
        ORDER BY priority, visible_at, arrival LIMIT 1
    );
END;

CREATE TRIGGER lease_counts_no_more AFTER UPDATE OF concurrency_key ON leases
WHEN old.concurrency_key IS NOT NULL AND new.concurrency_key IS NULL
BEGIN
    UPDATE agenda SET aside = 0 WHERE item = (
        SELECT item FROM agenda
        WHERE queue = old.queue AND concurrency_key = old.concurrency_key AND aside = 1
        ORDER BY priority, visible_at, arrival LIMIT 1
    );
END;

-- One that stood in order, and may have had a free place in view.
CREATE TRIGGER attempt_is_gone AFTER DELETE ON agenda
WHEN old.concurrency_key IS NOT NULL AND old.aside = 0
    AND NOT EXISTS (SELECT 1 FROM leases WHERE item = old.item AND concurrency_key IS NOT NULL)
BEGIN
    UPDATE agenda SET aside = 0 WHERE item = (
        SELECT item FROM agenda
        WHERE queue = old.queue AND concurrency_key = old.concurrency_key AND aside = 1
        ORDER BY priority, visible_at, arrival LIMIT 1
    );
END;

PRAGMA user_version = 9;
