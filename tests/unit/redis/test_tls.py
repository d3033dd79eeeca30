"""TLS: whom we believe, who we are, and what is said where that does not fit."""

import pytest
from squidmesh_redis import RedisBackend

from squidmesh.errors import BackendError, BackendUnavailable
from squidmesh.testing.lease_suite import claim, claimed, item, keys
from squidmesh.testing.planes import OfferPlane
from squidmesh.testing.processes import free_port
from squidmesh.testing.servers import Server
from tests.support.debian import files_of
from tests.support.outside import CERTIFICATE
from tests.support.tls_proxy import TlsProxy

OURS = f"ca={CERTIFICATE}&cert={CERTIFICATE}"


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    with Server("valkey", tmp_path_factory.mktemp("tls")) as server, TlsProxy(server.port, asks=True) as proxy:
        yield proxy.port


def works(url):
    backend = RedisBackend(url)
    plane = OfferPlane(backend.leases())
    plane.publish(item("ring"))
    assert claimed(claim(plane)) == keys("ring")
    levels = {one.name: one.level for one in backend.doctor()}
    assert levels["redis.server"] == levels["redis.transport"] == "ok"
    backend.close()


def test_a_server_that_is_believed_and_believes_us(port):
    works(f"rediss://localhost:{port}/0?{OURS}")


def test_a_certificate_that_is_not_believed_is_no_matter_of_waiting(port):
    backend = RedisBackend(f"rediss://localhost:{port}/0")
    with pytest.raises(BackendError, match="shows a certificate that is not believed") as error:
        backend.leases().check()
    assert not isinstance(error.value, BackendUnavailable)
    (told,) = [one.found for one in backend.doctor() if one.name == "redis.server"]
    assert "not believed" in told
    backend.close()


def test_who_shows_no_certificate_where_one_is_wanted_gets_no_answer(port):
    backend = RedisBackend(f"rediss://localhost:{port}/0?ca={CERTIFICATE}")
    with pytest.raises(BackendError):
        backend.leases().check()
    backend.close()


@pytest.mark.all
class TestRealServers:
    """With the system's own server: those of the wheels have no TLS."""

    def test_one_server(self, tmp_path):
        (program, *_) = files_of("redis-server", "bin/redis-server")
        port, pem = free_port(), str(CERTIFICATE)
        settings = [("tls-cert-file", pem), ("tls-key-file", pem), ("tls-ca-cert-file", pem), ("tls-port", str(port))]
        with Server("redis", tmp_path, program=program, settings=settings):
            works(f"rediss://localhost:{port}?{OURS}")
