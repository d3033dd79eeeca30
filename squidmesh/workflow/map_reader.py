"""An editor's map, read into what a class body would have declared.

Only what a class body can not get wrong is judged here: the form of the map, what belongs to the runtime, and the names
of actions. All other rules stand once, where the declarations are examined (``validation.py``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import MISSING, Field, fields
from typing import Any, Final, get_args

from pydantic import ValidationError

from squidmesh.config import MAX_PAYLOAD_BYTES
from squidmesh.errors import InvalidInput
from squidmesh.ids import undo_of
from squidmesh.workflow.actions import Action, Actions
from squidmesh.workflow.authoring import (
    AnyStep,
    ApprovalDeclaration,
    Arrow,
    ChildrenDeclaration,
    EventDeclaration,
    FunctionDeclaration,
    LogDeclaration,
    Manual,
    PauseDeclaration,
    Routes,
    StepDeclaration,
    Trigger,
    WaitDeclaration,
    complete,
    cron,
)
from squidmesh.workflow.definition import (
    COMPLETE,
    AnyStepSpec,
    ApprovalStep,
    ChildrenStep,
    Compensation,
    Condition,
    Definition,
    EventStep,
    FunctionStep,
    LogStep,
    Outcome,
    PauseStep,
    Route,
    WaitStep,
)
from squidmesh.workflow.payload import printable, require_json
from squidmesh.workflow.retry import RetryPolicy
from squidmesh.workflow.schema import model_of
from squidmesh.workflow.settings import Problems
from squidmesh.workflow.validation import Body

LONGEST_DESCRIPTION: Final = 4000

_KINDS: Final[dict[str, tuple[type[AnyStepSpec], type[AnyStep]]]] = {
    "function": (FunctionStep, FunctionDeclaration),
    "wait": (WaitStep, WaitDeclaration),
    "log": (LogStep, LogDeclaration),
    "approval": (ApprovalStep, ApprovalDeclaration),
    "pause": (PauseStep, PauseDeclaration),
    "event": (EventStep, EventDeclaration),
    "wait_for_children": (ChildrenStep, ChildrenDeclaration),
}
_DERIVED: Final = {
    "entry": "from the routes",
    "topology": "from routes and after",
    "payload_fields": "from payload_schema",
    "undoes": "from compensate",
    "secrets": "from the action's annotations",
}
_RUNTIME_OWNED: Final = frozenset({
    "activated_at", "activated_by", "activation", "actor", "as_of", "attempt", "attempts", "audit", "claim",
    "claim_hash", "claim_id", "claims", "command_history", "context", "current_steps", "deadline", "decided_at",
    "decision", "deliveries", "delivery", "due_at", "ended_at", "error", "error_type", "failure", "fence",
    "fingerprint", "gates", "generation", "history", "id", "idempotency_key", "key", "lease", "lost", "metadata",
    "outputs", "owner", "parent_run", "payload", "payload_fingerprint", "phase", "replay_of", "result", "revision",
    "run_id", "runnables", "snoozes", "started_at", "state", "status", "updated_at", "visible_at",
})  # fmt: skip
"""Names of what a run, an attempt or the catalogue is told by the runtime: no editor's to say."""


def fields_of_trigger(kind: str) -> tuple[str, ...]:
    """What may be said of a trigger."""
    return _FIELDS_OF_TRIGGER[kind]


def fields_of_step(kind: str) -> tuple[str, ...]:
    """What may be said of a step: what a declaration can say, by the names that the definition has for it."""
    spec, declaration = _KINDS[kind]
    declared = {one.name for one in fields(declaration)}
    said = (name for name in spec.model_fields if name in declared)
    return ("name", "kind", "description", *said)


FIELDS: Final = tuple(name for name in Definition.model_fields if name not in _DERIVED)
_FIELDS_OF_TRIGGER: Final = {
    "manual": ("name", "kind", "payload_schema"),
    "cron": ("name", "kind", "payload_schema", "expression", "timezone", "idempotency", "missed", "missed_within"),
}
FIELDS_OF_COMPENSATION: Final = tuple(name for name in Compensation.model_fields if name not in _DERIVED)
FIELDS_OF_ROUTE: Final = tuple(Route.model_fields)
FIELDS_OF_CONDITION: Final = tuple(Condition.model_fields)


class MapReader:
    """Of one map. ``problems``: what it has found so far."""

    def __init__(self, actions: Actions) -> None:
        self.problems = Problems()
        self._actions = actions
        self._declared: dict[str, AnyStep | Trigger[Any]] = {}
        self._after: list[tuple[list[Any], list[Any]]] = []
        """For each step that says so, the names that it comes after, and the list that is to hold the steps."""
        self._descriptions: dict[str, str] = {}

    def read(self, data: object) -> Body | None:
        """None where there is nothing in it that could be examined."""
        try:
            require_json(data, field="the map", limit=MAX_PAYLOAD_BYTES, error=InvalidInput)
        except InvalidInput as error:
            self.problems.add("", "invalid_map", f"is refused as JSON: {error}")
            return None
        said = self._object("", data, FIELDS)
        if said is None:
            return None
        for number, one in self._list("triggers", said.get("triggers", [])):
            self._read_trigger(f"triggers[{number}]", one)
        for number, one in self._list("steps", said.get("steps", [])):
            self._read_step(f"steps[{number}]", one)
        for names, steps in self._after:
            steps += [self._step(name) or name for name in names]
        return Body(
            owner=None,
            name=said.get("name"),
            version=said.get("version"),
            description=self._description("description", said) or "",
            timeout=said.get("timeout"),
            flow=tuple(
                self._route(f"routes[{number}]", one) for number, one in self._list("routes", said.get("routes", []))
            ),
            declared=tuple(self._declared.items()),
            descriptions=self._descriptions,
        )

    # -------------------------------------------------------------------------------------------------------- forms

    def _object(self, path: str, given: object, allowed: Iterable[str]) -> dict[str, Any] | None:
        """What is said in it that may be; None where it is no object."""
        known = tuple(allowed)
        if not isinstance(given, dict):
            message = f"is a {type(given).__name__}; allowed is an object with {_list(known)}"
            self.problems.add(path, "not_an_object", message)
            return None
        for name in given:
            if name not in known:
                self._refuse_field(f"{path}.{name}" if path else name, name, known)
        return {name: value for name, value in given.items() if name in known}

    def _refuse_field(self, path: str, name: str, known: tuple[str, ...]) -> None:
        shown = printable(name)
        if name in _DERIVED:
            self.problems.add(path, "derived_field", f"{shown} follows {_DERIVED[name]}; leave it out")
        elif name in _RUNTIME_OWNED:
            self.problems.add(path, "runtime_owned_field", f"{shown} is the runtime's own to say; leave it out")
        else:
            self.problems.add(path, "unknown_field", f"there is no {shown} here; allowed are {_list(known)}")

    def _list(self, path: str, given: object) -> Iterable[tuple[int, object]]:
        if isinstance(given, list):
            return enumerate(given)
        self.problems.add(path, "not_a_list", f"is a {type(given).__name__}; allowed is a list")
        return ()

    def _name(self, path: str, said: dict[str, Any]) -> str | None:
        """Where none can be used, the part is left out."""
        name = said.get("name")
        if not isinstance(name, str):
            self.problems.add(f"{path}.name", "missing_name", "each step and each trigger has a name, which is a text")
            return None
        if name in self._declared:
            self.problems.add(
                path, "duplicate_name", f"{printable(name)} is there already; steps and triggers share their names"
            )
            return None
        return name

    def _description(self, path: str, said: dict[str, Any]) -> str | None:
        text = said.get("description")
        if text is None or (isinstance(text, str) and len(text) <= LONGEST_DESCRIPTION):
            return text
        self.problems.add(path, "invalid_description", f"allowed is a text of up to {LONGEST_DESCRIPTION} characters")
        return None

    def _kind(self, path: str, said: dict[str, Any], known: Iterable[str]) -> str | None:
        kind = said.get("kind")
        if isinstance(kind, str) and kind in known:
            return kind
        self.problems.add(f"{path}.kind", "unknown_kind", f"{kind!r} is refused; allowed are {_list(known)}")
        return None

    # ------------------------------------------------------------------------------------------ triggers and steps

    def _read_trigger(self, path: str, given: object) -> None:
        if not isinstance(given, dict):
            self._object(path, given, ("name", "kind"))
            return
        if (name := self._name(path, given)) is None:
            return
        path = f"triggers.{name}"
        kind = self._kind(path, given, _FIELDS_OF_TRIGGER) or "manual"
        said = self._object(path, given, fields_of_trigger(kind)) or {}
        payload = model_of(said.get("payload_schema"), path=f"{path}.payload_schema", problems=self.problems)
        if kind == "manual":
            self._declared[name] = Manual(payload)
            return
        self._declared[name] = cron(
            said.get("expression"),  # type: ignore[arg-type]  # judged with those of class bodies
            timezone=said.get("timezone"),  # type: ignore[arg-type]
            payload=payload,
            idempotency=said.get("idempotency", "return_existing_run"),
            missed=said.get("missed", "last"),
            missed_within=said.get("missed_within"),
        )

    def _read_step(self, path: str, given: object) -> None:
        if not isinstance(given, dict):
            self._object(path, given, ("name", "kind"))
            return
        if (name := self._name(path, given)) is None:
            return
        path = f"steps.{name}"
        kind = self._kind(path, given, _KINDS)
        if kind is None:
            self._declared[name] = FunctionDeclaration(fn=_unknown)
            return
        settings = self._object(path, given, fields_of_step(kind)) or {}
        if (description := self._description(f"{path}.description", settings)) is not None:
            self._descriptions[name] = description
        settings = {word: value for word, value in settings.items() if word not in ("name", "kind", "description")}
        if isinstance(names := settings.get("after"), list):
            settings["after"] = []
            self._after.append((names, settings["after"]))
        if kind == "function":
            self._declared[name] = self._function(path, name, settings)
        else:
            _, declaration = _KINDS[kind]
            needed: dict[str, Any] = {one.name: None for one in fields(declaration) if _is_needed(one)}
            self._declared[name] = declaration(**needed | settings)

    def _function(self, path: str, name: str, settings: dict[str, Any]) -> FunctionDeclaration:
        """A stand-in takes the place of an action that is not known: it asks for nothing, and may give anything."""
        action = self._action(path, settings.get("action"))
        settings["action"] = None if action is None else action.name
        if action is None:
            settings.pop("input", None)
        else:
            self._descriptions.setdefault(name, action.description)
            settings["isolation"] = action.isolation
        settings["retry"] = self._retry(f"{path}.retry", settings.get("retry"))
        if (undo := settings.pop("compensate", None)) is not None:
            settings |= self._compensation(f"{path}.compensate", name, undo)
        return FunctionDeclaration(fn=_unknown if action is None else action.fn, **settings)

    def _compensation(self, path: str, step: str, given: object) -> dict[str, Any]:
        said = self._object(path, given, FIELDS_OF_COMPENSATION)
        if said is None:
            return {}
        action = self._action(path, said.get("action"))
        description = self._description(f"{path}.description", said)
        if description is None and action is not None:
            description = action.description
        if description is not None:
            self._descriptions[undo_of(step)] = description
        return {
            "compensate": _unknown if action is None else action.fn,
            "compensate_action": None if action is None else action.name,
            "compensate_input": None if action is None else said.get("input"),
            "compensate_retry": self._retry(f"{path}.retry", said.get("retry")),
        }

    def _action(self, path: str, name: object) -> Action | None:
        path = f"{path}.action"
        if name is None:
            self.problems.add(path, "missing_action", f"a function step names an action; there are: {self._actions}")
            return None
        action = self._actions.get(name) if isinstance(name, str) else None
        if action is None:
            message = f"{name!r} is none of the host's actions; there are: {self._actions}"
            self.problems.add(path, "unknown_action", message)
        elif not action.enabled:
            self.problems.add(path, "disabled_action", f"{name} is disabled by the host; enable it, or use another one")
        return action

    def _retry(self, path: str, given: object) -> object:
        """What is no object is judged as in a class body."""
        if not isinstance(given, dict):
            return given
        try:
            return RetryPolicy.model_validate(given)
        except ValidationError as error:
            for one in error.errors(include_url=False, include_context=False, include_input=False):
                place = ".".join([path, *(str(part) for part in one["loc"] if part not in ("fixed", "exponential"))])
                code = "unknown_field" if one["type"] == "extra_forbidden" else "invalid_retry"
                self.problems.add(place, code, f"is refused in a retry policy: {one['msg']}")
            return None

    # -------------------------------------------------------------------------------------------------------- routes

    def _route(self, path: str, given: object) -> Routes:
        """One that can not be used leads from nowhere: so what it would have reached is not told to be unreachable."""
        said = self._object(path, given, FIELDS_OF_ROUTE)
        source, on = (self._step(said.get("source")), said.get("on")) if said is not None else (None, None)
        if said is not None and source is None:
            message = f"{said.get('source')!r} is no step; allowed are the names of steps"
            self.problems.add(f"{path}.source", "unknown_source", message)
        if said is not None and on not in get_args(Outcome):
            self.problems.add(
                f"{path}.on", "invalid_outcome", f"{on!r} is refused; allowed are {_list(get_args(Outcome))}"
            )
            source = None
        if said is None or source is None:
            return Routes((Arrow(source=None, on="ok", target=complete),))
        target: Any = said.get("target")
        target = complete if target == COMPLETE else self._step(target) or target
        when, recovery = self._condition(f"{path}.when", said.get("when")), said.get("recovery")
        return Routes((Arrow(source=source, on=said["on"], target=target, when=when, recovery=recovery),))

    def _condition(self, path: str, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        said: dict[str, Any] = dict.fromkeys(FIELDS_OF_CONDITION) | (
            self._object(path, given, FIELDS_OF_CONDITION) or {}
        )
        return Condition.model_construct(**said)

    def _step(self, name: object) -> StepDeclaration | None:
        found = self._declared.get(name) if isinstance(name, str) else None
        return found if isinstance(found, StepDeclaration) else None


def _unknown() -> dict[str, Any]:
    raise AssertionError("stands for an action that is not there; nothing is run that has a problem")


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)


def _is_needed(field: Field[Any]) -> bool:
    """None in its place is refused where the declarations are examined, as every other wrong value is."""
    return field.default is MISSING and field.default_factory is MISSING
