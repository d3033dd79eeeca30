"""The book of what steps did outside: each writes that it was entered, and that it was left. No part of the product.

A file a process, like the histories: JSON Lines, one write a line, so that a kill loses at most the line that was being
written. What the journal accepted is held against this book: an accepted result without an entry here was made up, and
one runnable under two idempotency keys has lost its identity.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from chaos.history import SUFFIX, Place, Unreadable

_encoder = msgspec.json.Encoder()


class Deed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``what``: the step was entered; or left, because it ``returned`` or ``raised``. ``key``: its idempotency key.
    ``at``: the wall clock in microseconds, for people; ``mono``: nanoseconds, as in a history. ``generation`` is there
    where the step was told. ``detail``: for people.
    """

    what: Literal["entered", "returned", "raised"]
    run: str
    step: str
    key: str
    attempt: int
    delivery: int
    fence: int
    process: str
    at: int
    mono: int
    generation: int | None = None
    detail: str = ""

    @property
    def runnable(self) -> str:
        return f"{self.run}/{self.step}"


_decoder = msgspec.json.Decoder(Deed)


class StepContext(Protocol):
    """What a book needs to know of a step: :class:`squidmesh.Context` has it."""

    @property
    def run_id(self) -> str: ...
    @property
    def runnable_key(self) -> str: ...
    @property
    def idempotency_key(self) -> str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def delivery(self) -> int: ...
    @property
    def fence(self) -> int: ...


class Ledger:
    """The writing side, for one process. Thread-safe: a line is one write to a file that is appended to."""

    def __init__(self, folder: Path, *, process: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._process = process
        self._file = os.open(
            folder / f"{process}{SUFFIX}", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )

    @contextmanager
    def step(self, context: StepContext) -> Iterator[None]:
        """Around what a step does. A process that dies within leaves the line of its entry alone."""
        self.write("entered", context)
        try:
            yield
        except BaseException as error:
            self.write("raised", context, detail=type(error).__name__)
            raise
        self.write("returned", context)

    def write(self, what: Literal["entered", "returned", "raised"], context: StepContext, *, detail: str = "") -> None:
        deed = Deed(
            what=what,
            run=context.run_id,
            step=context.runnable_key.partition("/")[2],
            key=context.idempotency_key,
            attempt=context.attempt,
            delivery=context.delivery,
            fence=context.fence,
            process=self._process,
            at=time.time_ns() // 1000,
            mono=time.monotonic_ns(),
            detail=detail,
        )
        os.write(self._file, _encoder.encode(deed) + b"\n")

    def close(self) -> None:
        os.close(self._file)


def read_ledger(path: Path) -> Iterator[tuple[Place, Deed | Unreadable]]:
    """One file, line by line."""
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            place = Place(path.name, number)
            try:
                yield place, _decoder.decode(raw)
            except ValueError as error:
                yield place, Unreadable(why=str(error), torn=not raw.endswith(b"\n"))
