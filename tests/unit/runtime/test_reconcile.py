"""Protocol 3.8: the reconciler makes the backend hold what the agenda says, from whatever state, and cheaply."""

import random
import threading
from contextlib import suppress
from datetime import timedelta

import pytest
from msgspec import structs

from squidmesh.config import MeshConfig
from squidmesh.errors import BackendUnavailable, WrongPlane
from squidmesh.ids import AttemptKey
from squidmesh.memory import MemoryLeases
from squidmesh.ports.lease_backend import Beat, Item, Settlement
from squidmesh.runtime.reconcile import Reconciled, Reconciler, Reconciling
from tests.unit.runtime.rig import LEASE, Notices, Rig, claim, complete, give_back, pause, resume
from tests.unit.runtime.test_intake import Worker

EVERY = timedelta(seconds=1)


class Site(Rig):
    """Stores, a clock for monotonic time too, and as many reconcilers as there are nodes."""

    def __init__(self):
        super().__init__()
        self.seconds = 100.0

    def node(self, name="node", **settings):
        config = MeshConfig(lease=LEASE, reconcile_every=EVERY, **settings)
        return Reconciler(
            self.store,
            self.leases,
            self.membership,
            config,
            self.observer,
            owner=f"{name}@1",
            monotonic=lambda: self.seconds,
        )

    def held(self, queue="slow"):
        return {item.key: item for item in self.leases.inner.items(queue).items}

    def lose_everything(self):
        self.leases.inner.forget_everything()

    def pass_time(self, by=EVERY):
        self.clock.advance(by)
        self.seconds += by.total_seconds()

    def agenda(self):
        return {row.item: row for row in self.journal.open_attempts()}

    def granted(self, owner="merry@1", limit=9):
        return self.leases.inner.claim(["slow"], owner=owner, limit=limit, lease=LEASE, request_id=owner).claims


@pytest.fixture
def rig():
    return Site()


def test_what_was_never_offered_is_found(rig):
    rig.start("a")
    rig.start("b")
    done = rig.node().look()
    assert set(rig.held()) == {"a/pack#1", "b/pack#1"}
    assert (done.offered, done.full) == (2, 1)


def test_a_second_look_tells_nothing_twice(rig):
    rig.start("a")
    node = rig.node()
    node.look()
    writes = len(rig.store.calls["put_token"]), len(rig.leases.calls["set_cursor"])
    for _ in range(3):
        rig.pass_time(10 * EVERY)
        assert node.look().offered == 0
    assert (len(rig.store.calls["put_token"]), len(rig.leases.calls["set_cursor"])) == writes


def test_only_what_has_changed_is_told(rig):
    for run in ("a", "b", "c"):
        rig.start(run)
    node = rig.node()
    node.look()
    rig.pass_time(100 * EVERY)
    rig.start("d")
    done = node.look()
    assert (done.offered, done.full) == (1, 0)
    assert "d/pack#1" in rig.held()


def test_another_node_goes_on_where_the_cursor_is(rig):
    rig.start("a")
    rig.node("one").look()
    rig.pass_time(100 * EVERY)
    rig.start("b")
    assert rig.node("two").look().full == 0
    assert "b/pack#1" in rig.held()


def test_one_at_a_time_passes_over_a_queue_and_is_replaced_when_it_is_gone(rig):
    one, two = rig.node("one"), rig.node("two")
    rig.start("a")
    assert one.look().queues == 1
    assert two.look().queues == 0
    rig.pass_time(10 * EVERY)
    assert two.look().queues == 1


# ------------------------------------------------------------------------------------------------- recorded claims


def test_a_claimed_row_is_offered_as_the_claim_that_holds_it(rig):
    """Else a pass would double the work of a healthy worker whose lease the backend has lost."""
    rig.start("a")
    rig.writer().record(claim("a"))
    rig.node().look()
    item = rig.held()["a/pack#1"]
    assert (item.recorded.owner, item.recorded.fence, item.recorded.lease) == ("sam@1", 1, LEASE)
    assert rig.granted() == ()


def test_a_dead_holders_lease_ends_and_is_taken_over(rig):
    rig.start("a")
    rig.writer().record(claim("a"))
    rig.node().look()
    rig.pass_time(LEASE)
    (granted,) = rig.granted()
    assert granted.fence == 2


def test_a_pass_does_not_extend_a_lease_that_the_backend_knows(rig):
    rig.start("a")
    rig.writer().record(claim("a"))
    node = rig.node()
    node.look()
    rig.pass_time(LEASE / 2)
    node.everything()
    rig.pass_time(LEASE / 2)
    assert len(rig.granted()) == 1


def test_a_live_holders_heartbeat_extends_what_was_offered_for_it(rig):
    rig.start("a")
    rig.node().look()
    (granted,) = rig.granted()
    rig.writer().record(_as(granted, claim("a")))
    rig.lose_everything()
    rig.node("two").look()
    assert rig.leases.inner.heartbeat([granted]) == [Beat.EXTENDED]


def _as(granted, intent):
    """The intent, under this grant."""
    command = intent.command
    intent.claim = granted
    intent.command = lambda now: structs.replace(
        command(now), claim_hash=granted.hash, owner=granted.owner, fence=granted.fence
    )
    return intent


# ------------------------------------------------------------------------------------------------------- the cursor


def test_an_emptied_backend_gets_everything_again(rig):
    for run in ("a", "b", "c"):
        rig.start(run)
    node = rig.node()
    node.look()
    rig.lose_everything()
    rig.pass_time()
    done = node.look()
    assert done.full == 1
    assert set(rig.held()) == set(rig.agenda())


def test_a_cursor_of_another_past_of_the_journal_is_not_trusted(rig):
    """The journal was restored from a backup: its positions were used before."""
    rig.start("a")
    node = rig.node()
    node.look()
    rig.journal._tokens.clear()
    rig.pass_time()
    assert node.look().full == 1


def test_a_cursor_ahead_of_the_journal_is_not_trusted(rig):
    rig.start("a")
    node = rig.node()
    node.look()
    cursor = rig.leases.inner.cursor("slow")
    ahead = structs.replace(cursor, position=cursor.position + 1000)
    assert rig.leases.inner.set_cursor("slow", expected=cursor, new=ahead)
    rig.pass_time()
    assert node.look().full == 1


def test_the_token_is_durable_before_the_first_offer_and_the_cursor_comes_last(rig):
    order: list[str] = []
    for port, methods in ((rig.store, ("put_token", "position")), (rig.leases, ("incarnation", "offer", "set_cursor"))):
        for method in methods:
            _note(port, method, order)
    rig.start("a")
    rig.node().look()
    assert order == ["incarnation", "position", "put_token", "offer", "set_cursor"]


def _note(port, method, order):
    inner = getattr(port.inner, method)

    def noted(*args, **kwargs):
        order.append(method)
        return inner(*args, **kwargs)

    setattr(port.inner, method, noted)


def test_a_backend_that_is_emptied_during_the_pass_keeps_no_cursor_of_it(rig):
    rig.start("a")
    rig.start("b")
    offer = rig.leases.inner.offer

    def emptied_afterwards(items):
        answer = offer(items)
        rig.leases.inner.offer = offer
        rig.lose_everything()
        return answer

    rig.leases.inner.offer = emptied_afterwards
    node = rig.node()
    node.look()
    assert rig.leases.inner.cursor("slow") is None
    rig.pass_time()
    node.look()
    assert set(rig.held()) == {"a/pack#1", "b/pack#1"}


def test_an_offer_that_fails_leaves_the_cursor_where_it_was(rig):
    rig.start("a")
    node = rig.node()
    node.look()
    before = rig.leases.inner.cursor("slow")
    rig.start("b")
    rig.leases.fail("offer", BackendUnavailable("away"))
    with pytest.raises(BackendUnavailable):
        node.look()
    assert rig.leases.inner.cursor("slow") == before
    node.look()
    assert "b/pack#1" in rig.held()


def test_what_is_written_while_a_pass_reads_is_for_the_next_one(rig):
    rig.start("a")
    node = rig.node()
    node.look()
    read = rig.journal.changed

    def overtaken(queue, **asked):
        page = read(queue, **asked)
        rig.journal.changed = read
        rig.start("c")
        return page

    rig.start("b")
    rig.journal.changed = overtaken
    node.look()
    mark = rig.leases.inner.cursor("slow").position
    assert [row.item for row in rig.journal.changed("slow", since=mark).rows] == ["c/pack#1"]


def test_changes_are_tracked_before_the_first_position_is_read(rig):
    """Else a run that is started between the first full pass and the second look would be below the mark."""
    rig.start("a")
    rig.node().look()
    rig.start("b")
    assert rig.node().look().offered == 1


# ----------------------------------------------------------------------------------------------------- tombstones


def test_an_open_row_that_a_tombstone_keeps_out_holds_the_cursor_back(rig):
    """Somebody settled what is open: the tombstone is over some day, and the pass must still know of the row then."""
    rig.start("a")
    node = rig.node()
    node.look()
    (granted,) = rig.granted()
    rig.leases.inner.settle([Settlement(claim=granted)])
    rig.journal._agenda["a/pack#1"] = structs.replace(rig.journal._agenda["a/pack#1"], fence=1)
    rig.journal._writer["a/pack#1"] = rig.journal._position
    rig.journal._position += 1
    before = rig.leases.inner.cursor("slow")
    done = node.look()
    assert (done.gone, rig.held()) == (1, {})
    assert rig.leases.inner.cursor("slow") == before
    rig.pass_time(2 * LEASE)
    node.look()
    assert set(rig.held()) == {"a/pack#1"}
    assert rig.leases.inner.cursor("slow") != before


def test_an_attempt_that_was_closed_meanwhile_holds_nothing_back(rig):
    rig.start("a")
    node = rig.node()
    node.look()
    rig.start("b")
    read = rig.journal.changed

    def overtaken(queue, **asked):
        page = read(queue, **asked)
        rig.leases.inner.offer([Item(key=AttemptKey("b/pack#1"), queue="slow", priority=5)])
        granted = next(one for one in rig.granted() if one.item == "b/pack#1")
        rig.writer().record(_as(granted, claim("b")))
        rig.writer(leases=rig.leases).record(_done(granted, complete("b")))
        return page

    rig.journal.changed = overtaken
    before = rig.leases.inner.cursor("slow")
    done = node.look()
    assert done.gone == 1
    assert rig.leases.inner.cursor("slow") != before


def _done(granted, intent):
    command = intent.command
    intent.claim = granted
    intent.command = lambda now: structs.replace(command(now), claim_hash=granted.hash, fence=granted.fence)
    return intent


# --------------------------------------------------------------------------------------------------------- removing


def test_what_the_journal_has_closed_is_removed(rig):
    rig.start("a")
    rig.leases.inner.offer([Item(key=AttemptKey("ghost/pack#1"), queue="slow", priority=5)])
    done = rig.node().look()
    assert done.dropped == 1
    assert set(rig.held()) == {"a/pack#1"}


def test_what_opens_between_the_two_lists_stays(rig):
    """The backend is listed first. The other way round, a run that starts in between would look closed."""
    rig.start("a")
    list_items = rig.leases.inner.items

    def overtaken(queue, **asked):
        rig.leases.inner.items = list_items
        page = list_items(queue, **asked)
        rig.start("b")
        rig.leases.inner.offer([Item(key=AttemptKey("b/pack#1"), queue="slow", priority=5)])
        return page

    rig.leases.inner.items = overtaken
    rig.node().look()
    assert set(rig.held()) == {"a/pack#1", "b/pack#1"}


def test_what_has_changed_since_it_was_listed_is_not_dropped(rig):
    rig.leases.inner.offer([Item(key=AttemptKey("ghost/pack#1"), queue="slow", priority=5)])
    read = rig.journal.attempts

    def overtaken(items):
        answer = read(items)
        rig.leases.inner.offer([Item(key=AttemptKey("ghost/pack#1"), queue="slow", priority=5, generation=1)])
        return answer

    rig.journal.attempts = overtaken
    rig.start("a")
    rig.node().look()
    assert rig.held()["ghost/pack#1"].generation == 1


def test_a_queue_in_which_nothing_is_open_is_cleared_for_those_who_claim_from_it(rig):
    rig.leases.inner.offer([Item(key=AttemptKey("ghost/pack#1"), queue="slow", priority=5)])
    node = rig.node()
    assert node.look().queues == 0
    node.listen(["slow"])
    assert node.look().dropped == 1


# ------------------------------------------------------------------------------------------- what is due, the sweep


def test_what_becomes_due_is_offered_again(rig):
    """The offer of a delayed attempt was lost, and the cursor has passed it."""
    rig.start("a")
    rig.writer().record(claim("a"))
    rig.writer().record(give_back("a", seconds=30))
    node = rig.node()
    node.look()
    del rig.leases.inner._items["a/pack#1"]
    for _ in range(31):
        rig.pass_time()
        node.look()
    assert "a/pack#1" in rig.held()


def lost_and_due_in(rig, seconds):
    rig.start("a")
    rig.writer().record(claim("a"))
    rig.writer().record(give_back("a", seconds=seconds))


def test_who_takes_the_turn_finds_what_became_due_while_nobody_looked(rig):
    """The one before died; the offer of a delayed attempt was lost, and became due before the next one looked."""
    lost_and_due_in(rig, 0.2)
    rig.node("one").look()
    del rig.leases.inner._items["a/pack#1"]
    rig.pass_time(4.5 * EVERY)
    assert rig.node("two").look() == Reconciled(queues=1, offered=1)
    assert "a/pack#1" in rig.held()


def test_it_finds_that_also_where_the_one_before_died_just_behind_the_beginning_of_a_turn(rig):
    lost_and_due_in(rig, 1)
    one, two = rig.node("one"), rig.node("two")
    one.look()
    del rig.leases.inner._items["a/pack#1"]
    rig.pass_time(1.2 * EVERY)
    rig.leases.fail("cursor", BackendUnavailable("away"))
    with pytest.raises(BackendUnavailable):
        one.look()
    rig.pass_time(2.9 * EVERY)
    assert two.look().queues == 0
    rig.pass_time(1.25 * EVERY)
    assert two.look() == Reconciled(queues=1, offered=1)


@pytest.mark.parametrize("place", range(4))
def test_it_finds_that_also_where_a_look_is_over_some_of_many_queues(rig, place):
    """``place``: which part of them the second node's look is at when the first one dies."""
    lost_and_due_in(rig, 1)
    one, two = rig.node("one"), rig.node("two")
    for node in (one, two):
        node.listen(f"q{number:03}" for number in range(199))
    for _ in range(4):
        one.look()
    del rig.leases.inner._items["a/pack#1"]
    for _ in range(place):
        two.look()
    for _ in range(20):
        rig.pass_time()
        two.look()
    assert "a/pack#1" in rig.held()


def test_what_a_full_pass_has_offered_is_not_asked_for_again(rig):
    """Nor is what became due longer ago than just before the last pass."""
    for n in range(10):
        rig.start(f"r{n}")
    node = rig.node()
    node.look()
    rig.pass_time()
    node.look()
    asked = [item.key for items in rig.leases.calls["missing"] for item in items]
    assert len(asked) == 10  # which may be of the very moment of the pass
    rig.pass_time()
    node.look()
    rig.start("late")
    rig.pass_time()
    node.look()
    asked = [item.key for items in rig.leases.calls["missing"] for item in items]
    assert asked[10:] == ["late/pack#1"]


@pytest.mark.parametrize("pages", [1, 3])
def test_the_sweep_finds_any_other_loss_within_its_period(rig, pages, monkeypatch):
    """I11: of items that became due long ago, which no cursor and no window will name again."""
    monkeypatch.setattr("squidmesh.runtime.reconcile._PAGE", 10 // pages)
    for n in range(10):
        rig.start(f"r{n}")
    node = rig.node(sweep=60)
    node.look()
    rig.pass_time(10 * EVERY)
    node.look()
    for key in list(rig.leases.inner._items)[::3]:
        del rig.leases.inner._items[key]
    for _ in range(61):
        rig.pass_time()
        node.look()
    assert set(rig.held()) == set(rig.agenda())
    assert "missing_items_found" in rig.observer.events


def test_a_sweep_removes_what_was_closed(rig):
    rig.start("a")
    node = rig.node(sweep=10)
    node.look()
    rig.leases.inner.offer([Item(key=AttemptKey("ghost/pack#1"), queue="slow", priority=5)])
    for _ in range(11):
        rig.pass_time()
        node.look()
    assert set(rig.held()) == {"a/pack#1"}


# ------------------------------------------------------------------------------------------------------ all together


@pytest.mark.parametrize("seed", range(25))
def test_whatever_happens_the_backend_comes_to_hold_what_is_open(rig, seed):
    """Nodes that pass, workers that work, offers that are lost, a memory that is emptied: in any order. Then calm."""
    drawn = random.Random(seed)
    nodes = [rig.node(name, sweep=20) for name in ("one", "two", "three")]
    worker = Worker(rig, name="merry@1")
    numbers = iter(range(1000))

    def start():
        rig.start(f"r{next(numbers)}")

    def loses_offers():
        rig.leases.fail("offer", BackendUnavailable("away"), after=drawn.random() < 0.5)

    def node_looks():
        with suppress(BackendUnavailable):
            drawn.choice(nodes).look()

    def works():
        verdicts = []
        for grant in worker.ask(2):
            verdicts.append(worker.writer.one(_as(grant.claim, claim(grant.run_id))))
            if drawn.random() < 0.6:
                worker.writer.one(_done(grant.claim, complete(grant.run_id)))

    deeds = [start, start, works, works, node_looks, node_looks, loses_offers, rig.lose_everything, rig.pass_time]
    for _ in range(60):
        drawn.choice(deeds)()
    rig.leases._troubles.clear()
    for _ in range(25):
        rig.pass_time()
        for node in nodes:
            node.look()
    held, agenda = rig.held(), rig.agenda()
    assert set(held) >= set(agenda), f"seed {seed}"
    assert set(held) - set(agenda) == set(), f"seed {seed}"
    for key, row in agenda.items():
        assert (held[key].generation, held[key].floor) >= (row.generation, row.fence)


# ------------------------------------------------------------------------------------------------------- when, who


def test_journal_leases_have_nothing_to_reconcile(rig):
    class InTheJournal(MemoryLeases):
        in_journal = True

    node = rig.node()
    node._leases = InTheJournal(rig.clock)
    rig.start("a")
    assert node.look().queues == node.everything().queues == 0
    assert rig.store.calls == {}


def test_now_and_then_is_once_an_interval(rig):
    rig.start("a")
    node = rig.node()
    assert node.look(now_and_then=True).offered == 1
    rig.start("b")
    assert node.look(now_and_then=True).offered == 0
    rig.pass_time()
    assert node.look(now_and_then=True).offered >= 1


def test_who_has_another_plane_does_not_reconcile(rig):
    rig.membership.join()
    plane = rig.journal.plane()
    rig.journal.set_plane(plane, structs.replace(plane, kind="redis", name="redis://there", epoch=2))
    rig.start("a")
    with pytest.raises(WrongPlane):
        rig.node().look()
    assert rig.held() == {}


class Script(Reconciler):
    """Does what it is told, one thing a look."""

    def __init__(self, *deeds):
        self.deeds = list(deeds)

    def look(self, now_and_then=False):
        deed = self.deeds.pop(0)
        if isinstance(deed, Exception):
            raise deed
        return Reconciled()


def test_trouble_is_told_once_and_its_end_too():
    notices = Notices()
    away = BackendUnavailable("away")
    reconciling = Reconciling(Script(away, away, None, None, ValueError("odd"), None), every=EVERY, observer=notices)
    assert [reconciling._look() for _ in range(6)] == [False, False, True, True, False, True]
    assert notices.events == ["reconciler_waits", "reconciler_failed", "reconciler_goes_on"]


def alive(name):
    return any(thread.name == name for thread in threading.enumerate())


def test_the_thread_ends_when_it_is_told(rig):
    reconciling = Reconciling(rig.node(), every=timedelta(seconds=100), observer=rig.observer)
    reconciling.start()
    reconciling.start()
    reconciling.stop(timedelta(seconds=5))
    assert not alive("squidmesh-reconciler")
    reconciling.start()
    assert not alive("squidmesh-reconciler")


# ---------------------------------------------------------------------------------------------------------- pauses


def told(rig):
    return rig.leases.inner.paused(["slow", "mordor"])


def test_a_pass_makes_the_backends_pauses_those_of_the_journal(rig):
    node = rig.node()
    pause(rig)
    rig.leases.inner.pause("mordor")
    node.listen(["mordor"])
    node.look()
    assert told(rig) == {"slow"}
    resume(rig)
    node.look()
    assert told(rig) == frozenset()


def test_an_emptied_backend_is_told_of_the_pause_before_it_is_told_of_the_work(rig):
    rig.start("a")
    pause(rig)
    node = rig.node()
    node.look()
    rig.lose_everything()
    rig.pass_time()
    offer = rig.leases.inner.offer

    def offered(items):
        assert told(rig) == {"slow"}
        return offer(items)

    rig.leases.inner.offer = offered
    assert node.look().offered == 1
    assert rig.granted() == ()


def test_a_pause_in_the_middle_of_a_pass_is_not_undone_by_it(rig):
    """The pass has read that nothing is paused; then the journal and the backend are told otherwise."""
    rig.start("a")
    rig.leases.inner.pause("slow")
    inner = rig.leases.inner.resume

    def while_another_pauses(queue):
        pause(rig)
        rig.leases.inner.pause("slow")
        rig.leases.inner.resume = inner
        inner(queue)

    rig.leases.inner.resume = while_another_pauses
    rig.node().look()
    assert told(rig) == {"slow"}


def test_a_move_takes_the_pauses_along(rig):
    rig.start("a")
    pause(rig)
    rig.node().everything()
    assert told(rig) == {"slow"}
