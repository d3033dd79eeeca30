"""What is next once a step has ended: the route that is taken, or the joins that are complete, and what they lead to.

On a *path* a step that ended takes the first of its routes whose condition holds. In a *graph* a step begins when all
that it comes after have succeeded, which is seen by the entry of the last of them (I14): two that end in the same
instant are two entries of one thread, one after the other. Some gates open as they are reached; then the same entry
goes on behind them.
"""

from __future__ import annotations

from typing import Any, assert_never

from squidmesh.clock import micros
from squidmesh.journal.facts import (
    AnyFact,
    ApprovalRequested,
    AttemptScheduled,
    ChildrenAwaited,
    ChildrenEnded,
    EventAwaited,
    EventTaken,
    PauseReached,
    RouteTaken,
    RunCompleted,
)
from squidmesh.journal.state import Layers, RunState
from squidmesh.planning.concurrency import UNLIMITED, concurrency_of
from squidmesh.planning.failure import fails
from squidmesh.workflow.condition import holds
from squidmesh.workflow.definition import (
    COMPLETE,
    ApprovalStep,
    ChildrenStep,
    Definition,
    EventStep,
    FunctionStep,
    LogStep,
    Outcome,
    PauseStep,
    Queued,
    Route,
    WaitStep,
)


def begin(definition: Definition, state: RunState, *, now: int, delay: int = 0) -> list[AnyFact]:
    """What a run that has just started reaches. ``delay`` is in microseconds."""
    following = Following(definition, state, now)
    for root in definition.roots:
        following.enter(root, delay=delay)
    following.complete_if_all_done()
    return following.facts


def follow(
    definition: Definition, state: RunState, step: str, on: Outcome, *, output: dict[str, Any], now: int
) -> list[AnyFact]:
    """The facts that follow from ``step`` having ended with ``on`` and added ``output`` to the context.

    After ``ok``, on a path, no route at all completes the run, and none that holds fails it. After anything else, no
    route that holds gives no facts: the caller says what becomes of the run.
    """
    following = Following(definition, state, now)
    following.leave(step, on, output)
    return following.facts


class Following:
    """The facts of one entry as they come one from the other. ``state`` is as of before the entry, and only read; what
    the entry adds to it is noted here. ``ended``: id and status of the child run whose end it records.
    """

    def __init__(
        self, definition: Definition, state: RunState, now: int, *, ended: tuple[str, str] | None = None
    ) -> None:
        self.facts: list[AnyFact] = []
        self._definition = definition
        self._state = state
        self._now = now
        self._ended = ended
        self._outputs: dict[str, Any] = {}
        self._behind: list[tuple[str, Outcome]] = []
        self._entered: set[str] = set()
        self._left: list[str] = []
        self._done: list[str] = []
        self._taken: set[int] = set()
        """Places of kept events that this entry takes."""

    def leave(self, step: str, on: Outcome, output: dict[str, Any]) -> None:
        """``step`` has ended. What follows may end at once too, and so on: in a loop, as a workflow may be longer than
        calls can be deep.
        """
        self._outputs.update(output)
        self._left.append(step)
        if on == "ok":
            self._done.append(step)
        self._behind.append((step, on))
        if len(self._behind) > 1:
            return  # to the loop that is going on
        while self._behind:
            ended, how = self._behind[0]
            if self._definition.topology == "path":
                self._take_route(ended, how)
            elif how == "ok":
                self._join(ended)
            del self._behind[0]

    def enter(self, name: str, *, delay: int = 0) -> None:
        """``name`` is reached. ``delay`` is added to a wait's own."""
        self._entered.add(name)
        step = self._definition.step(name)
        now = self._now
        match step:
            case FunctionStep() | WaitStep() | LogStep():
                self.facts.append(self._scheduled(step, delay))
            case ApprovalStep():
                deadline = None if step.timeout is None else now + micros(step.timeout)
                self.facts.append(ApprovalRequested(at=now, step=name, deadline=deadline))
            case PauseStep():
                self.facts.append(PauseReached(at=now, step=name))
            case EventStep():
                deadline = None if step.timeout is None else now + micros(step.timeout)
                self.facts.append(EventAwaited(at=now, step=name, event=step.event, deadline=deadline))
                self._take_kept_event(step)
            case ChildrenStep():
                self.facts.append(ChildrenAwaited(at=now, step=name))
                if self._no_child_is_open():
                    self.end_children(step)
            case _:
                assert_never(step)

    # ----------------------------------------------------------------------------------------------- behind it

    def _take_route(self, step: str, on: Outcome) -> None:
        routes = self._definition.routes_from(step, on)
        for route in routes:
            if route.when is None or holds(route.when, self._context()):
                self._go(route)
                return
        if on == "ok" and not routes:
            self.facts.append(RunCompleted(at=self._now))
        elif on == "ok":
            message = f"{step} ended, and none of its {len(routes)} conditional routes holds"
            self.facts += fails(
                self._definition,
                self._state,
                now=self._now,
                code="no_matching_transition",
                step=step,
                message=message,
                closed=frozenset(self._left),
                completed=self._done,
            )

    def _go(self, route: Route) -> None:
        self.facts.append(
            RouteTaken(
                at=self._now,
                source=route.source,
                on=route.on,
                target=route.target,
                edge=self._definition.route_id(route),
                recovery=route.recovery,
            )
        )
        if route.target == COMPLETE:
            self.facts.append(RunCompleted(at=self._now))
        else:
            self.enter(route.target)

    def _join(self, step: str) -> None:
        """Each that comes after ``step`` and now has all that it comes after. One that comes after several that this
        entry ends is entered by the first that finds them all done.
        """
        for following in self._definition.dependents.get(step, ()):
            enough = len(following.after) <= len(self._state.completed) + len(self._done)
            if enough and following.name not in self._entered and all(map(self._is_done, following.after)):
                self.enter(following.name)
        self.complete_if_all_done()

    def _is_done(self, step: str) -> bool:
        return step in self._done or step in self._state.completed

    def complete_if_all_done(self) -> None:
        """A graph has succeeded when each of its steps has."""
        if self._definition.topology != "graph" or (self.facts and isinstance(self.facts[-1], RunCompleted)):
            return
        if len(self._state.completed) + len(self._done) == len(self._definition.steps):
            self.facts.append(RunCompleted(at=self._now))

    # -------------------------------------------------------------------------------------------- attempts, gates

    def _scheduled(self, step: Queued, delay: int) -> AttemptScheduled:
        state = self._state
        shared = UNLIMITED
        if isinstance(step, FunctionStep) and step.concurrency_key is not None:
            shared = concurrency_of(step, self._context())
        pause = delay + (micros(step.duration) if isinstance(step, WaitStep) else 0)
        return AttemptScheduled(
            at=self._now,
            step=step.name,
            attempt=1,
            queue=step.queue or state.queue,
            priority=state.priority if step.priority is None else step.priority,
            visible_at=self._now + pause,
            cause="wait" if pause else "route",
            concurrency_key=shared.key,
            concurrency_limit=shared.limit,
        )

    def _context(self) -> Layers:
        """What conditions look at: as it is with what this entry adds."""
        return Layers(self._outputs, self._state.outputs, self._state.payload)

    def _take_kept_event(self, step: EventStep) -> None:
        for place, kept in enumerate(self._state.events):
            if kept.event == step.event and place not in self._taken:
                self._taken.add(place)
                self.take_event(step, kept.data)
                return

    def take_event(self, step: EventStep, data: Any) -> None:
        output = {step.output: data} if step.output else {}
        self.facts.append(EventTaken(at=self._now, step=step.name, event=step.event, output=output))
        self.leave(step.name, "ok", output)

    def _no_child_is_open(self) -> bool:
        return self._state.open_children in ([], [self._ended[0]] if self._ended is not None else [])

    def end_children(self, step: ChildrenStep) -> None:
        output = {step.output: _children(self._state, self._ended)} if step.output else {}
        self.facts.append(ChildrenEnded(at=self._now, step=step.name, output=output))
        self.leave(step.name, "ok", output)


def _children(state: RunState, ended: tuple[str, str] | None) -> dict[str, Any]:
    """How the child runs ended: each, and how many of which status, for conditions to look at."""
    told = [
        {
            "run_id": child.run_id,
            "workflow": child.workflow,
            "step": child.step,
            "key": child.key,
            "status": ended[1] if ended is not None and ended[0] == child.run_id else child.status,
        }
        for child in state.children.values()
    ]
    counts = {status: sum(one["status"] == status for one in told) for status in ("completed", "failed", "cancelled")}
    return {**counts, "runs": told}
