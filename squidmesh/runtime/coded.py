"""A journal store behind a payload codec (protocol 6): no store knows of it, and nothing above does either.

Entries and checkpoints are sealed on their way in and opened on their way out; rows and definitions hold no payload and
stay as they are. Each sealed body names its codec, so what was written before there was one can still be read.

What can not be opened holds its run, and no other: it comes out as a body that no reader takes, and says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, cast

from msgspec import structs

from squidmesh.errors import BackendUnavailable, CodecRefused, DataRefused, InvalidInput
from squidmesh.ids import AttemptKey, EntryId, ThreadId
from squidmesh.journal.sealing import is_codec_name, sealed, sealed_part, unopened
from squidmesh.ports.journal_store import (
    Answer,
    Append,
    Entry,
    Group,
    History,
    JournalStore,
    StepTransaction,
    ThreadRead,
)
from squidmesh.ports.lease_backend import Grants, LeaseBackend
from squidmesh.ports.payload_codec import PayloadCodec


def check_codec(given: object) -> PayloadCodec | None:
    """``InvalidInput`` where it is none."""
    if given is None:
        return None
    lacking = [verb for verb in ("encode", "decode") if not callable(getattr(given, verb, None))]
    name = getattr(given, "name", None)
    if isinstance(given, type) or lacking or not isinstance(name, str):
        allowed = "allowed is an object with a name, encode() and decode()"
        raise InvalidInput(f"is a {type(given).__name__}; {allowed}", field="codec")
    if not is_codec_name(name):
        allowed = "allowed are 1 to 64 of A-Z a-z 0-9 . _ -, a letter first"
        raise InvalidInput(f"its name {name[:80]!r} is refused; {allowed}", field="codec")
    return cast(PayloadCodec, given)


def coded(store: JournalStore, codec: PayloadCodec | None) -> JournalStore:
    """The store itself where there is no codec."""
    return store if codec is None else cast(JournalStore, CodedStore(store, codec))


def coded_leases(leases: LeaseBackend, codec: PayloadCodec | None) -> LeaseBackend:
    """The backend itself, where there is no codec or it has no entries to tell."""
    return leases if codec is None or not leases.in_journal else cast(LeaseBackend, CodedLeases(leases, codec))


class CodedLeases:
    """Leases that stand in the journal: the entries that come with a claim pass through the codec too."""

    def __init__(self, leases: LeaseBackend, codec: PayloadCodec) -> None:
        self._leases = leases
        self._codec = codec

    def __getattr__(self, name: str) -> Any:
        return getattr(self._leases, name)

    def claim(self, queues: Sequence[str], **about: Any) -> Grants:
        grants = self._leases.claim(queues, **about)
        begun: dict[AttemptKey, tuple[EntryId, bytes]] = {}
        with suppress(BackendUnavailable):  # who reads the runs instead, as he must then, learns of it
            begun = {item: (entry_id, opened(self._codec, body)) for item, (entry_id, body) in grants.begun.items()}
        return structs.replace(grants, begun=begun)


class CodedStore:
    """Every method is the store's own, but those through which bodies pass."""

    def __init__(self, store: JournalStore, codec: PayloadCodec) -> None:
        self._store = store
        self._codec = codec

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def commit(self, groups: Sequence[Group]) -> list[Answer]:
        """``DataRefused`` where the codec can not seal one of the bodies; nothing is written then."""
        return self._store.commit([self._sealed_group(group) for group in groups])

    def read(self, reads: Sequence[ThreadRead], *, whole: bool = False) -> list[History]:
        return [self._opened_history(history) for history in self._store.read(reads, whole=whole)]

    def entry(self, thread: ThreadId, revision: int) -> Entry | None:
        found = self._store.entry(thread, revision)
        return None if found is None else self._opened_entry(found)

    @contextmanager
    def transaction(self, limit: timedelta) -> Iterator[StepTransaction]:
        with self._store.transaction(limit) as inner:
            yield CodedTransaction(inner, coded(inner.store, self._codec))

    def joined(self, connection: object) -> JournalStore:
        return coded(self._store.joined(connection), self._codec)

    # ------------------------------------------------------------------------------------------------------- inside

    def _sealed_group(self, group: Group) -> Group:
        return structs.replace(group, appends=tuple(map(self._sealed_append, group.appends)))

    def _sealed_append(self, append: Append) -> Append:
        checkpoint = None if append.checkpoint is None else self._sealed(append.checkpoint)
        return structs.replace(append, body=self._sealed(append.body), checkpoint=checkpoint)

    def _opened_history(self, history: History) -> History:
        checkpoint = history.checkpoint
        if checkpoint is not None:
            checkpoint = structs.replace(checkpoint, body=opened(self._codec, checkpoint.body))
        return History(checkpoint=checkpoint, tail=tuple(map(self._opened_entry, history.tail)))

    def _opened_entry(self, entry: Entry) -> Entry:
        return structs.replace(entry, body=opened(self._codec, entry.body))

    def _sealed(self, body: bytes) -> bytes:
        name = self._codec.name
        try:
            return sealed(name, self._codec.encode(body))
        except (BackendUnavailable, DataRefused):
            raise
        except Exception as error:
            raise DataRefused(f"the payload codec {name!r} can not seal it: {_why(error)}") from None


class CodedTransaction:
    """A step's transaction, whose journal has the codec too."""

    def __init__(self, inner: StepTransaction, store: JournalStore) -> None:
        self._inner = inner
        self.store = store

    @property
    def connection(self) -> Any:
        return self._inner.connection

    def require_whole(self) -> None:
        self._inner.require_whole()


def opened(codec: PayloadCodec, body: bytes) -> bytes:
    """As it was before it was sealed; one that never was, as it is. What can not be opened says why."""
    inside = sealed_part(codec.name, body)
    if inside is None:
        return body
    try:
        return codec.decode(inside)
    except BackendUnavailable:
        raise
    except Exception as error:
        return unopened(codec.name, _why(error))


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, CodecRefused) else type(error).__name__
