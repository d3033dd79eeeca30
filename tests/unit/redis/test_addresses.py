"""Which URLs are taken, what the driver gets of them, and what people see."""

import pytest
from squidmesh_redis import RedisBackend
from squidmesh_redis.address import SCHEMES, Login, Node, read
from squidmesh_redis.nodes import open_client

from squidmesh import Mesh
from squidmesh.errors import InvalidUrl
from squidmesh.runtime.backends import open_backend
from squidmesh.testing import VirtualClock
from tests.support.outside import CERTIFICATE

SECRETS = ("potato", "p%C3%B6tato", "pötato", "mellon")


@pytest.mark.parametrize(
    ("url", "nodes", "login", "where"),
    [
        ("redis://localhost", ["localhost:6379"], Login(), "redis://localhost:6379"),
        ("redis://127.0.0.1:7000/3", ["127.0.0.1:7000"], Login(), "redis://127.0.0.1:7000/3"),
        ("redis://[::1]:7000/0?prefix=mine", ["[::1]:7000"], Login(), "redis://[::1]:7000/0"),
        ("redis://sam:potato@localhost", ["localhost:6379"], Login("sam", "potato"), "redis://localhost:6379"),
        ("redis://:potato@localhost/", ["localhost:6379"], Login(None, "potato"), "redis://localhost:6379"),
        (
            "redis://s%40m:p%C3%B6%2F%3Ato@localhost",
            ["localhost:6379"],
            Login("s@m", "pö/:to"),
            "redis://localhost:6379",
        ),
        ("redis://:pot@ato@localhost", ["localhost:6379"], Login(None, "pot@ato"), "redis://localhost:6379"),
        ("rediss://sam:potato@mordor:7000", ["mordor:7000"], Login("sam", "potato"), "rediss://mordor:7000"),
        ("redis://mordor/0?insecure=1&evicts=1", ["mordor:6379"], Login(), "redis://mordor:6379/0"),
        (
            "redis+sentinel://sam:potato@localhost,127.0.0.1:26380/my.primary/2",
            ["localhost:26379", "127.0.0.1:26380"],
            Login("sam", "potato"),
            "redis+sentinel://localhost:26379,127.0.0.1:26380/my.primary/2",
        ),
        (
            "redis+cluster://localhost,[::1]:7001,127.0.0.1/0",
            ["localhost:6379", "[::1]:7001", "127.0.0.1:6379"],
            Login(),
            "redis+cluster://localhost:6379,[::1]:7001,127.0.0.1:6379/0",
        ),
        (
            "rediss+cluster://:potato@one.shire,two.shire",
            ["one.shire:6379", "two.shire:6379"],
            Login(None, "potato"),
            "rediss+cluster://one.shire:6379,two.shire:6379",
        ),
    ],
)
def test_an_address_is_taken_apart(url, nodes, login, where):
    address = read(url)
    assert ([str(node) for node in address.nodes], address.login, address.where) == (nodes, login, where)
    assert not any(secret in f"{address!r}{address.login}{login!r}" for secret in SECRETS)


def test_the_driver_is_told_what_the_address_says():
    address = read(f"rediss://sam:potato@mordor:7000/3?ca={CERTIFICATE}&cert={CERTIFICATE}")
    told = open_client(address, address.nodes[0], answer_timeout=0.5).get_connection_kwargs()
    assert (told["host"], told["port"], told["db"], told["socket_timeout"]) == ("mordor", 7000, 3, 0.5)
    assert (told["username"], told["password"]) == ("sam", "potato")
    assert (told["ssl_ca_certs"], told["ssl_certfile"], told["ssl_keyfile"]) == (str(CERTIFICATE),) * 3
    assert (told["ssl_check_hostname"], told["ssl_cert_reqs"]) == (True, "required")
    assert told["retry"].get_retries() == 0, "nothing is sent again behind anybody's back"


def test_sentinels_have_a_login_of_their_own_and_no_database():
    address = read("redis+sentinel://sam:potato@localhost/ring/3?sentinel_user=elrond&sentinel_password=mel+l%26on")
    assert address.sentinel_login == Login("elrond", "mel+l&on")
    told = open_client(address, address.nodes[0], sentinel=True).get_connection_kwargs()
    assert (told["username"], told["password"], told["db"]) == ("elrond", "mel+l&on", 0)
    told = open_client(address, Node("localhost", 6379)).get_connection_kwargs()
    assert (told["username"], told["password"], told["db"]) == ("sam", "potato", 3)


REFUSED = [
    ("http://localhost", r"does not begin with one of redis://, rediss://, redis\+sentinel://"),
    ("redis", "does not begin with"),
    ("redis:/localhost", "does not begin with"),
    ("redis+sentinels://potato@localhost/x", "does not begin with"),
    ("REDIS://localhost", "does not begin with"),
    ("redis://", "names no host"),
    ("redis:///0", "names no host"),
    ("redis://:potato@", "names no host"),
    ("redis://:6379", "names no host"),
    ("redis://localhost:port", "a port is a number from 1 to 65535"),
    ("redis://localhost:", "a port is a number"),
    ("redis://localhost:0", "a port is a number"),
    ("redis://localhost:65536", "a port is a number"),
    ("redis://localhost:-1", "a port is a number"),
    ("redis://localhost:٣", "a port is a number"),
    ("redis://local host", "a space or a control character"),
    ("redis://localhost\n", "a space or a control character"),
    ("redis://local\0host", "a space or a control character"),
    ("redis://localhöst", "other characters than"),
    ("redis://::1", "an IPv6 address stands in"),
    ("redis://[::1", "an IPv6 address stands in"),
    ("redis://[mordor]", "no IPv6 address"),
    ("redis://[127.0.0.1]", "no IPv6 address"),
    ("redis://localhost/leases", "number of a database"),
    ("redis://localhost/0/1", "number of a database"),
    ("redis://localhost/-1", "number of a database"),
    ("redis://localhost/99999999999", "number of a database"),
    ("redis://localhost#0", "holds a '#'"),
    ("redis://:pot#ato@localhost", "holds a '#'"),
    ("redis://potato@localhost", "names a user and no password"),
    ("redis://sam:@localhost", "names a user and no password"),
    ("redis://:pot%ato@localhost", "a % that begins no %XX"),
    ("redis://:potato%ff@localhost", "is no UTF-8"),
    ("redis://:potato@localhost,mordor", "names 2 hosts"),
    ("redis://localhost?db=1", "sets 'db', and there is only evicts, insecure, prefix, shards"),
    ("redis://localhost?prefix=a&prefix=b", "sets 'prefix' twice"),
    ("redis://localhost?evicts=yes", "evicts is 0 or 1"),
    ("redis://localhost?insecure=", "insecure is 0 or 1"),
    ("redis://localhost?prefix=a%20b", "prefix is no identifier"),
    ("redis://localhost?prefix=", "prefix is no identifier"),
    ("redis://localhost?ca=/x", "sets 'ca', which is for TLS"),
    ("redis://localhost?sentinel_password=potato", "sets 'sentinel_password', and there is only"),
    ("rediss://localhost?key=/x", "sets 'key' without 'cert'"),
    ("rediss://localhost?ca=/no/such/potato", "'ca' names no file that can be used .No such file"),
    (f"rediss://localhost?ca={__file__}", "'ca' names no file that can be used"),
    (f"rediss://localhost?cert={__file__}", "'cert' names no file that can be used"),
    ("rediss://localhost?cert=%00", "'cert' names no file that can be used"),
    ("redis://sam:potato@mordor", "needs rediss:// and a password"),
    ("rediss://mordor", "needs rediss:// and a password"),
    ("redis://10.0.0.1", "needs rediss:// and a password"),
    ("redis://[fe80::1]", "needs rediss:// and a password"),
    ("redis+sentinel://localhost", "name that the Sentinels know the primary by"),
    ("redis+sentinel://localhost/", "name that the Sentinels know the primary by"),
    ("redis+sentinel://localhost/ring/0/1", "name that the Sentinels know the primary by"),
    ("redis+sentinel://localhost/ring/x", "number of a database"),
    ("redis+sentinel://localhost/r%C3%AFng", "name of the primary holds other characters"),
    ("redis+sentinel://localhost,,mordor/ring", "one of its hosts has no name"),
    ("redis+sentinel://localhost,/ring", "one of its hosts has no name"),
    ("redis+sentinel://localhost,localhost:26379/ring", "names a host twice"),
    ("redis+sentinel://localhost/ring?sentinel_user=sam", "'sentinel_user' without 'sentinel_password'"),
    ("rediss+sentinel://:potato@mordor/ring", r"rediss\+sentinel:// and \?sentinel_password="),
    ("redis+sentinel://:potato@localhost,mordor/ring?sentinel_password=mellon", r"need rediss\+sentinel://"),
    ("redis+cluster://localhost/1", "database 0 and no other"),
    ("redis+cluster://localhost?sentinel_password=mellon", "sets 'sentinel_password', and there is only"),
    ("redis+cluster://localhost,:potato@mordor", r"needs rediss\+cluster:// and a password"),
    ("rediss+cluster://localhost,mordor", r"needs rediss\+cluster:// and a password"),
]


@pytest.mark.parametrize(("url", "why"), REFUSED, ids=[ascii(url) for url, _ in REFUSED])
def test_an_address_that_is_refused_says_why_and_what_is_allowed_and_hides_the_password(url, why):
    with pytest.raises(InvalidUrl, match=why) as refused:
        RedisBackend(url)
    assert refused.value.field == "url"
    assert "redis://" in str(refused.value) or "allowed is redis" in str(refused.value)
    assert not any(secret in str(refused.value) for secret in SECRETS)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_all_schemes_are_found(scheme):
    path = "/ring" if "sentinel" in scheme else ""
    backend = open_backend(f"{scheme}://localhost{path}", clock=VirtualClock())
    assert isinstance(backend, RedisBackend)


def test_there_is_no_journal_in_redis():
    with Mesh.connect("redis://localhost") as mesh, pytest.raises(InvalidUrl, match="not journals"):
        mesh.list_runs()


def test_meshes_that_share_a_server_are_kept_apart(server, redis):
    one, other = (RedisBackend(f"{server.url}?prefix={prefix}") for prefix in ("one", "other"))
    one.leases().pause("default")
    assert other.leases().paused(["default"]) == frozenset()
    assert redis.keys() == ["one:{default}:life"]
    one.close()
    other.close()
