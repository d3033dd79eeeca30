"""What the errors of Redis and of its driver mean to a caller."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis import exceptions

from squidmesh.errors import BackendError, BackendUnavailable

_LATER = (
    "OOM",
    "LOADING",
    "BUSY",
    "MISCONF",
    "READONLY",
    "MASTERDOWN",
    "NOREPLICAS",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "UNBLOCKED",
)
"""Beginnings of answers that may be others later. A script's own words stand around them on old servers."""
_REFUSED = (exceptions.AuthenticationError, exceptions.NoPermissionError)
_OUT_OF_MEMORY = "OOM command not allowed"


class OutOfMemory(BackendUnavailable):
    """The server is at its ``maxmemory``: it takes no new items, and goes on ending the old ones."""


def translate(error: Exception, where: str) -> BackendError:
    """``where`` names the server without its password."""
    said = str(error)
    if isinstance(error, _REFUSED):
        return BackendError(f"{where} refuses this user: {said}")
    if _OUT_OF_MEMORY in said or isinstance(error, exceptions.OutOfMemoryError):
        return OutOfMemory(f"{where} is out of memory")
    if isinstance(error, exceptions.ConnectionError | exceptions.TimeoutError | OSError):
        return BackendUnavailable(f"{where} can not be reached now: {type(error).__name__}")
    if isinstance(error, exceptions.ReadOnlyError) or said.startswith(_LATER):
        return BackendUnavailable(f"{where} can not be used now: {said[:200]}")
    return BackendError(f"{where} answers with an error: {said[:500]}")


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Lets no error of the driver out."""
    try:
        yield
    except (exceptions.RedisError, OSError) as error:
        raise translate(error, where) from error
