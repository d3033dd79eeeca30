"""A store that goes away is told once, and its return once, whatever fails meanwhile."""

import pytest

from squidmesh.runtime.away import FAILURES, QUIET, Away

REDIS = "redis://127.0.0.1:6379/0"


class Told:
    def __init__(self, leases: str | None = REDIS) -> None:
        self.said: list[tuple[str, str]] = []
        self.now = 0.0
        self.away = Away(self.notice, leases=leases, monotonic=lambda: self.now)

    def notice(self, event: str, /, **fields: object) -> None:
        self.said.append((event, str(fields["store"])))


def test_many_calls_that_fail_are_one_word_and_the_first_answer_after_a_while_another():
    told = Told()
    for _ in range(3):
        told.away.heard("journal_unavailable", "away")
        told.now += 1
    assert told.away.stores == ("journal",)
    told.now += QUIET
    told.away.answered("journal_unavailable")
    told.away.answered("journal_unavailable")
    assert told.said == [("store_away", "journal"), ("store_back", "journal")]
    assert not told.away.stores


def test_an_answer_in_the_middle_of_failures_is_no_return():
    told = Told()
    for _ in range(5):
        told.away.heard("lease_backend_unavailable", "out of memory")
        told.now += QUIET / 2
        told.away.answered("lease_backend_unavailable")
    assert told.said == [("store_away", "leases")]


def test_it_is_back_when_everything_that_failed_works_again():
    told = Told()
    told.away.heard("lease_backend_unavailable", "away")
    told.away.heard("heartbeat_failed", "away")
    told.now += QUIET
    told.away.answered("lease_backend_unavailable")
    assert told.away.stores == ("leases",)
    told.away.answered("heartbeat_failed")
    assert told.said == [("store_away", "leases"), ("store_back", "leases")]


@pytest.mark.parametrize(("error", "store"), [(f"{REDIS} is out of memory", "leases"), ("postgres is", "journal")])
def test_the_reconciler_speaks_to_both_and_its_error_tells_which(error: str, store: str):
    told = Told()
    told.away.heard("reconciler_waits", error)
    assert told.said == [("store_away", store)]
    told.now += QUIET
    told.away.answered("reconciler_waits")
    assert not told.away.stores


@pytest.mark.parametrize("event", sorted(FAILURES))
def test_leases_in_the_journal_are_no_second_store(event: str):
    told = Told(leases=None)
    told.away.heard(event, "away")
    assert told.said == [("store_away", "journal")]


def test_other_notices_are_about_no_store():
    told = Told()
    told.away.heard("lease_lost", None)
    told.away.answered("journal_unavailable")
    assert told.said == []
