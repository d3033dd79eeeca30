"""Bugs planted on purpose: each breaks one rule of the protocol, and the simulator is worth its time if it finds them.

A bug is a patch of the real code, or of a simulated server, for as long as a ``with`` block lasts. A name that is not
there any more is an ``AttributeError`` at once: :func:`check` plants and removes all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from msgspec import structs

from chaos.simulator.journal import Journal
from squidmesh.clock import duration
from squidmesh.errors import CommitUnknown
from squidmesh.journal import fold
from squidmesh.memory import leases
from squidmesh.memory.leases import MemoryLeases
from squidmesh.planning import claims, outcome, readiness
from squidmesh.ports.lease_backend import Cursor
from squidmesh.runtime import reconcile, transactional
from squidmesh.runtime.held import Runs
from squidmesh.runtime.intake import Intake
from squidmesh.runtime.recorder import Recorder
from squidmesh.runtime.timers import Timers

Plant = Callable[[ExitStack], None]
Planted = AbstractContextManager[None]
_FOUND: dict[str, Plant] = {}


def bug(plant: Plant) -> Plant:
    _FOUND[plant.__name__.replace("_", "-")] = plant
    return plant


def names() -> list[str]:
    """Of all bugs."""
    return list(_FOUND)


def about(name: str) -> str:
    """What the bug breaks, in a sentence."""
    return " ".join((_FOUND[name].__doc__ or "").split())


@contextmanager
def planted(name: str) -> Iterator[None]:
    """``KeyError`` where there is no such bug, ``AttributeError`` where what it breaks has another name now."""
    with ExitStack() as ground:
        _FOUND[name](ground)
        yield


def check() -> None:
    """Every bug can be planted."""
    for name in _FOUND:
        with planted(name):
            pass


def _put(ground: ExitStack, holder: Any, name: str, value: Any) -> None:
    ground.enter_context(patch.object(holder, name, value))


# -------------------------------------------------------------------------------------------------------- the nine


@bug
def fence_off_by_one(ground: ExitStack) -> None:
    """3.5.2: the core records a claim whose fence is equal to the last one, not above it."""
    real = claims.record

    def record(definition: Any, state: Any, command: Any) -> Any:
        runnable = state.runnables.get(command.step)
        equal = runnable is not None and (command.generation, command.fence) == (runnable.generation, runnable.fence)
        if not equal or command.now < runnable.visible_at:
            return real(definition, state, command)
        facts = real(definition, state, structs.replace(command, fence=command.fence + 1))
        return [structs.replace(fact, fence=command.fence) if hasattr(fact, "fence") else fact for fact in facts]

    def newer(state: Any, fact: Any) -> Any:
        runnable = state.runnables.get(fact.step)
        equal = runnable is not None and (fact.generation, fact.fence) == (runnable.generation, runnable.fence)
        return runnable if equal else stricter(state, fact)

    stricter = fold._newer_claim
    _put(ground, claims, "record", record)
    _put(ground, fold, "_newer_claim", newer)  # else the fold refuses what the core let through


@bug
def settle_before_commit(ground: ExitStack) -> None:
    """3.4: live effects before the durable facts."""
    real = Recorder._commit

    def commit(self: Any, entries: Any) -> Any:
        for entry in entries:
            entry.effects.carry_out(self._leases)
        return real(self, entries)

    _put(ground, Recorder, "_commit", commit)


@bug
def takeover_without_a_fence_check(ground: ExitStack) -> None:
    """3.5.3: a result counts while its attempt is claimed, whoever holds it by now."""

    real = outcome.complete

    def complete(definition: Any, state: Any, command: Any) -> Any:
        runnable = state.runnables.get(command.step)
        if runnable is not None and runnable.claim is not None and runnable.attempt == command.attempt:
            command = structs.replace(command, fence=runnable.fence, claim_hash=runnable.claim.claim_hash)
        return real(definition, state, command)

    _put(ground, outcome, "complete", complete)


@bug
def join_without_the_last_sibling(ground: ExitStack) -> None:
    """I14: a step begins when all but one of those that it comes after are done."""

    def is_done(self: Any, step: str) -> bool:
        others = [spec for spec in self._definition.steps if step in spec.after]
        return real(self, step) or any(spec.after[-1] == step and len(spec.after) > 1 for spec in others)

    def join(self: Any, step: str) -> None:
        for following in self._definition.dependents.get(step, ()):
            begun = following.name in self._entered or following.name in self._state.runnables
            if not begun and all(map(self._is_done, following.after)):
                self.enter(following.name)
        self.complete_if_all_done()

    real = readiness.Following._is_done
    _put(ground, readiness.Following, "_is_done", is_done)
    _put(ground, readiness.Following, "_join", join)


@bug
def reconciler_offers_claimed_rows_as_free(ground: ExitStack) -> None:
    """3.8: a row with a recorded claim is offered as if nobody held it."""
    real: Any = vars(reconcile)["item_of_row"]
    _put(ground, reconcile, "item_of_row", lambda row, now: structs.replace(real(row, now), recorded=None))


@bug
def refusal_released_as_visible(ground: ExitStack) -> None:
    """3.5.2: a grant that is refused because another claim is recorded is given back as if nobody held the attempt."""
    real = Intake._give_back

    def give_back(self: Any, *, settlements: Any = (), releases: Any = ()) -> None:
        freed = [structs.replace(release, as_claim=None) for release in releases]
        real(self, settlements=settlements, releases=freed)

    _put(ground, Intake, "_give_back", give_back)


@bug
def readoption_without_incarnation(ground: ExitStack) -> None:
    """3.5.6: a lease that the backend does not know is adopted again in the very life that granted it."""

    def is_forgotten(self: Any, claim: Any, now: int) -> bool:
        order = (claim.generation, claim.fence)
        known = self._items.get(claim.item)
        if self._buried(claim.item, order):
            return False
        return known is None or (not known.leased(now) and (known.generation, known.fence) < order)

    _put(ground, MemoryLeases, "_is_forgotten", is_forgotten)


@bug
def cursor_by_sequence(ground: ExitStack) -> None:
    """3.8: the mark of a pass is the newest writer's number, so what an older writer commits later is lost for ever."""
    _put(ground, Journal, "position", lambda self: self._next if self._tracks else 0)


@bug
def unknown_transactional_commit_repeated_alone(ground: ExitStack) -> None:
    """3.5.7: the answer to a transactional step's commit was lost, and its completion is appended without its rows."""
    real = transactional._record

    def record(engine: Any, transaction: Any, done: Any, verbs: Any) -> Any:
        try:
            return real(engine, transaction, done, verbs)
        except CommitUnknown:
            return done

    _put(ground, transactional, "_record", record)


# --------------------------------------------------------------------------------------------------------- and more


@bug
def cursor_vouches_for_offers_that_were_lost(ground: ExitStack) -> None:
    """3.8: the cursor is written before the offers that it vouches for."""
    real = reconcile.Reconciler._carry_out

    def carry_out(self: Any, one: Any, token: str) -> Any:
        new = Cursor(incarnation=one.life, token=token, position=one.mark)
        self._leases.set_cursor(one.queue, expected=one.cursor, new=new)
        return real(self, one, token)

    _put(ground, reconcile.Reconciler, "_carry_out", carry_out)


@bug
def cursor_of_another_life(ground: ExitStack) -> None:
    """3.8: a pass goes on at a cursor, whatever life of the memory it is of, and whoever knows its token."""

    def known(self: Any, cursor: Any, queue: str, life: str, mark: int) -> int:
        return int(mark if cursor is None else cursor.position)

    _put(ground, reconcile.Reconciler, "_known", known)


@bug
def claimed_before_it_is_visible(ground: ExitStack) -> None:
    """I7: the core records a claim on an attempt whose time has not come."""
    real = claims.record

    def record(definition: Any, state: Any, command: Any) -> Any:
        runnable = state.runnables.get(command.step)
        later = command if runnable is None else structs.replace(command, now=max(command.now, runnable.visible_at))
        return [structs.replace(fact, at=command.now) for fact in real(definition, state, later)]

    def ready(self: Any, now: int) -> bool:
        return not self.leased(now)

    _put(ground, claims, "record", record)
    _put(ground, leases._Held, "free", ready)


@bug
def what_conflicted_is_kept(ground: ExitStack) -> None:
    """3.2: after a conflict the run is decided upon as it was held, with the facts that were never written."""
    _put(ground, Runs, "drop", lambda self, run_id: None)


@bug
def timers_are_not_fired(ground: ExitStack) -> None:
    """I10: nobody hears a signal or a deadline."""
    _put(ground, Timers, "_fire_due", lambda self, touched: None)


@bug
def lost_deliveries_are_not_counted(ground: ExitStack) -> None:
    """I8: an attempt whose workers die is handed out for ever."""
    _put(ground, claims, "given_up", lambda runnable, command: None)


@bug
def due_timer_waits_for_the_next_look(ground: ExitStack) -> None:
    """A pump that is busy when a timer becomes due asks again and again whether there is something to do, and does not
    fire it, until it is time for the next look. (It did, until the simulator found it.)
    """

    def fire(self: Any, *, rested: bool) -> Any:
        looks = rested or self._recorder.take_timer_set() or self._monotonic() >= self._look_at
        return self.fire() if looks else []

    def rest(self: Any, longest: Any) -> Any:
        if self._next is None:
            return real(self, longest)
        return max(timedelta(0), min(longest, duration(self._next - self._store.now())))

    real = Timers.rest
    _put(ground, Timers, "fire_now_and_then", fire)
    _put(ground, Timers, "rest", rest)
