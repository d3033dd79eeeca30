"""Names of things (protocol 2 and 3.7).

What must happen once gets a *derived* id, so that doing it twice is a conflict at revision 0 of the same thread. Random
ids are made by the runtime; nothing here is random.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import NewType
from uuid import UUID, uuid5

from squidmesh.errors import InvalidInput

RunId = NewType("RunId", str)
ThreadId = NewType("ThreadId", str)
"""A run's thread has the run's own id."""
EntryId = NewType("EntryId", str)
RunnableKey = NewType("RunnableKey", str)
"""``{run_id}/{step}``: one step of one run; ``{run_id}/{step}!undo`` is its compensation."""
AttemptKey = NewType("AttemptKey", str)
"""``{run_id}/{step}#{n}``: one try at it; what lease backends deliver."""
ClaimId = NewType("ClaimId", str)
"""The capability to write as the claim's holder. Never stored, logged or shown; see :func:`claim_hash`."""
ClaimHash = NewType("ClaimHash", str)
Fingerprint = NewType("Fingerprint", str)

_UNDO = "!undo"
_NAMESPACE = UUID("6d7a4f0e-52a5-5b9c-9a43-2b1d3f1f6c55")
_IDENTIFIER = re.compile(r"[A-Za-z0-9._-]{1,128}")
_UNREADABLE = re.compile(r"[^A-Za-z0-9._-]")
_STEP_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_RANDOM = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def derived_id(kind: str, *parts: str) -> str:
    """The UUIDv5 of the canonical JSON array ``[kind, *parts]``: the same parts, the same id, on every machine."""
    return str(uuid5(_NAMESPACE, json.dumps([kind, *parts], ensure_ascii=False, separators=(",", ":"))))


def is_random(value: str) -> bool:
    """Whether this is an id that the runtime draws (UUID version 7). Every other one may be derived again."""
    return _RANDOM.fullmatch(value) is not None


def keyed_run_id(workflow: str, key: str) -> RunId:
    """The id of the one run that ``key`` may ever start of this workflow (I12)."""
    return RunId(derived_id("run", workflow, key))


def trigger_thread(workflow: str, trigger: str) -> ThreadId:
    """The thread of a cron trigger: each has one, for its windows."""
    return ThreadId(derived_id("trigger", workflow, trigger))


def window_run_id(workflow: str, trigger: str, window: int) -> RunId:
    """The id of the one run that a window of a cron trigger may ever start. ``window``: microseconds since 1970."""
    return RunId(derived_id("cron", workflow, trigger, "window", str(window)))


def signal_run_id(workflow: str, trigger: str, signal_id: str) -> RunId:
    """The same for a firing that a host's own scheduler has named."""
    return RunId(derived_id("cron", workflow, trigger, "signal", signal_id))


def catalogue_thread() -> ThreadId:
    """The one thread that says which workflows made at run time are active."""
    return ThreadId(derived_id("catalogue"))


def runnable_key(run_id: str, step: str) -> RunnableKey:
    return RunnableKey(f"{run_id}/{step}")


def attempt_key(run_id: str, step: str, attempt: int) -> AttemptKey:
    return AttemptKey(f"{run_id}/{step}#{attempt}")


def parse_attempt_key(key: str) -> tuple[RunId, str, int]:
    """``(run_id, step, attempt)``. Step names hold no ``/`` or ``#``, so the key reads one way only."""
    runnable, _, attempt = key.rpartition("#")
    run_id, _, step = runnable.partition("/")
    if not (run_id and step and attempt.isascii() and attempt.isdigit() and len(attempt) < 10):
        raise InvalidInput(f"{key!r} is no attempt key; allowed is run_id/step#attempt", field="item")
    return RunId(run_id), step, int(attempt)


def undo_of(step: str) -> str:
    """The runnable that compensates a step: ``{step}!undo``. No step's own name holds a ``!``."""
    return f"{step}{_UNDO}"


def undone_by(runnable: str) -> str | None:
    """The step that a compensation undoes; None for a runnable that is no compensation."""
    return runnable.removesuffix(_UNDO) if runnable.endswith(_UNDO) else None


def child_run_id(parent_run: str, step: str, key: str) -> RunId:
    """The id of the one child run that this step of that run may ever start under this key (I12)."""
    return RunId(derived_id("child", parent_run, step, key))


def idempotency_key(run_id: str, step: str) -> str:
    """What a step gives to the outside world: the same for every attempt of one runnable, and safe in any header."""
    return derived_id("effect", run_id, step)


def concurrency_key(path: str, value: str | int | bool) -> str:
    """What attempts share that may not all run at once: the path that names it, readable, and a hash of path and value.
    Never the value itself, which is payload (I19). An identifier; the same for equal values of one JSON type only.
    """
    named = json.dumps(["concurrency", path, value], ensure_ascii=False, separators=(",", ":"))
    digest = hashlib.blake2b(named.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"{_UNREADABLE.sub('-', path)[:64]}-{digest}"


def claim_hash(claim_id: str) -> ClaimHash:
    """What journal and backends keep of a claim id (protocol 3.5.8)."""
    return ClaimHash(hashlib.blake2b(claim_id.encode(), digest_size=16).hexdigest())


def fingerprint(canonical: bytes) -> Fingerprint:
    """SHA-256, in hex, of canonical bytes (a definition's spec, or a payload)."""
    return Fingerprint(hashlib.sha256(canonical).hexdigest())


def check_identifier(value: str, *, field: str) -> str:
    """Names that reach a store: ``[A-Za-z0-9._-]{1,128}``; anything else raises :class:`InvalidInput`."""
    if not is_identifier(value):
        raise InvalidInput(f"{value!r} is refused; allowed are 1 to 128 of A-Z a-z 0-9 . _ -", field=field)
    return value


def is_identifier(value: object) -> bool:
    return isinstance(value, str) and bool(_IDENTIFIER.fullmatch(value))


def is_step_name(value: str) -> bool:
    """Step names are shorter than other identifiers: they stand in keys beside a run id."""
    return bool(_STEP_NAME.fullmatch(value))
