"""Workflows with exactly known problems: how a case is written, and what the cases share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict, RootModel, Secret, SecretStr
from typing_extensions import TypedDict

from squidmesh.workflow.authoring import Workflow, manual, step

Case: TypeAlias = tuple[type[Workflow], list[tuple[str, str]]]
"""A workflow, and what is found in it, sorted: path and code."""


class Cases(list[Case]):
    """``@cases(("steps.a", "some_code"))``: exactly this is found in the decorated workflow."""

    def __call__(self, *found: tuple[str, str]) -> Callable[[type[Workflow]], type[Workflow]]:
        def add(workflow: type[Workflow]) -> type[Workflow]:
            self.append((workflow, sorted(found)))
            return workflow

        return add


class Payload(BaseModel):
    ring_id: str
    bearer: str = "Frodo"


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class Provisions(TypedDict):
    bread: int


class Address(BaseModel):
    street: str


class Account(BaseModel):
    id: str
    address: Address
    tags: dict[str, str]


class WithAccount(BaseModel):
    account: Account


class Rooted(RootModel[dict[str, int]]): ...


@dataclasses.dataclass
class Locker:
    code: Secret[int]


class Card(BaseModel):
    number: SecretStr
    holder: str
    locker: Locker | None = None


def nothing() -> None: ...


def pack(ring_id: str) -> Provisions:
    return {"bread": len(ring_id)}


def eat(bread: int) -> None: ...


def anything() -> dict[str, Any]:
    return {}


def text() -> str:
    return ""


def ask(account_id: str, street: str = "") -> None: ...


class Sound(Workflow):
    """What the cases differ from."""

    version = "1"
    start = manual(Payload)
    a = step(pack)
    b = step(eat)
    flow = a >> b
