"""Where the CPU of a step goes, in one process, on each path: by CPU time; and what a step asks of its stores.

One thread does it all, by a pump whose slots are in it: its batches are as full as they can be, and waiting costs
nothing. A profiler makes calls dearer than they are: read the shares, and take the microseconds from the other tables.
"""

from __future__ import annotations

import cProfile
import pstats
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from squidmesh_postgres import PostgresBackend
from squidmesh_redis import RedisBackend
from squidmesh_sqlite import SqliteBackend

from benchmarks.beside.place import ROOM
from benchmarks.beside.results import Results
from benchmarks.beside.works import POSTGRES, REDIS, SQLITE
from benchmarks.journals import Journal, Ledger, linear, open_backend
from benchmarks.postgres import asked
from benchmarks.report import Printer, number
from squidmesh import Workflow
from squidmesh.cli.collector import collect_rarely
from squidmesh.runtime.chance import SystemClock
from squidmesh.testing.postgres import Postgres
from squidmesh.testing.servers import Server, available

FOLDER = Path(__file__).with_name("profiles")
STEPS = 3
CAPACITY = 64
_BIGGEST = 5
_FUNCTIONS = 20
_PLACES = (
    (re.compile(r"backends/(squidmesh_\w+)/"), r"\1"),
    (re.compile(r"/squidmesh/(\w+?)(?:\.py|/)"), r"squidmesh.\1"),
    (re.compile(r"site-packages/(\w+?)(?:\.py|/)"), r"\1"),
    (re.compile(r"benchmarks/"), "the benchmark"),
    (re.compile(r"python3\.\d+/(\w+?)(?:\.py|/)"), r"Python's \1"),
)
_ADDRESS = re.compile(" at 0x[0-9a-f]+")
_BUILT_IN = (
    ("sqlite3", "SQLite"),
    ("_Counted", "SQLite"),
    ("msgspec", "msgspec"),
    ("psycopg", "psycopg"),
    ("pydantic", "pydantic"),
)

Function = tuple[str, int, str]
"""File, line and name, as ``pstats`` has it."""
Stats = Mapping[Function, tuple[int, int, float, float, Mapping[Function, tuple[float, ...]]]]
"""Calls, own time and callers of each, as ``pstats`` has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """``groups``: seconds of CPU in the code of each part. ``functions``: seconds and calls of each function."""

    steps: int
    groups: Mapping[str, float]
    functions: Mapping[Function, tuple[float, int]]


def measure(runs: int, folder: Path, printer: Printer, results: Results) -> None:
    """Writes a file for each path, and adds the counts to the results. The process keeps the collector of a worker."""
    collect_rarely()
    folder.mkdir()
    for name, file, opened in (
        (SQLITE, "sqlite", _sqlite),
        (POSTGRES, "postgres", _postgres),
        (REDIS, "postgres-redis", _redis),
    ):
        printer.progress(f"profile: {name}")
        workflow = linear(STEPS)
        with opened(folder / f"counted-{file}", workflow, counted=True) as (journal, counting):
            counts = count(journal, counting, workflow, runs)
        with opened(folder / f"profiled-{file}", workflow, counted=False) as (journal, _):
            found = profile(journal, workflow, runs)
        (FOLDER / f"{file}.txt").write_text(text(name, found, counts))
        results.add("asked", name, counts)


Counting = Callable[[], Mapping[str, int]]
"""What the stores were asked until now."""


def count(journal: Journal, counting: Counting, workflow: type[Workflow], runs: int) -> dict[str, float]:
    """Of each kind, a step."""
    _ready(journal, workflow, runs)
    before = counting()
    journal.finish(capacity=CAPACITY)
    after = counting()
    return {name: (after[name] - before[name]) / runs / STEPS for name in after}


def profile(journal: Journal, workflow: type[Workflow], runs: int) -> Profile:
    _ready(journal, workflow, runs)
    # Of this thread only, and without the time that it waits.
    profiler = cProfile.Profile(time.thread_time)
    profiler.enable()
    journal.finish(capacity=CAPACITY)
    profiler.disable()
    stats = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    functions = {function: (row[2], row[1]) for function, row in stats.items()}
    return Profile(steps=runs * STEPS, groups=_grouped(stats), functions=functions)


def _ready(journal: Journal, workflow: type[Workflow], runs: int) -> None:
    """What is done once is not a step's."""
    journal.start(workflow, CAPACITY)
    journal.finish(capacity=CAPACITY)
    journal.start(workflow, runs)


def _grouped(
    stats: Mapping[Function, tuple[int, int, float, float, Mapping[Function, tuple[float, ...]]]],
) -> dict[str, float]:
    """Own time by part; what is built in belongs to those who call it."""
    groups: defaultdict[str, float] = defaultdict(float)
    for function, (_, _, own, _, callers) in stats.items():
        place = place_of(function)
        if place is not None:
            groups[place] += own
            continue
        for caller, row in callers.items():
            groups[place_of(caller) or "Python itself"] += row[2]
    return dict(groups)


def place_of(function: Function) -> str | None:
    """Whose code it is; None where it is built into Python."""
    file, _, name = function
    if file == "~":
        return next((place for word, place in _BUILT_IN if word in name), None)
    for pattern, place in _PLACES:
        found = pattern.search(file)
        if found:
            return found.expand(place)
    return "Python itself"


def text(name: str, found: Profile, counts: Mapping[str, float]) -> str:
    total = sum(found.groups.values())
    biggest = sorted(found.groups.items(), key=lambda each: -each[1])
    lines = [
        f"{name}: {found.steps:,} steps, {CAPACITY} in flight, one process",
        "",
        "What a step asks of its stores",
        *(f"  {number(value):>9}  {what}" for what, value in counts.items()),
        "",
        f"The {_BIGGEST} biggest costs, by whose code it is (share of our CPU)",
    ]
    for place, seconds in biggest[:_BIGGEST]:
        lines.append(f"  {seconds / total:9.1%}  {place}: {_dearest(found, place)}")
    lines += ["", "Functions by their own time (share, calls a step)"]
    functions = sorted(found.functions.items(), key=lambda each: -each[1][0])[:_FUNCTIONS]
    for (file, line, function), (own, calls) in functions:
        where = "" if file == "~" else f"  {_short(file)}:{line}"
        named = _ADDRESS.sub("", function)
        lines.append(f"  {own / total:9.1%} {calls / found.steps:8.2f}  {named}{where}")
    return "\n".join(lines) + "\n"


def _dearest(found: Profile, place: str) -> str:
    own = [(seconds, function[2]) for function, (seconds, _) in found.functions.items() if place_of(function) == place]
    return ", ".join(_ADDRESS.sub("", name) for _, name in sorted(own, reverse=True)[:3])


def _short(file: str) -> str:
    """Without the folders of the machine."""
    for start in ("site-packages/", "backends/", "/squidmesh/", "/benchmarks/"):
        _, found, rest = file.rpartition(start)
        if found:
            return (start.strip("/") + "/" + rest) if start in ("/squidmesh/", "/benchmarks/") else rest
    return Path(file).name


# ------------------------------------------------------------------------------------------------------------- paths


@contextmanager
def _sqlite(folder: Path, workflow: type[Workflow], *, counted: bool) -> Iterator[tuple[Journal, Counting]]:
    """Counting statements takes time, which must not be in a profile."""
    folder.mkdir()
    ledger = Ledger(statements=counted)
    backend = SqliteBackend(f"sqlite:///{folder / 'profile.db'}", clock=SystemClock(), factory=ledger.factory())
    backend.migrate()
    with open_backend(backend, workflow) as journal:

        def counting() -> Mapping[str, int]:
            found = ledger.read()
            return {
                "calls of SQLite": found.calls,
                "statements": found.statements,
                "durable commits": found.durable,
                "rows written": found.rows,
            }

        yield journal, counting


@contextmanager
def _postgres(
    folder: Path, workflow: type[Workflow], *, counted: bool, leases: RedisBackend | None = None
) -> Iterator[tuple[Journal, Counting]]:
    with Postgres(folder, durable=True, settings=(*ROOM, ("log_statement", "all" if counted else "none"))) as server:
        url = server.create_database("profile")
        backend = PostgresBackend(url)
        backend.migrate()
        with open_backend(backend, workflow, leases=leases) as journal:

            def counting() -> Mapping[str, int]:
                statements, _, written = asked(server, "profile")
                # Sessions tell of their transactions late; the server gives a number to each that writes, at once.
                ((number,),) = server.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
                return {
                    "statements": statements,
                    "commits that wrote": number,
                    "bytes of PostgreSQL's log": written,
                }

            yield journal, counting


@contextmanager
def _redis(folder: Path, workflow: type[Workflow], *, counted: bool) -> Iterator[tuple[Journal, Counting]]:
    with (
        Server(available()[-1], folder / "redis", aof=True) as running,
        _postgres(folder / "postgres", workflow, counted=counted, leases=RedisBackend(running.url)) as (
            journal,
            counting,
        ),
    ):

        def both() -> Mapping[str, int]:
            told = running.info("commandstats")
            scripts = [told.get(f"cmdstat_{name}", "calls=0") for name in ("evalsha", "eval")]
            return {**counting(), "scripts in Redis": sum(int(one.split(",")[0].split("=")[1]) for one in scripts)}

        yield journal, both
