"""Plans that do not depend on luck: every statement reaches the tables that grow by an index, whatever they hold, and
whether anybody has ever counted what they hold.
"""

import psycopg
import pytest
from squidmesh_postgres.lease_changes import LEASE_PARTS
from squidmesh_postgres.pool import Pool
from squidmesh_postgres.statements import load
from squidmesh_postgres.writes import _ARRAYS, _ORDER, _composed

from tests.support.plans import generic_plan, leading_columns, nodes, walks

FILES = ("agenda", "journal", "lists", "retention", "timers", "workers")
BUSY = ("agenda", "leases", "timers", "dead_letters")
NO_PLAN = {"lock_plane", "lock_changes", "wait_for_keys"}
"""They are no queries."""
FEW = {
    "nothing_aside": "once in a move from one plane to another",
    "count_dead_letters": "as many as there are dead letters",
    "forget_stale": "as many as there are workers",
}
"""May read a whole table, because it is asked for all of it."""


def whole_commit(by_epoch, marked):
    """With every part that there is."""
    judged = "judged_by_epoch" if by_epoch else "judged"
    accepted = "accepted_with_mark" if marked else "accepted"
    return _composed("squidmesh", ("given", judged, accepted, "written", *_ORDER), "answer")


def some_commit(*parts):
    return _composed("squidmesh", ("given", "judged_by_epoch", "accepted", "written", *parts), "answer")


def starts():
    parts = ("run_rows", "tallied", "runs", "put_rows", "put", "set_timers", "definitions")
    return _composed("squidmesh", ("given_new", "judged_new", "accepted", "written_new", *parts), "answer")


def many_starts():
    parts = ("run_rows_alike", "tallied", "runs", "put_rows_alike", "put", "set_timers", "definitions")
    return _composed("squidmesh", ("given_alike", "judged_new", "accepted", "written_alike", *parts), "answer")


def statements():
    for file in FILES:
        for name, sql in load(file).items():
            if name not in NO_PLAN and name not in FEW:
                yield pytest.param(sql, id=f"{file}.{name}")
    for by_epoch in (False, True):
        for marked in (False, True):
            yield pytest.param(whole_commit(by_epoch, marked), id=f"commit-{by_epoch}-{marked}")
    runs, put = ("run_rows", "tallied", "runs_known"), ("put_rows", "put")
    for parts in (put, ("remove",), (*runs, *put), (*runs, "remove")):
        yield pytest.param(some_commit(*parts), id=f"commit-{'-'.join(parts)}")
    yield pytest.param(starts(), id="commit-starts")
    yield pytest.param(many_starts(), id="commit-many-starts")
    for name, sql in of_leases().items():
        yield pytest.param(sql, id=f"leases.{name}")


def of_leases():
    known, changes = load("leases"), load("commit_leases")

    def whole(*parts):
        return ",\n".join(known[part] for part in parts)

    return {
        "claim_of_one_queue": whole("claim", "share_of_one", "heads", "granted"),
        "claim_of_queues": whole("claim", "shares", "heads", "granted"),
        "claim_of_item": whole("claim", "share_of_one", "head_of_item", "granted"),
        "beat": whole("held", "beat"),
        "beat_one": whole("held_by_one", "beat"),
        **{
            name: known[name]
            for name in ("lock", "claim_keyed", "bring_back", "due_queues", "items", "paused", "stats")
        },
        "call": "WITH " + ",\n".join(changes[part] for part in ("call", *LEASE_PARTS)) + changes["called"],
    }


FILL = """
    INSERT INTO squidmesh.threads SELECT 'run-' || i, 3 FROM generate_series(1, {n}) AS i;
    INSERT INTO squidmesh.entries SELECT 'run-' || i, r, i || ':' || r, 'facts' FROM generate_series(1, {n}) AS i,
        generate_series(1, 3) AS r;
    INSERT INTO squidmesh.runs SELECT 'run-' || i, 'W', '1', 't', 'key-' || i, 'default',
        CASE i % 10 WHEN 0 THEN 'running' WHEN 1 THEN 'waiting' ELSE 'completed' END, NULL, NULL, i, i, i
        FROM generate_series(1, {n}) AS i;
    INSERT INTO squidmesh.agenda (item, run_id, step, attempt, queue, priority, visible_at, generation, fence, writer)
        SELECT 'run-' || i || '/s#1', 'run-' || i, 's', 1, 'default', 5, i, 0, 0, pg_current_xact_id()
        FROM generate_series(1, {n}) AS i;
    INSERT INTO squidmesh.leases (item, queue, generation, fence, granted, owner, claim_hash, request_hash, lease,
        expires_at) SELECT 'run-' || i || '/s#1', 'default', 0, 1, 1, 'sam@1', 'h' || i, 'r', 60, i
        FROM generate_series(1, {n}) AS i;
    INSERT INTO squidmesh.timers SELECT 'run-' || i || ':run', 'run-' || i, 'run', i, '', 'x', ''
        FROM generate_series(1, {n}) AS i;
    INSERT INTO squidmesh.dead_letters SELECT 'run-' || i || '/s#1', 'run-' || i, 'W', 's', 1, 'default', 0, 0, 'lost',
        5, 0, NULL, NULL, i FROM generate_series(1, {n}) AS i;
"""


def set_up(connection, state):
    for table in ("agenda", "leases", "runs", "threads", "entries", "timers", "dead_letters"):
        connection.execute(f"ALTER TABLE squidmesh.{table} SET (autovacuum_enabled = off)")
    if state == "empty":
        return
    connection.execute(FILL.format(n=5000))
    if state == "analysed":
        connection.execute("ANALYZE")
    if state == "idle":  # there is a past, and nothing to do
        for table in BUSY:
            connection.execute(f"DELETE FROM squidmesh.{table}")
        connection.execute("VACUUM ANALYZE")
    if state == "bloated":  # counted when it was full of what is dead by now
        connection.execute("ANALYZE")
        for table in BUSY:
            connection.execute(f"DELETE FROM squidmesh.{table}")


@pytest.fixture(scope="module", params=["empty", "bulk_filled", "analysed", "idle", "bloated"])
def session(request, postgres_server):
    """A session of ours on a database in that state."""
    from squidmesh_postgres import PostgresBackend

    name = f"plans_{request.param}"
    url = postgres_server.create_database(name)
    backend = PostgresBackend(url)
    backend.migrate()
    with psycopg.connect(url, autocommit=True) as connection:
        set_up(connection, request.param)
    pool = Pool(url, name, "durable")
    with pool.use() as connection:
        yield connection
    pool.close()
    postgres_server.drop_database(name)


@pytest.mark.parametrize("statement", list(statements()))
def test_no_statement_walks_a_table(session, statement):
    sql = statement if isinstance(statement, str) else statement.sql
    assert walks(generic_plan(session, sql), leading_columns(session)) == []


def test_a_walk_would_be_seen(session):
    for sql in (
        "SELECT count(*) FROM squidmesh.runs WHERE workflow > %(x)s OR error = %(x)s",
        "SELECT * FROM squidmesh.entries JOIN (VALUES ('a'), ('b')) AS given (t) ON given.t || '' = thread || ''",
        "SELECT * FROM squidmesh.agenda ORDER BY item",
        "SELECT queue FROM squidmesh.leases WHERE expires_at > %(x)s",
    ):
        assert walks(generic_plan(session, sql), leading_columns(session)) != []


def test_every_array_has_its_part():
    assert {"appends", "remove", "put"} < set(_ARRAYS)


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("newest", "runs_newest"),
        ("of_workflow", "runs_of_workflow"),
        ("of_queue", "runs_of_queue"),
        ("of_status", "runs_by_status"),
    ],
)
def test_a_list_is_read_in_the_order_of_its_own_index(session, name, index):
    """Here all runs are in one queue and of one workflow: to look through the newest of all would seem as good."""
    plan = generic_plan(session, load("lists")[name])
    assert [node["Index Name"] for node, _ in nodes(plan) if node.get("Relation Name") == "runs"] == [index]
