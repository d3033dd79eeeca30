"""Someone who watches: refused writes, lost leases, a store that went away. Never a payload, never a claim id."""

from __future__ import annotations

from typing import Protocol


class Observer(Protocol):
    def notice(self, event: str, /, **fields: object) -> None:
        """``event`` is a stable word; ``fields`` hold ids, numbers and codes. Must be quick, and must not raise."""
        ...
