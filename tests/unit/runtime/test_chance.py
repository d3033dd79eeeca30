"""Ids are nobody else's to repeat."""

import ctypes
import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest

from squidmesh.runtime import chance


def test_a_host_that_seeds_its_generator_does_not_draw_our_ids_again() -> None:
    drawn = set()
    for _ in range(200):
        random.seed(42)
        drawn.add(chance.new_entry_id())
    assert len(drawn) == 200


def test_ids_are_uuids_of_version_7_that_sort_by_time() -> None:
    made = [UUID(chance.new_run_id()) for _ in range(3)]
    made += [UUID(one) for pair in chance.new_start_ids(100) for one in pair]
    assert len(set(made)) == 203
    assert {(it.version, it.variant) for it in made} == {(7, "specified in RFC 4122")}
    assert [it.int >> 80 for it in made] == sorted(it.int >> 80 for it in made)


def test_the_system_is_asked_for_many_ids_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each question lets go of the interpreter's lock."""
    asked: list[int] = []
    draw = os.urandom

    def urandom(size: int) -> bytes:
        asked.append(size)
        return draw(size)

    monkeypatch.setattr(os, "urandom", urandom)
    assert len({*(chance.new_entry_id() for _ in range(1000)), *(chance.new_claim_id() for _ in range(1000))}) == 2000
    assert len(asked) <= 2000 / 256 + 1
    chance.new_start_ids(500)
    assert asked[-1] == 10_000


def test_threads_draw_nothing_twice() -> None:
    with ThreadPoolExecutor(8) as pool:
        drawn = [
            one for ids in pool.map(lambda _: [chance.new_claim_id() for _ in range(2000)], range(8)) for one in ids
        ]
    assert len(set(drawn)) == 16_000


@pytest.mark.parametrize("fork", [os.fork, ctypes.PyDLL(None).fork], ids=["python", "c"])
def test_a_forked_process_draws_its_own(fork: Callable[[], int]) -> None:
    """Python hears nothing of the second kind."""
    chance.new_claim_id()  # more are there now
    reader, writer = os.pipe()
    child = fork()
    if child == 0:
        os.write(writer, " ".join(chance.new_claim_id() for _ in range(100)).encode())
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    there = os.read(reader, 100 * 33).decode().split()
    os.close(writer)
    os.close(reader)
    here = [chance.new_claim_id() for _ in range(300)]
    assert (len(there), len({*there, *here})) == (100, 400)
