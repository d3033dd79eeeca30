"""Pruning where the journal is in trouble, or holds what no present version would write."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from squidmesh import Context, Mesh, Workflow, manual, step
from squidmesh.errors import BackendUnavailable, CommitUnknown, JournalConflict, NotFound
from squidmesh.ids import ThreadId, derived_id, is_random
from squidmesh.journal.rows import RowChanges
from squidmesh.memory import MemoryBackend
from squidmesh.ports.journal_store import Append, Group, ThreadRead
from squidmesh.runtime import chance, retention
from squidmesh.testing.clock import VirtualClock

HOUR = timedelta(hours=1)


class Order(BaseModel):
    number: int = 0


def begin_children(number: int, context: Context) -> None:
    for child in range(number):
        context.start_child_run("Errand", key=str(child))


class Errand(Workflow):
    version = "1"
    go = manual(Order)
    act = step(begin_children)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def mesh(clock: VirtualClock, tmp_path: Path) -> Any:
    with Mesh.connect(f"sqlite:///{tmp_path / 'journal.db'}", workflows=[Errand], clock=clock) as mesh:
        yield mesh


def work(mesh: Mesh) -> None:
    while mesh.execute_next() is not None:
        pass


def ids(mesh: Mesh) -> set[str]:
    return {run.run_id for run in mesh.list_runs(limit=1000).runs}


class Trouble:
    """A journal one of whose methods does something else first, or in its place."""

    def __init__(self, store: Any, method: str, act: Callable[..., Any]) -> None:
        self._store, self._method, self._act = store, method, act

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return (lambda *args: self._act(found, *args)) if name == self._method else found


def trouble(mesh: Mesh, method: str, act: Callable[..., Any]) -> None:
    engine = mesh._engine()
    engine.store = Trouble(engine.store, method, act)


def once(error: Exception, *, after: bool) -> Callable[..., Any]:
    """The first call fails, before it is carried out or after."""
    left = [error]

    def act(call: Callable[..., Any], *args: Any) -> Any:
        answer = call(*args) if after or not left else None
        if left:
            raise left.pop()
        return answer

    return act


@pytest.mark.parametrize(
    ("error", "after"),
    [(BackendUnavailable("busy"), False), (CommitUnknown("lost"), False), (CommitUnknown("lost"), True)],
)
def test_a_prune_whose_answer_was_lost_is_counted_all_the_same(
    mesh: Mesh, clock: VirtualClock, error: Exception, after: bool
) -> None:
    mesh.start_run(Errand, {"number": 2})
    mesh.start_run(Errand)
    work(mesh)
    clock.advance(HOUR)
    trouble(mesh, "prune", once(error, after=after))

    pruned = mesh.prune(older_than=60)

    assert (pruned.runs, pruned.tombstones) == (4, 2)
    assert ids(mesh) == set()


def test_a_thread_that_has_moved_after_its_end_stops_the_prune(mesh: Mesh, clock: VirtualClock) -> None:
    """Nothing may follow the end (I9): whatever did this, nothing is thrown away beside it."""
    runs = mesh.start_runs(Errand, [{}, {}])
    work(mesh)
    clock.advance(HOUR)

    def move(call: Callable[..., Any], pruning: Any) -> Any:
        store = mesh._engine().store
        (history,) = store.read([ThreadRead(thread=ThreadId(runs[1].run_id))], whole=True)
        last = history.tail[-1]
        again = Append(
            thread=last.thread,
            expected_revision=last.revision,
            entry_id=last.entry_id,
            body=last.body,
            rows=RowChanges(),
        )
        store.commit([Group(appends=(again,))])
        return call(pruning)

    trouble(mesh, "prune", move)
    with pytest.raises(JournalConflict, match=r"has ended, and its thread has moved on"):
        mesh.prune(older_than=60)
    assert ids(mesh) == {run.run_id for run in runs}


# ------------------------------------------------------------------------------------------------- what stays


def damage(tmp_path: Path, run_id: str, revision: int) -> None:
    with closing(sqlite3.connect(tmp_path / "journal.db")) as store:
        bad = "UPDATE entries SET body = CAST('1:00000000:[]' AS BLOB) WHERE thread = ? AND revision = ?"
        assert store.execute(bad, (run_id, revision)).rowcount == 1
        store.commit()


@pytest.mark.parametrize("archived", [False, True])
@pytest.mark.parametrize("whose", ["root", "child"])
def test_a_family_with_a_run_that_can_not_be_read_stays(
    mesh: Mesh, clock: VirtualClock, tmp_path: Path, whose: str, archived: bool
) -> None:
    feast, other = mesh.start_run(Errand, {"number": 1}), mesh.start_run(Errand)
    work(mesh)
    clock.advance(HOUR)
    (child,) = mesh.inspect_run(feast.run_id).children
    damage(tmp_path, feast.run_id if whose == "root" else child.run_id, 2)
    file = tmp_path / "archive.jsonl"

    done = mesh.archive(file, older_than=60) if archived else mesh.prune(older_than=60)

    assert (done.runs, done.held) == (1, 1)
    assert list(done.reasons) == [feast.run_id]
    assert "checksum" in done.reasons[feast.run_id]
    assert ids(mesh) == {feast.run_id, child.run_id}
    if archived:
        assert file.read_text().count("\n") == 1
        assert other.run_id in file.read_text()


def test_what_only_a_reader_of_the_whole_history_finds_damaged_is_not_archived(
    mesh: Mesh, clock: VirtualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint stands before it: the run can be folded, but not told."""
    monkeypatch.setattr("squidmesh.runtime.held.CHECKPOINT_TAIL", 0)
    long, short = mesh.start_run(Errand, {"number": 1}), mesh.start_run(Errand)
    work(mesh)
    clock.advance(HOUR)
    (history,) = mesh._engine().store.read([ThreadRead(thread=ThreadId(long.run_id))])
    assert history.checkpoint is not None and history.checkpoint.revision > 1
    damage(tmp_path, long.run_id, 1)
    file = tmp_path / "archive.jsonl"

    done = mesh.archive(file, older_than=60)

    assert (done.runs, done.held, list(done.reasons)) == (1, 1, [long.run_id])
    assert short.run_id in file.read_text()
    assert long.run_id in ids(mesh)
    assert long.run_id not in file.read_text()


def test_a_child_whose_row_does_not_tell_its_parent_waits_for_its_root(
    mesh: Mesh, clock: VirtualClock, tmp_path: Path
) -> None:
    """A row of before parents were told in rows."""
    feast = mesh.start_run(Errand, {"number": 2})
    work(mesh)
    clock.advance(HOUR)
    with closing(sqlite3.connect(tmp_path / "journal.db")) as store:
        store.execute("UPDATE runs SET parent = NULL, ended_at = ended_at - 1 WHERE parent IS NOT NULL")
        store.commit()

    assert mesh.prune(older_than=60, limit=1).runs == 3, "they were met first, and passed over"
    assert ids(mesh) == set()
    with pytest.raises(NotFound):
        mesh.inspect_run(feast.run_id)


def test_many_reasons_are_not_all_told(
    mesh: Mesh, clock: VirtualClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_REASONS", 2)
    runs = mesh.start_runs(Errand, [{}] * 3)
    work(mesh)
    clock.advance(HOUR)
    for run in runs:
        damage(tmp_path, run.run_id, 1)
    done = mesh.prune(older_than=60)
    assert (done.runs, done.held, len(done.reasons)) == (0, 3, 2)


# ------------------------------------------------------------------------------------------------------- and else


def test_a_memory_is_pruned_too(clock: VirtualClock) -> None:
    assert MemoryBackend("memory://", clock=clock).journal().tombstone("x") is None
    with Mesh.connect("memory://", workflows=[Errand], clock=clock) as mesh:
        mesh.start_run(Errand)
        work(mesh)
        clock.advance(HOUR)
        assert mesh.prune(older_than=60).runs == 1


def test_a_prune_is_told_to_the_observer_at_the_level_of_what_is_planned(
    mesh: Mesh, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="squidmesh")
    mesh.start_run(Errand)
    work(mesh)
    mesh.prune(older_than=60)
    clock.advance(HOUR)
    mesh.prune(older_than=60)
    (told,) = [record for record in caplog.records if record.message.startswith("runs_pruned")]
    assert told.levelno == logging.INFO
    assert "runs=1" in told.message


def test_ids_that_are_drawn_are_told_from_those_that_are_derived() -> None:
    assert all(is_random(chance.new_run_id()) for _ in range(1000))
    assert not any(is_random(derived_id("run", "Errand", str(number))) for number in range(1000))
    assert not any(is_random(odd) for odd in ("", "a", "0" * 32, chance.new_run_id() + "0"))
