"""One child process that calls steps, one at a time (protocol 3.5.5 and 5): the worker's side. ``step_child.py`` is the
child.

A fresh interpreter imports the workflow, or the action's function, by its module and name, as this process has it (no
stored data names a module), calls a step, and answers in JSON over a pipe of its own, a line each; its stdout is the
step's. What the step asks of its context is asked of the worker. Nothing is pickled, and nothing of this process is
inherited: no open database, no lock. A child ends when its worker ends, and is ended when its step's lease is lost or
its time is up. One that dies is a lost delivery, which its live worker reports at once.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

import msgspec

from squidmesh.clock import duration
from squidmesh.errors import SquidMeshError, StaleClaim, UnstorableResult
from squidmesh.journal.facts import StepError
from squidmesh.runtime.context import StepVerbs
from squidmesh.runtime.invoke import Assignment, Completed, Died, Failed, Outcome, Snoozed, TimedOut, Unstarted, failed
from squidmesh.runtime.pipes import Pipes, TooLong

_CHILD = "squidmesh.runtime.step_child"
_LOOK = 0.1
"""Seconds between two looks whether the lease is lost, or the child."""
_LAST_WORD = 1.0
"""Seconds that a step has to end by itself when it is told that its lease is lost."""
_LONGEST_REPLY = 1000
"""Characters of an error's text."""
_LONGEST_ANSWER = 16 * 1024 * 1024
"""Bytes. Far above what a step may give back; the journal's own limit is applied to what comes."""


@dataclass(frozen=True, slots=True)
class Unable:
    """The child does not find the step's function. ``why``: in a sentence. Nothing ran."""

    why: str


class StepProcess:
    """Used by one thread at a time. Made with ``OSError`` where there can be no process."""

    def __init__(self) -> None:
        theirs, ours = [], []
        try:
            for _ in range(3):
                reading, writing = os.pipe()
                theirs.append(reading)
                ours.append(writing)
            # of questions and lifeline the child reads; of answers it writes
            theirs[1], ours[1] = ours[1], theirs[1]
            self._process = subprocess.Popen(
                [sys.executable, "-m", _CHILD, *map(str, theirs)],
                stdin=subprocess.DEVNULL,
                pass_fds=theirs,
            )
        except OSError:
            for end in (*theirs, *ours):
                os.close(end)
            raise
        for end in theirs:
            os.close(end)
        self._pipes = Pipes(ours[0], ours[1], longest=_LONGEST_ANSWER)
        self._lifeline = ours[2]
        self._number = 0
        self.resident = 0
        """Bytes of memory that it had after its last step."""
        self.idle_since = 0.0
        self._send(json.dumps({"path": sys.path, "argv": sys.argv}).encode() + b"\n", self._is_gone)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def steps(self) -> int:
        """How many it was asked for."""
        return self._number

    def kill(self) -> None:
        """At once, whatever it does. From any thread."""
        self._process.kill()

    def end(self) -> None:
        """The same, and lets go of all that belonged to it."""
        self._kill()
        self._pipes.close()
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1

    def carry(self, assignment: Assignment, home: str, verbs: StepVerbs) -> Outcome | Unable:
        """Blocks until the step has ended, or its process. Whoever finds it not :attr:`alive` then needs another."""
        if assignment.lost:
            return Unstarted(assignment=assignment)
        self._number += 1
        limit = assignment.spec.timeout
        ends_at = None if limit is None else time.monotonic() + limit.total_seconds()
        try:
            return self._carry(assignment, home, verbs, ends_at)
        except TooLong:
            self._kill()
            return failed(assignment, UnstorableResult(f"the result is above {_LONGEST_ANSWER} bytes"))

    def _carry(self, assignment: Assignment, home: str, verbs: StepVerbs, ends_at: float | None) -> Outcome | Unable:
        lost_at: float | None = None
        self._send(self._question(assignment, home), lambda: bool(assignment.lost) or self._is_late(ends_at))
        while True:
            gone = not self.alive
            line = self._pipes.receive(0.001 if gone else _LOOK)
            if line is not None:
                message = _message(line)
                if message.get("kind") == "call":
                    self._send(self._reply(message, verbs), self._is_gone)
                elif message.get("number") == self._number:
                    self.resident = message["resident"]
                    return _outcome(assignment, message)
            elif gone or self._pipes.ended:
                return Died(assignment=assignment, cause=_cause(self._reaped()))
            elif self._is_late(ends_at):
                self._kill()
                return TimedOut(assignment=assignment)
            elif assignment.lost and lost_at is None:
                lost_at = time.monotonic()
                self._send(b"lost\n", self._is_gone)
            elif lost_at is not None and time.monotonic() - lost_at > _LAST_WORD:
                self._kill()

    def _send(self, line: bytes, give_up: Any) -> None:
        self._pipes.send(line, wait=_LOOK, give_up=lambda: self._is_gone() or give_up())

    def _is_gone(self) -> bool:
        return not self.alive

    @staticmethod
    def _is_late(ends_at: float | None) -> bool:
        return ends_at is not None and time.monotonic() >= ends_at

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _reaped(self) -> int:
        """It has closed its pipe, which it does by ending, and by nothing else."""
        try:
            return self._process.wait(_LAST_WORD)
        except subprocess.TimeoutExpired:
            self._kill()
            return self._process.returncode

    def _question(self, assignment: Assignment, home: str) -> bytes:
        claim = assignment.claim
        asked = {
            "number": self._number,
            "home": home,
            "step": assignment.spec.model_dump_json(),
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
        return b"ask " + json.dumps(asked).encode() + b"\n"

    def _reply(self, message: dict[str, Any], verbs: StepVerbs) -> bytes:
        """To a call of a verb. What it raises is told by name, and raised again over there. A thread that an earlier
        step has left behind speaks for nobody.
        """
        try:
            if message["number"] != self._number:
                raise StaleClaim("this step has ended")
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


def _message(line: bytes) -> dict[str, Any]:
    """One line of the child's; empty where it is none, as when the child died in the middle of it."""
    try:
        message = json.loads(line)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def _outcome(assignment: Assignment, answer: dict[str, Any]) -> Outcome | Unable:
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
        case "unstarted":
            return Unstarted(assignment=assignment)
        case _:
            return Unable(answer["why"])


def _cause(code: int) -> str:
    if code >= 0:
        return f"exit status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    return f"signal {-code} ({name})"
