"""Being watched at work: instruments that hear what happens, and a look at what the stores hold."""

from __future__ import annotations

import os

from squidmesh.errors import InvalidInput
from squidmesh.ports.instrument import Instrument
from squidmesh.ports.vitals import Vitals
from squidmesh.reading.workers import WorkerList, workers_seen
from squidmesh.runtime.register import everyone
from squidmesh.runtime.verbs.opening import Opening
from squidmesh.runtime.vitals import look_at_all


class Observing(Opening):
    def observe(self, instrument: Instrument) -> None:
        """``instrument`` hears from now on what this mesh does in this process: see :class:`Instrument`, and
        ``squidmesh.observe`` for those that are there. Opens nothing.
        """
        if not isinstance(instrument, Instrument):
            why = f"is a {type(instrument).__name__}; allowed is an Instrument, such as those of squidmesh.observe"
            raise InvalidInput(why, field="instrument")
        with self._lock:
            self._instruments.append(instrument)
            if self._opened is not None and self._opened[0] == os.getpid():
                self._opened[1].instruments.add(instrument)

    def vitals(self) -> Vitals:
        """What the stores hold now, in numbers: runs by status, dead letters, queues. Asks them once, and raises what
        they raise. Where only the lease backend does not answer, ``trouble`` says so.
        """
        return look_at_all(self._engine(), self._queues(None))

    def workers(self) -> WorkerList:
        """Who works for this mesh, in whatever process, and who is lost: see :class:`WorkerSeen`. Each worker tells of
        itself every ten seconds, when it begins to drain, and when it leaves. Hosts that call ``execute_next`` are not
        among them, nor are those of a bridge.
        """
        store = self._engine().store
        rows = everyone(store)
        return workers_seen(rows, store.now())
