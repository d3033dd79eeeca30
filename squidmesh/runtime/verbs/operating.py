"""What operators do to a mesh as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from squidmesh.runtime.commands import Command, carry_out
from squidmesh.runtime.reconcile import Reconciled
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
