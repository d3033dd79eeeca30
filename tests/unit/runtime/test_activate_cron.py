"""A host's own scheduler fires a cron trigger: as often as it likes, and one window or signal has one run."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from squidmesh import InvalidInput, InvalidPayload, KeyReused, Mesh, NotFound, Run, Workflow, manual, step
from squidmesh.ids import trigger_thread
from squidmesh.ports.journal_store import ThreadRead
from tests.support.audit import audit
from tests.support.cron import HOUR, MINUTE, START, Beacon, ByHand, Nightly, Site, windows_of

WINDOW = datetime(2026, 5, 1, 21, 30, tzinfo=UTC)
HOURLY = trigger_thread("Beacon", "hourly")


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def mesh(site: Site) -> Mesh:
    return site.node()


def fire(mesh: Mesh, **given: Any) -> Run:
    run = mesh.activate_cron(Beacon.hourly, **given)
    assert run is not None
    return run


def test_one_window_has_one_run_however_often_it_is_asked_for(site: Site, mesh: Mesh) -> None:
    first = fire(mesh, window=WINDOW)
    site.clock.advance(HOUR)
    again = fire(site.node(), window=WINDOW.astimezone(timezone(timedelta(hours=-7))))
    assert again.run_id == first.run_id
    assert first.schedule is not None
    assert first.schedule.window == WINDOW
    assert first.schedule.window.isoformat() == "2026-05-02T03:15:00+05:45"
    audit(site.journal, first.run_id)


def test_a_duplicate_is_none_where_the_trigger_skips_them(mesh: Mesh) -> None:
    assert mesh.activate_cron(Beacon.once, window=WINDOW) is not None
    assert mesh.activate_cron(Beacon.once, window=WINDOW) is None
    assert mesh.activate_cron(Beacon.once, window=WINDOW, payload={"ring_id": "another"}) is None
    assert mesh.activate_cron(Beacon.once, window=WINDOW + MINUTE) is not None
    assert len(windows_of(mesh)) == 2


def test_one_signal_has_one_run_whatever_window_it_tells(site: Site, mesh: Mesh) -> None:
    site.clock.advance(timedelta(seconds=42))
    first = fire(mesh, signal_id="beacon-7")
    site.clock.advance(HOUR)
    assert fire(mesh, signal_id="beacon-7").run_id == first.run_id
    assert fire(mesh, signal_id="beacon-7", window=WINDOW).run_id == first.run_id
    assert fire(mesh, signal_id="beacon-8").run_id != first.run_id
    assert first.schedule is not None
    assert (first.schedule.window, first.schedule.signal_id) == (START, "beacon-7"), "the minute that it was"


def test_a_signal_and_a_window_of_the_same_name_are_two(mesh: Mesh) -> None:
    micros = str(int(WINDOW.timestamp() * 1_000_000))
    assert fire(mesh, signal_id=micros).run_id != fire(mesh, window=WINDOW).run_id
    assert fire(mesh, signal_id="a", window=WINDOW).run_id != fire(mesh, window=WINDOW).run_id


def test_the_steps_see_the_window_and_the_days_date(mesh: Mesh) -> None:
    run = fire(mesh, signal_id="beacon-7", window=WINDOW, payload={"ring_id": "nenya"})
    mesh.execute_next()
    seen = mesh.inspect_run(run.run_id, history=True)
    assert seen.payload == {"ring_id": "nenya", "day": "2026-05-02"}
    assert seen.output == {"window": "2026-05-02T03:15:00+05:45", "seen": ["nenya", "2026-05-02"]}
    started = (seen.history or ())[0]
    assert started.details["activation"]["window"] == WINDOW
    assert seen.to_json()["schedule"]["window"] == "2026-05-02T03:15:00+05:45"


def test_a_replay_stands_for_the_same_window_with_the_same_payload(site: Site, mesh: Mesh) -> None:
    run = fire(mesh, window=WINDOW)
    mesh.execute_next()
    site.clock.advance(48 * HOUR)
    again = mesh.replay_run(run.run_id, actor="ops")
    mesh.execute_next()
    first, second = (mesh.inspect_run(one.run_id, history=True) for one in (run, again))
    assert (second.replay_of, second.schedule) == (run.run_id, first.schedule)
    assert second.payload == first.payload == {"ring_id": "one-ring", "day": "2026-05-02"}
    assert second.output == first.output


def test_a_payload_may_be_given_as_a_model(mesh: Mesh) -> None:
    run = fire(mesh, window=WINDOW, payload=Nightly(ring_id="narya", day=date(2026, 4, 1)))
    assert mesh.inspect_run(run.run_id, history=True).payload == {"ring_id": "narya", "day": "2026-04-01"}


def test_another_payload_for_the_same_window_is_refused(mesh: Mesh) -> None:
    run = fire(mesh, window=WINDOW, payload={"ring_id": "nenya"})
    with pytest.raises(KeyReused) as refused:
        fire(mesh, window=WINDOW, payload={"ring_id": "vilya"})
    assert refused.value.field == "payload"
    assert fire(mesh, window=WINDOW, payload={"ring_id": "nenya"}).run_id == run.run_id
    assert fire(mesh, window=WINDOW).run_id == run.run_id, "who says nothing contradicts nothing"


def test_many_hosts_at_once_start_one_run_a_window_and_one_a_signal(site: Site) -> None:
    meshes = [site.node() for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(fire, meshes[n % 4], window=WINDOW) for n in range(16)]
        named = [pool.submit(fire, meshes[n % 4], signal_id=f"beacon-{n // 2}") for n in range(16)]
    assert len({one.result().run_id for one in asked}) == 1
    assert len({one.result().run_id for one in named}) == 8
    assert len(windows_of(meshes[0])) == 9
    (history,) = site.journal.read([ThreadRead(thread=HOURLY)], whole=True)
    assert len(history.tail) == 9, "each run has its place in the trigger's thread, a duplicate has none"


def test_a_host_registers_no_schedule(site: Site, mesh: Mesh) -> None:
    """Else a loop that comes a year later would find a year of missed windows."""
    fire(mesh, signal_id="beacon-7")
    status = mesh.list_cron()[0]
    assert (status.registered_at, status.last_window) == (None, START)
    site.clock.advance(3 * HOUR)
    assert mesh.cron().look().fired == ()


# ------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("given", "error", "field"),
    [
        ({}, InvalidInput, "window"),
        ({"window": datetime(2026, 5, 1)}, InvalidInput, "window"),  # noqa: DTZ001 - that is the point
        ({"window": "2026-05-01T21:30Z"}, InvalidInput, "window"),
        ({"window": 1_777_777_777}, InvalidInput, "window"),
        ({"signal_id": ""}, InvalidInput, "signal_id"),
        ({"signal_id": "x" * 513}, InvalidInput, "signal_id"),
        ({"signal_id": 7}, InvalidInput, "signal_id"),
        ({"signal_id": "a\0b"}, InvalidInput, "signal_id"),
        ({"window": WINDOW, "payload": {"ring": "nenya"}}, InvalidPayload, "payload"),
        ({"window": WINDOW, "payload": {"day": "yesterday"}}, InvalidPayload, "payload"),
        ({"window": WINDOW, "payload": ByHand(ring_id="nenya")}, InvalidPayload, "payload"),
    ],
)
def test_what_is_refused_names_the_field_and_writes_nothing(
    site: Site, mesh: Mesh, given: dict[str, Any], error: type[Exception], field: str
) -> None:
    with pytest.raises(error) as refused:
        mesh.activate_cron(Beacon.hourly, **given)
    assert refused.value.field == field  # type: ignore[attr-defined]
    assert windows_of(mesh) == []
    assert site.journal.read([ThreadRead(thread=HOURLY)])[0].tail == ()


class Plain(Workflow):
    version = "1"
    go = manual(ByHand)
    act = step(lambda: None)


class Unknown(Workflow):
    version = "1"
    go = manual(ByHand)
    act = step(lambda: None)


@pytest.mark.parametrize(
    ("target", "error", "said"),
    [
        (Beacon, NotFound, "several triggers; say which: hourly, once"),
        ("Beacon.light", InvalidInput, "Beacon.light is a manual trigger: start_run starts it"),
        (Beacon.light, InvalidInput, "start_run"),
        ("Beacon.noon", NotFound, "no trigger 'noon': hourly, once"),
        ("Plain", NotFound, "Plain has no cron trigger"),
        (Unknown, NotFound, "not registered"),
        (7, InvalidInput, "is a int"),
    ],
)
def test_only_a_cron_trigger_is_fired(site: Site, target: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        site.node(Beacon, Plain).activate_cron(target, window=WINDOW)


def test_a_cron_trigger_is_not_started_by_hand(mesh: Mesh) -> None:
    for target in (Beacon.hourly, "Beacon.hourly"):
        with pytest.raises(InvalidInput, match="activate_cron fires it"):
            mesh.start_run(target, {})  # type: ignore[arg-type]


def test_a_workflow_whose_only_manual_trigger_is_meant_is_started_by_its_name(mesh: Mesh) -> None:
    run = mesh.start_run(Beacon, {"ring_id": "one-ring"})
    assert (run.trigger, run.schedule) == ("light", None)
    mesh.execute_next()
    output = mesh.inspect_run(run.run_id, history=True).output
    assert output == {"window": None, "seen": ["one-ring", "2026-01-01"]}


def test_today_means_nothing_where_a_person_starts(site: Site) -> None:
    class Dated(Workflow):
        version = "1"
        go = manual(Nightly)
        act = step(lambda: None)

    mesh = site.node(Dated)
    with pytest.raises(InvalidPayload, match="has none; allowed is a payload with a date"):
        mesh.start_run(Dated)
    assert mesh.start_run(Dated, {"day": "2026-05-01"}).trigger == "go"
