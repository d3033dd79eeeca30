"""``Mesh``: the verbs of the public API, over one journal and one lease backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import timedelta
from typing import Any

from squidmesh.clock import Clock
from squidmesh.config import MeshConfig
from squidmesh.errors import InvalidInput, InvalidUrl
from squidmesh.ports.backend import Migration
from squidmesh.ports.observer import Observer
from squidmesh.ports.payload_codec import PayloadCodec
from squidmesh.runtime.arguments import check_list, check_offers, check_url
from squidmesh.runtime.backends import open_backend
from squidmesh.runtime.chance import SystemClock
from squidmesh.runtime.coded import check_codec
from squidmesh.runtime.engine import Engine, Stores
from squidmesh.runtime.moving import move
from squidmesh.runtime.verbs.authoring import Authoring
from squidmesh.runtime.verbs.control import Control
from squidmesh.runtime.verbs.cron import Crons
from squidmesh.runtime.verbs.dead_letters import DeadLetters
from squidmesh.runtime.verbs.executing import Executing
from squidmesh.runtime.verbs.observing import Observing
from squidmesh.runtime.verbs.operating import Operating
from squidmesh.runtime.verbs.queues import Queues
from squidmesh.runtime.verbs.retention import Retention
from squidmesh.runtime.verbs.starting import Starting
from squidmesh.runtime.watch import LogObserver
from squidmesh.workflow.actions import Actions
from squidmesh.workflow.authoring import Workflow
from squidmesh.workflow.registry import Registry

_OWN_LEASES = "journal"


class Mesh(Starting, Authoring, Executing, Control, Crons, DeadLetters, Queues, Retention, Operating, Observing):
    """One journal, one lease backend, and the workflows that this process knows. Thread-safe; a context manager.

    Made by :meth:`connect`. Stores are opened by the first verb, once a process: a mesh that was made before a process
    was spawned opens its own there.
    """

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        leases: str | None = None,
        workflows: Iterable[type[Workflow]] = (),
        actions: Actions | None = None,
        queue: str = "default",
        lease: timedelta | float = timedelta(seconds=60),
        heartbeat: timedelta | float | None = None,
        idle_poll: timedelta | float = timedelta(seconds=5),
        reconcile_every: timedelta | float = timedelta(seconds=1),
        sweep: timedelta | float = timedelta(minutes=5),
        max_deliveries: int = 5,
        quarantine: bool = True,
        clock: Clock | None = None,
        observer: Observer | None = None,
        codec: PayloadCodec | None = None,
    ) -> Mesh:
        """A mesh over the journal at ``url`` (``sqlite:///errand.db``, ``postgresql://worker@db/shop``, ``memory://``).
        Touches no store yet. A relative path is relative to the folder of this call, also for verbs that come later.
        ``actions``: the functions that workflows made at run time may name (:meth:`activate_workflow`).

        ``leases``: another lease backend than the journal's own, such as ``redis://localhost``. ``lease``: how long a
        silent worker keeps a claim (50 ms to 1 day); ``heartbeat``: how often a live one extends it (default: a quarter
        of a lease, at most half); ``idle_poll``: the longest that an idle worker sleeps without looking (1 ms to
        1 min). A worker with ``leases`` also tells that backend what has changed, each ``reconcile_every`` (10 ms to
        10 min), and asks it for all that is due, each ``sweep`` (100 ms to 1 day). ``clock`` serves embedded stores
        only. ``max_deliveries`` (1 to 1000): an attempt whose workers were lost that often is given up as a dead letter
        (:meth:`list_dead_letters`). One that was lost before runs alone, and with ``quarantine`` in a process of its
        own, where its workflow can be imported and its step is no coroutine. ``codec``: what facts and checkpoints pass
        on their way to the journal and back, such as ``squidmesh.codecs.aes_gcm.AesGcm``; whoever opens this journal
        needs the same. Raises ``WorkflowError`` with the problems
        of all workflows, ``InvalidUrl``, or ``InvalidInput``.
        """
        settings: dict[str, Any] = {"queue": queue, "lease": lease, "heartbeat": heartbeat, "idle_poll": idle_poll}
        settings |= {"reconcile_every": reconcile_every, "sweep": sweep, "max_deliveries": max_deliveries}
        settings["quarantine"] = quarantine
        config = MeshConfig(**settings)
        if actions is not None and not isinstance(actions, Actions):
            raise InvalidInput(f"is a {type(actions).__name__}; allowed is an Actions", field="actions")
        registry = Registry(check_list(workflows, field="workflows", of="Workflow classes"), actions)
        time_source = SystemClock() if clock is None else clock
        check_offers(time_source, "now", field="clock")
        watcher = LogObserver() if observer is None else observer
        check_offers(watcher, "notice", field="observer")
        payload_codec = check_codec(codec)
        # A URL that is no good is refused here, and a relative one is resolved; nothing is touched yet.
        journal_url = _resolved(url, time_source, "url")
        leases_url = None if leases is None else _resolved(leases, time_source, "leases")

        if leases_url is not None and _forgets(leases_url) and not _forgets(journal_url):
            why = "a memory ends with its process, and nothing would offer the journal's open work to the next one"
            raise InvalidUrl(f"{why}; allowed is none (the journal's own leases)", field="leases")

        def find_stores() -> Stores:
            return Stores(
                journal=open_backend(journal_url, clock=time_source),
                leases=None if leases_url is None else open_backend(leases_url, clock=time_source, field="leases"),
                codec=payload_codec,
            )

        def open_engine() -> Engine:
            stores = find_stores()
            return Engine(
                journal=stores.journal,
                leases=stores.leases,
                registry=registry,
                config=config,
                observer=watcher,
                codec=stores.codec,
                own_clock=clock is not None,
            )

        name = journal_url.partition("?")[0].rpartition("@")[2]
        return cls(name, registry=registry, config=config, open_engine=open_engine, find_stores=find_stores)

    @staticmethod
    def migrate(url: str, *, leases: str | None = None, tell: Callable[[str], None] = lambda said: None) -> list[str]:
        """Brings the store at ``url`` to this version's schema, making it where it is not there. The names of the
        migrations that were applied: none where it was up to date.

        ``leases`` moves the mesh to another lease backend, or back to its ``"journal"``; it is named among what was
        applied. Nobody claims meanwhile, and whoever still has the old one is refused from then on. Waits for what is
        claimed, at most for the longest lease of it; ``tell`` hears how far it has come. Where it is interrupted, the
        same call goes on. Raises ``WrongPlane`` where that backend works for another mesh.
        """
        clock = SystemClock()
        journal_url = check_url(url, field="url")
        elsewhere = None if leases in (None, _OWN_LEASES) else _resolved(leases, clock, "leases")
        if elsewhere is not None and _forgets(elsewhere):
            raise InvalidUrl("a memory ends with its process; allowed is a server, or journal", field="leases")
        backend = open_backend(journal_url, clock=clock)
        try:
            applied = backend.migrate()
            if leases is not None:
                lent = None if elsewhere is None else open_backend(elsewhere, clock=clock, field="leases")
                engine = Engine(
                    journal=backend, leases=lent, registry=Registry(()), config=MeshConfig(), observer=LogObserver()
                )
                applied += move(engine, tell=tell)
                engine.close()
            return applied
        finally:
            backend.close()

    @staticmethod
    def migrations(url: str, *, every: bool = False) -> list[Migration]:
        """What :meth:`migrate` would apply to the store at ``url``, in order, with its SQL; ``every``: also what was
        applied before. Changes nothing, and makes nothing.
        """
        if not isinstance(every, bool):
            raise InvalidInput(f"is a {type(every).__name__}; allowed is True or False", field="every")
        with closing(open_backend(check_url(url, field="url"), clock=SystemClock())) as backend:
            return backend.migrations(every=every)


def _resolved(url: object, clock: Clock, field: str) -> str:
    """The URL as it reads from every folder. ``InvalidUrl`` where it is no good."""
    return open_backend(check_url(url, field=field), clock=clock, field=field).url


def _forgets(url: str) -> bool:
    return url.startswith("memory:")
