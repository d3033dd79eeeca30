"""What a Prometheus answers to the dashboards of ``grafana/dashboards``, asked as Grafana would ask it."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.manifest_tools import installed
from tests.support.prometheus import Prometheus

ROOT = Path(__file__).resolve().parents[2]
DASHBOARDS = sorted((ROOT / "grafana" / "dashboards").glob("*.json"))
STEP = 5.0
LARGEST = 150_000
"""Bytes of a picture."""
Board = dict[str, Any]


def chosen(expression: str) -> str:
    """With all values of all variables, and rates over some scrapes."""
    return re.sub(r"\$[a-z]+", ".*", expression.replace("$__rate_interval", "15s"))


def answers(server: Prometheus, begin: float, end: float) -> list[Board]:
    """Of each dashboard its panels, each with the series that it shows."""
    return [_board(json.loads(path.read_text()), path.stem, server, begin, end) for path in DASHBOARDS]


def without_data(boards: list[Board]) -> list[str]:
    """The expressions that gave nothing in all that time."""
    return [
        f"{board['title']}: {panel['title']}: {expression}"
        for board in boards
        for panel in board["panels"]
        for expression, count in panel["counts"].items()
        if not count
    ]


def drawn(boards: list[Board], folder: Path) -> list[Path]:
    """A picture of each."""
    asked = folder / "answers.json"
    asked.write_text(json.dumps(boards))
    tools = installed("pictures").folder
    program = Path(__file__).with_name("draw_dashboards.py")
    command = [sys.executable, str(program), str(asked), str(folder)]
    done = subprocess.run(
        command,
        env={"PYTHONPATH": str(tools), "MPLCONFIGDIR": str(folder), "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return sorted(folder.glob("dashboard-*.png"))


def _board(document: dict[str, Any], name: str, server: Prometheus, begin: float, end: float) -> Board:
    panels = [_panel(one, server, begin, end) for one in document["panels"]]
    return {"name": name, "title": document["title"], "panels": panels}


def _panel(panel: dict[str, Any], server: Prometheus, begin: float, end: float) -> dict[str, Any]:
    series: list[dict[str, Any]] = []
    counts: dict[str, int] = {}
    for target in panel.get("targets", ()):
        found = server.query_range(chosen(target["expr"]), begin, end, STEP)
        told = [(labels, [point for point in points if math.isfinite(point[1])]) for labels, points in found]
        shown = [
            {"legend": _legend(target["legendFormat"], labels), "points": points} for labels, points in told if points
        ]
        counts[target["expr"]] = len(shown)
        series += shown
    defaults = panel.get("fieldConfig", {}).get("defaults", {})
    steps = defaults.get("thresholds", {}).get("steps", [])
    place = panel["gridPos"]
    return {
        **place,
        "kind": panel["type"],
        "title": panel["title"],
        "unit": defaults.get("unit", ""),
        "limit": steps[1]["value"] if len(steps) > 1 else None,
        "low_is_bad": bool(steps) and steps[0]["color"] == "red",
        "stack": defaults.get("custom", {}).get("stacking", {}).get("mode") == "normal",
        "span": [begin, end],
        "series": series,
        "counts": counts,
    }


def _legend(pattern: str, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), pattern)
