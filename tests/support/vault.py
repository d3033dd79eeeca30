"""A workflow with secrets in each place where one may be: found by another interpreter, and by the command line."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Secret, SecretStr

from squidmesh import Context, RetryPolicy, Workflow, approval, fixed, manual, secret, step
from squidmesh.codecs.aes_gcm import AesGcm

CANARY = "canary-7f3a"
"""Begins every secret of this workflow, and stands nowhere else."""
TOKEN, CARD, BADGE, CODE = (f"{CANARY}-{name}" for name in ("token", "card", "badge", "code"))
PIN = 90210_73311
SECRETS = (CANARY, str(PIN))
KEY = "Y2FuIHlvdSBrZWVwIGEgc2VjcmV0LCBNci4gRnJvZG8="
CODEC = AesGcm({"shire": KEY}, use="shire")


class Dies(BaseException):
    """What a SIGKILL is to a process: nothing of it is heard of any more."""


class Card(BaseModel):
    holder: str
    number: SecretStr


class Visit(BaseModel):
    """What it takes to get in."""

    visitor: str
    token: SecretStr
    pin: Secret[int]
    badge: Annotated[str, secret] = BADGE
    cards: list[Card] = []
    kill: bool = False


class Door(BaseModel):
    number: int
    code: Annotated[str, secret]


VISIT = Visit(
    visitor="Alice", token=SecretStr(TOKEN), pin=Secret[int](PIN),
    cards=[Card(holder="Alice", number=SecretStr(CARD))],
)  # fmt: skip


def knock(token: str, cards: list[Card], context: Context) -> Door:
    """Fails once, and tells everything while it does."""
    assert token == TOKEN, "the step gets the true value, also as a plain text"
    if context.attempt == 1:
        raise PermissionError(f"{token!r} {cards[0].number.get_secret_value()} {dict(context.state)}: no entry")
    return Door(number=7, code=CODE)


def enter(door: Door, badge: str, token: SecretStr, pin: Secret[int]) -> dict[str, str]:
    assert (door.code, token.get_secret_value(), pin.get_secret_value()) == (CODE, TOKEN, PIN)
    return {"log": f"{badge} went in with {door.code}"}


def leave(kill: bool, token: str) -> None:
    if kill:
        raise Dies(token)


class Vault(Workflow):
    """Knock, be let in, leave."""

    version = "1"
    visit = manual(Visit)
    knock = step(knock, output="door", retry=RetryPolicy(max_attempts=2, backoff=fixed(1)))
    ask = approval(output="asked")
    enter = step(enter)
    leave = step(leave)
    flow = knock >> ask >> enter >> leave
