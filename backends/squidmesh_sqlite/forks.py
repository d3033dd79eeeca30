"""No connection is open while the process forks.

The locks of SQLite belong to a process, and SQLite keeps its book of them in that process's memory, by inode. A fork
copies the book, and none of the locks. Were a connection open at that moment, the child's own connections would rely on
locks that nobody holds, and a close in the parent would remove the log into which the child goes on writing: commits
that were acknowledged would be gone. So a fork waits until the connections in use are given back, and closes all of
them; both processes open new ones when they need them. Where it waited in vain, the child refuses that file.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol
from weakref import WeakSet

from squidmesh.errors import UsageError

PATIENCE = 6.0
"""Seconds that a fork waits for those who use a connection: a little more than a writer waits for its turn."""


class Holder(Protocol):
    """Who keeps connections, or locks, beyond one use of them."""

    path: Path

    def before_fork(self) -> None:
        """Closes the idle connections. No lock may be waited for: who holds it may be waiting for the fork."""
        ...

    def after_fork(self) -> bool:
        """In the child: forgets the locks of threads that are not here, and keeps the connections that are still there
        from being used, or closed. Whether there were any.
        """
        ...


class Forks:
    """Of one process. A connection is opened, used and closed within :meth:`steady`, and nowhere else."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._turn = threading.Condition()
        self._forking = 0
        """How many threads want to fork: meanwhile nobody begins to use a connection."""
        self._forker: int | None = None
        """The thread whose turn it is."""
        self._using: set[_Use] = set()
        self._left: set[Path] = set()
        """What is in use at this very fork."""
        self._holders: WeakSet[Holder] = WeakSet()
        self._torn: set[tuple[int, int]] = set()
        """Device and inode of the files which this process can not use: they were open when it was forked."""

    def watch(self, holder: Holder) -> None:
        with self._turn:
            self._holders.add(holder)

    def steady(self, path: Path) -> _Use:
        """A context: no fork within. It must be short, and must not hold another one."""
        return _Use(self, path)

    def begin(self, use: _Use) -> None:
        """Without a lock, as nearly always nobody forks. Who forks says so first, and looks at the uses then; who uses
        goes the other way round: so one of them sees the other.
        """
        if self._pid != os.getpid():  # by a fork that Python was not told of
            self._reborn({use.path for use in self._using})
        self._using.add(use)
        if self._forking:
            with self._turn:
                self._using.discard(use)
                self._turn.notify_all()
                self._turn.wait_for(lambda: not self._forking)
                self._using.add(use)

    def end(self, use: _Use) -> None:
        self._using.discard(use)
        if self._forking:
            with self._turn:
                self._turn.notify_all()

    def check(self, path: Path) -> None:
        """Before each opening. Raises ``UsageError`` (``forked``) for a file that this process must not open."""
        if not self._torn:
            return
        try:
            inode = _inode(path)
        except OSError:  # whoever opens it will say so
            return
        if inode in self._torn:
            raise UsageError(
                f"{path} was opened before the fork, and still open at that moment: this process can not use it; "
                "fork first and open then, or use the start method spawn",
                code="forked",
            )

    # ----------------------------------------------------------------------------------------- called by os.fork

    def before(self) -> None:
        self._turn.acquire()
        self._forking += 1
        try:
            if not self._turn.wait_for(lambda: not self._using, PATIENCE):
                self._left = {use.path for use in list(self._using)}
            for holder in list(self._holders):
                holder.before_fork()
        finally:
            self._forker = threading.get_ident()

    def after_in_parent(self) -> None:
        if self._forker != threading.get_ident():  # an interrupt came before it was this thread's turn
            return
        self._forker, self._left = None, set()
        self._forking -= 1
        self._turn.notify_all()
        self._turn.release()

    def after_in_child(self) -> None:
        self._reborn(self._left)

    def _reborn(self, torn: set[Path]) -> None:
        self._pid = os.getpid()
        self._turn = threading.Condition()
        self._forking, self._forker = 0, None
        self._using, self._left = set(), set()
        for path in torn | {holder.path for holder in list(self._holders) if holder.after_fork()}:
            with suppress(OSError):  # nobody can open a file that is gone
                self._torn.add(_inode(path))


class _Use:
    """Of the connections of one file, by one thread, for a moment."""

    __slots__ = ("_forks", "path")

    def __init__(self, forks: Forks, path: Path) -> None:
        self._forks = forks
        self.path = path

    def __enter__(self) -> None:
        self._forks.begin(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._forks.end(self)


def _inode(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


# One for the process, because os.fork is: what is registered with it stays registered.
FORKS = Forks()
os.register_at_fork(before=FORKS.before, after_in_parent=FORKS.after_in_parent, after_in_child=FORKS.after_in_child)
