"""A pump that has just found nothing more to claim goes on without asking."""

from datetime import timedelta

import pytest

from benchmarks.journals import linear, open_journal
from squidmesh.runtime.lull import LULL, Lull

HOUR = timedelta(hours=1)


@pytest.fixture
def endless(monkeypatch):
    """A lull that no slow disk ends."""
    monkeypatch.setattr("squidmesh.runtime.lull.LULL", HOUR)


def claims_of(journal, monkeypatch, workflow, *, capacity):
    leases = journal.engine.leases
    claim, limits = leases.claim, []

    def counted(*arguments, **options):
        limits.append(options["limit"])
        return claim(*arguments, **options)

    monkeypatch.setattr(leases, "claim", counted)
    pump = journal.pump(capacity=capacity)
    while not pump.turn().idle_for:
        pass
    return limits


def test_a_run_that_goes_on_alone_is_claimed_once(tmp_path, monkeypatch, endless):
    workflow = linear(6)
    with open_journal(tmp_path / "a.db", workflow) as journal:
        journal.start(workflow, 1)
        limits = claims_of(journal, monkeypatch, workflow, capacity=4)
        assert journal.mesh.count_runs() == {"completed": 1}
    assert len(limits) == 3  # its own, one for the slot that its last step leaves, and one before the rest


def test_a_lull_ends_with_its_time_with_what_is_due_and_by_word():
    now = [100.0]
    lull = Lull(lambda: now[0])
    assert not lull.rest
    lull.asked(limit=4, granted=1, idle_for=HOUR)
    assert lull.rest == LULL
    now[0] += LULL.total_seconds()
    assert not lull.rest
    lull.asked(limit=4, granted=0, idle_for=LULL / 5)
    assert timedelta(0) < lull.rest <= LULL / 5
    lull.end()
    assert not lull.rest


def test_a_claim_that_got_all_it_asked_for_leaves_no_lull():
    lull = Lull(lambda: 100.0)
    lull.asked(limit=4, granted=4, idle_for=HOUR)
    assert not lull.rest


def told(order, name, call):
    def telling(*arguments, **options):
        order.append(name)
        return call(*arguments, **options)

    return telling


def test_the_end_of_a_last_step_is_recorded_before_anything_is_claimed(tmp_path, monkeypatch):
    monkeypatch.setattr("squidmesh.runtime.lull.LULL", timedelta(0))  # the last claim is long ago, always
    workflow = linear(2)
    order: list[str] = []
    with open_journal(tmp_path / "a.db", workflow) as journal:
        for port, name in ((journal.engine.leases, "claim"), (journal.engine.store, "commit")):
            monkeypatch.setattr(port, name, told(order, name, getattr(port, name)))
        pump = journal.pump(capacity=4)
        journal.start(workflow, 1)
        order.clear()
        while not pump.turn().idle_for:
            pass
        assert journal.mesh.count_runs() == {"completed": 1}
    assert order == ["claim", "commit", "commit", "claim", "commit", "claim"]


def test_a_claim_waits_once_for_what_is_to_be_recorded_and_not_where_there_was_more():
    lull = Lull(lambda: 100.0)
    assert not lull.may_wait()
    lull.asked(limit=4, granted=4, idle_for=HOUR)
    assert not lull.may_wait()
    lull.asked(limit=4, granted=1, idle_for=HOUR)
    assert lull.may_wait()
    assert not lull.may_wait()
