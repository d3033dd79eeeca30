"""Which queues a worker claims from, and what part of it each gets: ``name``, ``tenant-*``, ``name=3``, ``name:2``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from squidmesh.config import check_integer
from squidmesh.errors import InvalidInput
from squidmesh.ids import is_identifier
from squidmesh.runtime.arguments import MOST_QUEUES, shown

WEIGHTS = range(1, 1001)
LIMITS = range(1, 1025)
_SHARE = re.compile(r"(?P<name>[A-Za-z0-9._-]*)(?P<prefix>\*?)(?:=(?P<weight>[0-9]{1,9}))?(?::(?P<limit>[0-9]{1,9}))?")
_ALLOWED = "allowed is NAME, or PREFIX*, then =WEIGHT and :LIMIT where wanted, such as default, tenant-*=3 or bulk=1:2"


@dataclass(frozen=True, slots=True)
class QueueShare:
    """``queue``: a name, or a beginning of names with ``*`` behind it. ``weight`` (1 to 1000): of the worker's claims,
    beside the other shares that have something due; what a beginning stands for shares one weight. ``limit`` (1 to
    1024): how many slots of this worker one queue may have at once, each queue of a beginning for itself; None for all.
    """

    queue: str
    weight: int = 1
    limit: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.queue, str):
            raise InvalidInput(f"is a {type(self.queue).__name__}; {_ALLOWED}", field="queue")
        if not is_identifier(self.name) and not (self.is_prefix and self.name == ""):
            raise InvalidInput(f"{shown(self.queue)} is refused; {_ALLOWED}", field="queue")
        check_integer(self.weight, field="weight", allowed=WEIGHTS)
        if self.limit is not None:
            check_integer(self.limit, field="limit", allowed=LIMITS)

    @property
    def is_prefix(self) -> bool:
        return self.queue.endswith("*")

    @property
    def name(self) -> str:
        """The queue's, or the beginning of them."""
        return self.queue.removesuffix("*")

    @property
    def is_plain(self) -> bool:
        """Nothing but one queue's name."""
        return not self.is_prefix and self.weight == 1 and self.limit is None

    def __str__(self) -> str:
        weight = "" if self.weight == 1 else f"={self.weight}"
        return f"{self.queue}{weight}" + ("" if self.limit is None else f":{self.limit}")


def check_shares(value: object, *, field: str) -> tuple[QueueShare, ...]:
    """A list of texts or shares, in the caller's order. The same one twice counts once; one queue with two different
    weights or limits is refused.
    """
    allowed = f"allowed is a list of 1 to {MOST_QUEUES} queues"
    if isinstance(value, str | bytes | bytearray) or not isinstance(value, Sequence):
        raise InvalidInput(f"is a {type(value).__name__}; {allowed}", field=field)
    if not 1 <= len(value) <= MOST_QUEUES:
        raise InvalidInput(f"has {len(value)} queues; {allowed}", field=field)
    shares: dict[str, QueueShare] = {}
    for one in value:
        share = one if isinstance(one, QueueShare) else _read(one, field)
        if shares.setdefault(share.queue, share) != share:
            why = f"has {shown(share.queue)} twice, as {shares[share.queue]} and as {share}; allowed is each queue once"
            raise InvalidInput(why, field=field)
    return tuple(shares.values())


def _read(value: object, field: str) -> QueueShare:
    if not isinstance(value, str):
        raise InvalidInput(f"holds a {type(value).__name__}; {_ALLOWED}", field=field)
    found = _SHARE.fullmatch(value)
    if found is None:
        raise InvalidInput(f"{shown(value)} is refused; {_ALLOWED}", field=field)
    weight, limit = found["weight"], found["limit"]
    try:
        return QueueShare(
            found["name"] + found["prefix"],
            weight=1 if weight is None else int(weight),
            limit=None if limit is None else int(limit),
        )
    except InvalidInput as error:
        raise InvalidInput(f"{shown(value)}: {error}", field=field) from error
