"""What every verb begins with: the engine of this process, opened once, and the queues that are meant."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from types import TracebackType
from typing import Self

from squidmesh.config import MeshConfig
from squidmesh.errors import UsageError
from squidmesh.ports.instrument import Instrument
from squidmesh.runtime.arguments import check_names
from squidmesh.runtime.engine import Engine, Stores
from squidmesh.runtime.inline import Inline
from squidmesh.workflow.registry import Registry

PAGE = range(1, 1001)
"""How many rows a page may have."""


class Opening:
    """Thread-safe; a context manager. A process that was spawned opens its own engine."""

    def __init__(
        self,
        name: str,
        *,
        registry: Registry,
        config: MeshConfig,
        open_engine: Callable[[], Engine],
        find_stores: Callable[[], Stores] | None = None,
    ) -> None:
        """For hosts that assemble their own stores; everyone else uses :meth:`connect`. ``open_engine`` is called by
        the first verb, once a process. ``name`` is shown in ``repr``. ``find_stores`` gives the same stores without
        opening them, for a look at what can not be opened.
        """
        self._name = name
        self._registry = registry
        self._config = config
        self._open_engine = open_engine
        self._find_stores = find_stores
        self._lock = threading.Lock()
        self._opened: tuple[int, Engine, Inline] | None = None
        self._instruments: list[Instrument] = []
        self._closed = False

    def close(self) -> None:
        """Closes what was opened in this process. Workers must have ended."""
        with self._lock:
            opened, self._opened = self._opened, None
            self._closed = True
        if opened is not None and opened[0] == os.getpid():
            opened[1].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Mesh {self._name} workflows={list(self._registry.names)}>"

    # --------------------------------------------------------------------------------------------------- inside

    def _open(self) -> tuple[Engine, Inline]:
        with self._lock:
            if self._closed:
                raise UsageError("this mesh is closed", code="mesh_closed")
            if self._opened is None or self._opened[0] != os.getpid():
                engine = self._open_engine()
                for instrument in self._instruments:
                    engine.instruments.add(instrument)
                self._opened = (os.getpid(), engine, Inline(engine))
            return self._opened[1:]

    @contextmanager
    def _stores(self) -> Iterator[Stores]:
        """Without opening them, where they are not open in this process already."""
        with self._lock:
            opened = self._opened
            if self._closed:
                raise UsageError("this mesh is closed", code="mesh_closed")
        if (opened is not None and opened[0] == os.getpid()) or self._find_stores is None:
            yield self._engine().stores
            return
        with closing(self._find_stores()) as stores:
            yield stores

    def _engine(self) -> Engine:
        return self._open()[0]

    def _queues(self, queues: Sequence[str] | None) -> tuple[str, ...]:
        """The queues to claim from; by default the mesh's own and those that its steps name. Where it has actions, also
        those that steps made at run time have named so far.
        """
        if queues is not None:
            return check_names(queues, field="queues")
        registry = self._registry
        known = [found for name in registry.names if (found := registry.get(name)) is not None]
        named = [queue for workflow in known for queue in workflow.definition.queues]
        if registry.actions:
            named += self._engine().queues_made_at_run_time()
        return tuple(dict.fromkeys((self._config.queue, *named)))


def inside(mesh: Opening) -> tuple[Engine, Inline]:
    """What stands behind the verbs of this process, opened where it is not yet: for a bridge, which goes below them."""
    return mesh._open()
