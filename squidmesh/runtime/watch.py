"""The default observer: the standard library's logger ``squidmesh``, one record an event, the fields in ``extra``."""

from __future__ import annotations

import logging

_logger = logging.getLogger("squidmesh")
_DAILY = frozenset({"claim_refused", "attempt_closed", "claim_released", "timer_fired"})
_EACH_CALL = frozenset({"journal_unavailable", "lease_backend_unavailable", "heartbeat_failed", "reconciler_waits"})
"""Of a store that is away, each call that finds it so. That it is away, and that it is back, is said once."""
_ON_TIME = frozenset(
    {"cron_fired", "cron_trigger_registered", "runs_pruned", "sidecar_watches", "store_back", "reconciler_goes_on"}
)
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class LogObserver:
    """What belongs to a fleet's daily life is logged at DEBUG, what a clock or a helper brings or takes away at INFO,
    what a workflow says by a log step at the level that it names, everything else at WARNING.
    """

    def notice(self, event: str, /, **fields: object) -> None:
        level = _level(event, fields)
        if _logger.isEnabledFor(level):
            told = " ".join(f"{name}={value!r}" for name, value in fields.items())
            _logger.log(level, "%s %s", event, told, extra={"squidmesh": {"event": event, **fields}})


def _level(event: str, fields: dict[str, object]) -> int:
    if event == "workflow_log":
        return _LEVELS.get(str(fields.get("level")), logging.INFO)
    if event in _ON_TIME:
        return logging.INFO
    return logging.DEBUG if event in _DAILY or event in _EACH_CALL else logging.WARNING
