"""What the errors of Redis and of its driver mean to a caller."""

from __future__ import annotations

import re
import ssl
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
    "NOMASTERLINK",
)
"""Answers that may be others later, by their first word."""
_LATER_CLASSES = (
    exceptions.ReadOnlyError,
    exceptions.BusyLoadingError,
    exceptions.ClusterDownError,
    exceptions.MasterDownError,
    exceptions.TryAgainError,
)
"""The same where the driver knows them, and has taken the first word away."""
_LATER_WORD = re.compile(rf"(?:\A|: -)(?:{'|'.join(_LATER)})\b")
"""An old server tells what a command within a script has met with the script's own words around it."""
_REPLICA_WORD = re.compile(r"(?:\A|: -)(?:READONLY|MASTERDOWN|UNBLOCKED)\b")
_REFUSED = (exceptions.AuthenticationError, exceptions.AuthorizationError, exceptions.NoPermissionError)
_OUT_OF_MEMORY = "OOM command not allowed"


class OutOfMemory(BackendUnavailable):
    """The server is at its ``maxmemory``: it takes no new items, and goes on ending the old ones."""


def is_unreached(answer: object) -> bool:
    """No answer came; what was told may have been done."""
    unreached = isinstance(answer, exceptions.ConnectionError | exceptions.TimeoutError | OSError)
    return unreached and not isinstance(answer, _REFUSED)


def is_elsewhere(answer: object) -> bool:
    """Who answered so is not, or no longer, the one that takes commands."""
    if isinstance(answer, exceptions.ReadOnlyError | exceptions.ClusterDownError | exceptions.MovedError):
        return True
    return isinstance(answer, exceptions.ResponseError) and _REPLICA_WORD.search(str(answer)) is not None


def translate(error: Exception, where: str) -> BackendError:
    """``where`` names the server without its password."""
    said = str(error)
    if isinstance(error, _REFUSED):
        return BackendError(f"{where} refuses this user: {said}")
    if _OUT_OF_MEMORY in said or isinstance(error, exceptions.OutOfMemoryError):
        return OutOfMemory(f"{where} is out of memory")
    if isinstance(error, exceptions.MovedError):
        return BackendError(
            f"{where} is one node of a Cluster: its URL begins with redis+cluster://, or rediss+cluster://"
        )
    if isinstance(error, _LATER_CLASSES) or _LATER_WORD.search(said):
        return BackendUnavailable(f"{where} can not be used now: {said[:200]}")
    if (refused := _certificate_error(error)) is not None:
        return BackendError(f"{where} shows a certificate that is not believed: {refused.verify_message}")
    if is_unreached(error):
        return BackendUnavailable(f"{where} can not be reached now: {_short(error)}")
    return BackendError(f"{where} answers with an error: {said[:500]}")


def _short(error: Exception) -> str:
    """Our own words, or the class of what others said."""
    return str(error) if isinstance(error, Unreached) else type(error).__name__


class Unreached(exceptions.ConnectionError):
    """Our own words about a server, or several, that do not answer: addresses and classes of errors."""


def _certificate_error(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    """It stands behind what the driver says."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Lets no error of the driver out."""
    try:
        yield
    except (exceptions.RedisError, OSError) as error:
        raise translate(error, where) from error
