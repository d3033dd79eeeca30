"""Who wakes an idle pump: a poke, and a commit of any process."""

import pytest

from squidmesh.testing.journal_suite import add_run
from squidmesh.testing.wakeup_suite import AGES, WakeupSuite, waiting


class TestWakeup(WakeupSuite):
    @pytest.fixture
    def backend(self, open_store):
        backend = open_store()
        backend.journal()
        return backend


def test_a_commit_of_another_process_ends_the_wait(open_store):
    ours, theirs = open_store(), open_store()
    journal = theirs.journal()
    thread = waiting(ours.wakeup())
    add_run(journal, "frodo")
    thread.join()


def test_a_commit_before_the_first_wait_is_not_missed(open_store):
    ours, theirs = open_store(), open_store()
    journal = theirs.journal()
    wakeup = ours.wakeup()
    add_run(journal, "frodo")
    wakeup.wait(AGES)


def test_a_commit_between_two_waits_is_not_missed(open_store):
    ours, theirs = open_store(), open_store()
    journal = theirs.journal()
    wakeup = ours.wakeup()
    wakeup.poke()
    wakeup.wait(AGES)
    add_run(journal, "frodo")
    wakeup.wait(AGES)


def test_a_file_that_appears_later_is_noticed(open_store):
    wakeup = open_store().wakeup()
    thread = waiting(wakeup)
    open_store().journal()
    thread.join()


def test_who_is_poked_does_not_look_at_the_file(open_store, monkeypatch):
    """What its own pump has just committed would wake it again, for a claim that finds nothing."""
    backend = open_store()
    wakeup = backend.wakeup()
    looks = []

    def changed():
        looks.append("look")
        return True

    monkeypatch.setattr(wakeup, "_changed", changed)
    add_run(backend.journal(), "frodo")
    wakeup.poke()
    wakeup.wait(AGES)
    assert looks == []
    wakeup.wait(AGES)
    assert looks == ["look"]
