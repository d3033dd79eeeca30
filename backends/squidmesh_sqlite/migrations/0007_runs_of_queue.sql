-- Lists of one queue's runs: without it, a queue without runs costs a walk over all.
CREATE INDEX runs_of_queue ON runs (queue, started_at, run_id);

PRAGMA user_version = 7;
