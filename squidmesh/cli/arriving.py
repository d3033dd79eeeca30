"""A process that begins while a store is away waits for it. What no waiting can mend is an error at once: an address
that is wrong, a user who is not let in, a schema that is out of date, a lease backend that is not this mesh's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception
from tenacity.stop import stop_after_attempt, stop_never
from tenacity.wait import wait_random_exponential

from squidmesh import AccessRefused, BackendUnavailable, CommitUnknown
from squidmesh.cli.signals import in_background

T = TypeVar("T")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
"""Seconds between two looks: drawn from 0 to a bound that doubles."""


@dataclass(frozen=True, slots=True)
class Arrived(Generic[T]):
    made: T


@dataclass(frozen=True, slots=True)
class Refused:
    error: BaseException


def may_pass(error: BaseException) -> bool:
    return isinstance(error, BackendUnavailable | CommitUnknown) and not isinstance(error, AccessRefused)


def arrive(
    make: Callable[[], T],
    put: Callable[[Arrived[T] | Refused], None],
    *,
    waits: Callable[[BaseException], None] = lambda error: None,
    once: bool = False,
) -> None:
    """Makes it in a thread of its own, so that a signal is heard meanwhile, as often as that takes; ``put`` hears how
    it ended. ``waits`` hears the first error that may pass. ``once``: that one is an end, too.
    """

    def before_sleep(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if error is not None and state.attempt_number == 1:
            waits(error)

    retrying = Retrying(
        retry=retry_if_exception(may_pass),
        wait=wait_random_exponential(multiplier=_FIRST_PAUSE, max=_LONGEST_PAUSE),
        stop=stop_after_attempt(1) if once else stop_never,
        before_sleep=before_sleep,
        reraise=True,
    )

    def work() -> None:
        try:
            made = retrying(make)
        except BaseException as error:
            put(Refused(error))
        else:
            put(Arrived(made))

    in_background(work)
