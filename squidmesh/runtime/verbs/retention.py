"""Retention: what ended long ago is pruned, or archived and pruned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from os import PathLike
from typing import IO

from squidmesh.reading.retention import Archived, Pruned
from squidmesh.runtime import retention
from squidmesh.runtime.archiving import check_target, open_archive
from squidmesh.runtime.verbs.opening import Opening


class Retention(Opening):
    """Beside a live fleet, in small transactions. Two at once are safe; neither takes what the other took."""

    def prune(
        self,
        *,
        older_than: timedelta | float,
        workflow: str | None = None,
        statuses: Sequence[str] | None = None,
        limit: int | None = None,
        dry_run: bool = False,
        tell: Callable[[int], None] = lambda runs: None,
    ) -> Pruned:
        """Removes the runs that ended at least so long ago (1 minute to 36,500 days, by the journal's clock), each
        whole: its history, and all rows about it. A run goes with all its descendants or not at all; ``workflow`` and
        ``statuses`` (completed, failed, cancelled) are those of the run at their head. A run with a key, of a cron
        trigger or of a parent leaves a tombstone: it is never started again, and asked for raises ``RunPruned``.

        ``limit``: no more families once so many runs have gone. ``dry_run`` removes nothing, and counts. ``tell``
        hears, after each batch, how many runs have gone. What can not be read stays, and is told in the answer's
        ``held`` and ``reasons``.
        """
        terms = retention.check_terms(
            older_than=older_than, workflow=workflow, statuses=statuses, limit=limit, dry_run=dry_run, tell=tell
        )
        return retention.prune(self._engine(), terms).pruned()

    def archive(
        self,
        path_or_file: str | PathLike[str] | IO[bytes] | IO[str],
        *,
        older_than: timedelta | float,
        workflow: str | None = None,
        statuses: Sequence[str] | None = None,
        limit: int | None = None,
        dry_run: bool = False,
        tell: Callable[[int], None] = lambda runs: None,
    ) -> Archived:
        """Prunes as :meth:`prune` does, and writes each run before it goes: a line of JSON with its entries and their
        facts, in which what is marked secret is hidden, and what a payload codec sealed is in the clear. A path is
        appended to; an open file is left open. The lines of a batch are on the disk before it is pruned: whoever
        interrupts an archive finds every run in the file or in the journal, those of the last batch perhaps in both.
        """
        target = check_target(path_or_file)
        terms = retention.check_terms(
            older_than=older_than, workflow=workflow, statuses=statuses, limit=limit, dry_run=dry_run, tell=tell
        )
        engine = self._engine()
        if terms.dry_run:
            return retention.prune(engine, terms).archived(0)
        archive = open_archive(target)
        try:
            return retention.prune(engine, terms, archive).archived(archive.written)
        finally:
            archive.close()
