"""What every fault is: it is applied, it is seen to have happened, and it is healed.

A fault is aimed by its own chance, so a plan with one seed does the same twice, as far as processes allow. It touches
only what this process has started (:class:`World`), and it waits for nothing: whoever drives it asks :meth:`Fault.seen`
again and again.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from chaos.fleet.stores import Stores
from chaos.fleet.workers import Workers
from chaos.history import Harm
from chaos.workload.robot import Robot
from squidmesh import Mesh


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All that a fault may lay hands on. ``old``: the folder of another version of the package, where there is one."""

    folder: Path
    stores: Stores
    workers: Workers
    robot: Robot
    mesh: Mesh
    old: Path | None = None


class NoTarget(Exception):
    """There is nothing to do it to at this moment, such as no worker that lives: it may be tried later."""


class Fault(ABC):
    """One injection of its kind. ``needs``: words of :attr:`chaos.fleet.setup.Setup.offers`, all of them.
    ``touches``: what two faults can not have at the same time. ``lasts``: seconds from it to its end, at least and at
    most. ``expected``: what has to come of it, for people. ``harm``: what the judge has to know of it. ``root``: only
    root can do it; ``package``: of Debian's, which it needs.
    """

    name: ClassVar[str]
    what: ClassVar[str]
    expected: ClassVar[str]
    harm: ClassVar[Harm] = "other"
    needs: ClassVar[frozenset[str]]
    touches: ClassVar[frozenset[str]]
    lasts: ClassVar[tuple[float, float]]
    patience: ClassVar[float] = 20.0
    """Seconds after its time in which it may still be seen to have happened."""
    root: ClassVar[bool] = False
    package: ClassVar[str] = ""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.world = world
        self.chance = chance

    @abstractmethod
    def apply(self) -> str:
        """Does it; what it was done to, in some words. Raises :class:`NoTarget`."""

    @abstractmethod
    def seen(self) -> str | None:
        """What shows that it has really happened; None as long as nothing does. May do a further part of it."""

    @abstractmethod
    def heal(self) -> None:
        """Takes it away; once, whether or not it was seen, and also where it has healed by itself."""

    def over(self) -> bool:
        """Whether nothing of it is left, when it was taken away. Asked until it is so, or for its patience."""
        return True


def state_of(pid: int) -> str:
    """The letter of a process's state; empty where it has ended and nobody waits for it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
