"""A primary, its replicas and the Sentinels that watch them: real servers for tests, on loopback."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from squidmesh.testing.processes import PATIENCE, PAUSE, NoServer
from squidmesh.testing.servers import Server


class SentinelServer(Server):
    """One Sentinel. What it learns it writes into its own configuration. ``watches``: lines of it."""

    def __init__(self, kind: str, folder: Path, *, watches: Sequence[str] = ()) -> None:
        super().__init__(kind, folder)
        self.watches = watches

    def _command(self) -> list[str]:
        configuration = self.folder / "sentinel.conf"
        lines = [f"port {self.port}", "bind 127.0.0.1", f"dir {self.folder}", "protected-mode no", *self.watches]
        configuration.write_text("\n".join(lines) + "\n")
        return [str(self._program), str(configuration), "--sentinel"]


class SentinelServers:
    """``servers[0]`` is primary at first, the others follow it. A context manager.

    ``settings``: as for :class:`Server`, for primary and replicas. ``timeout``: seconds after which a Sentinel holds a
    server that says nothing to be gone. ``lines``: more of the Sentinels' configuration, after ``monitor``.
    """

    def __init__(
        self,
        kind: str,
        folder: Path,
        *,
        replicas: int = 2,
        sentinels: int = 3,
        timeout: float = 1.0,
        name: str = "mesh",
        settings: Sequence[tuple[str, str]] = (),
        lines: Sequence[str] = (),
    ) -> None:
        own = [("repl-diskless-sync", "yes"), ("repl-diskless-sync-delay", "0"), *settings]
        self.name = name
        self.servers = [Server(kind, folder / f"server-{n}", settings=own) for n in range(1 + replicas)]
        self.sentinels = [SentinelServer(kind, folder / f"sentinel-{n}") for n in range(sentinels)]
        self._timeout = int(timeout * 1000)
        self._quorum = sentinels // 2 + 1
        self._lines = lines

    @property
    def url(self) -> str:
        return "redis+sentinel://" + ",".join(f"127.0.0.1:{one.port}" for one in self.sentinels) + f"/{self.name}"

    def start(self) -> SentinelServers:
        """Returns when every Sentinel knows primary, replicas, and the other Sentinels."""
        for server in self.servers:
            server.start()
        first = self.servers[0]
        for replica in self.servers[1:]:
            replica.ask("REPLICAOF", "127.0.0.1", str(first.port))
        watches = [
            f"sentinel monitor {self.name} 127.0.0.1 {first.port} {self._quorum}",
            f"sentinel down-after-milliseconds {self.name} {self._timeout}",
            f"sentinel failover-timeout {self.name} {5 * self._timeout}",
            *self._lines,
        ]
        self._wait(lambda: all(one.info("replication")["master_link_status"] == "up" for one in self.servers[1:]))
        for sentinel in self.sentinels:
            sentinel.watches = watches
            sentinel.start()
        known = f"slaves={len(self.servers) - 1},sentinels={len(self.sentinels)}"
        self._wait(lambda: all(known in one.info("sentinel")["master0"] for one in self.sentinels))
        return self

    def primary(self) -> Server:
        """Whom the first Sentinel that lives names now."""
        return self._server(self.named())

    def named(self) -> int:
        """The port of the primary, as the first Sentinel that lives says."""
        sentinel = next(one for one in self.sentinels if one.is_running)
        return int(sentinel.answers("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)[1])

    def all_named(self) -> set[int]:
        """The ports that Sentinels name, of those that live: one, where they agree."""
        asked = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)
        return {int(one.answers(*asked)[1]) for one in self.sentinels if one.is_running}

    def fail_over(self, *, without: Server | None = None) -> Server:
        """Waits until another one than ``without`` is primary; or tells the Sentinels to make it so, and waits. The old
        one may go on as if nothing had happened, for ten seconds.
        """
        old = without or self.primary()
        if without is None:
            answer = self.sentinels[0].ask("SENTINEL", "FAILOVER", self.name)
            if answer != b"+OK":
                raise NoServer(f"the Sentinel refuses to fail over: {answer.decode(errors='replace')}")
        self._wait(lambda: self.named() != old.port and self.primary().answers("ROLE")[0] == "master")
        return self.primary()

    def stop(self) -> None:
        """Replicas end first: a primary would wait for them."""
        for one in (*self.sentinels, *reversed(self.servers)):
            one.stop()

    def __enter__(self) -> SentinelServers:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _server(self, port: int) -> Server:
        return next(server for server in self.servers if server.port == port)

    def _wait(self, is_so: object) -> None:
        assert callable(is_so)
        ends = time.monotonic() + PATIENCE
        while not is_so():
            if time.monotonic() > ends:
                raise NoServer("the Sentinels and their servers do not find each other")
            time.sleep(PAUSE)
