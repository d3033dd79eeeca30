"""Machines of our own: network namespaces with a bridge between them, whose links are cut and healed.

Needs root on Linux, and leaves nothing behind. The addresses are seen inside of these namespaces only.
"""

import ctypes
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from squidmesh.testing.processes import NoServer

SUBNET = "10.77.0.0/24"
STORE = "10.77.0.1"
_NEW_NET = 0x40000000
_OURS = Path("/proc/thread-self/ns/net")
_NAMED = Path("/run/netns")


class Network:
    """``nodes`` machines, and one more at :data:`STORE` with the bridge. A context manager."""

    def __init__(self, nodes: int) -> None:
        self._prefix = f"squid{os.getpid()}"
        self._store = f"{self._prefix}-store"
        self._nodes = [f"{self._prefix}-{n}" for n in range(nodes)]
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        if os.geteuid() != 0:
            raise NoServer("network namespaces need root on Linux")
        with self._undo as undo:
            for name in (self._store, *self._nodes):
                _ip("netns", "add", name)
                undo.callback(_remove, name)
                _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", self._store, "link", "add", "bridge", "type", "bridge")
            _ip("-n", self._store, "addr", "add", f"{STORE}/24", "dev", "bridge")
            _ip("-n", self._store, "link", "set", "bridge", "up")
            for n, name in enumerate(self._nodes):
                _ip("-n", self._store, "link", "add", _port(n), "type", "veth", "peer", "name", "eth0", "netns", name)
                _ip("-n", name, "addr", "add", f"10.77.0.{n + 10}/24", "dev", "eth0")
                _ip("-n", name, "link", "set", "eth0", "up")
                _ip("-n", self._store, "link", "set", _port(n), "up")
                self.heal(n)
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    def on(self, node: int) -> Sequence[str]:
        """What stands before a command that is to run on that node; the process keeps its id."""
        return ("ip", "netns", "exec", self._nodes[node])

    def cut(self, node: int) -> None:
        """Nothing comes through any more, either way, and nobody is told: neither a reset nor a refusal."""
        _ip("-n", self._store, "link", "set", _port(node), "nomaster")

    def heal(self, node: int) -> None:
        _ip("-n", self._store, "link", "set", _port(node), "master", "bridge")

    def arrived(self, node: int) -> int:
        """Packets that have come out of that node so far, whatever became of them."""
        (link,) = json.loads(_ip("-n", self._store, "-s", "-j", "link", "show", _port(node)))
        return int(link["stats64"]["rx"]["packets"])

    def reaches(self, node: int) -> bool:
        """Whether that node has the store's bridge before it now."""
        (link,) = json.loads(_ip("-n", self._store, "-j", "link", "show", _port(node)))
        return bool(link.get("master") == "bridge")

    @contextmanager
    def at_the_store(self) -> Iterator[None]:
        """This thread, and the threads and processes that it starts meanwhile, are there."""
        ours = os.open(_OURS, os.O_RDONLY)
        try:
            theirs = os.open(_NAMED / self._store, os.O_RDONLY)
            try:
                _enter(theirs)
            finally:
                os.close(theirs)
            try:
                yield
            finally:
                _enter(ours)
        finally:
            os.close(ours)


def _port(node: int) -> str:
    return f"node{node}"


def _enter(namespace: int) -> None:
    """As os.setns(), which Python 3.11 has not."""
    if ctypes.CDLL(None, use_errno=True).setns(namespace, _NEW_NET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if done.returncode:
        raise NoServer(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def _remove(name: str) -> None:
    with suppress(OSError):
        subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
