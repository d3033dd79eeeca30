"""What the shop is told by its environment: the same code serves every stage."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel


class Login(BaseModel):
    password: str
    role: Literal["clerk", "manager"]

    @property
    def sonar_role(self) -> Literal["viewer", "operator"]:
        return "operator" if self.role == "manager" else "viewer"


class Settings(BaseModel):
    """``secret`` seals cookies and forms. ``people``: by name, who may sign in. ``bank_seconds``: how long it takes."""

    database: str
    redis: str
    secret: str
    people: dict[str, Login]
    lease: float
    bank_seconds: float

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        return cls(
            database=environment["SHOP_DATABASE"],
            redis=environment["SHOP_REDIS"],
            secret=environment["SHOP_SECRET"],
            people=json.loads(environment["SHOP_PEOPLE"]),
            lease=float(environment.get("SHOP_LEASE", "60")),
            bank_seconds=float(environment.get("SHOP_BANK_SECONDS", "0.1")),
        )
