"""The settings of one mesh, with their defaults (protocol 3.9). All durations are ``timedelta``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from squidmesh.errors import InvalidInput
from squidmesh.ids import check_identifier

HEARTBEATS_PER_LEASE = 4
MAX_ATTEMPTS_CAP = 100
PRIORITIES = range(10)
"""Lower goes first. A small range, so that a claim may look at each priority's head by itself."""
DEFAULT_PRIORITY = 5

KIB = 1024
MAX_PAYLOAD_BYTES = 256 * KIB
MAX_OUTPUT_BYTES = 1024 * KIB
MAX_ERROR_BYTES = 8 * KIB
MAX_DEPTH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshConfig:
    """``lease``: how long a silent worker keeps its claim. ``heartbeat``: how often a live one extends it, at most half
    a lease (default: a quarter of it). ``idle_poll``: the longest that an idle pump sleeps without looking.
    ``max_snoozes``: how often one attempt may be snoozed.
    """

    queue: str = "default"
    lease: timedelta = timedelta(seconds=60)
    heartbeat: timedelta | None = None
    idle_poll: timedelta = timedelta(seconds=5)
    max_snoozes: int = 1000

    def __post_init__(self) -> None:
        check_identifier(self.queue, field="queue")
        if not timedelta(milliseconds=50) <= self.lease <= timedelta(days=1):
            raise InvalidInput(f"{self.lease} is refused; allowed is 50 ms to 1 day", field="lease")
        if not timedelta(0) < self.beat <= self.lease / 2:
            raise InvalidInput(f"{self.beat} is refused; allowed is up to half of the lease", field="heartbeat")

    @property
    def beat(self) -> timedelta:
        """The time between two heartbeats."""
        return self.heartbeat or self.lease / HEARTBEATS_PER_LEASE
