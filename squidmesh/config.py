"""The settings of one mesh, with their defaults and limits (protocol 3.9)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from squidmesh.clock import check_duration
from squidmesh.errors import InvalidInput
from squidmesh.ids import is_identifier

HEARTBEATS_PER_LEASE = 4
MAX_ATTEMPTS_CAP = 100
PRIORITIES = range(10)
"""Lower goes first. A small range, so that a claim may look at each priority's head by itself."""
CONCURRENCY_LIMITS = range(1, 100_001)
DEFAULT_PRIORITY = 5

KIB = 1024
MAX_PAYLOAD_BYTES = 256 * KIB
MAX_OUTPUT_BYTES = 1024 * KIB
MAX_ERROR_BYTES = 8 * KIB
MAX_DEPTH = 64


SHORTEST_LEASE, LONGEST_LEASE = timedelta(milliseconds=50), timedelta(days=1)
SHORTEST_IDLE_POLL, LONGEST_IDLE_POLL = timedelta(milliseconds=1), timedelta(minutes=1)
SHORTEST_PASS, LONGEST_PASS = timedelta(milliseconds=10), timedelta(minutes=10)
SHORTEST_SWEEP, LONGEST_SWEEP = timedelta(milliseconds=100), timedelta(days=1)
SHORTEST_HEARTBEAT = timedelta(milliseconds=1)
SNOOZES = range(1_000_001)
DELIVERIES = range(1, 1001)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshConfig:
    """``lease``: how long a silent worker keeps its claim. ``heartbeat``: how often a live one extends it, at most half
    a lease (default: a quarter of it). ``idle_poll``: the longest that an idle pump sleeps without looking.
    ``max_snoozes``: how often one attempt may be snoozed; ``max_deliveries``: after how many lost deliveries it is
    given up as a dead letter; ``quarantine``: whether one with a lost delivery runs in a process of its own, where that
    can be. ``reconcile_every``: how often a lease backend of its own is told what has changed;
    ``sweep``: how often it is asked for everything that is due (I11).

    Durations may be given in seconds; they are kept as ``timedelta``. :class:`InvalidInput` names the first field that
    is wrong.
    """

    queue: str = "default"
    lease: timedelta = timedelta(seconds=60)
    heartbeat: timedelta | None = None
    idle_poll: timedelta = timedelta(seconds=5)
    max_snoozes: int = 1000
    max_deliveries: int = 5
    quarantine: bool = True
    reconcile_every: timedelta = timedelta(seconds=1)
    sweep: timedelta = timedelta(minutes=5)

    def __post_init__(self) -> None:
        if not is_identifier(self.queue):
            raise InvalidInput("allowed is a text of 1 to 128 of A-Z a-z 0-9 . _ -", field="queue")
        lease = check_duration(self.lease, field="lease", least=SHORTEST_LEASE, most=LONGEST_LEASE)
        self._keep("lease", lease)
        if self.heartbeat is not None:
            beat = check_duration(
                self.heartbeat, field="heartbeat", least=SHORTEST_HEARTBEAT, most=lease / 2, note=" (half of the lease)"
            )
            self._keep("heartbeat", beat)
        poll = check_duration(self.idle_poll, field="idle_poll", least=SHORTEST_IDLE_POLL, most=LONGEST_IDLE_POLL)
        self._keep("idle_poll", poll)
        most = check_integer(self.max_deliveries, field="max_deliveries", allowed=DELIVERIES)
        self._keep("max_deliveries", most)
        if not isinstance(self.quarantine, bool):
            raise InvalidInput(f"is a {type(self.quarantine).__name__}; allowed are True and False", field="quarantine")
        every = check_duration(self.reconcile_every, field="reconcile_every", least=SHORTEST_PASS, most=LONGEST_PASS)
        self._keep("reconcile_every", every)
        self._keep("sweep", check_duration(self.sweep, field="sweep", least=SHORTEST_SWEEP, most=LONGEST_SWEEP))
        self._keep("max_snoozes", check_integer(self.max_snoozes, field="max_snoozes", allowed=SNOOZES))

    def _keep(self, field: str, value: object) -> None:
        object.__setattr__(self, field, value)  # frozen for everyone else

    @property
    def beat(self) -> timedelta:
        """The time between two heartbeats."""
        return self.lease / HEARTBEATS_PER_LEASE if self.heartbeat is None else self.heartbeat


def check_integer(value: object, *, field: str, allowed: range, note: str = "") -> int:
    """The integer that a caller gave, if it is one of ``allowed``: no bool, no float, no text."""
    words = f"allowed is an integer from {allowed[0]} to {allowed[-1]}{note}"
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInput(f"is a {type(value).__name__}; {words}", field=field)
    if value not in allowed:
        raise InvalidInput(f"{value if abs(value) < 10**18 else 'such a number'} is refused; {words}", field=field)
    return int(value)
