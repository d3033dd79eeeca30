"""What an approval puts into the context under its ``output``, as a step may take it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class Decision(BaseModel):
    """A person's word on an approval: ``def pay_back(decision: Decision) -> …``. It is data like every other output."""

    model_config = ConfigDict(frozen=True)

    decision: Literal["approved", "rejected"]
    actor: str
    comment: str
    decided_at: datetime
    metadata: dict[str, Any]

    @property
    def approved(self) -> bool:
        return self.decision == "approved"
