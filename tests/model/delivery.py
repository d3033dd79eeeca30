"""One attempt, two workers, a reconciler, and a lease backend that loses all of its memory, or its last writes.

Each function is one step that is atomic in the protocol; between any two of them a worker may stall or die. Steps are
named as the code names them. Three things may be wrong: the run is ``LOST``, a healthy attempt is ``DOUBLED``, a
settled item is ``RESURRECTED``.

Left out: the compare-and-set and the token of the cursor (here every pass may write it, so more goes wrong), the
removal of closed items (here a worker has to claim and settle them), and generations.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from tests.model.rules import Rules, World

LOST = "lost: the run can not end any more"
DOUBLED = "doubled: a healthy worker's attempt was given to another"
RESURRECTED = "resurrected: a settled item is back"

NOBODY = -1
NONE = -1


class Item(NamedTuple):
    """``fence``: the counter. ``holder``: of its lease, ``held``: under which fence. A lease that is not ``live`` has
    ended: the item may be claimed, but until then its holder may settle or release it.
    """

    fence: int
    holder: int = NOBODY
    held: int = 0
    live: bool = True

    @property
    def free(self) -> bool:
        return self.holder == NOBODY or not self.live


class Memory(NamedTuple):
    """What the backend knows. ``stone``: the fence on the tombstone. ``vouches``: its cursor is of this life, and above
    the row's last write. ``settled`` is nothing that it knows: up to which fence the item of the closed attempt was
    ended in this life.
    """

    life: int = 0
    item: Item | None = None
    stone: int = NONE
    vouches: bool = False
    settled: int = NONE


class Worker(NamedTuple):
    """``health``: "well" (its heartbeats are in time), "slow" (whatever it does, a heartbeat too, comes as late as it
    likes) or "told" that its lease is lost. It may still write then. ``life``: of the memory that granted its claim.
    ``forgotten``: the memory forgot the grant before it was recorded.
    """

    phase: Literal["idle", "granted", "running", "settling"] = "idle"
    fence: int = 0
    health: Literal["well", "slow", "told"] = "well"
    life: int = 0
    forgotten: bool = False


class Pass(NamedTuple):
    """A reconciler's, under way: the row as it was read. ``fresh``: the row was not written since."""

    life: int
    fence: int
    holder: int
    fresh: bool
    offered: bool = False


class Adoption(NamedTuple):
    """A call that is on its way: this worker was told that its lease is forgotten, and wants it back."""

    who: int
    fence: int
    life: int


class State(NamedTuple):
    """``open``, ``fence``, ``holder``: the journal's row. ``saved``: to what the memory may go back."""

    faults: int
    open: bool = True
    fence: int = 0
    holder: int = NOBODY
    offered: bool = False
    memory: Memory = Memory()
    saved: Memory | None = None
    workers: tuple[Worker, Worker] = (Worker(), Worker())
    passing: tuple[Pass, ...] = ()
    adoption: Adoption | None = None
    doubled: bool = False


Step = tuple[str, State]
IDLE = Worker()


def steps(state: State, rules: Rules, world: World) -> Iterator[Step]:
    forgetful = world.forgets_last and state.faults > 0 and state.saved is None
    for name, following in _all(state, rules, world):
        following = _let_go(following)
        yield name, following
        same_life = following.memory.life == state.memory.life
        if forgetful and following.faults > 0 and following.memory != state.memory and (same_life or world.keeps_dumps):
            unsaved = following._replace(saved=state.memory, faults=following.faults - 1)
            yield f"{name} (fault: what is written from here on may be lost)", unsaved
    if state.saved is not None and state.saved != state.memory:
        yield "fault: the last writes are lost", _let_go(_remembers(state._replace(saved=None), state.saved))


def calm(name: str) -> bool:
    return "fault: " not in name


def wrong(state: State) -> str:
    if state.doubled:
        return DOUBLED
    item = state.memory.item
    if item is not None and item.fence <= state.memory.settled:
        return RESURRECTED
    return ""


def done(state: State) -> bool:
    return not state.open


def _all(state: State, rules: Rules, world: World) -> Iterator[Step]:
    if not state.offered:
        yield "client: offer", _offer(state._replace(offered=True), Item(0), rules)
    yield from _worker(state, 0, rules, world)
    yield from _worker(state, 1, rules, world)
    yield from _adoption(state, rules)
    yield from _reconciler(state, rules, world)
    yield from _time(state, world)
    if state.faults:
        yield from _faults(state, state._replace(faults=state.faults - 1), world)


# ------------------------------------------------------------------------------------------------------- workers


def _worker(state: State, who: int, rules: Rules, world: World) -> Iterator[Step]:
    worker, item = state.workers[who], state.memory.item
    name = f"worker {who}: "
    match worker.phase:
        case "idle":
            if item is not None and item.free:
                fence = item.fence + 1
                granted = _with(state, who, Worker("granted", fence, life=state.memory.life))
                yield f"{name}claim, fence {fence}", _put(granted, Item(fence, who, fence))
        case "granted":
            yield _record(state, who, name, rules, world)
        case "running":
            if _is_current(state, who, worker.fence):
                closed = _written(state._replace(open=False))
                yield name + "complete", _with(closed, who, Worker("settling", worker.fence))
            else:
                yield name + "complete, refused as stale", _with(state, who, IDLE)
            if worker.health != "told" and not _leases(item, who, worker.fence):
                yield from _heartbeat(state, who, name, rules)
        case "settling":
            yield name + "settle", _with(_settle(state, who, worker.fence, rules), who, IDLE)


def _record(state: State, who: int, name: str, rules: Rules, world: World) -> Step:
    worker = state.workers[who]
    if state.open and worker.fence > state.fence:
        robbed = False
        if state.holder not in (NOBODY, who):
            former = state.workers[state.holder]
            robbed = (former.phase, former.fence, former.health) == ("running", state.fence, "well")
            if (worker.forgotten and world.forgotten_may_rob) or (former.forgotten and world.forgotten_may_be_robbed):
                robbed = False
        taken = _written(state._replace(fence=worker.fence, holder=who, doubled=robbed))
        return name + "record", _with(taken, who, worker._replace(phase="running"))
    if not state.open:
        return name + "record, refused as closed: settle", _with(_settle(state, who, worker.fence, rules), who, IDLE)
    if not rules.refused_is_not_settled:
        return name + "record, refused: settle", _with(_settle(state, who, worker.fence, rules), who, IDLE)
    item = state.memory.item
    how = "as the recorded claim" if rules.refused_is_left_to_the_recorded else "as visible"
    if item is not None and _holds(item, who, worker.fence):
        fence = max(item.fence, state.fence)
        left = Item(fence, state.holder, state.fence) if rules.refused_is_left_to_the_recorded else Item(fence)
        state = _put(state, left)
    return f"{name}record, refused: release {how}", _with(state, who, IDLE)


def _heartbeat(state: State, who: int, name: str, rules: Rules) -> Iterator[Step]:
    """Of a lease that the memory does not hold: it is lost, or the journal is read again."""
    worker = state.workers[who]
    claim = Adoption(who, worker.fence, worker.life)
    if not _is_forgotten(state.memory, claim, rules):
        yield name + "heartbeat: lost", _with(state, who, _told(worker))
    elif rules.reads_again and not _is_current(state, who, worker.fence):
        yield name + "heartbeat: forgotten, and not current", _with(state, who, _told(worker))
    elif state.adoption is None:
        yield name + "heartbeat: forgotten", state._replace(adoption=claim)


def _adoption(state: State, rules: Rules) -> Iterator[Step]:
    claim = state.adoption
    if claim is None:
        return
    who, worker = claim.who, state.workers[claim.who]
    state = state._replace(adoption=None)
    if _is_forgotten(state.memory, claim, rules):
        yield f"worker {who}: adopt", _put(state, Item(claim.fence, who, claim.fence))
    elif worker.phase == "running" and worker.fence == claim.fence:
        yield f"worker {who}: adopt, lost", _with(state, who, _told(worker))
    else:
        yield f"worker {who}: adopt, lost", state


def _is_forgotten(memory: Memory, claim: Adoption, rules: Rules) -> bool:
    if memory.stone >= claim.fence or (rules.compares_lives and claim.life == memory.life):
        return False
    item = memory.item
    return item is None or (item.free and item.fence < claim.fence)


# ------------------------------------------------------------------------------------------------- the reconciler


def _reconciler(state: State, rules: Rules, world: World) -> Iterator[Step]:
    if len(state.passing) < world.nodes and state.open:
        yield from _begins(state, rules)
    for at, now in enumerate(state.passing):
        others = state.passing[:at] + state.passing[at + 1 :]
        yield _cursor(state, now, others, rules) if now.offered else _offers(state, now, others, rules)


def _begins(state: State, rules: Rules) -> Iterator[Step]:
    memory = state.memory
    begun = Pass(memory.life, state.fence, state.holder, fresh=not memory.vouches)
    if not memory.vouches and rules.cursor_last:
        yield "reconciler: reads what has changed", state._replace(passing=(*state.passing, begun))
    elif not memory.vouches:
        passing = (*state.passing, begun._replace(fresh=False))
        state = state._replace(memory=memory._replace(vouches=True), passing=passing)
        yield "reconciler: set_cursor, reads what has changed", state
    elif rules.sweeps and not _knows(memory, state.fence):
        yield "reconciler: sweeps, and reads", state._replace(passing=(*state.passing, begun))


def _offers(state: State, now: Pass, others: tuple[Pass, ...], rules: Rules) -> Step:
    after = state._replace(passing=(*others, now._replace(offered=True)))
    claimed = now.holder != NOBODY
    if claimed and not rules.offers_claimed_rows:
        return "reconciler: skips the claimed row", after
    if _is_gone(state.memory, now.fence) and state.open and state.fence <= now.fence:
        return "reconciler: offers, gone, holds the cursor back", state._replace(passing=others)
    item, how = Item(now.fence), "free"
    if claimed and rules.as_that_claim:
        item, how = Item(now.fence, now.holder, now.fence), f"as the claim of worker {now.holder}"
    known = state.memory.item
    name = f"reconciler: offers it {how}, floor {now.fence}"
    if known is not None and known.fence < now.fence and not rules.replaces:
        name = f"reconciler: raises the floor to {now.fence}"
    return name, _offer(after, item, rules)


def _cursor(state: State, now: Pass, others: tuple[Pass, ...], rules: Rules) -> Step:
    memory, name = state.memory, "reconciler: set_cursor"
    if now.life == memory.life or not rules.cursor_of_its_life:
        memory = memory._replace(vouches=memory.vouches or now.fresh)
        name += "" if now.life == memory.life else " of another life"
    return name, state._replace(passing=others, memory=memory)


def _is_gone(memory: Memory, fence: int) -> bool:
    return (memory.item is None or memory.item.fence < fence) and memory.stone >= fence


def _knows(memory: Memory, fence: int) -> bool:
    return (memory.item is not None and memory.item.fence >= fence) or memory.stone >= fence


# ------------------------------------------------------------------------------------------------- time, and faults


def _time(state: State, world: World) -> Iterator[Step]:
    memory = state.memory
    item = memory.item
    if item is not None and not item.free:
        holder = state.workers[item.holder]
        beats = holder.phase in ("granted", "running") and holder.health == "well" and holder.fence == item.held
        # A lease is as long as four heartbeats: while one ends, every other worker that is well has asked for its own.
        unheard = any(
            other.phase == "running" and other.health == "well" and not _leases(item, who, other.fence)
            for who, other in enumerate(state.workers)
        )
        if not beats and not unheard:
            yield "a lease ends", _put(state, item._replace(live=False))
    offering = not state.offered or not all(now.offered for now in state.passing)
    adopting = state.adoption is not None and world.adopts_quickly
    if memory.stone != NONE and not offering and not adopting:
        yield "a tombstone ends", state._replace(memory=memory._replace(stone=NONE))


def _faults(state: State, after: State, world: World) -> Iterator[Step]:
    """``after`` has one fault less."""
    if world.forgets_all:
        emptied = _remembers(after, Memory(life=1 + max(lives(state))))
        yield "fault: the memory is emptied", emptied if world.keeps_dumps else emptied._replace(saved=None)
    if not state.offered:
        yield "fault: the client's offer is lost", after._replace(offered=True)
    for at in range(len(state.passing)):
        yield "fault: the reconciler dies", after._replace(passing=state.passing[:at] + state.passing[at + 1 :])
    for who, worker in enumerate(state.workers):
        if worker.phase in ("granted", "running") and worker.health == "well":
            yield f"fault: worker {who} stalls", _with(after, who, worker._replace(health="slow"))
        if worker.phase != "idle":
            yield f"fault: worker {who} dies", _with(after, who, IDLE)


def _remembers(state: State, memory: Memory) -> State:
    first, second = (
        worker._replace(forgotten=worker.forgotten or not _remembers_grant(memory, who, worker))
        if worker.phase == "granted"
        else worker
        for who, worker in enumerate(state.workers)
    )
    return state._replace(memory=memory, workers=(first, second))


def _remembers_grant(memory: Memory, who: int, worker: Worker) -> bool:
    item = memory.item
    if item is None or worker.life != memory.life:
        return False
    return item.fence > worker.fence or (item.fence == worker.fence and item.holder in (NOBODY, who))


# ------------------------------------------------------------------------------------------------- small parts


def _offer(state: State, item: Item, rules: Rules) -> State:
    known = state.memory.item
    if (known is not None and item.fence <= known.fence) or item.fence <= state.memory.stone:
        return state
    if known is not None and not rules.replaces:
        item = known._replace(fence=item.fence)
    return _put(state, item)


def _put(state: State, item: Item) -> State:
    return state._replace(memory=state.memory._replace(item=item))


def _settle(state: State, who: int, fence: int, rules: Rules) -> State:
    memory = state.memory
    item = memory.item
    if item is not None and not _holds(item, who, fence):
        return state
    ended = max(fence, item.fence if item is not None else 0, memory.stone)
    stone = ended if rules.buries else NONE
    settled = memory.settled if state.open else max(ended, memory.settled)
    return state._replace(memory=memory._replace(item=None, stone=stone, settled=settled))


def _holds(item: Item | None, who: int, fence: int) -> bool:
    return item is not None and item.holder == who and item.held == fence


def _leases(item: Item | None, who: int, fence: int) -> bool:
    return item is not None and item.live and _holds(item, who, fence)


def _is_current(state: State, who: int, fence: int) -> bool:
    return state.open and state.fence == fence and state.holder == who


def _told(worker: Worker) -> Worker:
    return worker._replace(health="told", life=0, forgotten=False)


def _written(state: State) -> State:
    """The row has changed, so whatever vouched for it does so no longer."""
    saved = state.saved
    return state._replace(
        memory=state.memory._replace(vouches=False),
        saved=saved._replace(vouches=False) if saved is not None else None,
        passing=tuple(now._replace(fresh=False) for now in state.passing),
    )


def _let_go(state: State) -> State:
    """What nobody will look at any more is as if it had never been: that makes fewer states. So it is with what was
    read by a pass that has offered it, with a closed row's fence, holder and cursor, and with an ended lease whose
    holder is gone.
    """
    passing = state.passing
    if any(now.offered for now in passing):
        passing = tuple(
            now._replace(fence=0, holder=NOBODY) if now.offered else now
            for now in passing
            if not now.offered or (now.fresh and state.open)
        )
    memory, saved = _without_ended(state, state.memory), state.saved
    if saved is not None:
        saved = _without_ended(state, saved)
    if not state.open:
        memory = memory._replace(vouches=False)
        saved = saved._replace(vouches=False) if saved is not None else None
        passing = tuple(now._replace(life=memory.life) for now in passing)
        state = state._replace(fence=0, holder=NOBODY)
    if memory is state.memory and saved is state.saved and passing is state.passing:
        return state
    return state._replace(memory=memory, saved=saved, passing=passing)


def _without_ended(state: State, memory: Memory) -> Memory:
    item = memory.item
    if item is None or item.live:
        return memory
    holder = state.workers[item.holder]
    return memory if holder.phase != "idle" and holder.fence == item.held else memory._replace(item=Item(item.fence))


def lives(state: State) -> list[int]:
    """Of all that may still be compared with one, the memory's own first."""
    found = [state.memory.life]
    for other in (state.saved, state.adoption):
        if other is not None:
            found.append(other.life)
    found.extend(worker.life for worker in state.workers if may_beat(worker))
    found.extend(now.life for now in state.passing)
    return found


def may_beat(worker: Worker) -> bool:
    return worker.phase in ("granted", "running") and worker.health != "told"


def _with(state: State, who: int, worker: Worker) -> State:
    workers = (worker, state.workers[1]) if who == 0 else (state.workers[0], worker)
    return state._replace(workers=workers)
