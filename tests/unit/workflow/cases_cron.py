"""What can be wrong with a cron trigger."""

from __future__ import annotations

from datetime import date, timedelta

from pydantic import BaseModel

from squidmesh.workflow.authoring import Workflow, cron, step
from squidmesh.workflow.today import today
from tests.unit.workflow.cases import Cases, Payload, nothing

cases = Cases()


class Nightly(BaseModel):
    ring_id: str = "one-ring"
    day: date = today()


@cases()
class SoundCron(Workflow):
    version = "1"
    nightly = cron("0 21 * * 1-5", timezone="Etc/UTC", payload=Nightly, idempotency="return_existing_run")
    hourly = cron(
        "*/30 8-17 * JAN-MAR,DEC fri-sun",
        timezone="Australia/Lord_Howe",
        payload=Nightly,
        idempotency="skip_duplicate",
        missed="all",
        missed_within=timedelta(days=7),
    )
    strict = cron("0 0 29 2 *", timezone="UTC", payload=Nightly, missed="skip")
    a = step(nothing)


@cases(("triggers.nightly.ring_id", "cron_payload_needs_defaults"))
class FieldWithoutADefault(Workflow):
    version = "1"
    nightly = cron("0 21 * * *", timezone="Etc/UTC", payload=Payload)
    a = step(nothing)


@cases(("triggers.nightly", "invalid_payload_model"))
class NoModel(Workflow):
    version = "1"
    nightly = cron("0 21 * * *", timezone="Etc/UTC", payload=dict)  # type: ignore[type-var]
    a = step(nothing)


@cases(
    ("triggers.backwards.expression", "invalid_cron"),
    ("triggers.four.expression", "invalid_cron"),
    ("triggers.hashed.expression", "invalid_cron"),
    ("triggers.never.expression", "invalid_cron"),
    ("triggers.number.expression", "invalid_cron"),
)
class InvalidExpressions(Workflow):
    version = "1"
    four = cron("0 21 * *", timezone="Etc/UTC", payload=Nightly)
    hashed = cron("H 21 * * *", timezone="Etc/UTC", payload=Nightly)
    never = cron("0 21 30 2 *", timezone="Etc/UTC", payload=Nightly)
    backwards = cron("0 17-8 * * *", timezone="Etc/UTC", payload=Nightly)
    number = cron(21, timezone="Etc/UTC", payload=Nightly)  # type: ignore[arg-type]
    a = step(nothing)


@cases(
    ("triggers.empty.timezone", "invalid_timezone"),
    ("triggers.folder.timezone", "invalid_timezone"),
    ("triggers.here.timezone", "invalid_timezone"),
    ("triggers.lacking.timezone", "invalid_timezone"),
    ("triggers.outside.timezone", "invalid_timezone"),
    ("triggers.typo.timezone", "invalid_timezone"),
)
class InvalidTimezones(Workflow):
    version = "1"
    typo = cron("0 21 * * *", timezone="Europe/Londno", payload=Nightly)
    folder = cron("0 21 * * *", timezone="Europe", payload=Nightly)
    here = cron("0 21 * * *", timezone="localtime", payload=Nightly)
    empty = cron("0 21 * * *", timezone="", payload=Nightly)
    outside = cron("0 21 * * *", timezone="../../etc/passwd", payload=Nightly)
    lacking = cron("0 21 * * *", timezone=None, payload=Nightly)  # type: ignore[arg-type]
    a = step(nothing)


@cases(
    ("triggers.a.idempotency", "invalid_idempotency"),
    ("triggers.b.missed", "invalid_missed"),
    ("triggers.c.missed_within", "invalid_missed_within"),
    ("triggers.d.missed_within", "invalid_missed_within"),
    ("triggers.e.missed_within", "invalid_missed_within"),
)
class InvalidPolicies(Workflow):
    version = "1"
    a = cron("0 21 * * *", timezone="Etc/UTC", payload=Nightly, idempotency="raise")  # type: ignore[arg-type]
    b = cron("0 21 * * *", timezone="Etc/UTC", payload=Nightly, missed="some")  # type: ignore[arg-type]
    c = cron("0 21 * * *", timezone="Etc/UTC", payload=Nightly, missed_within=59)
    d = cron("0 21 * * *", timezone="Etc/UTC", payload=Nightly, missed_within="a day")  # type: ignore[arg-type]
    e = cron("0 21 * * *", timezone="Etc/UTC", payload=Nightly, missed="skip", missed_within=timedelta(days=1))
    act = step(nothing)


ONCE = cron("0 21 * * *", timezone="Etc/UTC", payload=Nightly)


class FirstCron(Workflow):
    version = "1"
    nightly = ONCE
    a = step(nothing)


@cases(("triggers.nightly", "shared_trigger"))
class SharedCron(Workflow):
    version = "1"
    nightly = ONCE
    a = step(nothing)
