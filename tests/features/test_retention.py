"""Retention: what ended long ago goes, whole, and nothing that was once is ever once again."""

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast
from unittest.mock import patch

import pytest
from pydantic import BaseModel, SecretStr

from squidmesh import (
    Context,
    GiveUp,
    InvalidInput,
    KeyReused,
    Mesh,
    NotFound,
    RunPruned,
    UsageError,
    Workflow,
    approval,
    cron,
    manual,
    step,
)
from squidmesh.reading.plain import to_plain
from squidmesh.runtime import retention
from tests.features.world import Hand, World, seen, work
from tests.support.crashing import CrashingBackend, Plan, ProcessDied
from tests.support.parts import aside

HOUR, DAY = 3600.0, 86_400.0


class Order(BaseModel):
    name: str = "ring"
    token: SecretStr = SecretStr("mellon-7731")


def look_at(name: str, token: SecretStr) -> dict[str, str]:
    if name == "bad":
        raise GiveUp(f"{token.get_secret_value()} opens no door")
    return {"seen": name}


class Sale(Workflow):
    version = "1"
    placed = manual(Order)
    look = step(look_at)


class Slow(Workflow):
    version = "1"
    placed = manual(Order)
    gate = approval()
    end = step(lambda: None)
    flow = gate >> end


class Nightly(Workflow):
    version = "1"
    night = cron("0 3 * * *", timezone="Etc/UTC", payload=Order, idempotency="return_existing_run")
    once = cron("0 4 * * *", timezone="Etc/UTC", payload=Order, idempotency="skip_duplicate")
    look = step(look_at)


class Crowd(BaseModel):
    guests: int = 2
    kind: str = "Sale"


def invite_all(guests: int, kind: str, context: Context) -> None:
    for number in range(guests):
        payload = {"guests": 1} if kind == "Feast" else {"name": str(number)}
        context.start_child_run(kind, payload, key=f"guest {number}")


class Feast(Workflow):
    version = "1"
    plan = manual(Crowd)
    invite = step(invite_all)


ALL = (Sale, Slow, Nightly, Feast)


@pytest.fixture
def mesh(world: World) -> Mesh:
    return world.process(*ALL)


def ids(mesh: Mesh) -> set[str]:
    return {run.run_id for run in mesh.list_runs(limit=1000).runs}


def lines_of(file: Path | io.BytesIO) -> list[dict[str, Any]]:
    text = file.getvalue() if isinstance(file, io.BytesIO) else file.read_bytes()
    assert text == b"" or text.endswith(b"\n"), "every line is whole"
    return [json.loads(line) for line in text.splitlines()]


# -------------------------------------------------------------------------------------------------------- what goes


def test_what_ended_before_the_limit_goes_and_nothing_else(world: World, mesh: Mesh) -> None:
    old = [mesh.start_run(Sale, {"name": name}) for name in ("x", "y", "bad")]
    work(mesh)
    asleep = mesh.start_run(Slow, {"name": "x"})
    world.pass_time(2 * HOUR)
    young = mesh.start_run(Sale, {"name": "z"})
    work(mesh)

    pruned = mesh.prune(older_than=HOUR)

    assert (pruned.runs, pruned.tombstones, pruned.held, pruned.dry_run) == (3, 0, 0, False)
    assert pruned.entries >= 6
    assert ids(mesh) == {asleep.run_id, young.run_id}
    assert mesh.count_runs() == {"paused": 1, "completed": 1}
    for run in old:
        with pytest.raises(NotFound):
            mesh.inspect_run(run.run_id)
    assert mesh.prune(older_than=HOUR).runs == 0
    mesh.approve_run(asleep.run_id, actor="sam")
    work(mesh)
    assert seen(mesh, asleep).status == "completed", "the fleet goes on"


def test_age_counts_from_the_end_and_not_from_the_start(world: World, mesh: Mesh) -> None:
    run = mesh.start_run(Slow, {"name": "x"})
    world.pass_time(DAY)
    mesh.reject_run(run.run_id, actor="sam")
    world.pass_time(HOUR - 1)
    assert mesh.prune(older_than=HOUR).runs == 0
    world.pass_time(2)
    assert mesh.prune(older_than=HOUR).runs == 1


def test_workflow_status_and_number_narrow_it(world: World, mesh: Mesh) -> None:
    for name in ("a", "b", "bad"):
        mesh.start_run(Sale, {"name": name})
    gone = mesh.start_run(Slow, {"name": "x"})
    mesh.cancel_run(gone.run_id, actor="sam")
    work(mesh)
    world.pass_time(HOUR)

    assert mesh.prune(older_than=60, workflow="Nobody").runs == 0
    assert mesh.prune(older_than=60, statuses=["completed"], limit=1).runs == 1
    assert mesh.count_runs() == {"completed": 1, "failed": 1, "cancelled": 1}
    assert mesh.prune(older_than=60, workflow="Slow", statuses=["failed", "completed"]).runs == 0
    assert mesh.prune(older_than=60, workflow="Slow").runs == 1
    assert mesh.prune(older_than=60, statuses=["failed"]).runs == 1
    assert mesh.count_runs() == {"completed": 1}


def test_a_dry_run_counts_and_changes_nothing(world: World, mesh: Mesh, tmp_path: Path) -> None:
    mesh.start_run(Feast, key="k")
    mesh.start_run(Sale)
    work(mesh)
    world.pass_time(HOUR)
    before = ids(mesh)
    heard: list[int] = []

    tried = mesh.prune(older_than=60, dry_run=True, tell=heard.append)
    archived = mesh.archive(tmp_path / "a.jsonl", older_than=60, dry_run=True)

    assert (tried.runs, tried.tombstones, tried.dry_run) == (4, 3, True)
    assert (archived.runs, archived.bytes, archived.dry_run) == (4, 0, True)
    assert heard == [4]
    assert ids(mesh) == before
    assert not (tmp_path / "a.jsonl").exists()
    done = mesh.prune(older_than=60)
    assert (done.runs, done.entries, done.tombstones) == (tried.runs, tried.entries, tried.tombstones)


def test_it_goes_in_small_batches(world: World, mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "MOST_RUNS", 4)
    mesh.start_runs(Sale, [{"name": str(number)} for number in range(10)])
    work(mesh)
    world.pass_time(HOUR)
    heard: list[int] = []
    assert mesh.prune(older_than=60, tell=heard.append).runs == 10
    assert heard == [4, 8, 10]


def test_entries_bound_a_batch_too(world: World, mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "MOST_ENTRIES", 7)
    mesh.start_runs(Sale, [{"name": str(number)} for number in range(5)])
    work(mesh)
    world.pass_time(HOUR)
    each = mesh.prune(older_than=60, limit=1, dry_run=True).entries
    heard: list[int] = []
    mesh.prune(older_than=60, tell=heard.append)
    assert heard == [min(5, so_far) for so_far in range(7 // each, 5 + 7 // each, 7 // each)]


# ---------------------------------------------------------------------------------------------------------- families


def test_children_go_with_their_root_and_stay_with_it(world: World, mesh: Mesh) -> None:
    feast = mesh.start_run(Feast, {"kind": "Slow"})
    other = mesh.start_run(Sale)
    work(mesh)
    assert seen(mesh, feast).status == "completed"
    first, second = (child.run_id for child in seen(mesh, feast).children)
    mesh.cancel_run(first, actor="sam")
    world.pass_time(HOUR)

    assert mesh.prune(older_than=60).runs == 1, "one child lives, so all of the family stays"
    assert ids(mesh) == {feast.run_id, first, second}
    mesh.cancel_run(second, actor="sam")
    assert mesh.prune(older_than=60).runs == 0, "its end is too young"
    world.pass_time(HOUR)
    pruned = mesh.prune(older_than=60, workflow="Feast")
    assert (pruned.runs, pruned.tombstones) == (3, 2)
    assert ids(mesh) == set()
    with pytest.raises(NotFound):
        mesh.inspect_run(feast.run_id)
    for child in (first, second):
        with pytest.raises(RunPruned) as told:
            mesh.inspect_run(child)
        assert (told.value.run_id, told.value.status, told.value.workflow) == (child, "cancelled", "Slow")
    with pytest.raises(NotFound):
        mesh.inspect_run(other.run_id)


def test_grandchildren_go_with_their_root_too(world: World, mesh: Mesh) -> None:
    mesh.start_run(Feast, {"guests": 3, "kind": "Feast"})
    work(mesh)
    assert mesh.count_runs() == {"completed": 7}
    world.pass_time(HOUR)
    assert mesh.prune(older_than=60, limit=1).runs == 7, "a limit cuts no family"
    assert mesh.count_runs() == {}


def test_a_child_is_no_root_of_its_own(world: World, mesh: Mesh) -> None:
    mesh.start_run(Feast)
    work(mesh)
    world.pass_time(HOUR)
    assert mesh.prune(older_than=60, workflow="Sale").runs == 0


def test_a_cancelled_family_that_nobody_looks_after_goes_with_its_words(world: World, mesh: Mesh) -> None:
    """The child's last word to its parent, which ended before, has not been heard when both go."""
    feast = mesh.start_run(Feast, {"guests": 1, "kind": "Slow"})
    work(mesh)
    (child,) = seen(mesh, feast).children
    mesh.cancel_run(child.run_id, actor="sam")
    store = mesh._engine().store
    assert [timer.sender for timer in store.open_timers()] == [child.run_id]
    world.pass_time(HOUR)
    assert mesh.prune(older_than=60).runs == 2
    assert store.open_timers() == []


def test_a_family_that_is_larger_than_a_batch_goes_children_first(
    world: World, mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "MOST_RUNS", 3)
    feast = mesh.start_run(Feast, {"guests": 7})
    work(mesh)
    world.pass_time(HOUR)

    died = Plan(lambda count, place: place == "journal.prune after")
    with pytest.raises(ProcessDied):
        dying(world, died).prune(older_than=60)

    assert len(ids(mesh)) == 5
    assert seen(mesh, feast).status == "completed", "the root is there to find the others by"
    assert mesh.prune(older_than=60).runs == 5
    assert ids(mesh) == set()


# -------------------------------------------------------------------------------------------------- once, for ever


def test_a_key_stays_used_when_its_run_is_pruned(world: World, mesh: Mesh) -> None:
    first = mesh.start_run(Sale, {"name": "x"}, key="k")
    work(mesh)
    ended = seen(mesh, first).ended_at
    world.pass_time(HOUR)
    assert mesh.prune(older_than=60).tombstones == 1

    for payload in ({"name": "x"}, {"name": "another"}):
        with pytest.raises(RunPruned) as told:
            world.process(*ALL).start_run(Sale, payload, key="k")
        assert (told.value.code, told.value.http_status, told.value.field) == ("run_pruned", 409, "key")
        assert (told.value.run_id, told.value.status, told.value.ended_at) == (first.run_id, "completed", ended)
        assert first.run_id in str(told.value) and "completed" in str(told.value)
    assert work(mesh) == 0
    assert mesh.count_runs() == {}
    assert mesh.start_run(Slow, {"name": "x"}, key="k").run_id != first.run_id, "a key is scoped by its workflow"


def test_of_many_starts_only_those_whose_runs_were_pruned_are_refused(world: World, mesh: Mesh) -> None:
    mesh.start_run(Sale, {"name": "b"}, key="b")
    work(mesh)
    world.pass_time(HOUR)
    mesh.prune(older_than=60)
    with pytest.raises(RunPruned):
        mesh.start_runs(Sale, [{"name": name} for name in "abc"], keys=["a", "b", "c"])
    assert {run.key for run in mesh.list_runs().runs} == {"a", "c"}
    with pytest.raises(KeyReused):
        mesh.start_run(Sale, {"name": "other"}, key="a")


def test_whoever_asks_for_a_pruned_run_is_told_so(world: World, mesh: Mesh) -> None:
    run = mesh.start_run(Slow, {"name": "x"}, key="k")
    mesh.reject_run(run.run_id, actor="sam")
    world.pass_time(HOUR)
    mesh.prune(older_than=60)
    asked: list[Any] = [
        lambda: mesh.inspect_run(run.run_id),
        lambda: mesh.inspect_run(run.run_id, history=True),
        lambda: mesh.explain_run(run.run_id),
        lambda: mesh.inspect_run_graph(run.run_id),
        lambda: mesh.wait_for(run.run_id, timeout=0),
        lambda: mesh.approve_run(run.run_id, actor="sam"),
        lambda: mesh.cancel_run(run.run_id, actor="sam"),
        lambda: mesh.replay_run(run.run_id, actor="sam"),
    ]
    for ask in asked:
        with pytest.raises(RunPruned, match="was pruned; it was failed at"):
            ask()


def test_a_replay_with_a_key_stays_done(world: World, mesh: Mesh) -> None:
    old = mesh.start_run(Slow, {"name": "x"})
    mesh.reject_run(old.run_id, actor="sam")
    again = mesh.replay_run(old.run_id, actor="sam", key="r")
    mesh.reject_run(again.run_id, actor="sam")
    world.pass_time(HOUR)
    pruned = mesh.prune(older_than=60, limit=2)
    assert (pruned.runs, pruned.tombstones) == (2, 1)
    with pytest.raises(RunPruned):
        mesh.inspect_run(again.run_id)
    with pytest.raises(NotFound):
        mesh.inspect_run(old.run_id)


def test_a_window_whose_run_was_pruned_does_not_come_again(world: World, mesh: Mesh) -> None:
    loop = mesh.cron()
    loop.look()
    world.pass_time(DAY)
    assert len(loop.look().fired) == 2
    fired = {run.trigger: run for run in mesh.list_runs().runs}
    window = seen(mesh, fired["night"].run_id).schedule
    assert window is not None
    by_hand = mesh.activate_cron(Nightly.night, signal_id="bell")
    assert by_hand is not None
    work(mesh)
    world.pass_time(HOUR)
    assert mesh.prune(older_than=60).tombstones == 3

    assert world.process(*ALL).cron().look().fired == ()
    for asked in ({"window": window.window}, {"signal_id": "bell"}):
        with pytest.raises(RunPruned):
            mesh.activate_cron(Nightly.night, **asked)
    once = window.window.replace(hour=4)
    assert mesh.activate_cron(Nightly.once, window=once) is None, "a duplicate, as before"
    assert mesh.count_runs() == {}
    world.pass_time(DAY)
    assert len(loop.look().fired) == 2, "the next windows come"


# ---------------------------------------------------------------------------------------------- beside a live fleet


def test_a_worker_that_wakes_up_after_the_prune_writes_nothing(world: World, mesh: Mesh) -> None:
    run = mesh.start_run(Sale, {"name": "x"}, key="k")
    sleeper = Hand(mesh, "sleeper")
    assert sleeper.claim() == ["look"]
    mesh.cancel_run(run.run_id, actor="sam")
    world.pass_time(HOUR)
    assert mesh.prune(older_than=60).runs == 1
    sleeper.run()
    sleeper.record()
    assert world.notices.of("outcome_refused") or world.notices.of("stale_outcome")
    assert (mesh.count_runs(), mesh._engine().store.open_attempts()) == ({}, [])


def test_two_prunes_at_once_take_each_run_once(
    world: World, mesh: Mesh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The second one comes while the first has read what it means to prune."""
    mesh.start_runs(Sale, [{"name": str(number)} for number in range(6)])
    work(mesh)
    world.pass_time(HOUR)
    other = world.process(*ALL)
    found: list[int] = []

    def between(count: int, place: str) -> bool:
        if place == "journal.prune before" and not found:
            found.append(other.prune(older_than=60, limit=4).runs)
        return False

    file = io.BytesIO()
    mine = dying(world, Plan(between)).archive(file, older_than=60)
    assert (found, mine.runs) == ([4], 2)
    assert len(lines_of(file)) == 6, "it was written before it was pruned, by whomever"
    assert ids(mesh) == set()


def dying(world: World, plan: Plan) -> Mesh:
    """A process whose calls of the journal follow the plan."""
    opened = world.open

    def open_() -> tuple[Any, Any]:
        journal, leases = opened()
        return CrashingBackend(journal, plan), leases

    mesh = world.process(*ALL)
    with patch.object(world, "open", open_):
        mesh._engine()
    return mesh


# ---------------------------------------------------------------------------------------------------------- archives


@pytest.fixture
def old(world: World, mesh: Mesh) -> dict[str, str]:
    """Five runs that ended an hour ago, and the JSON of their histories by id."""
    mesh.start_run(Feast, key="k")
    mesh.start_run(Sale, {"name": "bad"})
    mesh.start_run(Sale, {"name": "mellon-7731 again", "token": "speak-friend-9"})
    work(mesh)
    world.pass_time(HOUR)
    told = {run_id: seen(mesh, run_id) for run_id in ids(mesh)}
    assert len(told) == 5
    return {run_id: json.dumps(run.to_json()) for run_id, run in told.items()}


def test_an_archive_has_each_run_in_a_line_and_prunes_it(mesh: Mesh, old: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "archive.jsonl"
    done = mesh.archive(file, older_than=60)

    lines = lines_of(file)
    assert (done.runs, done.tombstones, done.bytes) == (5, 3, file.stat().st_size)
    assert {line["run_id"] for line in lines} == old.keys()
    assert ids(mesh) == set()
    for line in lines:
        run = json.loads(old[line["run_id"]])
        for name in ("workflow", "version", "trigger", "key", "queue", "status", "started_at", "ended_at"):
            assert line[name] == run[name]
        assert line["archive"] == 1
        assert line["parent"] == (run["parent_run"] and run["parent_run"]["run_id"])
        assert len(line["fingerprint"]) == 64
        assert [entry["revision"] for entry in line["entries"]] == list(range(1, run["revision"] + 1))
        facts = [(entry["revision"], fact) for entry in line["entries"] for fact in entry["facts"]]
        assert [(revision, fact.pop("fact"), fact.pop("at"), fact) for revision, fact in facts] == [
            (event["revision"], event["kind"], event["at"], event["details"]) for event in run["history"]
        ]
    kinds = [line["workflow"] for line in lines]
    assert kinds.index("Feast") > kinds.index("Sale"), "children stand before their parents"
    assert to_plain(done)["held"] == 0


def test_no_secret_is_in_an_archive(mesh: Mesh, old: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "archive.jsonl"
    mesh.archive(file, older_than=60)
    text = file.read_text()
    assert "speak-friend-9" not in text
    assert "mellon-7731 opens no door" not in text
    bad = next(line for line in lines_of(file) if line["status"] == "failed")
    started, failed = bad["entries"][0]["facts"][0], json.dumps(bad["entries"][-1])
    assert (started["fact"], started["payload"]) == ("RunStarted", {"name": "bad", "token": "**********"})
    assert "********** opens no door" in failed
    assert "claim_hash" not in text


def test_an_archive_is_appended_to(world: World, mesh: Mesh, old: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "archive.jsonl"
    assert mesh.archive(str(file), older_than=60, limit=3).runs in (3, 4, 5)
    before = file.read_bytes()
    mesh.archive(str(file), older_than=60)
    assert file.read_bytes().startswith(before)
    assert {line["run_id"] for line in lines_of(file)} == old.keys()
    assert len(lines_of(file)) == 5
    assert file.stat().st_mode & 0o077 == 0, "it is the owner's"


def test_a_line_that_was_cut_short_is_taken_away_and_comes_again(
    mesh: Mesh, old: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "archive.jsonl"
    mesh.archive(file, older_than=60, limit=1)
    whole = file.read_bytes()
    for cut in (b'{"arch', b'{"archive":1,"run_id":"' + b"x" * 100_000):
        file.write_bytes(whole + cut)
        mesh.archive(file, older_than=60, workflow="Nobody")
        assert file.read_bytes() == whole
    mesh.archive(file, older_than=60)
    assert {line["run_id"] for line in lines_of(file)} == old.keys()


@pytest.mark.parametrize("text", ["a letter without an end", "one\n\ntwo", '{"archived": 7}'])
def test_a_file_that_is_no_archive_is_left_alone(mesh: Mesh, old: dict[str, str], tmp_path: Path, text: str) -> None:
    file = tmp_path / "letter.txt"
    file.write_text(text)
    with pytest.raises(InvalidInput, match="ends in the middle of a line that no archive began"):
        mesh.archive(file, older_than=60)
    assert file.read_text() == text
    assert ids(mesh) == old.keys()


def test_open_files_of_bytes_and_of_text_are_written_and_left_open(
    mesh: Mesh, old: dict[str, str], tmp_path: Path
) -> None:
    class OneByOne(io.RawIOBase):
        """Takes less than it is given."""

        taken = b""

        def writable(self) -> bool:
            return True

        def write(self, some: Any) -> int:
            self.taken += bytes(some[:1000])
            return min(len(some), 1000)

    text, raw = io.StringIO(), OneByOne()
    mesh.archive(text, older_than=60, statuses=["failed"])
    mesh.archive(cast(IO[bytes], raw), older_than=60, workflow="Feast")
    with (tmp_path / "a.jsonl").open("ab") as file:
        mesh.archive(file, older_than=60)
    found = text.getvalue().encode() + raw.taken + (tmp_path / "a.jsonl").read_bytes()
    assert {json.loads(line)["run_id"] for line in found.splitlines()} == old.keys()
    assert not text.closed and not raw.closed


def test_of_two_archives_to_one_file_the_second_is_refused(mesh: Mesh, old: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "archive.jsonl"
    refused: list[str] = []

    def tell(runs: int) -> None:
        with pytest.raises(InvalidInput) as told:
            mesh.archive(file, older_than=60)
        refused.append(str(told.value))

    mesh.archive(file, older_than=60, tell=tell)
    assert len(refused) == 1
    assert "is being written by another archive" in refused[0]


def test_where_the_disk_takes_nothing_nothing_is_pruned(
    mesh: Mesh, old: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("squidmesh.runtime.archiving.os.write", full)
    with pytest.raises(UsageError, match="No space left on device; what is not written is not pruned") as told:
        mesh.archive(tmp_path / "archive.jsonl", older_than=60)
    assert told.value.code == "archive_not_written"
    assert ids(mesh) == old.keys()


def test_lines_are_on_the_disk_before_their_runs_go(
    world: World, old: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    fsync = os.fsync

    def synchronised(file: int) -> None:
        fsync(file)
        told.append("fsync")

    monkeypatch.setattr("squidmesh.runtime.archiving.os.fsync", synchronised)

    def note(count: int, place: str) -> bool:
        if place == "journal.prune before":
            told.append(place)
        return False

    dying(world, Plan(note)).archive(tmp_path / "archive.jsonl", older_than=60)
    assert told == ["fsync", "fsync", "fsync", "journal.prune before"], "the new file, its folder, and the lines"


def test_prune_and_archive_are_data_too(mesh: Mesh, old: dict[str, str], tmp_path: Path) -> None:
    said = {"older_than": 60, "statuses": ["failed"], "limit": 5}
    assert mesh.apply({"verb": "prune", "arguments": {**said, "dry_run": True}}).runs == 1
    file = str(tmp_path / "a.jsonl")
    assert mesh.apply({"verb": "archive", "arguments": {**said, "path_or_file": file}}).runs == 1
    assert mesh.apply({"verb": "prune", "arguments": {"older_than": 60}}).runs == 4


# --------------------------------------------------------------------------------------------------------- crashes


EVERY_CALL = pytest.mark.parametrize("stride", [5, aside(1)])
"""Who dies at every fifth call has died both before and after calls; at every one of them under ``all``."""


def deaths(stride: int) -> Iterator[Plan]:
    """One for each port call that is a multiple of that, until somebody gets through alive."""
    count = stride
    while True:
        plan = Plan(lambda reached, place, at=count: reached == at)  # type: ignore[misc]
        yield plan
        if not plan.dead:
            return
        count += stride


@EVERY_CALL
def test_a_crash_at_any_call_leaves_every_run_in_the_file_or_in_the_journal(
    world: World, mesh: Mesh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stride: int
) -> None:
    monkeypatch.setattr(retention, "MOST_RUNS", 3)
    file = tmp_path / "archive.jsonl"
    died = 0
    for plan in deaths(stride):
        mesh.start_run(Feast, key=f"feast {died}")
        mesh.start_runs(Sale, [{"name": str(number)} for number in range(2)])
        work(mesh)
        world.pass_time(HOUR)
        alive = ids(mesh)
        written = len(lines_of(file)) if file.exists() else 0
        try:
            dying(world, plan).archive(file, older_than=60)
        except ProcessDied:
            died += 1
        lines = [line["run_id"] for line in lines_of(file)] if file.exists() else []
        gone = alive - ids(mesh)
        assert gone <= set(lines), "what is gone is in the file"
        assert len(lines) - written - len(gone) <= 3, "and at most one batch may come again"
    assert died > 10 // stride
    assert ids(mesh) == set()


@EVERY_CALL
def test_a_prune_that_dies_at_any_call_leaves_whole_runs_and_can_go_on(
    world: World, mesh: Mesh, monkeypatch: pytest.MonkeyPatch, stride: int
) -> None:
    monkeypatch.setattr(retention, "MOST_RUNS", 3)
    died = 0
    for plan in deaths(stride):
        mesh.start_run(Feast, key=f"feast {died}")
        mesh.start_run(Sale, {"name": "bad"})
        work(mesh)
        world.pass_time(HOUR)
        try:
            dying(world, plan).prune(older_than=60)
        except ProcessDied:
            died += 1
        world.check()
        left = mesh.list_runs(limit=1000).runs
        parents = {run.run_id for run in left if run.workflow == "Feast"}
        for run in left:
            parent = seen(mesh, run.run_id).parent_run
            assert parent is None or parent.run_id in parents, "no child without its root"
    assert died > 5 // stride
    assert ids(mesh) == set()
