"""What a fleet is made of, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Journal = Literal["postgres", "sqlite"]
Leases = Literal["journal", "redis", "sentinel", "cluster"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """``workers`` processes with ``slots`` each. ``nodes``: network namespaces that they are spread over; 0: none, all
    on loopback. ``moved_clock``: the Redis has a clock of its own, by libfaketime. ``small_disk``: the journal is on a
    file system of its own, which can be made full. ``old``: a recorded version of the package is there too.
    """

    journal: Journal = "postgres"
    leases: Leases = "redis"
    workers: int = 4
    slots: int = 4
    nodes: int = 0
    moved_clock: bool = False
    small_disk: bool = False
    old: bool = False

    @property
    def offers(self) -> frozenset[str]:
        """What a fault may need, in the words of :attr:`chaos.faults.fault.Fault.needs`."""
        found = {"workers", self.journal}
        if self.leases != "journal":
            found.add(self.leases)
        if self.nodes:
            found.add("nodes")
        else:
            found |= {f"{one}-wire" for one in (self.journal, self.leases) if one in ("postgres", "redis")}
        found |= {word for word, is_so in (("clock", self.moved_clock), ("disk", self.small_disk)) if is_so}
        return frozenset(found | ({"old"} if self.old else set()))

    @property
    def needs_root(self) -> bool:
        return bool(self.nodes) or self.small_disk
