-- serves: 1

-- Who works now: written by each worker of itself, every few seconds. As many rows as there are workers, and those that
-- were lost lately; nothing of it is derived from threads. No second index and room on each page: an update stays there.
CREATE TABLE squidmesh.registered_workers (
    name       text COLLATE "C" NOT NULL PRIMARY KEY,
    host       text COLLATE "C" NOT NULL,
    pid        bigint           NOT NULL,
    version    text COLLATE "C" NOT NULL,
    queues     text COLLATE "C" NOT NULL,
    slots      integer          NOT NULL,
    busy       integer          NOT NULL,
    leases     integer          NOT NULL,
    draining   boolean          NOT NULL,
    started_at bigint           NOT NULL,
    seen_at    bigint           NOT NULL
) WITH (fillfactor = 50);
