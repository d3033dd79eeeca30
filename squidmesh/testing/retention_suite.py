"""What every journal store promises about runs that are pruned (protocol 3.7, I1, I12). A backend's tests subclass this
and provide the fixture ``store``.
"""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from squidmesh.clock import Instant
from squidmesh.errors import DataRefused
from squidmesh.ids import Fingerprint, RunId, ThreadId
from squidmesh.journal.rows import RowChanges, RunRow, Tombstone
from squidmesh.ports.journal_store import (
    Checkpoint,
    Committed,
    Conflict,
    DeadLetterQuery,
    DefinitionRecord,
    Group,
    History,
    JournalStore,
    Pruning,
    RunQuery,
)
from squidmesh.testing.clock import VirtualClock
from squidmesh.testing.journal_suite import (
    add_run,
    alone,
    append,
    attempt_row,
    dead_letter_row,
    names,
    read,
    revisions,
    run_row,
    thread_id,
    timer_row,
)
from squidmesh.testing.threads import together

LONG_AFTER = Instant(10**15)


def ended(store: JournalStore, name: str, at: int, **rest: Any) -> None:
    """A run of one entry that has ended then."""
    add_run(store, name, ended_at=at, status="completed", step=None, **rest)


def run_of(name: str) -> RunId:
    return RunId(thread_id(name))


def stone(name: str, revision: int = 1, **rest: object) -> Tombstone:
    row: dict[str, object] = {"workflow": "RingErrand", "status": "completed", "ended_at": 7}
    return Tombstone(run_id=run_of(name), revision=revision, **{**row, **rest})  # type: ignore[arg-type]


def pruning(name: str, revision: int = 1, *, derived: bool = False, timers: tuple[str, ...] = ()) -> Pruning:
    return Pruning(
        thread=thread_id(name),
        revision=revision,
        timers=timers,
        tombstone=stone(name, revision) if derived else None,
    )


def traces(store: JournalStore, name: str) -> list[object]:
    """What the store has of a run."""
    run_id = run_of(name)
    checkpoint, row = read(store, name).checkpoint, store.run_row(run_id)
    return [
        *read(store, name, whole=True).tail,
        *([] if checkpoint is None else [checkpoint]),
        *([] if row is None else [row]),
        *store.open_attempts(run_id=run_id),
        *store.dead_letters(DeadLetterQuery(run_id=run_id)).rows,
        *(timer for timer in store.open_timers() if timer.run_id == run_id),
    ]


class RetentionSuite:
    @pytest.fixture
    def clock(self) -> VirtualClock:
        return VirtualClock()

    @pytest.fixture
    def store(self, clock: VirtualClock) -> JournalStore:
        raise NotImplementedError("a backend's tests provide the fixture `store`")

    # ------------------------------------------------------------------------------------------ what may be pruned

    def test_roots_that_have_ended_are_found_by_their_end(self, store: JournalStore) -> None:
        known = ["late", "early", "middle", "open", "child"]
        ended(store, "late", 30, started_at=1)
        ended(store, "early", 10, started_at=3)
        ended(store, "middle", 20, started_at=2)
        add_run(store, "open", 0)
        ended(store, "child", 10, parent=run_of("early"))

        assert names(store.prunable(Instant(30)), known) == ["early", "middle", "late"]
        assert names(store.prunable(Instant(20)), known) == ["early", "middle"]
        assert store.prunable(Instant(9)) == []

    def test_they_come_in_pages_also_where_many_ended_at_one_moment(self, store: JournalStore) -> None:
        known = [f"orc-{number}" for number in range(7)]
        for name in known:
            ended(store, name, 10)
        found: list[RunRow] = []
        while page := store.prunable(LONG_AFTER, after=found[-1] if found else None, limit=3):
            assert len(page) <= 3
            found += page
        assert [row.run_id for row in found] == sorted(run_of(name) for name in known)

    def test_a_run_that_ends_is_found_from_then_on(self, store: JournalStore) -> None:
        add_run(store, "frodo")
        assert store.prunable(LONG_AFTER) == []
        store.commit([alone("frodo", 1, rows=RowChanges(run=run_row("frodo", status="failed", ended_at=5)))])

        assert [row.ended_at for row in store.prunable(LONG_AFTER)] == [5]

    def test_a_row_keeps_its_parent(self, store: JournalStore) -> None:
        parent = run_of("bilbo")
        add_run(store, "frodo", parent=parent)
        store.commit([alone("frodo", 1, rows=RowChanges(run=run_row("frodo", status="waiting", parent=parent)))])
        add_run(store, "sam")

        assert [store.run_row(thread_id(name)).parent for name in ("frodo", "sam")] == [parent, None]  # type: ignore[union-attr]

    def test_a_parent_that_a_row_did_not_tell_is_told_by_the_next_one(self, store: JournalStore) -> None:
        """Rows of an older version."""
        add_run(store, "frodo")
        told = run_row("frodo", status="completed", ended_at=5, parent=run_of("bilbo"))
        store.commit([alone("frodo", 1, rows=RowChanges(run=told))])

        assert store.run_row(thread_id("frodo")) == told
        assert store.prunable(LONG_AFTER) == []

    # ------------------------------------------------------------------------------------------------- what goes

    def everything(self, store: JournalStore, name: str) -> None:
        """A thread with a checkpoint, two rows of each kind, and a signal that it sent."""
        rows = RowChanges(
            run=run_row(name, ended_at=7, status="completed", key=f"key of {name}"),
            put=(attempt_row(name), attempt_row(name, 2, step="walk")),
            bury=(dead_letter_row(name, 3), dead_letter_row(name, 4, step="walk")),
            set_timers=(
                timer_row(name),
                timer_row(name, "cancel", sender="somebody"),
                timer_row(f"{name} tells", "child_ended", run_id=run_of("bilbo"), sender=thread_id(name)),
            ),
        )
        assert store.commit([alone(name, 0)]) == [Committed()]
        assert store.commit([alone(name, 1, rows=rows, checkpoint=b"state")]) == [Committed()]
        assert store.commit([alone(name, 2)]) == [Committed()]

    def prune_of(self, name: str, *, derived: bool = False) -> Pruning:
        told = f"{name} tells:child_ended"
        return pruning(name, 3, derived=derived, timers=(f"{name}:run", f"{name}:cancel", told, "nobody's"))

    def test_all_of_a_run_goes_and_nothing_of_another(self, store: JournalStore) -> None:
        for name in ("frodo", "sam"):
            self.everything(store, name)
        before = traces(store, "sam")
        assert len(before) == 11, "three entries, a checkpoint, a run row, and two each of attempts, letters and timers"

        assert store.prune([self.prune_of("frodo")]) == Committed()

        assert traces(store, "frodo") == []
        assert read(store, "frodo") == History(checkpoint=None, tail=())
        assert traces(store, "sam") == before
        assert [row.run_id for row in store.runs(RunQuery()).rows] == [run_of("sam")]
        assert store.runs(RunQuery(text="key of frodo")).rows == ()
        assert store.count_runs() == {"completed": 1}
        assert store.count_dead_letters() == 2
        assert [row.run_id for row in store.prunable(LONG_AFTER)] == [run_of("sam")]

    def test_what_it_has_told_others_stays_until_it_is_heard(self, store: JournalStore) -> None:
        self.everything(store, "frodo")
        store.prune([self.prune_of("frodo")])

        (left,) = store.open_timers()
        assert (left.run_id, left.sender) == (run_of("bilbo"), run_of("frodo"))

    def test_a_timer_that_is_not_named_stays(self, store: JournalStore) -> None:
        self.everything(store, "frodo")
        store.prune([pruning("frodo", 3, timers=("frodo:run",))])

        assert sorted(timer.timer for timer in store.open_timers()) == ["frodo tells:child_ended", "frodo:cancel"]

    def test_a_run_whose_id_begins_as_that_of_another_is_another(self, store: JournalStore) -> None:
        short, long = RunId(run_of("frodo")[:-1]), run_of("frodo")
        for run_id in (short, long):
            rows = RowChanges(
                run=run_row("", run_id=run_id, ended_at=7, status="completed"),
                put=(attempt_row("", run_id=run_id, item=f"{run_id}/pack#1"),),
                bury=(dead_letter_row("", run_id=run_id, item=f"{run_id}/pack#2"),),
            )
            store.commit([Group(appends=(structs.replace(append("frodo", rows=rows), thread=ThreadId(run_id)),))])

        store.prune([Pruning(thread=ThreadId(short), revision=1)])

        assert [row.run_id for row in store.open_attempts()] == [long]
        assert [row.run_id for row in store.dead_letters(DeadLetterQuery()).rows] == [long]
        assert store.run_row(short) is None
        assert store.run_row(long) is not None

    def test_definitions_stay(self, store: JournalStore) -> None:
        record = DefinitionRecord(fingerprint=Fingerprint("f"), body=b"definition")
        store.commit([Group(appends=(append("frodo"),), definitions=(record,))])
        store.prune([pruning("frodo")])

        assert store.definition(Fingerprint("f")) == b"definition"

    # ------------------------------------------------------------------------------------------ all of them, or none

    def test_many_go_at_once(self, store: JournalStore) -> None:
        known = [f"orc-{number}" for number in range(120)]
        for name in known:
            ended(store, name, 5)
        ended(store, "frodo", 5)

        assert store.prune([pruning(name, derived=True) for name in known]) == Committed()

        assert store.count_runs() == {"completed": 1}
        assert all(store.tombstone(thread_id(name)) == stone(name) for name in known)

    @pytest.mark.parametrize("expected", [1, 3])
    def test_where_a_thread_has_moved_nothing_goes(self, store: JournalStore, expected: int) -> None:
        ended(store, "frodo", 5)
        ended(store, "sam", 5)
        store.commit([alone("sam", 1)])

        answer = store.prune([pruning("frodo", derived=True), pruning("sam", expected, derived=True)])

        assert answer == Conflict(thread=thread_id("sam"), revision=2)
        assert (revisions(store, "frodo"), revisions(store, "sam")) == ([1], [1, 2])
        assert store.tombstone(thread_id("frodo")) is None
        assert store.count_runs() == {"completed": 2}

    def test_what_is_gone_already_is_a_conflict_at_revision_0(self, store: JournalStore) -> None:
        ended(store, "frodo", 5)
        ended(store, "sam", 5)
        assert store.prune([pruning("frodo", derived=True)]) == Committed()

        again = store.prune([pruning("sam"), pruning("frodo", derived=True)])

        assert again == Conflict(thread=thread_id("frodo"), revision=0)
        assert revisions(store, "sam") == [1]

    def test_of_many_that_prune_the_same_one_does(self, store: JournalStore) -> None:
        ended(store, "frodo", 5)
        answers = together(6, lambda _: store.prune([pruning("frodo", derived=True)]))
        assert answers.count(Committed()) == 1
        assert answers.count(Conflict(thread=thread_id("frodo"), revision=0)) == 5

    def test_a_thread_occurs_once(self, store: JournalStore) -> None:
        ended(store, "frodo", 5)
        with pytest.raises(DataRefused, match="a thread occurs twice"):
            store.prune([pruning("frodo"), pruning("frodo")])
        assert revisions(store, "frodo") == [1]

    # -------------------------------------------------------------------------------------------------- tombstones

    def test_a_tombstone_tells_what_was_there(self, store: JournalStore) -> None:
        ended(store, "frodo", 7)
        assert store.tombstone(thread_id("frodo")) is None, "none before it is pruned"
        store.prune([pruning("frodo", derived=True)])

        assert store.tombstone(thread_id("frodo")) == stone("frodo")
        assert store.tombstone(thread_id("sam")) is None

    def test_a_run_with_a_tombstone_is_never_started_again(self, store: JournalStore) -> None:
        """I12."""
        ended(store, "frodo", 7)
        store.commit([alone("frodo", 1)])
        store.prune([pruning("frodo", 2, derived=True)])

        for _ in range(2):
            assert store.commit([alone("frodo", 0, rows=RowChanges(run=run_row("frodo")))]) == [
                Conflict(thread=thread_id("frodo"), revision=2)
            ], "it is told at which revision it was pruned"
        assert store.commit([alone("frodo", 2)]) == [Conflict(thread=thread_id("frodo"), revision=0)]
        assert (revisions(store, "frodo"), store.count_runs()) == ([], {})

    def test_a_group_that_starts_a_run_with_a_tombstone_is_not_written_and_its_neighbours_are(
        self, store: JournalStore
    ) -> None:
        ended(store, "frodo", 7)
        store.prune([pruning("frodo", derived=True)])
        add_run(store, "gandalf")

        answers = store.commit([alone("sam"), Group(appends=(append("gandalf", 1), append("frodo"))), alone("pippin")])

        assert answers == [Committed(), Conflict(thread=thread_id("frodo"), revision=1), Committed()]
        assert revisions(store, "gandalf") == [1]

    def test_without_a_tombstone_the_thread_may_begin_again(self, store: JournalStore) -> None:
        ended(store, "frodo", 7)
        store.prune([pruning("frodo")])

        assert store.commit([alone("frodo", body=b"anew", checkpoint=b"state")]) == [Committed()]
        assert read(store, "frodo").checkpoint == Checkpoint(revision=1, body=b"state")
