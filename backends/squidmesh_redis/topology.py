"""How servers stand to each other, as far as a caller of theirs needs to know: who takes a command, who else is there.

Three answer to one protocol: :mod:`squidmesh_redis.standalone`, :mod:`squidmesh_redis.sentinel` and
:mod:`squidmesh_redis.cluster`. None ever sends a command again that may have been carried out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from redis import Redis
from redis.exceptions import RedisError

from squidmesh_redis.address import Node


class Command(NamedTuple):
    """``key`` says who takes it: one of its keys, which all stand in one slot."""

    key: str
    words: Sequence[str | int | float]


class Survey(NamedTuple):
    """What a doctor is told: ``found`` in a sentence, and what is wrong with it."""

    found: str
    troubles: Sequence[str]


class Topology(Protocol):
    """Thread-safe. Connects when it is first used."""

    @property
    def generation(self) -> int:
        """Another number whenever other servers hold the keys than before, as far as is known."""
        ...

    def send(self, commands: Sequence[Command]) -> list[Any]:
        """An answer for each, or in its place the error of the server, or of the way to it. Those for one server travel
        together, and are carried out in order, each by itself. Raises ``BackendError`` where a server that is named by
        another one is not safe to talk to.
        """
        ...

    def primaries(self) -> list[tuple[Node, Redis]]:
        """All that hold keys now. Raises errors of the driver."""
        ...

    def replicas(self) -> list[tuple[Node, Redis]]:
        """Those that follow them, as far as somebody tells. Raises errors of the driver."""
        ...

    def groups(self, keys: Sequence[str]) -> list[list[str]]:
        """The keys, so that those of one group can be named in one command."""
        ...

    def survey(self) -> Survey:
        """Asks who is there. Raises errors of the driver."""
        ...

    def close(self) -> None: ...


def tell(redis: Redis, *words: str | int | float) -> Any:
    """One command to one server; raises errors of the driver."""
    return redis.execute_command(*words)  # type: ignore[no-untyped-call]


def send_to(redis: Redis, commands: Sequence[Command], *, asking: bool = False) -> list[Any]:
    """To one server, in one journey. ``asking``: each is preceded by ASKING, whose answers are left out."""
    try:
        if len(commands) == 1 and not asking:
            return [tell(redis, *commands[0].words)]
        pipeline = redis.pipeline(transaction=False)
        for command in commands:
            if asking:
                pipeline.execute_command("ASKING")  # type: ignore[no-untyped-call]
            pipeline.execute_command(*command.words)  # type: ignore[no-untyped-call]
        answers = list(pipeline.execute(raise_on_error=False))
    except (RedisError, OSError) as error:
        return [error] * len(commands)
    return answers[1::2] if asking else answers
