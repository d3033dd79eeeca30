"""The walk over all threads: what moves meanwhile, what can not be read, and how much is read at once."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from squidmesh.errors import BackendUnavailable, CommitUnknown, JournalConflict
from squidmesh.ids import EntryId, ThreadId, catalogue_thread, trigger_thread
from squidmesh.journal.catalogue import CATALOGUE_CODEC, CatalogueState, WorkflowActivated, fold_catalogue
from squidmesh.journal.codec import encode_facts
from squidmesh.journal.queues import QUEUE_CODEC, QueuePaused, queue_thread
from squidmesh.journal.rows import RowChanges
from squidmesh.journal.triggers import TRIGGER_CODEC, TriggerRegistered, TriggerSchedule, TriggerState, fold_trigger
from squidmesh.ports.journal_store import Append, Checkpoint, Committed, Group, Replacement
from squidmesh.runtime.commit import Patience
from squidmesh.runtime.reindex import Reindexed, Reindexer
from tests.unit.runtime.rig import Rig, claim, complete


def reindex(rig: Rig, **settings: Any) -> Reindexed:
    return Reindexer(rig.store, Patience(timedelta(0)), **{"dry_run": False, **settings}).everything()


def changed(done: Reindexed) -> tuple[int, int, int]:
    return done.put, done.removed, done.changed


def lose_rows(rig: Rig, run_id: str) -> None:
    (rows,) = rig.journal.rows_of([ThreadId(run_id)])
    gone = RowChanges(remove=tuple(row.item for row in rows.attempts))
    at = tuple(one for one in rig.journal.threads().threads if one.thread == run_id)
    run = rows.run.run_id if rows.run else None
    assert rig.journal.replace_rows([Replacement(at=at, rows=gone, drop_run=run)]) == [True]


def append(rig: Rig, thread: ThreadId, body: bytes, checkpoint: bytes | None = None, revision: int = 0) -> None:
    entry_id = EntryId(f"{thread}-{revision}")
    one = Append(
        thread=thread,
        expected_revision=revision,
        entry_id=entry_id,
        body=body,
        rows=RowChanges(),
        checkpoint=checkpoint,
    )
    assert rig.journal.commit([Group(appends=(one,))]) == [Committed()]


def test_a_thread_that_moves_on_meanwhile_is_looked_at_again(rig: Rig) -> None:
    """A worker claims and completes between the look and the replacement; what it wrote stands."""
    rig.start("frodo")
    rig.start("sam")
    lose_rows(rig, "frodo")
    lose_rows(rig, "sam")
    worker = rig.writer()
    moves = iter([claim("frodo"), complete("frodo")])
    replace = rig.journal.replace_rows

    def meanwhile(replacements: Any) -> list[bool]:
        if (intent := next(moves, None)) is not None:
            assert worker.one(intent).facts
        return replace(replacements)

    rig.journal.replace_rows = meanwhile  # type: ignore[method-assign]
    done = reindex(rig)
    assert [len(call) for call in rig.store.calls["replace_rows"]] == [2, 1], "frodo's alone, and once"
    assert changed(done)[1:] == (0, 0)
    assert changed(reindex(rig)) == (0, 0, 0)
    assert [row.step for row in rig.journal.open_attempts(run_id="sam")] == ["pack"]
    assert rig.journal.run_row("frodo") is not None


def test_a_thread_that_never_comes_to_rest_is_named(rig: Rig) -> None:
    rig.start("frodo")
    lose_rows(rig, "frodo")
    rig.journal.replace_rows = lambda replacements: [False] * len(replacements)  # type: ignore[method-assign]
    with pytest.raises(JournalConflict, match="frodo moved on 100 times"):
        reindex(rig)


@pytest.mark.parametrize("method", ["threads", "read", "rows_of", "replace_rows"])
@pytest.mark.parametrize("error", [BackendUnavailable("gone"), CommitUnknown("no answer")])
@pytest.mark.parametrize("after", [False, True])
def test_a_store_that_fails_for_a_moment_is_asked_again(rig: Rig, method: str, error: Exception, after: bool) -> None:
    rig.start("frodo")
    lose_rows(rig, "frodo")
    rig.store.fail(method, error, after=after)
    assert changed(reindex(rig)) == (2, 0, 0)
    assert changed(reindex(rig)) == (0, 0, 0)


def test_a_store_that_stays_away_ends_the_walk(rig: Rig) -> None:
    rig.start("frodo")
    rig.store.fail("rows_of", *[BackendUnavailable("gone")] * 9)
    with pytest.raises(BackendUnavailable):
        reindex(rig)


def test_a_checkpoint_that_can_not_be_read_is_passed_over(rig: Rig) -> None:
    rig.start("frodo")
    lose_rows(rig, "frodo")
    rig.journal._checkpoints["frodo"] = Checkpoint(revision=1, body=b"of another version")
    assert changed(reindex(rig)) == (2, 0, 0)


def test_an_entry_that_is_missing_holds_its_run_and_no_other(rig: Rig) -> None:
    for name in ("frodo", "sam"):
        rig.start(name)
        rig.writer().one(claim(name))
        lose_rows(rig, name)
    entries = rig.journal._threads["frodo"]
    entries[0] = structs.replace(entries[0], revision=2)
    done = reindex(rig)
    assert [(one.thread, "entry 1 is missing" in one.why) for one in done.unreadable] == [("frodo", True)]
    assert (changed(done), done.threads) == ((2, 0, 0), 2)
    assert rig.journal.run_row("frodo") is None


def test_threads_that_are_no_runs_are_looked_at_and_have_no_rows(rig: Rig) -> None:
    schedule = TriggerSchedule(expression="0 0 * * *", timezone="Etc/UTC")
    registered = TriggerRegistered(at=1, workflow="Errand", trigger="nightly", schedule=schedule)
    trigger = fold_trigger(TriggerState(), [registered])
    activated = WorkflowActivated(at=1, name="Errand", version="1", fingerprint="f", actor="sam")
    body = TRIGGER_CODEC.encode_facts([registered])
    append(rig, trigger_thread("Errand", "nightly"), body, TRIGGER_CODEC.encode_state(trigger))
    append(rig, trigger_thread("Errand", "daily"), body)
    body = CATALOGUE_CODEC.encode_facts([activated])
    append(rig, catalogue_thread(), body, CATALOGUE_CODEC.encode_state(fold_catalogue(CatalogueState(), [activated])))
    done = reindex(rig)
    assert (done.threads, changed(done), done.unreadable) == (3, (0, 0, 0), [])


def test_a_queue_is_read_to_its_last_word(rig: Rig) -> None:
    thread = queue_thread("slow")
    paused = QueuePaused(at=1, queue="slow", actor="sam")
    append(rig, thread, QUEUE_CODEC.encode_facts([paused]))
    assert changed(reindex(rig)) == (1, 0, 0)
    assert [row.queue for row in rig.journal.paused_queues()] == ["slow"]
    append(rig, thread, b"rubbish", revision=1)
    done = reindex(rig)
    assert [one.thread for one in done.unreadable] == [thread]
    assert [row.queue for row in rig.journal.paused_queues()] == ["slow"], "left alone"


def test_what_is_no_thread_of_ours_is_named(rig: Rig) -> None:
    append(rig, ThreadId("nonsense"), b"nonsense")
    assert [one.thread for one in reindex(rig).unreadable] == ["nonsense"]


def test_a_page_of_long_threads_is_read_in_portions(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("squidmesh.runtime.reindex._PAGE", 4)
    monkeypatch.setattr("squidmesh.runtime.reindex._ENTRIES", 5)
    lengths = {"a": 3, "b": 2, "c": 9, "d": 1, "e": 1, "f": 1}
    for name in lengths:
        rig.start(name)
    for name, length in lengths.items():
        for _ in range(1, length):
            rig.add(name, encode_facts([]))
    assert reindex(rig).threads == 6
    portions = [[read.thread for read in call] for call in rig.store.calls["read"] if call]
    assert portions == [["a", "b"], ["c"], ["d"], ["e", "f"]]
