"""The pen of one process: numbers its calls, and writes their lines to the file of its history."""

from __future__ import annotations

import itertools
import os
import secrets
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from chaos.history import SUFFIX, AnyLine, Began, Fault, Harm, Note, encode

_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Recorder:
    """Thread-safe: the lines of one :meth:`write` are one write to a file that is appended to. They are with the system
    when it returns, so a kill of the process loses none of them; a power cut may. An ``OSError`` of the file is the
    caller's: a process that can not write its history must not go on as if it did.
    """

    def __init__(self, folder: Path, *, process: str, clock: Callable[[], int] = time.monotonic_ns) -> None:
        """``process``: what its file is called, with its number and a few random letters. ``clock``: nanoseconds, for
        those who have a virtual one.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.process = f"{process}-{os.getpid()}-{secrets.token_hex(2)}"
        self.mono = clock
        self._calls = itertools.count(1)
        self._marks = itertools.count(1)
        path = folder / f"{self.process}{SUFFIX}"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        boot = _BOOT.read_text().strip() if _BOOT.exists() else ""
        began = Began(mono=self.mono(), process=self.process, pid=os.getpid(), boot=boot, at=time.time_ns() // 1000)
        self.write([began])

    def call(self) -> int:
        """The number of the next call."""
        return next(self._calls)

    def write(self, lines: Iterable[AnyLine]) -> None:
        left = memoryview(encode(lines))
        while left:
            left = left[os.write(self._file, left) :]

    def fault_applied(self, name: str, *, harm: Harm, target: str = "", at: int | None = None, detail: str = "") -> int:
        """Write this *before* it is done. The mark that :meth:`fault_healed` wants. ``at``: now by the wall clock,
        unless told.
        """
        mark = next(self._marks)
        self._fault(name, harm=harm, target=target, at=at, detail=detail, mark=mark, healed=False)
        return mark

    def fault_healed(
        self, mark: int, name: str, *, harm: Harm, target: str = "", at: int | None = None, detail: str = ""
    ) -> None:
        """Write this *after* it is over."""
        self._fault(name, harm=harm, target=target, at=at, detail=detail, mark=mark, healed=True)

    def note(self, name: str, detail: str = "") -> None:
        self.write([Note(mono=self.mono(), name=name, detail=detail)])

    def close(self) -> None:
        os.close(self._file)

    def _fault(
        self, name: str, *, harm: Harm, target: str, at: int | None, detail: str, mark: int, healed: bool
    ) -> None:
        self.write(
            [
                Fault(
                    mono=self.mono(),
                    name=name,
                    phase="healed" if healed else "applied",
                    mark=mark,
                    harm=harm,
                    at=time.time_ns() // 1000 if at is None else at,
                    target=target,
                    detail=detail,
                )
            ]
        )
