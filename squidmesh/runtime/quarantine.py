"""A suspect in a process of its own (protocol 3.5.5): what may have killed its last worker takes this one not with it.

A fresh interpreter imports the workflow, or the action's function, by its module and name, as this process has it (no
stored data names a module), calls the one step, and answers in JSON over a pipe of its own, a line each; its stdout is
the step's. What the step asks of its context is asked of the worker. Nothing is
pickled, and nothing of this process is inherited: no open database, no lock. It ends when its worker ends, and is ended
when its lease is lost. A child that dies is a lost delivery, which its live worker reports at once.

``quarantined.py`` is the child.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, BinaryIO

import msgspec

from squidmesh.clock import duration
from squidmesh.errors import SquidMeshError, UnstorableResult
from squidmesh.journal.facts import StepError
from squidmesh.runtime.context import LeaseFlag, StepVerbs
from squidmesh.runtime.invoke import Assignment, Completed, Died, Failed, Outcome, Snoozed, Unstarted, failed, invoke

_CHILD = "squidmesh.runtime.quarantined"
_LOOK = 0.05
"""Seconds between two looks whether the lease is lost."""
_LAST_WORD = 1.0
"""Seconds that a step has to end by itself when it is told that its lease is lost."""
_LONGEST_REPLY = 1000
"""Characters of an error's text. A write of less than a page to a pipe is one piece, whoever else writes."""
_LONGEST_ANSWER = 16 * 1024 * 1024
"""Bytes. Far above what a step may give back; the journal's own limit is applied to what comes."""
_logger = logging.getLogger("squidmesh")
_RunHere = Callable[[Coroutine[Any, Any, Any]], Any]


def home_of(source: object) -> str | None:
    """``module:QualifiedName`` where another interpreter finds the same class or function; None where it would not."""
    module, name = getattr(source, "__module__", None), getattr(source, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or module == "__main__":
        return None
    return f"{module}:{name}" if find(sys.modules.get(module), name) is source else None


def run(assignment: Assignment, home: str, run_here: _RunHere, verbs: StepVerbs) -> Outcome:
    """Blocks until the child has ended. Where none can be made, or it does not find the workflow, the step runs here:
    that is no fault of the step's.
    """
    if assignment.lost:
        return Unstarted(assignment=assignment)
    their_questions, our_questions = os.pipe()
    our_answers, their_answers = os.pipe()
    try:
        child = subprocess.Popen(
            [sys.executable, "-m", _CHILD, str(their_questions), str(their_answers)],
            stdin=subprocess.DEVNULL,
            pass_fds=(their_questions, their_answers),
        )
    except OSError as error:
        _logger.warning("quarantine_impossible item=%r why=%r", assignment.key, str(error))
        for end in (their_questions, our_questions, our_answers, their_answers):
            os.close(end)
        return invoke(assignment, run_here, verbs)
    os.close(their_questions)
    os.close(their_answers)
    with os.fdopen(our_questions, "wb", buffering=0) as questions:
        answer = _ask(child, questions, our_answers, _question(assignment, home), assignment.lost, verbs)
    if answer is None:
        return Died(assignment=assignment, cause=_cause(child.returncode))
    if answer["kind"] == "unable":
        _logger.warning("quarantine_impossible item=%r why=%r", assignment.key, answer["why"])
        return invoke(assignment, run_here, verbs)
    return _outcome(assignment, answer)


def _ask(
    child: subprocess.Popen[bytes],
    questions: BinaryIO,
    answers: int,
    question: bytes,
    lost: LeaseFlag,
    verbs: StepVerbs,
) -> dict[str, Any] | None:
    """The child's answer; None where it ended without one. What the step asks of its context meanwhile is done here."""
    told: list[dict[str, Any]] = []

    def listen() -> None:
        with os.fdopen(answers, "rb") as lines:  # closed here, and not by who stops waiting: nobody may close what
            while line := lines.readline(_LONGEST_ANSWER + 1):  # another reads
                message = _message(line)
                if message.get("kind") == "call":
                    with suppress(BrokenPipeError):
                        questions.write(_reply(message, verbs))
                elif message:
                    told.append(message)

    listener = threading.Thread(target=listen, name="squidmesh-quarantine", daemon=True)
    listener.start()
    with suppress(BrokenPipeError):  # it died before it heard us: its end says how
        questions.write(question)
    _wait(child, questions, lost)
    listener.join(_LAST_WORD)  # what the step has left running may hold the pipe open
    return told[0] if told else None


def _message(line: bytes) -> dict[str, Any]:
    """One line of the child's; empty where it is none, as when the child died in the middle of it."""
    if len(line) > _LONGEST_ANSWER:
        return {"kind": "too_long"}
    try:
        message = json.loads(line)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def _reply(message: dict[str, Any], verbs: StepVerbs) -> bytes:
    """To a call of a verb. What it raises is told by name, and raised again over there."""
    try:
        arguments = dict(message["arguments"])
        delay = arguments.pop("delay")
        run_id = verbs.start_child_run(
            arguments.pop("target"),
            arguments.pop("payload"),
            delay=None if delay is None else duration(delay),
            **arguments,
        )
        reply: dict[str, Any] = {"result": run_id}
    except SquidMeshError as error:
        reply = {"error": type(error).__name__, "message": str(error)[:_LONGEST_REPLY], "code": error.code}
    except Exception as error:
        why = f"{type(error).__name__}: {error}"[:_LONGEST_REPLY]
        reply = {"error": "UsageError", "message": why, "code": "usage_error"}
    return b"reply " + json.dumps(reply).encode() + b"\n"


def _wait(child: subprocess.Popen[bytes], questions: BinaryIO, lost: LeaseFlag) -> None:
    """Until it has ended. A child whose lease is lost is told, and ended some moments later."""
    while child.poll() is None:
        if lost:
            _tell_lost(questions)
            try:
                child.wait(_LAST_WORD)
            except subprocess.TimeoutExpired:
                child.kill()
            child.wait()
            return
        try:
            child.wait(_LOOK)
        except subprocess.TimeoutExpired:
            continue


def _tell_lost(questions: BinaryIO) -> None:
    with suppress(BrokenPipeError):  # it has just ended
        questions.write(b"lost\n")


def _question(assignment: Assignment, home: str) -> bytes:
    claim = assignment.claim
    asked = {
        "home": home,
        "path": sys.path,
        "argv": sys.argv,
        "step": assignment.spec.model_dump(mode="json"),
        "workflow": assignment.workflow,
        "run_id": assignment.run_id,
        "attempt": assignment.attempt,
        "delivery": assignment.delivery,
        "generation": claim.generation,
        "fence": claim.fence,
        "inputs": assignment.inputs,
        "context": assignment.context,
        "payload_fields": sorted(assignment.payload_fields),
        "trigger": assignment.trigger,
        "activation": msgspec.to_builtins(assignment.activation),
        "secrets": sorted(assignment.secrets),
    }
    return json.dumps(asked).encode() + b"\n"


def _outcome(assignment: Assignment, answer: dict[str, Any]) -> Outcome:
    match answer["kind"]:
        case "completed":
            return Completed(assignment=assignment, output=answer["output"])
        case "snoozed":
            return Snoozed(assignment=assignment, after=duration(answer["after"]))
        case "failed":
            after = answer["retry_after"]
            return Failed(
                assignment=assignment,
                error=StepError(**answer["error"]),
                retryable=answer["retryable"],
                retry_after=None if after is None else duration(after),
            )
        case _:
            return failed(assignment, UnstorableResult(f"the result is above {_LONGEST_ANSWER} bytes"))


def _cause(code: int) -> str:
    if code >= 0:
        return f"exit status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    return f"signal {-code} ({name})"


def find(place: object, name: str) -> object:
    for part in name.split("."):
        place = getattr(place, part, None)
    return place
