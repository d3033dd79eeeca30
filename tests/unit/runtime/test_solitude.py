"""Who may be what killed its last worker runs alone, and nothing new starts before it (protocol 3.5.5)."""

import pytest

from squidmesh.runtime.solitude import Solitude


class House:
    """A process, and how often it was told that waiting may have ended."""

    def __init__(self) -> None:
        self.told = 0
        self.solitude = Solitude(self._opened)

    def _opened(self) -> None:
        assert self.solitude.closed in (True, False), "it may be asked: this is called outside the lock"
        self.told += 1

    def enter(self, key: str, *, suspect: bool = False) -> bool:
        return self.solitude.admit(key, suspect=suspect)


@pytest.fixture
def house() -> House:
    return House()


def test_the_unsuspected_run_beside_each_other(house: House) -> None:
    assert [house.enter(key) for key in "abc"] == [True, True, True]
    assert not house.solitude.closed


def test_a_suspect_in_an_empty_house_starts_at_once_and_alone(house: House) -> None:
    assert house.enter("s", suspect=True)
    assert house.solitude.closed
    assert not house.enter("a")
    assert not house.enter("t", suspect=True)
    house.solitude.leave()
    assert not house.enter("a"), "the other suspect waits, and goes first"
    assert house.enter("t", suspect=True)


def test_a_suspect_waits_until_the_others_have_ended(house: House) -> None:
    house.enter("a")
    house.enter("b")
    assert not house.enter("s", suspect=True)
    house.solitude.leave()
    assert not house.enter("s", suspect=True)
    house.solitude.leave()
    assert house.enter("s", suspect=True)


def test_nothing_new_starts_before_a_suspect_that_waits(house: House) -> None:
    house.enter("a")
    house.enter("s", suspect=True)
    assert house.solitude.closed, "nor should anything be claimed"
    assert not house.enter("b")
    house.solitude.leave()
    assert not house.enter("b")
    assert house.enter("s", suspect=True)


def test_after_the_suspect_all_is_as_before(house: House) -> None:
    house.enter("s", suspect=True)
    house.solitude.leave()
    assert not house.solitude.closed
    assert house.enter("a")
    assert house.enter("b")


def test_a_suspect_that_was_given_back_stands_in_nobodys_way(house: House) -> None:
    house.enter("a")
    house.enter("s", suspect=True)
    house.solitude.forget("s")
    assert not house.solitude.closed
    assert house.enter("b")


def test_forgetting_one_suspect_does_not_forget_another(house: House) -> None:
    house.enter("a")
    house.enter("s", suspect=True)
    house.enter("t", suspect=True)
    house.solitude.forget("s")
    assert house.solitude.closed
    assert not house.enter("b")


def test_asking_again_is_no_second_wish(house: House) -> None:
    house.enter("a")
    for _ in range(3):
        assert not house.enter("s", suspect=True)
    house.solitude.leave()
    assert house.enter("s", suspect=True)
    house.solitude.leave()
    assert not house.solitude.closed


def test_whoever_waits_is_told_of_every_end_and_every_giving_back(house: House) -> None:
    house.enter("a")
    house.enter("b")
    house.enter("s", suspect=True)
    assert house.told == 0
    house.solitude.leave()
    assert house.told == 1
    house.solitude.forget("s")
    assert house.told == 2
    house.solitude.leave()
    assert house.told == 2, "nobody waits any more"


def test_the_end_of_a_suspect_is_told(house: House) -> None:
    house.enter("s", suspect=True)
    house.solitude.leave()
    assert house.told == 1
