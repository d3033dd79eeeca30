"""What is looked at when a schedule is over: whether everything has come to its end, and the journal to itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos.simulator.watch import Told
from squidmesh.ids import ThreadId
from squidmesh.journal.codec import decode_facts, decode_state, encode_state
from squidmesh.journal.fold import fold
from squidmesh.journal.state import RunState
from squidmesh.planning.rows import rebuild
from squidmesh.ports.journal_store import DeadLetterQuery, ThreadRead
from squidmesh.runtime.delivery import item_of_row

if TYPE_CHECKING:
    from chaos.simulator.world import World


def at_the_end(world: World, *, quiet: bool) -> None:
    """Says to the world what is broken."""
    if not quiet:
        world.broken(_stuck(world))
        return
    for run_id in world.acknowledged:
        if run_id not in world.watch.runs:
            world.broken(f"I10: the start of {run_id} was acknowledged, and is not in the journal")
    _ledger(world)
    for place, run_id in enumerate(world.watch.runs):
        _folds(world, run_id, with_checkpoints=(place + world.script.chance) % 4 == 0)
    blob = b"".join(world.journal.bodies)
    if any(claim_id.encode() in blob for claim_id in world.leases.claim_ids):
        world.broken("I19: a claim id is in the journal")


def _stuck(world: World) -> str:
    """Who has not ended, and whether the backend should have had something of it (I11)."""
    now = world.journal.now()
    rows = world.journal.inner.open_attempts()
    due = [row for row in rows if row.visible_at <= now]
    missing = set(world.leases.inner.missing([item_of_row(row, now) for row in due]))
    lost = [f"{world.journal.name_of(row.run_id)} {row.step}" for row in due if row.item in missing]
    if lost:
        return f"I11: due, and missing from the backend: {', '.join(lost)}"
    named = [_where(run) for run in world.watch.runs.values() if not run.ended]
    return f"I10: not ended: {'; '.join(named)}; deeds left: {world.left}"


def _where(run: Told) -> str:
    attempts = [f"{step} {one.status}" for step, one in run.tries.items() if one.is_open]
    children = sum(status is None for status in run.children.values())
    return (
        f"{run.started.workflow} {run.name} ({run.phase}; attempts {attempts}, gates {list(run.waiting)},"
        f" {children} open children)"
    )


def _ledger(world: World) -> None:
    """What a step wrote in its transaction is there if, and only if, its completion is; and once."""
    completed = [
        f"{run_id}/{step}"
        for run_id, run in world.watch.runs.items()
        for step, one in run.tries.items()
        if one.succeeded and step == "pay"
    ]
    if sorted(world.journal.ledger) != sorted(completed):
        world.broken(f"protocol 5: ledger {sorted(world.journal.ledger)}, and completed {sorted(completed)}")


def _folds(world: World, run_id: str, *, with_checkpoints: bool) -> None:
    """I13, and I2 with a checkpoint in the middle."""
    journal = world.journal.inner
    (history,) = journal.read([ThreadRead(thread=ThreadId(run_id))], whole=True)
    entries = [decode_facts(entry.body, thread=run_id, revision=entry.revision) for entry in history.tail]
    state: RunState | None = None
    for entry in entries:
        state = fold(state, entry)
    assert state is not None
    rows = rebuild(state)
    letters = journal.dead_letters(DeadLetterQuery(run_id=run_id, limit=100)).rows
    derived = journal.run_row(run_id), tuple(journal.open_attempts(run_id=run_id)), letters
    if derived != (rows.run, rows.put, rows.bury):
        world.broken(f"I13: the rows of {world.journal.name_of(run_id)} are not those of its thread")
    if not with_checkpoints:
        return
    short: RunState | None = None
    for place, entry in enumerate(entries):
        short = fold(short, entry)
        if place == len(entries) // 2:
            short = decode_state(encode_state(short))
    if short != state:
        world.broken(f"I2: {world.journal.name_of(run_id)} folds to something else with a checkpoint")
