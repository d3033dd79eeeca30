"""The cron loop: one run a window, however many look, whatever fails between a look and its commit."""

import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, Field

from squidmesh import BackendUnavailable, CommitUnknown, InvalidInput, Mesh, UsageError, Workflow, cron, manual, step
from squidmesh.ids import EntryId, trigger_thread
from squidmesh.journal.rows import RowChanges
from squidmesh.journal.triggers import TRIGGER_CODEC, ScheduleChanged, TriggerSchedule
from squidmesh.ports.journal_store import Append, Checkpoint, Group, ThreadRead
from squidmesh.runtime import cron as loops
from tests.support.audit import audit
from tests.support.cron import DAY, HOUR, MINUTE, START, Beacon, Site, windows_of

HOURLY = trigger_thread("Beacon", "hourly")
AWAY = BackendUnavailable("the store is away")
LOST = CommitUnknown("the answer was lost")


@pytest.fixture
def site() -> Site:
    found = Site()
    found.node().cron().look()
    return found


def test_each_window_has_one_run_however_many_look(site: Site) -> None:
    loops_ = [site.node().cron() for _ in range(3)]
    fired = []
    for minute in range(0, 180, 5):
        site.go_to(START + minute * MINUTE)
        fired += [one.run_id for loop in loops_ for one in loop.look().fired]
    assert windows_of(site.node()) == ["hourly 01 12:15", "hourly 01 13:15", "hourly 01 14:15"]
    assert len(fired) == len(set(fired)) == 3
    for run_id in fired:
        audit(site.journal, run_id)


def test_the_run_knows_its_window_and_not_the_wall_clock(site: Site) -> None:
    site.go_to(START + DAY + 10 * HOUR)
    mesh = site.node()
    fired = mesh.cron().look().fired
    (nightly,) = (one for one in fired if one.trigger == "once")
    assert nightly.window == datetime(2026, 5, 2, 21, 30, tzinfo=UTC)
    while mesh.execute_next() is not None:
        pass
    run = mesh.inspect_run(nightly.run_id, history=True)
    assert run.schedule is not None
    assert (run.schedule.window, run.schedule.signal_id) == (nightly.window, None)
    assert run.payload == {"ring_id": "one-ring", "day": "2026-05-02"}
    assert run.output == {"window": "2026-05-02T21:30:00+00:00", "seen": ["one-ring", "2026-05-02"]}


def test_today_is_the_windows_date_in_the_triggers_own_timezone() -> None:
    """19:15 in UTC is the next day in Kathmandu, and the run starts a day later still."""
    site = Site(datetime(2026, 5, 1, 19, tzinfo=UTC))
    mesh = site.node()
    mesh.cron().look()
    site.clock.advance(DAY - MINUTE)
    first = mesh.cron().look().fired[0]
    assert first.window.isoformat() == "2026-05-02T01:00:00+05:45"
    assert mesh.inspect_run(first.run_id, history=True).payload == {"ring_id": "one-ring", "day": "2026-05-02"}


def test_defaults_are_computed_once_and_recorded() -> None:
    drawn = iter(range(1000))

    class Lot(BaseModel):
        number: int = Field(default_factory=lambda: next(drawn))

    class Draw(Workflow):
        version = "1"
        minutely = cron("* * * * *", timezone="Etc/UTC", payload=Lot)
        keep = step(lambda number: {"kept": number})

    site = Site()
    mesh = site.node(Draw)
    mesh.cron().look()
    site.clock.advance(MINUTE)
    (fired,) = mesh.cron().look().fired
    payload = mesh.inspect_run(fired.run_id, history=True).payload
    mesh.execute_next()
    run = mesh.inspect_run(fired.run_id, history=True)
    assert run.payload == payload
    assert run.output == {"kept": (payload or {})["number"]}


# ------------------------------------------------------------------------------------------------ between two nodes


def between(port: Any, act: Any) -> None:
    """``act`` happens once, after this node has read and before it commits."""
    commit = port.inner.commit

    class Interrupted:
        def __init__(self, inner: Any) -> None:
            self._inner = inner
            self._acted = False

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        def commit(self, groups: Any) -> Any:
            if not self._acted:
                self._acted = True
                act()
            return commit(groups)

    port.inner = Interrupted(port.inner)


def test_whoever_comes_second_reads_what_the_first_did_and_fires_nothing(site: Site) -> None:
    first, second = site.node(), site.node()
    site.clock.advance(3 * HOUR)
    seen: list[Any] = []
    between(site.ports[-2], lambda: seen.extend(second.cron().look().fired))
    assert first.cron().look().fired == ()
    assert len(seen) == 3
    assert len(windows_of(first)) == 3


def test_a_node_that_was_overtaken_half_way_does_the_rest(site: Site) -> None:
    """The other one dealt with the first of three windows only."""
    first, second = site.node(), site.node()
    site.clock.advance(3 * HOUR)

    def one_only() -> None:
        site.clock.advance(-2 * HOUR)
        assert len(second.cron().look().fired) == 1
        site.clock.advance(2 * HOUR)

    between(site.ports[-2], one_only)
    assert [f"{one.window.astimezone(UTC):%H:%M}" for one in first.cron().look().fired] == ["13:15", "14:15"]
    assert len(windows_of(first)) == 3


def test_a_run_that_a_host_asked_for_is_found_and_the_mark_moves_on(site: Site) -> None:
    mesh = site.node()
    site.clock.advance(2 * HOUR)
    asked = mesh.activate_cron(Beacon.hourly, window=datetime(2026, 5, 1, 12, 15, tzinfo=UTC))
    assert asked is not None
    found = mesh.cron().look()
    assert [f"{one.window.astimezone(UTC):%H:%M}" for one in found.fired] == ["13:15"]
    assert windows_of(mesh) == ["hourly 01 12:15", "hourly 01 13:15"]
    assert mesh.cron().look().fired == ()


def test_a_host_in_the_middle_of_a_look_is_found_too(site: Site) -> None:
    mesh, other = site.node(), site.node()
    window = datetime(2026, 5, 1, 12, 15, tzinfo=UTC)
    site.clock.advance(HOUR)
    between(site.ports[-2], lambda: other.activate_cron("Beacon.hourly", window=window))
    assert mesh.cron().look().fired == ()
    assert windows_of(mesh) == ["hourly 01 12:15"]


# ------------------------------------------------------------------------------------------------------ in trouble


@pytest.mark.parametrize("error", [AWAY, LOST])
def test_an_answer_that_was_lost_fires_nothing_twice(site: Site, error: Exception) -> None:
    mesh = site.node()
    site.clock.advance(HOUR)
    site.ports[-1].fail("commit", error, after=error is LOST)
    (fired,) = mesh.cron().look().fired
    assert f"{fired.window.astimezone(UTC):%H:%M}" == "12:15"
    assert len(windows_of(mesh)) == 1


def test_a_commit_of_unknown_outcome_is_settled_by_the_next_look(site: Site) -> None:
    mesh = site.node()
    site.clock.advance(HOUR)
    site.ports[-1].fail("commit", LOST, LOST, after=True)
    loop = mesh.cron()
    with pytest.raises(CommitUnknown):
        loop.look()
    assert loop.look().fired == ()
    assert len(windows_of(mesh)) == 1


def test_nothing_is_fired_while_the_store_is_away_and_nothing_is_lost(site: Site) -> None:
    mesh = site.node()
    site.clock.advance(2 * HOUR)
    site.ports[-1].fail("read", AWAY, AWAY)
    loop = mesh.cron()
    with pytest.raises(BackendUnavailable):
        loop.look()
    assert len(loop.look().fired) == 2


class Odd(BaseModel):
    number: int = "seven"  # type: ignore[assignment]


class Sound(BaseModel):
    number: int = 7


def errand(payload: type[BaseModel]) -> type[Workflow]:
    class Errand(Workflow):
        version = "1"
        hourly = cron("15 * * * *", timezone="Etc/UTC", payload=payload, missed="all")
        keep = step(lambda number: None)

    return Errand


def test_a_trigger_whose_payload_is_refused_holds_its_windows_and_nobody_elses(site: Site) -> None:
    mesh = site.node(errand(Odd), Beacon)
    loop = mesh.cron()
    loop.look()
    site.clock.advance(2 * HOUR)
    found = loop.look()
    assert list(found.held) == ["Errand.hourly"]
    assert "InvalidPayload" in found.held["Errand.hourly"]
    assert "seven" not in found.held["Errand.hourly"], "I19"
    assert [one.workflow for one in found.fired] == ["Beacon", "Beacon"]
    loop.look()
    assert site.observer.events.count("cron_trigger_held") == 1, "one notice a change"
    mended = site.node(errand(Sound))
    assert len(mended.cron().look().fired) == 2
    assert loop.look().held == {}, "somebody else has dealt with them"
    assert site.observer.events.count("cron_trigger_goes_on") == 1


def test_what_a_default_factory_says_is_not_told(site: Site) -> None:
    def draw() -> int:
        raise LookupError("the card ends in 4711")

    class Lot(BaseModel):
        number: int = Field(default_factory=draw)

    loop = site.node(errand(Lot)).cron()
    loop.look()
    site.clock.advance(HOUR)
    why = loop.look().held["Errand.hourly"]
    assert why.startswith("LookupError at ")
    assert "test_cron.py, line" in why
    assert "4711" not in why, "I19"


def test_a_damaged_history_holds_its_own_trigger_only(site: Site) -> None:
    rubbish = Append(
        thread=trigger_thread("Beacon", "once"),
        expected_revision=1,
        entry_id=EntryId("x"),
        body=b"rubbish",
        rows=RowChanges(),
    )
    site.journal.commit([Group(appends=(rubbish,))])
    site.clock.advance(HOUR)
    found = site.node().cron().look()
    assert list(found.held) == ["Beacon.once"]
    assert "CorruptHistory" in found.held["Beacon.once"]
    assert [one.trigger for one in found.fired] == ["hourly"]


# ---------------------------------------------------------------------------------------------------------- its cost


def test_reading_the_mark_does_not_grow_with_the_triggers_age(site: Site) -> None:
    mesh = site.node()
    loop = mesh.cron()
    for _ in range(100):
        site.clock.advance(HOUR)
        loop.look()
    (history,) = site.journal.read([ThreadRead(thread=HOURLY)])
    assert history.checkpoint is not None
    assert history.checkpoint.revision == 101
    assert history.tail == ()


def test_a_checkpoint_of_another_version_is_passed_over(site: Site) -> None:
    mesh = site.node()
    site.clock.advance(HOUR)
    mesh.cron().look()
    point = site.journal._checkpoints[HOURLY]
    site.journal._checkpoints[HOURLY] = Checkpoint(revision=point.revision, body=b"9:00000000:{}")
    site.clock.advance(HOUR)
    assert len(mesh.cron().look().fired) == 1
    assert len(windows_of(mesh)) == 2


# ---------------------------------------------------------------------------------------------------------- the loop


class Heard(threading.Event):
    """Set by an observer, when it hears the word."""

    def __init__(self, site: Site, word: str) -> None:
        super().__init__()
        notice = site.observer.notice

        def hear(event: str, /, **fields: object) -> None:
            notice(event, **fields)
            if event == word:
                self.set()

        site.observer.notice = hear  # type: ignore[method-assign]


def test_a_loop_fires_when_the_journals_clock_says_so_and_leaves_when_told(site: Site) -> None:
    fired = Heard(site, "cron_fired")
    with site.node().cron(look_every=0.01) as loop:
        assert loop.running
        site.clock.advance(HOUR)
        assert fired.wait(20)
    assert not loop.running
    assert windows_of(site.node()) == ["hourly 01 12:15"]


def test_a_loop_survives_a_store_that_goes_away_and_says_so_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "_FIRST_PAUSE", 0.001)
    fired = Heard(site, "cron_fired")
    mesh = site.node()
    site.ports[-1].fail("read", *[AWAY] * 10)
    site.clock.advance(HOUR)
    with mesh.cron(look_every=0.01):
        assert fired.wait(20)
    assert site.observer.events.count("cron_waits") == 1
    assert site.observer.events.count("cron_goes_on") == 1


def test_a_loop_ends_with_its_mesh(site: Site) -> None:
    mesh = site.node()
    loop = mesh.cron().start()
    mesh.close()
    loop.join(20)
    assert not loop.running


def test_a_loop_is_started_once(site: Site) -> None:
    with site.node().cron() as loop, pytest.raises(UsageError):
        loop.start()


def test_a_loop_without_cron_triggers_does_nothing() -> None:
    class Plain(Workflow):
        version = "1"
        go = manual(Sound)
        act = step(lambda: None)

    assert Site().node(Plain).cron().look() == loops.CronLook(fired=(), held={}, next_at=None)


# ----------------------------------------------------------------------------------------------------------- the list


def test_the_list_tells_what_comes_and_what_was(site: Site) -> None:
    mesh: Mesh = site.node()
    hourly, once = mesh.list_cron(upcoming=2)
    assert (hourly.workflow, hourly.trigger, hourly.timezone) == ("Beacon", "hourly", "Asia/Kathmandu")
    assert [one.isoformat() for one in hourly.next] == ["2026-05-01T18:00:00+05:45", "2026-05-01T19:00:00+05:45"]
    assert (hourly.registered_at, hourly.last_window, hourly.overdue) == (START, None, False)
    assert [one.isoformat() for one in once.next] == ["2026-05-01T21:30:00+00:00", "2026-05-02T21:30:00+00:00"]
    site.clock.advance(HOUR)
    assert mesh.list_cron()[0].overdue
    (fired,) = mesh.cron().look().fired
    hourly = mesh.list_cron()[0]
    assert (hourly.last_window, hourly.last_run_id, hourly.overdue) == (fired.window, fired.run_id, False)


@pytest.mark.parametrize(
    ("verb", "given"),
    [("cron", {"look_every": bad}) for bad in (0, 61, "soon", None, True, float("nan"))]
    + [("list_cron", {"upcoming": bad}) for bad in (0, 101, "three", None, True, 2.5)],
)
def test_bad_input_is_refused_by_name(site: Site, verb: str, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refused:
        getattr(site.node(), verb)(**given)
    assert refused.value.field == next(iter(given))


def test_a_trigger_that_no_loop_has_seen_is_listed_as_such() -> None:
    (hourly, _) = Site().node().list_cron()
    assert (hourly.registered_at, hourly.overdue) == (None, False)
    assert len(hourly.next) == 3


def test_a_schedule_that_can_not_be_read_here_is_listed_as_what_replaces_it(site: Site) -> None:
    fact = ScheduleChanged(
        at=site.clock.now() + 1, schedule=TriggerSchedule(expression="0 * * * *", timezone="Mars/Olympus")
    )
    append = Append(
        thread=HOURLY,
        expected_revision=1,
        entry_id=EntryId("x"),
        body=TRIGGER_CODEC.encode_facts([fact]),
        rows=RowChanges(),
    )
    site.journal.commit([Group(appends=(append,))])
    assert site.node().list_cron()[0].timezone == "Asia/Kathmandu"


def test_a_schedule_that_waits_is_listed_as_changing(site: Site) -> None:
    class Errand(Workflow):
        version = "1"
        name = "Beacon"
        hourly = cron("30 * * * *", timezone="Etc/UTC", payload=Sound)
        keep = step(lambda number: None)

    (before,) = site.node(Errand).list_cron()
    assert (before.changing, before.expression) == (True, "0 * * * *")
    site.node(Errand).cron().look()
    (after,) = site.node(Errand).list_cron()
    assert (after.changing, after.expression) == (False, "30 * * * *")
