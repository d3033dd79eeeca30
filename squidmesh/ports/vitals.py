"""What the stores hold now, in numbers: read at each look, so that it is true after any crash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from squidmesh.ports.lease_backend import QueueStats


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """``runs`` by status; ``dead_letters`` that wait for a person. ``queues``: those that are known, with what the
    lease backend holds of them; empty where it can not be asked, and ``trouble`` says why. ``paused``: the names of
    those.
    """

    runs: dict[str, int]
    dead_letters: int
    queues: tuple[QueueStats, ...]
    paused: frozenset[str]
    trouble: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSigns:
    """Of one worker. ``quiet``: how long ago its pump turned last, or found that it has to wait for a store; None
    before it was started. ``patience``: for how long a pump that is well may be quiet. ``held``: leases of its
    process. ``failed``: what ended it. ``roles``: what it carries beside its steps, by name, and what keeps each from
    its work; None where that goes well.
    """

    quiet: timedelta | None
    patience: timedelta
    running: bool
    draining: bool
    busy: int
    capacity: int
    held: int
    failed: str | None = None
    roles: Mapping[str, str | None] = field(default_factory=dict)
