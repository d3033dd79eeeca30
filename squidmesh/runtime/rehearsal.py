"""A mesh that is rehearsed: its time is a test's, it starts no thread, and others may stand in for steps' functions.

A step's function is found in the registry and nowhere else, so a stand-in is found there too: nothing of the author's
is patched, definitions and their fingerprints stay as they are, and a run that is under way meets the stand-in as well.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from squidmesh.clock import Clock
from squidmesh.config import MeshConfig
from squidmesh.errors import InvalidInput, InvalidUrl
from squidmesh.runtime.arguments import check_list, check_url
from squidmesh.runtime.backends import open_backend
from squidmesh.runtime.engine import Engine
from squidmesh.runtime.mesh import Mesh
from squidmesh.runtime.watch import LogObserver
from squidmesh.workflow.authoring import FunctionDeclaration, Workflow
from squidmesh.workflow.mapping import BoundStep
from squidmesh.workflow.registry import Registry

StepHandle: TypeAlias = FunctionDeclaration
"""A step as it stands in its workflow: ``RingErrand.pack``."""
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class StandIns:
    """Which functions are called instead of which. ``registry`` has every step call through here. Thread-safe."""

    def __init__(self, registry: Registry) -> None:
        self._original = registry
        self._standing: dict[tuple[str, str], Callable[..., Any]] = {}
        self.registry = registry.calling(self._through)

    def put(self, step: StepHandle, fn: Callable[..., Any]) -> None:
        """From now on ``fn`` is called for that step, with those of the step's arguments that it has parameters for;
        what it gives back has to fit the step's own annotation. ``InvalidInput`` where ``fn`` can not be called so.
        """
        workflow, bound = self._find(step)
        self._standing[workflow, bound.step.name] = _fitted(bound, fn)

    def remove(self, step: StepHandle) -> None:
        """The step's own function is called again."""
        workflow, bound = self._find(step)
        self._standing.pop((workflow, bound.step.name), None)

    def _find(self, step: StepHandle) -> tuple[str, BoundStep]:
        given: object = step
        if not isinstance(given, FunctionDeclaration) or not given.places:
            allowed = "allowed is a step of a workflow that calls a function, such as RingErrand.pack"
            raise InvalidInput(f"is {given!r}; {allowed}", field="step")
        owner, name = given.places[0]
        registered = self._original.of(owner)
        return registered.name, registered.steps[name]

    def _through(self, workflow: str, bound: BoundStep) -> Callable[..., Any]:
        key = workflow, bound.step.name

        def call(**arguments: Any) -> Any:
            return self._standing.get(key, bound.fn)(**arguments)

        async def call_async(**arguments: Any) -> Any:
            result = call(**arguments)
            return await result if inspect.isawaitable(result) else result

        return call_async if bound.is_async else call


def _fitted(bound: BoundStep, fn: Callable[..., Any]) -> Callable[..., Any]:
    """``fn`` as it can be called in the step's place: only what it asks for is passed, the step's defaults included."""
    given: object = fn
    if not callable(given):
        raise InvalidInput(f"is a {type(given).__name__}; allowed is a function", field="fn")
    if not bound.is_async and _is_async(given):
        raise InvalidInput(f"is async, and the function of {bound.step.name!r} is not; allowed is def", field="fn")
    parameters = inspect.signature(fn).parameters.values()
    everything = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)
    wanted = {parameter.name: parameter for parameter in parameters if parameter.kind not in _VARIADIC}
    supplied = {parameter.name for parameter in bound.signature.parameters}
    for name, parameter in wanted.items():
        required = parameter.default is inspect.Parameter.empty
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY or (required and name not in supplied):
            allowed = ", ".join(sorted(supplied)) or "none"
            why = f"its parameter {name!r} can not be supplied; by name, the step {bound.step.name!r} has: {allowed}"
            raise InvalidInput(why, field="fn")
    own = inspect.signature(bound.fn)

    def call(**arguments: Any) -> Any:
        whole = own.bind(**arguments)
        whole.apply_defaults()
        return fn(**{name: value for name, value in whole.arguments.items() if everything or name in wanted})

    return call


def _is_async(fn: Any) -> bool:
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(type(fn).__call__)


def rehearse(
    url: str, workflows: Iterable[type[Workflow]], *, clock: Clock, config: MeshConfig
) -> tuple[Mesh, Engine, StandIns]:
    """A mesh over the embedded store at ``url``, its engine, and its stand-ins. Opens the store. Raises as
    ``Mesh.connect``, and ``InvalidUrl`` for a store that has a clock of its own. Closing the mesh closes all.
    """
    stand_ins = StandIns(Registry(check_list(workflows, field="workflows", of="Workflow classes")))
    backend = open_backend(check_url(url, field="store"), clock=clock, field="store")
    try:
        engine = Engine(
            journal=backend,
            leases=None,
            registry=stand_ins.registry,
            config=config,
            observer=LogObserver(),
            heartbeat_thread=False,
            monotonic=lambda: clock.now() / 1_000_000,
        )
    except InvalidUrl as refused:
        raise InvalidUrl(str(refused).removeprefix(f"{refused.field}: "), field="store") from None
    if engine.store.now() != clock.now():
        engine.close()
        raise InvalidUrl("has a clock of its own; allowed are memory:// and sqlite:///…", field="store")
    mesh = Mesh(backend.url, registry=stand_ins.registry, config=config, open_engine=lambda: engine)
    return mesh, engine, stand_ins
