"""A Cluster of real servers for tests, on loopback: primaries that share the slots, and replicas that follow them."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from squidmesh.testing.processes import PATIENCE, PAUSE, NoServer, free_port
from squidmesh.testing.servers import Server

SLOTS = 16384
_BUS = 10_000
"""Nodes of a Cluster talk to each other on the port that is so much higher."""
_HIGHEST = 65_535


class ClusterNode(Server):
    """One node. ``port`` and the port of its bus are free."""

    def _free_port(self) -> int:
        for _ in range(1000):
            port = free_port()
            if port + _BUS <= _HIGHEST and _is_free(port + _BUS):
                return port
        raise NoServer("no two free ports that a node of a Cluster could have")


class ClusterServers:
    """``primaries`` share the slots in equal parts, in order; replica n follows primary n. A context manager.

    ``settings``: as for :class:`Server`. ``timeout``: seconds after which a node that says nothing is held to be gone.
    """

    def __init__(
        self,
        kind: str,
        folder: Path,
        *,
        primaries: int = 3,
        replicas: int = 0,
        timeout: float = 1.0,
        settings: Sequence[tuple[str, str]] = (),
    ) -> None:
        own = [("cluster-enabled", "yes"), ("cluster-config-file", "nodes.conf")]
        own += [("cluster-node-timeout", str(int(timeout * 1000))), ("repl-diskless-sync-delay", "0")]
        nodes = [
            ClusterNode(kind, folder / f"node-{number}", settings=[*own, *settings])
            for number in range(primaries + replicas)
        ]
        self.primaries, self.replicas = nodes[:primaries], nodes[primaries:]

    @property
    def nodes(self) -> list[ClusterNode]:
        return [*self.primaries, *self.replicas]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def start(self) -> ClusterServers:
        """Returns when all slots are served, and every replica follows its primary."""
        for node in self.nodes:
            node.start()
        for number, node in enumerate(self.primaries):
            first, last = (SLOTS * part // len(self.primaries) for part in (number, number + 1))
            _told(node, "CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
            _told(node, "CLUSTER", "ADDSLOTS", *map(str, range(first, last)))
        for node in self.nodes[1:]:
            _told(node, "CLUSTER", "MEET", "127.0.0.1", str(self.nodes[0].port))
        self._wait(lambda: all(_info(node)["cluster_known_nodes"] == str(len(self.nodes)) for node in self.nodes))
        for replica, primary in zip(self.replicas, self.primaries, strict=False):
            _told(replica, "CLUSTER", "REPLICATE", primary.answer("CLUSTER", "MYID"))
        self._wait(lambda: all(_info(node)["cluster_state"] == "ok" for node in self.nodes))
        self._wait(lambda: all(replica.info("replication")["master_link_status"] == "up" for replica in self.replicas))
        return self

    def stop(self) -> None:
        """Replicas end first: a primary would wait for them."""
        for node in reversed(self.nodes):
            node.stop()

    def holder(self, slot: int) -> ClusterNode:
        """Who held it at the beginning."""
        return next(node for n, node in enumerate(self.primaries) if slot < SLOTS * (n + 1) // len(self.primaries))

    def __enter__(self) -> ClusterServers:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _wait(self, is_so: object) -> None:
        assert callable(is_so)
        ends = time.monotonic() + PATIENCE
        while not is_so():
            if time.monotonic() > ends:
                raise NoServer(f"the Cluster does not come about: {[_info(node) for node in self.nodes]}")
            time.sleep(PAUSE)


def _told(node: ClusterNode, *words: str) -> None:
    answer = node.ask(*words)
    if not answer.startswith(b"+OK"):
        raise NoServer(f"a node of a Cluster answers to {' '.join(words[:3])}: {answer.decode(errors='replace')}")


def _info(node: ClusterNode) -> dict[str, str]:
    lines = node.answer("CLUSTER", "INFO").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
