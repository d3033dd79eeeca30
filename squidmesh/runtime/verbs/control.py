"""What people decide about a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from squidmesh.reading.inspect import Run, inspect
from squidmesh.runtime import deciding, replaying
from squidmesh.runtime.arguments import check_run_id
from squidmesh.runtime.deciding import Word
from squidmesh.runtime.verbs.opening import Opening


class Control(Opening):
    """Each is a fact of the run, with actor, comment and metadata (JSON values), which are kept in its history. The
    same ``key`` again is the same command: it changes nothing but a count, and gives the run as it is.
    """

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
        """Opens the approval that the run waits at; ``step`` says which, where several are open. ``NotWaiting`` where
        none is open, or it was decided before.
        """
        said = deciding.check_said(run_id, actor=actor, comment=comment, metadata=metadata, key=key, step=step)
        return self._decide(said.run_id, deciding.decision(said, "approved"))

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
        said = deciding.check_said(run_id, actor=actor, comment=comment, metadata=metadata, key=key, step=step)
        return self._decide(said.run_id, deciding.decision(said, "rejected"))

    def resume_run(
        self,
        run_id: str,
        *,
        actor: str,
        comment: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        key: str | None = None,
        step: str | None = None,
    ) -> Run:
        """Opens the pause that the run waits at. ``NotWaiting`` where none is open."""
        said = deciding.check_said(run_id, actor=actor, comment=comment, metadata=metadata, key=key, step=step)
        return self._decide(said.run_id, deciding.resumption(said))

    def cancel_run(
        self,
        run_id: str,
        *,
        actor: str,
        comment: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        key: str | None = None,
        children: Literal["cancel", "leave"] = "cancel",
    ) -> Run:
        """Ends the run now: whatever is open is closed, and a step that runs is told within a heartbeat
        (``context.cancelled``). Nothing is compensated. Its open child runs are cancelled too, unless ``children`` says
        to leave them. ``NotAllowed``, with the reason, where the run has ended, is failing, or compensates.
        """
        said = deciding.check_said(run_id, actor=actor, comment=comment, metadata=metadata, key=key)
        return self._decide(said.run_id, deciding.cancellation(said, children))

    def send_event(
        self, run_id: str, event: str, data: Any = None, *, actor: str | None = None, key: str | None = None
    ) -> Run:
        """Tells the run that something has happened outside. The step that waits for ``event`` takes it, with ``data``
        (a JSON value, up to 256 KiB); where none waits yet, it is kept for the one that will. Two events with one
        ``key`` are one. ``NotAllowed`` where no step of the workflow waits for such an event, or the run has ended.
        """
        wanted = check_run_id(run_id)
        return self._decide(wanted, deciding.event(event, data, actor=actor, key=key))

    def retry_compensation(
        self,
        run_id: str,
        *,
        actor: str,
        comment: str | None = None,
        key: str | None = None,
        step: str | None = None,
    ) -> Run:
        """Gives the compensation that has failed for good another series of attempts. ``step``: the one that is to be
        undone. ``NotWaiting`` where none waits for an operator.
        """
        said = deciding.check_said(run_id, actor=actor, comment=comment, key=key, step=step)
        return self._decide(said.run_id, deciding.compensation(said, "retry"))

    def waive_compensation(
        self,
        run_id: str,
        *,
        actor: str,
        comment: str | None = None,
        key: str | None = None,
        step: str | None = None,
    ) -> Run:
        """Lets the compensation that has failed for good be: the next one follows, or the run has failed."""
        said = deciding.check_said(run_id, actor=actor, comment=comment, key=key, step=step)
        return self._decide(said.run_id, deciding.compensation(said, "waive"))

    def replay_run(
        self,
        run_id: str,
        *,
        actor: str,
        comment: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        key: str | None = None,
        allow_irreversible: bool = False,
        queue: str | None = None,
        priority: int | None = None,
    ) -> Run:
        """Starts a new run from the trigger and the payload of one that has ended, by today's definition; the old run
        stays as it is, and the new one names it (``replay_of``). The same ``key`` gives the same new run.
        ``NotAllowed`` where the old run has passed a step that is ``irreversible`` or not ``compensatable``, unless
        ``allow_irreversible``.
        """
        said = deciding.check_said(run_id, actor=actor, comment=comment, metadata=metadata, key=key)
        engine = self._engine()
        state = replaying.replay(engine, said, allow_irreversible=allow_irreversible, queue=queue, priority=priority)
        return inspect(state, now=engine.store.now())

    def _decide(self, run_id: str, word: Word) -> Run:
        engine = self._engine()
        return inspect(deciding.decide(engine, run_id, word), now=engine.store.now())
