"""Real PostgreSQL servers for tests: from a wheel, on loopback, in their own folder, ended by their process ids."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg
from psycopg import sql

from squidmesh.testing import processes
from squidmesh.testing.postgres_programs import Account, programs, reachable_folder
from squidmesh.testing.processes import PATIENCE, PAUSE, NoServer, end, free_port, last_words

_WATCHER = Path(__file__).with_name("watcher.py")
_IPC_RMID = 0
_ANSWERS = ("ready", "standby")
"""What it writes down when it answers; the second one, where its data have a ``standby.signal``."""
_FULL = ("too many clients", "remaining connection slots")


class Postgres:
    """One server, with all its processes. A context manager, whose end removes the data.

    ``folder`` gets its log, and its data too where the server's user can reach it (see
    :mod:`squidmesh.testing.postgres_programs`). ``settings`` are lines of its configuration, as
    ``("max_connections", "20")``. ``templates`` is a folder in which an empty cluster of each version is kept for the
    next server, also by several processes at once. Raises :class:`NoServer` where there is no such version.

    Without ``durable`` it does not wait for the disk (``fsync=off``). What it committed survives :meth:`kill` all the
    same: the pages are in the kernel's hands, which does not die with the server. Only a real power cut would tell.

    It keeps its port and its data over :meth:`kill`, :meth:`stop` and :meth:`start`. When the process that started it
    ends, of whatever, a watcher ends the server and removes its data.
    """

    def __init__(
        self,
        folder: Path,
        *,
        version: str = "18",
        durable: bool = False,
        settings: Sequence[tuple[str, str]] = (),
        templates: Path | None = None,
    ) -> None:
        self.version = version
        self.folder = folder
        self.port = free_port()
        self._account = Account.of_servers()
        self._programs = programs(version)
        self._templates = templates
        self._settings = [
            ("fsync", "on" if durable else "off"),
            ("max_connections", "100"),
            ("shared_buffers", "32MB"),
            # In files of its own folder: nothing stays in /dev/shm when it is killed.
            ("dynamic_shared_memory_type", "mmap"),
            *settings,
        ]
        self._home: Path | None = None
        self._watcher: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Of the database ``postgres``, for a superuser."""
        return self._url("postgres")

    @property
    def pid(self) -> int:
        """Of the process that all others descend from."""
        return self._running().pid

    @property
    def running(self) -> bool:
        """False too where it has ended by itself, as one does that can not recover."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def start(self) -> Postgres:
        """Returns when the server answers. A port that was taken meanwhile is exchanged for another."""
        if self.running:
            raise NoServer(f"this PostgreSQL {self.version} is running already")
        if self._home is not None:
            return self._start()
        try:
            self._move_in()
            return self._start()
        except BaseException:
            self.close()
            raise

    def stop(self) -> None:
        """SIGINT, a fast shutdown: sessions are ended, and everything is saved."""
        if self._process is not None:
            processes.resume(self._process.pid)
            self._wait_while_it_recovers(self._process)
            end(self._process, signal.SIGINT, otherwise=self.kill)
            self._is_gone()

    def kill(self) -> None:
        """SIGKILL to all its processes at one moment, as when the machine dies: the next start has to recover. Returns
        when they have ended, and their shared memory is given back."""
        process = self._running()
        memory = self._shared_memory()
        processes.kill(process.pid)
        process.wait(PATIENCE)
        if memory is not None:
            _give_back(memory)
        self._is_gone()

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        """Stops it, and removes its data; the log stays. It can be started again, empty."""
        self.stop()
        if self._watcher is not None:
            assert self._watcher.stdin is not None
            self._watcher.stdin.close()
            if code := self._watcher.wait(PATIENCE):
                raise RuntimeError(f"the data of a server were not removed ({code}): {last_words(self.log)}")
        self._home = self._watcher = None

    def freeze(self) -> None:
        """SIGSTOP to all its processes: it is there, and answers nobody."""
        processes.freeze(self.pid)

    def resume(self) -> None:
        """SIGCONT."""
        processes.resume(self.pid)

    def backends(self) -> list[int]:
        """The processes that serve a client now, the oldest first, without the one that is asked."""
        rows = self.execute(
            "SELECT pid FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY backend_start"
        )
        return [pid for (pid,) in rows]

    def create_database(self, name: str) -> str:
        """An empty one; returns its URL."""
        self._execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        return self._url(name)

    def drop_database(self, name: str) -> None:
        """With whoever is still connected."""
        self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def execute(
        self, statement: str, parameters: Sequence[object] = (), *, database: str = "postgres"
    ) -> list[tuple[Any, ...]]:
        """The rows of one statement, in a connection and a transaction of its own. For what a test does to a server
        behind a client's back."""
        return self._execute(statement.encode(), parameters, database=database)

    def __enter__(self) -> Postgres:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def _execute(
        self, statement: bytes | sql.Composed, parameters: Sequence[object] = (), *, database: str = "postgres"
    ) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._url(database), autocommit=True, connect_timeout=int(PATIENCE)) as connection:
            cursor = connection.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []

    @property
    def _data(self) -> Path:
        assert self._home is not None
        return self._home / "data"

    def _move_in(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._home = reachable_folder(self.folder, self._account)
        with self.log.open("ab") as log:
            self._watcher = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_WATCHER), str(self._home)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # what ends this process and its group shall not end the watcher
            )
        self._programs = self._programs.reachable(self._account, self._home)
        if self._templates is None:
            self._make_data()
            return
        self._templates.mkdir(parents=True, exist_ok=True)
        template = self._templates / f"postgres-{self.version}"
        with _locked(template.with_suffix(".lock")):
            if not template.exists():
                self._make_data()
                # Whoever is killed on the way leaves no half of one.
                half = template.with_suffix(".half")
                shutil.rmtree(half, ignore_errors=True)
                shutil.copytree(self._data, half)
                half.rename(template)
                return
        shutil.copytree(template, self._data)
        self._account.own(self._data)

    def _make_data(self) -> None:
        self._data.mkdir(mode=0o700)
        self._account.own(self._data)
        how = ["--no-sync", "--auth=trust", "--username=postgres", "--locale=C", "--encoding=UTF8"]
        with self.log.open("ab") as log:
            made = self._spawn([str(self._programs.initdb), "-D", str(self._data), *how], log)
            if made.wait(PATIENCE):
                raise NoServer(f"PostgreSQL {self.version} makes no cluster: {last_words(self.log)}")

    def _start(self) -> Postgres:
        for _ in range(5):
            if self._starts():
                return self
            self.port = free_port()
        raise NoServer(f"PostgreSQL {self.version} does not start: {last_words(self.log)}")

    def _starts(self) -> bool:
        options = [
            ("listen_addresses", "127.0.0.1"),
            ("port", str(self.port)),
            ("unix_socket_directories", ""),
            *self._settings,
        ]
        settings = [part for name, value in options for part in ("-c", f"{name}={value}")]
        with self.log.open("ab") as log:
            self._process = self._spawn([str(self._programs.postgres), "-D", str(self._data), *settings], log)
        self._tell_watcher(self._process.pid)
        ends = time.monotonic() + PATIENCE
        while time.monotonic() < ends:
            if self._process.poll() is not None:
                self._is_gone()
                return False
            lines = self._lock_file()
            if len(lines) > 7 and lines[0] == str(self._process.pid) and lines[7].strip() in _ANSWERS:
                return True
            time.sleep(PAUSE)
        self.kill()
        return False

    def _wait_while_it_recovers(self, process: subprocess.Popen[bytes]) -> None:
        """One whose process was killed recovers, and may hang for ever if it is told to stop meanwhile (seen: 18.4)."""
        ends = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < ends:
            try:
                self.execute("SELECT 1")
            except psycopg.OperationalError as error:
                if any(words in str(error) for words in _FULL):
                    return
            else:
                return
            time.sleep(PAUSE)

    def _spawn(self, command: list[str], log: Any) -> subprocess.Popen[bytes]:
        another = self._account.is_another
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return subprocess.Popen(
            command,
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            process_group=0,  # Ctrl-C is for the tests, which then end it
            user=self._account.user if another else None,
            group=self._account.group if another else None,
            extra_groups=[] if another else None,
        )

    def _lock_file(self) -> list[str]:
        """``postmaster.pid``: the first line is its process id, the 7th its shared memory, the 8th how far it is."""
        try:
            return (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _shared_memory(self) -> int | None:
        lines = self._lock_file()
        return int(lines[6].split()[1]) if len(lines) > 6 and lines[6].strip() else None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise NoServer(f"this PostgreSQL {self.version} is not running")
        return self._process

    def _is_gone(self) -> None:
        self._process = None
        self._tell_watcher(0)

    def _tell_watcher(self, pid: int) -> None:
        assert self._watcher is not None and self._watcher.stdin is not None
        self._watcher.stdin.write(b"%d\n" % pid)
        self._watcher.stdin.flush()


def _give_back(memory: int) -> None:
    """Removes the small segment by which a server sees whether another one is at its data. The next start would."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.shmctl(memory, _IPC_RMID, None) and (code := ctypes.get_errno()) not in (errno.EINVAL, errno.EIDRM):
        raise OSError(code, f"shared memory {memory}: {os.strerror(code)}")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
