"""What operators do to a mesh as a whole."""

from __future__ import annotations

from squidmesh.runtime.reconcile import Reconciled
from squidmesh.runtime.verbs.opening import Opening


class Operating(Opening):
    def reconcile(self, *, rewound: bool = False) -> Reconciled:
        """Makes the lease backend hold what the journal says is open, now: what a worker's reconciler does by itself.
        ``rewound``: the journal was restored from a backup, so everything is offered, whatever was noted before.
        Nothing to do on the journal's own leases. Raises ``WrongPlane`` or ``BackendUnavailable``.
        """
        engine = self._engine()
        engine.reconciler.listen(self._queues(None))
        return engine.reconciler.everything(trusting=not rewound)
