"""``redis://host:6379/0``: from an address to leases and a wake-up."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import NoReturn, Protocol
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from redis import Redis

from squidmesh.clock import Clock, Instant
from squidmesh.errors import InvalidUrl
from squidmesh.ids import is_identifier
from squidmesh.ports.backend import Finding, Migration, Reading
from squidmesh_redis import doctor
from squidmesh_redis.client import Client, open_client
from squidmesh_redis.fitness import Fitness
from squidmesh_redis.keys import Keys
from squidmesh_redis.lanes import Lanes, shards_of
from squidmesh_redis.leases import RedisLeases
from squidmesh_redis.wakeup import BLOCK, Bell, RedisWakeup

_ALLOWED = "allowed is redis://host:port/number, or rediss:// with TLS"
_SETTINGS = {"prefix", "evicts", "insecure", "shards"}
_NO_JOURNAL = "Redis holds leases, not journals: name it as leases=, beside the URL of a journal"


class Address:
    """``url`` is what the driver gets; ``where`` what people see: without user, password and settings. ``safe``: on
    this machine, or behind TLS and a password.
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or 6379
        except ValueError:
            _refuse("it can not be read")
        if parts.scheme not in ("redis", "rediss"):
            _refuse("it does not begin with redis:// or rediss://")
        if not host:
            _refuse("it names no host")
        if parts.path.strip("/") and not parts.path.strip("/").isdigit():
            _refuse("a path is the number of a database")
        settings = dict(parse_qsl(parts.query, keep_blank_values=True))
        if unknown := sorted(settings.keys() - _SETTINGS):
            _refuse(f"it sets {unknown[0]!r}, and there is only {', '.join(sorted(_SETTINGS))}")
        self.shards = shards_of(parts.query)
        self.evicts = _switch(settings, "evicts")
        self.prefix = settings.get("prefix", "squidmesh")
        if not is_identifier(self.prefix):
            _refuse("its prefix is no identifier; allowed are 1 to 128 of A-Z a-z 0-9 . _ -")
        self.safe = _is_loopback(host) or bool(parts.scheme == "rediss" and parts.password)
        if not self.safe and not _switch(settings, "insecure"):
            _refuse("a server that is not on this machine needs rediss:// and a password, or ?insecure=1")
        self.url = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
        self.where = f"{parts.scheme}://{host}:{port}{parts.path.rstrip('/')}"


def _switch(settings: dict[str, str], name: str) -> bool:
    value = settings.get(name, "0")
    if value not in ("0", "1"):
        _refuse(f"{name} is 0 or 1")
    return value == "1"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refuse(why: str) -> NoReturn:
    """Never shows the URL: it may hold a password."""
    raise InvalidUrl(f"this Redis URL is refused: {why}; {_ALLOWED}", field="url")


class _Closable(Protocol):
    def close(self) -> None: ...


class RedisBackend:
    """One server. What was handed out ends with the backend. ``now`` (another clock), ``connect`` (another server) and
    ``checked`` (a server that can not be asked what it is) are there for tests.
    """

    def __init__(
        self, url: str, *, now: str | None = None, connect: Callable[..., Redis] = open_client, checked: bool = True
    ) -> None:
        self.url = url
        self.address = Address(url)
        self._keys = Keys(self.address.prefix)
        self._lanes = Lanes(self.address.shards)
        self._now = now
        self._connect = connect
        self._checked = checked
        self._bell = Bell()
        self._handed_out: set[_Closable] = set()
        """What is open of it: whoever is closed leaves."""

    def migrate(self) -> list[str]:
        """There is nothing to migrate: what an older version has left is offered again from the journal."""
        return []

    def migrations(self, *, every: bool = False) -> list[Migration]:
        return []

    def doctor(self, *, now: Instant | None = None) -> list[Finding]:
        address = self.address
        with closing(self._connect(address.url)) as redis:
            return doctor.examine(redis, address.where, evicts=address.evicts, safe=address.safe, now=now)

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        leases = self.leases()
        try:
            yield Reading(journal=None, leases=leases)
        finally:
            leases.close()

    def journal(self) -> NoReturn:
        raise InvalidUrl(_NO_JOURNAL, field="url")

    def leases(self) -> RedisLeases:
        client = Client(self._connect(self.address.url), self.address.where, now=self._now)
        fitness = Fitness(client, evicts=self.address.evicts, checked=self._checked)
        leases = RedisLeases(client, self._keys, fitness, self._lanes, self._handed_out.discard)
        self._handed_out.add(leases)
        return leases

    def wakeup(self, queues: Sequence[str] = ()) -> RedisWakeup:
        client = self._connect(self.address.url, answer_timeout=2 * BLOCK)
        hints = [self._keys.hints(lane) for queue in queues for lane in self._lanes.of(queue)]
        wakeup = RedisWakeup(client, hints, self._bell, self._handed_out.discard)
        self._handed_out.add(wakeup)
        return wakeup

    def starts_announced(self) -> None:
        """It holds no journal, and so no starts."""

    def close(self) -> None:
        for one in list(self._handed_out):
            one.close()


def backend(url: str, *, clock: Clock) -> RedisBackend:
    """The factory behind the schemes ``redis`` and ``rediss``. The server has a clock of its own."""
    return RedisBackend(url)
