"""``squidmesh workers`` and ``squidmesh top``: what operators see."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
import squidmesh_sqlite
from rich.console import Console

from squidmesh import BackendUnavailable, Vitals, WorkerList, WorkerSeen
from squidmesh.cli.fleet_view import FleetView, Rates, _rates
from squidmesh.cli.frame import Header, frame
from squidmesh.cli.top import _Watch
from squidmesh.cli.workers import most_urgent_first
from squidmesh.clock import Instant
from squidmesh.ports.lease_backend import QueueStats
from squidmesh.runtime.chance import SystemClock
from squidmesh.testing.workers_suite import worker

NOW = datetime(2026, 11, 22, 21, tzinfo=UTC)


def seen(name: str, state: Any = "idle", **said: Any) -> WorkerSeen:
    one = WorkerSeen(
        name=name,
        state=state,
        host="shire",
        pid=7,
        version="1.0",
        queues=("default",),
        slots=4,
        busy=0,
        leases=0,
        started_at=NOW - timedelta(hours=2),
        seen_at=NOW - timedelta(seconds=3.9),
    )
    return replace(one, **said)


def stats(queue: str, ready: int = 0, oldest: float | None = None) -> QueueStats:
    waits = None if oldest is None else timedelta(seconds=oldest)
    return QueueStats(queue=queue, ready=ready, delayed=0, leased=0, oldest_ready=waits)


def view(
    *workers: WorkerSeen,
    runs: dict[str, int] | None = None,
    dead_letters: int = 0,
    queues: tuple[QueueStats, ...] = (),
    paused: frozenset[str] = frozenset(),
    trouble: str | None = None,
    rates: Rates | None = None,
) -> FleetView:
    vitals = Vitals(runs=runs or {}, dead_letters=dead_letters, queues=queues, paused=paused, trouble=trouble)
    ordered = tuple(most_urgent_first(workers))
    return FleetView(vitals=vitals, workers=WorkerList(workers=ordered, as_of=NOW), rates=rates)


def drawn(seen: FleetView, *, lines: int | None = None, width: int = 110, header: Header | None = None) -> list[str]:
    out = Console(file=StringIO(), width=width, highlight=False, markup=False, emoji=False)
    out.print(frame(seen, header or Header("errand.db"), width=width, lines=lines))
    assert isinstance(out.file, StringIO)
    return out.file.getvalue().splitlines()


def line(found: list[str], beginning: str) -> str:
    (one,) = [line for line in found if line.startswith(beginning)]
    return one


@pytest.fixture
def registered(url: str) -> str:
    """A store in which a worker is registered."""
    opened = squidmesh_sqlite.backend(url, clock=SystemClock())
    opened.migrate()
    opened.journal().put_workers([worker("sam@1", queues=("default",))], stale=Instant(0))
    opened.close()
    return url


# ------------------------------------------------------------------------------------------------------ commands


def test_workers_are_listed_for_people_and_for_programs(run_cli: Any, registered: str) -> None:
    shown = run_cli("--url", registered, "workers", "list")
    assert shown.exit_code == 0, shown.output
    head, row = shown.output.splitlines()
    assert head.split() == ["worker", "state", "busy", "leases", "queues", "seen", "started", "version", "host", "pid"]
    assert row.split()[:6] == ["sam@1", "●", "working", "1/4", "2", "default"]
    (told,) = json.loads(run_cli("--url", registered, "workers", "list", "--json").output)["workers"]
    assert (told["name"], told["state"], told["busy"], told["queues"]) == ("sam@1", "working", 1, ["default"])


def test_one_frame_is_printed(run_cli: Any, registered: str) -> None:
    shown = run_cli("--url", registered, "top", "--once")
    assert shown.exit_code == 0, shown.output
    assert "\x1b" not in shown.output
    assert "1 busy, 3 free   ● 1 working" in shown.output
    assert "Ctrl-C" not in shown.output


def test_one_document_is_printed(run_cli: Any, app: Callable[[], str], registered: str) -> None:
    run_cli("--app", app(), "start", "Fulfil", "--payload", '{"order_id": "1"}')
    told = json.loads(run_cli("--app", app(), "top", "--json").output)
    assert set(told) == {"as_of", "runs", "rates", "dead_letters", "slots", "workers", "queues", "trouble"}
    assert (told["rates"], told["trouble"], told["dead_letters"]) == (None, None, 0)
    assert told["runs"] == {"paused": 1}
    assert told["slots"] == {"busy": 1, "all": 4}
    assert [one["name"] for one in told["workers"]] == ["sam@1"]
    (queue,) = told["queues"]
    assert queue == {"name": "default", "ready": 0, "delayed": 0, "leased": 0, "oldest_ready": None, "paused": False}


@pytest.mark.parametrize("every", ["0", "0.05", "nan", "inf", "-1", "soon", "3601", ""])
def test_how_often_is_bounded(run_cli: Any, url: str, every: str) -> None:
    refused = run_cli("--url", url, "top", "--once", "--every", every)
    assert refused.exit_code == 2
    assert f"Invalid value for '--every': {every!r} is refused" in refused.output


class Away:
    """A mesh whose store is away after the first look."""

    def __init__(self) -> None:
        self.looks = 0

    def vitals(self) -> Vitals:
        self.looks += 1
        if self.looks != 2:
            raise BackendUnavailable("the store is away")
        return Vitals(runs={"running": 5}, dead_letters=0, queues=(), paused=frozenset())

    def workers(self) -> WorkerList:
        return WorkerList(workers=(), as_of=NOW)


def test_a_store_that_goes_away_is_told_over_what_was_seen_last(capsys: pytest.CaptureFixture[str]) -> None:
    mesh: Any = Away()
    watch = _Watch(mesh, "errand.db", 1.0)
    with pytest.raises(BackendUnavailable):
        watch.look(None)
    assert capsys.readouterr().out == "", "there is nothing to show yet"
    watch.look(None)
    assert "!" not in capsys.readouterr().out
    watch.look(None)
    told = capsys.readouterr().out
    assert "! the store is away" in told
    assert "5\xa0running" in told


# --------------------------------------------------------------------------------------------------------- frames


def test_what_asks_for_somebody_stands_on_top() -> None:
    found = drawn(view(seen("a"), seen("b", "working", busy=2), seen("c", "draining"), seen("d", "lost", busy=4)))
    at = found.index(line(found, "worker "))
    names = [line.split()[0] for line in found[at + 1 : at + 5]]
    assert names == ["d", "c", "b", "a"]
    assert "2 busy, 10 free" in line(found, "slots"), "who is lost has no slots"
    assert "● 1 working   ○ 1 idle   ▽ 1 draining   ☠ 1 lost" in line(found, "slots")
    assert "3 s ago" in found[at + 1]


def test_something_busy_and_something_free_are_seen_however_little() -> None:
    def bar(busy: int, slots: int) -> tuple[int, int]:
        told = line(drawn(view(seen("a", "working", busy=busy, slots=slots))), "slots")
        return told.count("━"), told.count("─")

    assert bar(0, 100) == (0, 24)
    assert bar(1, 100) == (1, 23)
    assert bar(99, 100) == (23, 1)
    assert bar(100, 100) == (24, 0)


def test_nothing_at_all() -> None:
    found = drawn(view())
    assert line(found, "runs").split() == ["runs", "none"]
    assert line(found, "dead letters").split() == ["dead", "letters", "none"]
    assert "no worker is registered" in line(found, "slots")


def test_runs_by_status_and_rates() -> None:
    rates = Rates(started=12.4, ended={"completed": 3.25, "failed": 0.0, "cancelled": 0.0})
    found = drawn(view(runs={"running": 1200, "failed": 1, "waiting": 0}, dead_letters=2, rates=rates))
    assert line(found, "runs").split(maxsplit=1)[1].split("   ") == ["●\xa01,200\xa0running", "✗\xa01\xa0failed"]
    assert line(found, "a second").split() == ["a", "second", "12", "started", "✓", "3.2", "completed"]
    assert "☠ 2" in line(found, "dead letters")


def test_rates_are_those_since_the_last_look() -> None:
    before, now = {"running": 10, "completed": 100}, {"running": 12, "completed": 104, "failed": 2}
    assert _rates(before, now, timedelta(seconds=2)) == Rates(
        started=4.0, ended={"completed": 2.0, "failed": 1.0, "cancelled": 0.0}
    )
    assert _rates(before, {"running": 10, "completed": 3}, timedelta(seconds=2)) is None, "runs were pruned"
    assert _rates(before, now, timedelta(0)) is None


def test_queues_stand_in_the_order_in_which_they_wait() -> None:
    queues = (stats("empty"), stats("young", 9, 1), stats("old", 1, 60), stats("paused", 1, 5))
    found = drawn(view(seen("a", queues=("yo*",)), queues=queues, paused=frozenset({"paused"})))
    at = found.index(line(found, "queue "))
    assert [line.split()[0] for line in found[at + 1 : at + 5]] == ["old", "paused", "young", "empty"]
    assert "nobody claims from it" in line(found, "old")
    assert "‖ paused" in line(found, "paused")
    assert "nobody" not in line(found, "young")
    assert "nobody" not in line(found, "empty")


@pytest.mark.parametrize("lines", [12, 16, 24, 50])
@pytest.mark.parametrize(("workers", "queues"), [(0, 0), (3, 3), (100, 2), (2, 100), (100, 100)])
def test_a_frame_is_no_higher_than_the_terminal(workers: int, queues: int, lines: int) -> None:
    fleet = [seen(f"w{n:03}") for n in range(workers)]
    stood = tuple(stats(f"q{n:03}", 1, 1) for n in range(queues))
    found = drawn(view(*fleet, queues=stood, trouble="the backend is away"), lines=lines, header=Header("x", "y", "z"))
    assert len(found) <= max(lines, 15)
    shown = sum(1 for line in found if line.startswith("w0"))
    assert shown == workers or f"… and {workers - shown} workers more" in found


def test_how_many_lost_ones_are_not_shown_is_told() -> None:
    fleet = [seen(f"w{n:03}", "lost") for n in range(50)]
    assert any("of them lost" in line for line in drawn(view(*fleet), lines=24))


def test_troubles_are_told() -> None:
    found = drawn(view(trouble="redis is away"), header=Header("errand.db", "", "the journal is away"))
    assert "! the journal is away" in found
    assert "! redis is away" in found


def test_what_others_wrote_can_not_move_the_cursor() -> None:
    found = drawn(view(seen("a\x1b[2J", queues=("q\x1b[1A",))), header=Header("x\x1b[2J"))
    assert not any("\x1b" in line for line in found)


def test_eighty_columns_are_enough_for_what_matters() -> None:
    long = seen("gandalf-the-grey-7781@1a2b3c4d", "draining", queues=("default", "tenant-*"))
    row = line(drawn(view(long), width=80), "gandalf")
    assert row.split() == [
        "gandalf-the-grey-7781@1a2b3…",
        "▽",
        "draining",
        "0/4",
        "0",
        "default,",
        "tena…",
        "3",
        "s",
        "ago",
    ]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_narrow_terminal_cuts_and_does_not_fold(width: int) -> None:
    many = tuple(f"queue-{n}" for n in range(20))
    found = drawn(view(seen("a" * 60, queues=many), queues=(stats("q"),)), width=width)
    assert all(len(line) <= width for line in found)
    assert len(found) < 20
