"""Starts in the host's own transaction (protocol 3.4): they are committed with its rows, or rolled back with them.

While that transaction is open it holds locks of the host's. So nothing here is tried twice, and what others may wait
for is kept out of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING

from squidmesh.errors import BackendUnavailable, CommitUnknown, JournalConflict
from squidmesh.ids import RunId
from squidmesh.ports.journal_store import DefinitionRecord, Group, JournalStore
from squidmesh.runtime.commit import Patience

if TYPE_CHECKING:
    from squidmesh.runtime.engine import Engine


def joined_store(engine: Engine, connection: object | None) -> JournalStore | None:
    """The journal in the host's transaction; None where the host has named none. Raises what
    :meth:`JournalStore.joined` raises.
    """
    return None if connection is None else engine.store.joined(connection)


def no_patience() -> Patience:
    """Every error goes to the caller at once."""
    return Patience(timedelta(0), give_up=lambda: True)


def put_definitions(engine: Engine, records: Iterable[DefinitionRecord]) -> None:
    """Sees to it that they are in the journal, by a transaction of our own. In the host's, the first start after a
    deploy would have all others of that workflow wait until the host commits. A definition without a run does nothing.
    """
    for fingerprint, record in {record.fingerprint: record for record in records}.items():
        if engine.store.definition(fingerprint) is not None:
            continue
        try:
            engine.store.commit([Group(appends=(), definitions=(record,))])
        except CommitUnknown as error:  # whether or not it is there: of the run, nothing is
            raise BackendUnavailable(f"the definition of the run could not be written: {error}") from error


def out_of_sight(run_id: RunId) -> JournalConflict:
    """The key is taken, and the host's transaction does not see by which run: its picture of the database is older."""
    return JournalConflict(
        f"run {run_id} was started by another transaction, after this one took its snapshot; allowed is to roll back"
        " and do it again, or the isolation level READ COMMITTED"
    )
