"""Runs as a pump holds them: read once, refreshed from the tail, and never trusted further than they can be read."""

from datetime import timedelta
from typing import Any

import pytest

from squidmesh.errors import BackendUnavailable, CorruptHistory
from squidmesh.ids import ThreadId
from squidmesh.journal.codec import decode_state, encode_state
from squidmesh.ports.journal_store import Checkpoint, History, ThreadRead
from squidmesh.runtime import held
from squidmesh.runtime.held import HeldRun
from tests.support.audit import audit
from tests.unit.journal import story
from tests.unit.runtime.rig import Rig, Writer, claim, entry, fail, give_back

AWAY = BackendUnavailable("the store is away")


def reads(rig: Rig) -> list[list[tuple[str, int]]]:
    """Of each read, the threads and the revision that each was read from."""
    return [[(read.thread, read.after) for read in asked] for asked in rig.store.calls["read"]]


def read_entries(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many entries each read gives from now on."""
    lengths: list[int] = []
    read = rig.journal.read

    def counted(asked: Any, *, whole: bool = False) -> list[History]:
        histories = read(asked, whole=whole)
        lengths.extend(len(history.tail) for history in histories)
        return histories

    monkeypatch.setattr(rig.journal, "read", counted)
    return lengths


def grow(writer: Writer, run_id: str, to: int) -> None:
    """Claims the first attempt and gives it back, until the run has that many entries."""
    revision, fence = 1, 0
    while revision < to:
        fence += 1
        for intent in (claim(run_id, fence=fence), give_back(run_id, fence=fence))[: to - revision]:
            (verdict,) = writer.record(intent)
            assert verdict.error is None
            revision += 1


def load(writer: Writer, *run_ids: str) -> dict[str, Any]:
    return writer.runs.load(run_ids)


# ------------------------------------------------------------------------------------------------------- loading


def test_runs_are_loaded_in_one_read(rig: Rig) -> None:
    for run_id in "ab":
        rig.start(run_id)
    loaded = load(rig.writer(), "a", "b", "a", "nowhere")
    assert {run_id: run.state.revision for run_id, run in loaded.items()} == {"a": 1, "b": 1}
    assert reads(rig) == [[("a", 0), ("b", 0), ("nowhere", 0)]]


def test_a_held_run_costs_only_the_entries_since(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.start("a")
    writer = rig.writer()
    load(writer, "a")
    grow(rig.writer(), "a", to=4)
    rig.store.calls.clear()
    lengths = read_entries(rig, monkeypatch)
    assert load(writer, "a")["a"].state == audit(rig.journal, "a")
    load(writer, "a")
    assert reads(rig) == [[("a", 1)], [("a", 4)]]
    assert (lengths[0], lengths[-1]) == (3, 0)


def test_a_trusted_run_that_is_held_costs_nothing(rig: Rig) -> None:
    for run_id in "ab":
        rig.start(run_id)
    writer = rig.writer()
    load(writer, "a")
    rig.store.calls.clear()
    loaded = writer.runs.load(["a", "b"], trusted={"a", "b"})
    assert set(loaded) == {"a", "b"}
    assert reads(rig) == [[("b", 0)]], "trust is worth nothing for a run that is not held"


def test_the_run_row_is_refreshed_with_the_run(rig: Rig) -> None:
    rig.start("a")
    writer = rig.writer()
    load(writer, "a")
    rig.writer().one(claim("a"))
    rig.writer().one(give_back("a", seconds=9))
    row = load(writer, "a")["a"].row
    assert row == rig.journal.run_row("a")
    assert row.status == "waiting"


def test_a_definition_is_read_once_and_shared(rig: Rig) -> None:
    for run_id in "ab":
        rig.start(run_id)
    one, other = load(rig.writer(), "a", "b").values()
    assert one.definition is other.definition
    load(rig.writer(), "a")
    assert len(rig.store.calls["definition"]) == 1


def test_a_run_that_has_ended_is_given_but_not_held(rig: Rig) -> None:
    rig.start("a")
    rig.add("a", entry(story.cancelled(), story.ended(well=False)))
    writer = rig.writer()
    assert load(writer, "a")["a"].state.ended
    assert writer.runs.get("a") is None


# ------------------------------------------------------------------------------------------------------ eviction


def test_the_least_recently_used_runs_make_room(rig: Rig) -> None:
    writer = rig.writer(limit=2)
    for run_id in "abc":
        rig.start(run_id)
    load(writer, "a")
    load(writer, "b")
    load(writer, "a")
    load(writer, "c")
    assert [run_id for run_id in "abc" if writer.runs.get(run_id)] == ["a", "c"]


def test_more_runs_than_there_is_room_for_can_still_be_loaded_at_once(rig: Rig) -> None:
    writer = rig.writer(limit=1)
    for run_id in "abc":
        rig.start(run_id)
    assert set(load(writer, "a", "b", "c")) == set("abc")
    verdicts = writer.record(*[claim(run_id) for run_id in "abc"])
    assert [verdict.error for verdict in verdicts] == [None] * 3


def test_a_dropped_run_is_loaded_from_the_start(rig: Rig) -> None:
    rig.start("a")
    writer = rig.writer()
    load(writer, "a")
    writer.runs.drop("a")
    writer.runs.drop("a")
    assert writer.runs.get("a") is None
    rig.store.calls.clear()
    load(writer, "a")
    assert reads(rig) == [[("a", 0)]]


# --------------------------------------------------------------------------------------------------- checkpoints


def test_checkpoints_become_rarer_as_a_thread_grows(rig: Rig) -> None:
    """One is written when the tail exceeds the larger of 64 entries and half of what the last one covers."""
    rig.start("a")
    grow(rig.writer(), "a", to=1000)
    appends = [groups[0].appends[0] for groups in rig.store.calls["commit"]]
    written = [append.expected_revision + 1 for append in appends if append.checkpoint is not None]
    assert written == [65, 130, 196, 295, 443, 665, 998]


@pytest.mark.parametrize("length", [64, 100, 640, 664, 990, 1000])
def test_a_run_of_any_length_is_folded_from_a_bounded_tail(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    rig.start("a")
    grow(rig.writer(), "a", to=length)
    lengths = read_entries(rig, monkeypatch)
    state = load(rig.writer(), "a")["a"].state
    assert state.revision == length
    (tail,) = lengths
    assert tail <= max(64, (length - tail) // 2)


def test_another_writer_counts_from_the_checkpoint_that_it_found(rig: Rig) -> None:
    rig.start("a")
    grow(rig.writer(), "a", to=101)
    rig.store.calls.clear()
    writer = rig.writer()
    for fence in range(51, 68):
        writer.one(claim("a", fence=fence))
        writer.one(give_back("a", fence=fence))
    written = [groups[0].appends[0] for groups in rig.store.calls["commit"] if groups[0].appends[0].checkpoint]
    assert [append.expected_revision + 1 for append in written] == [130]


def test_the_entry_that_ends_a_run_writes_no_checkpoint(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HeldRun, "checkpoint_due", lambda self, revision: True)
    rig.start("a")
    writer = rig.writer()
    for attempt in (1, 2, 3):
        rig.clock.advance(timedelta(seconds=60))
        writer.one(claim("a", attempt=attempt, fence=attempt))
        writer.one(fail("a", attempt=attempt, fence=attempt))
    checkpoints = [groups[0].appends[0].checkpoint is not None for groups in rig.store.calls["commit"]]
    assert checkpoints == [True, True, True, True, True, False]


def with_checkpoint(rig: Rig, monkeypatch: pytest.MonkeyPatch, body: bytes | None = None) -> Any:
    """A run of 70 entries, whose checkpoint holds that body; the state that it folds to."""
    rig.start("a")
    grow(rig.writer(), "a", to=70)
    state = audit(rig.journal, "a")
    if body is not None:
        rig.journal._checkpoints["a"] = Checkpoint(revision=65, body=body)
    return state


@pytest.mark.parametrize("body", [b"", b"rubbish", b"2:00000000:{}"])
def test_a_checkpoint_that_can_not_be_read_is_passed_over(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    whole = with_checkpoint(rig, monkeypatch, body)
    lengths = read_entries(rig, monkeypatch)
    assert load(rig.writer(), "a")["a"].state == whole, "I2: without a checkpoint"
    assert lengths == [5, 70]


def test_a_stale_checkpoint_gives_the_same_state(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = with_checkpoint(rig, monkeypatch)
    early = decode_state(rig.journal._checkpoints["a"].body)
    assert early is not None
    (history,) = rig.journal.read([ThreadRead(thread=ThreadId("a"))], whole=True)
    stale = held.replay(None, history.tail[:9])
    assert stale is not None
    rig.journal._checkpoints["a"] = Checkpoint(revision=9, body=encode_state(stale))
    assert load(rig.writer(), "a")["a"].state == whole, "I2: with a stale checkpoint"


# ------------------------------------------------------------------------------------------------------ bad runs


@pytest.mark.parametrize(
    "body",
    [b"rubbish", b"", entry(story.started()), entry(story.completed()), entry(story.claimed("nonsense"))],
    ids=["rubbish", "nothing", "a second start", "a result without a claim", "an unknown step"],
)
def test_nothing_is_folded_past_an_entry_that_can_not_be_vouched_for(rig: Rig, body: bytes) -> None:
    for run_id in "ab":
        rig.start(run_id)
    writer = rig.writer()
    load(writer, "a")
    rig.add("a", body)
    for again in (writer, rig.writer()):
        loaded = load(again, "a", "b")
        assert isinstance(loaded["a"], CorruptHistory)
        assert (loaded["a"].thread, loaded["a"].revision) == ("a", 2)
        assert isinstance(loaded["b"], HeldRun), "one odd history holds one run"
        assert again.runs.get("a") is None


def test_a_gap_in_the_revisions_is_found(rig: Rig) -> None:
    rig.start("a")
    grow(rig.writer(), "a", to=4)
    del rig.journal._threads["a"][1]
    found = load(rig.writer(), "a")["a"]
    assert isinstance(found, CorruptHistory)
    assert "entry 2 is missing" in str(found)


def test_a_run_whose_definition_is_gone_is_held(rig: Rig) -> None:
    rig.start("a", definition=False)
    found = load(rig.writer(), "a")["a"]
    assert isinstance(found, CorruptHistory)
    assert (found.thread, found.revision) == ("a", 1)


def test_a_run_whose_definition_can_not_be_read_is_held(rig: Rig) -> None:
    rig.start("a")
    (fingerprint,) = rig.journal._definitions
    rig.journal._definitions[fingerprint] = b'{"name": "Errand"}'
    found = load(rig.writer(), "a")["a"]
    assert isinstance(found, CorruptHistory)
    assert "can not be read" in str(found)


# -------------------------------------------------------------------------------------------------------- trouble


@pytest.mark.parametrize("method", ["read", "definition"])
def test_a_store_that_is_away_for_a_moment_is_waited_for(rig: Rig, method: str) -> None:
    rig.start("a")
    rig.store.fail(method, AWAY, AWAY)
    assert load(rig.writer(patience=None), "a")["a"].state.revision == 1


def test_a_store_that_is_away_while_a_checkpoint_is_passed_over_is_waited_for(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = with_checkpoint(rig, monkeypatch, b"rubbish")
    writer = rig.writer(patience=None)
    read, troubles = rig.journal.read, [AWAY, AWAY]

    def trouble(asked: Any, *, whole: bool = False) -> Any:
        if whole and troubles:
            raise troubles.pop()
        return read(asked, whole=whole)

    monkeypatch.setattr(rig.journal, "read", trouble)
    assert load(writer, "a")["a"].state == whole
    assert troubles == []


def test_when_patience_ends_the_load_says_so_and_can_be_repeated(rig: Rig) -> None:
    rig.start("a")
    writer = rig.writer()
    rig.store.fail("read", AWAY, AWAY)
    with pytest.raises(BackendUnavailable):
        load(writer, "a")
    assert load(writer, "a")["a"].state.revision == 1
