"""``deploy/prometheus/rules``: the files that Prometheus reads."""

from __future__ import annotations

from typing import Any

import yaml

from generators.monitoring.alerts import ALERTS
from generators.monitoring.recording import RECORDED

_HEAD = "# Written by a program, from squidmesh/ports/metrics.py and generators/monitoring: ./dev generate\n"


def write_recording() -> str:
    rules = [{"record": one.name, "expr": one.expression} for one in RECORDED]
    return dumped({"groups": [{"name": "squidmesh-recording", "rules": rules}]})


def write_alerts() -> str:
    rules = [
        {
            "alert": alert.name,
            "expr": alert.expression,
            "for": alert.wait,
            "labels": {"severity": alert.severity},
            "annotations": {
                "summary": alert.summary,
                "description": alert.description,
                "runbook_url": alert.runbook,
            },
        }
        for alert in ALERTS
    ]
    return dumped({"groups": [{"name": "squidmesh-alerts", "rules": rules}]})


def dumped(document: dict[str, Any]) -> str:
    """YAML with the head of a generated file."""
    text: str = yaml.safe_dump(document, sort_keys=False, width=1000, allow_unicode=True)
    return _HEAD + text
