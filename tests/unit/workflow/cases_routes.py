"""What can be wrong with the routes."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict

from squidmesh.workflow.authoring import Workflow, approval, complete, manual, step, value, wait
from tests.unit.workflow.cases import (
    Cases,
    Payload,
    Sound,
    ask,
    eat,
    nothing,
    pack,
    text,
)

cases = Cases()


@cases(("flow", "invalid_flow"))
class FlowAsText(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(pack)
    b = step(pack)
    flow = "a >> b"  # type: ignore[assignment]


@cases(("flow[0]", "invalid_flow"), ("flow[2]", "invalid_flow"))
class FlowOfOtherThings(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(pack)
    b = step(eat)
    flow = (a, a >> b, (a >> b,))  # type: ignore[assignment]


@cases(("flow", "several_entries"))
class NoFlowForTwo(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(pack)
    b = step(pack)


@cases(("flow", "several_entries"))
class TwoRoots(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(nothing)
    b = step(nothing)
    c = step(nothing)
    flow = (a >> c, b >> c)


@cases(("steps.c", "unreachable_step"))
class UnreachableStep(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(pack)
    b = step(eat)
    c = step(ask)
    flow = a >> b


@cases(("flow", "cycle"))
class CycleOverAnError(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(nothing)
    b = step(nothing)
    c = step(nothing)
    flow = (a >> b >> c, c.on_error(b))


@cases(("flow", "cycle"))
class CycleOfAll(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(nothing)
    b = step(nothing)
    flow = a >> b >> a


@cases(("flow", "cycle"), ("steps.c", "unreachable_step"), ("steps.d", "unreachable_step"))
class CycleBesideThePath(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(nothing)
    b = step(nothing)
    c = step(nothing)
    d = step(nothing)
    flow = (a >> b, c >> d >> c)


@cases(("flow", "self_route"))
class SelfRoute(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(nothing)
    flow = a >> a


@cases(("flow[1]", "duplicate_route"), ("flow[3]", "duplicate_route"), ("flow[5]", "duplicate_route"))
class DuplicateRoute(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(nothing)
    b = approval()
    c = step(nothing)
    flow = (a >> b, a >> c, a.on_error(c), a.on_error(complete), b.on_reject(c), b.on_reject(complete))


@cases(("flow[1]", "unreachable_route"), ("flow[3]", "unreachable_route"))
class UnreachableRoute(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(pack)
    b = step(nothing)
    c = step(nothing)
    flow = (
        a >> b,
        a.to(c, when=value("bread") == 1),
        b.to(c, when=value("bread") == 1),
        b.to(complete, when=value("bread") == 1),
        b >> c,
    )


@cases(("flow[0]", "foreign_step"), ("flow[1]", "foreign_step"), ("flow[2]", "foreign_step"))
class ForeignStep(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(pack)
    b = step(eat)
    flow = (a >> Sound.b, Sound.a >> a, a >> step(eat) >> b, a >> b)


@cases(("flow[0]", "unknown_target"), ("flow[1]", "unknown_target"), ("flow[2]", "unknown_target"))
class TargetsThatAreNoSteps(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(pack)
    b = step(eat)
    flow = (a >> "b", a >> eat, a >> start >> b, a >> b)  # type: ignore[operator]


@cases(("flow", "unknown_target"))
class ARouteAsTarget(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(pack)
    flow = a >> (a >> complete)  # type: ignore[operator]


@cases(("flow", "route_after_complete"))
class RouteAfterComplete(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(pack)
    b = step(eat)
    flow = a >> b >> complete >> a


@cases(("flow[1]", "on_error_not_allowed"), ("flow[2]", "on_error_not_allowed"))
class OnErrorNotAllowed(Workflow):
    version = "1"
    start = manual(Payload)
    a = wait(1)
    b = approval()
    flow = (a >> b, a.on_error(complete), b.on_error(complete))


@cases(("flow[1]", "on_reject_not_allowed"), ("flow[2]", "on_reject_not_allowed"))
class OnRejectNotAllowed(Workflow):
    version = "1"
    start = manual(Payload)
    a = wait(1)
    b = step(nothing)
    flow = (a >> b, a.on_reject(complete), b.on_reject(complete))


@cases(("flow[1]", "invalid_recovery"))
class InvalidRecovery(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(pack)
    b = step(nothing)
    flow = (a >> b, a.on_error(b, recovery="prayer"))  # type: ignore[arg-type]


@cases(*((f"flow[{number}]", "invalid_condition") for number in range(12)))
class InvalidCondition(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(pack)
    flow = (
        a.to(complete, when=True),  # type: ignore[arg-type]
        a.to(complete, when=value("bread")),  # type: ignore[arg-type]
        a.to(complete, when=value("") == 1),
        a.to(complete, when=value("bread..x") == 1),
        a.to(complete, when=value(5) == 1),  # type: ignore[arg-type]
        a.to(complete, when=value("bread") == object()),
        a.to(complete, when=value("bread") == float("nan")),
        a.to(complete, when=value("bread").in_("abc")),
        a.to(complete, when=value("bread").in_({1, 2})),  # type: ignore[arg-type]
        a.to(complete, when=value("bread") > True),
        a.to(complete, when=value("bread") < None),  # type: ignore[operator]
        a.to(complete, when=value("bred") == 1),
        a.to(complete, when=value("bread") == 1),
        a >> complete,
    )


@cases(("flow[1]", "invalid_condition"))
class TheFailedStepHasNoOutput(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(pack)
    flow = (a.to(complete), a.on_error(complete, when=value("bread") > 1), a.on_error(complete))


@cases(("steps.a", "no_fallback_route"), ("steps.b", "no_fallback_route"))
class OnlyWarnings(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(pack)
    b = approval(output="decision")
    flow = (
        a.to(b, when=value("bread") == 1),
        a.to(complete, when=value("bread") == 2),
        b.to(complete, when=value("decision.comment") != ""),
        b.on_reject(complete, when=value("decision.comment").exists()),
    )


@cases()
class OptionalKeysMayBeAskedFor(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(lambda: None)
    b = step(nothing)
    flow = (a.to(b, when=value("anything.at.all").exists()), a >> complete)


class Partly(TypedDict):
    bread: NotRequired[int]


def partly() -> Partly:
    return {}


@cases()
class WhatMayBeThereIsSupplied(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(partly)
    b = step(eat)
    flow = a >> b


@cases(
    ("version", "missing_version"),
    ("triggers", "no_trigger"),
    ("steps.a.output", "output_needs_key"),
    ("steps.a.queue", "invalid_queue"),
    ("steps.b.duration", "invalid_wait"),
    ("flow[1]", "on_error_not_allowed"),
    ("flow[2]", "duplicate_route"),
)
class EverythingAtOnce(Workflow):
    a = step(text, queue="")
    b = wait(-1)
    flow = (a >> b, b.on_error(complete), a >> complete)


@cases(("flow", "unknown_target"), ("steps.b.queue", "invalid_queue"))
class WhatIsBehindARefusedRouteIsNotUnreachable(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(pack)
    b = step(eat, queue="")
    flow = a >> "b" >> b  # type: ignore[operator]


@cases(
    ("flow[0]", "invalid_condition"),
    ("flow[1]", "invalid_recovery"),
    ("steps.b.parameters.bread", "unsupplied_parameter"),
)
class WhatIsBehindARefusedConditionIsStillChecked(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(nothing)
    b = step(eat)
    flow = (
        a.to(b, when=value("") == 1),
        a.on_error(b, recovery="prayer"),  # type: ignore[arg-type]
        a >> complete,
    )
