"""Asks before something is done to a run, and does it."""

from __future__ import annotations

import secrets
from typing import Any

from starlette.responses import Response

from squidmesh import InvalidInput, Run, UsageError
from squidmesh.sonar.deeds import DEEDS, Deed, carry_out
from squidmesh.sonar.forms import read_json
from squidmesh.sonar.guard import Refused
from squidmesh.sonar.house import LONGEST_COMMENT, Ask

LONGEST_EVENT = 256 * 1024


def ask_first(ask: Ask, run_id: str, verb: str) -> Response:
    ask.check_may_act()
    run, deed = ask.run(run_id), _deed(verb)
    return _question(ask, run, deed, step=ask.query("step"), event=ask.query("event"), said={}, error=None)


def do(ask: Ask, run_id: str, verb: str) -> Response:
    """Sent by the page of :func:`ask_first`. What is refused is asked again, with the reason."""
    ask.check_may_act()
    run, deed, form = ask.run(run_id), _deed(verb), ask.form
    step, event = form.get("step") or None, form.get("event") or None
    try:
        said = {"actor": ask.visitor.actor, "comment": comment_of(ask), "key": key_of(ask)}
        done = carry_out(ask.mesh, deed, run.run_id, said, step=step, event=event, more=_more(deed, ask))
    except UsageError as error:
        again = _question(ask, run, deed, step=step, event=event, said=dict(form), error=error)
        again.status_code = error.http_status
        return again
    return ask.go(f"/runs/{done.run_id}", done=deed.verb)


def comment_of(ask: Ask) -> str:
    comment = ask.form.get("comment", "").strip().replace("\r\n", "\n")
    if len(comment) > LONGEST_COMMENT:
        raise InvalidInput(f"{len(comment)} characters are refused; allowed are {LONGEST_COMMENT}", field="comment")
    return comment


def key_of(ask: Ask) -> str:
    """Of the form, so that it counts once. Forms without one are not ours."""
    key = ask.form.get("key", "")
    if not 16 <= len(key) <= 64:
        raise InvalidInput("is not that of a form of Sonar's; load its page again", field="key")
    return key


def new_key() -> str:
    return f"sonar-{secrets.token_hex(12)}"


def _more(deed: Deed, ask: Ask) -> Any:
    form = ask.form
    match deed.verb:
        case "send-event":
            data = form.get("data", "")
            if len(data) > LONGEST_EVENT:
                raise InvalidInput(f"{len(data)} characters are refused; allowed are {LONGEST_EVENT}", field="data")
            return read_json(data, "data") if data.strip() else None
        case "cancel":
            return "leave" if form.get("children") == "leave" else "cancel"
        case "replay":
            return form.get("allow_irreversible") == "true"
        case _:
            return None


def _deed(verb: str) -> Deed:
    found = DEEDS.get(verb)
    if found is None:
        raise Refused(404, "Not found", f"There is no such deed; there are {', '.join(DEEDS)}.")
    return found


def _question(
    ask: Ask,
    run: Run,
    deed: Deed,
    *,
    step: str | None,
    event: str | None,
    said: dict[str, str],
    error: Exception | None,
) -> Response:
    return ask.write(
        "decide",
        section="runs",
        run=run,
        deed=deed,
        step=step,
        event=event,
        said=said,
        key=new_key(),
        error=error,
        longest=LONGEST_COMMENT,
    )
