"""A snapshot says where a run stands; what may hold user data has to be asked for (I19)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from squidmesh.journal import facts
from squidmesh.reading.inspect import inspect
from tests.unit.reading.story import CLAIM_HASH, SECRET, Gate, Told, at_council, in_moria, second


def eventful() -> Told:
    """A run with every kind of fact, and a secret in every field that may hold one."""
    return (
        in_moria()
        .scheduled("moria")
        .claimed("moria")
        .released("moria", reason="snooze")
        .claimed("moria", owner="gimli@2")
        .failed("moria", final=True)
        .route("moria:error:home", recovery="compensation")
        .scheduled("home")
        .claimed("home")
        .completed("home", output={"loot": SECRET})
        .run_completed(at=60)
    )


def failed() -> Told:
    return in_moria().scheduled("moria").claimed("moria").failed("moria", final=True).run_failed("step_failed", "moria")


def test_a_snapshot_tells_where_the_run_stands():
    run = inspect(at_council().state, now=second(5))

    assert (run.workflow, run.version, run.trigger) == ("Journey", "3", "begin")
    assert (run.key, run.queue, run.priority) == ("order-17", "shire", 5)
    assert (run.status, run.current_steps, run.revision) == ("paused", ("council",), at_council().state.revision)
    assert run.started_at == datetime(1970, 1, 1, tzinfo=UTC)
    assert run.ended_at is None and not run.ended


def test_an_ended_run_stands_nowhere():
    run = inspect(eventful().state, now=second(99))

    assert (run.status, run.current_steps, run.ended) == ("completed", (), True)
    assert run.ended_at == datetime(1970, 1, 1, 0, 1, tzinfo=UTC)


def test_a_run_that_waits_becomes_running_when_its_attempt_is_due():
    told = Told().scheduled("pack", delay=10, cause="wait")

    assert [inspect(told.state, now=second(at)).status for at in (9, 10)] == ["waiting", "running"]


def test_an_attempt_tells_who_works_on_it_since_when_and_how_often_it_was_lost():
    told = Told().scheduled("pack").claimed("pack").claimed("pack", owner="sam@9", at=70)

    (attempt,) = inspect(told.state, now=second(71)).attempts

    assert (attempt.step, attempt.attempt, attempt.status, attempt.owner) == ("pack", 1, "claimed", "sam@9")
    assert (attempt.fence, attempt.lost, attempt.lease) == (2, 1, timedelta(seconds=60))
    assert attempt.claimed_at == datetime(1970, 1, 1, 0, 1, 10, tzinfo=UTC)


def test_a_retry_keeps_the_code_of_the_failure_before_it():
    told = in_moria().scheduled("moria").claimed("moria").failed("moria").scheduled("moria", attempt=2, cause="retry")

    attempt = inspect(told.state, now=second(5)).attempts[-1]

    assert (attempt.attempt, attempt.last_error, attempt.last_error_type) == (2, "step_raised", "Balrog")


def test_a_failure_has_the_code_of_the_run_and_of_its_step():
    failure = inspect(failed().state, now=second(5)).failure

    assert failure is not None
    assert (failure.code, failure.step, failure.error, failure.error_type) == (
        "step_failed",
        "moria",
        "step_raised",
        "Balrog",
    )


def test_a_rejected_run_has_no_error_of_a_step():
    told = Told(Gate).asked("ask").decided("ask", "rejected").run_failed("rejected", "ask")

    failure = inspect(told.state, now=second(5)).failure

    assert failure is not None and (failure.code, failure.error) == ("rejected", None)


def test_decisions_are_audited_with_actor_and_time():
    told = at_council().decided("council", "approved", at=7)

    (event,) = inspect(told.state, now=second(8)).audit

    assert (event.action, event.step, event.actor) == ("approved", "council", "elrond")
    assert event.at == datetime(1970, 1, 1, 0, 0, 7, tzinfo=UTC)


def test_by_default_there_is_no_payload_no_output_and_no_text_of_a_person_or_an_error():
    for told in (eventful(), failed()):
        run = inspect(told.state, now=second(99))

        assert (run.payload, run.output, run.history) == (None, None, None)
        assert SECRET not in json.dumps(run.to_json())
        assert SECRET not in repr(run)


def test_the_output_can_be_asked_for_alone():
    run = inspect(eventful().state, now=second(99), definition=eventful().definition, with_output=True)

    assert run.output is not None and run.output["loot"] == SECRET
    assert run.payload is None
    assert "you shall not pass" not in repr(run)


def test_the_history_brings_payload_output_messages_and_comments():
    told = failed()

    run = inspect(told.state, now=second(99), definition=told.definition, history=told.history)

    assert run.payload == {"ring": SECRET}
    assert run.output == {"council": {"metadata": {"road": "under"}}}
    assert run.failure is not None and run.failure.message == f"moria failed: {SECRET}"
    assert run.attempts[-1].last_error_message == f"you shall not pass {SECRET}"
    assert run.audit[0].comment == f"so be it {SECRET}" and run.audit[0].metadata == {"road": "under"}


def test_the_history_holds_every_fact_in_order_with_its_entry():
    told = eventful()

    run = inspect(told.state, now=second(99), definition=told.definition, history=told.history)

    assert run.history is not None
    assert [event.revision for event in run.history] == list(range(1, run.revision + 1))
    assert run.history[0].kind == "RunStarted" and run.history[-1].kind == "RunCompleted"
    claimed = next(event for event in run.history if event.kind == "AttemptClaimed")
    assert (claimed.step, claimed.details["fence"], claimed.details["lease"]) == ("pack", 1, timedelta(seconds=60))


def test_no_claim_hash_is_ever_shown():
    told = eventful()
    assert {type(fact) for _, entry in told.history for fact in entry} >= {facts.AttemptClaimed, facts.ClaimReleased}

    for run in (
        inspect(told.state, now=second(99)),
        inspect(told.state, now=second(99), definition=told.definition, history=told.history, with_output=True),
    ):
        assert CLAIM_HASH not in json.dumps(run.to_json()) + repr(run)
        assert "claim_hash" not in json.dumps(run.to_json()) + repr(run)


def test_a_snapshot_does_not_change_with_the_state_that_it_was_taken_of():
    told = eventful()
    run = inspect(told.state, now=second(99), definition=told.definition, history=told.history)

    told.state.outputs["loot"] = "gone"
    told.state.payload["ring"] = "gone"

    assert run.output is not None and run.output["loot"] == SECRET
    assert run.payload == {"ring": SECRET}


def test_two_looks_at_the_same_state_are_equal():
    state = at_council().state

    assert inspect(state, now=second(5)) == inspect(state, now=second(6))


def test_an_anomaly_is_passed_on():
    run = inspect(at_council().state, now=second(5), anomaly="entry 9: the checksum does not match")

    assert run.anomaly == "entry 9: the checksum does not match"
