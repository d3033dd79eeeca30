"""A payload codec between the mesh and its journal: switched on, rotated, missing, broken."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from msgspec import structs
from pydantic import BaseModel, SecretStr

from squidmesh import CodecRefused, Context, CorruptHistory, InvalidInput, Mesh, Workflow, approval, manual, step
from squidmesh.errors import BackendUnavailable, DataRefused
from squidmesh.ids import AttemptKey, EntryId, ThreadId
from squidmesh.journal.rows import RowChanges
from squidmesh.journal.sealing import sealed
from squidmesh.ports.journal_store import Append, Group, ThreadRead
from squidmesh.ports.lease_backend import Grants
from squidmesh.runtime.coded import coded, coded_leases
from tests.support.audit import audit
from tests.unit.runtime.rig import Port, Rig, Writer, claim, complete, give_back


class Zip:
    """A codec of a host's own: hides nothing, but no reader takes its bodies as they are."""

    name = "zip"

    def encode(self, body: bytes, /) -> bytes:
        return zlib.compress(body)

    def decode(self, body: bytes, /) -> bytes:
        return zlib.decompress(body)


class Other(Zip):
    name = "other"


class Broken(Zip):
    def __init__(self, error: Exception) -> None:
        self.error = error

    def encode(self, body: bytes, /) -> bytes:
        raise self.error

    def decode(self, body: bytes, /) -> bytes:
        raise self.error


class Letter(BaseModel):
    token: SecretStr = SecretStr("mellon")


class Post(Workflow):
    version = "1"
    send = manual(Letter)
    seal = step(lambda: None)
    ask = approval()
    carry = step(lambda: None)
    flow = seal >> ask >> carry


def connect(tmp_path: Any, codec: Any = None) -> Mesh:
    return Mesh.connect(f"sqlite:///{tmp_path / 'post.db'}", workflows=[Post], codec=codec)


def test_a_codec_can_be_switched_on_while_runs_are_open(tmp_path: Any) -> None:
    with connect(tmp_path) as mesh:
        run = mesh.start_run(Post)
    with connect(tmp_path, Zip()) as mesh:
        while mesh.execute_next() is not None:
            pass
        mesh.approve_run(run.run_id, actor="ops")
        while mesh.execute_next() is not None:
            pass
        found = mesh.inspect_run(run.run_id, history=True)
    assert (found.status, found.anomaly) == ("completed", None)
    assert found.payload is not None and found.history is not None, "plain entries and sealed ones, one history"
    with connect(tmp_path) as mesh:
        found = mesh.inspect_run(run.run_id)
        assert (found.status, found.revision) == ("running", 1), "as far as it was plain"
        assert found.anomaly is not None
        assert "sealed by the payload codec 'zip', which this mesh was not given" in found.anomaly


def test_what_a_transactional_step_records_is_sealed_too(tmp_path: Any) -> None:
    def write_it(context: Context) -> dict[str, str]:
        context.connection.execute("CREATE TABLE letters (word TEXT)")
        context.connection.execute("INSERT INTO letters VALUES ('kept')")
        return {"word": "mellon"}

    class Kept(Workflow):
        version = "1"
        send = manual(Letter)
        write = step(write_it, transaction=True)
        tell = step(lambda word: None)
        flow = write >> tell

    url = f"sqlite:///{tmp_path / 'post.db'}"
    with Mesh.connect(url, workflows=[Kept], codec=Zip()) as mesh:
        run = mesh.start_run(Kept)
        while mesh.execute_next() is not None:
            pass
        assert mesh.wait_for(run.run_id, timeout=0).status == "completed"
    with closing(sqlite3.connect(tmp_path / "post.db")) as store:
        assert store.execute("SELECT word FROM letters").fetchall() == [("kept",)]
        bodies = [body for (body,) in store.execute("SELECT body FROM entries")]
    assert len(bodies) >= 4
    assert {body[:4] for body in bodies} == {b"zip:"}


@pytest.mark.parametrize("codec", [None, Other()])
def test_without_its_codec_a_run_is_held_listed_and_explained(tmp_path: Any, codec: Any) -> None:
    with connect(tmp_path, Zip()) as mesh:
        run = mesh.start_run(Post, key="letter-1")
    with connect(tmp_path, codec) as mesh:
        assert mesh.execute_next() is None, "nobody works on what he can not read"
        assert [row.key for row in mesh.list_runs().runs] == ["letter-1"]
        explained = mesh.explain_run(run.run_id)
        assert explained.reason == "corrupt_history"
        assert "payload codec 'zip'" in explained.summary
        for history in (False, True):
            found = mesh.inspect_run(run.run_id, history=history)
            assert (found.status, found.key, found.revision, found.priority) == ("running", "letter-1", 0, None)
            assert found.anomaly is not None and "payload codec 'zip'" in found.anomaly
            assert (found.payload, found.output, found.history) == (None, None, None)
        with pytest.raises(CorruptHistory, match="payload codec 'zip'"):
            mesh.inspect_run_graph(run.run_id)
        with pytest.raises(CorruptHistory, match="payload codec 'zip'"):
            mesh.start_run(Post, key="letter-1")
        other = mesh.start_run(Post)
        assert mesh.inspect_run(other.run_id).anomaly is None, "it holds no other run"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (CodecRefused("there is no key 'k2'"), "can not open it: there is no key 'k2'"),
        (ValueError("the payload was mellon"), "can not open it: ValueError"),
    ],
)
def test_what_can_not_be_opened_says_why_but_never_what_is_in_it(tmp_path: Any, error: Exception, told: str) -> None:
    with connect(tmp_path, Zip()) as mesh:
        run = mesh.start_run(Post)
    with connect(tmp_path, Broken(error)) as mesh:
        found = mesh.inspect_run(run.run_id)
        assert found.anomaly is not None and found.anomaly.endswith(told)
        assert "mellon" not in str(mesh.explain_run(run.run_id))


# ---------------------------------------------------------------------------------------------- beneath the mesh


def behind(rig: Rig, codec: Any) -> Writer:
    rig.store = Port(coded(rig.journal, codec))
    return rig.writer()


def test_checkpoints_are_sealed_too_and_one_that_can_not_be_opened_costs_a_longer_fold(rig: Rig) -> None:
    rig.start("a")
    writer = behind(rig, Zip())
    for fence in range(1, 40):
        for intent in (claim("a", fence=fence), give_back("a", fence=fence)):
            assert writer.one(intent).error is None
    (stored,) = rig.journal.read([ThreadRead(thread=ThreadId("a"))])
    assert stored.checkpoint is not None
    assert stored.checkpoint.body.startswith(b"zip:")
    assert {entry.body[:4] for entry in stored.tail} == {b"zip:"}
    state = audit(rig.store, "a")

    rig.journal._checkpoints[ThreadId("a")] = structs.replace(stored.checkpoint, body=b"other:" + b"?" * 20)

    assert behind(rig, Zip()).runs.load(["a"])["a"].state == state  # type: ignore[union-attr]
    held = behind(rig, None).runs.load(["a"])["a"]
    assert isinstance(held, CorruptHistory), "whoever has no codec holds the run"


def test_what_a_codec_can_not_seal_hurts_only_its_own_run(rig: Rig) -> None:
    writer = behind(rig, SealsNoPoison())
    for run_id in "abc":
        rig.start(run_id)
        assert writer.one(claim(run_id)).error is None
    before, poisoned, after = writer.record(complete("a"), complete("b", word="poison"), complete("c"))

    assert [type(verdict.facts[0]).__name__ for verdict in (before, poisoned, after)] == [
        "AttemptCompleted",
        "AttemptFailed",
        "AttemptCompleted",
    ]


class SealsNoPoison(Zip):
    def encode(self, body: bytes, /) -> bytes:
        if b"poison" in body:
            raise ValueError(f"can not take {body!r}")
        return super().encode(body)


def test_why_a_codec_seals_nothing_is_told_without_what_it_was_given(rig: Rig) -> None:
    writer = behind(rig, SealsNoPoison())
    rig.start("a")
    writer.one(claim("a"))
    verdict = writer.one(complete("a", word="poison", replace=False))

    assert isinstance(verdict.error, DataRefused)
    assert str(verdict.error) == "the payload codec 'zip' can not seal it: ValueError"


@pytest.mark.parametrize("call", ["commit", "read", "entry"])
def test_where_keys_are_kept_by_a_server_that_is_away_the_same_call_may_work_later(rig: Rig, call: str) -> None:
    behind(rig, Zip())
    rig.start("a")
    sealed = rig.journal.read([ThreadRead(thread=ThreadId("a"))])[0].tail[0]
    rig.journal._threads[ThreadId("a")] = [structs.replace(sealed, body=b"zip:" + Zip().encode(sealed.body))]
    store = coded(rig.journal, Broken(BackendUnavailable("the keys are away")))
    append = Append(thread=ThreadId("b"), expected_revision=0, entry_id=EntryId("e"), body=b"", rows=RowChanges())
    calls: dict[str, Callable[[], object]] = {
        "commit": lambda: store.commit([Group(appends=(append,))]),
        "read": lambda: store.read([ThreadRead(thread=ThreadId("a"))]),
        "entry": lambda: store.entry(ThreadId("a"), 1),
    }

    with pytest.raises(BackendUnavailable, match="the keys are away"):
        calls[call]()
    assert rig.journal.read([ThreadRead(thread=ThreadId("b"))])[0].tail == (), "nothing was written"


def test_a_store_without_a_codec_is_the_store_itself(rig: Rig) -> None:
    assert coded(rig.journal, None) is rig.journal


class Named(Zip):
    def __init__(self, name: Any) -> None:
        self.name = name


@pytest.mark.parametrize(
    ("codec", "told"),
    [
        ("zip", "codec: is a str; allowed is an object with a name, encode() and decode()"),
        (Zip, "codec: is a type; allowed is an object with a name, encode() and decode()"),
        (Named(7), "codec: is a Named; allowed is an object with a name, encode() and decode()"),
        (Named(""), "codec: its name '' is refused; allowed are 1 to 64 of A-Z a-z 0-9 . _ -, a letter first"),
        (Named("1:"), "codec: its name '1:' is refused; allowed are 1 to 64 of A-Z a-z 0-9 . _ -, a letter first"),
        (Named("1"), "codec: its name '1' is refused; allowed are 1 to 64 of A-Z a-z 0-9 . _ -, a letter first"),
    ],
)
def test_what_is_no_codec_is_refused_at_once(codec: Any, told: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Mesh.connect("memory://", codec=codec)

    assert str(refused.value) == told


class Beginnings:
    """Leases that stand in a journal, as far as a codec is concerned."""

    in_journal = True

    def claim(self, queues: Any, **about: Any) -> Grants:
        return Grants(claims=(), begun={AttemptKey("a"): (EntryId("e"), sealed("zip", zlib.compress(b"[1]")))})


def test_an_entry_that_comes_with_a_claim_is_opened() -> None:
    leases: Any = Beginnings()
    assert coded_leases(leases, None) is leases
    assert coded_leases(leases, Zip()).claim([]).begun == {"a": ("e", b"[1]")}  # type: ignore[call-arg]


def test_one_that_can_not_be_opened_now_is_left_to_whoever_reads_the_run() -> None:
    leases: Any = Beginnings()
    away: Any = Broken(BackendUnavailable("the keys are away"))
    away.name = "zip"
    assert coded_leases(leases, away).claim([]).begun == {}  # type: ignore[call-arg]
