"""What is written at one cron trigger, read into its part of the definition."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final, get_args

from pydantic import BaseModel

from squidmesh.clock import check_duration
from squidmesh.errors import InvalidInput
from squidmesh.workflow.authoring import Cron
from squidmesh.workflow.cron_expression import InvalidExpression, parse
from squidmesh.workflow.definition import CronTrigger, Idempotency, ManualTrigger, Missed
from squidmesh.workflow.settings import Problems
from squidmesh.workflow.timezones import InvalidTimezone, read_timezone

ON_TIME: Final = timedelta(minutes=1)
"""A window is missed when nobody has looked for so long: whoever waits for it looks once a minute at least."""
_LONGEST: Final = timedelta(days=366)
_DEFAULT: Final = timedelta(days=1)


def read_cron(path: str, trigger: Cron[Any], payload: ManualTrigger, problems: Problems) -> CronTrigger:
    """``payload``: what has been read of its payload, as of any trigger's."""
    _check_defaults(path, trigger.payload, problems)
    return CronTrigger(
        name=payload.name,
        payload_fields=payload.payload_fields,
        payload_schema=payload.payload_schema,
        expression=_expression(path, trigger.expression, problems),
        timezone=_timezone(path, trigger.timezone, problems),
        idempotency=_idempotency(path, trigger.idempotency, problems),
        missed=_missed(path, trigger.missed, problems),
        missed_within=_within(path, trigger, problems),
        secrets=payload.secrets,
    )


def _check_defaults(path: str, model: object, problems: Problems) -> None:
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return  # refused already
    for name, field in model.model_fields.items():
        if field.is_required():
            message = "nobody is there to give a value when a window comes; a field of a cron payload has a default"
            problems.add(f"{path}.{name}", "cron_payload_needs_defaults", message)


def _expression(path: str, given: object, problems: Problems) -> str:
    try:
        return parse(given).text
    except InvalidExpression as error:
        problems.add(f"{path}.expression", "invalid_cron", str(error))
        return "* * * * *"


def _timezone(path: str, given: object, problems: Problems) -> str:
    try:
        return read_timezone(given).key
    except InvalidTimezone as error:
        problems.add(f"{path}.timezone", "invalid_timezone", str(error))
        return "Etc/UTC"


def _idempotency(path: str, given: Idempotency, problems: Problems) -> Idempotency:
    return given if _is_one_of(f"{path}.idempotency", given, Idempotency, problems) else "return_existing_run"


def _missed(path: str, given: Missed, problems: Problems) -> Missed:
    return given if _is_one_of(f"{path}.missed", given, Missed, problems) else "last"


def _is_one_of(path: str, given: object, choice: Any, problems: Problems) -> bool:
    allowed = get_args(choice)
    if isinstance(given, str) and given in allowed:
        return True
    problems.add(path, f"invalid_{path.rpartition('.')[2]}", f"{given!r} is refused; allowed are {', '.join(allowed)}")
    return False


def _within(path: str, trigger: Cron[Any], problems: Problems) -> timedelta:
    """For ``skip`` it is what counts as on time, and nothing else."""
    given, fixed = trigger.missed_within, trigger.missed == "skip"
    if given is None:
        return ON_TIME if fixed else _DEFAULT
    try:
        length = check_duration(given, field="missed_within", least=ON_TIME, most=_LONGEST)
    except InvalidInput as error:
        problems.add(f"{path}.missed_within", "invalid_missed_within", str(error).removeprefix("missed_within: "))
        return ON_TIME
    if fixed:
        message = "missed windows are skipped: there is no bound to give; leave it out, or set missed= to last or all"
        problems.add(f"{path}.missed_within", "invalid_missed_within", message)
    return length
