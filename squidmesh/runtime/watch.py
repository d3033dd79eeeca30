"""The default observer: the standard library's logger ``squidmesh``, one record an event, the fields in ``extra``."""

from __future__ import annotations

import logging

_logger = logging.getLogger("squidmesh")
_DAILY = frozenset({"claim_refused", "claim_released"})


class LogObserver:
    """What belongs to a fleet's daily life is logged at DEBUG, everything else at WARNING."""

    def notice(self, event: str, /, **fields: object) -> None:
        level = logging.DEBUG if event in _DAILY else logging.WARNING
        if _logger.isEnabledFor(level):
            told = " ".join(f"{name}={value!r}" for name, value in fields.items())
            _logger.log(level, "%s %s", event, told, extra={"squidmesh": {"event": event, **fields}})
