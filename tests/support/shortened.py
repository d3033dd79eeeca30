"""The rules of ``deploy/prometheus/rules``, for tests that have minutes and not days: the same text, in which

- each ``for:`` is a sixtieth of what it was, within ``FOR``;
- each window and offset is a sixtieth of what it was, within ``WINDOW``;
- a limit in seconds is the one of ``LIMITS``.

All else, the expressions and their other limits, is what a user has.
"""

import re
from pathlib import Path

FASTER = 60
FOR = (2, 10)
"""Seconds, at least and at most."""
WINDOW = (15, 60)
"""At least some scrapes; at most what a test waits for until something is forgotten."""
LIMITS = {
    "squidmesh_queue_oldest_ready_age_seconds:max > 300": "squidmesh_queue_oldest_ready_age_seconds:max > 8",
    "squidmesh_schedule_to_start_seconds:p99_5m > 60": "squidmesh_schedule_to_start_seconds:p99_5m > 8",
    "squidmesh_lease_margin_seconds:p01_10m < 5": "squidmesh_lease_margin_seconds:p01_10m < 0.6",
}
_DURATION = re.compile(r"(?P<before>for: |\[|offset )(?P<number>\d+)(?P<unit>[smhd])\b")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def shortened(rules: Path, folder: Path) -> list[Path]:
    """Copies of the files in a folder. Fails where a limit is not found."""
    left = set(LIMITS)
    made = []
    for path in sorted(rules.glob("*.yml")):
        text = path.read_text()
        for limit in [one for one in left if one in text]:
            text = text.replace(limit, LIMITS[limit])
            left.discard(limit)
        text = _DURATION.sub(_shorter, text)
        made.append(folder / path.name)
        made[-1].write_text(text)
    assert left == set(), "these limits stand in no rule"
    return made


def _shorter(found: re.Match[str]) -> str:
    """A duration of 0 stays one."""
    least, most = FOR if found["before"] == "for: " else WINDOW
    seconds = int(found["number"]) * _UNITS[found["unit"]]
    return f"{found['before']}{min(max(seconds // FASTER, least), most) if seconds else 0}s"
