"""Who looks, and what they may see and do: a name, a role, and the queues that it is good for."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import tomllib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from starlette.requests import Request

from squidmesh import InvalidInput

Role = Literal["viewer", "operator"]
ROLES: tuple[str, ...] = get_args(Role)
LONGEST_ACTOR = 128
_EVERY_QUEUE = ("*",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """``actor`` is the name under which facts are written. A viewer looks; an operator decides as well. ``queues``: the
    names of those whose runs are shown, or with ``*`` at the end the beginning of their names. Raises ``InvalidInput``.
    """

    actor: str
    role: Role = "viewer"
    queues: tuple[str, ...] = _EVERY_QUEUE

    def __post_init__(self) -> None:
        actor: object = self.actor
        queues: object = self.queues
        if not (isinstance(actor, str) and 1 <= len(actor) <= LONGEST_ACTOR and actor.isprintable()):
            raise InvalidInput(f"{self.actor!r} is refused; allowed are 1 to {LONGEST_ACTOR} characters", field="actor")
        if self.role not in ROLES:
            raise InvalidInput(f"{self.role!r} is refused; allowed are {', '.join(ROLES)}", field="role")
        if not (isinstance(queues, tuple) and queues and all(isinstance(one, str) and one for one in queues)):
            raise InvalidInput(f"{self.queues!r} is refused; allowed are names and name*, at least one", field="queues")

    @property
    def may_act(self) -> bool:
        return self.role == "operator"

    @property
    def sees_all(self) -> bool:
        return "*" in self.queues

    def sees(self, queue: str) -> bool:
        return any(queue.startswith(own[:-1]) if own.endswith("*") else own == queue for own in self.queues)


NOBODY = Visitor(actor="nobody")
"""Who reads on loopback, where nobody has to say who they are."""

Auth: TypeAlias = Callable[[Request], Visitor | Awaitable[Visitor | None] | None]
"""The host's own authentication. None: whoever asks is not known. It must not trust a header that a client can send."""


@dataclass(frozen=True, slots=True)
class _Token:
    digest: bytes
    visitor: Visitor


@dataclass(frozen=True)
class Tokens:
    """Who may come in by token. A callable, as every :data:`Auth`; with it there is a page to sign in.

    ``open_reading``: whoever comes from this machine may look without a token.
    """

    known: Mapping[str, _Token]
    open_reading: bool = False
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    @classmethod
    def read(cls, path: Path) -> Tokens:
        """A TOML file with a table a person: ``token_sha256`` (hex, of the token), ``role``, and ``queues`` if it is
        not good for all. Raises ``InvalidInput`` for a file that can not be read or says something else.
        """
        try:
            told = tomllib.loads(path.read_text())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise InvalidInput(f"{path}: {error}", field="tokens") from error
        if not told:
            raise InvalidInput(f"{path} names nobody; allowed is a table for each person", field="tokens")
        return cls({actor: _token(path, actor, row) for actor, row in told.items()})

    @classmethod
    def for_this_machine(cls, actor: str) -> tuple[Tokens, str]:
        """Anybody on this machine may look, and whoever has the token, which is new, decides as ``actor``."""
        token = new_token()
        visitor = Visitor(actor=actor, role="operator")
        return cls({actor: _Token(_digest(token), visitor)}, open_reading=True), token

    def sign_in(self, token: str) -> Visitor | None:
        """Compared with each of them in a time that tells nothing."""
        given, found = _digest(token), None
        for one in self.known.values():
            if hmac.compare_digest(given, one.digest):
                found = one.visitor
        return found

    def cookie(self, visitor: Visitor, until: int) -> str:
        """Says, until that second, who signed in. Worthless once the token is another one."""
        said = f"{visitor.actor.encode().hex()}.{until}"
        return f"{said}.{self._seal(said, self.known[visitor.actor])}"

    def of_cookie(self, cookie: str, now: float) -> Visitor | None:
        actor, _, rest = cookie.partition(".")
        until, _, seal = rest.partition(".")
        try:
            one = self.known.get(bytes.fromhex(actor).decode())
        except ValueError:
            return None
        if one is None or not until.isdecimal() or len(until) > 12 or int(until) <= now:
            return None
        return one.visitor if hmac.compare_digest(seal, self._seal(f"{actor}.{until}", one)) else None

    def _seal(self, said: str, token: _Token) -> str:
        return hmac.new(self._key + token.digest, said.encode(), hashlib.sha256).hexdigest()

    def __call__(self, request: Request) -> Visitor | None:
        """By ``Authorization: Bearer TOKEN``; the cookie of the page to sign in is read by the application."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return self.sign_in(token.strip()) if scheme.lower() == "bearer" else None


def new_token() -> str:
    return secrets.token_urlsafe(24)


def token_row(actor: str, role: str, queues: tuple[str, ...]) -> tuple[str, str]:
    """A new token, and the table that lets it in. Raises ``InvalidInput``."""
    token = new_token()
    Visitor(actor=actor, role=role, queues=queues or _EVERY_QUEUE)  # type: ignore[arg-type]  # it is what checks
    lines = [f"[{_quoted(actor)}]", f'token_sha256 = "{_digest(token).hex()}"', f'role = "{role}"']
    if queues:
        lines.append(f"queues = [{', '.join(map(_quoted, queues))}]")
    return token, "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """As TOML reads it."""
    plain = "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in text)
    return f'"{plain}"'


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _token(path: Path, actor: str, row: Any) -> _Token:
    where = f"{path}: {actor}"
    if not isinstance(row, dict) or not set(row) <= {"token_sha256", "role", "queues"}:
        raise InvalidInput(f"{where}: allowed is a table with token_sha256, role and queues", field="tokens")
    digest = row.get("token_sha256")
    if not isinstance(digest, str) or len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise InvalidInput(f"{where}.token_sha256 is refused; allowed are 64 digits of hex", field="tokens")
    queues = row.get("queues", ["*"])
    if not isinstance(queues, list):
        raise InvalidInput(f"{where}.queues is refused; allowed is a list of names", field="tokens")
    try:
        visitor = Visitor(actor=actor, role=row.get("role", "viewer"), queues=tuple(queues))
    except InvalidInput as error:
        raise InvalidInput(f"{where}.{error}", field="tokens") from error
    return _Token(bytes.fromhex(digest), visitor)
