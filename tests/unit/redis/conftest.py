import pytest
from redis import Redis
from squidmesh_redis import RedisBackend

from tests.support.redises import started


@pytest.fixture(scope="module", params=["redis", "valkey"])
def server(request, tmp_path_factory):
    with started(request.param, tmp_path_factory.mktemp(request.param)) as server:
        yield server


@pytest.fixture
def redis(server):
    with Redis.from_url(server.url, decode_responses=True) as client:
        client.flushall()
        yield client


@pytest.fixture
def backend(server, redis):
    backend = RedisBackend(server.url)
    yield backend
    backend.close()


@pytest.fixture
def leases(backend):
    return backend.leases()
