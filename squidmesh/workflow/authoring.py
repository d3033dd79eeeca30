"""What an author writes: a class whose body declares triggers, steps and routes.

Everything here is a value. The class body only collects; nothing is judged while it runs, so that
:func:`squidmesh.workflow.validation.problems_of` can report every problem at once. ``__set_name__`` tells a declaration
where it stands, ``__init_subclass__`` records a body's declarations in order; there is no metaclass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar, Final, Generic, TypeAlias, TypeVar, final

from pydantic import BaseModel, JsonValue

from squidmesh.workflow.definition import COMPLETE, Condition, Idempotency, Level, Missed, Operator, Outcome, Recovery
from squidmesh.workflow.isolation import Isolation
from squidmesh.workflow.retry import RetryPolicy

P = TypeVar("P", bound=BaseModel)
Place: TypeAlias = tuple[type, str]
"""A class, and the name that a declaration has in its body."""


# --------------------------------------------------------------------------------------------------------- routes


@final
class Complete:
    """The target of a route that ends the run well. There is one: :data:`complete`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return COMPLETE


complete: Final = Complete()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Arrow:
    """One route as written; ``source`` and ``target`` are judged later."""

    source: object
    on: Outcome
    target: object
    when: Condition | None = None
    recovery: Recovery | None = None

    def __repr__(self) -> str:
        return f"{self.source!r} on {self.on} {self.target!r}"


@final
@dataclass(frozen=True, slots=True, repr=False)
class Routes:
    """One route or a chain of them; ``>>`` goes on with an ok route from where the last one ends."""

    arrows: tuple[Arrow, ...]

    def __rshift__(self, target: StepDeclaration | Complete) -> Routes:
        return Routes((*self.arrows, Arrow(source=self.arrows[-1].target, on="ok", target=target)))

    def __repr__(self) -> str:
        return f"<{', '.join(map(repr, self.arrows))}>"


Flow: TypeAlias = Routes | Sequence[Routes]


# ---------------------------------------------------------------------------------------------------------- steps


class StepDeclaration:
    """A step as written. Its name is the attribute that it is assigned to in the body of a :class:`Workflow`."""

    places: list[Place]
    """Where it was written: exactly one place, if all is well."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.places.append((owner, name))

    def __rshift__(self, target: StepDeclaration | Complete) -> Routes:
        """``a >> b``: when ``a`` is ok, ``b`` is next. ``a >> b >> complete`` is a chain."""
        return self.to(target)

    def to(self, target: StepDeclaration | Complete, when: Condition | None = None) -> Routes:
        """When this step is ok (and ``when`` holds), ``target`` is next. The first that holds, in declaration order."""
        return Routes((Arrow(source=self, on="ok", target=target, when=when),))

    def on_error(
        self, target: StepDeclaration | Complete, when: Condition | None = None, recovery: Recovery | None = None
    ) -> Routes:
        """When this step has failed for good, ``target`` is next, instead of the run's failure. Function steps only.

        ``recovery`` says in the history what the target does about it.
        """
        return Routes((Arrow(source=self, on="error", target=target, when=when, recovery=recovery),))

    def on_timeout(self, target: StepDeclaration | Complete, when: Condition | None = None) -> Routes:
        """When nobody has answered in time, ``target`` is next, instead of the run's failure. Approvals and events that
        have a ``timeout`` only.
        """
        return Routes((Arrow(source=self, on="timeout", target=target, when=when),))

    def on_reject(self, target: StepDeclaration | Complete, when: Condition | None = None) -> Routes:
        """When this approval is rejected, ``target`` is next, instead of the run's failure. Approvals only."""
        return Routes((Arrow(source=self, on="reject", target=target, when=when),))

    def __repr__(self) -> str:
        return f"<{'.'.join((self.places[0][0].__name__, self.places[0][1]))}>" if self.places else "<step>"


def _places() -> list[Place]:
    return []


After: TypeAlias = "Sequence[StepDeclaration]"


@final
@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class FunctionDeclaration(StepDeclaration):
    """See :func:`step`. ``action`` and ``compensate_action``: the names of ``fn`` and ``compensate`` among the host's
    actions, where the workflow was made at run time.
    """

    fn: Callable[..., Any]
    output: str | None = None
    input: Mapping[str, str] | Sequence[str] | None = None
    after: After = ()
    retry: RetryPolicy | None = None
    queue: str | None = None
    priority: int | None = None
    timeout: timedelta | float | None = None
    compensate: Callable[..., Any] | None = None
    compensate_input: Mapping[str, str] | Sequence[str] | None = None
    compensate_retry: RetryPolicy | None = None
    transaction: bool = False
    isolation: Isolation | None = None
    concurrency_key: str | None = None
    concurrency_limit: int = 1
    irreversible: bool = False
    compensatable: bool = True
    action: str | None = None
    compensate_action: str | None = None
    places: list[Place] = field(default_factory=_places)


@final
@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class WaitDeclaration(StepDeclaration):
    """See :func:`wait`."""

    duration: timedelta | float
    after: After = ()
    places: list[Place] = field(default_factory=_places)


@final
@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class LogDeclaration(StepDeclaration):
    """See :func:`log`."""

    message: str
    level: Level = "info"
    after: After = ()
    places: list[Place] = field(default_factory=_places)


@final
@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ApprovalDeclaration(StepDeclaration):
    """See :func:`approval`."""

    output: str | None = None
    timeout: timedelta | float | None = None
    after: After = ()
    places: list[Place] = field(default_factory=_places)


@final
@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class PauseDeclaration(StepDeclaration):
    """See :func:`pause`."""

    after: After = ()
    places: list[Place] = field(default_factory=_places)


@final
@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class EventDeclaration(StepDeclaration):
    """See :func:`event`."""

    event: str
    output: str | None = None
    timeout: timedelta | float | None = None
    after: After = ()
    places: list[Place] = field(default_factory=_places)


@final
@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ChildrenDeclaration(StepDeclaration):
    """See :func:`wait_for_children`."""

    output: str | None = None
    after: After = ()
    places: list[Place] = field(default_factory=_places)


AnyStep: TypeAlias = (
    FunctionDeclaration
    | WaitDeclaration
    | LogDeclaration
    | ApprovalDeclaration
    | PauseDeclaration
    | EventDeclaration
    | ChildrenDeclaration
)


def step(
    fn: Callable[..., Any],
    *,
    output: str | None = None,
    input: Mapping[str, str] | Sequence[str] | None = None,
    after: After = (),
    retry: RetryPolicy | None = None,
    queue: str | None = None,
    priority: int | None = None,
    timeout: timedelta | float | None = None,
    compensate: Callable[..., Any] | None = None,
    compensate_input: Mapping[str, str] | Sequence[str] | None = None,
    compensate_retry: RetryPolicy | None = None,
    transaction: bool = False,
    isolation: Isolation | None = None,
    concurrency_key: str | None = None,
    concurrency_limit: int = 1,
    irreversible: bool = False,
    compensatable: bool = True,
) -> FunctionDeclaration:
    """A step that calls ``fn`` (sync or async), at least once, with its parameters taken from the run's context.

    ``output``: the key that the result goes to; without it the result is an object whose keys are merged, or None.
    ``input``: which values the parameters get, ``{"account_id": "account.id"}`` or ``["account", "invoice_id"]``;
    without it every parameter is bound by its own name. ``after``: in a graph, the steps that must have succeeded
    first; without any it begins with the run. ``retry``: without it the first failure is final. ``queue`` and
    ``priority`` (0 to 9, lower first) override those of run and mesh. ``timeout``: how long one claim's work may take,
    from its start to its end; then the attempt has failed with ``timed_out``, and is retried as the policy says.

    ``concurrency_key="account.id"``: of all attempts on one queue whose context has the same value there, of whatever
    workflow, ``concurrency_limit`` (1 unless said otherwise) run at once; one whose context has nothing there, or
    neither text, integer nor boolean, is not limited.

    ``compensate``: what undoes the step when the run fails after it: a function whose parameters are bound as those of
    a step, and from ``step_input``, ``step_output`` and ``failure`` besides. ``compensate_input`` and
    ``compensate_retry`` are its own.

    ``transaction``: the step is given a connection of the journal's own store (``context.connection``); what it writes
    there and its completion are one transaction. ``isolation="process"``: ``fn`` is called in another process, where it
    may crash, leak or be killed at its ``timeout`` and hurts nobody; a plain function, and a workflow that can be
    imported. It is no part of the definition: runs that are under way follow what is said here today. ``irreversible``
    and ``compensatable=False`` block the replay of a run that has passed this step, unless the operator allows it.
    """
    return FunctionDeclaration(
        fn=_function(fn),
        output=output,
        input=input,
        after=after,
        retry=retry,
        queue=queue,
        priority=priority,
        timeout=timeout,
        compensate=None if compensate is None else _function(compensate),
        compensate_input=compensate_input,
        compensate_retry=compensate_retry,
        transaction=transaction,
        isolation=isolation,
        concurrency_key=concurrency_key,
        concurrency_limit=concurrency_limit,
        irreversible=irreversible,
        compensatable=compensatable,
    )


def _function(fn: Callable[..., Any]) -> Callable[..., Any]:
    return fn.__func__ if isinstance(fn, staticmethod) else fn  # one that is still in its class body


def wait(duration: timedelta | float, *, after: After = ()) -> WaitDeclaration:
    """A step that is ok after a time (seconds or timedelta). It holds no worker meanwhile."""
    return WaitDeclaration(duration=duration, after=after)


def log(message: str, *, level: Level = "info", after: After = ()) -> LogDeclaration:
    """A step that tells the observer (by default the log) that the run has come here. ``message`` is constant: payloads
    do not go into logs.
    """
    return LogDeclaration(message=message, level=level, after=after)


def approval(
    *, output: str | None = None, timeout: timedelta | float | None = None, after: After = ()
) -> ApprovalDeclaration:
    """A gate: the run waits until a person approves or rejects. The decision goes to the context under ``output``.
    After ``timeout`` the route :meth:`~StepDeclaration.on_timeout` is taken, or the run fails.
    """
    return ApprovalDeclaration(output=output, timeout=timeout, after=after)


def pause(*, after: After = ()) -> PauseDeclaration:
    """A gate: the run waits until a person resumes it."""
    return PauseDeclaration(after=after)


def event(
    name: str, timeout: timedelta | float | None = None, *, output: str | None = None, after: After = ()
) -> EventDeclaration:
    """A gate: the run waits for an event of that name, sent with ``mesh.send_event``. One that came before is kept.
    What it carries goes to the context under ``output``. ``timeout`` as in :func:`approval`.
    """
    return EventDeclaration(event=name, timeout=timeout, output=output, after=after)


def wait_for_children(*, output: str | None = None, after: After = ()) -> ChildrenDeclaration:
    """A gate: the run waits until each child run that it has started so far has ended, well or not. How they ended goes
    to the context under ``output``: ``completed``, ``failed`` and ``cancelled`` count them, ``runs`` tells each.
    """
    return ChildrenDeclaration(output=output, after=after)


# ------------------------------------------------------------------------------------------------------- triggers


class Trigger(Generic[P]):
    """What starts runs, as written: a typed handle, whose name is the attribute that it is assigned to."""

    __slots__ = ("payload", "places")

    def __init__(self, payload: type[P]) -> None:
        self.payload: Final = payload
        self.places: Final[list[Place]] = []

    def __set_name__(self, owner: type, name: str) -> None:
        self.places.append((owner, name))

    @property
    def workflow(self) -> type[Workflow]:
        """The workflow that it starts; ``TypeError`` for a handle that stands in no :class:`Workflow`."""
        owner = self.places[0][0] if self.places else None
        if owner is None or not issubclass(owner, Workflow):
            raise TypeError("this trigger was not declared in the body of a Workflow")
        return owner

    @property
    def name(self) -> str:
        """The trigger's own name; ``TypeError`` for a handle that stands in no class."""
        if not self.places:
            raise TypeError("this trigger was not declared in the body of a Workflow")
        return self.places[0][1]

    def __repr__(self) -> str:
        where = f"{self.places[0][0].__name__}.{self.places[0][1]}" if self.places else type(self).__name__.lower()
        return f"<{where}({getattr(self.payload, '__name__', self.payload)})>"


@final
class Manual(Trigger[P]):
    """See :func:`manual`. ``mesh.start_run(RingErrand.leave_shire, LeaveShire(...))`` is checked by type checkers."""

    __slots__ = ()


@final
class Cron(Trigger[P]):
    """See :func:`cron`."""

    __slots__ = ("expression", "idempotency", "missed", "missed_within", "timezone")

    def __init__(
        self,
        expression: str,
        *,
        timezone: str,
        payload: type[P],
        idempotency: Idempotency,
        missed: Missed,
        missed_within: timedelta | float | None,
    ) -> None:
        super().__init__(payload)
        self.expression: Final = expression
        self.timezone: Final = timezone
        self.idempotency: Final = idempotency
        self.missed: Final = missed
        self.missed_within: Final = missed_within


def manual(payload: type[P]) -> Manual[P]:
    """A trigger that the host pulls with a payload of this model: it is validated before anything is written."""
    return Manual(payload)


def cron(
    expression: str,
    *,
    timezone: str,
    payload: type[P],
    idempotency: Idempotency = "return_existing_run",
    missed: Missed = "last",
    missed_within: timedelta | float | None = None,
) -> Cron[P]:
    """A trigger that starts one run for each window of a schedule, whoever looks at the clock, and how many of them.

    ``expression``: ``minute hour day-of-month month day-of-week``, in the local time of ``timezone``. Every field of
    ``payload`` has a default; ``today()`` is the window's date. ``idempotency``: what ``activate_cron`` gives for a
    window that has its run already, that run or None. ``missed``: what becomes of windows for which nobody was there
    within a minute: ``skip`` drops them, ``last`` starts the newest one, ``all`` each of them (the newest thousand);
    those that are ``missed_within`` (1 minute to 366 days, default one day) ago.
    """
    return Cron(
        expression,
        timezone=timezone,
        payload=payload,
        idempotency=idempotency,
        missed=missed,
        missed_within=missed_within,
    )


# ----------------------------------------------------------------------------------------------------- conditions


@final
class Value:
    """A path of the run's context, to be compared. Every comparison gives a :class:`Condition`, never a bool."""

    __slots__ = ("_path",)
    __hash__: ClassVar[None]  # type: ignore[assignment]

    def __init__(self, path: str) -> None:
        self._path = path

    def __eq__(self, other: object) -> Condition:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return self._condition("==", other)

    def __ne__(self, other: object) -> Condition:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return self._condition("!=", other)

    def __gt__(self, other: float | str) -> Condition:
        return self._condition(">", other)

    def __lt__(self, other: float | str) -> Condition:
        return self._condition("<", other)

    def in_(self, options: Sequence[JsonValue]) -> Condition:
        """Holds when the value equals one of the options."""
        return self._condition("in", list(options) if isinstance(options, tuple) else options)

    def exists(self) -> Condition:
        """Holds when the path is there, even if it holds null."""
        return self._condition("exists", None)

    def _condition(self, operator: Operator, operand: Any) -> Condition:
        return Condition.model_construct(path=self._path, operator=operator, value=operand)  # judged by validation


def value(path: str) -> Value:
    """``value("route.kind") == "road"``: a condition on a dotted path into payload and outputs.

    A path that is not there, or a value of another type, does not match.
    """
    return Value(path)


# ------------------------------------------------------------------------------------------------------- workflow


class Workflow:
    """The base of every workflow. The docstring of a subclass is its description.

    ``version`` is a label of the author's choosing; a run keeps the definition that it started with. ``name`` is the
    class name unless set; keys are scoped by it, so it outlives a rename of the class. ``flow`` is one route or chain,
    or a tuple or list of them; a workflow of a single step needs none, and a graph (steps with ``after=``) has none.
    ``timeout``: how long a run may take as a whole (seconds or timedelta); then it fails.
    """

    version: ClassVar[str]
    name: ClassVar[str]
    flow: ClassVar[Flow]
    timeout: ClassVar[timedelta | float | None]

    _declared: ClassVar[tuple[tuple[str, AnyStep | Trigger[Any]], ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._declared = declarations_in(cls)


def declarations_in(cls: type) -> tuple[tuple[str, AnyStep | Trigger[Any]], ...]:
    """The steps and triggers of this very class body, in declaration order."""
    return tuple((name, it) for name, it in vars(cls).items() if isinstance(it, AnyStep | Trigger))


def declared(workflow: type[Workflow]) -> tuple[tuple[str, AnyStep | Trigger[Any]], ...]:
    """What the body of this workflow declared, in order."""
    return workflow._declared


def name_of(workflow: type[Workflow]) -> str:
    """The workflow's name: ``name`` if it is set to a text, or the name of the class."""
    name = getattr(workflow, "name", None)
    return name if isinstance(name, str) else workflow.__name__
