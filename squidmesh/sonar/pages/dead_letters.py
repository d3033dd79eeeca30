"""Dead letters: what was given up and why; sending some or all back to work, or giving them up for good."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from starlette.responses import Response

from squidmesh import DeadLetterList, DeadLettersMoved, InvalidInput, Mesh, UsageError
from squidmesh.sonar.guard import Refused
from squidmesh.sonar.house import PAGE_SIZES, Ask
from squidmesh.sonar.live import Topic, digest
from squidmesh.sonar.paced import MOST, Going
from squidmesh.sonar.pages.deciding import comment_of, key_of, new_key

CAUSES = ("lost_deliveries", "lost_before_recording")
AGES = {"1 min": 60, "10 min": 600, "1 h": 3600, "6 h": 21_600, "1 d": 86_400, "7 d": 604_800}
VERBS = ("replay", "discard")
PACED, STOP = "pace", "stop"
MOST_ITEMS = 500
_FILTERS = ("run_id", "workflow", "step", "queue", "cause", "older_than")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """``older_than`` in seconds, as a text of digits."""

    run_id: str | None
    workflow: str | None
    step: str | None
    queue: str | None
    cause: str | None
    older_than: str | None

    def of_verb(self) -> dict[str, Any]:
        """As the mesh takes them."""
        older = None if self.older_than is None else timedelta(seconds=int(self.older_than))
        return {**asdict(self), "older_than": older}

    @property
    def are_any(self) -> bool:
        return any(value is not None for value in asdict(self).values())


def _asked(ask: Ask) -> Filters:
    return Filters(
        run_id=ask.query("run_id"),
        workflow=ask.query("workflow"),
        step=ask.query("step"),
        queue=ask.queue(),
        cause=ask.one_of("cause", CAUSES),
        older_than=ask.one_of("older_than", [str(seconds) for seconds in AGES.values()]),
    )


def _look(mesh: Mesh, filters: Filters, size: int, after: str | None) -> DeadLetterList:
    return mesh.list_dead_letters(**filters.of_verb(), limit=size, after=after)


def _digest(found: DeadLetterList, going: list[Going]) -> str:
    return digest([found.to_json()["dead_letters"], [one.told() for one in going]])


def topic(ask: Ask) -> Topic:
    filters, size, after = _asked(ask), ask.size(), ask.query("after")
    visitor, paced = ask.visitor, ask.house.paced
    return Topic(
        f"dead {visitor.queues!r} {filters!r} {size} {after}",
        lambda: _digest(_look(ask.mesh, filters, size, after), paced.seen_by(visitor)),
    )


def show(ask: Ask) -> Response:
    filters, size, after = _asked(ask), ask.size(), ask.query("after")
    found, going = _look(ask.mesh, filters, size, after), ask.house.paced.seen_by(ask.visitor)
    said = {name: ask.query(name) for name in (*_FILTERS, "size")}
    return ask.write(
        "dead_letters",
        section="dead-letters",
        topic="dead-letters",
        seen=_digest(found, going),
        found=found,
        going=going,
        filters=filters,
        said=said,
        sizes=PAGE_SIZES,
        causes=CAUSES,
        ages=AGES,
        next=None if found.next is None else ask.at("/dead-letters", **said, after=found.next),
        first=None if after is None else ask.at("/dead-letters", **said),
        queues=[] if ask.visitor.sees_all else ask.queues(),
        done=_done(ask),
        now=found.as_of,
    )


def _done(ask: Ask) -> tuple[str, str, str] | None:
    """What was done a moment ago: the verb, to how many, and how many were refused."""
    verb, count, refused = ask.query("done"), ask.query("count", most=9), ask.query("refused", most=9)
    if verb not in (*VERBS, PACED) or not (count or "").isdecimal() or not (refused or "").isdecimal():
        return None
    return verb, count or "0", refused or "0"


def ask_first(ask: Ask, verb: str) -> Response:
    """With a dry run, of those that are named or of all that match."""
    ask.check_may_act()
    _check_verb(verb)
    items = ask.queries("item", most=MOST_ITEMS)
    return _question(ask, verb, items, _asked(ask), {}, None)


def do(ask: Ask, verb: str) -> Response:
    """Some or all, at once; or, where a rate is said, behind the page."""
    ask.check_may_act()
    if verb == STOP:
        return _stop(ask)
    _check_verb(verb)
    items = ask.form_list("item")
    given = {name: ask.form.get(name) or None for name in _FILTERS}
    filters = Filters(**given)
    _check_filters(ask, filters)
    try:
        if len(items) > MOST_ITEMS:
            raise InvalidInput(f"{len(items)} of them are refused; allowed are {MOST_ITEMS}", field="item")
        if verb == "replay" and ask.form.get("rate"):
            return _pace(ask, items, filters, _rate(ask.form["rate"]))
        moved = _carry_out(ask, verb, items, filters, comment=comment_of(ask), key=key_of(ask), dry_run=False)
    except UsageError as error:
        again = _question(ask, verb, items, filters, dict(ask.form), error)
        again.status_code = error.http_status
        return again
    here = filters.run_id and f"/runs/{filters.run_id}"
    if here and ask.form.get("back") == "run":
        return ask.go(here, done=f"{verb}-dead-letter")
    return ask.go("/dead-letters", done=verb, count=len(moved.items), refused=len(moved.refused), queue=filters.queue)


def _pace(ask: Ask, items: list[str], filters: Filters, rate: float) -> Response:
    """What would be replayed now is, one by one; the verb itself says which rates there are."""
    mesh, actor, comment, key = ask.mesh, ask.visitor.actor, comment_of(ask), key_of(ask)
    found = _carry_out(ask, "replay", items, filters, comment=comment, key=None, dry_run=True, rate=rate)

    def replay(item: str) -> DeadLettersMoved:
        return mesh.replay_dead_letters([item], actor=actor, comment=comment, key=key)

    one = Going(key=key, actor=actor, queue=filters.queue, rate=rate, total=len(found.items))
    if not ask.house.paced.begin(one, found.items, replay):
        raise Refused(503, "Too many", f"{MOST} batches go back to work already. Wait for one of them, or stop it.")
    return ask.go("/dead-letters", done=PACED, count=len(found.items), refused=len(found.refused), queue=filters.queue)


def _rate(said: str) -> float:
    try:
        return float(said)
    except ValueError:
        raise InvalidInput(f"{said[:80]!r} is refused; allowed is a number a second", field="rate") from None


def _stop(ask: Ask) -> Response:
    if not ask.house.paced.stop(ask.form.get("key", ""), ask.visitor):
        raise Refused(404, "Not found", "Nothing of that name goes back to work in this process.")
    return ask.go("/dead-letters", queue=ask.form.get("queue") or None)


def _check_verb(verb: str) -> None:
    if verb not in VERBS:
        raise Refused(404, "Not found", "A dead letter can be replayed or discarded.")


def _check_filters(ask: Ask, filters: Filters) -> None:
    """A form is the sender's word: the queue that it is bound to is checked again."""
    if filters.queue is not None:
        ask.check_queue(filters.queue)
    elif not ask.visitor.sees_all:
        raise Refused(404, "Not found", "Dead letters of all queues are not yours to see.")
    if filters.older_than is not None and filters.older_than not in map(str, AGES.values()):
        raise Refused(422, "Not so", "This age is none of those that may be chosen.")


def _carry_out(
    ask: Ask,
    verb: str,
    items: list[str],
    filters: Filters,
    *,
    comment: str,
    key: str | None,
    dry_run: bool,
    rate: float | None = None,
) -> DeadLettersMoved:
    said: dict[str, Any] = {"actor": ask.visitor.actor, "key": key, "dry_run": dry_run, "rate": rate}
    if items:
        _check_items(ask, items)
        said["items"] = items
    elif filters.are_any:
        said |= filters.of_verb()
    else:
        said["all"] = True
    if verb == "replay":
        return ask.mesh.replay_dead_letters(comment=comment, **said)
    return ask.mesh.discard_dead_letters(reason=comment or ("dry run" if dry_run else ""), **said)


def _check_items(ask: Ask, items: list[str]) -> None:
    """Each is of a queue, and of a run, that the visitor may see."""
    if ask.visitor.sees_all:
        return
    for run_id in dict.fromkeys(item.partition("/")[0] for item in items):
        ask.run(run_id)
        named = {one for one in items if one.partition("/")[0] == run_id}
        for letter in ask.mesh.list_dead_letters(run_id=run_id, limit=1000).dead_letters:
            if letter.item in named:
                ask.check_queue(letter.queue)


def _question(
    ask: Ask, verb: str, items: list[str], filters: Filters, said: dict[str, str], error: Exception | None
) -> Response:
    rehearsed: DeadLettersMoved | None = None
    if error is None:
        try:
            rehearsed = _carry_out(ask, verb, items, filters, comment="", key=None, dry_run=True)
        except UsageError as refused:
            error = refused
    return ask.write(
        "decide_dead",
        section="dead-letters",
        verb=verb,
        items=items,
        filters={name: value for name, value in asdict(filters).items() if value is not None},
        rehearsed=rehearsed,
        said=said,
        key=new_key(),
        error=error,
        back=ask.query("back") or "",
    )
