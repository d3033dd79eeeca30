"""Retry policies: how often an attempt may be repeated, and how long to wait in between. Values, not loops.

The jitter comes in as a number, so that a decision can be taken again with the same result.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from squidmesh.clock import seconds
from squidmesh.config import MAX_ATTEMPTS_CAP

_LONGEST = timedelta(days=366)
Delay = Annotated[timedelta, Field(ge=timedelta(0), le=_LONGEST)]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_timedelta="float", allow_inf_nan=False)


class FixedBackoff(_Value):
    """The same delay before each further attempt."""

    kind: Literal["fixed"] = "fixed"
    delay: Delay

    def after(self, failures: int) -> timedelta:
        return self.delay


class ExponentialBackoff(_Value):
    """``min`` after the first failure, doubled after each further one, never above ``max``."""

    kind: Literal["exponential"] = "exponential"
    min: Delay
    max: Delay

    @model_validator(mode="after")
    def _ordered(self) -> ExponentialBackoff:
        if self.min > self.max:
            raise ValueError(f"min ({self.min}) is above max ({self.max})")
        return self

    def after(self, failures: int) -> timedelta:
        doublings = min(failures - 1, 40)  # 2**40 times any delay is above the longest one: no overflow
        return min(self.max, self.min * (2**doublings)) if self.min < self.max else self.max


Backoff = Annotated[FixedBackoff | ExponentialBackoff, Field(discriminator="kind")]


class RetryPolicy(_Value):
    """``max_attempts`` counts the first try too. ``jitter`` takes up to that share (0 to 1) off each delay, so that
    what failed together does not come back together.
    """

    max_attempts: int = Field(ge=1, le=MAX_ATTEMPTS_CAP)
    backoff: Backoff = FixedBackoff(delay=timedelta(0))
    jitter: float = Field(default=0.0, ge=0.0, le=1.0)

    def delay(self, failures: int, jitter: float) -> timedelta:
        """The time to wait after the ``failures``-th failure (1 or more). ``jitter`` is a number in [0, 1)."""
        return self.backoff.after(failures) * (1.0 - self.jitter * jitter)


ONCE = RetryPolicy(max_attempts=1)
"""What a step without a policy has."""


def fixed(delay: timedelta | float) -> FixedBackoff:
    """The same delay (seconds or timedelta) before each further attempt."""
    return FixedBackoff(delay=seconds(delay))


def exponential(*, min: timedelta | float, max: timedelta | float) -> ExponentialBackoff:
    """``min`` after the first failure, then doubled, never above ``max`` (seconds or timedelta)."""
    return ExponentialBackoff(min=seconds(min), max=seconds(max))
