"""What operators do about dead letters: look, send back to work, give up for good (protocol 3.5.5, 3.8).

They are listed, replayed and discarded from the journal only. Where all that match are meant, they are taken page by
page, and those that die again meanwhile are not taken twice.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from msgspec import structs

from squidmesh.clock import Instant, check_duration, micros
from squidmesh.errors import InvalidInput, NotFound, NotWaiting, SquidMeshError
from squidmesh.ids import AttemptKey, parse_attempt_key
from squidmesh.planning.commands import DiscardDeadLetter, ReplayDeadLetter
from squidmesh.ports.journal_store import DeadLetterQuery
from squidmesh.reading.dead_letters import DeadLettersMoved
from squidmesh.runtime.arguments import (
    LONGEST_KEY,
    LONGEST_NAME,
    check_actor,
    check_comment,
    check_key,
    check_list,
    check_run_id,
    check_text,
)
from squidmesh.runtime.commit import CALLER_PATIENCE
from squidmesh.runtime.engine import Engine
from squidmesh.runtime.recorder import Intent

CAUSES = ("lost_deliveries", "lost_before_recording")
_PAGE = 100
_LONGEST_AGE = timedelta(days=36_500)
_RATES = (0.001, 10_000.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What is to be done, checked. ``reason`` is the comment of a replay."""

    kind: Literal["replay", "discard"]
    actor: str
    reason: str
    key: str | None
    dry_run: bool
    rate: float | None


def check_filter(
    *,
    run_id: object = None,
    workflow: object = None,
    step: object = None,
    queue: object = None,
    cause: object = None,
    older_than: object = None,
    now: Instant,
) -> DeadLetterQuery:
    """``older_than`` is a duration: those that died at least that long ago."""
    age = None
    if older_than is not None:
        age = check_duration(older_than, field="older_than", least=timedelta(0), most=_LONGEST_AGE)
    if cause is not None and cause not in CAUSES:
        raise InvalidInput(f"{str(cause)[:80]!r} is refused; allowed are {', '.join(CAUSES)}", field="cause")
    return DeadLetterQuery(
        run_id=None if run_id is None else check_run_id(run_id),
        workflow=_name(workflow, "workflow"),
        step=_name(step, "step"),
        queue=_name(queue, "queue"),
        cause=None if cause is None else str(cause),
        until=None if age is None else Instant(now - micros(age)),
    )


def check_deed(
    kind: Literal["replay", "discard"], *, actor: object, reason: object, key: object, dry_run: object, rate: object
) -> Deed:
    if not isinstance(dry_run, bool):
        raise InvalidInput(f"is a {type(dry_run).__name__}; allowed are True and False", field="dry_run")
    return Deed(
        kind=kind,
        actor=check_actor(actor),
        reason=check_comment(reason),
        key=None if key is None else check_key(key),
        dry_run=dry_run,
        rate=_check_rate(rate),
    )


def check_items(items: object) -> list[AttemptKey]:
    """Attempt keys, each once."""
    wanted = check_list(items, field="items", of="attempt keys")
    found: dict[AttemptKey, None] = {}
    for index, item in enumerate(wanted):
        text = check_text(item, field=f"items[{index}]", least=1, most=LONGEST_KEY)
        try:
            parse_attempt_key(text)
        except InvalidInput:
            why = f"{text[:80]!r} is no attempt key; allowed is run_id/step#attempt"
            raise InvalidInput(why, field=f"items[{index}]") from None
        found[AttemptKey(text)] = None
    return list(found)


def carry_out(
    engine: Engine, deed: Deed, items: Sequence[AttemptKey], tell: Callable[[str], None] = lambda item: None
) -> DeadLettersMoved:
    """To these; what can not be done to one of them is told by its item, and the others are done all the same."""
    return _to_each(engine, deed, items, tell)


def carry_out_all(
    engine: Engine, deed: Deed, query: DeadLetterQuery, tell: Callable[[str], None] = lambda item: None
) -> DeadLettersMoved:
    """To all that match and had died before this call."""
    now = engine.store.now()
    until = now if query.until is None else min(query.until, now)
    return _to_each(engine, deed, _matching(engine, structs.replace(query, until=Instant(until), limit=_PAGE)), tell)


def _matching(engine: Engine, query: DeadLetterQuery) -> Iterator[AttemptKey]:
    after = None
    while True:
        page = engine.store.dead_letters(structs.replace(query, after=after))
        yield from (row.item for row in page.rows)
        after = page.next
        if after is None:
            return


def _to_each(
    engine: Engine, deed: Deed, items: Iterator[AttemptKey] | Sequence[AttemptKey], tell: Callable[[str], None]
) -> DeadLettersMoved:
    done: list[str] = []
    refused: dict[str, str] = {}
    pace = _Pace(deed.rate)
    writer = engine.writer(patience=CALLER_PATIENCE)
    for item in items:
        error: SquidMeshError | None
        if deed.dry_run:
            error = _would_refuse(engine, item)
        else:
            pace.wait()
            (verdict,) = writer.recorder.record([_intent(deed, item)])
            error = verdict.error
        if error is None:
            done.append(item)
            tell(item)
        else:
            refused[item] = str(error)
    engine.poke()
    return DeadLettersMoved(items=tuple(done), refused=refused, dry_run=deed.dry_run)


def _would_refuse(engine: Engine, item: AttemptKey) -> SquidMeshError | None:
    if engine.store.dead_letter(item) is not None:
        return None
    run_id, _, _ = parse_attempt_key(item)
    if engine.store.run_row(run_id) is None:
        return NotFound(f"there is no run {run_id!r}", field="items")
    return NotWaiting(f"{item} is no dead letter", field="items")


def _intent(deed: Deed, item: AttemptKey) -> Intent:
    run_id, step, attempt = parse_attempt_key(item)
    key = None if deed.key is None else f"{deed.key}/{step}#{attempt}"

    def command(now: Instant) -> ReplayDeadLetter | DiscardDeadLetter:
        if deed.kind == "replay":
            return ReplayDeadLetter(now=now, step=step, attempt=attempt, actor=deed.actor, comment=deed.reason, key=key)
        return DiscardDeadLetter(now=now, step=step, attempt=attempt, actor=deed.actor, reason=deed.reason, key=key)

    return Intent(run_id=run_id, command=command)


class _Pace:
    """At most so many a second, evenly."""

    def __init__(self, rate: float | None) -> None:
        self._every = 0.0 if rate is None else 1 / rate
        self._next = time.monotonic()
        self._never = threading.Event()

    def wait(self) -> None:
        self._never.wait(max(0.0, self._next - time.monotonic()))
        self._next = max(self._next, time.monotonic()) + self._every


def _check_rate(rate: object) -> float | None:
    if rate is None:
        return None
    least, most = _RATES
    words = f"allowed is a number a second, from {least:g} to {most:g}"
    if isinstance(rate, bool) or not isinstance(rate, int | float):
        raise InvalidInput(f"is a {type(rate).__name__}; {words}", field="rate")
    if not least <= rate <= most:
        raise InvalidInput(f"such a number is refused; {words}", field="rate")
    return float(rate)


def _name(value: object, field: str) -> str | None:
    return None if value is None else check_text(value, field=field, least=1, most=LONGEST_NAME)
