"""A real systemd, in a container, runs the units as docs/bare-metal.md says: migrates, starts, restarts and drains."""

import os
import shutil
import signal
import subprocess
from functools import partial

import pytest

from squidmesh.testing.processes import free_port
from tests.deploy.by_hand import IMAGE, ByHand, get, until
from tests.deploy.manifests import DEPLOY, ROOT, SYSTEMD
from tests.support.debian import files_of
from tests.support.nspawn import Container

pytestmark = [pytest.mark.all, pytest.mark.timeout(400)]
WORKERS = ("squidmesh-worker@1.service", "squidmesh-worker@2.service")
CRON = "squidmesh-cron.service"


@pytest.fixture
def fleet(tmp_path):
    """The stores, by hand."""
    with ByHand(tmp_path / "stores") as fleet:
        yield fleet


@pytest.fixture
def ports():
    return {unit: free_port() for unit in (*WORKERS, CRON)}


@pytest.fixture
def prepared(tmp_path, fleet, ports):
    """What the page says to install, in a folder. The environment is of the system's Python: root's own is hidden."""
    folder = tmp_path / "prepared"
    units, told, ours = folder / "etc/systemd/system", folder / "etc/squidmesh", folder / "opt/squidmesh"
    for made in (units / "squidmesh.target.wants", told, ours, folder / "usr/lib/sysusers.d"):
        made.mkdir(parents=True)
    shutil.copytree(DEPLOY / "app", ours / "app", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(IMAGE / "rights.py", ours)
    install(ours / "venv")
    for path in (*SYSTEMD.glob("*.service"), *SYSTEMD.glob("*.target")):
        shutil.copy(path, units)
    for unit in (*WORKERS, CRON):
        (units / "squidmesh.target.wants" / unit).symlink_to(f"../{unit.replace('@1', '@').replace('@2', '@')}")
    shutil.copy(SYSTEMD / "squidmesh.sysusers.conf", folder / "usr/lib/sysusers.d/squidmesh.conf")

    write(told / "owner.env", SQUIDMESH_URL=fleet.secret("owner-url"))
    urls = {"SQUIDMESH_URL": fleet.secret("worker-url"), "SQUIDMESH_LEASES": fleet.secret("leases-url")}
    write(told / "squidmesh.env", SQUIDMESH_APP="orders:mesh", SQUIDMESH_LOG_FORMAT="json", **urls)
    for name, unit in {"worker-1": WORKERS[0], "worker-2": WORKERS[1], "cron": CRON}.items():
        write(told / f"{name}.env", SQUIDMESH_LISTEN=f"127.0.0.1:{ports[unit]}")
    return folder


def install(venv):
    uv = os.environ.get("SQUIDMESH_UV") or shutil.which("uv") or str(ROOT / ".tools/bin/uv")
    python = files_of("python3-minimal", "bin/python3")[0]
    pip = [uv, "pip", "install", "--quiet", "--python", venv / "bin" / "python"]
    environment = {name: value for name, value in os.environ.items() if name != "UV_PYTHON"}
    for command in (
        [uv, "venv", "--quiet", "--relocatable", "--python", python, venv],
        [*pip, "--require-hashes", "-r", ROOT / "requirements" / "image.txt"],
        [*pip, "--no-deps", ROOT],
    ):
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr


def write(path, **variables):
    path.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    path.chmod(0o600)


def ready(port):
    try:
        return get(f"http://127.0.0.1:{port}/readyz") == (200, "ok\n")
    except OSError:
        return False


def test_systemd_migrates_starts_restarts_and_drains_the_fleet(tmp_path, fleet, ports, prepared):
    with Container(tmp_path / "container", prepared) as container:
        container.run("systemd-sysusers")
        container.run("systemctl", "start", "squidmesh-migrate")
        container.run("systemctl", "start", "squidmesh.target")
        for unit, port in ports.items():
            until(partial(ready, port), f"{unit} to be ready")

        # Confined as the unit says.
        first = container.show(WORKERS[0], "MainPID", "User", "NRestarts")
        assert first["User"] == "squidmesh"
        status = container.run("cat", f"/proc/{first['MainPID']}/status")
        for line in ("NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000"):
            assert line in status

        app = fleet.mesh()
        with app["mesh"] as mesh:
            run = mesh.start_run(app["Fulfil"].placed, app["Order"](order_id="1", amount=1))
            assert mesh.wait_for(run.run_id, timeout=60).status == "completed"

            # Who dies is started again, and works.
            container.run("kill", f"-{signal.SIGKILL.value}", first["MainPID"])
            until(lambda: container.show(WORKERS[0], "NRestarts")["NRestarts"] == "1", "the restart")
            until(partial(ready, ports[WORKERS[0]]), "the new process")
            run = mesh.start_run(app["Fulfil"].placed, app["Order"](order_id="2", amount=1))
            assert mesh.wait_for(run.run_id, timeout=60).status == "completed"

        container.run("systemctl", "stop", "squidmesh.target", "squidmesh-worker@*", CRON)
        for unit in (*WORKERS, CRON):
            told = container.show(unit, "ActiveState", "Result", "ExecMainStatus")
            assert told == {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}
        logs = container.run("journalctl", "--output=cat", "--unit=squidmesh-*")
        assert logs.count('"event": "worker_drains"') == 2
        assert not [
            secret for secret in (fleet.secret("worker-password"), fleet.secret("redis-password")) if secret in logs
        ]
