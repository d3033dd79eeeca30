"""The file that an archive is written to: whole lines, on the disk before their runs are pruned."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import stat
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import IO, Any, Protocol, cast

from squidmesh.errors import InvalidInput, UsageError
from squidmesh.runtime.arguments import check_text

Target = str | PathLike[str] | IO[bytes] | IO[str]

FIELD = "path_or_file"
LINE_BEGINS = b'{"archive":'
"""As every line of ours does: by this a line that was cut short is known for ours."""
_LONGEST_PATH = 4096
_CHUNK = 1 << 16
_NO_DISK = {errno.EINVAL, errno.ENOTSUP, errno.EROFS}
"""What is no file on a disk says this when it is to be synchronised: a pipe, a terminal."""


class Archive(Protocol):
    """``written``: bytes so far."""

    written: int

    def append(self, lines: Sequence[bytes]) -> None:
        """Returns when they are as safe as this target can make them. A line ends where it should."""
        ...

    def close(self) -> None: ...


def check_target(target: object) -> Target:
    """``InvalidInput`` for what is neither a path nor a file. Touches nothing."""
    allowed = "allowed is the path of a file, or an open file"
    if isinstance(target, PathLike):
        target = os.fspath(target)
    if isinstance(target, str):
        return check_text(target, field=FIELD, least=1, most=_LONGEST_PATH)
    if isinstance(target, type) or not callable(getattr(target, "write", None)):
        raise InvalidInput(f"is a {type(target).__name__}; {allowed}", field=FIELD)
    return cast(Target, target)


def open_archive(target: Target) -> Archive:
    """A path is made where it is not there, and appended to where it is. A file of the caller's is left open."""
    if isinstance(target, str | PathLike):
        return PathArchive(os.fspath(target))
    return FileArchive(target)


class PathArchive:
    """Locked for as long as it is open: of two archives to one file the second is refused."""

    def __init__(self, path: str) -> None:
        self.written = 0
        self._path = path
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise InvalidInput(
                f"{path}: {error.strerror}; allowed is a file that can be written", field=FIELD
            ) from error
        try:
            if not stat.S_ISREG(os.fstat(self._file).st_mode):
                raise InvalidInput(f"{path} is no regular file; allowed is one, or an open file", field=FIELD)
            self._lock()
            self._mend()
            self._name_it()
        except BaseException:
            os.close(self._file)
            raise

    def append(self, lines: Sequence[bytes]) -> None:
        """``UsageError`` where the disk does not take them; the runs stay then."""
        left = memoryview(b"".join(lines))
        self.written += len(left)
        try:
            while left:
                left = left[os.write(self._file, left) :]
            os.fsync(self._file)
        except OSError as error:
            why = f"{self._path}: {error.strerror}; what is not written is not pruned"
            raise UsageError(why, field=FIELD, code="archive_not_written") from error

    def close(self) -> None:
        os.close(self._file)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InvalidInput(f"{self._path} is being written by another archive; wait for it", field=FIELD) from error

    def _mend(self) -> None:
        """A line that its writer could not end is taken away: its run was not pruned, and comes again."""
        size = os.fstat(self._file).st_size
        begin = self._last_line(size)
        if begin == size:
            return
        if not LINE_BEGINS.startswith(os.pread(self._file, len(LINE_BEGINS), begin)[: size - begin]):
            why = (
                f"{self._path} ends in the middle of a line that no archive began; allowed is an archive or a new file"
            )
            raise InvalidInput(why, field=FIELD)
        os.ftruncate(self._file, begin)

    def _last_line(self, size: int) -> int:
        """Where it begins; the size where the file ends with the end of a line."""
        end = size
        while end > 0:
            start = max(0, end - _CHUNK)
            found = os.pread(self._file, end - start, start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
        return 0

    def _name_it(self) -> None:
        """A new file's name is on the disk with it."""
        os.fsync(self._file)
        folder = os.open(Path(self._path).resolve().parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class FileArchive:
    """An open file of the caller's: of bytes, or of text in UTF-8. It is flushed, and synchronised where it is on a
    disk.
    """

    def __init__(self, file: Any) -> None:
        self.written = 0
        self._file = file
        self._is_text = isinstance(file, io.TextIOBase)

    def append(self, lines: Sequence[bytes]) -> None:
        whole = b"".join(lines)
        self.written += len(whole)
        if self._is_text:
            self._file.write(whole.decode())
        else:
            self._write(whole)
        if hasattr(self._file, "flush"):
            self._file.flush()
        self._sync()

    def close(self) -> None:
        """It is the caller's."""

    def _write(self, whole: bytes) -> None:
        """An unbuffered file may take less than it is given, and says how much."""
        while whole:
            taken = self._file.write(whole)
            if not isinstance(taken, int) or taken >= len(whole):
                return
            whole = whole[taken:]

    def _sync(self) -> None:
        try:
            os.fsync(self._file.fileno())
        except (AttributeError, io.UnsupportedOperation):  # no file of the system's
            return
        except OSError as error:
            if error.errno not in _NO_DISK:
                raise
