"""Python's cyclic collector in a process that is a worker: it does not look through what is there to stay.

A full collection walks over every module, class and function that is loaded: some 45 ms, during which nothing else of
the process goes on. A worker makes enough objects that outlive a few thousand others (the runs that it has in flight)
to bring one about every two thousand steps; a seventh of its CPU went there (``docs/performance.md``).
"""

from __future__ import annotations

import gc

THRESHOLDS = (20_000, 10, 10)
"""So many objects more before the youngest are looked through, and so many such looks before older ones are. The runs
that two pumps have in flight are fewer: they come and go, and none of them is looked at.
"""


def collect_rarely() -> None:
    """What is loaded now is set aside; from now on less is looked through, and less often. What the process has set
    for itself stays where it is rarer, and where it never collects.
    """
    set_already = gc.get_threshold()
    gc.collect()  # what is garbage now would be set aside with the rest
    gc.freeze()
    if gc.isenabled() and set_already[0]:
        gc.set_threshold(*map(max, set_already, THRESHOLDS))
