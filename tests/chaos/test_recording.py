"""What a history says of a call, whatever became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from chaos.history import Call, Place, Reader, Unreadable, history_files, read_file
from chaos.recorder import Recorder
from chaos.recording import recorded
from squidmesh.errors import BackendUnavailable, CommitUnknown, DataRefused
from squidmesh.ids import AttemptKey, ClaimId, EntryId, ThreadId, claim_hash
from squidmesh.journal.rows import RowChanges
from squidmesh.memory import MemoryBackend
from squidmesh.ports.journal_store import Append, Committed, Conflict, Group
from squidmesh.ports.lease_backend import Beat, Claim, Handover, Item, Release, Settlement
from squidmesh.testing.clock import VirtualClock

LEASE = timedelta(seconds=30)
ITEM = Item(key=AttemptKey("run-1/pack#1"), queue="default", priority=5)


class Site:
    """A memory behind a recorder. ``read`` gives the calls that its history tells of."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inner = MemoryBackend("memory://", clock=VirtualClock())
        self.recorder = Recorder(folder, process="w")
        backend = recorded(self.inner, self.recorder)
        self.journal, self.leases = backend.journal(), backend.leases()

    def read(self) -> list[Call]:
        (path,) = history_files(self.folder)
        self.reader = Reader()
        return list(self.reader.calls(read_file(path)))

    def text(self) -> str:
        (path,) = history_files(self.folder)
        return path.read_text()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.recorder.close()


def append(revision: int = 0, *, entry: str = "e-1", thread: str = "run-1") -> Group:
    one = Append(
        thread=ThreadId(thread), expected_revision=revision, entry_id=EntryId(entry), body=b"x", rows=RowChanges()
    )
    return Group(appends=(one,))


def claimed(site: Site) -> Claim:
    site.leases.offer([ITEM])
    grants = site.leases.claim(["default"], owner="sam@1", limit=9, lease=LEASE, request_id="r" * 32)
    return grants.claims[0]


def test_each_group_of_a_commit_is_told_with_its_own_answer(site: Site) -> None:
    answers = site.journal.commit([append(), append(7, thread="run-2", entry="e-2")])
    assert [type(one) for one in answers] == [Committed, Conflict]
    first, second = site.read()
    assert (first.outcome, first.answer, first.asked.run, first.asked.revision) == ("ok", "committed", "run-1", 1)
    assert (second.outcome, second.answer, second.asked.entry, second.asked.group) == ("fail", "conflict", "e-2", 1)
    assert first.begun <= (first.ended or 0)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(CommitUnknown("lost"), "unknown"), (BackendUnavailable("away"), "unknown"), (DataRefused("too much"), "fail")],
)
def test_an_error_is_a_failure_only_where_it_proves_one(site: Site, error: Exception, outcome: str) -> None:
    def fails(groups: object) -> Any:
        raise error

    site.inner.journal().commit = fails  # type: ignore[method-assign]
    with pytest.raises(type(error)):
        site.journal.commit([append()])
    (call,) = site.read()
    assert (call.outcome, call.answer) == (outcome, error.code)  # type: ignore[attr-defined]


def test_a_backend_that_can_not_be_reached_may_have_done_it_all_the_same(site: Site) -> None:
    claim = claimed(site)

    def cut(*given: object) -> Any:
        raise BackendUnavailable("timed out")

    site.inner.leases().settle = cut  # type: ignore[method-assign, assignment]
    with pytest.raises(BackendUnavailable):
        site.leases.settle([Settlement(claim=claim)])
    assert [(call.op, call.outcome) for call in site.read()][-1] == ("settle", "unknown")


def test_a_call_that_its_process_did_not_live_through_is_unknown(site: Site) -> None:
    def dies(groups: object) -> Any:
        raise SystemExit

    site.inner.journal().commit = dies  # type: ignore[method-assign]
    with pytest.raises(SystemExit):
        site.journal.commit([append()])
    (path,) = history_files(site.folder)
    path.write_bytes(path.read_bytes()[: path.read_bytes().index(b'{"kind":"unknown"') + 9])  # killed in that line
    (call,) = site.read()
    assert (call.outcome, call.answer, call.ended) == ("unknown", "no_answer", None)
    assert site.reader.torn == [Place(path.name, 3)]


def test_a_line_that_is_broken_in_the_middle_is_no_torn_one(site: Site) -> None:
    (path,) = history_files(site.folder)
    path.write_bytes(b'{"kind":"invoke"\n' + path.read_bytes())
    (_, line), *_ = read_file(path)
    assert isinstance(line, Unreadable)
    assert not line.torn


def test_a_grant_is_told_with_what_is_lent(site: Site) -> None:
    claim = claimed(site)
    site.leases.claim(["default"], owner="sam@1", limit=9, lease=LEASE, request_id="s" * 32)  # nothing is left
    calls = [call for call in site.read() if call.op == "claim"]
    grant, end, nothing = calls
    assert (grant.answer, grant.told.item, grant.told.fence) == ("granted", ITEM.key, claim.fence)
    assert (grant.told.claim, grant.told.lease) == (claim.hash, 30_000_000)
    assert [call.answer for call in (end, nothing)] == ["done", "done"]
    assert grant.asked.request == claim_hash("r" * 32)


def test_a_claim_that_was_asked_for_again_has_begun_with_its_first_call(site: Site) -> None:
    """The first one may have been carried out, long before the second call told of it."""
    leases = site.inner.leases()
    ask = leases.claim

    def cut(*given: object, **named: object) -> Any:
        raise BackendUnavailable("timed out")

    leases.claim = cut  # type: ignore[method-assign]
    with pytest.raises(BackendUnavailable):
        claimed(site)
    leases.claim = ask  # type: ignore[method-assign]
    claimed(site)
    site.leases.claim(["default"], owner="sam@1", limit=9, lease=LEASE, request_id="r" * 32)  # and once more
    lost, grant, end, again, last = (call for call in site.read() if call.op == "claim")
    assert (lost.outcome, grant.answer, again.answer) == ("unknown", "granted", "granted")
    assert grant.begun == lost.begun < end.begun < again.begun == last.begun


def test_all_that_happens_to_an_item_is_told(site: Site) -> None:
    claim = claimed(site)
    assert site.leases.heartbeat([claim]) == [Beat.EXTENDED]
    site.leases.release([Release(claim=claim, delay=timedelta(seconds=1))])
    after = Item(key=AttemptKey("run-1/rest#1"), queue="default", priority=5)
    lent = Handover(item=after, claim_id=ClaimId("c" * 32), fence=4)
    site.leases.settle([Settlement(claim=claim, offers=(ITEM,), handover=lent)])
    told = [(call.op, call.told.item, call.answer) for call in site.read() if call.op not in ("claim", "marker")]
    pack, rest = "run-1/pack#1", "run-1/rest#1"
    assert told == [
        ("offer", pack, "done"),
        ("heartbeat", pack, "extended"),
        ("release", pack, "done"),
        ("settle", pack, "done"),
        ("offer", pack, "done"),
        ("handover", rest, "done"),
    ]
    handover = site.read()[-1].told
    assert (handover.fence, handover.claim, handover.owner) == (4, claim_hash("c" * 32), "sam@1")


def test_no_history_holds_a_claim_id(site: Site) -> None:
    claim = claimed(site)
    site.leases.heartbeat([claim])
    assert claim.claim_id.startswith("r" * 32)
    assert "r" * 32 not in site.text()


def test_a_fault_has_two_lines_that_belong_together(site: Site) -> None:
    mark = site.recorder.fault_applied("kill", harm="worker_killed", target="w-2")
    other = site.recorder.fault_applied("cut", harm="link")
    site.recorder.fault_healed(mark, "kill", harm="worker_killed", target="w-2")
    site.recorder.note("drained", "3 workers")
    site.read()
    faults = [fault for _, fault in site.reader.faults]
    assert [(fault.mark, fault.phase) for fault in faults] == [(mark, "applied"), (other, "applied"), (mark, "healed")]
    assert [note.name for _, note in site.reader.notes] == ["drained"]


def test_what_is_not_recorded_goes_straight_through(site: Site) -> None:
    given: Callable[[], object] = site.journal.plane
    assert given() is None
    assert site.leases.kind == "memory"
    assert not site.leases.in_journal
    assert site.read() == []
