"""Every grant ends in an assignment, or its item goes back for the right reason (protocol 3.5.2)."""

from collections.abc import Sequence
from datetime import timedelta

from squidmesh import Workflow, manual, step
from squidmesh.config import MeshConfig
from squidmesh.errors import BackendUnavailable, CommitUnknown, RecordedClaim
from squidmesh.ids import AttemptKey, claim_hash
from squidmesh.ports.lease_backend import Item, Release, Settlement
from squidmesh.runtime.intake import Grant, Intake
from squidmesh.runtime.invoke import Assignment, Failed
from squidmesh.runtime.pauses import AGE, Pauses
from squidmesh.workflow.registry import Registry
from tests.unit.planning.errand import Errand, Leave, walk
from tests.unit.runtime.rig import LEASE, Rig, Writer, claim, complete, give_back, pause, resume

CONFIG = MeshConfig(lease=LEASE, queue="slow")


class Worker:
    """An intake, and a writer that records what it asked for."""

    def __init__(self, rig: Rig, *workflows: type[Workflow], name: str = "merry@1") -> None:
        self.rig = rig
        self.now = 100.0
        self.writer: Writer = rig.writer(patience=None)
        self.intake = Intake(
            runs=self.writer.runs,
            leases=rig.leases,
            membership=rig.membership,
            pauses=Pauses(rig.store, monotonic=lambda: self.now),
            registry=Registry(workflows),
            config=CONFIG,
            observer=rig.observer,
            queues=("slow",),
            owner=name,
            monotonic=lambda: self.now,
        )

    def ask(self, limit: int = 3) -> list[Grant]:
        grants, _ = self.intake.ask(limit)
        return grants

    def take(self, grants: Sequence[Grant] | None = None) -> list[Assignment | Failed | None]:
        """Asks (if it has not yet), sorts out, records, admits."""
        kept = self.intake.sort_out(self.ask() if grants is None else grants)
        verdicts = self.writer.record(*map(self.intake.intent, kept))
        return [self.intake.admit(grant, verdict) for grant, verdict in zip(kept, verdicts, strict=True)]


def offered(rig: Rig, run_id: str = "a", step: str = "pack") -> str:
    rig.leases.inner.offer([Item(key=AttemptKey(f"{run_id}/{step}#1"), queue="slow", priority=5)])
    return run_id


def started(rig: Rig, *run_ids: str) -> None:
    for run_id in run_ids:
        rig.start(run_id)
        offered(rig, run_id)


def given_back(rig: Rig) -> list[Release]:
    return [release for call in rig.leases.calls["release"] for release in call]


def settled(rig: Rig) -> list[Settlement]:
    return [settlement for call in rig.leases.calls["settle"] for settlement in call]


# -------------------------------------------------------------------------------------------------------- asking


def test_a_grant_becomes_an_assignment_with_what_its_step_needs(rig: Rig) -> None:
    started(rig, "a")
    (assignment,) = Worker(rig, Errand).take()
    assert isinstance(assignment, Assignment)
    assert (assignment.key, assignment.attempt, assignment.delivery) == ("a/pack#1", 1, 1)
    assert (assignment.suspect, assignment.asked_at, bool(assignment.lost)) == (False, 100.0, False)
    assert assignment.claim.owner == "merry@1"
    assert rig.revision("a") == 2


def test_a_claim_whose_answer_was_lost_is_asked_again_under_the_same_request(rig: Rig) -> None:
    started(rig, "a")
    worker = Worker(rig, Errand)
    for error in (BackendUnavailable("away"), CommitUnknown("lost")):
        rig.leases.fail("claim", error, after=True)
        assert worker.ask() == []
        worker.now += 5
    (grant,) = worker.ask()
    assert grant.asked_at == 100.0, "the lease is counted from the first time"
    worker.now += 5
    started(rig, "b")
    (other,) = worker.ask()
    assert other.claim.claim_id.partition(":")[0] != grant.claim.claim_id.partition(":")[0]


def test_an_idle_intake_says_when_to_look_again(rig: Rig) -> None:
    worker = Worker(rig, Errand)
    assert worker.intake.ask(1) == ([], CONFIG.idle_poll)
    soon = Item(key=AttemptKey("a/pack#1"), queue="slow", priority=5, delay=timedelta(seconds=2))
    rig.leases.inner.offer([soon])
    assert worker.intake.ask(1) == ([], timedelta(seconds=2))
    rig.leases.fail("claim", BackendUnavailable("away"))
    assert worker.intake.ask(1) == ([], CONFIG.idle_poll)


def test_an_item_that_is_none_of_ours_is_put_aside(rig: Rig) -> None:
    rig.leases.inner.offer([Item(key=AttemptKey("nonsense"), queue="slow", priority=5)])
    started(rig, "a")
    assert [grant.run_id for grant in Worker(rig, Errand).ask()] == ["a"]
    assert [(release.claim.item, release.delay) for release in given_back(rig)] == [("nonsense", timedelta(seconds=60))]


# ------------------------------------------------------------------------------------------------------- refused


def test_the_item_of_a_closed_attempt_is_settled(rig: Rig) -> None:
    started(rig, "a")
    rig.writer().record(claim("a"), complete("a"))
    rig.leases.calls.clear()
    offered(rig)
    assert Worker(rig, Errand).take() == [None]
    assert [settlement.claim.item for settlement in settled(rig)] == ["a/pack#1"]
    assert [item.key for item in rig.leases.inner.items("slow").items] == ["a/rest#1"]


def test_an_item_whose_claim_is_recorded_goes_to_that_claim(rig: Rig) -> None:
    started(rig, "a")
    rig.writer().record(claim("a", fence=1))
    assert Worker(rig, Errand).take() == [None]
    (release,) = given_back(rig)
    assert release.as_claim == RecordedClaim(
        owner="sam@1", claim_hash=claim_hash("claim 1"), generation=0, fence=1, lease=LEASE
    )
    assert Worker(rig, Errand).ask() == [], "never as visible"


def test_an_item_whose_fence_is_too_low_gets_a_floor(rig: Rig) -> None:
    started(rig, "a")
    rig.writer().record(claim("a", fence=7), give_back("a", fence=7))
    worker = Worker(rig, Errand)
    (grant,) = worker.ask()
    assert grant.claim.fence == 1
    assert worker.take([grant]) == [None]
    (again,) = worker.ask()
    assert again.claim.fence == 8
    (assignment,) = worker.take([again])
    assert isinstance(assignment, Assignment)


def test_an_item_that_came_early_comes_back_in_time(rig: Rig) -> None:
    started(rig, "a")
    rig.writer().record(claim("a", fence=1), give_back("a", fence=1, seconds=8))
    rig.leases.calls.clear()
    rig.leases.inner._items["a/pack#1"].fence = 1
    worker = Worker(rig, Errand)
    assert worker.take() == [None]
    assert [release.delay for release in given_back(rig)] == [timedelta(seconds=8)]
    assert worker.ask() == []
    rig.clock.advance(timedelta(seconds=8))
    (assignment,) = worker.take()
    assert isinstance(assignment, Assignment)


def test_a_lease_backend_that_is_away_costs_the_rest_of_a_lease(rig: Rig) -> None:
    started(rig, "a")
    rig.writer().record(claim("a"))
    rig.leases.fail("release", BackendUnavailable("away"))
    assert Worker(rig, Errand).take() == [None]
    assert rig.observer.events == ["claim_refused", "lease_backend_unavailable"]


# ------------------------------------------------------------------------------------------------ not for here


def test_a_step_that_this_worker_does_not_have_is_given_back_at_once_and_passed_over_from_then_on(rig: Rig) -> None:
    started(rig, "a", "b", "c")
    worker = Worker(rig)
    (first,) = worker.ask(limit=1)
    assert worker.take([first]) == []
    assert [release.delay for release in given_back(rig)] == [timedelta(0)]
    assert worker.ask() == [], "a worker in a rolling deploy is in nobody's way"
    assert rig.revision("a") == 1, "neither an attempt nor a delivery is spent"
    assignments = Worker(rig, Errand).take()
    assert [assignment.delivery for assignment in assignments if isinstance(assignment, Assignment)] == [1, 1, 1]


class Bakery(Workflow):
    """Another workflow, with a step of the same name."""

    version = "1"
    leave = manual(Leave)
    pack = step(walk)


def test_where_another_workflow_has_a_step_of_that_name_it_is_given_back_for_longer_with_time(rig: Rig) -> None:
    started(rig, "a", "b", "c")
    worker = Worker(rig, Bakery)
    for _ in range(8):
        assert worker.take() == []
        rig.clock.advance(timedelta(seconds=60))
        worker.now += 61
    delays = [release.delay.total_seconds() for release in given_back(rig)]
    assert delays == [it for it in [1, 2, 4, 8, 16, 32, 60, 60] for _ in "abc"], "three items are one meeting"
    assert rig.revision("a") == 1


class Shorter(Workflow):
    """The same workflow after a deploy that took every step but one away."""

    name = "Errand"
    version = "2"
    leave = manual(Leave)
    havens = step(walk, output="havens")


def test_a_step_that_a_deploy_has_removed_waits_and_fails_nothing(rig: Rig) -> None:
    started(rig, "a")
    assert Worker(rig, Shorter).take() == []
    assert "missing_step" in rig.observer.events
    assert rig.revision("a") == 1


def test_a_run_that_can_not_be_read_is_put_aside_and_the_others_go_on(rig: Rig) -> None:
    started(rig, "a", "b", "c")
    rig.add("b", b"rubbish")
    assignments = Worker(rig, Errand).take()
    assert [assignment.run_id for assignment in assignments if isinstance(assignment, Assignment)] == ["a", "c"]
    assert [(release.claim.item, release.delay) for release in given_back(rig)] == [("b/pack#1", timedelta(seconds=60))]


def test_an_item_whose_run_is_not_there_is_put_aside(rig: Rig) -> None:
    offered(rig, "nowhere")
    assert Worker(rig, Errand).take() == []
    assert [release.delay for release in given_back(rig)] == [timedelta(seconds=60)]


# ------------------------------------------------------------------------------------------------------ suspects


def lost_once(rig: Rig, *run_ids: str) -> None:
    """Each run has been claimed by a worker that was never heard of again."""
    started(rig, *run_ids)
    dead = Worker(rig, Errand, name="boromir@1")
    while any(isinstance(taken, Assignment) for taken in dead.take()):
        pass
    rig.clock.advance(LEASE)
    rig.leases.calls.clear()


def test_an_attempt_with_a_lost_delivery_is_a_suspect(rig: Rig) -> None:
    lost_once(rig, "a")
    (assignment,) = Worker(rig, Errand).take()
    assert isinstance(assignment, Assignment)
    assert (assignment.delivery, assignment.suspect) == (2, True)


def test_of_several_suspects_one_is_kept_and_the_others_are_for_other_workers(rig: Rig) -> None:
    lost_once(rig, "a", "b", "c")
    started(rig, "d")
    worker = Worker(rig, Errand)
    assignments = worker.take(worker.ask(4))
    assert [(a.run_id, a.suspect) for a in assignments if isinstance(a, Assignment)] == [("a", True), ("d", False)]
    assert [(release.claim.item, release.delay) for release in given_back(rig)] == [
        ("b/pack#1", timedelta(0)),
        ("c/pack#1", timedelta(0)),
    ]
    assert [rig.revision(run_id) for run_id in "abcd"] == [3, 2, 2, 2]


def test_grants_of_what_others_hold_go_back_as_theirs_whoever_was_granted_them(rig: Rig) -> None:
    started(rig, "a", "b")
    holder = Worker(rig, Errand, name="boromir@1")
    held = [taken.claim.hash for taken in holder.take() if isinstance(taken, Assignment)]
    for worker in (Worker(rig, Errand), Worker(rig)):  # to the one they are suspects, the other has no function
        rig.leases.inner.forget_everything()
        offered(rig, "a")
        offered(rig, "b")
        rig.leases.calls.clear()
        assert worker.take() == [None, None]
        back = given_back(rig)
        assert [release.as_claim and release.as_claim.claim_hash for release in back] == held
        assert [release.floor for release in back] == [1, 1]
    assert [rig.revision(run_id) for run_id in "ab"] == [2, 2]


# --------------------------------------------------------------------------------------------------- wait, inputs


def test_a_wait_that_is_over_is_recorded_and_enters_no_slot(rig: Rig) -> None:
    rig.start("a")
    rig.writer().record(claim("a"), complete("a"))
    rig.clock.advance(timedelta(seconds=10))
    worker = Worker(rig)
    assert worker.take() == [None], "and it needs no function either"
    assert rig.observer.events == []
    assert [settlement.claim.item for settlement in settled(rig)][-1:] == ["a/rest#1"]


class LeaveTogether(Leave):
    companion: str


def pack_for_two(miles: int, companion: str) -> dict[str, str]:
    raise AssertionError("nothing is run here")


class Together(Workflow):
    """The same workflow after a deploy: its step wants more than what older runs were started with."""

    name = "Errand"
    version = "2"
    leave = manual(LeaveTogether)
    pack = step(pack_for_two, output="pack")


def test_an_assignment_holds_the_inputs_of_its_step_and_no_more(rig: Rig) -> None:
    started(rig, "a")
    (assignment,) = Worker(rig, Errand).take()
    assert isinstance(assignment, Assignment)
    assert (assignment.inputs, assignment.context) == ({}, {}), "this step asks for nothing"
    assert assignment.payload_fields == {"miles"}


def test_what_has_no_input_fails_without_running(rig: Rig) -> None:
    started(rig, "a")
    (failed,) = Worker(rig, Together).take()
    assert isinstance(failed, Failed)
    assert (failed.error.code, failed.retryable) == ("missing_input", False)
    assert "companion" in failed.error.message
    assert failed.assignment.claim.item == "a/pack#1"


# ---------------------------------------------------------------------------------------------------------- pauses


def test_what_the_backend_has_forgotten_to_be_paused_is_not_claimed(rig: Rig) -> None:
    """The journal's word, a second old at most, counts: whoever emptied the backend has resumed nothing."""
    worker = Worker(rig, Errand)
    rig.start("a")
    pause(rig)
    rig.leases.offer([Item(key=AttemptKey("a/pack#1"), queue="slow", priority=5)])
    assert worker.intake.ask(3) == ([], AGE)
    assert rig.leases.calls["claim"] == []


def test_a_pause_is_known_a_second_later_and_its_end_too(rig: Rig) -> None:
    worker = Worker(rig, Errand)
    rig.leases.offer([Item(key=AttemptKey(f"{run}/pack#1"), queue="slow", priority=5) for run in "abc"])
    assert len(worker.intake.ask(1)[0]) == 1
    pause(rig)
    worker.now += 0.99
    assert len(worker.intake.ask(1)[0]) == 1
    worker.now += 0.01
    assert worker.intake.ask(1)[0] == []
    resume(rig)
    worker.now += 1.0
    assert len(worker.intake.ask(1)[0]) == 1


def test_the_journal_is_asked_for_pauses_once_a_second_however_much_is_claimed(rig: Rig) -> None:
    worker = Worker(rig, Errand)
    for _ in range(50):
        worker.intake.ask(1)
        assert worker.intake.held_up() == frozenset()
    assert len(rig.store.calls["paused_queues"]) == 1


def test_where_the_journal_can_not_be_asked_nothing_is_claimed_and_nothing_goes_on(rig: Rig) -> None:
    worker = Worker(rig, Errand)
    rig.leases.offer([Item(key=AttemptKey("a/pack#1"), queue="slow", priority=5)])
    worker.intake.ask(0)
    worker.now += 1.0
    rig.store.fail("paused_queues", BackendUnavailable("gone"), BackendUnavailable("gone"))
    assert worker.intake.ask(1)[0] == []
    assert worker.intake.held_up() is None
    assert rig.observer.events == ["journal_unavailable"]
