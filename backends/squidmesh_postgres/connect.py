"""``postgresql://host/database``: from an address to a journal, its leases and a wake-up."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Protocol
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from squidmesh.clock import Clock, Instant
from squidmesh.errors import InvalidUrl
from squidmesh.ports.backend import Finding, Migration, Reading
from squidmesh_postgres import doctor
from squidmesh_postgres.faults import translated
from squidmesh_postgres.joined import STARTED
from squidmesh_postgres.journal import PostgresJournal
from squidmesh_postgres.leases import PostgresLeases
from squidmesh_postgres.pool import CONNECT_TIMEOUT, Durability, Pool
from squidmesh_postgres.schema import Schema
from squidmesh_postgres.statements import OUR_SCHEMA, load, migrations
from squidmesh_postgres.times import ServerTime
from squidmesh_postgres.wakeup import ANYTHING, Listener, PostgresWakeup

_ALLOWED = "allowed is postgresql://user@host:5432/database, with ?schema= and libpq's own parameters"
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,47}")
_SCHEMA_ALLOWED = "allowed are 1 to 48 of a-z 0-9 _, not a digit first, and not one of PostgreSQL's own"


class Address:
    """What a URL says. ``conninfo`` is for libpq, with the password if there is one; ``name`` is for people."""

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            asked = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        except ValueError as error:
            raise _refused(url, f"it is no URL: {error}") from None
        if parts.scheme not in ("postgresql", "postgres") or "://" not in url:
            raise _refused(url, "it does not begin with postgresql://")
        if parts.fragment:
            raise _refused(url, "it has a fragment")
        schemas = [value for name, value in asked if name == "schema"]
        self.schema = schemas[-1] if schemas else OUR_SCHEMA
        if not _SCHEMA.fullmatch(self.schema) or self.schema.startswith("pg_") or self.schema == "information_schema":
            raise _refused(url, f"no schema can be named {self.schema[:60]!r}; {_SCHEMA_ALLOWED}")
        rest = urlencode([(name, value) for name, value in asked if name != "schema"], quote_via=quote)
        plain = urlunsplit(("postgresql", parts.netloc, parts.path, rest, ""))
        try:
            told = conninfo_to_dict(plain)
        except (psycopg.Error, UnicodeError) as error:
            raise _refused(url, " ".join(str(error).split())) from None
        self.conninfo = make_conninfo(plain, **_unless_told(told))
        self.url = plain + (("&" if rest else "?") + f"schema={self.schema}" if schemas else "")
        host, port = told.get("host") or "localhost", told.get("port") or "5432"
        self.name = f"postgresql://{host}:{port}/{told.get('dbname') or told.get('user') or ''}" + (
            "" if self.schema == OUR_SCHEMA else f" ({self.schema})"
        )


def _unless_told(told: Mapping[str, object]) -> dict[str, str | int]:
    """A line that is dead is noticed within half a minute."""
    ours: dict[str, str | int] = {
        "connect_timeout": CONNECT_TIMEOUT,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
        "target_session_attrs": "read-write",
    }
    return {name: value for name, value in ours.items() if name not in told}


def _refused(url: str, why: str) -> InvalidUrl:
    """Never shows the password: what stands before the last @ is left out."""
    scheme, separator, rest = url.partition("://")
    shown = f"{scheme}{separator}{rest.rpartition('@')[2]}" if separator else url.rpartition("@")[2]
    shown = repr(shown if len(shown) < 200 else f"{shown[:200]}…")
    return InvalidUrl(f"{shown} is refused: {why}; {_ALLOWED}", field="url")


class _Closable(Protocol):
    def close(self) -> None: ...


class PostgresBackend:
    """One schema of one database. What was handed out ends with the backend. ``monotonic`` is there for tests."""

    def __init__(self, url: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._address = address = Address(url)
        self.url = address.url
        self.name = address.name
        self.schema = Schema(address.conninfo, address.schema, address.name)
        self._time = ServerTime(monotonic)
        self._listener = Listener(address.conninfo, address.schema)
        self._handed_out: set[_Closable] = set()
        self._incarnation: str | None = None

    def migrate(self) -> list[str]:
        return self.schema.migrate()

    def migrations(self, *, every: bool = False) -> list[Migration]:
        chosen = migrations(self._address.schema) if every else self.schema.pending()
        return [Migration(number=one.number, name=one.name, sql=one.sql) for one in chosen]

    def doctor(self, *, now: Instant | None = None) -> list[Finding]:
        return doctor.examine(self.schema, now)

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        with closing(self.journal()) as journal, closing(self.leases()) as leases:
            yield Reading(journal=journal, leases=leases)

    def journal(self) -> PostgresJournal:
        incarnation = self._open()
        return PostgresJournal(self._pool("durable"), self._pool("step"), self._time, self._address.schema, incarnation)

    def leases(self) -> PostgresLeases:
        incarnation = self._open()
        return PostgresLeases(self._pool("ordered"), self._time, self._address.schema, incarnation)

    def _pool(self, durability: Durability) -> Pool:
        pool = Pool(self._address.conninfo, self.name, durability, self._handed_out.discard)
        self._handed_out.add(pool)
        return pool

    def _open(self) -> str:
        """Looks once whether the schema is as it should be, and what time it is there. Answers its incarnation."""
        if self._incarnation is None:
            pool = Pool(self._address.conninfo, self.name, "durable")
            try:
                with translated(self.name), pool.use() as connection:
                    self.schema.require(connection)
                    found = connection.execute(load("schema", self._address.schema)["opened"]).fetchone()
            finally:
                pool.close()
            moment, incarnation = found or (0, "")
            self._time.hear(moment)
            self._incarnation = str(incarnation)
        return self._incarnation

    def wakeup(self, queues: Sequence[str] = ()) -> PostgresWakeup:
        return self._wakeup([ANYTHING, *queues] if queues else [])

    def _wakeup(self, words: Sequence[str]) -> PostgresWakeup:
        wakeup = PostgresWakeup(self._listener, words, self._handed_out.discard)
        self._handed_out.add(wakeup)
        return wakeup

    def starts_announced(self) -> PostgresWakeup:
        return self._wakeup([STARTED])

    def close(self) -> None:
        for one in list(self._handed_out):
            one.close()
        self._listener.close()


def backend(url: str, *, clock: Clock) -> PostgresBackend:
    """The factory behind the schemes ``postgresql`` and ``postgres``. The server has a clock of its own."""
    del clock
    return PostgresBackend(url)
