"""Lines of bytes to and from a child process, neither of which can hold up who speaks: each wait has an end."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from contextlib import suppress


class TooLong(Exception):
    """A line is longer than it may be."""


class Pipes:
    """This side's ends of two pipes; they are made non-blocking, and closed by :meth:`close`. Not thread-safe."""

    def __init__(self, writing: int, reading: int, *, longest: int) -> None:
        for end in (writing, reading):
            os.set_blocking(end, False)
        self._writing = writing
        self._reading = reading
        self._longest = longest
        self._buffer = bytearray()
        self._searched = 0
        self.ended = False
        """The other side has closed its end, and what it said before was read."""

    def send(self, line: bytes, *, wait: float, give_up: Callable[[], bool]) -> bool:
        """Whether all of it was written. ``give_up`` is asked every ``wait`` seconds for as long as nobody reads. A
        pipe that is closed takes everything: how the other side has ended, its end says.
        """
        left = memoryview(line)
        while left:
            try:
                left = left[os.write(self._writing, left) :]
            except BlockingIOError:
                if give_up():
                    return False
                _ready(self._writing, select.POLLOUT, wait)
            except BrokenPipeError:
                return True
        return True

    def receive(self, wait: float) -> bytes | None:
        """The next line, without its end; None where none has come within ``wait`` seconds."""
        line = self._take()
        if line is None and not self.ended and _ready(self._reading, select.POLLIN, wait):
            self._read()
            line = self._take()
        return line

    def close(self) -> None:
        for end in (self._writing, self._reading):
            with suppress(OSError):
                os.close(end)

    def _read(self) -> None:
        with suppress(BlockingIOError):
            data = os.read(self._reading, 1 << 16)
            self.ended = not data
            self._buffer += data

    def _take(self) -> bytes | None:
        at = self._buffer.find(b"\n", self._searched)
        if at < 0:
            self._searched = len(self._buffer)
            if self._searched > self._longest:
                raise TooLong
            return None
        line = bytes(self._buffer[:at])
        del self._buffer[: at + 1]
        self._searched = 0
        return line


def _ready(end: int, event: int, wait: float) -> bool:
    poll = select.poll()
    poll.register(end, event)
    return bool(poll.poll(max(1, int(wait * 1000))))
