"""``squidmesh worker --reload``, for development: the worker's process is another one after each change of the app.

The files are looked at, a few times a second: no dependency, and no difference between file systems. This process does
not import the app, so it survives whatever is wrong with it: a worker that ends by itself waits for the next change.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty

from squidmesh import UsageError
from squidmesh.cli import logs
from squidmesh.cli.signals import Events, Signalled, in_background

LOOK = 0.3
"""Seconds between two looks at the files."""
_NOT_THE_APPS = {"__pycache__", "node_modules", "site-packages"}
Stamps = dict[str, tuple[int, int]]
"""By path: when it was written, in nanoseconds, and its size."""


@dataclass(frozen=True, slots=True)
class _Ended:
    process: subprocess.Popen[bytes]
    code: int


class Reloading:
    """``arguments``: of the worker's own process. ``folder``: below it, all ``.py`` files are watched."""

    def __init__(self, arguments: Sequence[str], folder: Path) -> None:
        self._arguments = list(arguments)
        self._folder = folder
        self._events: Events[_Ended] = Events()
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        """Until told to leave; the code with which the last worker left, 0 where there was none then."""
        lifeline, held = os.pipe()
        try:
            with self._events:
                logs.info("reload_watches", folder=self._folder)
                stamps = stamps_of(self._folder)
                while True:
                    self._start(lifeline)
                    told = self._until_changed(stamps)
                    if isinstance(told, Signalled):
                        return self._leave(told)
                    stamps = told
                    if isinstance(told_now := self._end(), Signalled):
                        return self._leave(told_now)
        finally:
            os.close(held)
            os.close(lifeline)

    def _start(self, lifeline: int) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "squidmesh", *self._arguments, f"--lifeline={lifeline}"],
            stdin=subprocess.DEVNULL,
            pass_fds=(lifeline,),
            process_group=0,  # a terminal's Ctrl-C reaches this process alone, which passes it on: once, not twice
        )
        self._process = process
        in_background(lambda: self._events.put(_Ended(process, process.wait())))

    def _until_changed(self, stamps: Stamps) -> Stamps | Signalled:
        """The new stamps, once the files have come to rest; or the signal that came before."""
        before = stamps
        while True:
            try:
                event = self._events.get(LOOK)
            except Empty:
                now = stamps_of(self._folder)
                if now not in (stamps, before):
                    before = now  # somebody writes still, maybe: once more
                elif now != stamps:
                    logs.info("reload", changed=", ".join(_changed(stamps, now, self._folder)))
                    return now
                continue
            if isinstance(event, Signalled):
                return event
            self._gone(event)
            logs.warning("reload_waits", code=event.code, until="a file changes")

    def _end(self) -> Signalled | None:
        """Lets the worker drain. A signal may come meanwhile."""
        if self._process is not None:
            self._process.terminate()
        while self._process is not None:
            event = self._events.get()
            if isinstance(event, Signalled):
                return event
            self._gone(event)
        return None

    def _leave(self, told: Signalled) -> int:
        code = 0
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
        while self._process is not None:
            event = self._events.get()
            if isinstance(event, Signalled):
                self._process.send_signal(signal.SIGTERM)  # the second one: it leaves at once
            else:
                code = event.code
                self._gone(event)
        # One that was not ready to drain dies of the signal itself: it had claimed nothing yet.
        return 0 if code in (0, -signal.SIGTERM) else 1

    def _gone(self, ended: _Ended) -> None:
        if ended.process is self._process:
            self._process = None


def folder_of(app: str) -> Path:
    """Where the module of ``MODULE:ATTRIBUTE`` stands, which is not imported for that. ``UsageError`` where there is no
    such module, or it is no file.
    """
    top = app.partition(":")[0].partition(".")[0]
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = importlib.util.find_spec(top) if top.isidentifier() else None
    except (ImportError, ValueError):
        found = None
    if found is None:
        raise UsageError(f"there is no module {top!r}", field="--app", code="invalid_app")
    if found.submodule_search_locations:
        return Path(next(iter(found.submodule_search_locations)))
    if found.origin is None or not Path(found.origin).is_file():
        raise UsageError(f"{top!r} is no file that could be watched", field="--app", code="invalid_app")
    return Path(found.origin).parent


def stamps_of(folder: Path) -> Stamps:
    """Of all ``.py`` files below. Hidden folders, caches and installed packages are left out."""
    return dict(_stamps(folder))


def _stamps(folder: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _NOT_THE_APPS]
        for name in files:
            if name.endswith(".py"):
                path = Path(place, name)
                try:
                    found = path.stat()
                except FileNotFoundError:  # written anew by an editor just now: the next look sees it
                    continue
                yield str(path), (found.st_mtime_ns, found.st_size)


def _changed(before: Stamps, now: Stamps, folder: Path) -> list[str]:
    paths = [path for path in {**before, **now} if before.get(path) != now.get(path)]
    return sorted(os.path.relpath(path, folder) for path in paths)[:5]
