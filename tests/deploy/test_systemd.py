"""The units say what the list of processes says; systemd itself finds nothing wrong with them, and little exposed."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.deploy.by_hand import calls_of
from tests.deploy.manifests import CLOSING, ROOT, SYSTEMD, UNITS, topology, unit
from tests.support.debian import files_of

TOPOLOGY = topology()
BIN = "/opt/squidmesh/venv/bin"
WORKER, CRON, MIGRATE = "squidmesh-worker@.service", "squidmesh-cron.service", "squidmesh-migrate.service"
CONFINED = ROOT / "tests" / "support" / "confined.py"


def service(name):
    return unit(name)["Service"]


# ------------------------------------------------------------------------------------------------------ what they say


def test_there_is_a_unit_for_each_process_of_ours():
    assert set(UNITS) == {WORKER, CRON, MIGRATE}
    for name, process in {WORKER: "worker", CRON: "cron"}.items():
        assert service(name)["ExecStart"] == [f"{BIN}/{' '.join(TOPOLOGY.processes[process].command)}"]
    first, second = service(MIGRATE)["ExecStart"]
    assert first == f"{BIN}/{' '.join(TOPOLOGY.processes['migrate'].command)}"
    assert second == f"{BIN}/python /opt/squidmesh/rights.py"


@pytest.mark.parametrize("name", [WORKER, CRON])
def test_a_worker_is_told_and_has_time_to_drain(name):
    told = service(name)
    assert told["KillSignal"] == ["SIGTERM"]
    assert told["KillMode"] == ["mixed"], "SIGTERM is for the process that drains, not for the children that run steps"
    assert int(told["TimeoutStopSec"][0]) == TOPOLOGY.stop_after > TOPOLOGY.grace + CLOSING
    assert told["Restart"] == ["on-failure"]
    assert unit(name)["Unit"]["StartLimitIntervalSec"] == ["0"]
    assert unit(name)["Unit"]["PartOf"] == unit(name)["Install"]["WantedBy"] == ["squidmesh.target"]


def test_a_worker_says_when_it_is_ready_and_that_it_turns():
    told = service(WORKER)
    assert (told["Type"], told["NotifyAccess"]) == (["notify"], ["main"])
    assert int(told["WatchdogSec"][0]) >= 60, "not sooner than a lease"


def test_only_root_and_the_migration_know_the_owner():
    assert service(MIGRATE)["EnvironmentFile"] == ["/etc/squidmesh/owner.env"]
    for name in (WORKER, CRON):
        assert service(name)["EnvironmentFile"][0] == "/etc/squidmesh/squidmesh.env"
        assert "/etc/squidmesh/owner.env" not in service(name)["EnvironmentFile"]
    for example in SYSTEMD.glob("*.env.example"):
        assert not re.search(r"://[^:]+:(?!PASSWORD@)[^@]+@", example.read_text()), "an example's password"


@pytest.mark.parametrize("name", UNITS)
def test_each_is_confined_alike(name):
    told = service(name)
    assert told["User"] == ["squidmesh"]
    for key, value in {
        "NoNewPrivileges": "true",
        "ProtectSystem": "strict",
        "MemoryDenyWriteExecute": "true",
        "CapabilityBoundingSet": "",
        "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
    }.items():
        assert told[key] == [value]
    assert told["SystemCallFilter"] == ["@system-service", "~@privileged @resources"]


# -------------------------------------------------------------------------------------------- what systemd says of them


@pytest.fixture(scope="module")
def analyze():
    return files_of("systemd", "bin/systemd-analyze")[0]


@pytest.fixture
def host(tmp_path, analyze):
    """The files of a host on which they are installed as docs/bare-metal.md says."""
    shutil.copytree("/usr/lib/systemd/system", tmp_path / "usr/lib/systemd/system", symlinks=True)
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    for path in (*SYSTEMD.glob("*.service"), *SYSTEMD.glob("*.target")):
        shutil.copy(path, units)
    programs = tmp_path / BIN.lstrip("/")
    programs.mkdir(parents=True)
    for name in ("squidmesh", "python"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    return tmp_path


def started(name):
    return name.replace("@.", "@1.")


def verified(analyze, host, *names):
    """What it says; it exits with 0 whatever it finds."""
    command = [analyze, "verify", f"--root={host}", "--man=no", *names]
    return subprocess.run(command, capture_output=True, text=True, env={"PATH": os.environ["PATH"]}).stderr


@pytest.mark.all
def test_systemd_finds_nothing_wrong(analyze, host):
    assert verified(analyze, host, *map(started, UNITS), "squidmesh.target") == ""


@pytest.mark.all
@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("Type=notify", "Type=notifies"),
        ("WatchdogSec=60", "WatchdogSeconds=60"),
        (f"ExecStart={BIN}/squidmesh", f"ExecStart={BIN}/squidmush"),
    ],
)
def test_systemd_finds_what_is_wrong(analyze, host, line, wrong):
    path = host / "etc/systemd/system" / WORKER
    text = path.read_text()
    assert line in text
    path.write_text(text.replace(line, wrong))
    assert verified(analyze, host, started(WORKER)) != ""


@pytest.mark.all
@pytest.mark.parametrize("name", UNITS)
def test_little_of_the_host_is_exposed(analyze, host, name):
    """On systemd's scale from 0 to 10; an unconfined service has 9.6."""
    threshold = 15  # tenths
    command = [analyze, "security", f"--root={host}", "--offline=true", f"--threshold={threshold}", started(name)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-500:]

    path = host / "etc/systemd/system" / name
    path.write_text(path.read_text().replace("ProtectSystem=strict", "").replace("NoNewPrivileges=true", ""))
    assert subprocess.run(command, capture_output=True).returncode != 0, "the threshold can be passed"


@pytest.mark.all
def test_user_and_folders_are_made(host):
    users, folders = files_of("systemd", "bin/systemd-sysusers")[0], files_of("systemd", "bin/systemd-tmpfiles")[0]
    subprocess.run([users, f"--root={host}", SYSTEMD / "squidmesh.sysusers.conf"], check=True, capture_output=True)
    (line,) = [one for one in (host / "etc/passwd").read_text().splitlines() if one.startswith("squidmesh:")]
    assert line.endswith(":/opt/squidmesh:/usr/sbin/nologin")

    (host / "etc/squidmesh").mkdir()
    secret = host / "etc/squidmesh/squidmesh.env"
    secret.write_text("SQUIDMESH_URL=…\n")
    secret.chmod(0o644)
    done = subprocess.run(
        [folders, "--create", f"--root={host}", SYSTEMD / "squidmesh.tmpfiles.conf"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert secret.stat().st_mode & 0o777 == 0o600
    assert (host / "opt/squidmesh/app").is_dir()


@pytest.mark.all
@pytest.mark.parametrize(
    "forbidden",
    [
        "import os; os.setpriority(os.PRIO_PROCESS, 0, 5)",
        "import os; os.chroot('/')",
        "import mmap; mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)",
    ],
)
def test_what_the_units_forbid_is_refused_where_the_fleet_runs_confined(tmp_path, analyze, forbidden):
    """Else the fleet that is started by hand would show nothing by running under it."""
    calls = tmp_path / "calls"
    calls.write_text("\n".join(calls_of(unit(WORKER), analyze)))
    under = [sys.executable, CONFINED, calls, sys.executable, "-c"]
    assert subprocess.run([*under, "print()"], capture_output=True).returncode == 0
    done = subprocess.run([*under, forbidden], capture_output=True, text=True)
    assert done.returncode == 1
    assert "PermissionError" in done.stderr
