"""A stamped start is what the ordinary path makes of it, byte for byte."""

import dataclasses
from datetime import timedelta
from itertools import count, islice
from typing import Any

import pytest
from msgspec import structs
from pydantic import BaseModel, Field

from squidmesh import (
    Instrument,
    Mesh,
    Workflow,
    approval,
    complete,
    event,
    log,
    manual,
    pause,
    step,
    value,
    wait,
    wait_for_children,
)
from squidmesh.clock import Instant
from squidmesh.ids import EntryId, RunId, ThreadId
from squidmesh.ports.journal_store import ThreadRead
from squidmesh.runtime import births, chance, stamping
from squidmesh.runtime.recorder import Birth
from squidmesh.runtime.starting import check_starts, locate

NOW = Instant(1_700_000_000_123_456)
QUANTITY = stamping.FEWEST + 3


class Account(BaseModel):
    id: str = "bag-end"
    level: int = 1


class Order(BaseModel):
    number: int = 0
    text: str = 'quill "and" ink \\ {"x":1} ✒'
    rate: float = 1e16
    account: Account = Field(default_factory=Account)
    tags: list[str] = []


def nothing() -> None:
    pass


class Plain(Workflow):
    version = "1"
    place = manual(Order)
    pack = step(nothing)


class Fan(Workflow):
    """Several roots of each kind, and what comes after them."""

    version = "1"
    timeout = timedelta(hours=1)
    place = manual(Order)
    pack = step(nothing, queue="packers", priority=2)
    rest = wait(5)
    note = log("placed")
    allow = approval(timeout=60)
    stop = pause()
    hear = event("paid", 90)
    send = step(nothing, after=[pack, rest, note, allow, stop, hear])


class Waits(Workflow):
    version = "1"
    place = manual(Order)
    rest = wait(5)
    pack = step(nothing)
    flow = rest >> pack


class Childless(Workflow):
    """Its first gate opens at once, and the route behind it is taken by the same entry."""

    version = "1"
    place = manual(Order)
    ended = wait_for_children(output="ended")
    pack = step(nothing)
    flow = ended >> pack >> complete


class Forks(Workflow):
    """The same, but the route depends on the payload."""

    version = "1"
    place = manual(Order)
    ended = wait_for_children()
    odd = step(nothing)
    even = step(nothing)
    flow = (ended.to(odd, when=value("number") > 4), ended >> even)


class Limited(Workflow):
    version = "1"
    place = manual(Order)
    pack = step(nothing, concurrency_key="account.id", concurrency_limit=2)


STAMPED = [Plain, Fan, Waits, Childless]
LOOKS = [Forks, Limited]
PAYLOADS: list[Any] = [
    {"number": number, "tags": ["\u2028", str(number)], "account": {"id": f"a{number % 3}"}}
    for number in range(QUANTITY - 3)
] + [{}, {"text": "", "rate": -0.0}, Order(number=7)]
KEYS = ['one "key"', *(f"ключ-{number}" for number in range(1, QUANTITY))]
TERMS: list[dict[str, Any]] = [{}, {"queue": "slow", "priority": 0, "delay": 30}, {"keys": KEYS}]


@pytest.fixture(autouse=True)
def same_time_and_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chance.SystemClock, "now", lambda self: NOW)


def opened(workflow: type[Workflow], monkeypatch: pytest.MonkeyPatch) -> Mesh:
    """Its ids begin anew."""
    ids = ((RunId(f"run-{number}"), EntryId(f"entry-{number}")) for number in count())
    monkeypatch.setattr(chance, "new_start_ids", lambda many: list(islice(ids, many)))
    return Mesh.connect("memory://", workflows=[workflow])


def written(mesh: Mesh, run_ids: list[str]) -> Any:
    """Each thread's entries, and every row."""
    store = mesh._engine().store
    histories = store.read([ThreadRead(thread=ThreadId(run_id)) for run_id in run_ids], whole=True)
    return (
        [history.tail for history in histories],
        [store.run_row(run_id) for run_id in run_ids],
        sorted(store.open_attempts(), key=lambda row: row.item),
        store.open_timers(),
    )


@pytest.mark.parametrize("terms", TERMS, ids=["by_chance", "on_terms", "with_keys"])
@pytest.mark.parametrize("workflow", STAMPED + LOOKS)
def test_many_starts_at_once_write_what_each_alone_writes(
    workflow: type[Workflow], terms: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = terms.get("keys", [None] * QUANTITY)
    with opened(workflow, monkeypatch) as mesh:
        together = mesh.start_runs(workflow, PAYLOADS, **terms)
        bulk = written(mesh, [run.run_id for run in together])
        items = sorted(mesh._engine().leases.items("default").items, key=lambda item: item.key)
    alone_on = {name: said for name, said in terms.items() if name != "keys"}
    with opened(workflow, monkeypatch) as mesh:
        alone = [
            mesh.start_run(workflow, payload, key=key, **alone_on) for payload, key in zip(PAYLOADS, keys, strict=True)
        ]
        assert written(mesh, [run.run_id for run in alone]) == bulk
        assert sorted(mesh._engine().leases.items("default").items, key=lambda item: item.key) == items
    assert together == alone
    assert [run.as_of for run in together] == [run.as_of for run in alone]


def starts(mesh: Mesh, workflow: type[Workflow], **terms: Any) -> Any:
    engine = mesh._engine()
    said = {"keys": None, "queue": None, "priority": None, "delay": None} | terms
    return check_starts(engine, locate(engine, workflow), PAYLOADS, **said)


@pytest.mark.parametrize("offers", [False, True])
@pytest.mark.parametrize("workflow", STAMPED + LOOKS)
def test_a_plan_that_looks_at_its_payload_is_not_stamped(
    workflow: type[Workflow], offers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    planner = stamping.Planner(NOW, many=True, offers=offers)
    with opened(workflow, monkeypatch) as mesh:
        for number, asked in enumerate(starts(mesh, workflow)):
            run_id, entry_id = RunId(f"run-{number}"), EntryId(f"entry-{number}")
            begun = planner.plan(asked, run_id, entry_id)
            plain = births.plan(asked, NOW, run_id, entry_id=entry_id, offers=offers)
            assert isinstance(begun, stamping.Stamped) is (workflow in STAMPED)
            assert (begun.append, begun.definition, begun.effects) == (plain.append, plain.definition, plain.effects)
            assert begun.state == plain.state


def by_its_id(born: Birth) -> Birth:
    """As if a run's place in its queue were drawn from its id."""
    (row,) = born.append.rows.put
    drawn = structs.replace(row, priority=int(row.run_id[-1], 16))
    append = structs.replace(born.append, rows=structs.replace(born.append.rows, put=(drawn,)))
    return dataclasses.replace(born, append=append)


def test_a_plan_that_is_drawn_from_the_id_is_not_stamped(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = births.plan
    monkeypatch.setattr(stamping, "plan", lambda *args, **named: by_its_id(plan(*args, **named)))
    ids = iter("0123456789abcdef")
    monkeypatch.setattr(chance, "new_run_id", lambda: RunId(f"drawn-{next(ids)}"))
    with opened(Plain, monkeypatch) as mesh:
        first, *_ = starts(mesh, Plain)
        assert stamping.stamp_of(first, NOW, offers=False) is None


def test_a_few_starts_are_not_worth_a_stamp(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(stamping, "stamp_of", lambda *args, **named: made.append(args))
    with opened(Plain, monkeypatch) as mesh:
        mesh.start_runs(Plain, PAYLOADS[: stamping.FEWEST - 1])
        assert made == []
        mesh.start_runs(Plain, PAYLOADS[: stamping.FEWEST])
    assert len(made) == 1


def test_who_listens_hears_of_each_run_that_was_stamped(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = []

    class Ear(Instrument):
        def started(self, state: Any) -> None:
            heard.append((state.run_id, state.payload["number"], list(state.runnables)))

    with opened(Plain, monkeypatch) as mesh:
        mesh._engine().instruments.add(Ear())
        runs = mesh.start_runs(Plain, PAYLOADS)
    numbers = [*range(QUANTITY - 3), 0, 0, 7]
    assert heard == [(run.run_id, number, ["pack"]) for run, number in zip(runs, numbers, strict=True)]
