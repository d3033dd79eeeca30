"""How a process reaches the two servers: every port call goes over a wire, and may come to grief on it.

``slow``: the request arrives late. ``slow reply``: the answer does. ``lost``: nobody hears the request. ``reply lost``:
it is done, and the caller is told that it was not, or may not have been. ``late``: the same, and it is done later.
``twice``: it is done, and once more later. ``vanished``: nothing is done, and nobody can tell. ``open``: the commit's
transaction has begun, and takes that long. ``die before`` and ``die after``: the caller's process is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from chaos.simulator.journal import Transaction
from chaos.simulator.leases import Leases
from chaos.simulator.loop import SECOND, Died, Process
from chaos.simulator.script import Mishap
from squidmesh.clock import Instant
from squidmesh.errors import BackendUnavailable, CommitUnknown
from squidmesh.ports.journal_store import Answer, Group

if TYPE_CHECKING:
    from chaos.simulator.world import World

_TIME_OUT = SECOND // 2
COMMITS = frozenset({"journal.commit", "journal.commit_in_transaction"})
WRITES = COMMITS | {
    *(f"leases.{name}" for name in ("claim", "offer", "settle", "release", "heartbeat", "adopt", "drop", "shelve")),
    *("leases.set_cursor", "leases.set_marker", "leases.sweep_turn", "leases.pause", "leases.resume"),
    *("journal.set_plane", "journal.put_token", "journal.drop_signals"),
}


class Wire:
    """Of one process to one server. A call is made at once, or what the script says becomes of it."""

    port = ""

    def __init__(self, world: World, process: Process, server: Any) -> None:
        self._world = world
        self._process = process
        self._server = server
        self.behind = 0
        """Microseconds that the last reply took."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._server, name)
        if name.startswith("_") or not callable(found):
            return found

        full = f"{self.port}.{name}"

        def call(*args: Any, **kwargs: Any) -> Any:
            return self.send(full, found, args, kwargs)

        self.__dict__[name] = call  # the next one comes here no more
        return call

    def close(self) -> None:
        """The server lives on."""

    def send(self, full: str, deed: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        world, process = self._world, self._process
        if process.dead:
            raise Died
        if process.cut_until[self.port] > world.loop.now or world.down_until[self.port] > world.loop.now:
            world.loop.sleep(_TIME_OUT)
            raise self._gone("nobody answers")
        mishap = world.befalls(process, full)
        if mishap is None:
            if (drawn := process.rng.random()) < 0.3:
                world.loop.sleep(int(drawn * drawn * 300_000) + 50)
            self.behind = 0
            return deed(*args, **kwargs)
        return self._suffer(mishap, full, deed, args, kwargs)

    def _suffer(
        self, mishap: Mishap, full: str, deed: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        world, process, loop = self._world, self._process, self._world.loop
        micros = int(mishap.seconds * SECOND)
        match mishap.what:
            case "slow":
                loop.sleep(micros)
                return deed(*args, **kwargs)
            case "slow reply":
                answer = deed(*args, **kwargs)
                loop.sleep(micros)
                self.behind = micros
                return answer
            case "lost":
                loop.sleep(_TIME_OUT)
                raise self._gone("the request was lost")
            case "vanished":
                loop.sleep(_TIME_OUT)
                raise self._unknown(full)
            case "reply lost":
                deed(*args, **kwargs)
                loop.sleep(_TIME_OUT)
                raise self._unknown(full)
            case "late" | "twice":
                answer = deed(*args, **kwargs) if mishap.what == "twice" else None
                world.ghost(full, lambda: deed(*args, **kwargs), micros)
                if mishap.what == "twice":
                    return answer
                loop.sleep(_TIME_OUT)
                raise self._unknown(full)
            case "open":
                writer = self._server.begin()
                try:
                    loop.sleep(micros)
                except Died:
                    self._server.forget(writer)
                    raise
                return self._server.commit_as(process, writer, *args, **kwargs)
            case "die before":
                world.crash(process, mishap.seconds)
            case "die after":
                deed(*args, **kwargs)
                world.crash(process, mishap.seconds)
            case _:
                raise ValueError(f"{mishap.what!r} befalls no call")

    def _gone(self, why: str) -> BackendUnavailable:
        return BackendUnavailable(f"{self._server.name if self.port == 'leases' else 'journal'}: {why}")

    def _unknown(self, full: str) -> Exception:
        if full in COMMITS:
            return CommitUnknown("journal: the answer to a commit was lost")
        return self._gone("the answer was lost")


class JournalWire(Wire):
    """``now`` asks nobody: it is the store's time in the last reply, and the time since (3.6)."""

    port = "journal"

    def __init__(self, world: World, process: Process) -> None:
        super().__init__(world, process, world.journal)

    def now(self) -> Instant:
        return Instant(self._world.loop.now - self.behind)

    def commit(self, groups: Sequence[Group]) -> list[Answer]:
        answers: list[Answer] = self.send("journal.commit", self._commit, (groups,), {})
        return answers

    def _commit(self, groups: Sequence[Group], rows: tuple[str, ...] = ()) -> list[Answer]:
        answers: list[Answer] = self._server.commit_as(self._process, self._server.begin(), groups, rows)
        return answers

    def commit_in_transaction(self, groups: Sequence[Group], rows: tuple[str, ...]) -> list[Answer]:
        answers: list[Answer] = self.send("journal.commit_in_transaction", self._commit, (groups, rows), {})
        return answers

    @contextmanager
    def transaction(self, limit: timedelta) -> Iterator[Transaction]:
        self.send("journal.transaction", lambda: None, (), {})
        yield Transaction(self)


class LeaseWire(Wire):
    port = "leases"
    in_journal = Leases.in_journal
    kind = Leases.kind
    name = Leases.name

    def __init__(self, world: World, process: Process) -> None:
        super().__init__(world, process, world.leases)
