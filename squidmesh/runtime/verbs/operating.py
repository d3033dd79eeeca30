"""What operators do to a mesh as a whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from squidmesh.errors import BackendError, InvalidInput
from squidmesh.runtime.commands import Command, carry_out
from squidmesh.runtime.doctor import Report, examine, refused
from squidmesh.runtime.reconcile import Reconciled
from squidmesh.runtime.reindex import Reindexed, Reindexer
from squidmesh.runtime.verbs.opening import Opening


class Operating(Opening):
    def apply(self, command: Command | Mapping[str, Any]) -> Any:
        """Carries out a verb that is said as data, and gives what that verb gives. ``InvalidInput`` where the verb is
        none, or its arguments are not those of the verb; and whatever the verb itself raises.
        """
        return carry_out(self, command)

    def reconcile(self, *, rewound: bool = False) -> Reconciled:
        """Makes the lease backend hold what the journal says is open, now: what a worker's reconciler does by itself.
        ``rewound``: the journal was restored from a backup, so everything is offered, whatever was noted before.
        Nothing to do on the journal's own leases. Raises ``WrongPlane`` or ``BackendUnavailable``.
        """
        engine = self._engine()
        engine.reconciler.listen(self._queues(None))
        return engine.reconciler.everything(trusting=not rewound)

    def reindex(self, *, dry_run: bool = False, tell: Callable[[str], None] = lambda said: None) -> Reindexed:
        """Makes the rows of all runs, agenda, timers, signals, dead letters and paused queues anew from the threads, of
        which they are an index; after a fault of the store, or of ours. Beside whoever works: nobody is stopped, and
        what is right is not written again. Leases are left alone. A run whose history can not be read is named in the
        answer, and left alone. ``dry_run`` changes nothing and says what it would have done; ``tell`` hears how far it
        has come.
        """
        if not isinstance(dry_run, bool):
            raise InvalidInput(f"is a {type(dry_run).__name__}; allowed is True or False", field="dry_run")
        engine = self._engine()
        done = Reindexer(engine.store, engine.caller_patience(), dry_run=dry_run, tell=tell).everything()
        engine.pauses.forget()
        engine.poke()
        return done

    def doctor(self) -> Report:
        """Looks at the stores and at what stands in them, and says what it found and what is wanted: see
        :class:`Report`. It only reads, makes nothing that is not there yet, and answers also where a store is damaged,
        out of date or out of reach: that is a finding whose level is ``refused``.
        """
        try:
            with self._stores() as stores:
                return examine(stores, self._registry)
        except BackendError as error:
            return refused(error)
