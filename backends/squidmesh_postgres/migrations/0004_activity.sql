-- serves: 1

-- About when a run was last active (protocol 3.3). Older code knows nothing of it, and leaves it NULL: so a run is listed
-- by the latest of this, its end and its start. No row is written for it now: reindex knows better of old ones.
ALTER TABLE squidmesh.runs ADD COLUMN active_at bigint;
CREATE INDEX runs_by_activity ON squidmesh.runs (greatest(active_at, ended_at, started_at), run_id);
