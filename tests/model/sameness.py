"""Which states of delivery are one and the same: what makes a search with several faults small enough to be finished.

Workers may change places, and so may passes; lives of the memory are told apart but not numbered. One state is chosen
from all that are the same, whichever of them is asked about.
"""

from tests.model.delivery import NOBODY, Memory, State, lives, may_beat


def canonical(state: State) -> State:
    first, second = ((w.phase, w.fence, w.health, w.forgotten) for w in state.workers)
    if first < second:
        return _sort_passes(_name_lives(state))
    if second < first:
        return _sort_passes(_name_lives(_swap(state)))
    one, other = _sort_passes(_name_lives(state)), _sort_passes(_name_lives(_swap(state)))
    return one if one == other else min(one, other, key=repr)


def _sort_passes(state: State) -> State:
    return state if len(state.passing) < 2 else state._replace(passing=tuple(sorted(state.passing)))


def _swap(state: State) -> State:
    first, second = state.workers
    saved, adoption = state.saved, state.adoption
    return state._replace(
        holder=_other(state.holder),
        memory=_swapped(state.memory),
        saved=_swapped(saved) if saved is not None else None,
        workers=(second, first),
        passing=tuple(now._replace(holder=_other(now.holder)) for now in state.passing),
        adoption=adoption._replace(who=_other(adoption.who)) if adoption is not None else None,
    )


def _swapped(memory: Memory) -> Memory:
    item = memory.item
    return memory if item is None else memory._replace(item=item._replace(holder=_other(item.holder)))


def _other(who: int) -> int:
    return NOBODY if who == NOBODY else 1 - who


def _name_lives(state: State) -> State:
    """In the order in which they appear. That of a worker who will not use it any more is 0 already."""
    found = lives(state)
    if not any(found):
        return state
    names: dict[int, int] = {}
    for life in found:
        names.setdefault(life, len(names))
    if all(life == name for life, name in names.items()):
        return state
    saved, adoption = state.saved, state.adoption
    first, second = (w._replace(life=names[w.life]) if may_beat(w) else w for w in state.workers)
    return state._replace(
        memory=state.memory._replace(life=names[state.memory.life]),
        saved=saved._replace(life=names[saved.life]) if saved is not None else None,
        workers=(first, second),
        passing=tuple(now._replace(life=names[now.life]) for now in state.passing),
        adoption=adoption._replace(life=names[adoption.life]) if adoption is not None else None,
    )
