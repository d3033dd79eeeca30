"""What one process writes of its claims, another reads: never half of it."""

import os
from collections.abc import Iterator
from datetime import timedelta

import msgspec
import pytest

from squidmesh.ids import AttemptKey, ClaimId
from squidmesh.ports.lease_backend import Claim
from squidmesh.runtime import claim_board
from squidmesh.runtime.claim_board import ClaimBoard

CLAIM = Claim(
    item=AttemptKey("9a1e/act#1"),
    queue="default",
    owner="sam@1",
    claim_id=ClaimId("mellon:0"),
    generation=0,
    fence=3,
    lease=timedelta(seconds=60),
    incarnation="i",
)


def numbered(number: int) -> Claim:
    return msgspec.structs.replace(CLAIM, claim_id=ClaimId(f"mellon:{number}"), fence=number)


@pytest.fixture
def boards() -> Iterator[tuple[ClaimBoard, ClaimBoard]]:
    mine = ClaimBoard()
    theirs = ClaimBoard(os.dup(mine.descriptor))
    yield mine, theirs
    theirs.close()
    mine.close()


def test_the_reader_sees_what_is_held_and_nothing_else(boards: tuple[ClaimBoard, ClaimBoard]) -> None:
    mine, theirs = boards
    assert list(theirs.posted()) == []
    places = [mine.post(numbered(n)) for n in range(5)]
    assert [posted.claim for posted in theirs.posted()] == [numbered(n) for n in range(5)]
    mine.take_down(places[2] or 0)
    assert [posted.claim.fence for posted in theirs.posted()] == [0, 1, 3, 4]
    mine.post(numbered(9))
    assert [posted.claim.fence for posted in theirs.posted()] == [0, 1, 9, 3, 4], "places are used again"


def test_a_claim_that_is_being_written_is_not_seen(boards: tuple[ClaimBoard, ClaimBoard]) -> None:
    mine, theirs = boards
    mine.post(numbered(1))
    mine.post(numbered(2))
    mine._memory[4096 + 20] ^= 0xFF
    assert [posted.claim.fence for posted in theirs.posted()] == [2]


def test_a_sign_of_life_is_seen_whole_or_not(boards: tuple[ClaimBoard, ClaimBoard]) -> None:
    mine, theirs = boards
    assert theirs.alive_at() is None
    mine.sign(1234.5)
    assert theirs.alive_at() == 1234.5
    mine._memory[0] ^= 0xFF
    assert theirs.alive_at() is None


def test_what_was_extended_is_told_of_that_claim_alone(boards: tuple[ClaimBoard, ClaimBoard]) -> None:
    mine, theirs = boards
    place = mine.post(numbered(1))
    assert place is not None
    assert mine.extended_at(place) is None
    (posted,) = theirs.posted()
    theirs.note(posted, 17.5)
    assert mine.extended_at(place) == 17.5
    mine.take_down(place)
    assert mine.post(numbered(2)) == place
    assert mine.extended_at(place) is None, "that was another claim"
    theirs.note(posted, 18.5)
    assert mine.extended_at(place) is None, "a note that comes late is of another claim, too"


def test_what_does_not_fit_is_not_posted(
    boards: tuple[ClaimBoard, ClaimBoard], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = boards
    assert mine.post(msgspec.structs.replace(CLAIM, owner="o" * 2000)) is None
    monkeypatch.setattr(claim_board, "PLACES", 2)
    assert [mine.post(numbered(n)) for n in range(3)] == [0, 1, None]
    mine.take_down(1)
    assert mine.post(numbered(4)) == 1
    assert [posted.claim.fence for posted in theirs.posted()] == [0, 4]


def test_the_longest_names_fit(boards: tuple[ClaimBoard, ClaimBoard]) -> None:
    mine, theirs = boards
    claim = msgspec.structs.replace(
        CLAIM,
        item=AttemptKey(f"{'r' * 128}/{'s' * 64}!undo#100"),
        queue="q" * 128,
        owner=f"{'o' * 128}@{'n' * 32}",
        incarnation="i" * 64,
    )
    assert mine.post(claim) == 0
    assert [posted.claim for posted in theirs.posted()] == [claim]


def test_the_memory_has_no_name(boards: tuple[ClaimBoard, ClaimBoard]) -> None:
    """3.5.8: nobody finds claim ids there who was not given them."""
    assert os.fstat(boards[0].descriptor).st_nlink == 0
    assert not os.get_inheritable(boards[0].descriptor)
