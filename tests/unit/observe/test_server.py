"""The listener: three pages, bounded requests, and no way to hold it up."""

import http.client
import socket
import threading
from collections.abc import Iterator

import pytest

from squidmesh.observe.server import Answer, Listener, Route, verdict

WAIT = 20.0


def odd(accept: str) -> Answer:
    raise ValueError("odd")


@pytest.fixture(params=["127.0.0.1", "::1"])
def listener(request: pytest.FixtureRequest) -> Iterator[Listener]:
    routes: dict[str, Route] = {
        "/livez": lambda accept: verdict(None),
        "/readyz": lambda accept: verdict("draining"),
        "/odd": odd,
    }
    listener = Listener(request.param, 0, routes)
    listener.start()
    yield listener
    listener.close()


def ask(listener: Listener, method: str, path: str) -> tuple[int, str, http.client.HTTPMessage]:
    host, port = listener.url.removeprefix("http://").rsplit(":", 1)
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=WAIT)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.headers
    finally:
        connection.close()


def test_it_answers_get_and_head_and_nothing_else(listener: Listener):
    assert ask(listener, "GET", "/livez")[:2] == (200, "ok\n")
    assert ask(listener, "GET", "/readyz?verbose")[:2] == (503, "draining\n")
    status, body, headers = ask(listener, "HEAD", "/livez")
    assert (status, body, headers["Content-Length"]) == (200, "", "3")
    assert ask(listener, "GET", "/")[:2] == (404, "allowed are /livez, /readyz, /odd\n")
    status, body, headers = ask(listener, "POST", "/livez")
    assert (status, body, headers["Allow"]) == (405, "allowed are GET and HEAD\n", "GET, HEAD")


def test_a_fault_of_a_page_is_an_answer(listener: Listener):
    assert ask(listener, "GET", "/odd")[:2] == (500, "ValueError: odd\n")


def test_who_says_nothing_holds_nobody_up(listener: Listener):
    host, port = listener.url.removeprefix("http://").rsplit(":", 1)
    silent = [socket.create_connection((host.strip("[]"), int(port)), WAIT) for _ in range(8)]
    try:
        assert ask(listener, "GET", "/livez")[0] == 200
        closing = threading.Thread(target=listener.close)
        closing.start()
        closing.join(WAIT)
        assert not closing.is_alive()
    finally:
        for one in silent:
            one.close()


def test_a_port_that_is_taken_is_told():
    first = Listener("127.0.0.1", 0, {})
    try:
        with pytest.raises(OSError, match="in use"):
            Listener("127.0.0.1", int(first.url.rsplit(":", 1)[1]), {})
    finally:
        first.close()
