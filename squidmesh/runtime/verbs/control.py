"""What people decide about a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from squidmesh.reading.inspect import Run, inspect
from squidmesh.runtime import deciding
from squidmesh.runtime.verbs.opening import Opening


class Control(Opening):
    def approve_run(
        self,
        run_id: str,
        *,
        actor: str,
        comment: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        key: str | None = None,
        step: str | None = None,
    ) -> Run:
        """Opens the gate that the run waits at; ``step`` says which, where several are open. The same ``key`` again
        changes nothing and gives the run as it is. ``NotWaiting`` where no gate is open, or it was decided before.
        ``actor``, ``comment`` and ``metadata`` (JSON values) are kept in the history.
        """
        return self._decide(run_id, "approved", actor, comment, metadata, key, step)

    def reject_run(
        self,
        run_id: str,
        *,
        actor: str,
        comment: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        key: str | None = None,
        step: str | None = None,
    ) -> Run:
        """As :meth:`approve_run`, the other way: the reject route is taken, or the run fails."""
        return self._decide(run_id, "rejected", actor, comment, metadata, key, step)

    def _decide(
        self,
        run_id: str,
        decision: Literal["approved", "rejected"],
        actor: str,
        comment: str | None,
        metadata: Mapping[str, Any] | None,
        key: str | None,
        step: str | None,
    ) -> Run:
        said = deciding.check_decision(
            run_id, decision, actor=actor, comment=comment, metadata=metadata, key=key, step=step
        )
        engine = self._engine()
        return inspect(deciding.decide(engine, said), now=engine.store.now())
