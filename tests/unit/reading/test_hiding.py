"""What is shown of a run is redacted from its pinned definition alone: no class is asked."""

from __future__ import annotations

import json
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, SecretStr

from squidmesh import Workflow, approval, define, manual, secret, step
from squidmesh.clock import Instant
from squidmesh.journal import facts
from squidmesh.journal.facts import AnyFact, StepError
from squidmesh.journal.fold import fold
from squidmesh.reading.graph import run_graph
from squidmesh.reading.hiding import redaction_of, secrets_known
from squidmesh.reading.inspect import inspect
from squidmesh.redaction import HIDDEN, NOTHING
from squidmesh.workflow.definition import Definition

TOKEN, CODE = "mellon-42", "durins-day"


class Payload(BaseModel):
    token: SecretStr
    name: str


class Found(BaseModel):
    code: Annotated[str, secret]
    road: str


def look_for() -> Found: ...  # type: ignore[empty-body]


class Quest(Workflow):
    version = "1"
    begin = manual(Payload)
    search = step(look_for, output="found")
    merge = step(look_for)
    ask = approval(output="asked")
    flow = search >> merge >> ask


class Plain(Workflow):
    version = "1"
    begin = manual(Payload)
    other = manual(Found)
    a = step(lambda: None)


DEFINITION = Definition.from_json(define(Quest).canonical())
FOUND = {"code": CODE, "road": "under"}
NOW = Instant(9)


def history() -> list[tuple[int, list[AnyFact]]]:
    told = f"{TOKEN} and {CODE}"
    error = StepError(code="step_raised", type="Balrog", message=told, details=told)
    entries: list[list[AnyFact]] = [
        [
            facts.RunStarted(
                at=0, run_id="9a1e", workflow="Quest", version="1", fingerprint="f", trigger="begin", queue="default",
                payload={"token": TOKEN, "name": "Gandalf"}, payload_fingerprint="p", priority=5, key=f"key {TOKEN}",
            ),
            facts.AttemptScheduled(
                at=0, step="search", attempt=1, queue="default", priority=5, visible_at=0, cause="route"
            ),
        ],
        [facts.AttemptClaimed(
            at=1, step="search", attempt=1, generation=0, fence=1, owner="o", claim_hash="h", lease=1
        )],
        [facts.AttemptFailed(at=2, step="search", attempt=1, fence=1, error=error, final=False),
         facts.AttemptScheduled(
             at=2, step="search", attempt=2, queue="default", priority=5, visible_at=2, cause="retry"
         )],
        [facts.AttemptClaimed(
            at=3, step="search", attempt=2, generation=0, fence=2, owner="o", claim_hash="h", lease=1
        )],
        [facts.AttemptCompleted(at=4, step="search", attempt=2, fence=2, output={"found": FOUND}),
         facts.ApprovalRequested(at=4, step="ask")],
        [facts.ApprovalDecided(
            at=5, step="ask", decision="approved", actor="elrond", comment=told, metadata={TOKEN: [told]},
            output={"asked": {"comment": told}},
        )],
    ]  # fmt: skip
    return list(enumerate(entries, start=1))


def state_of(entries: list[tuple[int, list[AnyFact]]]) -> Any:
    state = None
    for _, entry in entries:
        state = fold(state, entry)
    return state


def test_the_whole_history_tells_no_secret() -> None:
    entries = history()
    run = inspect(state_of(entries), now=NOW, definition=DEFINITION, history=entries)

    whole = json.dumps(run.to_json()) + repr(run)
    assert CODE not in whole
    assert whole.count(TOKEN) == whole.count(f"key {TOKEN}"), "a key is the caller's own word"
    assert run.payload == {"token": HIDDEN, "name": "Gandalf"}
    assert run.output == {"found": {"code": HIDDEN, "road": "under"}, "asked": {"comment": f"{HIDDEN} and {HIDDEN}"}}
    assert run.audit[0].metadata == {HIDDEN: [f"{HIDDEN} and {HIDDEN}"]}
    assert run.history is not None
    completed = next(event for event in run.history if event.kind == "AttemptCompleted")
    assert completed.details["output"] == {"found": {"code": HIDDEN, "road": "under"}}
    started = run.history[0].details
    assert (started["payload"], started["payload_fingerprint"]) == (run.payload, HIDDEN)
    assert (started["run_id"], started["fingerprint"]) == ("9a1e", "f"), "names stay"


def test_a_merged_output_is_hidden_where_its_own_step_says() -> None:
    entries = history()[:1]
    entries.append((2, [facts.AttemptClaimed(
        at=1, step="search", attempt=1, generation=0, fence=1, owner="o", claim_hash="h", lease=1
    )]))  # fmt: skip
    entries.append((3, [facts.AttemptCompleted(at=2, step="search", attempt=1, fence=1, output={"found": {}}),
                        facts.AttemptScheduled(
                            at=2, step="merge", attempt=1, queue="q", priority=5, visible_at=2, cause="route"
                        )]))  # fmt: skip
    entries.append((4, [facts.AttemptClaimed(
        at=3, step="merge", attempt=1, generation=0, fence=1, owner="o", claim_hash="h", lease=1
    )]))  # fmt: skip
    entries.append((5, [facts.AttemptCompleted(at=4, step="merge", attempt=1, fence=1, output={"code": "abc"})]))
    run = inspect(state_of(entries), now=NOW, definition=DEFINITION, history=entries)

    assert run.output == {"found": {}, "code": HIDDEN}, "also one that is too short to be looked for"
    assert run.history is not None
    assert run.history[-1].details["output"] == {"code": HIDDEN}


def test_a_graph_with_details_tells_none_either() -> None:
    entries = history()[:4]
    known = secrets_known(DEFINITION, state_of(entries))
    assert known == {TOKEN}, "of a step that has not ended, nothing is known yet"
    graph = run_graph(DEFINITION, state_of(entries), now=NOW, details=True)

    assert TOKEN not in json.dumps(graph.to_json())
    assert f"{HIDDEN} and" in json.dumps(graph.to_json())


def test_nothing_is_shown_of_the_data_without_the_definition_that_says_what_is_secret() -> None:
    entries = history()
    for wanted in ({"history": entries}, {"with_output": True}):
        with pytest.raises(ValueError, match="with the run's definition only"):
            inspect(state_of(entries), now=NOW, **wanted)


def test_a_workflow_without_secrets_pays_nothing() -> None:
    state = state_of(history())

    assert secrets_known(Definition.from_json(define(Bare).canonical()), state) == frozenset()
    assert redaction_of(define(Bare), state) is NOTHING


class Open(BaseModel):
    name: str = ""


class Bare(Workflow):
    version = "1"
    begin = manual(Open)
    search = step(lambda: None)


def test_each_trigger_has_its_own_secrets() -> None:
    definition = define(Plain)

    assert definition.payload_secrets("begin") == ("token",)
    assert definition.payload_secrets("other") == ("code",)
    assert definition.payload_secrets("gone") == ()
