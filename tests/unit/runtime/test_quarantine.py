"""3.5.5: a suspect in a process of its own behaves as in a thread, except that its death kills nobody else."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from pydantic import BaseModel

from squidmesh import Mesh, Workflow, manual, step
from squidmesh.ids import AttemptKey, ClaimId, RunId, idempotency_key
from squidmesh.journal.facts import Activation
from squidmesh.ports.lease_backend import Claim
from squidmesh.redaction import HIDDEN
from squidmesh.runtime import quarantine
from squidmesh.runtime.context import LeaseFlag
from squidmesh.runtime.invoke import Assignment, Completed, Died, Failed, Snoozed, Unstarted
from squidmesh.runtime.step_process import StepProcess
from squidmesh.testing.clock import VirtualClock
from squidmesh.workflow.isolation import home_of
from squidmesh.workflow.registry import Registry
from tests.support.suspects import Suspect
from tests.unit.runtime.rig import LEASE

HOME = "tests.support.suspects:Suspect"
RUN = RunId("9a1e")


def assignment(deed: str, file: str = "", *, home: str = HOME) -> Assignment:
    registered = Registry([Suspect]).get("Suspect")
    assert registered is not None
    bound = registered.steps["act"]
    claim = Claim(
        item=AttemptKey(f"{RUN}/act#1"),
        queue="default",
        owner="sam@1",
        claim_id=ClaimId("a secret"),
        generation=0,
        fence=3,
        lease=LEASE,
        incarnation="i",
    )
    return Assignment(
        claim=claim,
        run_id=RUN,
        workflow="Suspect",
        spec=bound.step,
        step=bound,
        attempt=1,
        delivery=2,
        inputs={"deed": deed, "file": file},
        context={"deed": deed, "file": file},
        payload_fields=frozenset({"deed", "file"}),
        lost=LeaseFlag(),
        asked_at=0.0,
        trigger="start",
        activation=Activation(window=0, timezone="Asia/Kathmandu"),
        suspect=True,
        home=home,
    )


class NoVerbs:
    def start_child_run(self, *args: Any, **given: Any) -> str:
        raise AssertionError("this step starts no child runs")


def carry_out(work: Assignment) -> Any:
    return quarantine.run(work, work.home or "", NoVerbs())


def run(deed: str, file: str = "", **given: Any) -> Any:
    return carry_out(assignment(deed, file, **given))


def test_the_step_runs_elsewhere_and_sees_what_it_would_see_here() -> None:
    outcome = run("tell")
    assert isinstance(outcome, Completed)
    told = outcome.output["told"]
    assert told["pid"] != os.getpid()
    assert told["seen"] == {"deed": "tell", "file": ""}
    assert told["key"] == idempotency_key(RUN, "act")
    assert told["window"] == "1970-01-01T05:30:00+05:30"
    assert (told["delivery"], told["fence"], told["attempt"]) == (2, 3, 1)


@pytest.mark.parametrize(
    ("deed", "cause"),
    [("kill", "signal 9 (SIGKILL)"), ("segfault", "signal 11 (SIGSEGV)"), ("exit", "exit status 7")],
)
def test_its_death_is_told_and_kills_nobody(deed: str, cause: str) -> None:
    outcome = run(deed)
    assert isinstance(outcome, Died)
    assert outcome.cause == cause


@pytest.mark.parametrize(
    ("deed", "code", "type_", "retryable"),
    [
        ("raise", "step_raised", "ConnectionError", True),
        ("give up", "give_up", "GiveUp", False),
        ("later", "retry_later", "RetryLater", True),
        ("sys.exit", "step_raised", "SystemExit", True),
        ("no json", "invalid_output", "InvalidOutput", False),
        ("large", "invalid_output", "InvalidOutput", False),
    ],
)
def test_failures_are_what_they_are_in_a_thread(deed: str, code: str, type_: str, retryable: bool) -> None:
    outcome = run(deed)
    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.error.type, outcome.retryable) == (code, type_, retryable)
    if deed == "later":
        assert outcome.retry_after is not None
        assert outcome.retry_after.total_seconds() == 7


def test_a_child_tells_no_secret_in_its_error_nor_when_it_dies(capfd: pytest.CaptureFixture[str]) -> None:
    secrets = frozenset({"mellon-42"})
    outcome = carry_out(structs.replace(assignment("tell all", "mellon-42"), secrets=secrets))
    died = carry_out(structs.replace(assignment("tell all and die", "mellon-42"), secrets=secrets))

    assert isinstance(outcome, Failed)
    assert outcome.error.message == str({"deed": "tell all", "file": HIDDEN}) + " was refused"
    assert "mellon" not in outcome.error.details
    assert died == Died(assignment=died.assignment, cause="exit status 1")
    said = capfd.readouterr().err
    assert "KeyboardInterrupt" in said and HIDDEN in said
    assert "mellon" not in said


class Postman:
    def __init__(self) -> None:
        self.payloads: list[Any] = []

    def start_child_run(self, target: Any, payload: Any, **given: Any) -> str:
        self.payloads.append(payload)
        return "c0de"


def test_a_child_run_is_started_with_the_true_value_of_its_secrets() -> None:
    postman = Postman()
    outcome = quarantine.run(assignment("start a child"), HOME, postman)
    assert isinstance(outcome, Completed)
    assert postman.payloads == [{"token": "mellon-42"}]


def test_a_snooze_is_a_snooze() -> None:
    outcome = run("snooze")
    assert isinstance(outcome, Snoozed)
    assert outcome.after.total_seconds() == 3


def test_what_it_prints_is_no_answer(capfd: pytest.CaptureFixture[str]) -> None:
    outcome = run("noise")
    assert isinstance(outcome, Completed)
    assert outcome.output == {"told": {"said": True}}
    said = capfd.readouterr()
    assert "to stdout" in said.out


def test_what_it_leaves_running_holds_nothing_up() -> None:
    begin = time.monotonic()
    assert isinstance(run("leave a process behind"), Completed)
    assert time.monotonic() - begin < 15


def in_the_background(work: Assignment) -> tuple[threading.Thread, list[Any]]:
    outcomes: list[Any] = []
    thread = threading.Thread(target=lambda: outcomes.append(carry_out(work)))
    thread.start()
    return thread, outcomes


def until(condition: Callable[[], object]) -> None:
    ends, turn = time.monotonic() + 20, threading.Event()
    while not condition():
        assert time.monotonic() < ends
        turn.wait(0.01)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_it_is_told_when_its_lease_is_lost(tmp_path: Path) -> None:
    file = tmp_path / "heard"
    work = assignment("until lost", str(file))
    thread, outcomes = in_the_background(work)
    until(lambda: file.exists() and file.read_text().isdigit())
    work.lost.set()
    thread.join(20)
    assert file.read_text() == "heard"
    assert isinstance(outcomes[0], Completed), "whether that still counts is for the journal to say"


def test_it_is_ended_when_it_does_not_listen(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    work = assignment("for ever", str(file))
    thread, outcomes = in_the_background(work)
    until(lambda: file.exists() and file.read_text().isdigit())
    pid = int(file.read_text())
    work.lost.set()
    thread.join(20)
    assert gone(pid)
    assert isinstance(outcomes[0], Died)


def test_nothing_is_started_under_a_lease_that_is_lost() -> None:
    work = assignment("tell")
    work.lost.set()
    assert isinstance(carry_out(work), Unstarted)


def test_a_workflow_that_the_child_does_not_find_runs_here(caplog: pytest.LogCaptureFixture) -> None:
    outcome = run("tell", home="tests.support.nowhere:Suspect")
    assert isinstance(outcome, Completed)
    assert outcome.output["told"]["pid"] == os.getpid()
    assert "quarantine_impossible" in caplog.text


def test_a_claim_id_never_leaves_its_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """3.5.8."""
    asked: list[bytes] = []
    inner = StepProcess._question

    def noted(process: StepProcess, work: Assignment, home: str) -> bytes:
        asked.append(inner(process, work, home))
        return asked[-1]

    monkeypatch.setattr(StepProcess, "_question", noted)
    run("tell")
    assert b"a secret" not in asked[0]


# -------------------------------------------------------------------------------------------------- who has a home


class Nothing(BaseModel):
    pass


def test_only_what_another_interpreter_finds_has_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    class Local(Workflow):
        version = "1"
        go = manual(Nothing)
        act = step(lambda: None)

    registry = Registry([Suspect, Local])
    homes = {name: home_of(found.source) for name in registry.names if (found := registry.get(name))}
    assert homes == {"Suspect": HOME, "Local": None}
    monkeypatch.setattr(Suspect, "__module__", "__main__")
    found = registry.get("Suspect")
    assert found is not None
    assert home_of(found.source) is None


# ------------------------------------------------------------------------------------------------------ in a worker


def lost_once(mesh: Mesh, clock: VirtualClock) -> None:
    """A process claims the attempt and is gone."""
    engine = mesh._engine()
    from squidmesh.runtime.slots import InlineSlots

    class Grave(InlineSlots):
        def submit(self, assignment: Assignment) -> None:
            """Nobody hears of it again."""

    pump = engine.pump(
        Grave(engine.carry), owner_id="gone", queues=["default"], pulse=None, patience=LEASE, continues=False
    )
    pump.turn()
    pump.abandon()
    clock.advance(LEASE)


@pytest.mark.parametrize(("quarantine", "elsewhere"), [(True, True), (False, False)])
def test_a_suspect_runs_in_a_child_unless_the_mesh_says_no(tmp_path: Path, quarantine: bool, elsewhere: bool) -> None:
    clock = VirtualClock()
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    with Mesh.connect(url, workflows=[Suspect], clock=clock, lease=LEASE, quarantine=quarantine) as mesh:
        run = mesh.start_run(Suspect, {"deed": "tell"})
        lost_once(mesh, clock)
        assert mesh.execute_next() is not None
        done = mesh.wait_for(run.run_id, timeout=0)
        assert done.output is not None
        assert (done.output["told"]["pid"] != os.getpid()) is elsewhere
        assert done.output["told"]["delivery"] == 2


def test_what_was_never_lost_runs_here(tmp_path: Path) -> None:
    with Mesh.connect(f"sqlite:///{tmp_path / 'journal.db'}", workflows=[Suspect]) as mesh:
        run = mesh.start_run(Suspect, {"deed": "tell"})
        mesh.execute_next()
        output = mesh.wait_for(run.run_id, timeout=0).output
        assert output is not None
        assert output["told"]["pid"] == os.getpid()


def test_poison_is_a_dead_letter_and_the_worker_lives(tmp_path: Path) -> None:
    """Once lost, it kills no process but its own; others go on meanwhile."""
    clock = VirtualClock()
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    with Mesh.connect(url, workflows=[Suspect], clock=clock, lease=LEASE, max_deliveries=3, idle_poll=0.01) as mesh:
        poison = mesh.start_run(Suspect, {"deed": "kill"})
        lost_once(mesh, clock)
        with mesh.worker(concurrency=2):
            others = mesh.start_runs(Suspect, [{"deed": "tell"}] * 5)
            for other in others:
                assert mesh.wait_for(other.run_id, timeout=30).status == "completed"

            def given_up() -> bool:
                clock.advance(LEASE / 100)
                return bool(mesh.list_dead_letters().dead_letters)

            until(given_up)
        (letter,) = mesh.list_dead_letters().dead_letters
        assert (letter.run_id, letter.lost, letter.detail) == (poison.run_id, 3, "signal 9 (SIGKILL)")
