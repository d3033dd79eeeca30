"""Whatever a run is told, in whatever order: no fact that its state refuses, rows that a rebuild gives, and the rules
that hold for every history (I5, I9, I13, I14, I15). The workflows are drawn too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from random import Random

import pytest

from squidmesh.errors import ClaimRefused, LeaseError, UsageError
from squidmesh.ids import undo_of, undone_by
from squidmesh.journal.facts import (
    AnyFact,
    AttemptClaimed,
    AttemptCompleted,
    AttemptScheduled,
    CompensationStarted,
    RunCancelled,
    RunCompleted,
    RunFailed,
)
from squidmesh.workflow.definition import (
    COMPLETE,
    AnyStepSpec,
    ApprovalStep,
    ChildrenStep,
    Compensation,
    Condition,
    Definition,
    EventStep,
    FunctionStep,
    LogStep,
    ManualTrigger,
    PauseStep,
    Route,
    WaitStep,
)
from squidmesh.workflow.retry import RetryPolicy, fixed
from tests.unit.planning.errand import Errander

HUNDREDS = 4
TRIGGER = ManualTrigger(name="leave", payload_fields=(), payload_schema={})
STEPS = "abcdefg"
SOON = timedelta(seconds=5)
TWICE = RetryPolicy(max_attempts=2, backoff=fixed(1))
NEVER = Condition(path="nowhere", operator="exists")


def a_step(chance: Random, name: str, after: tuple[str, ...]) -> AnyStepSpec:
    timeout = chance.choice([None, None, SOON])
    match chance.choice(["function"] * 4 + ["wait", "log", "approval", "pause", "event", "event", "children"]):
        case "wait":
            return WaitStep(name=name, after=after, duration=timedelta(seconds=2))
        case "log":
            return LogStep(name=name, after=after, message="here")
        case "approval":
            return ApprovalStep(name=name, after=after, timeout=timeout)
        case "pause":
            return PauseStep(name=name, after=after)
        case "event":
            return EventStep(name=name, after=after, event="eagle", timeout=timeout, output=name)
        case "children":
            return ChildrenStep(name=name, after=after, output=name)
        case _:
            policy = chance.choice([None, TWICE])
            undo = chance.choice([None, Compensation(), Compensation(retry=TWICE)])
            return FunctionStep(name=name, after=after, output=name, retry=policy, timeout=timeout, compensate=undo)


def a_definition(chance: Random) -> Definition:
    names = STEPS[: chance.randint(2, len(STEPS))]
    draw = chance.choice([a_graph, a_path])
    timeout = chance.choice([None, timedelta(seconds=9)])
    return draw(chance, names).model_copy(update={"timeout": timeout})


def a_graph(chance: Random, names: str) -> Definition:
    steps = [
        a_step(chance, name, tuple(chance.sample(names[:place], min(place, chance.randint(0, 3)))))
        for place, name in enumerate(names)
    ]
    return Definition(name="Drawn", version="1", triggers=(TRIGGER,), steps=tuple(steps), topology="graph")


def a_path(chance: Random, names: str) -> Definition:
    """Each step leads to any of those behind it, or to the end, on every outcome that it can have."""
    steps = [a_step(chance, name, ()) for name in names]
    routes: list[Route] = []
    for place, step in enumerate(steps):
        targets = [*names[place + 1 :], COMPLETE]
        ok = [Route(source=step.name, on="ok", target=chance.choice(targets), when=NEVER)] * chance.randint(0, 1)
        if not ok or chance.random() < 0.5:
            ok.append(Route(source=step.name, on="ok", target=chance.choice(targets)))
        routes += ok
        outcomes = {"function": ["error"], "approval": ["reject", "timeout"], "event": ["timeout"]}
        for on in outcomes.get(step.kind, []):
            if chance.random() < 0.5:
                routes.append(Route(source=step.name, on=on, target=chance.choice(targets)))
    return Definition(
        name="Drawn", version="1", triggers=(TRIGGER,), steps=tuple(steps), routes=tuple(routes), entry="a"
    )


def say(run: Errander, chance: Random, key: str | None = None) -> None:
    """Something to the run, mostly what fits a step that is open, at times anything. A refusal changes nothing."""
    state = run.state
    open_ones = [*state.open_steps, *state.open_gates, *state.dead_steps, *map(undo_of, state.to_undo[:1])]
    step = chance.choice(open_ones if open_ones and chance.random() < 0.9 else [*STEPS, *map(undo_of, STEPS)])
    word = chance.choice(fitting(run, step) if chance.random() < 0.8 else ALL)
    runnable = state.runnables.get(step)
    attempt, generation = (runnable.attempt, runnable.generation) if runnable else (1, 0)
    child = chance.choice([*state.children.values(), None])
    words: dict[str, Callable[[], object]] = {
        "claim": lambda: run.claim(step, attempt, generation=generation),
        "complete": lambda: run.complete(step, {} if undone_by(step) else {step: 1}),
        "go on": lambda: run.complete(step, {}, then=run.wish(*STEPS, *map(undo_of, STEPS))),
        "fail": lambda: run.fail(step),
        "give up": lambda: run.fail(step, retryable=False),
        "snooze": lambda: run.release(step, "snooze", max_snoozes=2),
        "drain": lambda: run.release(step, "drain", delay=timedelta(seconds=1)),
        "lose": lambda: run.lose(step),
        "bury": lambda: [run.claim(step, attempt, generation=generation) for _ in range(6)],
        "replay": lambda: run.replay_dead(step, key=key) if runnable else None,
        "discard": lambda: run.discard_dead(step, key=key) if runnable else None,
        "approve": lambda: run.decide("approved", step=chance.choice([None, step]), key=key),
        "reject": lambda: run.decide("rejected", step=step, key=key),
        "resume": lambda: run.resume(step=step, key=key),
        "send": lambda: run.send("eagle", 1, key=key),
        "child": lambda: run.start_child(step, chance.choice("kl")),
        "child ends": lambda: run.child_ends(child.step, child.key) if child else None,
        "retry undo": lambda: run.retry_undo(key=key),
        "waive undo": lambda: run.waive_undo(key=key),
        "later": lambda: run.later(chance.choice([1, 2, 5])),
        "run deadline": run.pass_run_deadline,
        "gate deadline": lambda: run.pass_gate_deadline(step),
        "step deadline": lambda: run.pass_step_deadline(step),
    }
    revision = state.revision
    try:
        words[word]()
    except (ClaimRefused, LeaseError, UsageError):
        assert word == "bury" or state.revision == revision


def fitting(run: Errander, step: str) -> list[str]:
    """Words that the step may be waiting for."""
    gate, runnable = run.state.gates.get(step), run.state.runnables.get(step)
    if gate is not None and gate.status == "open":
        return OF_GATES[gate.kind]
    if runnable is None:
        return ["send", "child ends", "later"]
    if runnable.status == "failed" and undone_by(step) is not None:
        return ["retry undo", "waive undo"]
    return OF_ATTEMPTS.get(runnable.status, ["later"])


OF_GATES: dict[str, list[str]] = {
    "approval": ["approve"] * 4 + ["reject", "gate deadline", "later"],
    "pause": ["resume"],
    "event": ["send"] * 3 + ["gate deadline", "later"],
    "children": ["child ends"],
}
OF_ATTEMPTS: dict[str, list[str]] = {
    "scheduled": ["claim"] * 6 + ["later"] * 3 + ["bury"],
    "claimed": ["complete"] * 5
    + ["go on", "go on", "child", "child", "fail", "give up", "snooze", "drain", "lose", "claim", "later", "later"]
    + ["step deadline"] * 2,
    "dead": ["replay", "replay", "discard"],
}
ALL = [
    "claim", "complete", "go on", "fail", "give up", "snooze", "drain", "lose", "bury", "replay", "discard", "approve",
    "reject", "resume", "send", "child", "child ends", "child ends", "retry undo", "waive undo", "later", "later",
    "run deadline", "gate deadline", "step deadline",
]  # fmt: skip


@pytest.mark.parametrize("hundred", range(HUNDREDS))
def test_no_history_breaks_a_rule(hundred: int) -> None:
    for seed in range(100 * hundred, 100 * hundred + 100):
        chance = Random(seed)
        definition = a_definition(chance)
        run = Errander(definition)
        with told_of(seed, run):
            for _ in range(chance.randint(10, 60)):
                if run.state.phase == "open" and chance.random() < 0.005:
                    run.cancel()
                ended, length = run.state.ended, len(run.history)
                say(run, chance, chance.choice([None, None, "k1", "k2"]))
                assert not ended or len(run.history) == length, "I9: nothing follows the end"
                assert_somebody_is_waited_for(run)
            judge(definition, [fact for entry in run.history for fact in entry])


@pytest.mark.parametrize("hundred", range(HUNDREDS))
def test_whatever_was_said_a_run_can_still_end(hundred: int) -> None:
    """I10: a run of any history that is helped on comes to its end."""
    for seed in range(100 * hundred, 100 * hundred + 100):
        chance = Random(seed)
        definition = a_definition(chance)
        run = Errander(definition)
        with told_of(seed, run):
            for _ in range(chance.randint(0, 40)):
                say(run, chance)
            for _ in range(100):
                if run.state.ended:
                    break
                help_on(run)
            assert run.state.ended, run.state
            judge(definition, [fact for entry in run.history for fact in entry])


@contextmanager
def told_of(seed: int, run: Errander) -> Iterator[None]:
    """Whatever goes wrong is told together with the workflow and the history that it goes wrong after."""
    try:
        yield
    except Exception as error:
        error.add_note(f"seed {seed}: {run.definition!r}")
        for entry in run.history:
            error.add_note("  " + ", ".join(f"{type(fact).__name__} {getattr(fact, 'step', '')}" for fact in entry))
        raise


def help_on(run: Errander) -> None:
    """What workers and kind people would do next."""
    state = run.state
    run.later(2)
    for step in list(state.dead_steps):
        run.replay_dead(step)
    for step in list(state.open_steps):
        if step in state.open_steps and state.runnables[step].visible_at <= run.now:
            run.claim(step, state.runnables[step].attempt, generation=state.runnables[step].generation)
        if step in state.open_steps and state.runnables[step].claim is not None:
            run.complete(step)
    for step in list(state.open_gates):
        if step not in state.open_gates:
            continue
        match state.gates[step].kind:
            case "approval":
                run.decide(step=step)
            case "pause":
                run.resume(step=step)
            case "event":
                run.send("eagle")
            case "children":
                for child in [state.children[run_id] for run_id in state.open_children]:
                    run.child_ends(child.step, child.key)
    if state.phase == "compensating" and state.runnables[undo_of(state.to_undo[0])].status == "failed":
        run.waive_undo()


def assert_somebody_is_waited_for(run: Errander) -> None:
    """I10: a run that is open has something open; a child gate has a child."""
    state = run.state
    if state.ended:
        return
    undoing = state.to_undo and state.runnables[undo_of(state.to_undo[0])].status == "failed"
    assert state.open_steps or state.open_gates or state.dead_steps or undoing, state
    if any(state.gates[gate].kind == "children" for gate in state.open_gates):
        assert state.open_children


def judge(definition: Definition, facts: list[AnyFact]) -> None:
    """What no history may do."""
    done: list[str] = []
    to_undo: list[str] | None = None
    undone: list[str] = []
    failing_claims: set[str] = set()
    for place, fact in enumerate(facts):
        name = type(fact).__name__
        step = getattr(fact, "step", "")
        if (isinstance(fact, AttemptScheduled) and fact.attempt == 1) or name in REACHES:
            assert step not in done, "I5"
            if definition.topology == "graph" and undone_by(step) is None:
                assert set(definition.step(step).after) <= set(done), "I14"
            if undone_by(step) is not None:
                assert to_undo is not None, "I15: no compensation before it is its turn"
                assert to_undo[len(undone)] == undone_by(step), "I15: in the reverse order"
        if isinstance(fact, AttemptClaimed):
            failing_claims.add(step)
        elif name in CLAIM_ENDS:
            failing_claims.discard(step)
        if isinstance(fact, CompensationStarted):
            assert not failing_claims, "I15: after no sibling is claimed"
            with_undo = [one for one in done if undo_of(one) in definition.steps_by_name]
            to_undo = fact.steps
            assert to_undo == with_undo[::-1], "I15: what was completed, in reverse"
        if name in SUCCEEDS and getattr(fact, "decision", "approved") == "approved":
            if isinstance(fact, AttemptCompleted) and undone_by(step) is not None:
                undone.append(step)
            else:
                assert step not in done, "I5: one accepted success"
                done.append(step)
        if name == "CompensationWaived":
            undone.append(step)
        if isinstance(fact, RunCompleted | RunFailed | RunCancelled):
            rest = [type(one).__name__ for one in facts[place + 1 :]]
            assert rest == [], "I9"
            if isinstance(fact, RunCompleted) and definition.topology == "graph":
                assert set(done) == {one.name for one in definition.steps}
            if isinstance(fact, RunFailed):
                assert len(undone) == len(to_undo or []), "I15: all of it"


REACHES = ("ApprovalRequested", "PauseReached", "EventAwaited", "ChildrenAwaited")
SUCCEEDS = ("AttemptCompleted", "ApprovalDecided", "PauseResumed", "EventTaken", "ChildrenEnded")
CLAIM_ENDS = (
    "ClaimReleased", "AttemptCompleted", "AttemptFailed", "AttemptTimedOut", "AttemptCancelled", "DeliveryLost",
    "AttemptDeadLettered",
)  # fmt: skip
