-- serves: 1

-- Texts sort as their bytes do, as in every other store: a cursor means the same everywhere, whatever the database's
-- own collation.

-- ------------------------------------------------------------------------------------------------------ the clock

-- Microseconds since 1970. The one clock of this plane; tests put another one in its place.
CREATE FUNCTION squidmesh.moment() RETURNS bigint LANGUAGE sql VOLATILE
AS $$ SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint $$;

-- ---------------------------------------------------------------------------------------------------- the threads

-- A revision is a locked counter: who holds the row appends the next entry. Never a sequence, which would have gaps.
-- 0: somebody began to write the thread's first entry, and did not. Below 0: the run was pruned at that revision, and its
-- name stays taken for ever, which `tombstones` says more of.
CREATE TABLE squidmesh.threads (
    thread   text COLLATE "C" NOT NULL PRIMARY KEY,
    revision integer          NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE squidmesh.entries (
    thread   text COLLATE "C" NOT NULL,
    revision integer          NOT NULL,
    entry_id text COLLATE "C" NOT NULL,
    body     bytea            NOT NULL,
    PRIMARY KEY (thread, revision)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.05);

CREATE TABLE squidmesh.tombstones (
    run_id   text COLLATE "C" NOT NULL PRIMARY KEY,
    workflow text COLLATE "C" NOT NULL,
    status   text COLLATE "C" NOT NULL,
    ended_at bigint           NOT NULL,
    revision integer          NOT NULL
);

CREATE TABLE squidmesh.checkpoints (
    thread   text COLLATE "C" NOT NULL PRIMARY KEY,
    revision integer          NOT NULL,
    body     bytea            NOT NULL
);

CREATE TABLE squidmesh.definitions (
    fingerprint text COLLATE "C" NOT NULL PRIMARY KEY,
    body        bytea            NOT NULL
);

-- ------------------------------------------------------------------------------------------------------- the rows

CREATE TABLE squidmesh.runs (
    run_id     text COLLATE "C" NOT NULL PRIMARY KEY,
    workflow   text COLLATE "C" NOT NULL,
    version    text COLLATE "C" NOT NULL,
    trigger    text COLLATE "C" NOT NULL,
    key        text COLLATE "C",
    queue      text COLLATE "C" NOT NULL,
    status     text COLLATE "C" NOT NULL,
    step       text COLLATE "C",
    error      text COLLATE "C",
    started_at bigint           NOT NULL,
    due_at     bigint,
    ended_at   bigint,
    parent     text COLLATE "C"
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02,
        autovacuum_vacuum_cost_delay = 0);

CREATE INDEX runs_newest ON squidmesh.runs (started_at, run_id);
CREATE INDEX runs_of_workflow ON squidmesh.runs (workflow, started_at, run_id);
CREATE INDEX runs_of_queue ON squidmesh.runs (queue, started_at, run_id);
CREATE INDEX runs_by_key ON squidmesh.runs (key) WHERE key IS NOT NULL;
-- Most runs end well, and nobody looks for those by their status.
CREATE INDEX runs_by_status ON squidmesh.runs (status, started_at, run_id) WHERE status <> 'completed';

-- What may be pruned, by its end: a run enters it once, when it ends, and at its end.
CREATE INDEX runs_ended ON squidmesh.runs (ended_at, run_id) WHERE ended_at IS NOT NULL AND parent IS NULL;
-- What waits only for a time counts as running from then on.
CREATE INDEX runs_due ON squidmesh.runs (due_at) WHERE status IN ('waiting', 'retrying') AND due_at IS NOT NULL;

-- How many runs have which status: the sum of these. Every entry that changes a status adds a row, so that writers do
-- not wait for each other; now and then many rows become few.
CREATE TABLE squidmesh.run_tallies (
    workflow text COLLATE "C" NOT NULL,
    status   text COLLATE "C" NOT NULL,
    runs     bigint           NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

CREATE SEQUENCE squidmesh.arrivals AS bigint CACHE 1;

-- Open attempts only, so it stays small. `aside_until`: held back by its concurrency key. What ends a lease of the key,
-- or takes away one of its attempts that stood in order, brings the first of them back (see `bring_back`); when that time
-- is over it tries its luck by itself.
CREATE TABLE squidmesh.agenda (
    item              text COLLATE "C" NOT NULL PRIMARY KEY,
    run_id            text COLLATE "C" NOT NULL,
    step              text COLLATE "C" NOT NULL,
    attempt           integer          NOT NULL,
    queue             text COLLATE "C" NOT NULL,
    priority          integer          NOT NULL,
    visible_at        bigint           NOT NULL,
    generation        integer          NOT NULL,
    fence             bigint           NOT NULL,
    owner             text COLLATE "C",
    claim_hash        text COLLATE "C",
    lease             bigint,
    concurrency_key   text COLLATE "C",
    concurrency_limit integer,
    arrival           bigint           NOT NULL DEFAULT nextval('squidmesh.arrivals'),
    aside_until       bigint,
    writer            xid8
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 200,
        autovacuum_analyze_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

CREATE INDEX agenda_order ON squidmesh.agenda (queue, priority, visible_at, arrival) WHERE aside_until IS NULL;
-- The first of one key. Nothing is aside without a key; who does not ask for one has the index below.
CREATE INDEX agenda_aside ON squidmesh.agenda (queue, concurrency_key, priority, visible_at, arrival)
    WHERE aside_until IS NOT NULL AND concurrency_key IS NOT NULL;
CREATE INDEX agenda_aside_until ON squidmesh.agenda (queue, aside_until) WHERE aside_until IS NOT NULL;
-- What a reconciler asks: which rows were written since it passed last. By the id of the writing transaction: a
-- sequence would be overtaken by a transaction that took its number early and committed late.
CREATE INDEX agenda_changes ON squidmesh.agenda (queue, writer, item) WHERE writer IS NOT NULL;

CREATE TABLE squidmesh.timers (
    timer   text COLLATE "C" NOT NULL PRIMARY KEY,
    run_id  text COLLATE "C" NOT NULL,
    kind    text COLLATE "C" NOT NULL,
    due_at  bigint           NOT NULL,
    subject text COLLATE "C" NOT NULL,
    sender  text COLLATE "C",
    detail  text COLLATE "C" NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_cost_delay = 0);

-- The condition always holds. It is stated by those who ask by time: so nobody else is planned to walk through this index,
-- which may look as cheap as the primary key while the table is empty.
CREATE INDEX timers_due ON squidmesh.timers (due_at, timer) WHERE due_at >= '-9223372036854775808'::bigint;

CREATE TABLE squidmesh.dead_letters (
    item       text COLLATE "C" NOT NULL PRIMARY KEY,
    run_id     text COLLATE "C" NOT NULL,
    workflow   text COLLATE "C" NOT NULL,
    step       text COLLATE "C" NOT NULL,
    attempt    integer          NOT NULL,
    queue      text COLLATE "C" NOT NULL,
    generation integer          NOT NULL,
    fence      bigint           NOT NULL,
    cause      text COLLATE "C" NOT NULL,
    lost       integer          NOT NULL,
    lapsed     integer          NOT NULL,
    detail     text COLLATE "C",
    owner      text COLLATE "C",
    died_at    bigint           NOT NULL
);

-- As for timers_due.
CREATE INDEX dead_letters_oldest ON squidmesh.dead_letters (died_at, item)
    WHERE died_at >= '-9223372036854775808'::bigint;

CREATE TABLE squidmesh.pauses (
    queue     text COLLATE "C" NOT NULL PRIMARY KEY,
    actor     text COLLATE "C" NOT NULL,
    comment   text COLLATE "C" NOT NULL,
    paused_at bigint           NOT NULL
);

-- ----------------------------------------------------------------------------------------------------- the leases

-- One row at most an agenda row. `fence` is the fence of the holder, `granted` the greatest one that was ever granted
-- or told as a floor. Without an owner the item is only held back until `expires_at`. `concurrency_key`: set while the
-- lease counts, from the grant to its end.
CREATE TABLE squidmesh.leases (
    item            text COLLATE "C" NOT NULL PRIMARY KEY,
    queue           text COLLATE "C" NOT NULL,
    generation      integer          NOT NULL,
    fence           bigint           NOT NULL,
    granted         bigint           NOT NULL,
    owner           text COLLATE "C",
    claim_hash      text COLLATE "C",
    request_hash    text COLLATE "C",
    position        integer,
    lease           bigint,
    expires_at      bigint           NOT NULL,
    lapsed          integer          NOT NULL DEFAULT 0,
    concurrency_key text COLLATE "C"
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 200,
        autovacuum_vacuum_cost_delay = 0);

CREATE INDEX leases_by_owner ON squidmesh.leases (owner, request_hash) WHERE owner IS NOT NULL;
CREATE INDEX leases_by_end ON squidmesh.leases (queue, expires_at);
CREATE INDEX leases_by_key ON squidmesh.leases (queue, concurrency_key, expires_at) WHERE concurrency_key IS NOT NULL;
CREATE INDEX leases_that_count ON squidmesh.leases (queue, expires_at) WHERE concurrency_key IS NOT NULL;

-- What always holds: where something of a key is aside, a lease of that key counts, or something of that key is in order,
-- or something of it comes back within moments. So whatever ends the one or takes away the other brings the first of
-- those that wait back in order, which then tries its luck like everyone. The triggers see to it, whoever writes. They
-- wait for nobody: whom another transaction has locked at this moment is overlooked.

CREATE FUNCTION squidmesh.bring_back(text, text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE squidmesh.agenda SET aside_until = NULL WHERE item = (
        SELECT item FROM squidmesh.agenda
        WHERE queue = $1 AND concurrency_key = $2 AND aside_until IS NOT NULL
        ORDER BY priority, visible_at, arrival LIMIT 1 FOR UPDATE SKIP LOCKED
    );
END
$$;

CREATE FUNCTION squidmesh.lease_gives_its_place_back() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM squidmesh.bring_back(old.queue, old.concurrency_key);
    RETURN NULL;
END
$$;

CREATE TRIGGER lease_is_gone AFTER DELETE ON squidmesh.leases FOR EACH ROW
    WHEN (old.concurrency_key IS NOT NULL) EXECUTE FUNCTION squidmesh.lease_gives_its_place_back();
CREATE TRIGGER lease_counts_no_more AFTER UPDATE OF concurrency_key ON squidmesh.leases FOR EACH ROW
    WHEN (old.concurrency_key IS NOT NULL AND new.concurrency_key IS NULL)
    EXECUTE FUNCTION squidmesh.lease_gives_its_place_back();

-- An attempt that is closed takes its lease along. A trigger, for it sees what its statement can not: the lease of a
-- claim for whose row lock the statement has just waited.
CREATE FUNCTION squidmesh.attempts_are_gone() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    counted text[];
BEGIN
    IF NOT EXISTS (SELECT FROM gone) THEN
        RETURN NULL;
    END IF;
    WITH ended AS (
        DELETE FROM squidmesh.leases WHERE item = ANY (ARRAY(SELECT item FROM gone)) RETURNING item, concurrency_key
    )
    SELECT array_agg(item) INTO counted FROM ended WHERE concurrency_key IS NOT NULL;
    PERFORM squidmesh.bring_back(queue, concurrency_key) FROM gone
    WHERE concurrency_key IS NOT NULL AND aside_until IS NULL AND (item = ANY (counted)) IS NOT TRUE;
    RETURN NULL;
END
$$;

CREATE TRIGGER attempts_are_gone AFTER DELETE ON squidmesh.agenda REFERENCING OLD TABLE AS gone FOR EACH STATEMENT
    EXECUTE FUNCTION squidmesh.attempts_are_gone();

-- ------------------------------------------------------------------------------------------------------ one row each

CREATE TABLE squidmesh.plane (
    one         integer          NOT NULL PRIMARY KEY CHECK (one = 1),
    mesh        text COLLATE "C" NOT NULL,
    kind        text COLLATE "C" NOT NULL,
    name        text COLLATE "C" NOT NULL,
    epoch       bigint           NOT NULL,
    incarnation text COLLATE "C",
    moving      boolean          NOT NULL
);

-- A row here: writers of agenda rows leave their transaction's id.
CREATE TABLE squidmesh.changes (
    one integer NOT NULL PRIMARY KEY CHECK (one = 1)
);

-- Random words that reconcilers commit before they offer: a cursor whose word is not here was written for another past.
CREATE TABLE squidmesh.tokens (
    queue  text COLLATE "C" NOT NULL,
    number bigint           NOT NULL,
    token  text COLLATE "C" NOT NULL,
    PRIMARY KEY (queue, number)
);

-- The name of this schema's memory.
CREATE TABLE squidmesh.store (
    one         integer          NOT NULL PRIMARY KEY CHECK (one = 1),
    incarnation text COLLATE "C" NOT NULL
);

INSERT INTO squidmesh.store (one, incarnation) VALUES (1, replace(gen_random_uuid()::text, '-', ''));
