"""Who works here: they sign in with a password, and a sealed cookie says afterwards who they are."""

from __future__ import annotations

import hashlib
import hmac
import time

from starlette.requests import Request

from examples.shop.settings import Settings
from squidmesh.sonar import Visitor

COOKIE, DAY = "shop", 24 * 3600


class People:
    def __init__(self, settings: Settings) -> None:
        self._known = settings.people
        self._key = settings.secret.encode()

    def sign_in(self, name: str, password: str) -> str | None:
        """The cookie; None where name or password is not right. (A real host keeps slow hashes of passwords.)"""
        known = self._known.get(name)
        if known is None or not hmac.compare_digest(known.password.encode(), password.encode()):
            return None
        said = f"{name.encode().hex()}.{int(time.time()) + DAY}"
        return f"{said}.{self._seal(said)}"

    def visitor(self, request: Request) -> Visitor | None:
        """Sonar asks this of each request, and so does the shop."""
        said, _, seal = request.cookies.get(COOKIE, "").rpartition(".")
        if not hmac.compare_digest(seal.encode(), self._seal(said).encode()):
            return None
        sealed_name, _, until = said.partition(".")
        name = bytes.fromhex(sealed_name).decode()
        known = self._known.get(name)
        if known is None or int(until) < time.time():
            return None
        return Visitor(actor=name, role=known.sonar_role)

    def _seal(self, said: str) -> str:
        return hmac.new(self._key, said.encode(), hashlib.sha256).hexdigest()
