"""Ids are nobody else's to repeat."""

import random
from uuid import UUID

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
