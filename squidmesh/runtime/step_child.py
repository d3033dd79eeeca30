"""The child that calls steps in a process of its own, one at a time (protocol 3.5.5 and 5). ``step_process.py`` is its
worker's side.

``python -m squidmesh.runtime.step_child QUESTIONS ANSWERS LIFELINE``, three inherited file descriptors. The first line
of the questions says how modules are found; then come ``ask {…}``, ``lost`` and ``reply {…}``.
"""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import queue
import resource
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, assert_never

import msgspec
from pydantic import BaseModel

from squidmesh import errors
from squidmesh.clock import micros, seconds
from squidmesh.errors import SquidMeshError
from squidmesh.ids import AttemptKey, ClaimId, RunId
from squidmesh.journal.facts import Activation
from squidmesh.ports.lease_backend import Claim
from squidmesh.runtime.context import LeaseFlag, Payload, StepVerbs, Target
from squidmesh.runtime.invoke import Assignment, Completed, Failed, Result, Snoozed, Unstarted, describe, invoke
from squidmesh.workflow.actions import Actions
from squidmesh.workflow.authoring import Manual, name_of
from squidmesh.workflow.definition import FunctionStep
from squidmesh.workflow.isolation import find
from squidmesh.workflow.mapping import BoundStep
from squidmesh.workflow.payload import validate_payload
from squidmesh.workflow.registry import Registry


class _Hall:
    """What the listening thread hears, for the main thread, which calls the steps: some things want it."""

    def __init__(self) -> None:
        self.questions: queue.SimpleQueue[tuple[dict[str, Any], LeaseFlag]] = queue.SimpleQueue()
        self.replies: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def listen(self, lines: BinaryIO) -> None:
        """The end of the pipe is the end of the worker: nobody would hear the answer."""
        lost = LeaseFlag()
        for line in lines:
            word, _, rest = line.partition(b" ")
            if word == b"ask":
                lost = LeaseFlag()
                self.questions.put((json.loads(rest), lost))
            elif word == b"lost\n":
                lost.set()
            elif word == b"reply":
                self.replies.put(json.loads(rest))
        os.kill(os.getpid(), signal.SIGKILL)


class _Mouth:
    """Writes whole lines, whatever thread of the step's calls a verb."""

    def __init__(self, answers: BinaryIO) -> None:
        self._answers = answers
        self._turn = threading.Lock()

    def say(self, message: dict[str, Any]) -> None:
        with self._turn:
            self._answers.write(json.dumps(message).encode() + b"\n")
            self._answers.flush()


def _serve(hall: _Hall, mouth: _Mouth) -> None:
    """Until the worker ends, or ends this process."""
    calling = threading.Lock()
    while True:
        asked, lost = hall.questions.get()
        number = asked["number"]
        assignment = _assignment(asked, lost)
        if isinstance(assignment, str):
            answer: dict[str, Any] = {"kind": "unable", "why": assignment}
        else:
            answer = _answer(_invoked(assignment, _Far(number, mouth, hall, calling)))
        for said in (sys.stdout, sys.stderr):
            said.flush()
        mouth.say(answer | {"number": number, "resident": _resident()})


def _invoked(assignment: Assignment, verbs: _Far) -> Result:
    """What is no failure of the step (an interrupt) ends this process, as it would end its worker: told, but without
    the run's secrets.
    """
    try:
        return invoke(assignment, verbs)
    except BaseException as error:
        sys.stderr.write(describe(error, assignment.secrets).details)
        sys.stderr.flush()
        os._exit(1)


def _resident() -> int:
    """Bytes of memory: now where that can be read, else the most that it ever was."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")


class _Far(StepVerbs):
    """The verbs of one step, asked of its worker: one call at a time."""

    def __init__(self, number: int, mouth: _Mouth, hall: _Hall, calling: threading.Lock) -> None:
        self._number = number
        self._mouth = mouth
        self._hall = hall
        self._calling = calling

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
        with self._calling:
            self._mouth.say({"kind": "call", "number": self._number, "arguments": arguments})
            reply = self._hall.replies.get()
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
    step = _step(asked["home"], asked["workflow"], asked["step"])
    if isinstance(step, str):
        return step
    spec = step.step
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


@lru_cache(maxsize=1024)
def _step(home: str, workflow: str, spec_json: str) -> BoundStep | str:
    """The function of a step, bound as the run's definition says; or why there is none."""
    spec = FunctionStep.model_validate_json(spec_json)
    try:
        step = _registry(home, spec.action).bound(workflow, spec)
    except SquidMeshError as error:
        return f"{home}: {error}"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return step or f"{home} is not what has the step {spec.name!r} of {workflow} here"


@lru_cache(maxsize=1024)
def _registry(home: str, action: str | None) -> Registry:
    """Of the one workflow, or the one action, that is found there."""
    module, _, name = home.partition(":")
    found: Any = find(importlib.import_module(module), name)
    if action is None:
        return Registry([found])
    actions = Actions()
    actions.add(action, found)
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
        case Unstarted():
            return {"kind": "unstarted"}
        case _:
            assert_never(outcome)


def _die_with(lifeline: int) -> None:
    """When the worker ends, however it does, the kernel kills this process, though the step may hold the interpreter's
    lock at that moment. Where the kernel can not do that, the listening thread does it when the lock is free.
    """
    if sys.platform != "linux":
        return
    fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)


def main(arguments: Sequence[str]) -> None:
    asked, answered, lifeline = (int(argument) for argument in arguments)
    for end in (asked, answered, lifeline):
        os.set_inheritable(end, False)  # what the step starts is not to hold them open
    _die_with(lifeline)
    for number in (signal.SIGTERM, signal.SIGINT):  # what tells the worker to leave, and reaches all its processes
        signal.signal(number, lambda *_: None)  # a handler: who ignores a signal passes that on to what it starts
    questions = os.fdopen(asked, "rb")
    told = json.loads(questions.readline() or b"{}")
    if not told:
        return  # the worker has ended already
    sys.path[:], sys.argv[:] = told["path"], told["argv"]
    hall = _Hall()
    threading.Thread(target=hall.listen, args=(questions,), daemon=True).start()
    _serve(hall, _Mouth(os.fdopen(answered, "wb")))


if __name__ == "__main__":
    main(sys.argv[1:])
