"""A plan is the same for the same seed, and asks for nothing that can not be done together."""

from itertools import combinations

import pytest

from chaos.faults.register import FAULTS, NOT_INJECTED, missing, possible
from chaos.fleet.setup import Setup
from chaos.scenarios.catalogue import ORDINARY, SCENARIOS
from chaos.scenarios.plan import AT_ONCE, Planned, make_plan

STORM = SCENARIOS["storm"].kinds


def overlaps(one: Planned, other: Planned) -> bool:
    return one.at < other.at + other.lasts and other.at < one.at + one.lasts


def test_one_seed_makes_one_plan():
    plan = make_plan(STORM, seed=7, seconds=120, every=4)
    assert plan == make_plan(STORM, seed=7, seconds=120, every=4)
    assert plan != make_plan(STORM, seed=8, seconds=120, every=4)


@pytest.mark.parametrize("seed", range(20))
def test_two_faults_that_touch_the_same_are_never_planned_together(seed: int):
    plan = make_plan(STORM, seed=seed, seconds=300, every=2)
    together = [(one, other) for one, other in combinations(plan, 2) if overlaps(one, other)]
    assert together, "a storm"
    assert [pair for pair in together if FAULTS[pair[0].fault].touches & FAULTS[pair[1].fault].touches] == []
    assert max(sum(overlaps(one, other) for other in plan if other.at <= one.at) for one in plan) <= AT_ONCE


@pytest.mark.parametrize("seed", range(20))
def test_each_kind_comes_before_any_comes_often(seed: int):
    plan = make_plan(STORM, seed=seed, seconds=600, every=4)
    assert {planned.fault for planned in plan} == {kind.name for kind in STORM}
    assert len(plan) > 600 / 9, "a fault at least every nine seconds"
    assert all(planned.at + planned.lasts <= 600 for planned in plan), "each has time to end"


def test_nothing_to_inject_is_refused():
    with pytest.raises(ValueError, match="no fault is possible"):
        make_plan([], seed=1, seconds=10, every=1)


def test_every_fault_says_what_it_is_and_what_it_needs():
    words = Setup(nodes=3, moved_clock=True, small_disk=True, old=True).offers
    offered = words | {"sqlite", "sentinel", "cluster", "redis-wire", "postgres-wire"}
    for name, fault in FAULTS.items():
        assert fault.name == name
        assert fault.what and fault.expected, name
        assert fault.needs <= offered, f"{name} needs what no setup has"
        assert 0 <= fault.lasts[0] <= fault.lasts[1] <= 30, name
    assert all(NOT_INJECTED.values())


def test_every_fault_is_in_a_scenario_and_every_scenario_has_what_its_faults_need():
    used = {kind for scenario in SCENARIOS.values() for kind in (scenario.faults or possible(scenario.setup))}
    names = {kind if isinstance(kind, str) else kind.name for kind in used}
    assert names == set(FAULTS)
    for scenario in SCENARIOS.values():
        for name in scenario.faults:
            assert FAULTS[name].needs <= scenario.setup.offers, f"{scenario.name}: {name}"


def test_what_needs_root_or_a_package_is_in_no_ordinary_scenario():
    for name in ORDINARY:
        assert not SCENARIOS[name].setup.needs_root
        assert [kind.name for kind in SCENARIOS[name].kinds if kind.root or kind.package or missing(kind)] == []
