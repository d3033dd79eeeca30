"""One attempt, two workers, a reconciler, and a lease backend that loses all of its memory, or its last writes.

Each function is one step that is atomic in the protocol; between any two of them a worker may stall or die. Steps are
named as the code names them. ``Rules`` are sentences of the protocol; a search without one of them must find out why it
stands there.
"""

from collections.abc import Iterator
from typing import NamedTuple


class Rules(NamedTuple):
    offers_claimed_rows: bool = True
    """3.8: a row with a recorded claim is offered too."""
    as_that_claim: bool = True
    """3.8: … leased to the recorded holder, not free."""
    refused_is_left_to_the_recorded: bool = True
    """3.5.2: a grant that is refused because of another claim is released as that claim, not as visible."""
    refused_is_not_settled: bool = True
    """3.5.2: … and is not settled, unless the attempt is closed."""
    adopts_across_lives_only: bool = True
    """3.5.6: a forgotten lease is adopted under another incarnation only, and after the journal was read again."""
    buries: bool = True
    """3.5.6: a settled item leaves a tombstone."""
    cursor_last: bool = True
    """3.8: the cursor is written after the offers for which it vouches."""
    cursor_of_its_life: bool = True
    """3.8: the incarnation is read before the first offer, and the cursor is refused in another one."""

    sweeps: bool = True
    """3.8, I11: what is due and missing is offered some time, whatever the cursor says."""
    writes_are_kept: bool = False
    """No rule but a kinder world: a memory is lost as a whole or not at all. There the cursor alone is enough."""


class Item(NamedTuple):
    """``holder`` is None while it is free; ``held`` is the fence of the holder, ``fence`` the counter."""

    fence: int
    holder: int | None = None
    held: int = 0


class Memory(NamedTuple):
    """What the backend knows. ``cursor``: (incarnation, position)."""

    life: int = 0
    item: Item | None = None
    stone: int | None = None
    cursor: tuple[int, int] | None = None


class Worker(NamedTuple):
    """``well``: it heartbeats, and has heard nothing bad. A worker that stalls may still wake up and write. ``losses``:
    how often the backend had lost something when it granted this claim.
    """

    phase: str = "idle"
    fence: int = 0
    life: int = 0
    well: bool = True
    losses: int = 0


class Pass(NamedTuple):
    """A reconciler's, under way. The row as it was read: is it open, under which fence and for whom."""

    life: int
    cursor: tuple[int, int] | None
    mark: int
    open: bool
    fence: int
    holder: int | None
    offered: bool = False
    held_back: bool = False


class State(NamedTuple):
    """``position`` counts the journal's writes, ``written`` is that of the row's last. ``settled``: the life of the
    memory in which the item was settled, and up to which fence. ``losses``: how often the backend has lost something.
    ``doubled``: a healthy worker was robbed of its attempt by a grant of the memory as it is now. (A grant that the
    memory itself has forgotten may still be recorded over one that it made afterwards: the journal can not know, and
    I18 allows it.)
    """

    open: bool = True
    fence: int = 0
    holder: int | None = None
    position: int = 2
    written: int = 1
    offered: bool = False
    memory: Memory = Memory()
    saved: Memory | None = None
    workers: tuple[Worker, Worker] = (Worker(), Worker())
    passing: Pass | None = None
    settled: tuple[int, int] | None = None
    faults: int = 2
    losses: int = 0
    doubled: bool = False


MOST_FENCES = 2
"""How often the attempt is granted: enough for a takeover, and few enough for a search that ends."""


def steps(state: State, rules: Rules) -> Iterator[tuple[str, State]]:
    yield from _client(state)
    for who in (0, 1):
        yield from _worker(state, who, rules)
    yield from _reconciler(state, rules)
    yield from _time(state, rules)
    if state.faults:
        yield from _faults(state._replace(faults=state.faults - 1), state, rules)


def calm(name: str) -> bool:
    return not name.startswith("fault: ")


def wrong(state: State) -> str:
    if state.doubled:
        return "a healthy worker's attempt was given to another"
    item, settled = state.memory.item, state.settled
    if item is not None and settled is not None and settled[0] == state.memory.life and item.fence <= settled[1]:
        return "a settled item is back"
    return ""


def done(state: State) -> bool:
    """The attempt is closed, or was granted as often as this model goes."""
    return not state.open or (state.memory.item is not None and state.memory.item.fence >= MOST_FENCES)


# ------------------------------------------------------------------------------------------------- those who work


def _client(state: State) -> Iterator[tuple[str, State]]:
    if not state.offered:
        yield "client: offer", _offer(state._replace(offered=True), Item(0))


def _worker(state: State, who: int, rules: Rules) -> Iterator[tuple[str, State]]:
    worker, memory = state.workers[who], state.memory
    item = memory.item
    name = f"worker {who}: "
    if worker.phase == "idle" and item is not None and item.holder is None and item.fence < MOST_FENCES:
        fence = item.fence + 1
        granted = state._replace(memory=memory._replace(item=Item(fence, who, fence)))
        yield name + "claim", _with(granted, who, Worker("granted", fence, memory.life, losses=state.losses))
    if worker.phase == "granted":
        yield name + "record", _record(state, who, rules)
    if worker.phase == "running":
        if state.open and (state.fence, state.holder) == (worker.fence, who):
            closed = _written(state._replace(open=False))
            yield name + "complete", _with(closed, who, worker._replace(phase="settling"))
        else:
            yield name + "complete, refused as stale", _with(state, who, Worker())
    if worker.phase == "settling":
        yield name + "settle", _with(_settle(state, who, worker.fence, rules), who, Worker())
    if worker.phase in ("granted", "running") and worker.well and not _holds(item, who, worker.fence):
        yield name + "heartbeat", _heartbeat(state, who, rules)


def _record(state: State, who: int, rules: Rules) -> State:
    worker = state.workers[who]
    if state.open and worker.fence > state.fence:
        former = state.workers[state.holder] if state.holder is not None else Worker()
        robbed = former.phase == "running" and former.well and former.fence == state.fence and state.holder != who
        robbed = robbed and worker.losses == state.losses
        taken = _written(state._replace(fence=worker.fence, holder=who, doubled=state.doubled or robbed))
        return _with(taken, who, worker._replace(phase="running"))
    if not state.open or not rules.refused_is_not_settled:
        return _with(_settle(state, who, worker.fence, rules), who, Worker())
    item = state.memory.item
    if item is not None and _holds(item, who, worker.fence):
        fence = max(item.fence, state.fence)
        left = Item(fence, state.holder, state.fence) if rules.refused_is_left_to_the_recorded else Item(fence)
        state = state._replace(memory=state.memory._replace(item=left))
    return _with(state, who, Worker())


def _heartbeat(state: State, who: int, rules: Rules) -> State:
    """Of a lease that the memory does not hold any more: adopted again, or lost."""
    worker, memory = state.workers[who], state.memory
    item = memory.item
    unknown = item is None or (item.holder is None and item.fence < worker.fence)
    buried = memory.stone is not None and memory.stone >= worker.fence
    current = state.open and (state.fence, state.holder) == (worker.fence, who)
    if rules.adopts_across_lives_only:
        adopts = unknown and not buried and worker.life != memory.life and current
    else:
        adopts = unknown and not buried
    if adopts:
        return state._replace(memory=memory._replace(item=Item(worker.fence, who, worker.fence)))
    return _with(state, who, worker._replace(well=False))


# ------------------------------------------------------------------------------------------------- the reconciler


def _reconciler(state: State, rules: Rules) -> Iterator[tuple[str, State]]:
    memory, now = state.memory, state.passing
    if rules.sweeps and state.open and memory.item is None:
        yield "reconciler: sweeps", _sweep(state, rules)
    if now is None:
        trusted = memory.cursor is not None and memory.cursor[0] == memory.life
        if memory.cursor is not None and trusted and state.written < memory.cursor[1]:
            return
        begun = Pass(memory.life, memory.cursor, state.position, state.open, state.fence, state.holder)
        if not rules.cursor_last:
            memory = memory._replace(cursor=(memory.life, begun.mark))
            begun = begun._replace(cursor=memory.cursor)
        yield "reconciler: reads", state._replace(passing=begun, memory=memory)
    elif not now.offered:
        yield "reconciler: offers", _pass_offers(state, now, rules)
    else:
        life = now.life if rules.cursor_of_its_life else memory.life
        if life == memory.life and memory.cursor == now.cursor and not now.held_back:
            memory = memory._replace(cursor=(life, now.mark))
        yield "reconciler: set_cursor", state._replace(passing=None, memory=memory)


def _sweep(state: State, rules: Rules) -> State:
    """What is due and not there, in one step: it reads the row and offers it."""
    row = Pass(0, None, 0, state.open, state.fence, state.holder)
    return _pass_offers(state, row, rules)._replace(passing=state.passing)


def _pass_offers(state: State, now: Pass, rules: Rules) -> State:
    gone = False
    claimed = now.holder is not None
    if now.open and (rules.offers_claimed_rows or not claimed):
        item = Item(now.fence, now.holder, now.fence) if claimed and rules.as_that_claim else Item(now.fence)
        if claimed and not rules.as_that_claim and state.memory.item is not None:
            state = state._replace(memory=state.memory._replace(item=item))
        stone = state.memory.stone
        gone = state.memory.item is None and stone is not None and stone >= now.fence
        state = _offer(state, item)
    still = state.open and state.fence <= now.fence
    return state._replace(passing=now._replace(offered=True, held_back=gone and still))


# ------------------------------------------------------------------------------------------------- time, and faults


def _time(state: State, rules: Rules) -> Iterator[tuple[str, State]]:
    memory = state.memory
    item = memory.item
    if item is not None and item.holder is not None:
        holder = state.workers[item.holder]
        beats = holder.phase in ("granted", "running") and holder.well and holder.fence == item.held
        # A lease is as long as four heartbeats: while one ends, every other worker that is well has asked for its own.
        unheard = any(
            other.phase in ("granted", "running") and other.well and not _holds(item, who, other.fence)
            for who, other in enumerate(state.workers)
        )
        if not beats and not unheard:
            yield "a lease ends", state._replace(memory=memory._replace(item=Item(item.fence)))
    if memory.stone is not None and state.passing is None:
        yield "a tombstone ends", state._replace(memory=memory._replace(stone=None), settled=None)


def _faults(state: State, before: State, rules: Rules) -> Iterator[tuple[str, State]]:
    """``state`` has one fault less."""
    yield (
        "fault: the memory is emptied",
        state._replace(memory=Memory(life=before.memory.life + 10), losses=before.losses + 1),
    )
    if not before.offered:
        yield "fault: the client's offer is lost", state._replace(offered=True)
    if before.passing is not None:
        yield "fault: the reconciler dies", state._replace(passing=None)
    if rules.writes_are_kept:
        pass
    elif before.saved is None:
        yield "fault: (writes from here on may be lost)", before._replace(saved=before.memory)
    else:
        lost = state._replace(memory=before.saved, settled=None, losses=before.losses + 1)
        yield "fault: the last writes are lost", lost
    for who, worker in enumerate(before.workers):
        if worker.phase in ("granted", "running") and worker.well:
            yield f"fault: worker {who} stalls", _with(state, who, worker._replace(well=False))
        if worker.phase != "idle":
            yield f"fault: worker {who} dies", _with(state, who, Worker())


# ------------------------------------------------------------------------------------------------- small parts


def _offer(state: State, item: Item) -> State:
    known, stone = state.memory.item, state.memory.stone
    if (known is not None and item.fence <= known.fence) or (stone is not None and item.fence <= stone):
        return state
    return state._replace(memory=state.memory._replace(item=item))


def _settle(state: State, who: int, fence: int, rules: Rules) -> State:
    memory = state.memory
    if memory.item is not None and not _holds(memory.item, who, fence):
        return state
    ended = max(fence, memory.item.fence if memory.item else 0, memory.stone or 0)
    memory = memory._replace(item=None, stone=ended if rules.buries else None)
    return state._replace(memory=memory, settled=(memory.life, ended))


def _holds(item: Item | None, who: int, fence: int) -> bool:
    return item is not None and (item.holder, item.held) == (who, fence)


def _written(state: State) -> State:
    return state._replace(position=state.position + 1, written=state.position)


def _with(state: State, who: int, worker: Worker) -> State:
    workers = (worker, state.workers[1]) if who == 0 else (state.workers[0], worker)
    return state._replace(workers=workers)
