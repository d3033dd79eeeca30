"""What a step says when it fails is recorded without the run's secrets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Secret, SecretStr

from squidmesh import Context, GiveUp, Mesh, RetryLater, RetryPolicy, Snooze, Workflow, fixed, manual, secret, step
from squidmesh.journal.codec import decode_facts
from squidmesh.journal.facts import AttemptFailed
from squidmesh.redaction import HIDDEN
from squidmesh.runtime.invoke import describe
from squidmesh.testing.clock import VirtualClock

TOKEN = 'tok_it\'s a "long" one\n'
SHORT = "abc"
PIN = 471_108


class Payload(BaseModel):
    token: SecretStr = SecretStr(TOKEN)
    short: SecretStr = SecretStr(SHORT)
    pin: Secret[int] = Secret[int](PIN)
    plain: str = "a name that only the step calls a secret"


class Issued(BaseModel):
    code: Annotated[str, secret]


def issue() -> Issued:
    return Issued(code="code-4711")


class _Odd(Exception):
    def __init__(self, message: str, code: str = "odd") -> None:
        super().__init__(message)
        self.code = code


Failing = Callable[[dict[str, Any]], BaseException]

WAYS: dict[str, Failing] = {
    "message": lambda given: ConnectionError(f"refused {given['token']}"),
    "repr": lambda given: KeyError(given["token"]),
    "dict": lambda given: ValueError(str(given)),
    "number": lambda given: ValueError(f"pin {given['pin']} is wrong"),
    "output of an earlier step": lambda given: ValueError(f"{given['issued']['code']} is used up"),
    "note": lambda given: _noted(given["token"]),
    "cause": lambda given: _caused(given["token"]),
    "give up": lambda given: GiveUp(f"never again {given['token']}"),
    "later": lambda given: RetryLater(f"later {given['token']}", after=1),
    "bad delay": lambda given: Snooze(after=given["token"]),
    "exit": lambda given: SystemExit(f"bye {given['token']}"),
    "class": lambda given: type(f"No_{given['issued']['code']}", (Exception,), {})("odd"),
    "group": lambda given: ExceptionGroup("all", [ValueError(given["token"]), KeyError(given["pin"])]),
    "at the cut": lambda given: ValueError("x" * 2040 + given["token"]),
    "parameter": lambda given: ValueError(f"{given['plain']} is unknown"),
}


def _noted(text: str) -> Exception:
    error = ValueError("see below")
    error.add_note(f"it was {text}")
    return error


def _caused(text: str) -> Exception:
    error = ValueError("it failed")
    error.__cause__ = ConnectionError(f"at {text}")
    return error


def attempt(failing: Failing, *, sync: bool) -> AttemptFailed:
    """The failure as the journal holds it."""

    def fail_now(context: Context, plain: SecretStr) -> None:
        raise failing(dict(context.state))

    async def fail_later(context: Context, plain: SecretStr) -> None:
        raise failing(dict(context.state))

    class Failed(Workflow):
        version = "1"
        go = manual(Payload)
        issue = step(issue, output="issued")
        fail = step(fail_now if sync else fail_later, retry=RetryPolicy(max_attempts=2, backoff=fixed(1)))
        flow = issue >> fail

    with Mesh.connect("memory://", workflows=[Failed], clock=VirtualClock()) as mesh:
        run = mesh.start_run(Failed)
        mesh.execute_next()
        mesh.execute_next()
        engine = mesh._engine()
        found = list(_failures(engine, run.run_id))
        assert len(found) == 1
        return found[0]


def _failures(engine: Any, run_id: str) -> Iterator[AttemptFailed]:
    revision = 1
    while (entry := engine.store.entry(run_id, revision)) is not None:
        for fact in decode_facts(entry.body, thread=run_id, revision=revision):
            if isinstance(fact, AttemptFailed):
                yield fact
        revision += 1


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("sync", [True, False])
def test_no_way_of_failing_tells_a_secret(way: str, sync: bool) -> None:
    error = attempt(WAYS[way], sync=sync).error
    whole = f"{error.code} {error.type} {error.message} {error.details}"

    for told in ("tok_", "long", str(PIN), "code-4711", "a name that only"):
        assert told not in whole
    assert HIDDEN[:8] in whole
    assert "Traceback" in error.details or way == "bad delay", "where it failed is told all the same"


def test_a_secret_too_short_to_be_looked_for_stays_in_a_text() -> None:
    error = attempt(lambda given: ValueError(f"the abc of {given['short']}"), sync=True).error

    assert error.message == "the abc of abc"


def test_a_code_that_holds_a_secret_is_no_code() -> None:
    assert describe(_Odd("odd", code="key_mellon"), {"mellon"}).code == "step_raised"
    assert describe(_Odd("odd", code="key_mellon"), {"melon"}).code == "key_mellon"


class Told(BaseModel):
    code: SecretStr


def test_what_a_compensation_gave_and_said_is_shown_without_secrets() -> None:
    def undo(token: SecretStr) -> Told:
        return Told(code=SecretStr("code-0815"))

    def fail() -> None:
        raise GiveUp("no more")

    class Undone(Workflow):
        version = "1"
        go = manual(Payload)
        take = step(lambda: None, compensate=undo)
        fail_now = step(fail)
        flow = take >> fail_now

    with Mesh.connect("memory://", workflows=[Undone], clock=VirtualClock()) as mesh:
        run = mesh.start_run(Undone)
        while mesh.execute_next() is not None:
            pass
        found = mesh.inspect_run(run.run_id, history=True)
    assert found.status == "failed"
    assert [one.result for one in found.compensations] == [{"result": {"code": HIDDEN}}]
    assert "code-0815" not in str(found.to_json()) and "code-0815" not in repr(found)
