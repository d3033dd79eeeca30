"""What a step may ask for that nothing supplies."""

from __future__ import annotations

from squidmesh.workflow.authoring import Workflow, manual, step, value
from tests.unit.workflow.cases import (
    Cases,
    Open,
    Payload,
    WithAccount,
    anything,
    ask,
    eat,
    nothing,
    pack,
)

cases = Cases()


def asks_context(context, ring_id: str) -> None: ...


@cases(("steps.a.parameters.account_id", "unsupplied_parameter"))
class UnsuppliedParameter(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(ask)


@cases(("steps.a.parameters.bread", "unsupplied_parameter"))
class TooEarly(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(eat)
    b = step(pack)
    flow = a >> b


@cases(("steps.c.parameters.bread", "unsupplied_parameter"))
class AfterItsFailure(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(pack)
    b = step(eat)
    c = step(eat)
    flow = (a >> b, a.on_error(c))


@cases()
class AnythingMayBeThere(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(anything)
    b = step(ask)
    c = step(eat)
    flow = a >> b >> c


@cases(("steps.c.parameters.bread", "unsupplied_parameter"))
class NotOnThisBranch(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(nothing)
    b = step(anything)
    c = step(eat)
    flow = (a.to(b, when=value("ring_id") == "1"), a >> c)


@cases()
class AnOpenPayload(Workflow):
    version = "1"
    start = manual(Open)
    a = step(eat)
    b = step(ask, input={"account_id": "account.id"})
    flow = a >> b


@cases()
class OneOfTwoTriggers(Workflow):
    version = "1"
    start = manual(Payload)
    other = manual(WithAccount)
    a = step(ask, input={"account_id": "account.id", "street": "account.address.street"})
    b = step(asks_context)
    flow = a >> b


@cases(
    ("steps.a.input.account_id", "invalid_input_path"),
    ("steps.a.input.street", "invalid_input_path"),
    ("steps.b.input.account_id", "invalid_input_path"),
    ("steps.c.input.street", "invalid_input_path"),
)
class PathsThatLeadNowhere(Workflow):
    version = "1"
    start = manual(WithAccount)
    a = step(ask, input={"account_id": "acount.id", "street": "account.address.street.x"})
    b = step(ask, input={"account_id": "account.idd", "street": "account.tags.any"})
    c = step(ask, input={"account_id": "account.id", "street": "account.address.stret"})
    flow = a >> b >> c


@cases(
    ("steps.a.input.account_id", "invalid_input_path"),
    ("steps.a.input.street", "invalid_input_path"),
    ("steps.b.input.account_id", "invalid_input_path"),
    ("steps.c.parameters.account_id", "unsupplied_parameter"),
    ("steps.d.input.ring", "unknown_parameter"),
    ("steps.e.input.context", "unknown_parameter"),
    ("steps.f.input.account.id", "unknown_parameter"),
    ("steps.f.parameters.account_id", "unsupplied_parameter"),
)
class InputsThatNameNothing(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(ask, input={"account_id": "", "street": "a..b"})
    b = step(ask, input={"account_id": 5})  # type: ignore[dict-item]
    c = step(ask, input={"street": "ring_id"})
    d = step(pack, input=["ring_id", "ring"])
    e = step(asks_context, input=["context", "ring_id"])
    f = step(ask, input=["account.id"])
    flow = a >> b >> c >> d >> e >> f


@cases(("steps.a.input", "invalid_input"))
class InputAsASet(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(pack, input={"ring_id"})  # type: ignore[arg-type]


@cases(
    ("steps.a.concurrency_key", "invalid_concurrency_key"),
    ("steps.b.concurrency_key", "invalid_concurrency_key"),
)
class AConcurrencyKeyThatNothingSupplies(Workflow):
    version = "1"
    start = manual(WithAccount)
    a = step(nothing, concurrency_key="bread")
    b = step(nothing, concurrency_key="account.nothing_like_it")
    c = step(nothing, concurrency_key="account.id", concurrency_limit=100_000)
    flow = a >> b >> c


@cases()
class AConcurrencyKeyThatMayBeThere(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(pack, concurrency_key="ring_id")
    b = step(anything, concurrency_key="bread")
    c = step(nothing, concurrency_key="whatever.it.is")
    flow = a >> b >> c
