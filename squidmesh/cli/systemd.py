"""What systemd wants to hear of a ``Type=notify`` service: ready, stopping, a line of status, and that it lives.

``NOTIFY_SOCKET`` and what belongs to it is taken out of the environment, so that no child speaks in this one's name. A
parent of several workers speaks for them: they tell it the same words through a pipe.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, MutableMapping
from contextlib import suppress

EXTENDS = "EXTEND_TIMEOUT_USEC"
"""A service that waits for its stores is not late: it asks for more time to start."""
WAITS = 10.0
"""Seconds between two such words."""


class Notifier:
    """``send``: None where nobody listens, so that nothing is said. ``watchdog``: seconds after which a silent service
    is given up; None where it is not.
    """

    def __init__(self, send: Callable[[bytes], object] | None = None, *, watchdog: float | None = None) -> None:
        self._send = send
        self.listens = send is not None
        self.watchdog = watchdog if self.listens else None

    @property
    def every(self) -> float:
        """Seconds from one sign of life to the next."""
        return WAITS if self.watchdog is None else min(WAITS, self.watchdog / 2)

    def say(self, *words: str) -> None:
        """``NAME=value``, all in one message. A word that does not arrive is lost: nobody here can help that."""
        if self._send is not None:
            with suppress(OSError):
                self._send("\n".join(word.replace("\n", " ") for word in words).encode("utf-8", "replace"))

    def more_time(self) -> str:
        """The word of a service that still waits."""
        return f"{EXTENDS}={int(3 * WAITS * 1e6)}"


def take_over(environment: MutableMapping[str, str] = os.environ) -> Notifier:
    """The notifier of this process. A watchdog that is meant for another one (``WATCHDOG_PID``) is none."""
    address = environment.pop("NOTIFY_SOCKET", "")
    microseconds = environment.pop("WATCHDOG_USEC", "")
    meant = environment.pop("WATCHDOG_PID", str(os.getpid()))
    if not address.startswith(("/", "@")):
        return Notifier()  # nobody listens, or in a way that only virtual machines have
    mine = meant == str(os.getpid()) and microseconds.isascii() and microseconds.isdecimal()
    watchdog = int(microseconds) / 1e6 if mine else 0.0
    target = "\0" + address[1:] if address.startswith("@") else address

    def send(message: bytes) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
            line.setblocking(False)
            line.sendto(message, target)

    return Notifier(send, watchdog=watchdog or None)


def to_parent(descriptor: int, watchdog: float | None) -> Notifier:
    """``descriptor``: the write end of a pipe that the parent reads, a word a line."""
    os.set_inheritable(descriptor, False)
    os.set_blocking(descriptor, False)
    return Notifier(lambda message: os.write(descriptor, message + b"\n"), watchdog=watchdog)
