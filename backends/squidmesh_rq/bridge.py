"""The bridge: a thread that keeps RQ told of what is open in a journal. A team runs one, or two for safety."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType

from redis import Redis
from redis.exceptions import RedisError

from squidmesh.errors import BackendUnavailable, CommitUnknown, InvalidInput, UsageError, WrongPlane
from squidmesh.ports.journal_store import Wakeup
from squidmesh.runtime import chance
from squidmesh.runtime.arguments import check_names
from squidmesh.runtime.commit import CALLER_PATIENCE
from squidmesh.runtime.engine import Engine
from squidmesh.runtime.mesh import Mesh
from squidmesh.runtime.timers import Timers
from squidmesh.runtime.verbs.opening import inside
from squidmesh_rq.following import Follower, Passed
from squidmesh_rq.jobs import DEFAULT_PREFIX, Jobs, connected

_BREATH = 0.02
"""Seconds from one pass to the next, where the journal changes all the time."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 5.0
"""Seconds between two tries where journal or Redis are away: double each time."""
_LAST_WAIT = 10.0


class Bridge:
    """Follows the journal of ``mesh`` and puts a job into RQ for each attempt that is open; fires timers as well.

    ``with Bridge(mesh, "redis://localhost:6379"): …`` runs a thread until the block is left. ``look()`` is one pass in
    the caller's thread, for tests and for a host with a loop of its own. Any number may run at once, in any process.

    ``queues``: those of the mesh that RQ is to work for, by default all. Each is RQ's queue ``prefix`` + name. The mesh
    has its leases in its journal (no ``leases=``), and its journal in a file or a server, so that work-horses find it;
    its ``reconcile_every``, ``sweep`` and ``lease`` say how often it looks. Raises ``InvalidInput``.
    """

    def __init__(
        self,
        mesh: Mesh,
        redis: str | Redis,
        *,
        queues: Sequence[str] | None = None,
        prefix: str = DEFAULT_PREFIX,
    ) -> None:
        self._mesh = mesh
        self._queues = None if queues is None else check_names(queues, field="queues")
        self._redis = connected(redis)
        self._owned = isinstance(redis, str)
        self._jobs = Jobs(self._redis, prefix)
        self._lock = threading.Lock()
        self._follower: Follower | None = None
        self._timers: Timers | None = None
        self._stopped = threading.Event()
        self._wakeup: Wakeup | None = None
        self._thread: threading.Thread | None = None
        self._trouble: str | None = None

    def look(self) -> Passed:
        """One pass: timers that are due are fired, and RQ is told what has changed. Thread-safe. Raises what the
        journal raises, ``redis.exceptions.RedisError``, and ``WrongPlane`` where another backend delivers the work.
        """
        with self._lock:
            follower, timers = self._open()
            timers.fire()
            return follower.look()

    def start(self) -> Bridge:
        """Begins the thread. Raises ``UsageError`` (``already_started``)."""
        if self._thread is not None:
            raise UsageError("a bridge is started once", code="already_started")
        self._open()
        engine = self._engine()
        self._wakeup = engine.wakeup(self._queues or ())
        self._thread = threading.Thread(target=self._run, name="squidmesh-rq-bridge", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Ends the thread, after the pass that it may be in. What RQ has goes on being worked at."""
        self._stopped.set()
        if self._wakeup is not None:
            self._wakeup.poke()
        if self._thread is not None:
            self._thread.join(_LAST_WAIT)
        if self._wakeup is not None:
            self._engine().forget_wakeup(self._wakeup)
            self._wakeup = None
        if self._owned:
            self._redis.close()

    def __enter__(self) -> Bridge:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # ---------------------------------------------------------------------------------------------------- inside

    def _engine(self) -> Engine:
        return inside(self._mesh)[0]

    def _open(self) -> tuple[Follower, Timers]:
        if self._follower is None or self._timers is None:
            engine = self._engine()
            if not engine.leases.in_journal:
                why = "delivers through a lease backend of its own; allowed is a mesh with its leases in its journal"
                raise InvalidInput(why, field="mesh")
            recorder = engine.writer(patience=CALLER_PATIENCE).recorder
            self._timers = Timers(engine.store, recorder, engine.observer)
            self._follower = Follower(engine, self._jobs, queues=self._queues)
        return self._follower, self._timers

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stopped.is_set():
            if self._try():
                pause = _FIRST_PAUSE
                self._rest()
            else:
                self._stopped.wait(pause * (0.75 + chance.jitter() / 2))
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _rest(self) -> None:
        assert self._wakeup is not None and self._follower is not None and self._timers is not None
        every = self._engine().config.reconcile_every
        longest = self._timers.rest(self._follower.rest(every))
        if not self._stopped.wait(min(_BREATH, every.total_seconds())) and longest > timedelta(seconds=_BREATH):
            self._wakeup.wait(longest)

    def _try(self) -> bool:
        """Whether it could. One notice a change of state, whatever is away."""
        observer = self._engine().observer
        try:
            self.look()
        except (BackendUnavailable, CommitUnknown, RedisError, WrongPlane) as error:
            if self._trouble is None:
                observer.notice("rq_bridge_waits", error=str(error))
            self._trouble = str(error)
            return False
        except Exception as error:
            if self._trouble != str(error):
                observer.notice("rq_bridge_failed", error=f"{type(error).__name__}: {error}")
            self._trouble = str(error)
            return False
        if self._trouble is not None:
            observer.notice("rq_bridge_goes_on")
        self._trouble = None
        return True
