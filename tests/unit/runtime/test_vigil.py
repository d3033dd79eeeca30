"""3.5.4: when a sidecar extends the leases of its worker, and when it does not."""

import itertools

import pytest

from squidmesh.runtime.vigil import LONGEST, Vigil

LEASE, EVERY = 4.0, 1.0


def beats(vigil: Vigil, *, alive_at: float, until: float, stopped: bool = False) -> list[float]:
    """When it beats, on looks as often as it wants them, from the last sign of life on."""
    found, now = [], alive_at
    while now <= until:
        if vigil.is_due(now, alive_at=alive_at, stopped=lambda: stopped):
            vigil.beaten(now)
            found.append(now)
        now += vigil.look
    return found


@pytest.fixture
def vigil() -> Vigil:
    return Vigil(every=EVERY, lease=LEASE)


def test_who_speaks_is_not_spoken_for(vigil: Vigil) -> None:
    assert beats(vigil, alive_at=10, until=11.5) == []
    assert vigil.rests


def test_a_silent_thread_is_spoken_for_once_a_beat_and_in_time(vigil: Vigil) -> None:
    found = beats(vigil, alive_at=10, until=20)
    assert found[0] - 10 < LEASE
    gaps = [later - earlier for earlier, later in itertools.pairwise(found)]
    assert set(gaps) == {EVERY}
    assert not vigil.rests


@pytest.mark.parametrize(("every", "lease"), [(15.0, 60.0), (30.0, 60.0), (0.5, 1.0), (1800.0, 3600.0), (1.0, 3600.0)])
def test_no_lease_ends_between_the_last_beat_of_the_thread_and_the_first_of_the_sidecar(
    every: float, lease: float
) -> None:
    vigil = Vigil(every=every, lease=lease)
    first = beats(vigil, alive_at=0, until=lease)[0]
    assert first < lease


def test_the_vigil_for_one_who_hangs_for_good_ends(vigil: Vigil) -> None:
    last = beats(vigil, alive_at=0, until=1000)[-1]
    assert 9 * LEASE < last <= 10 * LEASE


def test_it_ends_after_minutes_however_long_the_lease_is() -> None:
    assert beats(Vigil(every=30, lease=120), alive_at=0, until=10_000)[-1] <= LONGEST
    assert beats(Vigil(every=450, lease=1800), alive_at=0, until=100_000)[-1] <= 2 * 1800


def test_a_stopped_worker_is_not_spoken_for(vigil: Vigil) -> None:
    assert beats(vigil, alive_at=0, until=30, stopped=True) == []


def test_whether_it_is_stopped_is_asked_only_where_that_matters(vigil: Vigil) -> None:
    asked: list[float] = []

    def stopped() -> bool:
        asked.append(1)
        return False

    assert not vigil.is_due(1.0, alive_at=0, stopped=stopped)
    assert asked == []
    assert vigil.is_due(2.0, alive_at=0, stopped=stopped)
    assert asked == [1]


def test_a_beat_that_failed_is_tried_again_at_the_next_look(vigil: Vigil) -> None:
    assert vigil.is_due(2.0, alive_at=0, stopped=lambda: False)
    assert vigil.is_due(2.0 + vigil.look, alive_at=0, stopped=lambda: False)


def test_a_thread_that_is_back_is_left_alone_and_one_that_falls_silent_again_is_not(vigil: Vigil) -> None:
    assert beats(vigil, alive_at=0, until=8)
    assert not vigil.is_due(8.1, alive_at=8.0, stopped=lambda: False)
    assert vigil.rests
    assert beats(vigil, alive_at=8.0, until=11)[0] == pytest.approx(9.75)
