"""What each process of a bad day has asked of the journal and of the lease backend, and what it was told: JSON Lines.

One file a process, appended to and never rewritten. A line is handed to the system before the call that it tells of
begins, or before its answer is passed on; so a kill loses at most what was being written. The last line of a file may
be torn: it is noted, and passed over.

A call is one :class:`Invoke` line for each thing that it is about (``n`` counts them), and later as many of
:class:`Ok`, :class:`Fail` and :class:`Unknown`. A call without an outcome is unknown: its process died, or was frozen.

- *ok*: the other side has said what came of it, and it was done.
- *fail*: the other side has said that it was not done, and never will be.
- *unknown*: nobody said. It may have been done, it may be done later, or never. A time-out and a connection that was
  cut are unknown; they prove neither success nor failure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

SUFFIX = ".jsonl"

Operation = Literal[
    "append",  # one entry to one thread (journal)
    "prune",  # one thread goes (journal)
    "plane",  # the journal's plane was set; ``fence`` is its epoch
    "offer",
    "claim",
    "heartbeat",
    "adopt",
    "settle",  # also what rides in a commit on journal leases
    "handover",  # the item that a settlement creates leased
    "release",
    "shelve",
    "drop",
    "marker",  # the backend's marker was set; ``incarnation`` is the new one
]


class Line(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=str.lower, omit_defaults=True):
    """``mono``: nanoseconds on the machine's monotonic clock, which all its processes share until it is booted anew."""

    mono: int


class Began(Line, frozen=True, kw_only=True):
    """The first line of each file. ``process`` is its name in reports; ``boot`` says in which life of the machine
    ``mono`` counts. ``at``: the wall clock, in microseconds, for people.
    """

    process: str
    pid: int
    boot: str
    at: int


class Happening(Line, frozen=True, kw_only=True):
    """``call`` counts the calls of a process from 1. ``at``: the journal's time, as this process knew it."""

    call: int
    op: Operation
    n: int = 0
    at: int | None = None


class Subject(Happening, frozen=True, kw_only=True):
    """What a call is about, or was told of; a field is there where it means something for ``op``.

    ``run`` is a thread of any kind; ``step`` the runnable within it. ``claim`` is the *hash* of a claim id; the id
    itself is in no file. ``request``: the hash of a claim's request id. ``lease`` in microseconds. Of an append:
    ``revision`` is the one that the entry would have, ``entry`` its id, ``digest`` that of its stored bytes, ``group``
    the number of its group within the call; and of the claims that it records the first.
    """

    run: str | None = None
    step: str | None = None
    attempt: int | None = None
    generation: int | None = None
    fence: int | None = None
    claim: str | None = None
    owner: str | None = None
    lease: int | None = None
    delay: int | None = None
    queue: str | None = None
    incarnation: str | None = None
    request: str | None = None
    revision: int | None = None
    entry: str | None = None
    digest: str | None = None
    group: int | None = None

    @property
    def item(self) -> str | None:
        """``run/step#attempt``, where it is about one."""
        return None if self.step is None else f"{self.run}/{self.step}#{self.attempt}"


class Invoke(Subject, frozen=True, kw_only=True):
    """The call is about to be made."""


class Ok(Subject, frozen=True, kw_only=True):
    """``answer``: ``committed``; ``extended``, ``lost``, ``gone`` or ``forgotten``; ``granted``, with the claim as its
    subject: as many of these as there are grants, and then ``done``, which also stands for all that has no answer.
    """

    answer: str = "done"


class Fail(Happening, frozen=True, kw_only=True):
    """``answer``: ``conflict``, ``moved``, or the error's code."""

    answer: str


class Unknown(Happening, frozen=True, kw_only=True):
    """``answer``: the error's code, or its class."""

    answer: str


Harm = Literal[
    "worker_killed",  # a worker process ended without a word: I20
    "worker_stalled",  # stopped, frozen, or starved, and maybe on its feet again later
    "leases_lost",  # all that the lease backend held is gone: I18
    "leases_rolled_back",  # the end of it is gone: a failover, a power cut, an old dump
    "clock",  # a clock was moved, so that durations on it mean nothing while this lasts
    "store_away",  # the journal could not be reached
    "store_killed",  # nor could it, and of what did not wait for its disk (claims there, heartbeats) the end is gone
    "link",  # a connection was cut, slowed down, or lost answers
    "other",
]
"""What a fault does to what invariants speak of. The judge goes by this, and by no name of a fault."""


class Fault(Line, frozen=True, kw_only=True):
    """Something was done to the system on purpose. ``name``: of the fault; ``mark``: a number that joins its two lines
    (within one file). ``target``: what it was done to, such as a process's name or ``redis``. ``at``: the moment by the
    journal's clock, or by the wall clock of the machine that it runs on, in microseconds. ``detail``: for people.

    A fault that is over as soon as it is done, such as a kill, has both lines, one after the other.
    """

    name: str
    phase: Literal["applied", "healed"]
    mark: int
    harm: Harm
    at: int
    target: str = ""
    detail: str = ""


class Note(Line, frozen=True, kw_only=True):
    """Anything else that a report should show: ``run_started``, ``drained``, ``rebooted``."""

    name: str
    detail: str = ""


AnyLine = Began | Invoke | Ok | Fail | Unknown | Fault | Note

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AnyLine)


def digest(body: bytes) -> str:
    """What a history keeps of an entry's stored bytes."""
    return hashlib.blake2b(body, digest_size=8).hexdigest()


def encode(lines: Iterable[AnyLine]) -> bytes:
    """Whole lines, to be written at once."""
    return b"".join(_encoder.encode(line) + b"\n" for line in lines)


class Place(NamedTuple):
    """A line of a file. It prints as ``file:line``."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """``torn``: the last line of a file, which its writer could not end. Any other one is a fault of the evidence."""

    why: str
    torn: bool


Placed = tuple[Place, AnyLine | Unreadable]


def read_file(path: Path) -> Iterator[Placed]:
    """All lines in order; one at a time is held."""
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            place = Place(path.name, number)
            try:
                yield place, _decoder.decode(raw)
            except ValueError as error:
                yield place, Unreadable(why=str(error), torn=not raw.endswith(b"\n"))


Outcome = Literal["ok", "fail", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One thing that one process has asked, with what came of it. ``place`` is the line of its :class:`Invoke`, or of
    the answer for what a claim was granted. ``ended`` is None where no line tells an end; ``mono`` times are
    nanoseconds. ``told``: what the answer was about, of a claim the grant; else the same as ``asked``. A claim that was
    asked for again, since no answer had come, has ``begun`` with the first of its calls, which may have been granted.
    """

    process: str
    place: Place
    asked: Invoke
    outcome: Outcome
    answer: str
    begun: int
    ended: int | None
    told: Invoke | Ok

    @property
    def op(self) -> Operation:
        return self.asked.op


@dataclass(slots=True)
class Reader:
    """Walks over files of histories and joins the lines of each call. What it met besides calls is in its fields when
    the walk is over: ``faults``, ``notes``, ``torn`` and ``broken`` lines, and ``processes``.
    """

    faults: list[tuple[Place, Fault]] = field(default_factory=list)
    notes: list[tuple[Place, Note]] = field(default_factory=list)
    torn: list[Place] = field(default_factory=list)
    broken: list[tuple[Place, str]] = field(default_factory=list)
    processes: dict[str, Began] = field(default_factory=dict)
    lines: int = 0

    def calls(self, source: Iterable[Placed]) -> Iterator[Call]:
        """``source``: the lines of one file. Holds the calls that are not answered yet, and no more."""
        process = "?"
        open_calls: dict[tuple[int, int], tuple[Place, Invoke]] = {}
        unheard: dict[str | None, int] = {}
        """By request: since when a claim has been asked for that nobody has heard of."""
        for place, line in source:
            self.lines += 1
            match line:
                case Unreadable(torn=True):
                    self.torn.append(place)
                case Unreadable():
                    self.broken.append((place, line.why))
                case Began():
                    process = line.process
                    self.processes[process] = line
                case Fault():
                    self.faults.append((place, line))
                case Note():
                    self.notes.append((place, line))
                case Invoke():
                    open_calls[line.call, line.n] = place, line
                case Ok(answer="granted"):
                    asked = open_calls.get((line.call, 0))
                    if asked is None:
                        self.broken.append((place, f"call {line.call} is answered and was never begun"))
                        continue
                    begun_at = unheard.get(asked[1].request, asked[1].mono)
                    yield _call(process, place, asked[1], line, told=line, begun=begun_at)
                    # The claim itself stays open for its other grants; its last line closes it.
                case Ok() | Fail() | Unknown():
                    begun = open_calls.pop((line.call, line.n), None)
                    if begun is None:
                        self.broken.append((place, f"call {line.call} is answered and was never begun"))
                        continue
                    if begun[1].op == "claim":
                        if isinstance(line, Unknown):
                            unheard.setdefault(begun[1].request, begun[1].mono)
                        else:
                            unheard.pop(begun[1].request, None)
                    yield _call(process, begun[0], begun[1], line, told=begun[1], begun=begun[1].mono)
        for place, line in open_calls.values():
            yield Call(
                process=process,
                place=place,
                asked=line,
                outcome="unknown",
                answer="no_answer",
                begun=line.mono,
                ended=None,
                told=line,
            )


_OUTCOMES: Mapping[type[Happening], Outcome] = {Ok: "ok", Fail: "fail", Unknown: "unknown"}


def _call(
    process: str, place: Place, asked: Invoke, line: Ok | Fail | Unknown, *, told: Invoke | Ok, begun: int
) -> Call:
    return Call(
        process=process,
        place=place,
        asked=asked,
        outcome=_OUTCOMES[type(line)],
        answer=line.answer,
        begun=begun,
        ended=line.mono,
        told=told,
    )


def history_files(folder: Path) -> list[Path]:
    """In order of name. Empty where there is none; :func:`chaos.judge.judge` finds that red."""
    return sorted(folder.glob(f"*{SUFFIX}"))
