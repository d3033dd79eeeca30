"""What a URL says: which servers, how they stand to each other, who we are to them, and how we keep things there.

``redis://`` is one server, ``redis+sentinel://`` a primary that Sentinels name, ``redis+cluster://`` a Cluster; each
has a twin that begins with ``rediss`` and speaks TLS. No message, and no ``repr``, shows a password.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, NoReturn
from urllib.parse import unquote

from squidmesh.errors import InvalidUrl
from squidmesh.ids import is_identifier
from squidmesh_redis.certificates import Certificates, Unreadable
from squidmesh_redis.lanes import shards_of

Shape = Literal["standalone", "sentinel", "cluster"]
_SHAPES: dict[str, tuple[Shape, bool]] = {
    "redis": ("standalone", False),
    "rediss": ("standalone", True),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}
SCHEMES = tuple(_SHAPES)
_ALLOWED: dict[Shape, str] = {
    "standalone": "allowed is redis://user:password@host:port/number",
    "sentinel": "allowed is redis+sentinel://user:password@host:port,host:port/PRIMARY_NAME/number",
    "cluster": "allowed is redis+cluster://user:password@host:port,host:port",
}
_PORTS: dict[Shape, int] = {"standalone": 6379, "sentinel": 26379, "cluster": 6379}
_SETTINGS = {"prefix", "evicts", "insecure", "shards"}
_OF_TLS = {"ca", "cert", "key"}
_OF_SENTINEL = {"sentinel_user", "sentinel_password"}
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}")
_PARTS = re.compile(r"(?P<hosts>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?P<fragment>#.*)?", re.DOTALL)
_MOST_DATABASES = 2**31


class Node(NamedTuple):
    """Where one server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_here(self) -> bool:
        """On this machine."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


class Login(NamedTuple):
    """``user`` None is the default one; ``password`` None: nothing is said at all."""

    user: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return "<a login>" if self.password else "<no login>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """``nodes``: what the URL names: the server, the Sentinels, or some nodes of the Cluster. ``where``: what people
    see, without users, passwords and settings. ``primary``: the name that the Sentinels know it by.
    """

    shape: Shape
    tls: bool
    nodes: tuple[Node, ...]
    login: Login
    database: int
    primary: str | None
    where: str
    prefix: str
    shards: Mapping[str, int]
    evicts: bool
    insecure: bool
    sentinel_login: Login
    certificates: Certificates = field(repr=False)

    @property
    def safe(self) -> bool:
        """All that it names is on this machine, or behind TLS and a password."""
        return all(self.is_safe(node) for node in self.nodes)

    def is_safe(self, node: Node, *, sentinel: bool | None = None) -> bool:
        """``sentinel``: whether that is what listens there; if nothing is said, as for the nodes of the URL."""
        asks = self.shape == "sentinel" if sentinel is None else sentinel
        login = self.sentinel_login if asks else self.login
        return node.is_here or (self.tls and login.password is not None)


def read(url: str) -> Address:
    """Raises ``InvalidUrl``, which says what is wrong and what is allowed, and shows nothing of a password."""
    scheme, found, rest = url.partition("://")
    if not found or scheme not in _SHAPES:
        begins = ", ".join(f"{name}://" for name in SCHEMES)
        raise InvalidUrl(f"this Redis URL is refused: it does not begin with one of {begins}", field="url")
    shape, tls = _SHAPES[scheme]
    return _Reader(scheme, shape, tls).read(rest)


class _Reader:
    def __init__(self, scheme: str, shape: Shape, tls: bool) -> None:
        self._scheme = scheme
        self._shape = shape
        self._tls = tls

    def read(self, rest: str) -> Address:
        if not rest.isprintable() or " " in rest:
            self._refuse("it holds a space or a control character; write it as %20 and the like")
        parts = _PARTS.fullmatch(rest)
        assert parts is not None  # it takes any text
        if parts["fragment"]:
            self._refuse("it holds a '#'; in a password write %23")
        login, _, hosts = parts["hosts"].rpartition("@")
        nodes = self._nodes(hosts)
        primary, database = self._path(parts["path"])
        settings = self._settings(parts["query"] or "")
        shown = ",".join(map(str, nodes))
        path = f"/{primary}" if primary else ""
        path += f"/{database}" if database or parts["path"].rpartition("/")[2] == "0" else ""
        address = Address(
            shape=self._shape,
            tls=self._tls,
            nodes=nodes,
            login=self._login(login),
            database=database,
            primary=primary,
            where=f"{self._scheme}://{shown}{path}",
            prefix=settings.get("prefix", "squidmesh"),
            shards=shards_of(parts["query"] or ""),
            evicts=self._switch(settings, "evicts"),
            insecure=self._switch(settings, "insecure"),
            sentinel_login=self._sentinel_login(settings),
            certificates=self._certificates(settings),
        )
        if not is_identifier(address.prefix):
            self._refuse("its prefix is no identifier; allowed are 1 to 128 of A-Z a-z 0-9 . _ -")
        if not address.insecure:
            self._require_safe(address)
        return address

    def _require_safe(self, address: Address) -> None:
        """Of the hosts that it names. Those that are told of later are judged when they are (nodes.py)."""
        secure = self._scheme.replace("redis+", "rediss+") if "+" in self._scheme else "rediss"
        if not address.safe and address.shape == "sentinel":
            self._refuse(
                f"Sentinels that are not on this machine need {secure}:// and ?sentinel_password=, or ?insecure=1"
            )
        if not address.safe:
            self._refuse(f"a server that is not on this machine needs {secure}:// and a password, or ?insecure=1")

    # ------------------------------------------------------------------------------------------ hosts and login

    def _nodes(self, hosts: str) -> tuple[Node, ...]:
        if not hosts:
            self._refuse("it names no host")
        nodes = tuple(self._node(host) for host in hosts.split(","))
        if len(nodes) > 1 and self._shape == "standalone":
            self._refuse(f"it names {len(nodes)} hosts; several are for redis+sentinel:// and redis+cluster://")
        if len(set(nodes)) < len(nodes):
            self._refuse("it names a host twice")
        return nodes

    def _node(self, text: str) -> Node:
        found = re.fullmatch(r"(?:\[(?P<six>[^\]]*)\]|(?P<name>[^:\[\]]*))(?::(?P<port>[^:]*))?", text)
        if found is None:
            self._refuse("one of its hosts can not be read; an IPv6 address stands in [ ]")
        host, port = found["six"] or found["name"] or "", found["port"]
        if not host:
            self._refuse("it names no host" if self._shape == "standalone" else "one of its hosts has no name")
        if found["six"] is not None and not _is_ipv6(host):
            self._refuse("what stands in [ ] is no IPv6 address")
        if found["six"] is None and not _HOST.fullmatch(host):
            self._refuse("the name of a host holds other characters than A-Z a-z 0-9 . _ -")
        if port is None:
            return Node(host, _PORTS[self._shape])
        if not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535):
            self._refuse("a port is a number from 1 to 65535")
        return Node(host, int(port))

    def _login(self, text: str) -> Login:
        user, _, password = text.partition(":")
        if user and not password:
            self._refuse("it names a user and no password; write user:password@, or :password@ without a user")
        return Login(self._plain(user, "user") or None, self._plain(password, "password") or None)

    def _sentinel_login(self, settings: dict[str, str]) -> Login:
        login = Login(settings.get("sentinel_user") or None, settings.get("sentinel_password") or None)
        if login.user and not login.password:
            self._refuse("it sets 'sentinel_user' without 'sentinel_password'")
        return login

    # ------------------------------------------------------------------------------------------ path and settings

    def _path(self, path: str) -> tuple[str | None, int]:
        """The name of the primary, and the number of the database."""
        names = [name for name in path.split("/") if name]
        if self._shape == "cluster":
            if names not in ([], ["0"]):
                self._refuse("a Cluster has the database 0 and no other")
            return None, 0
        if self._shape == "standalone":
            if len(names) > 1:
                self._refuse("a path is the number of a database")
            return None, self._database(names[0]) if names else 0
        if not 1 <= len(names) <= 2:
            self._refuse("its path is the name that the Sentinels know the primary by, as /mymaster or /mymaster/0")
        primary = self._plain(names[0], "name of the primary")
        if not is_identifier(primary):
            self._refuse("the name of the primary holds other characters than A-Z a-z 0-9 . _ -")
        return primary, self._database(names[1]) if len(names) == 2 else 0

    def _database(self, text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) < _MOST_DATABASES):
            self._refuse("a path is the number of a database")
        return int(text)

    def _settings(self, query: str) -> dict[str, str]:
        """A plus sign is a plus sign: these may be passwords."""
        allowed = _SETTINGS | (_OF_TLS if self._tls else set())
        allowed |= _OF_SENTINEL if self._shape == "sentinel" else set()
        settings: dict[str, str] = {}
        for part in query.split("&") if query else []:
            name, _, value = part.partition("=")
            name = self._plain(name, "name of a setting")
            if name in _OF_TLS and not self._tls:
                self._refuse(f"it sets {name!r}, which is for TLS; then it begins with rediss")
            if name not in allowed:
                self._refuse(f"it sets {name[:40]!r}, and there is only {', '.join(sorted(allowed))}")
            if name in settings and name != "shards":
                self._refuse(f"it sets {name!r} twice")
            settings[name] = self._plain(value, name)
        return settings

    def _certificates(self, settings: dict[str, str]) -> Certificates:
        certificates = Certificates(settings.get("ca"), settings.get("cert"), settings.get("key"))
        try:
            certificates.check()
        except Unreadable as error:
            self._refuse(str(error))
        return certificates

    def _switch(self, settings: dict[str, str], name: str) -> bool:
        value = settings.get(name, "0")
        if value not in ("0", "1"):
            self._refuse(f"{name} is 0 or 1")
        return value == "1"

    def _plain(self, text: str, what: str) -> str:
        """What stands behind the percent signs."""
        if re.search(r"%(?![0-9A-Fa-f]{2})", text):
            self._refuse(f"in its {what} stands a % that begins no %XX; write it as %25")
        try:
            return unquote(text, errors="strict")
        except UnicodeDecodeError:
            self._refuse(f"its {what} is no UTF-8")

    def _refuse(self, why: str) -> NoReturn:
        """Never shows the URL: it may hold a password."""
        allowed = _ALLOWED[self._shape].replace("redis", "rediss", 1) if self._tls else _ALLOWED[self._shape]
        also = "" if self._tls else ", or rediss with TLS"
        raise InvalidUrl(f"this Redis URL is refused: {why}; {allowed}{also}", field="url")


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False
