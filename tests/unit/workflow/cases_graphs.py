"""What can be wrong with a graph: with its dependencies, and with what its parallel steps write and ask for."""

from __future__ import annotations

from squidmesh.workflow.authoring import (
    Workflow,
    approval,
    event,
    log,
    manual,
    pause,
    step,
    wait,
    wait_for_children,
)
from tests.unit.workflow.cases import Cases, Payload, Sound, eat, nothing, pack, text

cases = Cases()


@cases()
class EveryKindOfStepInAGraph(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(pack)
    b = wait(1)
    c = pause(after=[a])
    d = approval(output="decision", after=(a, b))
    e = event("eagle", output="eagle", after=[b])
    f = wait_for_children(output="children", after=[c, d, e])
    g = log("all there", after=[f])
    h = step(eat, after=[f])


BEFORE = [step(nothing)]


@cases()
class AGraphMayBeDeclaredInAnyOrder(Workflow):
    version = "1"
    start = manual(Payload)
    b = step(eat, after=BEFORE)
    a = step(pack)
    BEFORE[0] = a


@cases(
    ("steps.b.after", "invalid_after"),
    ("steps.c.after", "invalid_after"),
    ("steps.d.after", "invalid_after"),
    ("steps.e.after", "invalid_after"),
)
class InvalidAfter(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(nothing)
    b = step(nothing, after=a)  # type: ignore[arg-type]
    c = wait(1, after=None)  # type: ignore[arg-type]
    d = approval(after="a")  # type: ignore[arg-type]
    e = pause(after={a})  # type: ignore[arg-type]


@cases(("steps.b.after", "unknown_dependency"), ("steps.b.after", "unknown_dependency"))
class UnknownDependency(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(nothing)
    b = step(nothing, after=["a", nothing, a])  # type: ignore[list-item]


@cases(("steps.b.after", "foreign_step"), ("steps.c.after", "foreign_step"))
class AfterAForeignStep(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(nothing)
    b = step(nothing, after=[a, Sound.a])
    c = step(nothing, after=[step(nothing)])


@cases(("steps.b.after", "duplicate_dependency"))
class DuplicateDependency(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(nothing)
    b = step(nothing, after=[a, a])


@cases(("flow", "mixed_topology"))
class MixedTopology(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(nothing)
    b = step(nothing, after=[a])
    c = step(nothing)
    flow = b >> c


@cases(("flow", "mixed_topology"))
class AnErrorRouteInAGraph(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(nothing)
    b = step(nothing, after=[a])
    flow = (a.on_error(b),)


CIRCLE = [step(nothing)]


@cases(("steps", "cycle"))
class AfterEachOtherInACircle(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(nothing)
    b = step(nothing, after=CIRCLE)
    c = step(nothing, after=[b])
    CIRCLE[0] = c


ITSELF = [step(nothing)]


@cases(("steps", "cycle"))
class AfterItself(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(nothing, after=ITSELF)
    ITSELF[0] = a


@cases(("steps.c.output", "duplicate_output"), ("steps.d.output", "duplicate_output"))
class ParallelStepsWriteOneKey(Workflow):
    """``b`` and ``c`` may run at the same time, and so may ``d`` and ``b``."""

    version = "1"
    start = manual(Payload)
    a = step(nothing)
    b = step(text, output="x", after=[a])
    c = step(text, output="x", after=[a])
    d = event("eagle", output="x")


@cases(("steps.c.output", "duplicate_output"))
class ALaterStepOfAGraphWritesAKeyAgain(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(text, output="x")
    b = step(nothing, after=[a])
    c = step(text, output="x", after=[b])


@cases(("steps.a.output", "output_shadows_payload"))
class AStepOfAGraphShadowsThePayload(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(text, output="ring_id")
    b = step(nothing, after=[a])


@cases(("steps.b.parameters.bread", "unsupplied_parameter"))
class ASiblingSuppliesNothing(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(pack)
    b = step(eat)
    c = step(eat, after=[a, b])


@cases(("steps.c.input.bread", "invalid_input_path"))
class AnInputPathIntoASibling(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(nothing)
    b = step(pack, output="packed")
    c = step(eat, input={"bread": "packed.bread"}, after=[a])
