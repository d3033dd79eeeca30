"""What can be wrong with compensations and transactions."""

from __future__ import annotations

from squidmesh.workflow.authoring import Workflow, manual, step
from squidmesh.workflow.retry import RetryPolicy
from tests.unit.workflow.cases import Cases, Payload, Provisions, eat, nothing, pack, text

cases = Cases()


def unpack(ring_id: str, bread: int, step_input: dict[str, str], step_output: Provisions, failure: object) -> None: ...


def pay_back(receipt: str) -> str:
    return receipt


@cases()
class ACompensationSeesWhatItsStepSawAndGave(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(pack, compensate=unpack, compensate_retry=RetryPolicy(max_attempts=3))
    b = step(text, output="receipt", compensate=pay_back)
    c = step(text, output="bill", compensate=pay_back, compensate_input={"receipt": "step_output"})
    flow = a >> b >> c


@cases()
class ACompensationInAGraph(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(pack, compensate=unpack)
    b = step(eat, after=[a], compensate=unpack)


@cases(
    ("steps.a.compensate.parameters.receipt", "unsupplied_parameter"),
    ("steps.b.compensate.parameters.bread", "unsupplied_parameter"),
)
class ACompensationSeesNothingOfLaterSteps(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(nothing, compensate=pay_back)
    b = step(text, output="receipt", compensate=eat)
    c = step(pack)
    flow = a >> b >> c


@cases(("steps.b.compensate.parameters.bread", "unsupplied_parameter"))
class ACompensationSeesNothingOfSiblings(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(pack)
    b = step(nothing, compensate=eat)
    c = step(nothing, after=[a, b])


@cases(("steps.a.compensate.input.receipt", "invalid_input_path"))
class ACompensationWithAnInputPathToNowhere(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(pack, compensate=pay_back, compensate_input={"receipt": "nowhere.to.be.found"})


@cases(("steps.a.parameters.step_output", "unsupplied_parameter"))
class AStepIsNoCompensation(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(lambda step_output: None)


@cases(
    ("steps.a.compensate_input", "nothing_to_compensate"),
    ("steps.b.compensate_retry", "nothing_to_compensate"),
)
class NothingToCompensate(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(nothing, compensate_input=["ring_id"])
    b = step(nothing, compensate_retry=RetryPolicy(max_attempts=2))
    flow = a >> b


@cases(
    ("steps.a.compensate.fn", "not_callable"),
    ("steps.b.compensate_retry", "invalid_retry"),
    ("steps.b.compensate_input.nobody", "unknown_parameter"),
    ("steps.b.compensate.parameters.receipt", "unsupplied_parameter"),
)
class AnUnsoundCompensation(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(nothing, compensate="unpack")  # type: ignore[arg-type]
    b = step(nothing, compensate=pay_back, compensate_retry=3, compensate_input={"nobody": "ring_id"})  # type: ignore[arg-type]
    flow = a >> b


async def soon() -> None: ...


@cases(("steps.a.transaction", "async_transaction"), ("steps.c.transaction", "invalid_flag"))
class Transactions(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(soon, transaction=True)
    b = step(nothing, transaction=True)
    c = step(nothing, transaction=1)  # type: ignore[arg-type]
    d = step(soon)
    flow = a >> b >> c >> d
