"""A file system of its own, in memory, that is made full and roomy again without a file being written. Needs root."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from squidmesh.testing.processes import NoServer

_ROOM = "2g"
"""Taken only as far as it is used."""
_BLOCK = 4096
_MOST_SPARE = 1 << 20


class SmallDisk:
    """A context manager. ``folder`` is where it is mounted."""

    def __init__(self) -> None:
        if os.geteuid() != 0:
            raise NoServer("a disk that can be full needs root, who may mount one")
        self.folder = Path(tempfile.mkdtemp(prefix="squidmesh-disk-"))

    def fill(self) -> int:
        """Takes all the room that is left, but for some blocks where others write at this moment; the bytes that are in
        use. A file system can not be made smaller than what has been written by then.
        """
        spare = 0
        while True:
            used = self.used()
            try:
                _mount("-o", f"remount,size={max(used, _BLOCK) + spare}", str(self.folder))
            except NoServer:
                if self.used() <= used or spare > _MOST_SPARE:
                    raise
                spare = max(_BLOCK, 2 * spare)
            else:
                return used

    def empty(self) -> None:
        """There is room again."""
        _mount("-o", f"remount,size={_ROOM}", str(self.folder))

    def used(self) -> int:
        stat = os.statvfs(self.folder)
        return (stat.f_blocks - stat.f_bfree) * stat.f_frsize

    def free(self) -> int:
        stat = os.statvfs(self.folder)
        return stat.f_bavail * stat.f_frsize

    def __enter__(self) -> Self:
        _mount("-t", "tmpfs", "-o", f"size={_ROOM},mode=0755", "tmpfs", str(self.folder))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        subprocess.run(["umount", str(self.folder)], check=True)
        self.folder.rmdir()


def _mount(*words: str) -> None:
    done = subprocess.run(["mount", *words], capture_output=True, text=True)
    if done.returncode:
        raise NoServer(f"mount {' '.join(words)}: {done.stderr.strip()}")
