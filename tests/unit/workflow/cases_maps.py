"""Editor's maps with exactly known problems: a sound one, and what each case makes of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, TypeAlias

from squidmesh.workflow.actions import Actions

Map: TypeAlias = dict[str, Any]
Case: TypeAlias = tuple[str, Callable[[Map], object], list[tuple[str, str]]]
"""A name, what is done to the sound map, and what is found then: path and code."""


def charge(amount: int, note: str = "") -> dict[str, int]:
    """Takes the money."""
    return {"charged": amount}


def refund(step_output: dict[str, int]) -> None:
    """Gives it back."""


def tell(charged: int) -> None: ...


async def look(amount: int) -> None: ...


def make_actions() -> Actions:
    actions = Actions()
    actions.add("charge_card", charge)
    actions.add("refund", refund)
    actions.add("tell", tell)
    actions.add("look", look)
    actions.add("old", tell, enabled=False)
    return actions


SOUND: Map = {
    "name": "Order",
    "version": "1",
    "triggers": [
        {
            "name": "placed",
            "kind": "manual",
            "payload_schema": {
                "type": "object",
                "properties": {"amount": {"type": "integer"}},
                "required": ["amount"],
            },
        }
    ],
    "steps": [
        {"name": "charge", "kind": "function", "action": "charge_card", "compensate": {"action": "refund"}},
        {"name": "check", "kind": "approval", "timeout": 60},
        {"name": "tell", "kind": "function", "action": "tell"},
    ],
    "routes": [
        {"source": "charge", "on": "ok", "target": "check"},
        {"source": "check", "on": "ok", "target": "tell"},
    ],
}
GRAPH: Map = {
    **SOUND,
    "steps": [
        {"name": "charge", "kind": "function", "action": "charge_card"},
        {"name": "rest", "kind": "wait", "duration": 5},
        {"name": "tell", "kind": "function", "action": "tell", "after": ["charge", "rest"]},
    ],
    "routes": [],
}


def changed(change: Callable[[Map], object], of: Map = SOUND) -> Any:
    made = copy.deepcopy(of)
    answer = change(made)
    return made if answer is None else answer


def put(path: str, value: Any) -> Callable[[Map], None]:
    """``put("steps.0.queue", 3)``."""

    def change(made: Map) -> None:
        *way, last = path.split(".")
        place: Any = made
        for part in way:
            place = place[int(part) if isinstance(place, list) else part]
        if isinstance(place, list) and int(last) == len(place):
            place.append(value)
        else:
            place[int(last) if isinstance(place, list) else last] = value

    return change


def both(*changes: Callable[[Map], None]) -> Callable[[Map], None]:
    def change(made: Map) -> None:
        for one in changes:
            one(made)

    return change


def graph(*changes: Callable[[Map], None]) -> Callable[[Map], Map]:
    def change(made: Map) -> Map:
        found: Map = changed(both(*changes), of=GRAPH)
        return found

    return change


STEP, SCHEMA = "steps.0", "triggers.0.payload_schema"
SAID = "triggers.placed.payload_schema"

CASES: list[Case] = [
    ("sound", both(), []),
    ("a graph", graph(), []),
    # -- the form
    ("no object", lambda made: [], [("", "not_an_object")]),
    ("no JSON", put("description", float("nan")), [("", "invalid_map")]),
    ("too large", put("description", "x" * 300_000), [("", "invalid_map")]),
    ("an unknown field", put("owner_team", "x"), [("owner_team", "unknown_field")]),
    ("an unknown field of a step", put(f"{STEP}.color", "red"), [("steps.charge.color", "unknown_field")]),
    ("what a wait can not say", graph(put("steps.1.queue", "x")), [("steps.rest.queue", "unknown_field")]),
    ("what only the runtime says", put("run_id", "9a1e"), [("run_id", "runtime_owned_field")]),
    ("a step with a status", put(f"{STEP}.status", "completed"), [("steps.charge.status", "runtime_owned_field")]),
    ("a step with attempts", put(f"{STEP}.attempts", []), [("steps.charge.attempts", "runtime_owned_field")]),
    ("a revision", put("revision", 3), [("revision", "runtime_owned_field")]),
    ("outputs", put("outputs", {}), [("outputs", "runtime_owned_field")]),
    ("a history", put("history", []), [("history", "runtime_owned_field")]),
    ("a fingerprint", put("fingerprint", "f"), [("fingerprint", "runtime_owned_field")]),
    ("a route taken", put("routes.0.status", "selected"), [("routes[0].status", "runtime_owned_field")]),
    ("a trigger with a run", put("triggers.0.run_id", "x"), [("triggers.placed.run_id", "runtime_owned_field")]),
    ("an entry", put("entry", "charge"), [("entry", "derived_field")]),
    ("fields of a payload", put("triggers.0.payload_fields", []), [
        ("triggers.placed.payload_fields", "derived_field")
    ]),
    ("steps by name", put("steps", {}), [("steps", "not_a_list"), ("steps", "no_steps")] + [
        (f"routes[{n}].source", "unknown_source") for n in (0, 1)
    ]),
    ("a step that is a text", put("steps.3", "x"), [("steps[3]", "not_an_object")]),
    ("a step without a name", put("steps.3", {"kind": "pause"}), [("steps[3].name", "missing_name")]),
    ("two steps of a name", put("steps.3", {"name": "tell", "kind": "pause"}), [("steps[3]", "duplicate_name")]),
    ("a step named as a trigger", put("steps.3", {"name": "placed", "kind": "log"}), [("steps[3]", "duplicate_name")]),
    ("an unknown kind", put("steps.1.kind", "coffee"), [("steps.check.kind", "unknown_kind")]),
    ("an unknown trigger", put("triggers.0.kind", "moon"), [("triggers.placed.kind", "unknown_kind")]),
    ("a cron trigger that says nothing", put("triggers.0.kind", "cron"), [
        ("triggers.placed.expression", "invalid_cron"),
        ("triggers.placed.timezone", "invalid_timezone"),
        ("triggers.placed.amount", "cron_payload_needs_defaults"),
    ]),
    ("a description that is none", put("description", 3), [("description", "invalid_description")]),
    ("a long description", put("steps.1.description", "x" * 4001), [
        ("steps.check.description", "invalid_description")
    ]),
    # -- actions
    ("no action", lambda made: made["steps"][0].pop("action") and None, [("steps.charge.action", "missing_action")]),
    ("an action that nobody added", put(f"{STEP}.action", "os.system"), [("steps.charge.action", "unknown_action")]),
    ("an action that is no name", put(f"{STEP}.action", ["x"]), [("steps.charge.action", "unknown_action")]),
    ("a disabled action", put("steps.2.action", "old"), [("steps.tell.action", "disabled_action")]),
    (
        "what undoes is an action too",
        put(f"{STEP}.compensate", {"action": "builtins.exec"}),
        [("steps.charge.compensate.action", "unknown_action")],
    ),
    ("an undo with a status", put(f"{STEP}.compensate.status", "x"), [
        ("steps.charge.compensate.status", "runtime_owned_field")
    ]),
    ("an undo that is a name", put(f"{STEP}.compensate", "refund"), [("steps.charge.compensate", "not_an_object")]),
    # -- what a class body is refused for too, under the paths of the map
    ("no version", put("version", None), [("version", "missing_version")]),
    ("no name", put("name", None), [("name", "invalid_name")]),
    ("a timeout of the run", put("timeout", -1), [("timeout", "invalid_timeout")]),
    ("a reserved name", put("steps.3", {"name": "complete", "kind": "pause"}), [
        ("steps.complete", "reserved_step_name"), ("steps.complete", "unreachable_step"),
    ]),
    ("a queue", put(f"{STEP}.queue", "no good"), [("steps.charge.queue", "invalid_queue")]),
    ("a wait of nothing", graph(put("steps.1.duration", None)), [("steps.rest.duration", "invalid_wait")]),
    ("retries", put(f"{STEP}.retry", {"max_attempts": 0, "often": 1}), [
        ("steps.charge.retry.max_attempts", "invalid_retry"), ("steps.charge.retry.often", "unknown_field"),
    ]),
    ("a backoff", put(f"{STEP}.retry", {"max_attempts": 2, "backoff": {"kind": "fixed", "delay": -1}}), [
        ("steps.charge.retry.backoff.delay", "invalid_retry")
    ]),
    ("retries that are a number", put(f"{STEP}.retry", 3), [("steps.charge.retry", "invalid_retry")]),
    ("retries of an undo", put(f"{STEP}.compensate.retry", 3), [("steps.charge.compensate.retry", "invalid_retry")]),
    ("an input", put(f"{STEP}.input", {"amount": "sum"}), [("steps.charge.input.amount", "invalid_input_path")]),
    ("an input of an undo", put(f"{STEP}.compensate.input", {"x": "amount"}), [
        ("steps.charge.compensate.input.x", "unknown_parameter"),
        ("steps.charge.compensate.parameters.step_output", "unsupplied_parameter"),
    ]),
    ("what nothing supplies", put("routes", [
        {"source": "check", "on": "ok", "target": "tell"}, {"source": "tell", "on": "ok", "target": "charge"},
    ]), [("steps.tell.parameters.charged", "unsupplied_parameter")]),
    ("a coroutine in a transaction", both(put("steps.0", {
        "name": "charge", "kind": "function", "action": "look", "transaction": True, "output": "charged",
    })), [("steps.charge.transaction", "async_transaction")]),
    # -- routes
    ("a route from nowhere", put("routes.2", {"source": "x", "on": "ok", "target": "tell"}), [
        ("routes[2].source", "unknown_source")
    ]),
    ("a route to nowhere", put("routes.1.target", "x"), [("routes[1]", "unknown_target")]),
    ("a route on a whim", put("routes.1.on", "maybe"), [("routes[1].on", "invalid_outcome")]),
    ("a route that is a text", put("routes.1", "check >> tell"), [("routes[1]", "not_an_object")]),
    ("a comparison", put("routes.1.when", {"path": "amount", "operator": "~"}), [
        ("routes[1]", "invalid_condition"), ("steps.check", "no_fallback_route"),
    ]),
    ("a path of a condition", put("routes.1.when", {"path": 3, "operator": "=="}), [
        ("routes[1]", "invalid_condition"), ("steps.check", "no_fallback_route"),
    ]),
    ("a condition that is a text", put("routes.1.when", "amount > 3"), [
        ("routes[1]", "invalid_condition"), ("steps.check", "no_fallback_route"),
    ]),
    ("a condition with more", put("routes.1.when", {"path": "amount", "operator": "exists", "run_id": 1}), [
        ("routes[1].when.run_id", "runtime_owned_field"), ("steps.check", "no_fallback_route"),
    ]),
    ("a recovery", both(put("routes.2", {"source": "charge", "on": "error", "target": "complete", "recovery": "x"})), [
        ("routes[2]", "invalid_recovery")
    ]),
    ("a circle", put("routes.2", {"source": "tell", "on": "ok", "target": "charge"}), [("routes", "cycle")]),
    ("a rejection of what can not be", put("routes.2", {"source": "tell", "on": "reject", "target": "complete"}), [
        ("routes[2]", "on_reject_not_allowed")
    ]),
    ("both kinds at once", put("steps.2.after", ["check"]), [("routes", "mixed_topology")]),
    ("after nobody", graph(put("steps.2.after", ["charge", "x"])), [("steps.tell.after", "unknown_dependency")]),
    ("after a text", graph(put("steps.2.after", "charge")), [
        ("steps.tell.after", "invalid_after"), ("steps.tell.parameters.charged", "unsupplied_parameter"),
    ]),
    # -- payloads
    ("no schema", put(SCHEMA, None), [(SAID, "unsupported_schema")]),
    ("a schema of a text", put(SCHEMA, {"type": "string"}), [(SAID, "unsupported_schema")]),
    ("a default of another type", put(f"{SCHEMA}.properties.note", {"type": "string", "default": 3}), [
        (f"{SAID}.properties.note.default", "invalid_default")
    ]),
    ("no trigger", put("triggers", []), [("triggers", "no_trigger")]),
]  # fmt: skip
