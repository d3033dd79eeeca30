"""One key, one run: what the same start is, and what it is not (protocol 3.7)."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import count, islice, repeat
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel, Field, model_serializer

from squidmesh import InvalidPayload, InvalidUrl, KeyReused, Mesh, Run, Workflow, manual, step
from squidmesh.errors import JournalConflict
from squidmesh.ids import RunId, ThreadId
from squidmesh.journal.codec import decode_facts
from squidmesh.journal.facts import RunStarted
from squidmesh.ports.journal_store import ThreadRead
from squidmesh.runtime import chance


class Part(BaseModel):
    name: str = "wheel"
    drawn: UUID = Field(default_factory=uuid4)


class Order(BaseModel):
    number: int = 1
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    part: Part = Field(default_factory=Part)


def workflow_of(payload: type[BaseModel], called: str = "Fulfil") -> Any:
    class Fulfil(Workflow):
        version = "1"
        name = called
        placed = manual(payload)
        check = step(lambda: None)

    return Fulfil


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'journal.db'}"


@pytest.fixture
def mesh(url: str) -> Iterator[Mesh]:
    with Mesh.connect(url, workflows=[workflow_of(Order)]) as mesh:
        yield mesh


def started(mesh: Mesh, run: Run) -> RunStarted:
    (history,) = mesh._engine().store.read([ThreadRead(thread=ThreadId(run.run_id))], whole=True)
    fact = decode_facts(history.tail[0].body, thread=run.run_id, revision=1)[0]
    assert isinstance(fact, RunStarted)
    return fact


@pytest.mark.parametrize(
    "given, again",
    [
        ({}, {}),
        (None, {}),
        ({"number": 1}, {"number": 1}),
        ({"number": 1}, {"number": "1"}),
        ({"part": {"name": "axle"}}, {"part": {"name": "axle"}}),
        ({"number": 2}, Order(number=2)),
        (Order(part=Part(name="axle")), {"part": {"name": "axle"}}),
    ],
)
def test_the_same_call_finds_its_run_whatever_its_defaults_are(mesh: Mesh, given: Any, again: Any) -> None:
    first = mesh.start_run("Fulfil", given, key="k")
    assert mesh.start_run("Fulfil", again, key="k").run_id == first.run_id
    (found,) = mesh.start_runs("Fulfil", [{} if again is None else again], keys=["k"])
    assert found.run_id == first.run_id


@pytest.mark.parametrize(
    "given, other",
    [
        ({"number": 1}, {"number": 2}),
        ({}, {"number": 2}),
        ({"part": {"name": "axle"}}, {"part": {"name": "wheel"}}),
        ({"number": 1}, {"at": "2026-01-01T00:00:00Z"}),
    ],
)
def test_another_payload_is_another_run(mesh: Mesh, given: Any, other: Any) -> None:
    first = mesh.start_run("Fulfil", given, key="k")
    with pytest.raises(KeyReused, match=f"key: 'k' started run {first.run_id} with another payload") as caught:
        mesh.start_run("Fulfil", other, key="k")
    assert caught.value.http_status == 409
    assert mesh.count_runs() == {"running": 1}


def test_what_is_recorded_has_all_defaults(mesh: Mesh) -> None:
    run = mesh.start_run("Fulfil", {"number": 3}, key="k")
    payload = started(mesh, run).payload
    assert payload["number"] == 3
    assert set(payload) == {"number", "at", "part"} and set(payload["part"]) == {"name", "drawn"}


def test_a_default_may_be_given_or_left_out(url: str) -> None:
    class Plain(BaseModel):
        number: int = 1
        note: str = ""

    with Mesh.connect(url, workflows=[workflow_of(Plain)]) as mesh:
        first = mesh.start_run("Fulfil", {"number": 1}, key="k")
        assert mesh.start_run("Fulfil", {}, key="k").run_id == first.run_id
        assert mesh.start_run("Fulfil", Plain(number=1, note=""), key="k").run_id == first.run_id


def test_a_deploy_may_add_a_field_with_a_default(tmp_path: Path) -> None:
    class Before(BaseModel):
        number: int

    class After(BaseModel):
        number: int
        colour: str = "red"

    url = f"sqlite:///{tmp_path / 'journal.db'}"
    with Mesh.connect(url, workflows=[workflow_of(Before)]) as mesh:
        first = mesh.start_run("Fulfil", {"number": 1}, key="k")
    with Mesh.connect(url, workflows=[workflow_of(After)]) as mesh:
        assert mesh.start_run("Fulfil", {"number": 1}, key="k").run_id == first.run_id
        assert mesh.start_run("Fulfil", After(number=1), key="k").run_id == first.run_id
        with pytest.raises(KeyReused):
            mesh.start_run("Fulfil", {"number": 1, "colour": "blue"}, key="k")


def test_a_serializer_that_needs_every_field_is_asked_for_all(url: str) -> None:
    class Sum(BaseModel):
        one: int = 1
        two: int = 2

        @model_serializer(mode="wrap")
        def told(self, handler: Any) -> dict[str, Any]:
            told: dict[str, Any] = handler(self)
            return {"one": told["one"], "two": told["two"]}

    with Mesh.connect(url, workflows=[workflow_of(Sum)]) as mesh:
        first = mesh.start_run("Fulfil", {"one": 5}, key="k")
        assert mesh.start_run("Fulfil", {"one": 5}, key="k").run_id == first.run_id


def test_a_workflow_whose_name_has_a_dot_is_found_by_name(url: str) -> None:
    with Mesh.connect(url, workflows=[workflow_of(Order, "shop.v2")]) as mesh:
        for name in ("shop.v2", "shop.v2.placed"):
            assert mesh.start_run(name, {}).workflow == "shop.v2"


def test_many_keys_of_one_call_may_be_alike(mesh: Mesh) -> None:
    a, b, again = mesh.start_runs("Fulfil", [{"number": 1}, {}, {"number": 1}], keys=["a", "b", "a"])
    assert (a.run_id == again.run_id) and (a.run_id != b.run_id)
    assert mesh.count_runs() == {"running": 2}


def test_a_payload_that_is_refused_names_its_place(mesh: Mesh) -> None:
    with pytest.raises(InvalidPayload, match=r"^payloads\[2\]: number: "):
        mesh.start_runs("Fulfil", [{}, {}, {"number": "many"}])
    assert mesh.count_runs() == {}


# ------------------------------------------------------------------------------------------------------ ids by chance


def draws_run_ids(monkeypatch: pytest.MonkeyPatch, ids: Iterable[str]) -> None:
    drawn = ((RunId(one), chance.new_entry_id()) for one in ids)
    monkeypatch.setattr(chance, "new_start_ids", lambda many: list(islice(drawn, many)))


def test_an_id_that_is_taken_is_drawn_again(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = mesh.start_run("Fulfil", {"number": 7})
    drawn = iter([RunId(taken.run_id), RunId(taken.run_id), RunId("fresh")])
    monkeypatch.setattr(
        chance, "new_start_ids", lambda many: [(next(drawn), chance.new_entry_id()) for _ in range(many)]
    )
    other = mesh.start_run("Fulfil", {"number": 7})
    assert other.run_id == "fresh", "never the run of somebody else, not even with the same payload"
    assert mesh.count_runs() == {"running": 2}


def test_two_starts_of_one_call_never_share_a_run(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    draws_run_ids(monkeypatch, (f"id-{number // 2}" for number in count()))
    runs = mesh.start_runs("Fulfil", [{}, {}, {}], keys=None)
    assert len({run.run_id for run in runs}) == 3
    assert mesh.count_runs() == {"running": 3}


def test_chance_that_is_none_is_an_error_and_starts_nothing(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = mesh.start_run("Fulfil", {})
    draws_run_ids(monkeypatch, repeat(taken.run_id))
    with pytest.raises(JournalConflict, match="5 new run ids in a row were taken"):
        mesh.start_run("Fulfil", {})
    assert mesh.count_runs() == {"running": 1}


# ---------------------------------------------------------------------------------------------------- execute_next


def test_only_so_many_idle_pumps_are_kept(mesh: Mesh) -> None:
    for number in range(50):
        mesh.execute_next(owner_id=f"owner-{number}")
    mesh.execute_next(owner_id="owner-45")
    _, inline = mesh._open()
    kept = [owner for owner, _, _ in inline._idle]
    assert kept == [*(f"owner-{n}" for n in (42, 43, 44, 46, 47, 48, 49)), "owner-45"], "the least recently used goes"


@pytest.mark.parametrize("leases", ["memory://", "sqlite:///other.db"])
def test_leases_that_could_strand_a_run_are_refused(
    leases: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidUrl, match="leases"), Mesh.connect("sqlite:///a.db", leases=leases) as mesh:
        mesh.count_runs()
