"""Transactional steps: a step's own rows and its completion are committed together, or not at all."""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from squidmesh import Context, Mesh, RetryPolicy, UsageError, Workflow, fixed, manual, problems_of, step
from squidmesh.errors import CommitUnknown
from tests.features.world import Hand, MemoryWorld, World, facts_of, seen, work


class Money(BaseModel):
    amount: int = 7


def rows(world: World) -> list[Any]:
    return [amount for (amount,) in world.query("SELECT amount FROM ledger ORDER BY amount")]


def book(amount: int, context: Context) -> dict[str, Any]:
    context.connection.execute("CREATE TABLE IF NOT EXISTS ledger (amount INTEGER UNIQUE)")
    context.connection.execute(f"INSERT INTO ledger VALUES ({amount})")
    return {"booked": amount}


class Ledger(Workflow):
    version = "1"
    pay = manual(Money)
    book = step(book, transaction=True)
    after = step(lambda booked: {"after": booked})
    flow = book >> after


def test_rows_and_completion_are_committed_together(database: World) -> None:
    mesh = database.process(Ledger)
    run = mesh.start_run(Ledger.pay, Money())
    work(mesh)
    done = seen(mesh, run)
    assert (done.status, done.output, rows(database)) == ("completed", {"booked": 7, "after": 7}, [7])


def test_a_worker_records_them_as_it_goes(database: World) -> None:
    mesh = database.process(Ledger)
    runs = [mesh.start_run(Ledger.pay, Money(amount=amount)) for amount in range(5)]
    worker = Hand(database.process(Ledger), "worker", capacity=3, continues=True)
    for _ in range(8):
        worker.claim()
        worker.run()
        worker.record()
    assert {seen(mesh, run).status for run in runs} == {"completed"}
    assert rows(database) == [0, 1, 2, 3, 4]


def test_a_step_that_raises_leaves_no_rows(database: World) -> None:
    def half(amount: int, context: Context) -> None:
        book(amount, context)
        if context.attempt == 1:
            raise RuntimeError("after the insert")

    class Half(Workflow):
        version = "1"
        pay = manual(Money)
        act = step(half, transaction=True, retry=RetryPolicy(max_attempts=2, backoff=fixed(1)))

    mesh = database.process(Half)
    run = mesh.start_run(Half.pay, Money())
    work(mesh)
    assert rows(database) == []
    database.pass_time(2)
    work(mesh)
    assert (seen(mesh, run).status, rows(database)) == ("completed", [7])


def test_under_a_stale_claim_the_rows_are_rolled_back(database: World) -> None:
    mesh = database.process(Ledger)
    run = mesh.start_run(Ledger.pay, Money())
    zombie = Hand(database.process(Ledger), "zombie")
    assert zombie.claim() == ["book"]
    database.pass_time(31)
    other = Hand(database.process(Ledger), "other")
    assert other.claim() == ["book"]
    zombie.run()
    zombie.record()
    assert rows(database) == []
    assert database.notices.of("stale_write_refused")
    other.run()
    other.record()
    work(mesh)
    assert (seen(mesh, run).status, rows(database)) == ("completed", [7])


DENIED = {
    "sqlite": {
        "COMMIT": "DatabaseError",
        "ROLLBACK": "DatabaseError",
        "BEGIN": "DatabaseError",
        "ATTACH ':memory:' AS other": "DatabaseError",
        "PRAGMA synchronous = OFF": "DatabaseError",
        "DELETE FROM entries": "DatabaseError",
        "UPDATE agenda SET fence = 0": "DatabaseError",
        "INSERT INTO leases SELECT * FROM leases": "DatabaseError",
        "DROP TABLE runs": "DatabaseError",
        "ALTER TABLE timers RENAME TO mine": "DatabaseError",
    },
    "postgres": {
        "COMMIT": "TransactionMisused",
        " rollback": "TransactionMisused",
        "END": "TransactionMisused",
        "PREPARE TRANSACTION 'mine'": "TransactionMisused",
        "DELETE FROM squidmesh.definitions": "InsufficientPrivilege",
        "UPDATE squidmesh.entries SET body = ''": "InsufficientPrivilege",
        "TRUNCATE squidmesh.agenda": "InsufficientPrivilege",
        "DROP TABLE squidmesh.runs": "InsufficientPrivilege",
        "ALTER TABLE squidmesh.timers RENAME TO mine": "InsufficientPrivilege",
    },
}


def engine(world: World) -> str:
    return "postgres" if "postgres" in world.plane else "sqlite"


@pytest.mark.parametrize("number", range(max(map(len, DENIED.values()))))
def test_what_is_not_the_steps_own_is_denied(database: World, number: int) -> None:
    """The step fails with the database's own refusal, and nothing of it stays."""
    denied = list(DENIED[engine(database)].items())
    sql, error = denied[number % len(denied)]

    def meddle(amount: int, context: Context) -> None:
        book(amount, context)
        context.connection.execute(sql)

    class Meddle(Workflow):
        version = "1"
        pay = manual(Money)
        act = step(meddle, transaction=True)

    mesh = database.process(Meddle)
    run = mesh.start_run(Meddle.pay, Money())
    work(mesh)
    done = seen(mesh, run)
    assert (done.status, rows(database)) == ("failed", [])
    assert done.attempts[0].last_error_type == error


def test_a_transaction_that_its_own_statement_rolled_back_is_misused(database: World) -> None:
    ending = {"sqlite": "OR ROLLBACK", "postgres": ""}[engine(database)]

    def clash(amount: int, context: Context) -> None:
        book(amount, context)
        with pytest.raises(Exception, match=r"UNIQUE|unique"):
            context.connection.execute(f"INSERT {ending} INTO ledger VALUES ({amount})")

    class Clash(Workflow):
        version = "1"
        pay = manual(Money)
        act = step(clash, transaction=True)

    mesh = database.process(Clash)
    run = mesh.start_run(Clash.pay, Money())
    work(mesh)
    done = seen(mesh, run)
    assert (done.failure and done.failure.error, rows(database)) == ("transaction_misused", [])


def test_the_connection_is_good_until_the_step_returns(database: World) -> None:
    kept: list[Any] = []

    def keep(context: Context) -> None:
        kept.append(context.connection)

    class Keep(Workflow):
        version = "1"
        pay = manual(Money)
        act = step(keep, transaction=True)

    mesh = database.process(Keep)
    mesh.start_run(Keep.pay, Money())
    work(mesh)
    with pytest.raises(UsageError, match="the step has returned"):
        kept[0].execute("SELECT 1")


def test_a_child_is_started_by_the_same_transaction_or_not_at_all(database: World) -> None:
    class Kid(Workflow):
        version = "1"
        send = manual(Money)
        act = step(lambda: None)

    def family(amount: int, context: Context) -> dict[str, str]:
        book(amount, context)
        found = context.start_child_run(Kid, {}, key="kid")
        if context.attempt == 1:
            raise RuntimeError("after the start")
        return {"kid": found}

    class Family(Workflow):
        version = "1"
        pay = manual(Money)
        act = step(family, transaction=True, retry=RetryPolicy(max_attempts=2))

    mesh = database.process(Family, Kid)
    run = mesh.start_run(Family.pay, Money())
    mesh.execute_next(owner_id="w")
    assert (rows(database), mesh.count_runs(workflow="Kid")) == ([], {})
    work(mesh)
    done = seen(mesh, run)
    assert (done.output, rows(database)) == ({"kid": done.children[0].run_id}, [7])
    assert mesh.count_runs(workflow="Kid") == {"completed": 1}


def test_the_verbs_of_the_mesh_are_refused_inside(database: World) -> None:
    meshes: list[Mesh] = []
    refused: list[str] = []

    def outside(context: Context) -> None:
        with pytest.raises(UsageError) as caught:
            meshes[0].start_run(Ledger.pay, Money())
        refused.append(caught.value.code)

    class Outside(Workflow):
        version = "1"
        pay = manual(Money)
        act = step(outside, transaction=True)

    mesh = database.process(Outside, Ledger)
    meshes.append(mesh)
    mesh.start_run(Outside.pay, Money())
    work(mesh)
    assert refused == ["inside_transaction"]


def test_a_result_that_can_not_be_stored_leaves_no_rows(database: World) -> None:
    def odd(amount: int, context: Context) -> dict[str, Any]:
        book(amount, context)
        return {"odd": float("nan")}

    class Odd(Workflow):
        version = "1"
        pay = manual(Money)
        act = step(odd, transaction=True)

    mesh = database.process(Odd)
    run = mesh.start_run(Odd.pay, Money())
    work(mesh)
    assert (seen(mesh, run).status, rows(database)) == ("failed", [])


@pytest.mark.parametrize("when", ["before", "after"])
def test_where_the_answer_to_the_commit_is_lost_it_is_settled_and_never_repeated(
    database: World, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protocol 3.5.7: a release takes its place, or is refused because it has happened. Either way there is one row."""
    owner, name = database.commit_of_steps
    commit: Callable[[Any], None] = getattr(owner, name)
    lost: list[int] = []

    def commit_and_lose(self: Any) -> None:
        if lost:
            commit(self)
            return
        lost.append(1)
        if when == "after":
            commit(self)
        raise CommitUnknown("the answer was lost")

    monkeypatch.setattr(owner, name, commit_and_lose)
    mesh = database.process(Ledger)
    run = mesh.start_run(Ledger.pay, Money())
    work(mesh)
    database.pass_time(1)  # what a lost answer has kept from a lease backend of its own, the reconciler brings
    work(mesh)
    done = seen(mesh, run)
    assert (done.status, rows(database)) == ("completed", [7])
    assert len(facts_of(done, "ClaimReleased")) == (1 if when == "before" else 0)
    assert lost == [1]


def test_a_memory_refuses_transactional_steps_at_once() -> None:
    with MemoryWorld() as world, pytest.raises(UsageError) as refused:
        world.process(Ledger).start_run(Ledger.pay, Money())
    assert refused.value.code == "transactions_unsupported"


def test_a_coroutine_is_no_transactional_step() -> None:
    async def coroutine() -> None: ...

    class Wrong(Workflow):
        version = "1"
        pay = manual(Money)
        act = step(coroutine, transaction=True)

    assert [problem.code for problem in problems_of(Wrong)] == ["async_transaction"]


def test_in_another_step_there_is_no_connection(world: World) -> None:
    def plain(context: Context) -> None:
        assert context.connection is None

    class Plain(Workflow):
        version = "1"
        pay = manual(Money)
        act = step(plain)

    mesh = world.process(Plain)
    run = mesh.start_run(Plain.pay, Money())
    work(mesh)
    done = seen(mesh, run)
    assert done.failure is not None
    assert done.failure.error == "not_transactional"


class Died(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("point", ["in the step", "before the append", "before the commit", "after the commit"])
def test_a_process_that_dies_at_any_point_leaves_one_row_and_one_completion(
    database: World, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaths: list[str] = []

    def die(here: str) -> None:
        if here == point and not deaths:
            deaths.append(here)
            raise Died(here)

    def dying(amount: int, context: Context) -> dict[str, Any]:
        booked = book(amount, context)
        die("in the step")
        return booked

    def dying_append(self: Any, *args: Any, **options: Any) -> Any:
        die("before the append")
        return append(self, *args, **options)

    def dying_commit(self: Any) -> None:
        die("before the commit")
        commit(self)
        die("after the commit")

    append, commit = (getattr(*place) for place in (database.append_of_steps, database.commit_of_steps))
    monkeypatch.setattr(*database.append_of_steps, dying_append)
    monkeypatch.setattr(*database.commit_of_steps, dying_commit)

    class Dying(Workflow):
        version = "1"
        pay = manual(Money)
        act = step(dying, transaction=True)
        after = step(lambda booked: {"after": booked})
        flow = act >> after

    mesh = database.process(Dying)
    run = mesh.start_run(Dying.pay, Money())
    with pytest.raises(Died):
        mesh.execute_next(owner_id="doomed")
    assert rows(database) == ([7] if point == "after the commit" else [])
    database.pass_time(31)
    later = database.process(Dying)
    work(later)
    database.pass_time(61)
    work(later)
    done = seen(later, run)
    assert (done.status, done.output, rows(database)) == ("completed", {"booked": 7, "after": 7}, [7])
    assert len(facts_of(done, "AttemptCompleted")) == 2
