"""What every journal store promises. A backend's tests subclass this and provide the fixture ``store``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec import structs

from squidmesh.clock import Instant, micros
from squidmesh.errors import DataRefused, InvalidInput, UsageError
from squidmesh.ids import EntryId, Fingerprint, RunId, ThreadId, attempt_key, derived_id
from squidmesh.journal.rows import AttemptRow, DeadLetterRow, PausedQueueRow, RowChanges, RunRow, TimerRow
from squidmesh.ports.journal_store import (
    Answer,
    Append,
    Checkpoint,
    Committed,
    Conflict,
    DeadLetterPage,
    DeadLetterQuery,
    DefinitionRecord,
    Group,
    History,
    JournalStore,
    Moved,
    Plane,
    RunQuery,
    ThreadRead,
)
from squidmesh.ports.pages import STATUSES
from squidmesh.testing.clock import VirtualClock
from squidmesh.testing.threads import together

NO_ROWS = RowChanges()


def thread_id(name: str) -> ThreadId:
    return ThreadId(derived_id("thread", name))


PLANE = Plane(mesh="fellowship", kind="journal", name="the journal", epoch=1)


def append(
    name: str,
    expected: int = 0,
    *,
    body: bytes = b"{}",
    rows: RowChanges = NO_ROWS,
    checkpoint: bytes | None = None,
    entry_id: str = "",
) -> Append:
    """An entry to come; its id is made from its place unless one is given."""
    return Append(
        thread=thread_id(name),
        expected_revision=expected,
        entry_id=EntryId(entry_id or derived_id("entry", name, str(expected + 1))),
        body=body,
        rows=rows,
        checkpoint=checkpoint,
    )


def alone(name: str, expected: int = 0, **rest: object) -> Group:
    return Group(appends=(append(name, expected, **rest),))  # type: ignore[arg-type]


def run_row(name: str, started_at: int = 0, **rest: object) -> RunRow:
    row: dict[str, object] = {
        "run_id": thread_id(name),
        "workflow": "RingErrand",
        "version": "1",
        "trigger": "leave_shire",
        "key": None,
        "queue": "default",
        "status": "running",
        "step": "pack",
        "error": None,
        "started_at": started_at,
        "due_at": None,
        "ended_at": None,
    }
    row |= rest
    row.setdefault("active_at", max(started_at, rest.get("ended_at") or 0))  # type: ignore[call-overload]
    return RunRow(**row)  # type: ignore[arg-type]


def attempt_row(name: str, attempt: int = 1, *, step: str = "pack", **rest: object) -> AttemptRow:
    row: dict[str, object] = {
        "item": attempt_key(thread_id(name), step, attempt),
        "run_id": RunId(thread_id(name)),
        "step": step,
        "attempt": attempt,
        "queue": "default",
        "priority": 5,
        "visible_at": 0,
        "generation": 0,
        "fence": 0,
    }
    return AttemptRow(**{**row, **rest})  # type: ignore[arg-type]


def timer_row(name: str, kind: str = "run", due_at: int = 0, **rest: object) -> TimerRow:
    row: dict[str, object] = {
        "timer": f"{name}:{kind}",
        "run_id": RunId(thread_id(name)),
        "kind": kind,
        "due_at": due_at,
    }
    return TimerRow(**{**row, **rest})  # type: ignore[arg-type]


def dead_letter_row(name: str, attempt: int = 1, *, step: str = "pack", **rest: object) -> DeadLetterRow:
    row: dict[str, object] = {
        "item": attempt_key(thread_id(name), step, attempt),
        "run_id": RunId(thread_id(name)),
        "workflow": "RingErrand",
        "step": step,
        "attempt": attempt,
        "queue": "default",
        "generation": 0,
        "fence": 5,
        "cause": "lost_deliveries",
        "lost": 5,
        "lapsed": 5,
        "detail": None,
        "owner": None,
        "died_at": 0,
    }
    return DeadLetterRow(**{**row, **rest})  # type: ignore[arg-type]


def read(store: JournalStore, name: str, after: int = 0, *, whole: bool = False) -> History:
    (history,) = store.read([ThreadRead(thread=thread_id(name), after=after)], whole=whole)
    return history


def revisions(store: JournalStore, name: str) -> list[int]:
    return [entry.revision for entry in read(store, name, whole=True).tail]


def add_run(store: JournalStore, name: str, started_at: int = 0, **rest: object) -> None:
    rows = RowChanges(run=run_row(name, started_at, **rest))
    assert store.commit([alone(name, rows=rows)]) == [Committed()]


def names(rows: Sequence[RunRow], known: Sequence[str]) -> list[str]:
    by_id = {thread_id(name): name for name in known}
    return [by_id[ThreadId(row.run_id)] for row in rows]


class JournalStoreSuite:
    """Provide ``store``: a new, empty one. An embedded store is given ``clock``; one with a clock of its own overrides
    that fixture with something that can be moved, or waited for.
    """

    @pytest.fixture
    def clock(self) -> VirtualClock:
        return VirtualClock()

    @pytest.fixture
    def store(self, clock: VirtualClock) -> JournalStore:
        raise NotImplementedError("a backend's tests provide the fixture `store`")

    # ----------------------------------------------------------------------------------------- compare and append

    def test_a_new_thread_begins_at_revision_one(self, store: JournalStore) -> None:
        assert store.commit([alone("frodo", 0, body=b"one")]) == [Committed()]

        (entry,) = read(store, "frodo").tail
        assert (entry.thread, entry.revision, entry.body) == (thread_id("frodo"), 1, b"one")

    def test_an_append_at_another_revision_is_a_conflict_that_names_the_revision(self, store: JournalStore) -> None:
        store.commit([alone("frodo", 0)])
        store.commit([alone("frodo", 1)])

        for expected in (0, 1, 3):
            assert store.commit([alone("frodo", expected)]) == [Conflict(thread=thread_id("frodo"), revision=2)]
        assert store.commit([alone("sam", 1)]) == [Conflict(thread=thread_id("sam"), revision=0)]

    def test_revisions_have_no_gap(self, store: JournalStore) -> None:
        """I1."""
        for expected in (0, 1, 0, 2, 5, 3, 3, 4):
            store.commit([alone("frodo", expected)])

        assert revisions(store, "frodo") == [1, 2, 3, 4, 5]

    def test_an_entry_never_changes(self, store: JournalStore) -> None:
        """I1."""
        store.commit([alone("frodo", 0, body=b"first", entry_id="a")])
        before = store.entry(thread_id("frodo"), 1)
        store.commit([alone("frodo", 0, body=b"other", entry_id="b")])
        store.commit([alone("frodo", 1, body=b"second", entry_id="a")])

        assert store.entry(thread_id("frodo"), 1) == before
        assert read(store, "frodo").tail[0] == before

    def test_a_conflict_writes_nothing(self, store: JournalStore) -> None:
        store.commit([alone("frodo", 0)])
        rows = RowChanges(run=run_row("frodo"), put=(attempt_row("frodo"),))
        definition = DefinitionRecord(fingerprint=Fingerprint("f"), body=b"definition")
        late = Group(
            appends=(append("frodo", 0, body=b"late", rows=rows, checkpoint=b"state"),), definitions=(definition,)
        )

        assert store.commit([late]) == [Conflict(thread=thread_id("frodo"), revision=1)]
        assert [entry.body for entry in read(store, "frodo").tail] == [b"{}"]
        assert read(store, "frodo").checkpoint is None
        assert store.run_row(thread_id("frodo")) is None
        assert store.open_attempts() == []
        assert store.definition(Fingerprint("f")) is None

    def test_a_commit_of_nothing_does_nothing(self, store: JournalStore) -> None:
        assert store.commit([]) == []
        assert store.commit([Group(appends=())]) == [Committed()]

    # ------------------------------------------------------------------------------------------------------ groups

    def test_each_group_succeeds_or_conflicts_alone(self, store: JournalStore) -> None:
        store.commit([alone("sam", 0)])

        answers = store.commit([alone("frodo", 0), alone("sam", 0), alone("merry", 0)])

        assert answers == [Committed(), Conflict(thread=thread_id("sam"), revision=1), Committed()]
        assert [revisions(store, name) for name in ("frodo", "sam", "merry")] == [[1], [1], [1]]

    def test_a_group_is_all_or_nothing(self, store: JournalStore) -> None:
        store.commit([alone("sam", 0)])
        rows = RowChanges(put=(attempt_row("frodo"),))

        answers = store.commit([Group(appends=(append("frodo", 0, rows=rows), append("sam", 0)))])

        assert answers == [Conflict(thread=thread_id("sam"), revision=1)]
        assert revisions(store, "frodo") == []
        assert store.open_attempts() == []

    def test_a_group_appends_to_several_threads(self, store: JournalStore) -> None:
        store.commit([alone("parent", 0)])

        group = Group(appends=(append("parent", 1, body=b"child started"), append("child", 0, body=b"run started")))

        assert store.commit([group]) == [Committed()]
        assert [entry.body for entry in read(store, "parent").tail] == [b"{}", b"child started"]
        assert [entry.body for entry in read(store, "child").tail] == [b"run started"]

    def test_a_thread_occurs_once_in_a_commit(self, store: JournalStore) -> None:
        with pytest.raises(DataRefused):
            store.commit([alone("frodo", 0), alone("frodo", 1)])
        assert revisions(store, "frodo") == []

    def test_a_big_batch_is_one_commit(self, store: JournalStore) -> None:
        crowd = [f"orc-{number}" for number in range(1000)]
        groups = [alone(name, rows=RowChanges(run=run_row(name), put=(attempt_row(name),))) for name in crowd]

        assert store.commit(groups) == [Committed()] * 1000
        assert sum(store.count_runs().values()) == 1000
        assert store.commit(groups[:2]) == [Conflict(thread=thread_id(name), revision=1) for name in crowd[:2]]

    def test_of_many_that_begin_at_once_each_is_for_itself(self, store: JournalStore) -> None:
        """Also where they are the same in nearly all, and where one of them was there before."""
        store.commit([alone("orc-7", 0)])
        crowd = [f"orc-{number}" for number in range(20)]
        definition = DefinitionRecord(fingerprint=Fingerprint("f"), body=b"of all")
        groups = []
        for number, name in enumerate(crowd):
            run = msgspec.structs.replace(run_row(name), key=f'"{name}", {{1}}' if number % 2 else None)
            rows = RowChanges(run=run, put=(attempt_row(name),))
            body = bytes([number]) * number
            groups.append(Group(appends=(append(name, 0, body=body, rows=rows),), definitions=(definition,)))

        answers = store.commit(groups)

        late = Conflict(thread=thread_id("orc-7"), revision=1)
        assert answers == [late if name == "orc-7" else Committed() for name in crowd]
        for name, group in zip(crowd, groups, strict=True):
            (entry,) = read(store, name).tail
            (given,) = group.appends
            if name == "orc-7":
                assert (entry.body, store.run_row(given.thread)) == (b"{}", None)
            else:
                assert (entry.body, entry.entry_id) == (given.body, given.entry_id)
                assert store.run_row(given.thread) == given.rows.run
        put = [row for name, group in zip(crowd, groups, strict=True) for row in group.appends[0].rows.put]
        expected = [row for row in put if row.run_id != str(thread_id("orc-7"))]
        assert sorted(store.open_attempts(), key=lambda row: row.item) == sorted(expected, key=lambda row: row.item)
        assert store.definition(Fingerprint("f")) == b"of all"

    def test_many_that_were_all_there_before_write_nothing(self, store: JournalStore) -> None:
        crowd = [f"orc-{number}" for number in range(10)]
        store.commit([alone(name, 0) for name in crowd])
        definition = DefinitionRecord(fingerprint=Fingerprint("f"), body=b"of all")
        rows = [RowChanges(run=run_row(name)) for name in crowd]
        again = [
            Group(appends=(append(name, 0, rows=each),), definitions=(definition,))
            for name, each in zip(crowd, rows, strict=True)
        ]

        assert store.commit(again) == [Conflict(thread=thread_id(name), revision=1) for name in crowd]
        assert store.count_runs() == {}
        assert store.definition(Fingerprint("f")) is None

    # --------------------------------------------------------------------------------------------- unknown outcomes

    def test_an_append_that_is_repeated_conflicts_with_itself_and_is_found_in_its_place(
        self, store: JournalStore
    ) -> None:
        """Protocol 3.5.7: the only place where it can stand is its expected revision + 1."""
        store.commit([alone("frodo", 0)])
        lost = alone("frodo", 1, entry_id="the-lost-one")
        store.commit([lost])
        store.commit([alone("frodo", 2)])

        assert store.commit([lost]) == [Conflict(thread=thread_id("frodo"), revision=3)]
        entry = store.entry(thread_id("frodo"), 2)
        assert entry is not None
        assert entry.entry_id == "the-lost-one"

    def test_an_entry_that_is_not_there_is_none(self, store: JournalStore) -> None:
        store.commit([alone("frodo", 0)])

        assert store.entry(thread_id("frodo"), 2) is None
        assert store.entry(thread_id("frodo"), 0) is None
        assert store.entry(thread_id("sam"), 1) is None

    # -------------------------------------------------------------------------------------------------------- bytes

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{}",
            '{"ring": "Ash nazg durbatulûk 🜚 \u2028 \u200b e\u0301"}'.encode(),
            rb'{"escaped": "\u0000\\\"\n"}',
            b"'; DROP TABLE entries; -- %s :name ? $1",
            b"x" * (1024 * 1024),
        ],
        ids=["empty", "json", "unicode", "escapes", "sql", "a megabyte"],
    )
    def test_bodies_come_back_byte_for_byte(self, store: JournalStore, body: bytes) -> None:
        definition = DefinitionRecord(fingerprint=Fingerprint("f"), body=body)
        store.commit([Group(appends=(append("frodo", 0, body=body, checkpoint=body),), definitions=(definition,))])

        assert read(store, "frodo", whole=True).tail[0].body == body
        assert read(store, "frodo").checkpoint == Checkpoint(revision=1, body=body)
        assert store.definition(Fingerprint("f")) == body

    def test_a_definition_is_put_if_absent(self, store: JournalStore) -> None:
        for name, body in (("frodo", b"first"), ("sam", b"second")):
            definition = DefinitionRecord(fingerprint=Fingerprint("f"), body=body)
            assert store.commit([Group(appends=(append(name),), definitions=(definition,))]) == [Committed()]

        assert store.definition(Fingerprint("f")) == b"first"
        assert store.definition(Fingerprint("unknown")) is None

    def test_a_definition_may_be_put_by_itself(self, store: JournalStore) -> None:
        definition = DefinitionRecord(fingerprint=Fingerprint("f"), body=b"{}")
        for _ in range(2):
            assert store.commit([Group(appends=(), definitions=(definition,))]) == [Committed()]
        assert store.definition(Fingerprint("f")) == b"{}"

    # ------------------------------------------------------------------------------------------------------ reading

    def test_an_unknown_thread_has_an_empty_history(self, store: JournalStore) -> None:
        assert read(store, "nobody") == History(checkpoint=None, tail=())
        assert read(store, "nobody", after=3) == History(checkpoint=None, tail=())

    def test_histories_come_in_the_order_of_the_requests(self, store: JournalStore) -> None:
        store.commit([alone("frodo", 0, body=b"f1"), alone("sam", 0, body=b"s1")])
        store.commit([alone("frodo", 1, body=b"f2", checkpoint=b"state")])

        asked = [("sam", 0), ("nobody", 0), ("frodo", 1), ("frodo", 0)]
        histories = store.read([ThreadRead(thread=thread_id(name), after=after) for name, after in asked])

        assert [[entry.body for entry in history.tail] for history in histories] == [[b"s1"], [], [b"f2"], []]
        assert [history.checkpoint is not None for history in histories] == [False, False, False, True]
        assert store.read([]) == []

    def test_a_tail_starts_after_what_was_asked_for(self, store: JournalStore) -> None:
        for expected in range(12):
            store.commit([alone("frodo", expected)])

        assert [entry.revision for entry in read(store, "frodo", after=9).tail] == [10, 11, 12]
        assert read(store, "frodo", after=12).tail == ()
        assert read(store, "frodo", after=99).tail == ()

    def test_a_checkpoint_comes_with_the_entries_above_it_only(self, store: JournalStore) -> None:
        """I2."""
        for expected in range(4):
            store.commit([alone("frodo", expected, checkpoint=b"state-2" if expected == 1 else None)])

        history = read(store, "frodo")

        assert history.checkpoint == Checkpoint(revision=2, body=b"state-2")
        assert [entry.revision for entry in history.tail] == [3, 4]

    def test_only_the_newest_checkpoint_counts(self, store: JournalStore) -> None:
        for expected in range(3):
            store.commit([alone("frodo", expected, checkpoint=b"state-%d" % (expected + 1))])

        assert read(store, "frodo") == History(checkpoint=Checkpoint(revision=3, body=b"state-3"), tail=())

    def test_a_whole_read_passes_over_checkpoints(self, store: JournalStore) -> None:
        """I2."""
        for expected in range(3):
            store.commit([alone("frodo", expected, checkpoint=b"state")])

        history = read(store, "frodo", whole=True)

        assert history.checkpoint is None
        assert [entry.revision for entry in history.tail] == [1, 2, 3]

    def test_a_read_of_a_tail_passes_over_checkpoints(self, store: JournalStore) -> None:
        for expected in range(3):
            store.commit([alone("frodo", expected, checkpoint=b"state")])

        history = read(store, "frodo", after=1)

        assert history.checkpoint is None
        assert [entry.revision for entry in history.tail] == [2, 3]

    # --------------------------------------------------------------------------------------------------------- rows

    def test_rows_are_kept_as_they_were_written(self, store: JournalStore) -> None:
        run = run_row("frodo", 7, key="order-17", error="boom", due_at=8, ended_at=9, step=None, status="failed")
        claimed = attempt_row("frodo", 2, owner="sam@1", claim_hash="c0ffee", lease=60_000_000, fence=3, generation=1)
        store.commit([alone("frodo", rows=RowChanges(run=run, put=(attempt_row("frodo"), claimed)))])

        assert store.run_row(thread_id("frodo")) == run
        assert store.open_attempts() == [attempt_row("frodo"), claimed]

    def test_a_row_that_is_put_again_replaces_the_old_one(self, store: JournalStore) -> None:
        first = RowChanges(run=run_row("frodo"), put=(attempt_row("frodo"),))
        moved = attempt_row("frodo", queue="slow", priority=9, visible_at=44, generation=1, fence=5)
        ended = run_row("frodo", status="completed", step=None, ended_at=44)
        store.commit([alone("frodo", 0, rows=first)])
        store.commit([alone("frodo", 1, rows=RowChanges(run=ended, put=(moved,)))])

        assert store.run_row(thread_id("frodo")) == ended
        assert store.open_attempts() == [moved]

    def test_an_entry_changes_only_the_rows_that_it_names(self, store: JournalStore) -> None:
        rows = RowChanges(run=run_row("frodo"), put=(attempt_row("frodo", step="pack"),))
        store.commit([alone("frodo", 0, rows=rows), alone("sam", 0, rows=RowChanges(put=(attempt_row("sam"),)))])

        next_one = attempt_row("frodo", step="moria")
        ended = attempt_row("frodo", step="pack").item
        store.commit([alone("frodo", 1, rows=RowChanges(put=(next_one,), remove=(ended,)))])

        assert store.run_row(thread_id("frodo")) == run_row("frodo")
        found = {row.item for row in store.open_attempts()}
        assert found == {next_one.item, attempt_row("sam").item}

    def test_removing_what_is_not_there_is_no_error(self, store: JournalStore) -> None:
        rows = RowChanges(remove=(attempt_row("frodo").item,))

        assert store.commit([alone("frodo", rows=rows)]) == [Committed()]

    def test_open_attempts_come_in_pages_in_order_of_item(self, store: JournalStore) -> None:
        put = tuple(attempt_row("frodo", number) for number in (3, 1, 2))
        store.commit([alone("frodo", rows=RowChanges(put=put))])
        store.commit([alone("sam", rows=RowChanges(put=(attempt_row("sam"),)))])

        every = [row.item for row in store.open_attempts()]
        assert every == sorted(every)
        assert len(every) == 4
        paged, after = [], ""
        while page := store.open_attempts(limit=2, after=after):
            paged += page
            after = page[-1].item
        assert [row.item for row in paged] == every
        of_frodo = store.open_attempts(run_id=thread_id("frodo"), after=attempt_row("frodo", 1).item)
        assert [row.attempt for row in of_frodo] == [2, 3]

    def test_open_attempts_of_a_run_are_not_those_of_a_run_whose_id_begins_alike(self, store: JournalStore) -> None:
        longer = thread_id("frodo") + "0"
        other = attempt_row("frodo", item=attempt_key(longer, "pack", 1), run_id=longer)
        store.commit([alone("frodo", rows=RowChanges(put=(attempt_row("frodo"), other)))])

        assert store.open_attempts(run_id=thread_id("frodo")) == [attempt_row("frodo")]

    # -------------------------------------------------------------------------------------------------------- lists

    def test_runs_are_listed_newest_first(self, store: JournalStore) -> None:
        for started_at, name in ((1, "frodo"), (3, "sam"), (2, "merry")):
            add_run(store, name, started_at)

        page = store.runs(RunQuery())

        assert names(page.rows, ["frodo", "sam", "merry"]) == ["sam", "merry", "frodo"]
        assert page.next is None

    def test_pages_show_each_run_once(self, store: JournalStore) -> None:
        crowd = [f"orc-{number}" for number in range(10)]
        for number, name in enumerate(crowd):
            add_run(store, name, number // 4)  # several of one moment

        rows: list[RunRow] = []
        query = RunQuery(limit=3)
        while True:
            page = store.runs(query)
            rows += page.rows
            if page.next is None:
                break
            query = RunQuery(limit=3, after=page.next)

        assert sorted(names(rows, crowd)) == sorted(crowd)
        ages = [(row.started_at, row.run_id) for row in rows]
        assert ages == sorted(ages, reverse=True)

    def test_pages_are_stable_while_runs_are_added(self, store: JournalStore) -> None:
        for started_at, name in enumerate(("frodo", "sam", "merry", "pippin")):
            add_run(store, name, started_at)
        first = store.runs(RunQuery(limit=2))
        add_run(store, "gollum", 99)

        second = store.runs(RunQuery(limit=2, after=first.next))

        assert names([*first.rows, *second.rows], ["frodo", "sam", "merry", "pippin"]) == [
            "pippin",
            "merry",
            "sam",
            "frodo",
        ]

    def test_the_last_page_has_no_cursor(self, store: JournalStore) -> None:
        add_run(store, "frodo", 1)
        add_run(store, "sam", 2)

        assert store.runs(RunQuery(limit=2)).next is None
        assert store.runs(RunQuery(limit=1)).next is not None
        assert store.runs(RunQuery(workflow="Nothing")).rows == ()

    @pytest.mark.parametrize(
        "cursor",
        [
            *("", "nonsense", "1:", ":x", "-1:x", "²:x", "1:2:x", "1:\ud800", "1:x\n", " 1:x"),
            *(5, b"", b"1:x", (1, "x"), ["1:x"]),
            *(f"{2**63}:x", f"{'9' * 5000}:x", f"1:{'x' * 5000}"),
        ],
        ids=lambda cursor: repr(cursor)[:24],
    )
    def test_a_cursor_that_no_page_gave_is_refused(self, store: JournalStore, cursor: str) -> None:
        with pytest.raises(InvalidInput, match="is no cursor; allowed is the next of a page") as refused:
            store.runs(RunQuery(after=cursor))
        assert refused.value.field == "after"
        assert len(str(refused.value)) < 200

    @pytest.mark.parametrize("status", ["bogus", "", "Running", "claimed", 5, b"running", ["running"]], ids=repr)
    def test_a_status_that_no_run_can_have_is_refused_with_what_is_allowed(
        self, store: JournalStore, status: str
    ) -> None:
        with pytest.raises(InvalidInput) as refused:
            store.runs(RunQuery(status=status))
        assert refused.value.field == "status"
        for allowed in STATUSES:
            assert allowed in str(refused.value)
            assert store.runs(RunQuery(status=allowed)).rows == ()

    @pytest.mark.parametrize("limit", [0, -1, 1001, True, 2.0, "5", None, float("nan")], ids=repr)
    def test_a_page_has_1_to_1000_runs(self, store: JournalStore, limit: int) -> None:
        with pytest.raises(InvalidInput, match="allowed is 1 to 1000") as refused:
            store.runs(RunQuery(limit=limit))
        assert refused.value.field == "limit"
        assert store.runs(RunQuery(limit=1000)) == store.runs(RunQuery(limit=1))

    @pytest.mark.parametrize("field", ["workflow", "queue", "text"])
    @pytest.mark.parametrize("value", [5, b"x", ["x"], object(), "\ud800"], ids=lambda value: type(value).__name__)
    def test_a_filter_is_a_text(self, store: JournalStore, field: str, value: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            store.runs(structs.replace(RunQuery(), **{field: value}))
        assert refused.value.field == field
        with pytest.raises(InvalidInput) as refused:
            store.count_runs(workflow=value)
        assert refused.value.field == "workflow"

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            (RunQuery(workflow="SiegeOfGondor"), ["pippin", "merry"]),
            (RunQuery(queue="slow"), ["pippin", "sam"]),
            (RunQuery(status="completed"), ["merry"]),
            (RunQuery(status="failed"), ["pippin"]),
            (RunQuery(status="running"), ["sam", "frodo"]),
            (RunQuery(status="paused"), []),
            (RunQuery(workflow="SiegeOfGondor", status="failed"), ["pippin"]),
            (RunQuery(workflow="SiegeOfGondor", status="running"), []),
            (RunQuery(workflow="RingErrand", status="completed"), []),
            (RunQuery(queue="slow", status="running"), ["sam"]),
            (RunQuery(text="order-1"), ["pippin", "frodo"]),
            (RunQuery(text="order-1", queue="slow"), ["pippin"]),
            (RunQuery(text="order-1", status="failed", workflow="SiegeOfGondor"), ["pippin"]),
            (RunQuery(text="rder"), []),
            (RunQuery(text="order_1"), []),
            (RunQuery(text="order%"), []),
            (RunQuery(text=thread_id("sam")[:13]), ["sam"]),
            (RunQuery(text=""), ["pippin", "merry", "sam", "frodo"]),
        ],
        ids=str,
    )
    def test_lists_are_filtered(self, store: JournalStore, query: RunQuery, expected: list[str]) -> None:
        add_run(store, "frodo", 1, key="order-1")
        add_run(store, "sam", 2, queue="slow")
        add_run(store, "merry", 3, workflow="SiegeOfGondor", status="completed", key="order-2")
        add_run(store, "pippin", 4, workflow="SiegeOfGondor", status="failed", queue="slow", key="order-12")

        assert names(store.runs(query).rows, ["frodo", "sam", "merry", "pippin"]) == expected

    def test_filtered_lists_have_pages_too(self, store: JournalStore) -> None:
        crowd = [f"orc-{number}" for number in range(7)]
        for number, name in enumerate(crowd):
            add_run(store, name, number, status="failed" if number % 2 else "running", key=f"orc-{number}")

        for query in (RunQuery(status="failed"), RunQuery(text="orc-"), RunQuery(workflow="RingErrand")):
            every = store.runs(query).rows
            first = store.runs(RunQuery(status=query.status, text=query.text, workflow=query.workflow, limit=2))
            rest = store.runs(RunQuery(status=query.status, text=query.text, workflow=query.workflow, after=first.next))
            assert first.rows + rest.rows == every

    def test_the_latest_active_come_first_in_pages_that_miss_nothing(self, store: JournalStore) -> None:
        crowd = [f"orc-{number}" for number in range(7)]
        for number, name in enumerate(crowd):
            add_run(
                store, name, number, active_at=100 - number // 2, key=name, queue="slow" if number % 3 else "default"
            )

        for asked in ({}, {"queue": "slow"}, {"text": "orc-"}, {"status": "running", "workflow": "RingErrand"}):
            every = store.runs(RunQuery(by="active", **asked)).rows  # type: ignore[arg-type]
            first = store.runs(RunQuery(by="active", limit=2, **asked))  # type: ignore[arg-type]
            rest = store.runs(RunQuery(by="active", after=first.next, **asked))  # type: ignore[arg-type]
            assert first.rows + rest.rows == every and rest.next is None
            assert len(every) == (4 if "queue" in asked else 7)
            assert list(every) == sorted(every, key=lambda row: (row.active_at, row.run_id), reverse=True)

    def test_a_run_that_is_active_again_goes_to_the_front(self, store: JournalStore) -> None:
        add_run(store, "frodo", 1)
        add_run(store, "sam", 2)
        changed = RowChanges(run=run_row("frodo", 1, active_at=10_000_000))
        assert store.commit([alone("frodo", 1, rows=changed)]) == [Committed()]

        rows = store.runs(RunQuery(by="active")).rows

        assert names(rows, ["frodo", "sam"]) == ["frodo", "sam"]
        assert [row.active_at for row in rows] == [10_000_000, 2]

    def test_a_page_of_the_latest_active_looks_at_a_bounded_number(
        self, store: JournalStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("squidmesh.ports.pages.LOOKED_AT", 3)
        crowd = [f"orc-{number}" for number in range(8)]
        for number, name in enumerate(crowd):
            add_run(store, name, number, queue="default" if number else "slow")

        pages = [store.runs(RunQuery(by="active", queue="slow", limit=2))]
        while pages[-1].next is not None:
            pages.append(store.runs(RunQuery(by="active", queue="slow", limit=2, after=pages[-1].next)))

        assert [len(page.rows) for page in pages] == [0, 0, 1]

    @pytest.mark.parametrize("cursor", ["active:", "active:1:", "active:x:y", "1:x", f"active:{2**63}:x", 5])
    def test_a_cursor_of_another_order_is_refused(self, store: JournalStore, cursor: object) -> None:
        with pytest.raises(InvalidInput) as refused:
            store.runs(RunQuery(by="active", after=cursor))  # type: ignore[arg-type]
        assert refused.value.field == "after"
        with pytest.raises(InvalidInput):
            store.runs(RunQuery(after="active:1:x"))

    def test_only_known_orders_are_allowed(self, store: JournalStore) -> None:
        with pytest.raises(InvalidInput) as refused:
            store.runs(RunQuery(by="bogus"))  # type: ignore[arg-type]
        assert refused.value.field == "by"

    def test_counts_follow_a_run_that_ends_and_one_that_goes_on_again(self, store: JournalStore) -> None:
        add_run(store, "frodo", 1)
        for revision, status in enumerate(("failed", "running", "completed"), 1):
            changed = RowChanges(run=run_row("frodo", 1, status=status))
            assert store.commit([alone("frodo", revision, rows=changed)]) == [Committed()]
            assert store.count_runs() == {status: 1}
        store.recount()
        assert store.count_runs() == store.count_runs(workflow="RingErrand") == {"completed": 1}

    def test_a_run_that_waits_for_a_time_that_has_come_counts_as_running(
        self, store: JournalStore, clock: VirtualClock
    ) -> None:
        hour = timedelta(hours=1)
        due_at = store.now() + micros(hour)
        add_run(store, "frodo", 1, status="waiting", due_at=due_at)
        add_run(store, "sam", 2, status="retrying", due_at=due_at)
        add_run(store, "merry", 3, status="running")
        add_run(store, "pippin", 4, status="waiting")
        add_run(store, "gandalf", 5, status="paused", due_at=due_at)
        everyone = ["frodo", "sam", "merry", "pippin", "gandalf"]

        def listed(status: str) -> list[str]:
            return names(store.runs(RunQuery(status=status)).rows, everyone)

        assert store.count_runs() == {"waiting": 2, "retrying": 1, "running": 1, "paused": 1}
        assert (listed("waiting"), listed("retrying"), listed("running")) == (["pippin", "frodo"], ["sam"], ["merry"])
        clock.advance(hour)
        assert store.count_runs() == {"waiting": 1, "running": 3, "paused": 1}
        assert (listed("waiting"), listed("retrying"), listed("running")) == (["pippin"], [], ["merry", "sam", "frodo"])
        frodo = store.run_row(thread_id("frodo"))
        assert frodo is not None
        assert frodo.status == "waiting", "rows are given as they were written"

    def test_runs_are_counted_by_status(self, store: JournalStore) -> None:
        assert store.count_runs() == {}
        for number, status in enumerate(["completed", "completed", "failed", "running"]):
            add_run(store, f"orc-{number}", status=status, workflow="RingErrand" if number else "SiegeOfGondor")

        assert store.count_runs() == {"completed": 2, "failed": 1, "running": 1}
        assert store.count_runs(workflow="RingErrand") == {"completed": 1, "failed": 1, "running": 1}
        assert store.count_runs(workflow="SiegeOfGondor") == {"completed": 1}
        assert store.count_runs(workflow="Nothing") == {}

    # ------------------------------------------------------------------------------------------------------ the end

    @pytest.mark.parametrize(
        "use",
        [
            lambda store: store.commit([alone("frodo", 1)]),
            lambda store: read(store, "frodo"),
            lambda store: store.entry(thread_id("frodo"), 1),
            lambda store: store.definition(Fingerprint("f")),
            lambda store: store.runs(RunQuery()),
            lambda store: store.run_row(thread_id("frodo")),
            lambda store: store.count_runs(),
            lambda store: store.open_attempts(),
        ],
        ids=["commit", "read", "entry", "definition", "runs", "run_row", "count_runs", "open_attempts"],
    )
    def test_a_closed_store_says_so_and_nobody_need_try_again(
        self, store: JournalStore, use: Callable[[JournalStore], object]
    ) -> None:
        add_run(store, "frodo")
        store.close()
        with pytest.raises(UsageError, match="is closed") as refused:
            use(store)
        assert refused.value.code == "store_closed"
        store.close()

    # -------------------------------------------------------------------------------------------------- concurrency

    def test_of_writers_to_one_thread_exactly_one_wins_each_revision(self, store: JournalStore) -> None:
        """I1."""

        def write(writer: int) -> int:
            won = 0
            for expected in range(20):
                entry_id = derived_id("entry", str(writer), str(expected))
                (answer,) = store.commit([alone("frodo", expected, entry_id=entry_id)])
                won += answer == Committed()
                while len(revisions(store, "frodo")) <= expected:  # the others have not written this one yet
                    store.commit([alone("frodo", expected, entry_id=entry_id)])
            return won

        together(4, write)

        assert revisions(store, "frodo") == list(range(1, 21))

    def test_writers_to_different_threads_never_conflict(self, store: JournalStore) -> None:
        def write(writer: int) -> list[Answer]:
            return [answer for n in range(25) for answer in store.commit([alone(f"orc-{writer}", n)])]

        answers = together(4, write)

        assert answers == [[Committed()] * 25] * 4
        assert [revisions(store, f"orc-{writer}") for writer in range(4)] == [list(range(1, 26))] * 4

    # ------------------------------------------------------------------------------------------------- dead letters

    def test_paused_queues_are_kept_as_they_were_written(self, store: JournalStore) -> None:
        assert store.paused_queues() == []
        rohan, gondor = (
            PausedQueueRow(queue=queue, actor="elrond", comment="why", paused_at=at)
            for at, queue in enumerate(["rohan", "gondor"])
        )
        store.commit(
            [alone("rohan", rows=RowChanges(pause=(rohan,))), alone("gondor", rows=RowChanges(pause=(gondor,)))]
        )
        assert store.paused_queues() == [gondor, rohan]
        store.commit([alone("rohan", 0, rows=RowChanges(resume=("rohan",)))])
        assert store.paused_queues() == [gondor, rohan], "a conflict changes nothing"
        newer = structs.replace(gondor, actor="arwen")
        store.commit(
            [alone("rohan", 1, rows=RowChanges(resume=("rohan",))), alone("gondor", 1, rows=RowChanges(pause=(newer,)))]
        )
        assert store.paused_queues() == [newer]

    def test_dead_letters_are_kept_as_they_were_written(self, store: JournalStore) -> None:
        letter = dead_letter_row("frodo", lapsed=7, detail="signal 9 (SIGKILL)", owner="sam@1", generation=2)
        store.commit([alone("frodo", rows=RowChanges(bury=(letter,)))])
        assert store.dead_letter(letter.item) == letter
        assert store.dead_letters(DeadLetterQuery()).rows == (letter,)
        assert store.count_dead_letters() == 1
        assert store.open_attempts() == []
        store.commit([alone("frodo", 1, rows=RowChanges(unbury=(letter.item,)))])
        assert store.dead_letter(letter.item) is None
        assert store.dead_letters(DeadLetterQuery()) == DeadLetterPage(rows=(), next=None)
        assert store.count_dead_letters() == 0

    def test_one_entry_may_replay_and_lose_again(self, store: JournalStore) -> None:
        first, again = dead_letter_row("frodo"), dead_letter_row("frodo", generation=1, died_at=9)
        store.commit([alone("frodo", rows=RowChanges(bury=(first,)))])
        store.commit([alone("frodo", 1, rows=RowChanges(bury=(again,), unbury=(first.item,)))])
        assert store.dead_letters(DeadLetterQuery()).rows == (again,)

    def test_dead_letters_come_in_pages_oldest_first(self, store: JournalStore) -> None:
        letters = [dead_letter_row("frodo", n, died_at=n // 3) for n in range(1, 12)]
        store.commit([alone("frodo", rows=RowChanges(bury=tuple(reversed(letters))))])
        expected = sorted(letters, key=lambda row: (row.died_at, row.item))
        for limit in (1, 2, 5, 11, 12):
            found: list[DeadLetterRow] = []
            after = None
            for _ in range(20):
                page = store.dead_letters(DeadLetterQuery(limit=limit, after=after))
                found += page.rows
                after = page.next
                if after is None:
                    break
            assert found == expected

    @pytest.mark.parametrize(
        ("asked", "steps"),
        [
            ({"workflow": "RingErrand"}, ["pack", "moria"]),
            ({"workflow": "Nowhere"}, []),
            ({"step": "moria"}, ["moria"]),
            ({"queue": "slow"}, ["moria"]),
            ({"cause": "lost_before_recording"}, ["moria"]),
            ({"until": 5}, ["pack"]),
            ({"until": 4}, []),
            ({"step": "pack", "queue": "slow"}, []),
        ],
    )
    def test_dead_letters_are_filtered(self, store: JournalStore, asked: dict[str, Any], steps: list[str]) -> None:
        first = dead_letter_row("frodo", step="pack", died_at=5)
        second = dead_letter_row("sam", step="moria", queue="slow", cause="lost_before_recording", died_at=6)
        store.commit([alone("frodo", rows=RowChanges(bury=(first,))), alone("sam", rows=RowChanges(bury=(second,)))])
        assert [row.step for row in store.dead_letters(DeadLetterQuery(**asked)).rows] == steps
        of_run = store.dead_letters(DeadLetterQuery(run_id=thread_id("sam")))
        assert of_run.rows == (second,)

    @pytest.mark.parametrize(
        ("asked", "field"),
        [({"limit": 0}, "limit"), ({"limit": 1001}, "limit"), ({"after": "x"}, "after"), ({"step": 5}, "step")],
    )
    def test_what_can_not_be_asked_of_dead_letters_is_named(
        self, store: JournalStore, asked: dict[str, Any], field: str
    ) -> None:
        with pytest.raises(InvalidInput) as refused:
            store.dead_letters(DeadLetterQuery(**asked))
        assert refused.value.field == field

    # --------------------------------------------------------------------------------------------------- the plane

    def test_the_plane_is_set_by_comparison(self, store: JournalStore) -> None:
        assert store.plane() is None
        assert not store.set_plane(PLANE, structs.replace(PLANE, epoch=2))
        assert store.set_plane(None, PLANE)
        assert store.plane() == PLANE
        assert not store.set_plane(None, structs.replace(PLANE, mesh="another"))
        moving = structs.replace(PLANE, kind="redis", name="redis://here:1/0", epoch=2, incarnation="i", moving=True)
        assert store.set_plane(PLANE, moving)
        assert store.plane() == moving

    def test_what_was_claimed_under_another_epoch_is_not_written(self, store: JournalStore) -> None:
        """Protocol 3.9. Groups that record no claim name no epoch, and are written."""
        here, elsewhere = structs.replace(alone("frodo"), epoch=1), structs.replace(alone("sam"), epoch=2)
        assert store.commit([here]) == [Moved()], "there is no plane yet"
        store.set_plane(None, PLANE)

        assert store.commit([here, elsewhere, alone("gandalf")]) == [Committed(), Moved(), Committed()]
        assert (revisions(store, "frodo"), revisions(store, "sam")) == ([1], [])
        store.set_plane(PLANE, structs.replace(PLANE, epoch=2))
        assert store.commit([structs.replace(alone("frodo", 1), epoch=1), elsewhere]) == [Moved(), Committed()]

    def test_a_conflict_is_told_before_another_epoch(self, store: JournalStore) -> None:
        """Else a commit that is repeated because its answer was lost would seem refused though it is written."""
        store.set_plane(None, PLANE)
        store.commit([structs.replace(alone("frodo"), epoch=1)])
        store.set_plane(PLANE, structs.replace(PLANE, epoch=2))
        (answer,) = store.commit([structs.replace(alone("frodo"), epoch=1)])
        assert isinstance(answer, Conflict)

    def test_one_of_many_sets_the_plane(self, store: JournalStore) -> None:
        won = together(4, lambda writer: store.set_plane(None, structs.replace(PLANE, mesh=str(writer))))
        assert won.count(True) == 1

    def test_groups_that_name_the_same_threads_in_another_order_do_not_lock_each_other_out(
        self, store: JournalStore
    ) -> None:
        def write(writer: int) -> int:
            order = ("frodo", "sam") if writer % 2 else ("sam", "frodo")
            won = 0
            while won < 5:
                at = len(revisions(store, "frodo"))
                (answer,) = store.commit([Group(appends=tuple(append(name, at) for name in order))])
                won += answer == Committed()
            return won

        assert sum(together(4, write)) == 20
        assert revisions(store, "frodo") == revisions(store, "sam") == list(range(1, 21))

    # --------------------------------------------------------------------------------------------- timers and signals

    def test_timers_are_kept_as_they_were_written(self, store: JournalStore) -> None:
        gate = timer_row("frodo", "gate", due_at=3, subject="council")
        word = timer_row("frodo", "child_ended", due_at=1, subject="x", sender=thread_id("sam"), detail="completed")
        store.commit([alone("frodo", rows=RowChanges(set_timers=(gate, word)))])
        assert store.open_timers() == sorted([gate, word], key=lambda row: row.timer)
        moved = structs.replace(gate, due_at=9)
        store.commit([alone("frodo", 1, rows=RowChanges(set_timers=(moved,), drop_timers=(word.timer,)))])
        assert store.open_timers() == [moved]

    def test_due_timers_come_in_pages_earliest_first(self, store: JournalStore) -> None:
        rows = tuple(timer_row(name, due_at=due) for name, due in [("c", 5), ("b", 5), ("a", 7), ("d", 1), ("e", 8)])
        store.commit([alone("frodo", rows=RowChanges(set_timers=rows))])
        expected = sorted((row for row in rows if row.due_at <= 7), key=lambda row: (row.due_at, row.timer))
        assert store.due_timers(Instant(7)) == expected
        found: list[TimerRow] = []
        while page := store.due_timers(Instant(7), after=found[-1] if found else None, limit=1):
            found += page
        assert found == expected

    def test_the_next_timer_is_the_earliest_one_due_or_not(self, store: JournalStore) -> None:
        assert store.next_timer() is None
        rows = tuple(timer_row(name, due_at=due) for name, due in [("a", 7), ("b", 3)])
        store.commit([alone("frodo", rows=RowChanges(set_timers=rows))])
        assert store.next_timer() == 3
        store.commit([alone("frodo", 1, rows=RowChanges(drop_timers=(rows[1].timer,)))])
        assert store.next_timer() == 7

    def test_open_timers_come_in_pages_by_name(self, store: JournalStore) -> None:
        rows = tuple(timer_row(name) for name in "dacb")
        store.commit([alone("frodo", rows=RowChanges(set_timers=rows))])
        first = store.open_timers(limit=3)
        assert [*first, *store.open_timers(limit=3, after=first[-1].timer)] == sorted(rows, key=lambda row: row.timer)

    def test_a_signal_that_nobody_hears_is_dropped_and_a_timer_is_not(self, store: JournalStore) -> None:
        own, word = timer_row("frodo"), timer_row("sam", "cancel", sender=thread_id("frodo"))
        store.commit([alone("frodo", rows=RowChanges(set_timers=(own, word)))])
        store.drop_signals([own.timer, word.timer, "nobody's"])
        store.drop_signals([word.timer])
        assert store.open_timers() == [own]

    def test_timers_of_a_group_that_conflicts_are_not_written(self, store: JournalStore) -> None:
        store.commit([alone("frodo")])
        (answer,) = store.commit([alone("frodo", rows=RowChanges(set_timers=(timer_row("frodo"),)))])
        assert isinstance(answer, Conflict)
        assert (store.open_timers(), store.next_timer()) == ([], None)
