"""What can be wrong with version, name, bases and triggers."""

from __future__ import annotations

from pydantic import BaseModel, Field, SecretBytes, SecretStr

from squidmesh.workflow.authoring import Manual, Workflow, manual, step
from tests.unit.workflow.cases import (
    Card,
    Cases,
    Payload,
    Rooted,
    Sound,
    eat,
    nothing,
    pack,
)

cases = Cases()
cases()(Sound)


@cases(("version", "missing_version"))
class MissingVersion(Workflow):
    start = manual(Payload)
    a = step(pack)


@cases(("version", "invalid_version"))
class VersionWithASpace(Workflow):
    version = "1 beta"
    start = manual(Payload)
    a = step(pack)


@cases(("version", "invalid_version"))
class VersionAsANumber(Workflow):
    version = 1  # type: ignore[assignment]
    start = manual(Payload)
    a = step(pack)


@cases(("name", "invalid_name"))
class NameWithASpace(Workflow):
    name = "ring errand"
    version = "1"
    start = manual(Payload)
    a = step(pack)


@cases(("name", "invalid_name"))
class NameAsANumber(Workflow):
    name = 7  # type: ignore[assignment]
    version = "1"
    start = manual(Payload)
    a = step(pack)


@cases(("name", "invalid_name"))
class Überfahrt(Workflow):
    version = "1"
    start = manual(Payload)
    a = step(pack)


@cases(("bases", "inherited_workflow"))
class MoreStepsThanItsBase(Sound):
    c = step(eat)


@cases(("bases", "inherited_workflow"))
class NothingButItsBase(Sound): ...


class Mixin:
    a = step(pack)


@cases(("bases", "inherited_workflow"))
class StepsFromAMixin(Mixin, Workflow):
    version = "1"
    start = manual(Payload)
    b = step(pack)


# ---- triggers


@cases(("triggers", "no_trigger"))
class NoTrigger(Workflow):
    version = "1"
    a = step(pack)


@cases(("triggers.start", "invalid_payload_model"))
class APayloadThatIsNoModel(Workflow):
    version = "1"
    start = manual(dict)  # type: ignore[type-var]
    a = step(pack)


@cases(("triggers.start", "invalid_payload_model"))
class APayloadThatIsAnInstance(Workflow):
    version = "1"
    start: Manual[Payload] = manual(Payload(ring_id="x"))  # type: ignore[arg-type]
    a = step(pack)


@cases(("triggers.start", "invalid_payload_model"))
class APayloadThatIsARootModel(Workflow):
    version = "1"
    start = manual(Rooted)
    a = step(pack)


class Unfinished(BaseModel):
    it: "NotYet"  # type: ignore[name-defined]  # noqa: F821, UP037


@cases(("triggers.start", "invalid_payload_model"))
class APayloadThatIsUnfinished(Workflow):
    version = "1"
    start = manual(Unfinished)
    a = step(pack)


class Infinite(BaseModel):
    it: float = float("inf")


@cases(("triggers.start", "invalid_payload_model"))
class APayloadWithAnInfiniteDefault(Workflow):
    version = "1"
    start = manual(Infinite)
    a = step(nothing)


class Shy(BaseModel):
    cards: list[Card] = []
    again: Shy | None = None
    key: SecretBytes = SecretBytes(b"")
    plain: dict[str, SecretStr] = Field(default_factory=dict)


@cases()
class SecretsInThePayload(Workflow):
    version = "1"
    start = manual(Shy)
    a = step(nothing)


SHARED = manual(Payload)


class First(Workflow):
    version = "1"
    start = SHARED
    a = step(pack)


@cases(("triggers.begin", "shared_trigger"))
class SharedTrigger(Workflow):
    version = "1"
    begin = SHARED
    a = step(pack)


@cases(("triggers.name", "reserved_trigger_name"), ("triggers.début", "invalid_trigger_name"))
class ReservedTriggerName(Workflow):
    version = "1"
    name = manual(Payload)  # type: ignore[assignment]
    début = manual(Payload)
    a = step(pack)
