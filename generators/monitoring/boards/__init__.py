"""The dashboards, one a file."""

from __future__ import annotations

from generators.monitoring.boards import cron, dead_letters, fleet, leases, queues, runs
from generators.monitoring.grafana import Dashboard

BOARDS: tuple[Dashboard, ...] = (
    fleet.BOARD,
    queues.BOARD,
    runs.BOARD,
    leases.BOARD,
    dead_letters.BOARD,
    cron.BOARD,
)
