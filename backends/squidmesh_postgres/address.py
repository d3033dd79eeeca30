"""``postgresql://user@host:5432/database``: what an address says. libpq's own reading, and what we add to it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from urllib.parse import parse_qsl, quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from squidmesh.errors import InvalidUrl
from squidmesh_postgres.statements import OUR_SCHEMA

_ALLOWED = "allowed is postgresql://user@host:5432/database, with ?schema= and libpq's own parameters"
_SCHEME = re.compile(r"postgres(?:ql)?://")
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,47}")
_SCHEMA_ALLOWED = "allowed are 1 to 48 of a-z 0-9 _, not a digit first, and not one of PostgreSQL's own"
_NUMBERS = (
    "connect_timeout",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "tcp_user_timeout",
)
CONNECT_TIMEOUT = 5
"""Seconds."""


class Address:
    """``conninfo`` is for libpq, with the password if there is one; ``name`` is for people. Raises ``InvalidUrl``, and
    shows no password.
    """

    def __init__(self, url: str) -> None:
        found = _SCHEME.match(url)
        if found is None:
            raise _refused(url, "it does not begin with postgresql://")
        place, _, query = url[found.end() :].partition("?")
        _check_place(url, place)
        asked = _parameters(url, query)
        schemas = [value for name, value in asked if name == "schema"]
        if len(schemas) > 1:
            raise _refused(url, "it names two schemas")
        self.schema = schemas[0] if schemas else OUR_SCHEMA
        if not _SCHEMA.fullmatch(self.schema) or self.schema.startswith("pg_") or self.schema == "information_schema":
            raise _refused(url, f"no schema can be named {self.schema[:60]!r}; {_SCHEMA_ALLOWED}")
        libpqs = urlencode([(name, value) for name, value in asked if name != "schema"], quote_via=quote)
        plain = f"postgresql://{place}" + (f"?{libpqs}" if libpqs else "")
        told = _read_by_libpq(url, plain)
        self.conninfo = make_conninfo(plain, **_unless_told(told))
        self.url = plain + (("&" if libpqs else "?") + f"schema={self.schema}" if schemas else "")
        self.name = _name(told) + ("" if self.schema == OUR_SCHEMA else f" ({self.schema})")


def _check_place(url: str, place: str) -> None:
    """libpq would take a password that has one of these in it for something else, a part of it for a host."""
    before_database, _, database = place.partition("/")
    if before_database.count("@") > 1 or "@" in database:
        raise _refused(url, "an @ in a user, a password or a database is written %40, and a / in them %2F")
    if "#" in url:
        raise _refused(url, "it has a fragment; a # in a password is written %23")
    if any(ord(letter) < 0x20 or ord(letter) == 0x7F for letter in url):
        raise _refused(url, "it has a control character")


def _parameters(url: str, query: str) -> list[tuple[str, str]]:
    try:
        asked = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        why = "what follows the ? is not name=value&name=value; a ? in a password is written %3F"
        raise _refused(url, why) from None
    known = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    for name, _ in asked:
        if name not in known and name != "schema":
            raise _refused(url, f"libpq has no parameter {name[:60]!r}")
    return asked


def _read_by_libpq(url: str, plain: str) -> Mapping[str, object]:
    try:
        told = conninfo_to_dict(plain)
    except (psycopg.Error, UnicodeError) as error:
        # It quotes what it can not read, which may be a password.
        raise _refused(url, re.sub(r'"[^"]*"', "…", " ".join(str(error).split()))) from None
    for name in _NUMBERS:
        if not re.fullmatch(r"-?\d{1,9}", str(told.get(name, "0"))):
            raise _refused(url, f"{name} is no number")
    for port in str(told.get("port", "")).split(","):
        if port and not (re.fullmatch(r"\d{1,5}", port) and 0 < int(port) < 65536):
            raise _refused(url, "a port is a number from 1 to 65535")
    return told


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


def _name(told: Mapping[str, object]) -> str:
    places = ",".join(_places(told))
    return f"postgresql://{places}/{told.get('dbname') or told.get('user') or ''}"


def _places(told: Mapping[str, object]) -> Iterator[str]:
    """Nothing where libpq is to find the server by itself; a folder of sockets as it would stand in an address."""
    hosts = str(told.get("host") or told.get("hostaddr") or "").split(",")
    ports = str(told.get("port") or "").split(",")
    for host, port in zip_longest(hosts, ports, fillvalue=ports[-1] if len(ports) == 1 else ""):
        if ":" in host:
            yield f"[{host}]:{port or 5432}"
        elif host.startswith("/"):
            yield quote(host, safe="")
        elif host:
            yield f"{host}:{port or 5432}"


def _refused(url: str, why: str) -> InvalidUrl:
    """Shows of the address what can be no password: nothing before an @, and nothing after a ?."""
    scheme, separator, rest = url.partition("://")
    place, _, query = (rest if separator else scheme).partition("?")
    host = place.rpartition("@")[2] if "@" in place or "@" not in query else "…"
    shown = (f"{scheme}://" if separator else "") + host
    shown = repr(shown if len(shown) < 200 else f"{shown[:200]}…")
    return InvalidUrl(f"{shown} is refused: {why}; {_ALLOWED}", field="url")
