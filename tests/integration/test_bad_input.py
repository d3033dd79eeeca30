"""Whatever a verb is called with: one typed error that names the field, and nothing is written."""

import inspect
import io
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import BaseModel

from squidmesh import (
    InvalidInput,
    InvalidPayload,
    InvalidUrl,
    KeyReused,
    Mesh,
    NotFound,
    UsageError,
    Workflow,
    WorkflowError,
    approval,
    manual,
    step,
)
from squidmesh.ids import ThreadId
from squidmesh.ports.journal_store import RunQuery, ThreadRead
from squidmesh.runtime.worker import Worker


class Order(BaseModel):
    number: int = 0
    note: str = ""


class Gated(Workflow):
    version = "1"
    placed = manual(Order)
    check = step(lambda number: None)
    legal = approval()
    flow = check >> legal


class Two(Workflow):
    version = "1"
    one = manual(Order)
    other = manual(Order)
    check = step(lambda number: None)


class Stranger(Workflow):
    version = "1"
    placed = manual(Order)
    check = step(lambda number: None)


class Tree(BaseModel):
    child: "Tree | None" = None
    other: "Tree | None" = None


class Trees(Workflow):
    version = "1"
    grown = manual(Tree)
    check = step(lambda: None)


class Unprintable:
    """Its very name can not be told."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


class Odd:
    placed = manual(Order)


NOT_TEXT: list[Any] = [5, 1.5, True, b"text", ["text"], {"text": 1}, uuid4(), Unprintable(), str]
NUL, SURROGATE, HUGE = "a\0", "\ud800", "x" * 1_000_000
NOT_A_NAME: list[Any] = [*NOT_TEXT, "", "a b", "ä", NUL, SURROGATE, HUGE, "x" * 129]
NOT_A_KEY: list[Any] = [*NOT_TEXT, "", NUL, SURROGATE, HUGE, "x" * 513]
NOT_AN_INTEGER: list[Any] = [
    5.0,
    Decimal(5),
    "5",
    True,
    float("nan"),
    [],
    {},
    b"5",
    Unprintable(),
    10**5000,
    -(10**5000),
]
NOT_A_DURATION: list[Any] = [
    *("5", True, [], {}, Decimal(5), Unprintable()),
    *(float("nan"), float("inf"), float("-inf"), 1e300, 10**5000, -1, -0.001),
    *(timedelta(seconds=-1), timedelta.max, timedelta.min),
]
NOT_A_LIST: list[Any] = [5, True, "text", b"text", {"a": 1}, Unprintable(), Order(), Gated]
NOT_AN_ACTOR: list[Any] = [*NOT_TEXT, "", "  ", NUL, SURROGATE, HUGE]
NOT_A_STEP: list[Any] = [*NOT_TEXT, "", NUL, SURROGATE, HUGE]
NOT_A_MOMENT: list[Any] = [*NOT_TEXT, "2026-11-22", datetime(2026, 11, 22), timedelta(1)]  # noqa: DTZ001 - that is it
NO_SUCH_RUN: list[Any] = ["", "nothing", "a/b", NUL, SURROGATE, HUGE]

PAYLOADS: list[Any] = [
    *(5, "x", [1], Order, Unprintable()),
    *({"number": "many"}, {"number": float("nan")}, {1: 2}, {"number": 2**70}, {"nobody": 1}),
    *({"note": NUL}, {"note": SURROGATE}, {"note": HUGE}, Two.one),
]


@dataclass(frozen=True)
class Bad:
    """Values of one argument of one verb, and the error for each of them."""

    verb: str
    argument: str
    values: list[Any]
    error: type[UsageError] = InvalidInput
    named: str | None = None
    others: dict[str, Any] = field(default_factory=dict)
    code: str | None = None
    """Where it is not that of the error's class."""


def of_start(verb: str) -> list[Bad]:
    return [
        Bad(verb, "target", [None, 5, b"Gated", [], {}, object, Unprintable(), "", NUL, SURROGATE, HUGE]),
        Bad(verb, "target", [manual(Order), Odd.placed]),
        Bad(verb, "target", ["nobody", "nobody.placed", "a.b.c", Stranger, Workflow], NotFound, "workflow"),
        Bad(verb, "target", [Stranger.placed, f"{Stranger.__name__}.placed"], NotFound, "workflow"),
        Bad(verb, "target", ["Gated.nothing", "Gated.", "Two", Two], NotFound, "trigger"),
        Bad(verb, "priority", [*NOT_AN_INTEGER, -1, 10]),
        Bad(verb, "delay", [*NOT_A_DURATION, timedelta(days=4000)]),
        Bad(verb, "queue", NOT_A_NAME),
        Bad(verb, "connection", [*NOT_TEXT, "", NUL, HUGE, {}], UsageError, code="connection_unsupported"),
    ]


def of_word(verb: str) -> list[Bad]:
    """Who says something about which run, and why."""
    return [
        Bad(verb, "run_id", [None, *NOT_TEXT]),
        Bad(verb, "run_id", NO_SUCH_RUN, NotFound),
        Bad(verb, "actor", [None, *NOT_AN_ACTOR]),
        Bad(verb, "comment", [*NOT_TEXT, NUL, SURROGATE, HUGE, "ä" * 8000]),
        Bad(verb, "key", NOT_A_KEY),
    ]


def of_metadata(verb: str) -> list[Bad]:
    return [
        Bad(verb, "metadata", [5, "ab", [1], [("a", 1)], [], True, b"ab", Unprintable()]),
        Bad(verb, "metadata", [{"a": object()}, {1: 2}, {"a": float("nan")}, {"a": (1,)}, {"a": HUGE}, {"a": NUL}]),
    ]


def of_decision(verb: str) -> list[Bad]:
    return [
        *of_word(verb),
        *of_metadata(verb),
        Bad(verb, "step", NOT_A_STEP),
        Bad(verb, "step", ["nothing", "check"], NotFound),
    ]


def of_queue(verb: str) -> list[Bad]:
    return [
        Bad(verb, "queue", [None, *NOT_A_NAME]),
        Bad(verb, "actor", [None, *NOT_TEXT, "", "  ", NUL, SURROGATE, HUGE]),
        Bad(verb, "comment", [*NOT_TEXT, NUL, SURROGATE, HUGE, "ä" * 8000]),
        Bad(verb, "key", NOT_A_KEY),
    ]


def of_reading(verb: str) -> list[Bad]:
    return [Bad(verb, "run_id", [None, *NOT_TEXT]), Bad(verb, "run_id", NO_SUCH_RUN, NotFound)]


def of_retention(verb: str) -> list[Bad]:
    return [
        Bad(verb, "older_than", [None, *NOT_A_DURATION, 0, 59.999, timedelta(days=40_000)]),
        Bad(verb, "workflow", [*NOT_A_NAME, Gated]),
        Bad(verb, "statuses", [*NOT_A_LIST, []]),
        Bad(
            verb,
            "statuses",
            [[bad] for bad in [None, *NOT_TEXT, "", "running", NUL, HUGE]],
            InvalidInput,
            "statuses[0]",
        ),
        Bad(verb, "limit", [*NOT_AN_INTEGER, 0, -1, 10**12]),
        Bad(verb, "dry_run", [None, 1, "yes", Unprintable()]),
        Bad(verb, "tell", [None, 5, "print", Unprintable()]),
    ]


ENDED: dict[str, Any] = {"run_id": "ended"}
"""Asked of a run that has ended."""
TABLE = [
    *of_start("start_run"),
    Bad("start_run", "payload", PAYLOADS, InvalidPayload),
    Bad("start_run", "key", NOT_A_KEY),
    *of_start("start_runs"),
    Bad("start_runs", "payloads", [None, *NOT_A_LIST]),
    Bad("start_runs", "payloads", [[Order(), bad] for bad in [None, *PAYLOADS]], InvalidPayload, "payloads[1]"),
    Bad("start_runs", "keys", [*NOT_A_LIST, iter("a"), {"a"}, "a", [], ["a", "b"]]),
    Bad("start_runs", "keys", [[bad] for bad in [None, *NOT_A_KEY]], InvalidInput, "keys[0]"),
    *of_decision("approve_run"),
    *of_decision("reject_run"),
    *of_queue("pause_queue"),
    *of_queue("resume_queue"),
    *of_decision("resume_run"),
    *of_word("cancel_run"),
    *of_metadata("cancel_run"),
    Bad("cancel_run", "children", [None, *NOT_TEXT, "", "kill"]),
    *of_word("retry_compensation"),
    Bad("retry_compensation", "step", NOT_A_STEP),
    *of_word("waive_compensation"),
    Bad("waive_compensation", "step", NOT_A_STEP),
    *of_word("replay_run"),
    *of_metadata("replay_run"),
    Bad("replay_run", "allow_irreversible", [None, 1, "yes", Unprintable()]),
    Bad("replay_run", "queue", NOT_A_NAME, others=ENDED),
    Bad("replay_run", "priority", [*NOT_AN_INTEGER, -1, 10], others=ENDED),
    Bad("send_event", "run_id", [None, *NOT_TEXT]),
    Bad("send_event", "run_id", NO_SUCH_RUN, NotFound),
    Bad("send_event", "event", [None, *NOT_A_NAME]),
    Bad("send_event", "data", [object(), {1: 2}, float("nan"), (1,), HUGE, {"a": NUL}, Unprintable()]),
    Bad("send_event", "actor", NOT_AN_ACTOR),
    Bad("send_event", "key", NOT_A_KEY),
    *of_retention("prune"),
    *of_retention("archive"),
    Bad(
        "archive", "path_or_file", [None, 5, True, b"a.jsonl", ["a.jsonl"], {}, Unprintable(), open, "", NUL, SURROGATE]
    ),
    Bad("archive", "path_or_file", [HUGE, ".", Path(), "no/such/folder/a.jsonl", os.devnull]),
    *of_metadata("start_run"),
    Bad("list_runs", "since", NOT_A_MOMENT),
    Bad("list_runs", "until", NOT_A_MOMENT),
    *of_reading("inspect_run"),
    *of_reading("explain_run"),
    *of_reading("inspect_run_graph"),
    *of_reading("wait_for"),
    Bad("wait_for", "timeout", NOT_A_DURATION),
    Bad("list_runs", "workflow", [*NOT_A_NAME, Gated]),
    Bad("list_runs", "status", [*NOT_TEXT, "", "bogus", NUL, SURROGATE, HUGE]),
    Bad("list_runs", "queue", NOT_A_NAME),
    Bad("list_runs", "text", [*NOT_TEXT, NUL, SURROGATE, HUGE]),
    Bad("list_runs", "limit", [None, *NOT_AN_INTEGER, 0, -1, 1001]),
    Bad("list_runs", "after", ["", "x", "1:", "²:x", f"{'9' * 30}:x", f"{'9' * 5000}:x", "1:\ud800", NUL, HUGE]),
    Bad("list_runs", "by", [*NOT_TEXT, "", "bogus", NUL, SURROGATE, HUGE]),
    Bad("list_runs", "after", [5, True, b"1:x", [], {}]),
    Bad("count_runs", "workflow", [*NOT_A_NAME, Gated]),
    Bad("observe", "instrument", [None, 5, "logs", object(), lambda event: None]),
    Bad("execute_next", "owner_id", NOT_A_NAME),
    Bad("execute_next", "queues", [*NOT_A_LIST, [], {"a"}, iter(["a"])]),
    Bad("execute_next", "queues", [[bad] for bad in [None, *NOT_A_NAME]]),
    Bad("worker", "concurrency", [None, *NOT_AN_INTEGER, 1.5, 0, 1025]),
    Bad("worker", "sidecar", [None, 0, 1, "yes"]),
    Bad("worker", "grace", [None, *NOT_A_DURATION, timedelta(days=2)]),
    Bad("worker", "owner_id", NOT_A_NAME),
    Bad("worker", "reconcile", [None, 0, 1, "yes"]),
    Bad("worker", "queues", [*NOT_A_LIST, []]),
    Bad("worker", "queues", [["default", bad] for bad in [None, *NOT_A_NAME]]),
    Bad("worker", "queues", [[bad] for bad in ["a*b", "*a", "a=0", "a=1001", "a:0", "a:1025", "a=1.5", "a:2=1", "=1"]]),
    Bad("worker", "queues", [["a=1", "a=2"], ["a", "a:1"]]),
]
FINE: dict[str, dict[str, Any]] = {
    "start_run": {"target": Gated, "payload": Order()},
    "start_runs": {"target": Gated, "payloads": [Order()]},
    "approve_run": {"actor": "ops"},
    "reject_run": {"actor": "ops"},
    "pause_queue": {"queue": "default", "actor": "ops"},
    "resume_queue": {"queue": "default", "actor": "ops"},
    "resume_run": {"actor": "ops"},
    "cancel_run": {"actor": "ops"},
    "retry_compensation": {"actor": "ops"},
    "waive_compensation": {"actor": "ops"},
    "replay_run": {"actor": "ops"},
    "send_event": {"event": "knock"},
    "prune": {"older_than": 60},
    "archive": {"path_or_file": io.BytesIO(), "older_than": 60},
}
"""What a call of the verb needs besides; a run's id is that of a run that waits for a decision."""
VERBS = sorted({row.verb for row in TABLE})


@dataclass(frozen=True)
class Place:
    mesh: Mesh
    run_id: str
    ended: str

    def call(self, verb: str, **said: Any) -> Any:
        method = getattr(self.mesh, verb)
        if said.get("run_id") == "ended":
            said = {**said, "run_id": self.ended}
        elif "run_id" in inspect.signature(method).parameters:
            said = {"run_id": self.run_id, **said}
        return method(**{**FINE.get(verb, {}), **said})

    def written(self) -> tuple[Any, ...]:
        """All that the store holds: rows, entries, agenda."""
        store = self.mesh._engine().store
        rows = store.runs(RunQuery(limit=1000)).rows
        reads = [ThreadRead(thread=ThreadId(row.run_id)) for row in rows]
        return rows, store.read(reads, whole=True), store.open_attempts(), store.paused_queues(), store.workers()


@pytest.fixture(scope="module", params=["memory", "sqlite"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("bad_input")
    url = "memory://" if request.param == "memory" else f"sqlite:///{folder / 'journal.db'}"
    with Mesh.connect(url, workflows=[Gated, Two]) as mesh:
        run = mesh.start_run(Gated, Order())
        mesh.execute_next()
        mesh.start_run(Gated, Order(), key="visible")
        ended = mesh.start_run(Gated, Order())
        mesh.cancel_run(ended.run_id, actor="ops")
        yield Place(mesh, run.run_id, ended.run_id)


def check_error(error: UsageError, kind: type[UsageError], named: str, code: str | None = None) -> None:
    assert type(error) is kind
    assert error.code == (code or kind.code)
    assert error.http_status == kind.http_status
    assert error.field is not None
    assert error.field == named or error.field.startswith((f"{named}.", f"{named}["))
    assert str(error).startswith(f"{error.field}: "), "it names the field"
    assert len(str(error)) < 400, "it does not repeat what is huge"
    str(error).encode()  # and it can be shown


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.verb}-{row.argument}")
def test_a_bad_value_is_refused_by_name_and_nothing_is_written(place: Place, row: Bad) -> None:
    before = place.written()
    for number, bad in enumerate(row.values):
        try:
            place.call(row.verb, **{**row.others, row.argument: bad})
        except UsageError as error:
            check_error(error, row.error, row.named or row.argument, row.code)
        except Exception as error:
            pytest.fail(f"value {number}, a {type(bad).__name__}, raised {type(error).__name__}: {str(error)[:200]}")
        else:
            pytest.fail(f"value {number}, a {type(bad).__name__}, was let pass")
        assert place.written() == before


@pytest.mark.parametrize("verb", VERBS)
def test_no_argument_is_forgotten_here(verb: str) -> None:
    judged = {row.argument for row in TABLE if row.verb == verb}
    assert judged == set(inspect.signature(getattr(Mesh, verb)).parameters) - {"self", "history"}


ELSEWHERE = {
    *("list_dead_letters", "replay_dead_letters", "discard_dead_letters", "apply"),
    *("reindex", "migrations"),
}
"""Judged in test_dead_letters.py, in tests/features/test_starting.py and test_reindex.py, and in
tests/unit/runtime/test_doctor.py.
"""
CRON = {"activate_cron", "cron", "list_cron"}
"""Judged in tests/unit/runtime/test_activate_cron.py and test_cron.py."""
AUTHORED = {
    "actions", "activate_workflow", "deactivate_workflow", "validate_workflow", "workflow_definition", "workflows",
}  # fmt: skip
"""Judged in test_authored_arguments.py."""


def test_no_verb_is_forgotten_here() -> None:
    public = {name for name in dir(Mesh) if not name.startswith("_")}
    assert public - {
        "close",
        "connect",
        "migrate",
        "reconcile",
        "queues",
        "doctor",
        "vitals",
        "workers",
    } - ELSEWHERE - CRON - AUTHORED == set(VERBS)


def test_what_is_allowed_is_said(place: Place) -> None:
    with pytest.raises(InvalidInput, match="allowed are running, retrying, paused, waiting, failing, compensating"):
        place.mesh.list_runs(status="done")


def test_no_comment_is_an_empty_one(tmp_path: Path) -> None:
    with Mesh.connect(f"sqlite:///{tmp_path / 'journal.db'}", workflows=[Gated]) as mesh:
        run = mesh.start_run(Gated, Order())
        mesh.execute_next()
        assert mesh.approve_run(run.run_id, actor="ops", comment=None, metadata=None).status == "completed"
        assert mesh.inspect_run(run.run_id, history=True).audit[-1].comment == ""


def test_a_decision_keeps_its_own_copy(tmp_path: Path) -> None:
    told: dict[str, Any] = {"seen": ["contract"]}
    with Mesh.connect("memory://", workflows=[Gated]) as mesh:
        run = mesh.start_run(Gated, Order())
        mesh.execute_next()
        mesh.approve_run(run.run_id, actor="ops", metadata=told)
        told["seen"].append("nothing else")
        assert "nothing else" not in str(mesh.inspect_run(run.run_id, history=True))


def test_many_runs_come_from_any_iterable(place: Place) -> None:
    assert [run.status for run in place.mesh.start_runs(Gated, (Order(number=n) for n in range(3)))] == ["running"] * 3
    assert place.mesh.start_runs(Gated, []) == []
    assert place.mesh.start_runs(Gated, iter([Order(), Order()]), keys=("a", "b"))[0].key == "a"


def test_one_key_with_two_payloads_in_one_call_starts_nothing(place: Place) -> None:
    before = place.written()
    with pytest.raises(KeyReused, match="keys: 'twice' is there twice"):
        place.mesh.start_runs(Gated, [Order(number=1), Order(number=2), Order()], keys=["twice", "twice", "once"])
    assert place.written() == before


def test_a_payload_that_contains_itself_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["child"] = endless["other"] = endless
    with (
        Mesh.connect("memory://", workflows=[Trees]) as mesh,
        pytest.raises(InvalidPayload, match=r"[Rr]ecursion|cycl"),
    ):
        mesh.start_run(Trees, endless)


def test_a_worker_that_was_refused_runs_nothing(place: Place) -> None:
    assert isinstance(place.mesh.worker(grace=0, concurrency=1, queues=["nobody"]), Worker)
    assert not place.mesh._engine().workers


# ------------------------------------------------------------------------------------------------------- connecting

SETTINGS: list[tuple[str, list[Any], type[UsageError]]] = [
    (
        "url",
        [None, *NOT_TEXT, "", "nothing", "nothing://x", "sqlite", NUL, "memory://\ud800", f"memory://{HUGE}"],
        InvalidUrl,
    ),
    ("leases", [*NOT_TEXT, "", "nothing", "nothing://x", "memory://\0", f"memory://{HUGE}"], InvalidUrl),
    (
        "leases",
        ["redis://", "redis+cluster://localhost/1", "redis+sentinel://localhost", f"redis://{HUGE}"],
        InvalidUrl,
    ),
    (
        "leases",
        ["rediss://localhost?ca=nowhere", "redis+cluster://a,b", "redis://a?x=1\0", f"redis://{HUGE}"],
        InvalidUrl,
    ),
    ("workflows", [None, 5, "Gated", b"Gated", Gated, {"Gated": Gated}, Unprintable()], InvalidInput),
    ("actions", [5, "charge", {"charge": print}, Unprintable(), 0, False], InvalidInput),
    ("queue", [None, *NOT_A_NAME], InvalidInput),
    ("lease", [None, *NOT_A_DURATION, 0, 0.049, timedelta(days=1, microseconds=1)], InvalidInput),
    ("heartbeat", [*NOT_A_DURATION, 0, timedelta(0), 30.001], InvalidInput),
    ("reconcile_every", [None, *NOT_A_DURATION, 0, timedelta(milliseconds=9), 601], InvalidInput),
    ("max_deliveries", [None, True, "5", 5.0, 0, 1001], InvalidInput),
    ("quarantine", [None, 1, "yes"], InvalidInput),
    ("sweep", [None, *NOT_A_DURATION, 0, timedelta(milliseconds=99), 86_401], InvalidInput),
    ("idle_poll", [None, *NOT_A_DURATION, 0, timedelta(microseconds=999), 60.001], InvalidInput),
    ("clock", [5, "now", Unprintable(), 0], InvalidInput),
    ("observer", [5, "notice", Unprintable(), 0], InvalidInput),
    ("codec", [5, "zip", Unprintable(), 0, False], InvalidInput),
]


@pytest.mark.parametrize("argument, values, error", SETTINGS, ids=[row[0] for row in SETTINGS])
def test_a_mesh_is_refused_a_bad_setting(
    tmp_path: Path, argument: str, values: list[Any], error: type[UsageError]
) -> None:
    fine = {"url": f"sqlite:///{tmp_path / 'journal.db'}", "workflows": [Gated]}
    for bad in values:
        with pytest.raises(UsageError) as caught:
            Mesh.connect(**{**fine, argument: bad})
        check_error(caught.value, error, argument)
    assert list(tmp_path.iterdir()) == [], "nothing was touched"


def test_no_setting_is_forgotten_here() -> None:
    assert {row[0] for row in SETTINGS} == set(inspect.signature(Mesh.connect).parameters)


def test_what_is_no_workflow_is_named() -> None:
    with pytest.raises(WorkflowError, match="5 is no workflow"):
        Mesh.connect("memory://", workflows=[5])  # type: ignore[list-item]


@pytest.mark.parametrize(
    "bad", [None, *NOT_TEXT, "", "nothing://x", NUL, SURROGATE, f"memory://{HUGE}"], ids=lambda bad: type(bad).__name__
)
def test_a_migration_needs_an_address(bad: Any) -> None:
    with pytest.raises(InvalidUrl) as caught:
        Mesh.migrate(bad)
    check_error(caught.value, InvalidUrl, "url")


@pytest.mark.parametrize(
    "url",
    [
        f"secret-{HUGE}://",
        "nothing://ops:secret@host/db",
        "sqlite:///secret\0.db",
        "redis://ops:secret@mordor",
        "redis+cluster://ops:secret@localhost,mordor",
        "rediss+sentinel://ops:secret@localhost/ring?sentinel_password=secret@&sentinel_password=secret@",
    ],
)
def test_an_error_about_an_address_keeps_its_secrets(url: str) -> None:
    with pytest.raises(InvalidUrl) as caught:
        Mesh.connect(url)
    assert "secret@" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_relative_address_is_resolved_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    monkeypatch.chdir(here)
    mesh = Mesh.connect("sqlite:///journal.db", workflows=[Gated])
    monkeypatch.chdir(there)
    with mesh:
        mesh.start_run(Gated, Order())
    assert (here / "journal.db").exists()
    assert list(there.iterdir()) == []
    with sqlite3.connect(here / "journal.db") as journal:
        assert journal.execute("SELECT count(*) FROM runs").fetchone() == (1,)
    journal.close()
