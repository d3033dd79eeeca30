"""Attempts that were given up, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from msgspec import structs

from squidmesh.config import check_integer
from squidmesh.errors import InvalidInput
from squidmesh.reading.dead_letters import DeadLetterList, DeadLettersMoved, dead_letter_list
from squidmesh.runtime import dead_letters
from squidmesh.runtime.arguments import MAX_COMMENT_BYTES, check_text
from squidmesh.runtime.verbs.opening import PAGE, Opening


class DeadLetters(Opening):
    def list_dead_letters(
        self,
        *,
        run_id: str | None = None,
        workflow: str | None = None,
        step: str | None = None,
        queue: str | None = None,
        cause: str | None = None,
        older_than: timedelta | float | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> DeadLetterList:
        """Attempts that were given up after too many lost deliveries, oldest first, ``limit`` (1 to 1000) a page;
        ``after`` is the ``next`` of the page before. ``cause``: ``lost_deliveries`` or ``lost_before_recording``.
        ``older_than``: that died at least so long ago.
        """
        size = check_integer(limit, field="limit", allowed=PAGE)
        filters = {"run_id": run_id, "workflow": workflow, "step": step, "queue": queue, "cause": cause}
        engine = self._engine()
        query = dead_letters.check_filter(**filters, older_than=older_than, now=engine.store.now())
        page = engine.store.dead_letters(structs.replace(query, limit=size, after=after))
        return dead_letter_list(page.rows, page.next, now=engine.store.now())

    def replay_dead_letters(
        self,
        items: Sequence[str] | None = None,
        *,
        actor: str,
        comment: str | None = None,
        key: str | None = None,
        dry_run: bool = False,
        rate: float | None = None,
        all: bool = False,
        run_id: str | None = None,
        workflow: str | None = None,
        step: str | None = None,
        queue: str | None = None,
        cause: str | None = None,
        older_than: timedelta | float | None = None,
        tell: Callable[[str], None] = lambda item: None,
    ) -> DeadLettersMoved:
        """Sends dead letters back to work, as a new generation of the same attempt, with its deliveries counted anew:
        the ``items`` named, or all that match the filters, or ``all``. At most ``rate`` a second. ``dry_run`` changes
        nothing and says what it would have done. The same ``key`` again changes nothing. ``tell`` hears of each item.
        Items that are no dead letters are among the answer's ``refused``; the others are replayed all the same.
        """
        deed = dead_letters.check_deed("replay", actor=actor, reason=comment, key=key, dry_run=dry_run, rate=rate)
        filters = {"run_id": run_id, "workflow": workflow, "step": step, "queue": queue, "cause": cause}
        return self._to_dead_letters(deed, items, all, {**filters, "older_than": older_than}, tell)

    def discard_dead_letters(
        self,
        items: Sequence[str] | None = None,
        *,
        actor: str,
        reason: str,
        key: str | None = None,
        dry_run: bool = False,
        rate: float | None = None,
        all: bool = False,
        run_id: str | None = None,
        workflow: str | None = None,
        step: str | None = None,
        queue: str | None = None,
        cause: str | None = None,
        older_than: timedelta | float | None = None,
        tell: Callable[[str], None] = lambda item: None,
    ) -> DeadLettersMoved:
        """Gives dead letters up for good: each attempt fails, its error route is taken, or its run fails. Otherwise as
        :meth:`replay_dead_letters`; ``reason`` is kept in the history.
        """
        check_text(reason, field="reason", least=1, most=MAX_COMMENT_BYTES)
        deed = dead_letters.check_deed("discard", actor=actor, reason=reason, key=key, dry_run=dry_run, rate=rate)
        filters = {"run_id": run_id, "workflow": workflow, "step": step, "queue": queue, "cause": cause}
        return self._to_dead_letters(deed, items, all, {**filters, "older_than": older_than}, tell)

    def _to_dead_letters(
        self,
        deed: dead_letters.Deed,
        items: Sequence[str] | None,
        every: bool,
        filters: Mapping[str, Any],
        tell: Callable[[str], None],
    ) -> DeadLettersMoved:
        """Those that are named, or those that match: never all of them by mistake."""
        if not isinstance(every, bool):
            raise InvalidInput(f"is a {type(every).__name__}; allowed are True and False", field="all")
        filtered = any(value is not None for value in filters.values())
        if (items is not None) + every + filtered != 1:
            raise InvalidInput("allowed is one of: items, a filter, all=True", field="items")
        named = None if items is None else dead_letters.check_items(items)
        engine = self._engine()
        query = dead_letters.check_filter(**filters, now=engine.store.now())
        if named is not None:
            return dead_letters.carry_out(engine, deed, named, tell)
        return dead_letters.carry_out_all(engine, deed, query, tell)
