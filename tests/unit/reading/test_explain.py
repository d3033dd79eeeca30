"""Every run ends, or waits for something that has a name (I10)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from squidmesh import CorruptHistory, Workflow, manual, step, wait
from squidmesh.reading.explain import explain, explain_corrupt
from tests.unit.reading.story import (
    CLAIM_HASH,
    RUN_ID,
    SECRET,
    Errand,
    Gate,
    Told,
    at_council,
    do_nothing,
    in_moria,
    second,
)


class Later(Workflow):
    version = "1"
    begin = manual(Errand)
    first = wait(1)
    then = step(do_nothing)
    flow = first >> then


EVERY_REASON = {
    "waiting_for_worker": (lambda: Told().scheduled("pack"), 5),
    "running": (lambda: Told().scheduled("pack").claimed("pack"), 5),
    "retry": (lambda: failing_once().scheduled("moria", attempt=2, delay=10, cause="retry"), 5),
    "wait": (lambda: Told().passed("pack").route("pack:ok:rest").scheduled("rest", delay=30, cause="wait"), 5),
    "delayed_start": (lambda: Told().scheduled("pack", delay=60, cause="wait"), 5),
    "snoozed": (
        lambda: Told().scheduled("pack").claimed("pack").released("pack", reason="snooze", delay=30),
        5,
    ),
    "redelivery": (
        lambda: Told().scheduled("pack").claimed("pack").released("pack", reason="drain", delay=30),
        5,
    ),
    "approval": (at_council, 5),
    "completed": (lambda: in_moria().passed("moria").passed("mordor").run_completed(at=9), 20),
    "step_failed": (lambda: failing_once(final=True).run_failed("step_failed", "moria", at=9), 20),
    "rejected": (lambda: Told(Gate).asked("ask").decided("ask", "rejected").run_failed("rejected", "ask", at=9), 20),
    "no_matching_transition": (
        lambda: (
            Told(Gate)
            .asked("ask")
            .decided("ask", "approved")
            .passed("act")
            .run_failed("no_matching_transition", "act", at=9)
        ),
        20,
    ),
}


def failing_once(*, final: bool = False) -> Told:
    return in_moria().scheduled("moria").claimed("moria").failed("moria", final=final)


def explained(told: Told, *, at: float = 5, known_steps=None):
    return explain(told.definition, told.state, now=second(at), known_steps=known_steps)


@pytest.mark.parametrize("reason", EVERY_REASON)
def test_a_run_has_exactly_one_reason_with_a_sentence_and_a_next_action(reason):
    tell, at = EVERY_REASON[reason]

    explanation = explained(tell(), at=at)

    assert explanation.reason == reason
    assert explanation.summary.endswith(".") and explanation.summary.count(". ") == 0
    assert explanation.next_actions
    assert explanation.evidence


@pytest.mark.parametrize("reason", EVERY_REASON)
def test_an_explanation_holds_no_payload_no_error_text_and_no_claim(reason):
    tell, at = EVERY_REASON[reason]

    told = str(explained(tell(), at=at).to_json())

    assert SECRET not in told
    assert CLAIM_HASH not in told


def test_a_ready_attempt_waits_for_a_worker_on_its_queue():
    explanation = explained(Told().scheduled("pack"), at=12)

    assert explanation.summary == "attempt 1 of pack has been ready for 12 s; it waits for a worker on queue 'shire'."
    assert "worker --queue shire" in explanation.next_actions[0]


def test_a_running_attempt_tells_its_owner_its_lease_and_what_happens_when_the_worker_dies():
    explanation = explained(Told().scheduled("pack").claimed("pack", at=2), at=5)

    assert explanation.summary == "pack is running: frodo@1 claimed attempt 1 3 s ago."
    assert explanation.evidence["owner"] == "frodo@1"
    assert explanation.evidence["lease"] == timedelta(seconds=60)
    assert "takes over" in explanation.evidence["takeover"]


def test_a_taken_over_attempt_tells_its_lost_deliveries():
    told = Told().scheduled("pack").claimed("pack", owner="boromir@1").claimed("pack", owner="aragorn@2")

    explanation = explained(told)

    assert explanation.evidence["lost_deliveries"] == 1
    assert "after 1 lost delivery; it runs alone" in explanation.summary


def test_a_retry_tells_when_and_which_error():
    explanation = explained(failing_once().scheduled("moria", attempt=2, delay=10, cause="retry"), at=4)

    assert explanation.summary == "attempt 1 of moria failed with Balrog; attempt 2 of 3 becomes visible in 6 s."
    assert explanation.evidence["error"] == "step_raised"
    assert explanation.evidence["remaining"] == timedelta(seconds=6)


def test_a_retry_that_is_due_waits_for_a_worker():
    told = failing_once().scheduled("moria", attempt=2, delay=10, cause="retry")

    assert explained(told, at=10).reason == "waiting_for_worker"


def test_a_delayed_start_of_a_wait_is_a_wait():
    told = Told(Later).scheduled("first", delay=61, cause="wait")

    assert explained(told).reason == "wait"


def test_an_approval_names_the_commands_that_decide_it():
    assert explained(at_council()).next_actions == (
        f"squidmesh runs approve {RUN_ID} --actor NAME",
        f"squidmesh runs reject {RUN_ID} --actor NAME",
    )


def test_two_open_approvals_are_told_apart_by_step():
    explanation = explained(Told(Gate).asked("ask").asked("other"))

    assert explanation.evidence["open"] == ("ask", "other")
    assert explanation.next_actions[3] == f"squidmesh runs reject {RUN_ID} --actor NAME --step other"


def test_a_function_that_this_process_does_not_have_is_named():
    told = Told().scheduled("pack")

    assert explained(told, known_steps={"pack"}).reason == "waiting_for_worker"
    missing = explained(told, known_steps=())
    assert missing.reason == "missing_step"
    assert "'pack'" in missing.next_actions[0]


def test_a_process_without_workflows_misses_no_function():
    assert explained(Told().scheduled("pack"), known_steps=None).reason == "waiting_for_worker"


def test_a_wait_needs_no_function():
    told = Told().passed("pack").scheduled("rest", cause="wait")

    assert explained(told, known_steps=()).reason == "waiting_for_worker"


def test_a_step_that_another_worker_runs_is_not_missing_here():
    assert explained(Told().scheduled("pack").claimed("pack"), known_steps=()).reason == "running"


def test_a_failure_tells_the_step_its_attempts_and_its_error():
    explanation = explained(failing_once(final=True).run_failed("step_failed", "moria", at=9), at=20)

    assert explanation.summary == (
        "the run failed 11 s ago, 9 s after its start: moria failed with Balrog after 1 attempt, "
        "and no error route leads on."
    )
    assert explanation.evidence["attempts"] == 1


def test_a_run_that_recovered_tells_what_it_had_to_get_over():
    told = failing_once(final=True).route("moria:error:home", recovery="compensation").passed("home")
    told.run_completed(at=9)
    explanation = explained(told, at=20)
    assert explanation.reason == "completed"
    assert "by way of home: moria had failed for good" in explanation.summary
    assert explanation.evidence["recovered"] == "moria failed with Balrog on attempt 1; home followed (compensation)"


def test_a_rejection_tells_who_rejected():
    told = Told(Gate).asked("ask").decided("ask", "rejected").run_failed("rejected", "ask", at=9)

    assert "ask was rejected by elrond" in explained(told, at=20).summary


def test_a_history_that_can_not_be_read_holds_the_run_and_names_the_entry():
    error = CorruptHistory("the checksum does not match", thread=RUN_ID, revision=7)

    explanation = explain_corrupt(RUN_ID, error)

    assert explanation.reason == "corrupt_history"
    assert explanation.evidence["revision"] == 7
    assert "the checksum does not match" in explanation.summary


def test_a_run_that_waits_for_nothing_is_told_as_corrupt():
    assert explained(Told()).reason == "corrupt_history"


def test_a_document_holds_times_in_iso_8601_and_durations_in_seconds():
    document = explained(Told().scheduled("pack").claimed("pack", at=2)).to_json()

    assert document["evidence"]["since"] == "1970-01-01T00:00:02+00:00"
    assert document["evidence"]["lease"] == 60.0
    assert document["as_of"] == "1970-01-01T00:00:05+00:00"
