"""``--with`` and ``--without``: what a worker carries beside its steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from squidmesh import UsageError

F = TypeVar("F", bound=Callable[..., Any])
ROLES = ("cron", "reconcile")
DEFAULT = frozenset({"reconcile"})
"""Without it, nobody would tell a lease backend what it has missed."""


def options(command: F) -> F:
    for name, text in (
        ("without", "Leave out: reconcile, where others of the fleet do it."),
        ("with", "Carry too: cron, which fires cron triggers. Safe on all nodes at once."),
    ):
        made = click.option(f"--{name}", f"{name}_roles", multiple=True, metavar="ROLE,...", help=text)
        command = made(command)
    return command


def chosen(more: Iterable[str], less: Iterable[str]) -> frozenset[str]:
    """The roles of a worker. ``UsageError`` for a word that is none, or that stands on both sides."""
    added, left_out = _read(more, "--with"), _read(less, "--without")
    if both := added & left_out:
        raise UsageError(f"{min(both)} is asked for and left out", field="--without", code="invalid_role")
    return (DEFAULT | added) - left_out


def said(roles: frozenset[str]) -> list[str]:
    """The same choice, for a child."""
    return [
        *(f"--with={role}" for role in sorted(roles - DEFAULT)),
        *(f"--without={role}" for role in sorted(DEFAULT - roles)),
    ]


def _read(given: Iterable[str], field: str) -> frozenset[str]:
    words = [word.strip() for one in given for word in one.split(",")]
    for word in words:
        if word not in ROLES:
            why = f"{word[:60]!r} is no role; allowed are {', '.join(ROLES)}"
            raise UsageError(why, field=field, code="invalid_role")
    return frozenset(words)
