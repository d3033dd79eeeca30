"""A memory limit that the kernel enforces by killing: a control group, where this machine lets us make one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")


@contextmanager
def limited_group(megabytes: int) -> Iterator[Path | None]:
    """The file into which a process writes its id to stand under the limit; None where no group can be made."""
    found = _made(megabytes)
    if found is None:
        yield None
        return
    try:
        yield found / "cgroup.procs"
    finally:
        found.rmdir()


def kills_of(procs: Path) -> int:
    """How often the kernel has killed in that group."""
    for name in ("memory.events", "memory.oom_control"):
        file = procs.parent / name
        if file.exists():
            counts = dict(line.split() for line in file.read_text().splitlines())
            return int(counts["oom_kill"])
    raise AssertionError(f"{procs.parent} counts nothing")


def _made(megabytes: int) -> Path | None:
    name = f"squidmesh-test-{os.getpid()}"
    for parent, limit in ((_ROOT / "memory", "memory.limit_in_bytes"), (_ROOT, "memory.max")):
        group = parent / name
        try:
            group.mkdir()
        except OSError:
            continue
        if (group / limit).exists():
            (group / limit).write_text(str(megabytes * 1024 * 1024))
            return group
        group.rmdir()
    return None
