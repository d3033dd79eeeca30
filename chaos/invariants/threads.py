"""What holds of a thread as such: I1, I2 and I9."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from chaos.evidence import ThreadDump
from chaos.history import Call
from chaos.invariants.case import Read, RunCase, Tally
from squidmesh.journal.codec import decode_facts, decode_state
from squidmesh.journal.facts import RunCancelled, RunCompleted, RunFailed
from squidmesh.journal.fold import IllegalFact, fold
from squidmesh.journal.state import RunState


def i1(dump: ThreadDump, read: Read, calls: Sequence[Call], tally: Tally, *, all_recorded: bool) -> None:
    """The revisions of a thread are 1 to n without a gap, and an entry never changes.

    Of a thread of any kind. An entry is the same as it was written if its bytes are those which the journal has
    acknowledged: each append that was answered with *ok* stands at its revision, under its id, with its bytes. One that
    was only ever refused does not stand there. What an *unknown* append was about may be there or not. And where all
    that ever wrote have left a history, nothing stands there that nobody wrote.
    """
    standing: dict[int, tuple[str, str]] = {}
    ids: set[str] = set()
    expected = 1
    for entry, its_digest in zip(dump.entries, dump.digests, strict=True):
        tally.saw()
        place = f"{dump.thread}@{entry.revision}"
        if entry.revision != expected:
            tally.breach(place, f"revision {entry.revision} stands where {expected} should")
        expected = entry.revision + 1
        if entry.entry_id in ids:
            tally.breach(place, f"the entry {entry.entry_id} is in this thread twice")
        ids.add(entry.entry_id)
        standing[entry.revision] = entry.entry_id, its_digest
    if read.broken is not None:
        revision, why = read.broken
        tally.breach(f"{dump.thread}@{revision}", f"it can not be read: {why}")
    if dump.entries:
        _acknowledged(dump.thread, standing, calls, tally)
        _refused(dump.thread, ids, calls, tally)
    if all_recorded:
        written = {call.asked.entry for call in calls if call.op == "append"}
        for entry in dump.entries:
            if entry.entry_id not in written:
                tally.breach(f"{dump.thread}@{entry.revision}", f"nobody has written the entry {entry.entry_id}")


def _acknowledged(thread: str, standing: dict[int, tuple[str, str]], calls: Sequence[Call], tally: Tally) -> None:
    for call in calls:
        asked = call.asked
        if call.op != "append" or call.outcome != "ok" or asked.revision is None:
            continue
        tally.saw()
        found = standing.get(asked.revision)
        told = f"{call.process} was told that {asked.entry} is revision {asked.revision} of {thread}"
        if found is None:
            tally.breach(call.place, f"{told}, and there is none")
        elif found[0] != asked.entry:
            tally.breach(call.place, f"{told}, and {found[0]} stands there")
        elif found[1] != asked.digest:
            tally.breach(f"{thread}@{asked.revision}", f"its bytes are not those that were written ({call.place})")


def _refused(thread: str, ids: set[str], calls: Sequence[Call], tally: Tally) -> None:
    outcomes: dict[str, set[str]] = defaultdict(set)
    places: dict[str, Call] = {}
    for call in calls:
        if call.op == "append" and call.asked.entry is not None:
            outcomes[call.asked.entry].add(call.outcome)
            places[call.asked.entry] = call
    for entry, seen in outcomes.items():
        if seen == {"fail"} and entry in ids:
            tally.breach(places[entry].place, f"the append of {entry} was refused, and it stands in {thread}")


def i2(case: RunCase, tally: Tally) -> None:
    """Folding a thread gives the same state with a checkpoint, without one, and with a stale one.

    The stored checkpoint is tried, and one of half of the thread that is made for this. (A history that can not be
    folded at all is told of here too, unless another invariant says what is wrong with it: see :mod:`chaos.judge`.)
    """
    whole = case.state
    if whole is None:
        return
    tally.saw()
    if case.folded.stale is not None:
        _same(case, tally, *case.folded.stale, whole, "a stale checkpoint")
    stored = case.dump.checkpoint
    if stored is not None:
        _same(case, tally, stored.revision, stored.body, whole, "the stored checkpoint")


def _same(case: RunCase, tally: Tally, revision: int, body: bytes, whole: RunState, what: str) -> None:
    state = decode_state(body)
    if state is None:  # of another version of the program, which passes it over as well
        return
    tally.saw()
    where = f"{case.name}@{revision}"
    if state.revision != revision:
        tally.breach(where, f"{what} is of revision {state.revision}")
        return
    try:
        for entry, _ in case.entries[revision:]:
            state = fold(state, decode_facts(entry.body, thread=case.name, revision=entry.revision))
    except IllegalFact as error:
        tally.breach(where, f"what follows {what} can not be folded onto it: {error}")
        return
    if state != whole:
        differs = [name for name in state.__struct_fields__ if getattr(state, name) != getattr(whole, name)]
        tally.breach(where, f"with {what} the state is another one: {', '.join(differs)}")


ENDS_RUN = (RunCompleted, RunFailed, RunCancelled)


def i9(case: RunCase, tally: Tally) -> None:
    """No entry follows the one which ended the run."""
    ended_at: int | None = None
    for place, (entry, facts) in enumerate(case.entries):
        if ended_at is not None:
            kinds = ", ".join(type(fact).__name__ for fact in facts)
            tally.breach(
                f"{case.name}@{entry.revision}", f"{kinds} after the run had ended in entry {ended_at} of the thread"
            )
        elif any(isinstance(fact, ENDS_RUN) for fact in facts):
            tally.saw()
            ended_at = place + 1
