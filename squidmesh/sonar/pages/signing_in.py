"""Signing in by token, signing out, and the colours."""

from __future__ import annotations

import time

from starlette.responses import RedirectResponse, Response

from squidmesh.sonar.access import Tokens
from squidmesh.sonar.guard import SIGNED, Refused
from squidmesh.sonar.house import THEME, THEMES, Ask

SIGNED_FOR = 12 * 3600
"""Seconds."""


def show(ask: Ask) -> Response:
    return ask.write("sign_in", wrong=False)


def sign_in(ask: Ask, tokens: Tokens) -> Response:
    visitor = tokens.sign_in(ask.form.get("token", "").strip())
    if visitor is None:
        return ask.write("sign_in", status=403, wrong=True)
    answer = RedirectResponse(ask.at("/runs"), 303)
    cookie = tokens.cookie(visitor, int(time.time()) + SIGNED_FOR)
    _set_cookie(ask, answer, SIGNED, cookie, SIGNED_FOR)
    return answer


def sign_out(ask: Ask) -> Response:
    answer = RedirectResponse(ask.at("/"), 303)
    answer.delete_cookie(SIGNED, path=ask.root or "/")
    return answer


def set_theme(ask: Ask) -> Response:
    theme = ask.form.get("theme", "")
    if theme not in THEMES:
        raise Refused(422, "Not so", f"Allowed are {', '.join(THEMES)}.")
    back = ask.form.get("back", "")
    inside = back.startswith(f"{ask.root}/") and back.isprintable() and not back.startswith("//") and "\\" not in back
    answer = RedirectResponse(back if inside else ask.at("/runs"), 303)
    _set_cookie(ask, answer, THEME, theme, 365 * 86_400)
    return answer


def _set_cookie(ask: Ask, answer: Response, name: str, value: str, seconds: int) -> None:
    """For Sonar's own pages only, and out of reach of scripts."""
    secure = ask.request.url.scheme == "https"
    answer.set_cookie(
        name, value, max_age=seconds, path=ask.root or "/", httponly=True, samesite="strict", secure=secure
    )
