"""What befalls the ways of half of the fleet to the stores: cut and healed, torn, and answers lost on the way."""

from __future__ import annotations

from chaos.faults.fault import Fault, NoTarget
from chaos.wires.postgres_wire import APPENDS, STEP_APPENDS, STEP_COMMITS
from chaos.wires.wire import Wire


class Cut(Fault):
    """Nothing passes, nobody is told, and what was sent meanwhile arrives late."""

    lasts = (1.0, 8.0)

    @property
    def wire(self) -> Wire:
        raise NotImplementedError

    def apply(self) -> str:
        self._before = self.wire.held
        self.wire.cut()
        return "half of the workers"

    def seen(self) -> str | None:
        held = self.wire.held - self._before
        return f"{held} messages are held back" if held else None

    def heal(self) -> None:
        self.wire.heal()


class Torn(Fault):
    """Every connection breaks; new ones are let through."""

    lasts = (0.0, 1.0)

    @property
    def wire(self) -> Wire:
        raise NotImplementedError

    def apply(self) -> str:
        self._torn = self.wire.tear()
        if not self._torn:
            raise NoTarget("nobody is connected there just now")
        return "half of the workers"

    def seen(self) -> str | None:
        return f"{self._torn} connections were torn"

    def heal(self) -> None:
        """They connect anew."""


class _Redis(Fault):
    needs = frozenset({"redis", "redis-wire"})
    touches = frozenset({"redis-wire"})

    @property
    def wire(self) -> Wire:
        found = self.world.stores.redis_wire
        assert found is not None
        return found


class _Postgres(Fault):
    needs = frozenset({"postgres", "postgres-wire"})
    touches = frozenset({"postgres-wire"})

    @property
    def wire(self) -> Wire:
        found = self.world.stores.postgres_wire
        assert found is not None
        return found


class RedisCut(_Redis, Cut):
    name = "redis-cut-off"
    harm = "link"
    what = "half of the workers are cut off from the Redis, and nobody is told"
    expected = "the other half takes over what those held; they go on when the link is back"


class RedisTorn(_Redis, Torn):
    name = "redis-torn"
    harm = "link"
    what = "all connections of half of the workers to the Redis break"
    expected = "they connect anew, and ask again"


class PostgresCut(_Postgres, Cut):
    name = "postgres-cut-off"
    harm = "link"
    what = "half of the workers are cut off from the PostgreSQL, and nobody is told"
    expected = "outcomes wait in memory, claims lapse; what was sent arrives late and is judged by its revision"


class PostgresTorn(_Postgres, Torn):
    name = "postgres-torn"
    harm = "link"
    what = "all connections of half of the workers to the PostgreSQL break"
    expected = "they connect and listen anew; commits under way are unknown"


class CommitUnknown(Fault):
    name = "commit-unknown"
    harm = "link"
    what = "the answer to a COMMIT is lost on the way, early or late, and the connection with it"
    expected = "the same append again, by its entry id: it is there once"
    needs = frozenset({"postgres", "postgres-wire"})
    touches = frozenset({"postgres-wire"})
    lasts = (1.0, 6.0)

    def apply(self) -> str:
        wire = self.world.stores.postgres_wire
        assert wire is not None
        self._wire = wire
        self._before = len(wire.lost)
        self._orders = 0
        for _ in range(self.chance.randrange(2, 5)):
            to = self.chance.choice((APPENDS, APPENDS, STEP_APPENDS, STEP_COMMITS))
            wire.lose(1, to, early=self.chance.random() < 0.5)
            self._orders += 1
        return f"{self._orders} answers"

    def seen(self) -> str | None:
        lost = self._wire.lost[self._before :]
        return f"answers lost: {', '.join(lost)}" if lost else None

    def heal(self) -> None:
        self._wire.spare()


class NodeCut(Fault):
    name = "node-cut-off"
    harm = "link"
    what = "the link of one machine is cut at the bridge: network namespaces"
    expected = "the others take over what it held; it writes nothing under its old claims when it is back"
    needs = frozenset({"nodes"})
    touches = frozenset({"nodes"})
    lasts = (3.0, 10.0)
    root = True

    def apply(self) -> str:
        network = self.world.stores.network
        assert network is not None
        self._network = network
        self._node = self.chance.randrange(self.world.stores.setup.nodes)
        network.cut(self._node)
        self._before = network.arrived(self._node)
        return f"node {self._node}"

    def seen(self) -> str | None:
        if self._network.reaches(self._node):
            return None
        packets = self._network.arrived(self._node) - self._before
        return f"{packets} packets came out of node {self._node} and went nowhere" if packets else None

    def heal(self) -> None:
        self._network.heal(self._node)
