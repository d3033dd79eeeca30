"""Calling scripts: by their hash, many at once, and never twice behind the caller's back.

The driver would send a command again whose answer was lost. It is told not to: a caller who repeats a call knows what
he does, and every script is safe to repeat by item and fence, or by request id (protocol 3.5.7).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from redis.exceptions import NoScriptError

from squidmesh.errors import BackendUnavailable, UsageError
from squidmesh_redis.faults import translate, translated
from squidmesh_redis.scripts import load
from squidmesh_redis.topology import Command, Topology


class Call(NamedTuple):
    """``keys``: all that the script touches, in one slot."""

    script: str
    keys: Sequence[str]
    arguments: Sequence[str | int]


class Client:
    """``where`` names the servers in errors; ``now`` is there for tests (see :mod:`squidmesh_redis.scripts`)."""

    def __init__(self, topology: Topology, where: str, *, now: str | None = None) -> None:
        self._topology = topology
        self.where = where
        self._now = now
        self._closed = False

    @property
    def topology(self) -> Topology:
        """``UsageError`` after :meth:`close`."""
        if self._closed:
            raise UsageError(f"this lease backend is closed ({self.where})", code="store_closed")
        return self._topology

    def close(self) -> None:
        self._closed = True
        self._topology.close()

    def run(self, call: Call) -> Any:
        return self.run_all([call])[0]

    def run_all(self, calls: Sequence[Call]) -> list[Any]:
        """One journey to each server; each call is carried out by itself, in order within its queue, whatever became of
        the others. Raises the first error.
        """
        return self._all_told(self.try_all(calls))

    def try_all(self, calls: Sequence[Call]) -> list[Any]:
        """As :meth:`run_all`, with each error of a server, or of the way to it, in the place of its answer."""
        answers = self._send([self._command(call, by_hash=True) for call in calls])
        unknown = [place for place, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        again = self._send([self._command(calls[place], by_hash=False) for place in unknown])
        for place, answer in zip(unknown, again, strict=True):
            answers[place] = answer
        return answers

    def run_most(self, calls: Sequence[Call]) -> list[Any]:
        """As :meth:`run_all`, with the error in the place of the answer where a server can not be used now. Raises the
        first error where none could, and any other one.
        """
        answers = self.try_all(calls)
        errors = [(answer, translate(answer, self.where)) for answer in answers if isinstance(answer, Exception)]
        for error, told in errors:
            if len(errors) == len(answers) or not isinstance(told, BackendUnavailable):
                raise told from error
        return answers

    def ask(self, key: str, *words: str | int) -> Any:
        """One command of the server's own; ``key`` is the one that it is about."""
        return self.ask_all([Command(key, words)])[0]

    def ask_all(self, commands: Sequence[Command]) -> list[Any]:
        """As :meth:`run_all`."""
        return self._all_told(self._send(commands))

    def _all_told(self, answers: list[Any]) -> list[Any]:
        for answer in answers:
            if isinstance(answer, Exception):
                raise translate(answer, self.where) from answer
        return answers

    def _send(self, commands: Sequence[Command]) -> list[Any]:
        if not commands:
            return []
        with translated(self.where):
            return self.topology.send(commands)

    def _command(self, call: Call, *, by_hash: bool) -> Command:
        script = load(call.script, self._now)
        name, text = ("EVALSHA", script.sha) if by_hash else ("EVAL", script.source)
        return Command(call.keys[0], (name, text, len(call.keys), *call.keys, *call.arguments))
