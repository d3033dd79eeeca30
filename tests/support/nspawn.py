"""A real systemd as the first process of a container over this machine's own files, for tests that run with ``--all``.

Needs root. It shares the network with this machine, and nothing else: what it writes is gone at its end.
"""

import errno
import fcntl
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from squidmesh.testing.processes import PATIENCE, PAUSE, family, last_words
from tests.support.debian import files_of

_CONTROL_GROUPS = Path("/sys/fs/cgroup")
_OF_NSPAWN = ("payload", "supervisor")
"""Its control groups. Where systemd is not the first process, it wants them to be there."""
_SCRIPT = Path(__file__).with_name("nspawn.sh")


class Container:
    """A context manager. ``prepared``: a folder with files as they shall stand, from the root on."""

    def __init__(self, folder: Path, prepared: Path) -> None:
        if os.geteuid() != 0:
            pytest.fail("a container needs root", pytrace=False)
        self.log = folder / "nspawn.log"
        self._nspawn = files_of("systemd-container", "bin/systemd-nspawn")[0]
        self._prepared = prepared
        self._mounts = folder / "mounts"
        self._mounts.mkdir(parents=True)

    def __enter__(self) -> Self:
        # One at a time: their control groups have the same names.
        self._lock = (Path(tempfile.gettempdir()) / "squidmesh-nspawn").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        for name in _OF_NSPAWN:
            (_home() / name).mkdir(exist_ok=True)
        command = ["unshare", "--mount", "--propagation=private", "sh", _SCRIPT]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*map(str, command), str(self._mounts), str(self._prepared), str(self._nspawn)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            self._first = self._wait_for_systemd()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def run(self, *command: str, within: float = 90.0) -> str:
        """What the command says; it has to succeed."""
        entered = ["nsenter", f"--target={self._first}", "--mount", "--pid", "--uts", "--ipc", "--"]
        done = subprocess.run([*entered, *command], capture_output=True, text=True, timeout=within)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Properties of a unit."""
        told = self.run("systemctl", "show", unit, *(f"--property={name}" for name in properties))
        return dict(line.split("=", 1) for line in told.splitlines())

    def _wait_for_systemd(self) -> int:
        """Its process as this machine sees it, once it answers."""
        ends = time.monotonic() + 3 * PATIENCE
        while time.monotonic() < ends:
            if self._process.poll() is not None:
                break
            for pid in family(self._process.pid):
                if _name(pid) == "systemd":
                    self._first = pid
                    try:
                        self.run("systemctl", "is-active", "--quiet", "basic.target")
                    except AssertionError:
                        continue
                    return pid
            time.sleep(10 * PAUSE)
        pytest.fail(f"no systemd in a container: {last_words(self.log)}", pytrace=False)

    def _end(self) -> None:
        """The end of nspawn is the end of all that runs in it."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        ends = time.monotonic() + PATIENCE
        while not _are_removed(_groups()):
            assert time.monotonic() < ends, f"{_groups()} do not empty"
            time.sleep(PAUSE)
        self._lock.close()


def _home() -> Path:
    """This process's control group, in the hierarchy that systemd asks."""
    home = _CONTROL_GROUPS
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, own = line.split(":", 2)
        if controllers == "name=systemd":
            return _CONTROL_GROUPS / "systemd" / own.lstrip("/")
        if not controllers:
            home = _CONTROL_GROUPS / own.lstrip("/")
    return home


def _groups() -> list[Path]:
    """Those of nspawn, the inner ones first."""
    made = [_home() / name for name in _OF_NSPAWN if (_home() / name).is_dir()]
    inner = [path for group in made for path in group.rglob("*") if path.is_dir()]
    return sorted((*made, *inner), reverse=True)


def _are_removed(groups: list[Path]) -> bool:
    """Not while a process of them is on its way out."""
    try:
        for group in groups:
            group.rmdir()
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""
