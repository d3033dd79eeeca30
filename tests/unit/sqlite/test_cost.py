"""What a call asks of SQLite: it does not grow with the batch, the backlog, or what happened before."""

import re
import sqlite3
from datetime import timedelta
from importlib import resources

import pytest
from squidmesh_sqlite.statements import load

from squidmesh.journal.rows import RowChanges
from squidmesh.ports.journal_store import Committed, DefinitionRecord, Group, RunQuery, ThreadRead
from squidmesh.ports.lease_backend import Beat, Settlement
from squidmesh.testing.journal_suite import append, attempt_row, run_row, thread_id
from squidmesh.testing.lease_suite import LEASE, SECOND, claim, item
from squidmesh.testing.planes import JournalPlane


@pytest.fixture
def plane(watched):
    return JournalPlane(watched.journal(), watched.leases())


@pytest.fixture
def cost(asked):
    """How many statements a call takes, how often it commits, and what it answers."""

    def cost(call):
        asked.clear()
        answer = call()
        return len(asked), asked.count("COMMIT;"), answer

    return cost


def outcome(name, granted):
    """A group that writes to every table."""
    rows = RowChanges(run=run_row(name), put=(attempt_row(name, 2),), remove=(granted.item,))
    return Group(
        appends=(append(name, 1, rows=rows, checkpoint=b"state"),),
        definitions=(DefinitionRecord(fingerprint=name, body=b"definition"),),
        leases=(Settlement(claim=granted),),
    )


def crowd(plane, size):
    """That many runs with an attempt each, all claimed."""
    names = [f"orc-{number}" for number in range(size)]
    rows = {name: RowChanges(run=run_row(name), put=(attempt_row(name),)) for name in names}
    plane.journal.commit([Group(appends=(append(name, rows=rows[name]),)) for name in names])
    return list(zip(names, claim(plane, limit=size).claims, strict=True))


SIZES = [1, 16, 64]


@pytest.mark.parametrize("size", SIZES)
def test_a_commit_is_one_transaction_of_ten_statements(plane, cost, size):
    groups = [outcome(name, granted) for name, granted in crowd(plane, size)]

    statements, commits, answers = cost(lambda: plane.journal.commit(groups))

    assert answers == [Committed()] * size
    assert (statements, commits) == (10, 1)


@pytest.mark.parametrize("size", SIZES)
def test_a_claim_is_one_transaction_of_a_few_statements(plane, cost, size):
    crowd_size = size + 1
    plane.publish(*(item(f"orc-{number}") for number in range(crowd_size)))
    claim(plane, limit=1)  # from now on it is known to be busy

    statements, commits, grants = cost(lambda: claim(plane, limit=size))

    assert len(grants.claims) == size
    assert (statements, commits) == (8, 1)


@pytest.mark.parametrize("size", SIZES)
def test_heartbeats_and_reads_are_batched(plane, cost, size):
    held = crowd(plane, size)

    statements, commits, answers = cost(lambda: plane.leases.heartbeat([granted for _, granted in held]))
    assert answers == [Beat.EXTENDED] * size
    assert (statements, commits) == (3, 1)
    statements, commits, histories = cost(
        lambda: plane.journal.read([ThreadRead(thread=thread_id(name)) for name, _ in held])
    )
    assert len(histories) == size
    assert (statements, commits) == (2, 0)


def test_a_claim_of_nothing_writes_nothing_and_locks_nothing(plane, cost, asked):
    plane.publish(item("late", delay=SECOND))
    claim(plane)

    _, commits, grants = cost(lambda: claim(plane))

    assert grants.claims == ()
    assert commits == 0
    assert not [sql for sql in asked if sql.startswith(("BEGIN", "INSERT", "UPDATE", "DELETE"))]


def test_who_got_less_than_was_asked_for_locks_nothing_for_the_next_look(plane, asked):
    plane.publish(item("ring"))
    assert len(claim(plane, limit=2).claims) == 1
    asked.clear()

    assert claim(plane, limit=2).claims == ()
    assert not [sql for sql in asked if sql.startswith(("BEGIN", "INSERT", "UPDATE", "DELETE"))]


def test_an_idle_claim_does_not_wake_other_processes(plane, path):
    plane.publish(item("late", delay=SECOND))
    with_version = sqlite3.connect(path)
    before = with_version.execute("PRAGMA data_version").fetchone()
    for _ in range(3):
        claim(plane)
    assert with_version.execute("PRAGMA data_version").fetchone() == before
    with_version.close()


# -------------------------------------------------------------------------------------------------- steps of the engine


class Steps(sqlite3.Connection):
    """Counts the instructions that SQLite runs."""

    taken = 0

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.set_progress_handler(self.step, 1)

    @classmethod
    def step(cls):
        cls.taken += 1
        return 0


@pytest.fixture
def stepped(open_store):
    backend = open_store(Steps)
    return JournalPlane(backend.journal(), backend.leases())


def steps(call):
    before = Steps.taken
    call()
    return Steps.taken - before


def backlog(plane, prefix, count, **rest):
    rows = [plane.row(item(f"{prefix}-{number}", **rest)) for number in range(count)]
    plane.journal.commit([Group(appends=(append(prefix, rows=RowChanges(put=tuple(rows))),))])


def test_a_claim_costs_the_same_whatever_the_backlog(stepped):
    backlog(stepped, "few", 50)
    claim(stepped, limit=1)
    little = steps(lambda: claim(stepped, limit=4))

    backlog(stepped, "ready", 1000)
    backlog(stepped, "less-urgent", 1000, priority=9)
    backlog(stepped, "late", 1000, delay=LEASE)
    backlog(stepped, "late-and-urgent", 1000, priority=0, delay=LEASE)
    backlog(stepped, "elsewhere", 1000, queue="mordor")
    much = steps(lambda: claim(stepped, limit=4))

    assert much < little + 200


def test_an_idle_claim_costs_the_same_however_much_is_delayed(stepped):
    claim(stepped)
    little = steps(lambda: claim(stepped))
    backlog(stepped, "late", 2000, delay=LEASE)
    assert steps(lambda: claim(stepped)) < little + 200


def orcs(plane, prefix, count):
    backlog(plane, prefix, count, concurrency=("orc", 1))


def test_a_crowd_at_its_limit_is_walked_past_once_and_costs_later_claims_nothing(stepped):
    orcs(stepped, "few", 5)
    (running,) = claim(stepped).claims
    assert claim(stepped).claims == ()
    backlog(stepped, "others", 40, priority=6)
    claim(stepped, limit=1)
    little = steps(lambda: claim(stepped, limit=4))

    orcs(stepped, "crowd", 5000)
    for _ in range(6):
        assert len(claim(stepped, limit=1).claims) == 1, (
            "each claim walks past a thousand of them, and grants all the same"
        )
    assert steps(lambda: claim(stepped, limit=4)) < little + 200

    stepped.settle(Settlement(claim=running))
    few = steps(lambda: claim(stepped, limit=4))
    assert few < little + 400, "one of them has come back, and is met first"


def test_one_claim_looks_at_a_bounded_part_of_a_crowd(stepped):
    orcs(stepped, "first", 2)
    claim(stepped)
    claim(stepped)
    orcs(stepped, "some", 3000)
    some = steps(lambda: claim(stepped))
    orcs(stepped, "more", 30_000)
    assert steps(lambda: claim(stepped)) < 1.1 * some + 500


def test_the_end_of_a_lease_costs_the_same_whoever_waits_for_its_place(stepped):
    costs = []
    for crowd_size in (9, 3000):
        orcs(stepped, f"crowd-{crowd_size}", crowd_size)
        for _ in range(4):
            (granted,) = claim(stepped, limit=1).claims
            while claim(stepped).next_due == timedelta(0):
                pass
            costs.append(steps(lambda granted=granted: stepped.settle(Settlement(claim=granted))))
    assert max(costs) < min(costs) + 300, costs


def test_an_idle_claim_beside_a_crowd_that_waits_costs_next_to_nothing_and_locks_nothing(stepped):
    claim(stepped)
    little = steps(lambda: claim(stepped))
    orcs(stepped, "crowd", 900)
    assert len(claim(stepped).claims) == 1
    claim(stepped)
    assert steps(lambda: claim(stepped)) < little + 300


def test_a_page_of_runs_costs_the_same_however_many_there_are(stepped):
    def add(first, last):
        names = [f"orc-{number}" for number in range(first, last)]
        groups = [
            Group(appends=(append(name, rows=RowChanges(run=run_row(name, number, status="failed"))),))
            for number, name in enumerate(names, first)
        ]
        stepped.journal.commit(groups)

    queries = [RunQuery(limit=5), RunQuery(limit=5, workflow="RingErrand"), RunQuery(limit=5, status="failed")]
    add(0, 20)
    few = [steps(lambda query=query: stepped.journal.runs(query)) for query in queries]
    add(20, 1500)
    many = [steps(lambda query=query: stepped.journal.runs(query)) for query in queries]
    assert all(m < f + 100 for f, m in zip(few, many, strict=True))


# --------------------------------------------------------------------------------------------------------------- plans

HOT = [(file, name) for file in ("journal", "leases", "lists", "reindex") for name in load(file)]
LOOKS_AT_ALL = {
    "count_again": "runs",  # what reindex counts once, when it has rebuilt them
    "open_attempts": "agenda",  # in order of its key
    "nothing_aside": "agenda",  # those that are aside, once in the life of a plane
}
SORTS = {
    "of_text",  # what begins with the text
    "active_of_text",  # the same
    "count_again",  # how the runs of each workflow ended
    "count_runs",  # the handful of statuses
    "repeated",  # the claims of one request
}


class AnyParameter(dict[str, object]):
    def __missing__(self, key):
        return "[]" if key == "claims" else 1


def plan_of(backend, sql):
    values = ("[]",) * sql.count("?") if "?" in sql else AnyParameter()
    with backend.journal()._pool.read() as connection:
        return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]


@pytest.mark.parametrize(("file", "name"), HOT, ids=[f"{file}-{name}" for file, name in HOT])
def test_no_statement_walks_through_a_table(watched, file, name):
    plan = plan_of(watched, load(file)[name])

    walked = {step.split()[1] for step in plan if step.startswith("SCAN")} & {"entries", "agenda", "leases", "runs"}
    assert walked <= {LOOKS_AT_ALL.get(name)}, plan
    if name not in SORTS:
        assert not [step for step in plan if "TEMP B-TREE" in step], plan


def test_a_claim_walks_its_index_in_order(watched):
    assert plan_of(watched, load("leases")["head"]) == [
        "SEARCH agenda USING INDEX agenda_order (queue=? AND aside=? AND priority=? AND visible_at<?)",
        "SEARCH leases USING PRIMARY KEY (item=?) LEFT-JOIN",
    ]


def test_who_waits_for_a_concurrency_key_is_found_in_the_order_of_its_index(watched):
    (step,) = [step for step in plan_of(watched, load("leases")["fill_places"]) if "agenda_aside" in step]
    assert step.startswith("SEARCH agenda USING INDEX agenda_aside (queue=? AND concurrency_key=?)")


def test_every_statement_is_used():
    package = resources.files("squidmesh_sqlite")
    code = "".join(file.read_text() for file in package.iterdir() if file.name.endswith(".py"))
    for file in (package / "sql").iterdir():
        for name in load(file.name.removesuffix(".sql")):
            assert f'"{name}"' in code, name


def test_sql_stands_in_its_own_files():
    package = resources.files("squidmesh_sqlite")
    code = "".join(file.read_text() for file in package.iterdir() if file.name.endswith(".py"))
    assert not re.findall(r"\b(?:SELECT|INSERT|UPDATE|DELETE|PRAGMA|BEGIN|CREATE)\b [A-Za-z]", code)
