"""Which files are made here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from generators.monitoring import alert_tests, rule_files
from generators.monitoring.boards import BOARDS
from generators.monitoring.grafana import written


def writers() -> dict[str, Callable[[], str]]:
    """Names from the root of the project, and what writes each."""
    return {
        "deploy/prometheus/rules/recording.yml": rule_files.write_recording,
        "deploy/prometheus/rules/alerts.yml": rule_files.write_alerts,
        "deploy/prometheus/tests/alerts.yml": alert_tests.write,
        **{f"grafana/dashboards/{board.name}.json": partial(written, board) for board in BOARDS},
    }
