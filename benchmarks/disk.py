"""The yardstick: how often a second the bare disk takes 4 KiB and says that it has them."""

from __future__ import annotations

import os
import time
from pathlib import Path

from benchmarks.report import Figure, Printer, Table
from benchmarks.scale import Scale

_BLOCK = b"\xa5" * 4096
_BLOCKS = 1024
"""The file is filled first and then written over and over, as SQLite does with its log."""
_sync = getattr(os, "fdatasync", os.fsync)


def measure(scale: Scale, folder: Path, printer: Printer) -> list[Table]:
    rates, halves = [], []
    for repeat in range(scale.repeats):
        printer.progress(f"disk, repeat {repeat + 1} of {scale.repeats}")
        took = sorted(_commits(folder / "disk", scale.disk))
        rates.append(len(took) / sum(took))
        halves.append(took[len(took) // 2] * 1e6)
    row = ("write and fdatasync of 4 KiB", Figure(tuple(rates)), Figure(tuple(halves)))
    columns = ("bare disk", "commits/s", "p50, µs")
    return [Table(name="disk", title="The disk alone", columns=columns, rows=(row,))]


def _commits(path: Path, seconds: float) -> list[float]:
    """How long each took."""
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        os.pwrite(file, _BLOCK * _BLOCKS, 0)
        os.fsync(file)
        took: list[float] = []
        now = time.perf_counter()
        ends = now + seconds
        while not took or now < ends:
            os.pwrite(file, _BLOCK, len(took) % _BLOCKS * len(_BLOCK))
            _sync(file)
            before, now = now, time.perf_counter()
            took.append(now - before)
        return took
    finally:
        os.close(file)
        path.unlink()
