"""How a tool's error meets the runtime: it chooses the outcome of the step that lets it out."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from squidmesh import Context, RetryPolicy, ToolError, Workflow, fixed, manual, step
from squidmesh.testing import Harness
from squidmesh.tools import Tool, ToolResult


class Begin(BaseModel): ...


def call(context: Context) -> dict[str, Any]:
    raise AssertionError("each test has a stand-in")


class Calls(Workflow):
    version = "1"
    begin = manual(Begin)
    call = step(call, retry=RetryPolicy(max_attempts=3, backoff=fixed(60)))


class Once(Workflow):
    version = "1"
    begin = manual(Begin)
    call = step(call)
    instead = step(lambda: None)
    flow = call.on_error(instead)


@pytest.fixture(params=["memory", "sqlite"])
def h(request: pytest.FixtureRequest, tmp_path: Path, squidmesh_harness: type[Harness]) -> Harness:
    store = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/calls.db"
    return squidmesh_harness([Calls, Once], store=store)


def failing(h: Harness, declared: Any, **fields: Any) -> None:
    def fail() -> dict[str, Any]:
        raise ToolError(**{"tool": "gateway", "kind": "status_5xx", "message": "no", "retryable": True, **fields})

    h.replace(declared, fail)


def test_one_that_may_be_retried_is_retried_by_policy(h: Harness) -> None:
    failing(h, Calls.call)
    run = h.start(Calls)
    h.drain()
    assert h.explain(run).evidence["remaining"] == timedelta(seconds=60)
    ended = h.run_to_end(run)
    assert (ended.status, ended.attempts[0].attempt) == ("failed", 3)


def test_one_that_may_not_be_retried_acts_as_giving_up(h: Harness) -> None:
    failing(h, Calls.call, kind="status_4xx", retryable=False, after=5)
    run = h.start(Calls)
    h.drain()
    ended = h.run(run)
    assert (ended.status, ended.attempts[0].attempt) == ("failed", 1)


def test_one_that_says_when_is_retried_then_once_instead_of_the_backoff(h: Harness) -> None:
    failing(h, Calls.call, after=timedelta(minutes=7))
    run = h.start(Calls)
    h.drain()
    assert h.explain(run).evidence["remaining"] == timedelta(minutes=7)


def test_a_time_that_is_none_is_the_steps_failure(h: Harness) -> None:
    failing(h, Calls.call, after=timedelta(days=-1))
    run = h.start(Calls)
    h.drain()
    assert h.run(run).attempts[0].last_error == "give_up"


def test_without_a_policy_the_error_route_is_taken(h: Harness) -> None:
    failing(h, Once.call, after=60)
    run = h.start(Once)
    h.drain()
    assert h.run(run).status == "completed"


def test_it_is_recorded_under_a_code_of_its_own_with_its_details(h: Harness) -> None:
    failing(h, Once.call, kind="timeout", message="too late", details={"host": "pay.example", "odd": object})
    run = h.start(Once)
    h.drain()
    assert h.mesh.inspect_run(run.run_id).attempts[0].last_error == "tool_timeout", "a code is safe to show"
    (error,) = [event.details["error"] for event in h.history(run) if event.kind == "AttemptFailed"]
    assert (error["code"], error["type"], error["message"]) == ("tool_timeout", "ToolError", "gateway: too late")
    assert 'details: {"host": "pay.example", "odd": "<class' in error["details"]


def test_a_result_may_be_given_back_as_it_is(h: Harness) -> None:
    class Echo:
        name = "echo"

        def invoke(self, request: dict[str, Any], context: Context) -> ToolResult:
            return ToolResult(tool=self.name, payload=request, metadata={"step": context.step})

    tool: Tool[dict[str, Any]] = Echo()
    h.replace(Calls.call, lambda context: vars_of(tool.invoke({"a": 1}, context)))
    assert h.run_to_end(h.start(Calls)).output == {"tool": "echo", "payload": {"a": 1}, "metadata": {"step": "call"}}


def vars_of(result: ToolResult) -> dict[str, Any]:
    return {"tool": result.tool, "payload": result.payload, "metadata": result.metadata}
