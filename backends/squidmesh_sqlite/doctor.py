"""What a doctor sees of a file: whether it is ours, whole, safe on its disk, and where a database may be."""

from __future__ import annotations

import re
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from squidmesh.errors import BackendError, SchemaTooNew, UsageError
from squidmesh.ports.backend import Finding, Level
from squidmesh_sqlite.faults import translated
from squidmesh_sqlite.forks import FORKS
from squidmesh_sqlite.pool import connect
from squidmesh_sqlite.schema import Schema
from squidmesh_sqlite.statements import load, migrations

CHECK_LIMIT = 10.0
"""Seconds that a file is checked for; a big one is then given up, with what was found until then."""
LEAST_FREE = 64 * 2**20
"""Bytes on the disk, below which it is time to do something about it."""
MOUNTS = Path("/proc/self/mountinfo")
"""Where Linux tells which file system a folder is on; elsewhere nobody asks."""

_EVERY = 10_000
"""Instructions of SQLite between two looks at the time."""
_FULL = 2
_OTHER_MACHINES = re.compile(
    r"nfs\d?|cifs|smb\w*|afs|ncpfs|ceph|glusterfs|lustre|beegfs|gpfs|fuse\.(sshfs|glusterfs|ceph.*|s3fs.*|rclone|gcsfuse)"
)
_SQL = load("doctor")
_DURABLE = load("connection")["durable"]


def examine(schema: Schema, factory: type[sqlite3.Connection]) -> list[Finding]:
    """Changes nothing and raises nothing. The later looks are taken where the earlier ones allow them."""
    path = schema.path
    found = [_place(path)]
    try:
        version = schema.version()
    except (BackendError, UsageError) as error:
        found.append(_refused("schema" if isinstance(error, SchemaTooNew) else "file", str(error), _A_FILE))
        return found + _disk(path)
    found.append(_file(path, version))
    if version:
        found.append(_schema(version))
        found += _inside(path, factory)
    return found + _disk(path)


_A_FILE = "a file of Squid Mesh that can be read and written, of this version or an older one"


def _place(path: Path) -> Finding:
    kind = file_system(path.parent)
    if kind is None:
        return _ok("file_system", "not known", "a disk of this machine")
    level: Level = "refused" if _OTHER_MACHINES.fullmatch(kind) else "ok"
    return _finding("file_system", level, kind, "a disk of this machine: over a network locks and the log do not hold")


def file_system(folder: Path, mounts: Path = MOUNTS) -> str | None:
    """The kind that the folder is on, such as ``ext4``; None where it can not be told."""
    try:
        lines, where = mounts.read_text("utf-8", "replace").splitlines(), folder.resolve()
    except OSError:
        return None
    best: tuple[int, str] | None = None
    for line in lines:
        left, separator, right = line.partition(" - ")
        if not separator:
            continue
        point = Path(re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), left.split()[4]))
        if where.is_relative_to(point) and (best is None or len(point.parts) >= best[0]):  # the last one is on top
            best = len(point.parts), right.split()[0]
    return best[1] if best is not None else None


def _file(path: Path, version: int) -> Finding:
    if not version:
        return _finding("file", "warning", f"{path} is not there yet", "the first verb makes it, or squidmesh migrate")
    log = path.with_name(f"{path.name}-wal")
    found = f"{path}, {_bytes(_size(path))}"
    if logged := _size(log):
        found += f", and {_bytes(logged)} of log"
    return _ok("file", found, "a file that can be read and written")


def _schema(version: int) -> Finding:
    newest = migrations()[-1].number
    level: Level = "ok" if version == newest else "refused"
    return _finding("schema", level, str(version), f"{newest}: squidmesh migrate brings it there")


def _inside(path: Path, factory: type[sqlite3.Connection]) -> Iterator[Finding]:
    for name, look in (("journal_mode", _journal_mode), ("synchronous", _synchronous), ("quick_check", _quick_check)):
        try:
            with FORKS.steady(path), translated(path), closing(connect(path, "ro", factory)) as connection:
                yield look(connection)
        except (BackendError, UsageError) as error:
            yield _refused(name, str(error), "a file that can be read")


def _journal_mode(connection: sqlite3.Connection) -> Finding:
    (mode,) = connection.execute(_SQL["journal_mode"]).fetchone()
    wanted = "wal: readers and the writer do not wait for each other; the next process that works with it sets that"
    return _finding("journal_mode", "ok" if mode == "wal" else "warning", mode, wanted)


def _synchronous(connection: sqlite3.Connection) -> Finding:
    connection.executescript(_DURABLE)
    (level,) = connection.execute(_SQL["synchronous"]).fetchone()
    names = {0: "OFF", 1: "NORMAL", 2: "FULL", 3: "EXTRA"}
    wanted = "FULL for commits: each is on the disk when it returns"
    return _finding("synchronous", "ok" if level >= _FULL else "refused", names.get(level, str(level)), wanted)


def _quick_check(connection: sqlite3.Connection) -> Finding:
    wanted = "ok; a damaged file must be restored"
    ends = time.monotonic() + CHECK_LIMIT
    connection.set_progress_handler(lambda: time.monotonic() > ends, _EVERY)
    try:
        faults = [fault for (fault,) in connection.execute(_SQL["quick_check"])]
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return _finding("quick_check", "warning", f"not done within {CHECK_LIMIT:g} s: the file is big", wanted)
    return _finding("quick_check", "ok" if faults == ["ok"] else "refused", "; ".join(faults)[:500], wanted)


def _disk(path: Path) -> list[Finding]:
    try:
        free = shutil.disk_usage(path.parent).free
    except OSError:  # there is no such folder, which was told
        return []
    return [
        _finding(
            "disk", "ok" if free >= LEAST_FREE else "warning", f"{_bytes(free)} free", f"{_bytes(LEAST_FREE)} or more"
        )
    ]


def _size(path: Path) -> int:
    """In bytes; 0 where there is no such file (any more)."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if size >= 10 or unit == "bytes" else f"{size:.1f} {unit}"


def _finding(name: str, level: Level, found: str, wanted: str) -> Finding:
    return Finding(name=f"sqlite.{name}", level=level, found=found, wanted=wanted)


def _ok(name: str, found: str, wanted: str) -> Finding:
    return _finding(name, "ok", found, wanted)


def _refused(name: str, found: str, wanted: str) -> Finding:
    return _finding(name, "refused", found, wanted)
