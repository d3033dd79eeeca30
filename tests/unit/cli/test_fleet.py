"""A child that dies is replaced, and one that dies young again and again is replaced ever more slowly."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys

from squidmesh.cli import fleet
from squidmesh.cli.fleet import Fleet


class TellAfter(logging.Handler):
    """Tells this process to leave, once an event was logged that often; keeps what was logged."""

    def __init__(self, event: str, times: int) -> None:
        super().__init__()
        self.seen: list[dict[str, object]] = []
        self._event = event
        self._times = times

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() == self._event:
            self.seen.append(record.__dict__["squidmesh"])
            if len(self.seen) == self._times:
                os.kill(os.getpid(), signal.SIGTERM)


def run_until(handler: TellAfter, processes: int) -> int:
    logger = logging.getLogger("squidmesh")
    logger.addHandler(handler)
    try:
        return Fleet([], processes).run()
    finally:
        logger.removeHandler(handler)


def test_pauses_double_while_a_child_dies_young(monkeypatch):
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    monkeypatch.setattr(fleet, "_LONGEST_PAUSE", 0.004)
    handler = TellAfter("process_died", 5)
    children = [fleet._Child(1, pause=0.001)]
    monkeypatch.setattr(fleet, "_Child", lambda _: children[0])

    run_until(handler, 1)

    assert [fields["restart_in"] for fields in handler.seen] == [0.001, 0.002, 0.004, 0.004, 0.004]
    assert {fields["code"] for fields in handler.seen} == {1}


def test_a_child_that_grew_old_is_replaced_at_once_again(monkeypatch):
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    monkeypatch.setattr(fleet, "_YOUNG", 0.0)
    monkeypatch.setattr(fleet, "_SHORTEST_PAUSE", 0.001)
    handler = TellAfter("process_died", 4)

    run_until(handler, 1)

    assert {fields["restart_in"] for fields in handler.seen} == {0.001}


def test_an_interpreter_that_is_not_there_is_told_and_tried_again(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    handler = TellAfter("process_not_started", 2)

    assert run_until(handler, 2) == 0
    assert [fields["number"] for fields in handler.seen] == [1, 2]
