"""A worker's process collects rarely, and what it has set for itself stays."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from squidmesh.cli.collector import THRESHOLDS, collect_rarely


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    thresholds, enabled = gc.get_threshold(), gc.isenabled()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
        (gc.enable if enabled else gc.disable)()


def test_what_is_loaded_is_set_aside_and_collections_are_rare() -> None:
    gc.set_threshold(700, 10, 10)
    before = gc.get_freeze_count()
    collect_rarely()
    assert gc.get_freeze_count() > before + 1_000
    assert gc.get_threshold() == THRESHOLDS


def test_garbage_of_before_is_collected_and_not_set_aside() -> None:
    class Ring:
        pass

    gone: list[int] = []
    ring = Ring()
    ring.itself = ring  # type: ignore[attr-defined]
    ring.tells = _Tells(gone)  # type: ignore[attr-defined]
    del ring
    collect_rarely()
    assert gone == [1]


class _Tells:
    def __init__(self, gone: list[int]) -> None:
        self._gone = gone

    def __del__(self) -> None:
        self._gone.append(1)


def test_what_a_process_set_for_itself_stays_where_it_is_rarer() -> None:
    gc.set_threshold(50_000, 5, 30)
    collect_rarely()
    assert gc.get_threshold() == (50_000, 10, 30)


@pytest.mark.parametrize("how", ["disabled", "no threshold"])
def test_a_process_that_never_collects_goes_on_so(how: str) -> None:
    if how == "disabled":
        gc.set_threshold(700, 10, 10)
        gc.disable()
    else:
        gc.set_threshold(0, 10, 10)
    asked = gc.get_threshold()
    collect_rarely()
    assert gc.get_threshold() == asked
    assert gc.isenabled() is (how != "disabled")
