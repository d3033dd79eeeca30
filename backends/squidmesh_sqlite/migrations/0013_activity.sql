-- About when a run was last active (protocol 3.3). Of runs that were started before, it is their end or their start until
-- they are written next; reindex knows better.
ALTER TABLE runs ADD COLUMN active_at INTEGER NOT NULL DEFAULT 0;
UPDATE runs SET active_at = coalesce(ended_at, started_at);
CREATE INDEX runs_by_activity ON runs (active_at, run_id);

-- How many runs have ended, and how: so nobody counts them one by one. Those that are open are counted as they stand.
CREATE TABLE run_tallies (
    workflow TEXT    NOT NULL,
    status   TEXT    NOT NULL,
    runs     INTEGER NOT NULL,
    PRIMARY KEY (workflow, status)
) STRICT, WITHOUT ROWID;

INSERT INTO run_tallies (workflow, status, runs)
SELECT workflow, status, count(*) FROM runs WHERE status IN ('completed', 'failed', 'cancelled')
GROUP BY workflow, status;

-- The triggers see to it, whoever writes: in the transaction that ends the run, so that both happen or neither.
CREATE TRIGGER run_put_ended AFTER INSERT ON runs WHEN new.status IN ('completed', 'failed', 'cancelled')
BEGIN
    INSERT INTO run_tallies (workflow, status, runs) VALUES (new.workflow, new.status, 1)
    ON CONFLICT (workflow, status) DO UPDATE SET runs = runs + 1;
END;

CREATE TRIGGER run_ended AFTER UPDATE OF status ON runs
WHEN new.status <> old.status AND new.status IN ('completed', 'failed', 'cancelled')
BEGIN
    INSERT INTO run_tallies (workflow, status, runs) VALUES (new.workflow, new.status, 1)
    ON CONFLICT (workflow, status) DO UPDATE SET runs = runs + 1;
END;

CREATE TRIGGER run_goes_on AFTER UPDATE OF status ON runs
WHEN new.status <> old.status AND old.status IN ('completed', 'failed', 'cancelled')
BEGIN
    UPDATE run_tallies SET runs = runs - 1 WHERE workflow = old.workflow AND status = old.status;
END;

CREATE TRIGGER run_is_gone AFTER DELETE ON runs WHEN old.status IN ('completed', 'failed', 'cancelled')
BEGIN
    UPDATE run_tallies SET runs = runs - 1 WHERE workflow = old.workflow AND status = old.status;
END;

PRAGMA user_version = 13;
