"""A backend that lost its memory: whose lease is adopted again, and whose is lost (protocol 3.5.6)."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from pydantic import BaseModel

from squidmesh import Context, Mesh, Workflow, complete, manual, step
from squidmesh.config import MeshConfig
from squidmesh.errors import BackendUnavailable
from squidmesh.memory import MemoryBackend
from squidmesh.ports.lease_backend import Item
from squidmesh.runtime.engine import Engine
from squidmesh.runtime.watch import LogObserver
from squidmesh.testing import VirtualClock
from squidmesh.workflow.registry import Registry

LEASE = timedelta(seconds=30)


class Errands(BaseModel):
    many: int = 1


class Shared(MemoryBackend):
    """What several processes have in common: it outlives each of them."""

    def close(self) -> None:
        pass


class World:
    """Two processes over one store; ``meanwhile`` is what happens while the step runs for the first time."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.stores = Shared("memory://", clock=self.clock)
        self.engines: list[Engine] = []
        self.meanwhile: list[Callable[[Context], None]] = []
        self.workflow = self._workflow()
        self.first, self.second = self._mesh(), self._mesh()

    def _workflow(self) -> type[Workflow]:
        def carry(context: Context) -> None:
            if self.meanwhile:
                self.meanwhile.pop()(context)

        class Errand(Workflow):
            version = "1"
            go = manual(Errands)
            ring = step(carry)
            flow = ring.to(complete)

        return Errand

    def _mesh(self) -> Mesh:
        registry, config = Registry([self.workflow]), MeshConfig(lease=LEASE)

        def open_engine() -> Engine:
            self.engines.append(
                Engine(
                    journal=self.stores,
                    leases=None,
                    registry=registry,
                    config=config,
                    observer=LogObserver(),
                    heartbeat_thread=False,
                )
            )
            return self.engines[-1]

        return Mesh("a process", registry=registry, config=config, open_engine=open_engine)

    def run(self, meanwhile: Callable[[Context], None]) -> str:
        """The status of a run during whose only step this happened."""
        self.meanwhile.append(meanwhile)
        self.first.start_run(self.workflow, {})
        run = self.first.execute_next(owner_id="frodo")
        assert run is not None
        return run.status

    def beat(self) -> None:
        self.engines[0].heartbeats.beat()


@pytest.fixture
def world() -> World:
    return World()


def test_the_holder_of_a_forgotten_lease_keeps_it(world: World) -> None:
    leases = world.stores.leases()

    def meanwhile(context: Context) -> None:
        leases.forget_everything()
        world.beat()
        assert not context.lease_lost
        (held,) = leases.items("default").items
        assert held.recorded is not None
        assert (held.recorded.fence, held.recorded.lease) == (context.fence, LEASE)

    assert world.run(meanwhile) == "completed"
    assert leases.items("default").items == ()


def test_a_forgotten_lease_that_another_claim_has_replaced_is_lost(world: World) -> None:
    leases = world.stores.leases()

    def meanwhile(context: Context) -> None:
        (known,) = leases.items("default").items
        leases.forget_everything()
        leases.offer([Item(key=known.key, queue="default", priority=5, floor=context.fence)])
        other = world.second.execute_next(owner_id="sam")
        assert other is not None and other.status == "completed"
        leases.forget_everything()
        world.beat()
        assert context.lease_lost
        assert leases.items("default").items == (), "nothing was adopted"

    world.run(meanwhile)


def test_as_long_as_the_journal_can_not_be_read_nothing_is_adopted_and_nothing_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    leases, journal = world.stores.leases(), world.stores.journal()

    def refuse(**asked: object) -> None:
        raise BackendUnavailable("the journal is not there")

    def meanwhile(context: Context) -> None:
        leases.forget_everything()
        with monkeypatch.context() as patch:
            patch.setattr(journal, "open_attempts", refuse)
            world.beat()
            assert not context.lease_lost
            assert leases.items("default").items == ()
        world.beat()
        assert not context.lease_lost
        assert len(leases.items("default").items) == 1

    assert world.run(meanwhile) == "completed"
