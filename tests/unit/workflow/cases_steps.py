"""What can be wrong with a step, its function and its output."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Iterator
from datetime import date, timedelta
from typing import NamedTuple, NoReturn, Optional

from pydantic import BaseModel, SecretStr
from typing_extensions import TypedDict

from squidmesh.workflow.authoring import Workflow, approval, manual, step, value, wait
from squidmesh.workflow.retry import RetryPolicy
from tests.unit.workflow.cases import (
    Account,
    Card,
    Cases,
    Payload,
    Provisions,
    Rooted,
    anything,
    eat,
    nothing,
    pack,
    text,
)

cases = Cases()


@cases(("steps", "no_steps"))
class NoSteps(Workflow):
    version = "1"
    start = manual(Payload)


@cases(("steps.größe", "invalid_step_name"))
class AStepNameBeyondAscii(Workflow):
    version = "1"
    start = manual(Payload)
    größe = step(pack)


@cases((f"steps.{'x' * 65}", "invalid_step_name"))
class AStepNameOf65(Workflow):
    version = "1"
    start = manual(Payload)
    locals()["x" * 65] = step(pack)


@cases(("steps.complete", "reserved_step_name"))
class AStepCalledComplete(Workflow):
    version = "1"
    start = manual(Payload)
    complete = step(pack)


@cases(("steps.version", "reserved_step_name"))
class AStepCalledVersion(Workflow):
    version = step(pack)  # type: ignore[assignment]
    start = manual(Payload)


PACK = step(pack)


class Owner(Workflow):
    version = "1"
    start = manual(Payload)
    a = PACK


@cases(("steps.b", "shared_step"))
class AStepOfAnother(Workflow):
    version = "1"
    start = manual(Payload)
    b = PACK


@cases(("steps.b", "shared_step"), ("flow", "several_entries"))
class OneStepTwoNames(Workflow):
    version = "1"
    start = manual(Payload)
    a = b = step(pack)


@cases(("steps.a.fn", "not_callable"))
class ATextAsFunction(Workflow):
    version = "1"
    start = manual(Payload)
    a = step("pack")  # type: ignore[arg-type]


@cases(("steps.a.fn", "not_callable"))
class AClassAsFunction(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(Account)


def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


@cases(("steps.a.fn", "not_callable"), ("steps.b.fn", "not_callable"))
class GeneratorsAsFunctions(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(generator)
    b = step(async_generator)
    flow = a >> b


def too_free(ring_id: str, /, *args: str, **kwargs: str) -> None: ...


@cases(
    ("steps.a.parameters.ring_id", "positional_only_parameter"),
    ("steps.a.parameters.args", "variadic_parameter"),
    ("steps.a.parameters.kwargs", "variadic_parameter"),
)
class PositionalOnlyParameter(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(too_free)


def unknown_names(ring_id: "Ring", bearer: "list[Ring]") -> "Ring":  # type: ignore[name-defined]  # noqa: F821, UP037
    ...


@cases(
    ("steps.a.parameters.ring_id", "unresolvable_annotations"),
    ("steps.a.parameters.bearer", "unresolvable_annotations"),
    ("steps.a.return", "unresolvable_annotations"),
)
class UnresolvableAnnotations(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(unknown_names)


class Opaque: ...


def opaque(ring_id: Opaque) -> Awaitable[int]: ...  # type: ignore[empty-body]


@cases(
    ("steps.a.parameters.ring_id", "unsupported_annotation"),
    ("steps.a.return", "unsupported_annotation"),
)
class UnsupportedAnnotations(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(opaque)


@cases(
    ("steps.a.retry", "invalid_retry"),
    ("steps.a.queue", "invalid_queue"),
    ("steps.a.priority", "invalid_priority"),
    ("steps.a.irreversible", "invalid_flag"),
    ("steps.a.compensatable", "invalid_flag"),
    ("steps.a.output", "invalid_output_key"),
    ("steps.a.input", "invalid_input"),
)
class AllAtOnce(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(
        pack,
        retry=3,  # type: ignore[arg-type]
        queue="my queue",
        priority=10,
        irreversible="no",  # type: ignore[arg-type]
        compensatable=0,  # type: ignore[arg-type]
        output="a.b",
        input="ring_id",
    )


@cases(
    ("steps.a.concurrency_key", "invalid_concurrency_key"),
    ("steps.b.concurrency_key", "invalid_concurrency_key"),
    ("steps.b.concurrency_limit", "invalid_concurrency_limit"),
    ("steps.c.concurrency_limit", "invalid_concurrency_limit"),
    ("steps.d.concurrency_limit", "invalid_concurrency_limit"),
    ("steps.e.concurrency_limit", "invalid_concurrency_limit"),
)
class InvalidConcurrency(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(nothing, concurrency_key="ring..id")
    b = step(nothing, concurrency_key=7, concurrency_limit=0)  # type: ignore[arg-type]
    c = step(nothing, concurrency_key="ring_id", concurrency_limit=True)
    d = step(nothing, concurrency_key="ring_id", concurrency_limit=1.0)  # type: ignore[arg-type]
    e = step(nothing, concurrency_limit=2)
    flow = a >> b >> c >> d >> e


@cases(
    ("steps.a.priority", "invalid_priority"),
    ("steps.b.priority", "invalid_priority"),
    ("steps.b.queue", "invalid_queue"),
)
class InvalidPriority(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(pack, priority=True)
    b = step(eat, priority=-1, queue=b"q")  # type: ignore[arg-type]
    flow = a >> b


@cases()
class PrioritiesAndQueuesAtTheirEdges(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(pack, priority=0, queue="q-1.x", retry=RetryPolicy(max_attempts=1))
    b = step(eat, priority=9)
    flow = a >> b


@cases(*((f"steps.w{number}.duration", "invalid_wait") for number in range(6)))
class InvalidWait(Workflow):
    version = "1"
    start = manual(Payload)
    w0 = wait(-1)
    w1 = wait(float("nan"))
    w2 = wait(float("inf"))
    w3 = wait(timedelta(days=367))
    w4 = wait("1s")  # type: ignore[arg-type]
    w5 = wait(True)
    w6 = wait(0)
    w7 = wait(timedelta(days=366))
    flow = w0 >> w1 >> w2 >> w3 >> w4 >> w5 >> w6 >> w7


@cases(*((f"steps.s{number}.output", "invalid_output_key") for number in range(6)))
class InvalidOutputKey(Workflow):
    version = "1"
    start = manual(Payload)
    s0 = step(text, output="")
    s1 = step(text, output="1a")
    s2 = step(text, output="class")
    s3 = step(text, output=5)  # type: ignore[arg-type]
    s4 = step(text, output="é")
    s5 = approval(output="a-b")
    flow = s0 >> s1 >> s2 >> s3 >> s4 >> s5


def maybe_text() -> str | None: ...


def one_or_other() -> Provisions | int: ...  # type: ignore[empty-body]


class Pair(NamedTuple):
    one: int


def pair() -> Pair:
    return Pair(1)


def numbers() -> list[int]:
    return []


def day() -> date:
    return date(2026, 1, 1)


@cases(*((f"steps.s{number}.output", "output_needs_key") for number in range(6)))
class OutputNeedsKey(Workflow):
    version = "1"
    start = manual(Payload)
    s0 = step(text)
    s1 = step(maybe_text)
    s2 = step(one_or_other)
    s3 = step(pair)
    s4 = step(numbers)
    s5 = step(day)
    flow = s0 >> s1 >> s2 >> s3 >> s4 >> s5


def never() -> NoReturn:
    raise ValueError


def maybe_account() -> Account | None: ...


def unannotated(): ...


@dataclasses.dataclass
class Walk:
    miles: int


def walk() -> Optional[Walk]: ...  # noqa: UP045


def mapping() -> Rooted:
    return Rooted({})


async def soon() -> Provisions:
    return {"bread": 1}


@cases()
class EveryReturnThatNeedsNoKey(Workflow):
    version = "1"
    start = manual(Payload)
    s0 = step(never)
    s1 = step(maybe_account)
    s2 = step(unannotated)
    s3 = step(walk)
    s4 = step(mapping)
    s5 = step(soon)
    s6 = step(anything)
    s7 = step(lambda ring_id: None)
    flow = s0 >> s1 >> s2 >> s3 >> s4 >> s5 >> s6 >> s7


def issue_card() -> Card: ...  # type: ignore[empty-body]


def password() -> SecretStr:
    return SecretStr("mellon")


class Held(BaseModel):
    card: Card


@cases(
    ("steps.a.concurrency_key", "secret_concurrency_key"),
    ("steps.b.concurrency_key", "secret_concurrency_key"),
    ("steps.d.concurrency_key", "secret_concurrency_key"),
)
class ConcurrencyKeysThatAreSecret(Workflow):
    version = "1"
    start = manual(Held)
    a = step(password, output="password", concurrency_key="card.number")
    b = step(nothing, concurrency_key="card")
    c = step(nothing, concurrency_key="card.holder")
    d = step(nothing, concurrency_key="password")
    flow = a >> b >> c >> d


@cases()
class SecretsInResults(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(issue_card)
    b = step(password, output="password")
    flow = a >> b


def shadowing() -> TypedDict("Shadowing", {"ring_id": str, "bearer": str}):  # type: ignore[valid-type]
    return {}


@cases(
    ("steps.a.output", "output_shadows_payload"),
    ("steps.b.output", "output_shadows_payload"),
    ("steps.b.output", "output_shadows_payload"),
    ("steps.c.output", "output_shadows_payload"),
)
class OutputShadowsPayload(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(text, output="ring_id")
    b = step(shadowing)
    c = approval(output="bearer")
    flow = (a.to(b, when=value("ring_id") == "1"), a >> c)


@cases(("steps.c.output", "duplicate_output"), ("steps.d.output", "duplicate_output"))
class DuplicateOutput(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(pack)
    b = wait(1)
    c = step(text, output="bread")
    d = step(pack)
    flow = a >> b >> c >> d


@cases()
class AlternativesMayShareAKey(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(nothing)
    b = step(pack)
    c = step(text, output="bread")
    end = step(eat)
    flow = (a.to(b, when=value("ring_id") == "1"), a >> c, b >> end, c >> end)


@cases()
class AStepThatFailedHasWrittenNothing(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(pack)
    b = step(pack)
    c = step(eat)
    flow = (a >> c, a.on_error(b) >> c)


@cases(("steps.b.output", "duplicate_output"))
class ARejectedApprovalHasWrittenItsDecision(Workflow):
    version = "1"
    start = manual(Payload)
    a = approval(output="decision")
    b = step(text, output="decision")
    flow = a.on_reject(b)


async def eat_later() -> None: ...


@cases(("steps.pack.isolation", "invalid_isolation"))
class AnIsolationThatThereIsNot(Workflow):
    version = "1"
    start = manual(Payload)
    pack = step(pack, output="provisions", isolation="container")  # type: ignore[arg-type]


@cases(("steps.eat.isolation", "async_isolation"), ("steps.pay.isolation", "transactional_isolation"))
class WhatCanNotBeIsolated(Workflow):
    version = "1"
    start = manual(Payload)
    eat = step(eat_later, isolation="process")
    pay = step(nothing, transaction=True, isolation="process")
    flow = eat >> pay


@cases()
class AnIsolatedStep(Workflow):
    version = "1"
    start = manual(Payload)
    eat = step(nothing, isolation="process", timeout=5, compensate=nothing)


def made_in_a_function() -> type[Workflow]:
    class Local(Workflow):
        version = "1"
        start = manual(Payload)
        eat = step(nothing, isolation="process")
        rest = step(nothing)
        flow = eat >> rest

    return Local


cases(("steps.eat.isolation", "isolation_not_importable"))(made_in_a_function())
