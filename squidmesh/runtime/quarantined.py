"""The child of a quarantine: one step, in a fresh interpreter (protocol 3.5.5). ``quarantine.py`` is its worker's side.

``python -m squidmesh.runtime.quarantined QUESTIONS ANSWERS``, two inherited file descriptors.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, BinaryIO

import msgspec
from pydantic import BaseModel

from squidmesh import errors
from squidmesh.clock import micros, seconds
from squidmesh.errors import SquidMeshError
from squidmesh.ids import AttemptKey, ClaimId, RunId
from squidmesh.journal.facts import Activation
from squidmesh.ports.lease_backend import Claim
from squidmesh.runtime.context import LeaseFlag, Payload, StepVerbs, Target
from squidmesh.runtime.invoke import Assignment, Completed, Failed, Result, Snoozed, describe, invoke
from squidmesh.runtime.quarantine import find
from squidmesh.workflow.actions import Actions
from squidmesh.workflow.authoring import Manual, name_of
from squidmesh.workflow.definition import FunctionStep
from squidmesh.workflow.payload import validate_payload
from squidmesh.workflow.registry import Registry


def _serve(questions: BinaryIO, answers: BinaryIO) -> None:
    asked = json.loads(questions.readline())
    lost = LeaseFlag()
    verbs = _Far(answers)
    threading.Thread(target=_listen, args=(questions, lost, verbs), daemon=True).start()
    assignment = _assignment(asked, lost)
    if isinstance(assignment, str):
        answer: dict[str, Any] = {"kind": "unable", "why": assignment}
    else:
        answer = _answer(_invoked(assignment, verbs))
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


def _invoked(assignment: Assignment, verbs: _Far) -> Result:
    """What is no failure of the step (an interrupt) ends this process, as it would end its worker: told, but without
    the run's secrets.
    """
    try:
        return invoke(assignment, asyncio.run, verbs)
    except BaseException as error:
        sys.stderr.write(describe(error, assignment.secrets).details)
        sys.stderr.flush()
        os._exit(1)


def _listen(questions: BinaryIO, lost: LeaseFlag, verbs: _Far) -> None:
    """Sets the flag when told to. The end of the pipe is the end of the worker: nobody would hear the answer."""
    for line in questions:
        if line == b"lost\n":
            lost.set()
        elif line.startswith(b"reply "):
            verbs.replies.put(json.loads(line.removeprefix(b"reply ")))
    os.kill(os.getpid(), signal.SIGKILL)


class _Far(StepVerbs):
    """The verbs of a step, asked of its worker: one call at a time."""

    def __init__(self, answers: BinaryIO) -> None:
        self._answers = answers
        self._turn = threading.Lock()
        self.replies: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def start_child_run(
        self,
        target: Target,
        payload: Payload,
        *,
        key: str,
        trigger: str | None,
        queue: str | None,
        priority: int | None,
        delay: timedelta | float | None,
        metadata: Mapping[str, Any] | None,
    ) -> str:
        arguments = {
            "target": _name(target),
            "payload": validate_payload(type(payload), payload) if isinstance(payload, BaseModel) else payload,
            "key": key,
            "trigger": trigger,
            "queue": queue,
            "priority": priority,
            "delay": None if delay is None else micros(seconds(delay)),
            "metadata": metadata,
        }
        with self._turn:
            self._answers.write(json.dumps({"kind": "call", "arguments": arguments}).encode() + b"\n")
            self._answers.flush()
            reply = self.replies.get()
        if "error" in reply:
            raise _raised(reply)
        result: str = reply["result"]
        return result


def _name(target: Target) -> str:
    if isinstance(target, str):
        return target
    return f"{name_of(target.workflow)}.{target.name}" if isinstance(target, Manual) else name_of(target)


def _raised(reply: dict[str, Any]) -> SquidMeshError:
    """The error as the worker has it, as far as its class can be made of a text."""
    kind = getattr(errors, reply["error"], None)
    if isinstance(kind, type) and issubclass(kind, errors.UsageError):
        return kind(reply["message"], code=reply["code"])
    if isinstance(kind, type) and issubclass(kind, errors.LeaseError | errors.BackendError):
        return kind(reply["message"])
    return errors.UsageError(reply["message"], code=reply["code"])


def _assignment(asked: dict[str, Any], lost: LeaseFlag) -> Assignment | str:
    """The same assignment, as far as a step can see it; or why there is none."""
    sys.path[:], sys.argv[:] = asked["path"], asked["argv"]
    module, _, name = asked["home"].partition(":")
    try:
        found = find(importlib.import_module(module), name)
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    spec = FunctionStep.model_validate(asked["step"])
    try:
        registry = _registry(found, spec)
    except SquidMeshError as error:
        return f"{asked['home']}: {error}"
    step = registry.bound(asked["workflow"], spec)
    if step is None:
        return f"{asked['home']} is not what has the step {spec.name!r} of {asked['workflow']} here"
    claim = Claim(
        item=AttemptKey(f"{asked['run_id']}/{spec.name}#{asked['attempt']}"),
        queue="",
        owner="",
        claim_id=ClaimId(""),  # a capability: it stays with the worker
        generation=asked["generation"],
        fence=asked["fence"],
        lease=timedelta(0),
        incarnation="",
    )
    return Assignment(
        claim=claim,
        run_id=RunId(asked["run_id"]),
        workflow=asked["workflow"],
        spec=spec,
        step=step,
        attempt=asked["attempt"],
        delivery=asked["delivery"],
        inputs=asked["inputs"],
        context=asked["context"],
        payload_fields=frozenset(asked["payload_fields"]),
        secrets=frozenset(asked["secrets"]),
        lost=lost,
        asked_at=0.0,
        trigger=asked["trigger"],
        activation=msgspec.convert(asked["activation"], Activation | None),
    )


def _registry(found: Any, spec: FunctionStep) -> Registry:
    """Of the one workflow, or the one action, that was found."""
    if spec.action is None:
        return Registry([found])
    actions = Actions()
    actions.add(spec.action, found)
    return Registry([], actions)


def _answer(outcome: Result) -> dict[str, Any]:
    match outcome:
        case Completed():
            return {"kind": "completed", "output": outcome.output}
        case Snoozed():
            return {"kind": "snoozed", "after": micros(outcome.after)}
        case Failed():
            error = outcome.error
            told = {"code": error.code, "type": error.type, "message": error.message, "details": error.details}
            after = None if outcome.retry_after is None else micros(outcome.retry_after)
            return {"kind": "failed", "error": told, "retryable": outcome.retryable, "retry_after": after}
        case _:
            raise AssertionError(f"{type(outcome).__name__} in a child")


def main(arguments: Sequence[str]) -> None:
    asked, answered = (int(argument) for argument in arguments)
    for end in (asked, answered):
        os.set_inheritable(end, False)  # what the step starts is not to hold them open
    with os.fdopen(answered, "wb") as answers:
        _serve(os.fdopen(asked, "rb"), answers)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # whatever threads the step has left behind


if __name__ == "__main__":
    main(sys.argv[1:])
