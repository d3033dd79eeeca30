"""A fleet under load while its PostgreSQL has a bad day: nothing is lost, nothing is recorded twice, and the same
processes go on when it is over.

Each scenario proves that its fault really happened, at a time when work was in flight. One fleet lives through some
of the commonest kinds; under the marker ``all``, each kind has a fleet of its own, and goes on for longer.
"""

import os
import random
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from chaos.wires.postgres_wire import APPENDS, STEP_APPENDS, STEP_COMMITS, PostgresWire
from squidmesh import NotFound
from squidmesh.testing.postgres_programs import Account
from tests.scenarios.deal import Deal
from tests.scenarios.fleet import WORKERS, until
from tests.scenarios.postgres_fleet import DATABASE, PostgresFleet
from tests.support.postgreses import VERSIONS, started
from tests.support.redises import started as redis_started

RUNS = 30
IMPATIENT = {"LOCK_TIMEOUT": 1.0, "PATIENCE": 3.0}
"""Seconds, in place of those that a worker has: a scenario waits for them."""
LOST = "the answer to a commit was lost"
AWAY = "can not be used now"
LISTENERS = (
    "SELECT pid FROM pg_stat_activity"
    " WHERE application_name = 'squidmesh wakeup' AND state = 'idle' AND query LIKE 'LISTEN%%' AND pid <> ALL (%s)"
)
SESSIONS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'squidmesh' AND datname = %s ORDER BY random()"


class Day:
    """A server with its fleet, and what stands between them. ``chance`` is the scenario's own."""

    def __init__(self, fleet: PostgresFleet, proxy: PostgresWire) -> None:
        self.fleet = fleet
        self.server = fleet.server
        self.proxy = proxy
        self.chance = random.Random(1)

    def in_flight(self) -> None:
        """Work that is begun, and not ended."""
        self.fleet.start_and_wait(RUNS, self.chance.randrange(5, RUNS))

    def said(self) -> "Said":
        return Said(self.fleet)

    def ends_well(self) -> None:
        self.fleet.start(5)
        self.fleet.finish()
        self.fleet.judge()

    def all_but_locked_ended(self) -> bool:
        with psycopg.connect(self.fleet.url) as other:
            asked = [self.fleet.open_runs()]
            free = "SELECT FROM squidmesh.threads WHERE thread = ANY (%s) LIMIT 1 FOR UPDATE SKIP LOCKED"
            return bool(asked[0]) and not other.execute(free, asked).fetchall()

    def ask(self, statement: str, *parameters: object) -> list[int]:
        return [number for (number,) in self.server.execute(statement, parameters, database=DATABASE)]


class Said:
    """What the workers have said from now on."""

    def __init__(self, fleet: PostgresFleet) -> None:
        self._fleet = fleet
        self._before = [len(fleet.log(worker)) for worker in fleet.workers]

    def __call__(self, words: str) -> int:
        """By how many workers."""
        pairs = zip(self._fleet.workers, self._before, strict=True)
        return sum(words in self._fleet.log(worker)[before:] for worker, before in pairs)


# ------------------------------------------------------------------------------------------------- what happens


def killed(day: Day) -> None:
    """The whole server, as when its machine dies."""
    day.in_flight()
    said = day.said()
    day.server.kill()
    until(lambda: said(AWAY) or said(LOST), "somebody to notice")
    day.server.start()


def one_killed(day: Day) -> None:
    """One process of the server, after which it ends all of them, and recovers."""
    day.in_flight()
    ended = day.server.log.read_text().count("terminating any other active server processes")
    os.kill(day.ask(SESSIONS, DATABASE)[0], signal.SIGKILL)
    until(
        lambda: day.server.log.read_text().count("terminating any other active server processes") > ended,
        "the end of the others",
    )


def terminated(day: Day) -> None:
    """Sessions, by an operator: half of them."""
    day.in_flight()
    sessions = day.ask(SESSIONS, DATABASE)
    for pid in sessions[: len(sessions) // 2 + 1]:
        day.server.execute("SELECT pg_terminate_backend(%s)", [pid])
    until(lambda: not set(sessions[: len(sessions) // 2 + 1]) & set(day.ask(SESSIONS, DATABASE)), "their end")


@contextmanager
def stopped_with_a_lock(day: Day) -> Iterator[int]:
    """A process of the server stands still in the middle of an append: it has locked the run's thread. It is stopped
    where it waits for a row that is ours for a moment. All runs end meanwhile, but those of that append.
    """
    (run_id,) = day.fleet.hold(1)
    day.fleet.start(RUNS)
    said = day.said()
    waiting = (
        "SELECT pid FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))"
        " AND query LIKE '%%thread text, expected integer%%'"
    )
    with psycopg.connect(day.fleet.url) as ours:
        ours.execute("SELECT FROM squidmesh.agenda WHERE run_id = %s FOR UPDATE", [run_id])
        day.fleet.let_go()
        until(lambda: day.ask(waiting, ours.info.backend_pid), "an append that waits for us")
        (pid,) = day.ask(waiting, ours.info.backend_pid)
        os.kill(pid, signal.SIGSTOP)
    try:
        with psycopg.connect(day.fleet.url) as other, pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute("SELECT FROM squidmesh.threads WHERE thread = %s FOR UPDATE NOWAIT", [run_id])
        until(lambda: said("run_locked") or said("claim_refused"), "somebody to lose patience with the lock", within=60)
        until(lambda: day.all_but_locked_ended(), "the runs to end that are not locked", within=60)
        assert run_id in day.fleet.open_runs()
        yield pid
    finally:
        os.kill(pid, signal.SIGCONT)


def stopped_and_continued(day: Day) -> None:
    with stopped_with_a_lock(day):
        pass


def stopped_and_killed(day: Day) -> None:
    with stopped_with_a_lock(day) as pid:
        os.kill(pid, signal.SIGKILL)


def frozen(day: Day) -> None:
    """For longer than its clients' patience. An append that was on its way is done when it goes on, and nobody hears of
    it.
    """
    day.in_flight()
    said = day.said()
    day.proxy.first(day.server.freeze, before=APPENDS)
    try:
        until(lambda: said(LOST), "somebody's patience to end", within=60)
    finally:
        day.server.resume()


def answers_lost(day: Day) -> None:
    """Those to appends, and to appends and commits of steps: some were carried out, and some may have been."""
    for early in (False, True):
        for to, told in ((APPENDS, LOST), (STEP_APPENDS, AWAY), (STEP_COMMITS, "commit_settled")):
            before, said = len(day.proxy.lost), day.said()
            day.in_flight()
            day.proxy.lose(3, to, early=early)
            until(lambda before=before: len(day.proxy.lost) == before + 3, "the loss of three answers")  # type: ignore[misc]
            until(lambda said=said, told=told: said(told), f"a worker to say {told}")  # type: ignore[misc]


def words_lost(day: Day) -> None:
    """Nobody hears that there is work. Polling finds it; and they listen again."""
    until(lambda: len(day.ask(LISTENERS, [])) == len(day.fleet.workers), "the listeners")
    old = day.ask(LISTENERS, [])
    day.in_flight()
    for pid in old:
        day.server.execute("SELECT pg_terminate_backend(%s)", [pid])
    until(lambda: len(day.ask(LISTENERS, old)) == len(day.fleet.workers), "them to listen again")


SCENARIOS = (
    killed,
    one_killed,
    terminated,
    stopped_and_continued,
    stopped_and_killed,
    frozen,
    answers_lost,
    words_lost,
)
TIMES: dict[Callable[[Day], None], int] = {stopped_and_continued: 2, stopped_and_killed: 2, frozen: 2}
"""In a row, where it is not five: what each takes is mostly waiting."""
BEHIND_REDIS = (killed, one_killed, terminated)


# ---------------------------------------------------------------------------------------------------- the fleets


@contextmanager
def day_of(
    folder: Path, templates: Path, *, redis: bool = False, sweep: float = 3.0, workers: int = WORKERS
) -> Iterator[Day]:
    with ExitStack() as stack:
        postgres = stack.enter_context(started(VERSIONS[0], folder / "postgres", templates=templates))
        valkey = stack.enter_context(redis_started("valkey", folder / "valkey", aof=True)) if redis else None
        proxy = stack.enter_context(PostgresWire(postgres.port))
        fleet = PostgresFleet(
            folder, postgres, redis=valkey, port=proxy.port, limits=IMPATIENT, sweep=sweep, workers=workers
        )
        yield Day(stack.enter_context(fleet), proxy)


class Fleets:
    """One, for as long as all goes well with it."""

    def __init__(self, tmp_path_factory: pytest.TempPathFactory, templates: Path) -> None:
        self._folders = tmp_path_factory
        self._templates = templates
        self._stack = ExitStack()
        self._day: Day | None = None

    def today(self) -> Day:
        if self._day is None:
            self._day = self._stack.enter_context(day_of(self._folders.mktemp("fleet"), self._templates))
        return self._day

    def close(self) -> None:
        self._day = None
        self._stack.close()


@pytest.fixture(scope="module")
def fleets(tmp_path_factory: pytest.TempPathFactory, postgres_templates: Path) -> Iterator[Fleets]:
    fleets = Fleets(tmp_path_factory, postgres_templates)
    yield fleets
    fleets.close()


@pytest.mark.parametrize("scenario", (killed, answers_lost, frozen), ids=lambda scenario: scenario.__name__)
def test_a_bad_day(scenario: Callable[[Day], None], fleets: Fleets) -> None:
    day = fleets.today()
    try:
        scenario(day)
        day.ends_well()
    except BaseException:
        print(day.fleet.logs()[-10_000:])
        fleets.close()
        raise


def _long() -> Iterator[object]:
    for scenario in SCENARIOS:
        for plane in ("journal", "redis") if scenario in BEHIND_REDIS else ("journal",):
            yield pytest.param(scenario, plane, id=f"{scenario.__name__}-{plane}")


@pytest.mark.all
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("scenario", "plane"), list(_long()))
def test_bad_days_in_a_row(
    scenario: Callable[[Day], None], plane: str, tmp_path: Path, postgres_templates: Path
) -> None:
    with day_of(tmp_path, postgres_templates, redis=plane == "redis") as day:
        day.chance.seed(f"{scenario.__name__} {plane}")
        for _ in range(TIMES.get(scenario, 5)):
            scenario(day)
        day.ends_well()


# ------------------------------------------------------------------------------------------- a host's transaction


def test_a_start_in_a_transaction_that_stays_open_for_long_is_offered_when_it_commits(
    tmp_path: Path, postgres_templates: Path
) -> None:
    """Reconcilers pass over it again and again, and must not count it as passed. Nothing would sweep it up: that has a
    period of an hour here.
    """
    with day_of(tmp_path, postgres_templates, redis=True, sweep=3600, workers=2) as day:
        with psycopg.connect(day.fleet.url) as one, psycopg.connect(day.fleet.url) as other:
            kept = day.fleet.mesh.start_run(Deal, {"number": 1001}, connection=one)
            left = day.fleet.mesh.start_run(Deal, {"number": 1002}, connection=other)
            for _ in range(3):
                day.fleet.start(10)
                day.fleet.finish()  # each of their steps was news to a pass
            assert day.ask("SELECT count(*) FROM squidmesh.runs WHERE run_id = %s", kept.run_id) == [0]
            one.commit()
            other.rollback()
        day.fleet.runs.append(kept.run_id)
        day.fleet.finish(within=20)
        day.fleet.judge()
        with pytest.raises(NotFound):
            day.fleet.mesh.inspect_run(left.run_id)
        for table, column in (("threads", "thread"), ("entries", "thread"), ("runs", "run_id"), ("agenda", "run_id")):
            counted = f"SELECT count(*) FROM squidmesh.{table} WHERE {column} = %s"
            assert day.ask(counted, left.run_id) == [0], table


# ----------------------------------------------------------------------------------------------------- a full disk


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """A file system of its own, in memory."""
    if os.geteuid() != 0:
        pytest.skip("a full disk needs root, who may mount a small one")
    folder = Path(tempfile.mkdtemp(prefix="squidmesh-disk-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)
        folder.rmdir()


def fill(disk: Path) -> Path:
    """A file that takes all that is left."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    return ballast


@pytest.mark.all
@pytest.mark.timeout(300)
@pytest.mark.parametrize("full", ["log", "tables"])
def test_the_disk_is_full(full: str, tmp_path: Path, postgres_templates: Path) -> None:
    """The server's whole data, its log included, after which it can not even recover; or only that of the tables.
    Workers say so aloud; what was acknowledged is there, and what was not is done when there is room again.
    """
    with small_disk(150) as disk, ExitStack() as stack:
        folder = disk if full == "log" else tmp_path
        server = stack.enter_context(started(VERSIONS[0], folder, templates=postgres_templates))
        tablespace = None
        if full == "tables":
            (disk / "tables").mkdir()
            Account.of_servers().own(disk / "tables")
            server.execute(f"CREATE TABLESPACE small LOCATION '{disk / 'tables'}'")
            tablespace = "small"
        fleet = stack.enter_context(PostgresFleet(tmp_path, server, limits=IMPATIENT, tablespace=tablespace))
        day = Day(fleet, stack.enter_context(PostgresWire(server.port)))
        for _ in range(2):
            fleet.start_and_wait(200, 20)
            said = day.said()
            ballast = fill(disk)
            if full == "log":
                with suppress(psycopg.Error):  # it ends of that
                    server.execute("SELECT pg_switch_wal(), pg_logical_emit_message(true, 'x', repeat('x', 40000000))")
            noticed = AWAY if full == "log" else "No space left on device"
            until(lambda said=said, noticed=noticed: said(noticed), "somebody to notice")  # type: ignore[misc]
            ballast.unlink()
            if not server.running:
                server.start()
            day.ends_well()
