"""What a workflow made at run time may name is what the host has listed, as it is now."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from pydantic import BaseModel

from squidmesh.errors import InvalidInput, NotFound
from squidmesh.runtime.context import Context
from squidmesh.workflow.actions import Actions


class Receipt(BaseModel):
    number: int


def charge(amount: int, context: Context, note: str = "") -> Receipt:
    """Takes the money.

    Once.
    """
    return Receipt(number=amount)


def test_an_action_is_added_by_call_or_above_its_function() -> None:
    actions = Actions()
    assert actions.add("charge", charge) is charge

    @actions.add("tell", description="Tells.", enabled=False)
    def tell(number: int) -> None: ...

    assert tell.__name__ == "tell"
    assert [(one.name, one.fn, one.enabled) for one in actions.listing()] == [
        ("charge", charge, True),
        ("tell", tell, False),
    ]
    assert [one.description for one in actions.listing()] == ["Takes the money.\n\nOnce.", "Tells."]


def test_an_editor_learns_what_an_action_asks_for_and_gives() -> None:
    actions = Actions()
    actions.add("charge", charge)
    (told,) = [one.to_json() for one in actions.listing()]
    assert told == {
        "name": "charge",
        "description": "Takes the money.\n\nOnce.",
        "enabled": True,
        "parameters": [
            {"name": "amount", "required": True, "schema": {"type": "integer"}},
            {"name": "note", "required": False, "schema": {"type": "string"}},
        ],
        "returns": Receipt.model_json_schema(mode="serialization"),
    }


def test_a_name_stays_with_its_function() -> None:
    actions = Actions()
    actions.add("charge", charge)
    with pytest.raises(InvalidInput, match="added already"):
        actions.add("charge", lambda: None)
    assert [one.fn for one in actions.listing()] == [charge]


@pytest.mark.parametrize("name", ["", "a b", "x" * 129, None, "os/system"])
def test_a_name_is_an_identifier(name: Any) -> None:
    with pytest.raises(InvalidInput, match="allowed are 1 to 128"):
        Actions().add(name, charge)


@pytest.mark.parametrize("fn", [3, int, lambda *all_: None, lambda a, /: None])
def test_what_no_step_could_call_is_no_action(fn: Any) -> None:
    with pytest.raises(InvalidInput, match="action 'x'"):
        Actions().add("x", fn)


def test_an_action_is_disabled_and_enabled_while_others_look() -> None:
    actions = Actions()
    actions.add("charge", charge)
    before, mark = actions.get("charge"), actions.change
    assert before is not None
    actions.disable("charge")
    after = actions.get("charge")
    assert after is not None
    assert (before.enabled, after.enabled) == (True, False), "who has looked before keeps what was seen"
    assert actions.change is not mark
    actions.enable("charge")
    assert actions.listing()[0].enabled
    with pytest.raises(NotFound, match="there are: charge"):
        actions.disable("refund")


def test_of_two_who_add_one_name_at_once_one_is_refused() -> None:
    for _ in range(50):
        actions = Actions()
        refused: list[Any] = []
        gate = threading.Barrier(4)

        def add(actions: Actions = actions, refused: list[Any] = refused, gate: threading.Barrier = gate) -> None:
            gate.wait()
            try:
                actions.add("x", lambda: None)
            except InvalidInput as error:
                refused.append(error)

        threads = [threading.Thread(target=add) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(refused), len(actions.listing())) == (3, 1)
