"""The parts of the tests: the ordinary one, which `./dev test` runs, and all, which takes its time (`-m all`).

Where many cases try one promise at many points, the ordinary part tries a few of them, always the same, and all tries
each. What stands aside here is never lost: it has the marker.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest


def aside(*values: Any) -> Any:
    """A case of the part ``all``: a value for each parameter."""
    return pytest.param(*values, marks=pytest.mark.all)


def mostly_aside(cases: Iterable[Any], *, ordinary: Callable[[Any], bool]) -> list[Any]:
    """All cases, of which these are ordinary."""
    return [case if ordinary(case) else _aside(case) for case in cases]


def every(stride: int, cases: Sequence[Any]) -> list[Any]:
    """All cases, of which the first of each ``stride`` is ordinary."""
    return [case if index % stride == 0 else _aside(case) for index, case in enumerate(cases)]


def _aside(case: Any) -> Any:
    return aside(*case) if isinstance(case, tuple) else aside(case)
