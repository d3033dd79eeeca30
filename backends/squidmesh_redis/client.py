"""Calling scripts: by their hash, many at once, and never twice behind the caller's back.

The driver would send a command again whose answer was lost. It is told not to: a caller who repeats a call knows what
he does, and every script is safe to repeat by item and fence, or by request id (protocol 3.5.7).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, ResponseError
from redis.retry import Retry

from squidmesh.errors import UsageError
from squidmesh_redis.faults import translate, translated
from squidmesh_redis.scripts import Script, load

CONNECT_TIMEOUT = 3.0
ANSWER_TIMEOUT = 5.0
"""Seconds. A server that stands still is given up after that; what it was told it may still do later."""


def open_client(url: str, *, answer_timeout: float = ANSWER_TIMEOUT) -> Redis:
    """Connects when it is first used. Thread-safe."""
    client: Redis = Redis.from_url(
        url,
        decode_responses=True,
        socket_connect_timeout=CONNECT_TIMEOUT,
        socket_timeout=answer_timeout,
        retry=Retry(NoBackoff(), 0),
    )
    return client


class Call(NamedTuple):
    script: str
    keys: Sequence[str]
    arguments: Sequence[str | int]


class Client:
    """``where`` names the server in errors; ``now`` is there for tests (see :mod:`squidmesh_redis.scripts`)."""

    def __init__(self, redis: Redis, where: str, *, now: str | None = None) -> None:
        self._redis = redis
        self.where = where
        self._now = now
        self._closed = False

    @property
    def redis(self) -> Redis:
        """The driver; ``UsageError`` after :meth:`close`."""
        if self._closed:
            raise UsageError(f"this lease backend is closed ({self.where})", code="store_closed")
        return self._redis

    def close(self) -> None:
        self._closed = True
        self._redis.close()

    def run(self, call: Call) -> Any:
        with translated(self.where):
            return self._run(call)

    def run_all(self, calls: Sequence[Call]) -> list[Any]:
        """One journey for all of them; each is carried out by itself, in order, whatever became of the others. Raises
        the first error.
        """
        answers = self.try_all(calls)
        for answer in answers:
            if isinstance(answer, Exception):
                raise translate(answer, self.where) from answer
        return answers

    def try_all(self, calls: Sequence[Call]) -> list[Any]:
        """As :meth:`run_all`, with each error of the server in the place of its answer."""
        if not calls:
            return []
        if len(calls) == 1:
            with translated(self.where):
                return [self._try(calls[0])]
        with translated(self.where):
            answers = self._send(calls, by_hash=True)
            unknown = [place for place, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
            again = self._send([calls[place] for place in unknown], by_hash=False) if unknown else []
        for place, answer in zip(unknown, again, strict=True):
            answers[place] = answer
        return answers

    def _run(self, call: Call) -> Any:
        script = self._script(call)
        try:
            return self.redis.evalsha(script.sha, len(call.keys), *call.keys, *call.arguments)
        except NoScriptError:
            return self.redis.eval(script.source, len(call.keys), *call.keys, *call.arguments)

    def _try(self, call: Call) -> Any:
        try:
            return self._run(call)
        except ResponseError as error:
            return error

    def _send(self, calls: Sequence[Call], *, by_hash: bool) -> list[Any]:
        pipeline = self.redis.pipeline(transaction=False)
        for call in calls:
            script = self._script(call)
            if by_hash:
                pipeline.evalsha(script.sha, len(call.keys), *call.keys, *call.arguments)
            else:
                pipeline.eval(script.source, len(call.keys), *call.keys, *call.arguments)
        return list(pipeline.execute(raise_on_error=False))

    def _script(self, call: Call) -> Script:
        return load(call.script, self._now)
