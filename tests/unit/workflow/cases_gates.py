"""What can be wrong with the built-in steps and with time-outs."""

from __future__ import annotations

from datetime import timedelta

from squidmesh.workflow.authoring import (
    Workflow,
    approval,
    complete,
    event,
    log,
    manual,
    pause,
    step,
    value,
    wait,
    wait_for_children,
)
from tests.unit.workflow.cases import Cases, Payload, ask, eat, nothing, pack, text

cases = Cases()


@cases(*((f"steps.s{number}.timeout", "invalid_timeout") for number in range(6)), ("timeout", "invalid_timeout"))
class InvalidTimeout(Workflow):
    version = "1"
    timeout = 0
    start = manual(Payload)
    s0 = step(nothing, timeout=0)
    s1 = step(nothing, timeout=-1)
    s2 = step(nothing, timeout=timedelta(days=367))
    s3 = approval(timeout="1s")  # type: ignore[arg-type]
    s4 = event("eagle", timeout=float("nan"))
    s5 = event("eagle", timeout=True)
    flow = s0 >> s1 >> s2 >> s3 >> s4 >> s5


@cases()
class TimeoutsAtTheirEdges(Workflow):
    version = "1"
    timeout = timedelta(days=366)
    start = manual(Payload)
    a = step(nothing, timeout=0.001)
    b = approval(timeout=timedelta(days=366))
    c = event("eagle", 1)
    flow = a >> b >> c


@cases(("steps.timeout", "reserved_step_name"))
class AStepCalledTimeout(Workflow):
    version = "1"
    start = manual(Payload)
    timeout = step(nothing)  # type: ignore[assignment]


@cases(*((f"steps.s{number}.message", "invalid_message") for number in range(5)))
class InvalidMessage(Workflow):
    version = "1"
    start = manual(Payload)
    s0 = log("")
    s1 = log("x" * 1001)
    s2 = log("nul \0")
    s3 = log("lone \ud800")
    s4 = log(5)  # type: ignore[arg-type]
    s5 = log("x" * 1000)
    flow = s0 >> s1 >> s2 >> s3 >> s4 >> s5


@cases(("steps.a.level", "invalid_level"), ("steps.b.level", "invalid_level"))
class InvalidLevel(Workflow):
    version = "1"
    start = manual(Payload)
    a = log("come", level="loud")  # type: ignore[arg-type]
    b = log("gone", level=[])  # type: ignore[arg-type]
    c = log("away", level="warning")
    flow = a >> b >> c


@cases(*((f"steps.s{number}.event", "invalid_event") for number in range(4)))
class InvalidEvent(Workflow):
    version = "1"
    start = manual(Payload)
    s0 = event("")
    s1 = event("an eagle")
    s2 = event("x" * 129)
    s3 = event(None)  # type: ignore[arg-type]
    s4 = event("x" * 128)
    flow = s0 >> s1 >> s2 >> s3 >> s4


@cases(*((f"flow[{number}]", "on_timeout_not_allowed") for number in range(1, 6)))
class OnTimeoutOfWhatHasNone(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(nothing, timeout=5)
    b = approval()
    c = event("eagle")
    d = pause()
    e = wait(1)
    f = approval(timeout=5)
    g = event("eagle", timeout=5)
    flow = (
        a >> b >> c >> d >> e >> f >> g,
        a.on_timeout(g),
        b.on_timeout(g),
        c.on_timeout(g),
        d.on_timeout(g),
        e.on_timeout(g),
        f.on_timeout(g),
        g.on_timeout(complete),
    )


@cases(("flow[1]", "on_error_not_allowed"), ("flow[2]", "on_error_not_allowed"), ("flow[3]", "on_error_not_allowed"))
class GatesAndLogsDoNotFail(Workflow):
    version = "1"
    start = manual(Payload)
    a = pause()
    b = log("come")
    c = wait_for_children()
    d = step(nothing)
    flow = (a >> b >> c >> d, a.on_error(d), b.on_error(d), c.on_error(d))


@cases(("steps.c.parameters.decision", "unsupplied_parameter"), ("flow[2]", "invalid_condition"))
class WhoWasNotAnsweredInTimeHasWrittenNothing(Workflow):
    """A rejection is a decision; a time-out is none."""

    version = "1"
    start = manual(Payload)
    a = approval(output="decision", timeout=5)
    b = step(lambda decision: None)
    c = step(lambda decision: None)
    flow = (a >> b, a.on_reject(b), a.on_timeout(b, when=value("decision") == 1), a.on_timeout(c))


@cases(("steps.b.output", "duplicate_output"), ("steps.c.output", "duplicate_output"))
class GatesWriteTheirOutputs(Workflow):
    version = "1"
    start = manual(Payload)
    a = event("eagle", output="x")
    b = wait_for_children(output="x")
    c = step(text, output="x")
    flow = a >> b >> c


@cases()
class WhatGatesGiveIsFreeOfForm(Workflow):
    version = "1"
    start = manual(Payload)
    a = event("eagle", output="eagle")
    b = wait_for_children(output="children")
    c = step(ask, input={"account_id": "eagle.account", "street": "children.runs"})
    d = step(pack)
    e = step(eat)
    flow = (a >> b, b.to(complete, when=value("children.failed") > 0), b >> c >> d >> e)
