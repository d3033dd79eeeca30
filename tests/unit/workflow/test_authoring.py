"""A class body becomes a definition: data that says everything, and the same data every time."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from squidmesh.errors import Problem
from squidmesh.workflow.authoring import Manual, Workflow, approval, complete, declared, manual, step, value, wait
from squidmesh.workflow.definition import (
    ApprovalStep,
    Condition,
    Definition,
    FunctionStep,
    ManualTrigger,
    Route,
    WaitStep,
)
from squidmesh.workflow.retry import RetryPolicy, exponential
from squidmesh.workflow.validation import define, problems_of


class LeaveShire(BaseModel):
    ring_id: str
    bearer: str = "Frodo"


class Provisions(BaseModel):
    bread: int


class Moria(TypedDict):
    crossed: bool


class Walk(TypedDict):
    route: dict[str, str]


class Context:
    """Stands for the runtime's."""


def pack_lembas(ring_id: str) -> Provisions:
    """Bake.

    Then wrap in leaves.
    """
    return Provisions(bread=len(ring_id))


def cross_moria(provisions: Provisions, context: Context) -> Moria:
    return {"crossed": provisions.bread > 1}


def walk_home(bearer: str) -> Walk:
    return {"route": {"kind": "road", "bearer": bearer}}


async def reach_mordor(crossed: bool) -> None: ...


RETRY = RetryPolicy(max_attempts=3, backoff=exponential(min=1, max=30))


class RingErrand(Workflow):
    """Carry a ring to Mordor;
    walk home when Moria says no.
    """

    version = "2026-11-22"

    leave_shire = manual(LeaveShire)

    pack = step(pack_lembas, output="provisions")
    rest = wait(timedelta(seconds=30))
    council = approval(output="council")
    moria = step(cross_moria, retry=RETRY)
    home = step(walk_home)
    mordor = step(reach_mordor, irreversible=True)

    flow = (
        pack >> rest >> council >> moria >> mordor,
        council.on_reject(home),
        moria.on_error(home, recovery="compensation"),
        home.to(complete, when=value("route.kind") == "road"),
    )


def ok(source: str, target: str) -> Route:
    return Route(source=source, on="ok", target=target)


def test_a_class_body_becomes_exactly_this_definition():
    definition = define(RingErrand)
    assert definition == Definition(
        name="RingErrand",
        version="2026-11-22",
        description="Carry a ring to Mordor;\nwalk home when Moria says no.",
        triggers=(
            ManualTrigger(
                name="leave_shire",
                payload_fields=("ring_id", "bearer"),
                payload_schema=LeaveShire.model_json_schema(),
            ),
        ),
        steps=(
            FunctionStep(name="pack", description="Bake.\n\nThen wrap in leaves.", output="provisions"),
            WaitStep(name="rest", duration=timedelta(seconds=30)),
            ApprovalStep(name="council", output="council"),
            FunctionStep(name="moria", retry=RETRY),
            FunctionStep(name="home"),
            FunctionStep(name="mordor", irreversible=True),
        ),
        routes=(
            ok("pack", "rest"),
            ok("rest", "council"),
            ok("council", "moria"),
            ok("moria", "mordor"),
            Route(source="council", on="reject", target="home"),
            Route(source="moria", on="error", target="home", recovery="compensation"),
            Route(
                source="home",
                on="ok",
                target="complete",
                when=Condition(path="route.kind", operator="==", value="road"),
            ),
        ),
        entry="pack",
    )


def test_a_definition_survives_its_json_form_and_keeps_its_fingerprint():
    definition = define(RingErrand)
    again = Definition.from_json(definition.canonical())
    assert again == definition
    assert again.canonical() == definition.canonical()
    assert again.fingerprint == define(RingErrand).fingerprint


def test_a_fingerprint_is_the_same_in_every_process():
    example = Path(__file__).with_name("typing_example.py")
    code = f"import runpy; it = runpy.run_path({str(example)!r}); print(it['define'](it['RingErrand']).fingerprint)"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1 and len(found.pop().strip()) == 64


def test_only_the_missing_fallback_is_remarked_upon():
    assert [(problem.path, problem.code, problem.warning) for problem in problems_of(RingErrand)] == [
        ("steps.home", "no_fallback_route", True)
    ]


def test_input_is_normalised_to_paths():
    def settle(account_id: str, invoice_id: str = "none") -> None: ...

    class Payload(BaseModel):
        account: dict[str, str]
        account_id: str
        invoice_id: str

    class Mapped(Workflow):
        version = "1"
        start = manual(Payload)
        one = step(settle, input={"account_id": "account.id"})
        two = step(settle, input=["account_id", "invoice_id"])
        flow = one >> two

    assert [it.input for it in define(Mapped).steps if isinstance(it, FunctionStep)] == [
        {"account_id": "account.id"},
        {"account_id": "account_id", "invoice_id": "invoice_id"},
    ]


def test_a_single_step_needs_no_flow():
    class Single(Workflow):
        version = "1"
        name = "single.step"
        start = manual(LeaveShire)
        pack = step(pack_lembas)

    definition = define(Single)
    assert (definition.name, definition.entry, definition.routes) == ("single.step", "pack", ())


def test_a_flow_may_be_one_chain_a_tuple_or_a_list():
    class Chain(Workflow):
        name = "w"
        version = "1"
        start = manual(LeaveShire)
        pack = step(pack_lembas)
        rest = wait(1)
        flow = pack >> rest >> complete

    class Tuple(Workflow):
        name = "w"
        version = "1"
        start = manual(LeaveShire)
        pack = step(pack_lembas)
        rest = wait(1)
        flow = (pack >> rest, rest >> complete)

    class List(Workflow):
        name = "w"
        version = "1"
        start = manual(LeaveShire)
        pack = step(pack_lembas)
        rest = wait(1)
        flow = [pack.to(rest), rest.to(complete)]  # noqa: RUF012

    assert define(Chain) == define(Tuple) == define(List)


def test_a_chain_goes_on_from_any_route():
    class Detour(Workflow):
        version = "1"
        start = manual(LeaveShire)
        pack = step(pack_lembas)
        home = step(walk_home)
        rest = wait(1)
        flow = pack.on_error(home) >> rest

    assert define(Detour).routes == (Route(source="pack", on="error", target="home"), ok("home", "rest"))


def test_declarations_are_recorded_in_the_order_of_the_body():
    assert [name for name, _ in declared(RingErrand)] == [
        "leave_shire",
        "pack",
        "rest",
        "council",
        "moria",
        "home",
        "mordor",
    ]


def test_a_trigger_knows_its_workflow_and_its_name():
    assert RingErrand.leave_shire.workflow is RingErrand
    assert RingErrand.leave_shire.name == "leave_shire"
    assert repr(RingErrand.leave_shire) == "<RingErrand.leave_shire(LeaveShire)>"


def test_declarations_and_routes_are_shown_by_their_names():
    assert repr(RingErrand.pack) == "<RingErrand.pack>"
    assert repr(RingErrand.flow[2]) == "<<RingErrand.moria> on error <RingErrand.home>>"
    assert repr(step(pack_lembas) >> complete) == "<<step> on ok complete>"


def test_a_trigger_outside_of_a_workflow_says_so():
    class Elsewhere:
        start = manual(LeaveShire)

    for trigger in (Manual(LeaveShire), Elsewhere.start):
        with pytest.raises(TypeError, match="not declared in the body of a Workflow"):
            _ = trigger.workflow


@pytest.mark.parametrize(
    ("condition", "operator", "operand"),
    [
        (value("a.b") == "c", "==", "c"),
        (value("a.b") != None, "!=", None),  # noqa: E711 - not a comparison, but a condition
        (value("a.b") > 1, ">", 1),
        (value("a.b") > 1, ">", 1),
        (value("a.b") < 1.5, "<", 1.5),
        (value("a.b").in_(["c", 1]), "in", ["c", 1]),
        (value("a.b").in_(("c", 1)), "in", ["c", 1]),
        (value("a.b").exists(), "exists", None),
    ],
)
def test_a_comparison_of_a_value_is_a_condition(condition, operator, operand):
    assert condition == Condition(path="a.b", operator=operator, value=operand)


def test_a_workflow_may_share_a_base_that_declares_nothing():
    class Ours(Workflow):
        version = "7"

        @staticmethod
        def pack(ring_id: str) -> None:
            """Of the house."""

    class Theirs(Ours):
        start = manual(LeaveShire)
        packing = step(Ours.pack)

    assert define(Theirs).version == "7"


def test_a_static_method_of_the_class_body_can_be_a_step():
    class Local(Workflow):
        version = "1"
        start = manual(LeaveShire)

        @staticmethod
        def pack(ring_id: str) -> None:
            """Inside."""

        packing = step(pack)

    assert define(Local).step("packing").description == "Inside."


def test_a_problem_says_where_and_what():
    assert str(Problem(path="steps.x", code="some_code", message="is wrong")) == "steps.x: is wrong [some_code]"
