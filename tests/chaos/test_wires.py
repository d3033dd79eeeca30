"""A link is cut, healed and torn; and an answer is swallowed after the server has done as told."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from random import Random
from types import SimpleNamespace
from typing import cast

import pytest

from chaos.faults.fault import NoTarget, World
from chaos.faults.wire_faults import RedisTorn
from chaos.wires.redis_wire import RedisWire
from chaos.wires.wire import Wire


class Echo:
    """A server that says back what it hears, and counts it."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.heard: list[bytes] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(line,), daemon=True).start()

    def _answer(self, line: socket.socket) -> None:
        with line:
            while words := line.recv(1000):
                self.heard.append(words)
                line.sendall(words)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    with closing(Echo()) as server:
        yield server


def call(port: int) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", port), timeout=5)
    line.settimeout(5)
    return line


def test_what_is_sent_over_a_cut_link_arrives_when_it_heals(echo: Echo) -> None:
    with Wire(echo.port) as wire, call(wire.port) as line:
        line.sendall(b"one")
        assert line.recv(100) == b"one"
        wire.cut()
        line.sendall(b"two")
        line.settimeout(0.2)
        with pytest.raises(TimeoutError):
            line.recv(100)
        assert wire.held == 1
        assert echo.heard == [b"one"]
        wire.heal()
        line.settimeout(5)
        assert line.recv(100) == b"two"


def test_a_torn_link_ends_its_connections_and_lets_new_ones_through(echo: Echo) -> None:
    with Wire(echo.port) as wire:
        with call(wire.port) as line:
            line.sendall(b"one")
            assert line.recv(100) == b"one"
            assert wire.tear() == 1
            assert line.recv(100) == b""
        with call(wire.port) as line:
            line.sendall(b"two")
            assert line.recv(100) == b"two"
        assert wire.broken == 1


def test_a_link_that_nobody_uses_is_torn_later(echo: Echo) -> None:
    with RedisWire(echo.port) as wire:
        fault = RedisTorn(cast(World, SimpleNamespace(stores=SimpleNamespace(redis_wire=wire))), Random(1))
        with pytest.raises(NoTarget):
            fault.apply()
        with call(wire.port) as line:
            line.sendall(b"one")
            assert line.recv(100) == b"one"
            fault.apply()
            assert fault.seen() == "1 connections were torn"


def test_an_answer_is_swallowed_after_the_server_has_heard(echo: Echo) -> None:
    with RedisWire(echo.port) as wire:
        wire.swallow(1)
        with call(wire.port) as line:
            line.sendall(b"PING")
            assert line.recv(100) == b"PING", "answers to scripts only"
            line.sendall(b"EVALSHA 1")
            assert line.recv(100) == b"", "and the connection ends"
        assert echo.heard == [b"PING", b"EVALSHA 1"]
        assert wire.swallowed == 1
        wire.swallow(1)
        wire.spare()
        with call(wire.port) as line:
            line.sendall(b"EVALSHA 2")
            assert line.recv(100) == b"EVALSHA 2"
