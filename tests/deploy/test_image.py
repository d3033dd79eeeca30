"""The image is small in what it may do, built from what is locked, and its programs do what they say."""

import json
import os
import re
import runpy
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest

from squidmesh import Mesh
from squidmesh.sonar import Tokens
from tests.deploy.dockerfiles import Ignored, instructions
from tests.deploy.manifests import DEPLOY, ROOT
from tests.support.sonar_served import served as sonar

IMAGE = DEPLOY / "image"
FILE = instructions(IMAGE / "Dockerfile")
LAST = max(one.stage for one in FILE)


def rest_of(name: str) -> list[str]:
    """Of the instructions of that name in the last stage."""
    return [one.rest for one in FILE if one.name == name and one.stage == LAST]


# ----------------------------------------------------------------------------------------------------- the Dockerfile


def test_it_has_two_stages_and_the_last_one_takes_what_was_built():
    assert [one.rest for one in FILE if one.name == "FROM"] == ["python:${PYTHON} AS built", "python:${PYTHON}"]
    (base,) = [one.rest for one in FILE if one.name == "ARG" and one.stage == -1]
    assert re.fullmatch(r"PYTHON=3\.\d+-slim-\w+", base)
    assert "--from=built /opt/squidmesh /opt/squidmesh" in rest_of("COPY")
    assert not [run for run in rest_of("RUN") if "pip" in run or "apt" in run]


def test_it_runs_as_a_number_that_is_not_root_and_ends_by_sigterm():
    assert rest_of("USER") == ["10001:10001"]
    order = [one.name for one in FILE if one.stage == LAST]
    assert "RUN" not in order[order.index("USER") :]
    assert rest_of("STOPSIGNAL") == ["SIGTERM"]


def test_commands_are_lists_so_that_signals_reach_the_process():
    assert json.loads(rest_of("ENTRYPOINT")[0]) == ["python", "/opt/squidmesh/image/entrypoint.py"]
    assert json.loads(rest_of("CMD")[0]) == ["squidmesh", "worker"]
    (health,) = rest_of("HEALTHCHECK")
    options, _, command = health.partition("CMD ")
    assert json.loads(command) == ["python", "/opt/squidmesh/image/health.py"]
    assert dict(part.split("=") for part in options.split()).keys() == {
        "--interval",
        "--timeout",
        "--start-period",
        "--retries",
    }


def test_python_says_at_once_what_it_says_and_writes_nothing():
    told = dict(word.split("=", 1) for word in " ".join(rest_of("ENV")).split())
    assert told["PYTHONUNBUFFERED"] == told["PYTHONDONTWRITEBYTECODE"] == "1"
    assert told["SQUIDMESH_LISTEN"].startswith("127.0.0.1:"), "the world is let in by whoever runs it"
    assert "SQUIDMESH_APP" not in told, "migrate wants a store and no app"


def test_everything_that_is_installed_is_locked():
    installs = [part for one in FILE if one.name == "RUN" for part in one.rest.split("&&") if "pip" in part]
    for install in (part for part in installs if " install " in part):
        assert "--require-hashes" in install or "--no-index" in install, install
    assert all("--no-deps" in part for part in installs if " wheel " in part)


def test_what_is_copied_is_there_and_gets_through():
    ignored = Ignored(ROOT / ".dockerignore")
    for one in FILE:
        if one.name == "COPY" and not one.rest.startswith("--from"):
            for name in one.words[:-1]:
                assert (ROOT / name).exists(), name
                assert not ignored(name), name


@pytest.mark.parametrize(
    "name",
    [
        ".git/config",
        ".venv/bin/python",
        "deploy/compose/secrets/owner-url",
        "deploy/app/orders.py",
        "tests/conftest.py",
        "squidmesh/__pycache__/ids.cpython-311.pyc",
        "demo.db",
        "squidmesh/demo.db",
    ],
)
def test_what_is_none_of_its_business_does_not_get_through(name):
    assert Ignored(ROOT / ".dockerignore")(name)


def test_the_app_goes_on_top_and_changes_nothing_else():
    app = instructions(DEPLOY / "app" / "Dockerfile")
    assert [one.name for one in app] == ["ARG", "FROM", "COPY"]
    version = app[0].rest.partition(":")[2]
    assert f'version = "{version}"' in (ROOT / "pyproject.toml").read_text()
    assert f"ARG VERSION={version}" in (IMAGE / "Dockerfile").read_text()


def test_the_image_has_a_driver_for_each_store_of_production():
    locked = (ROOT / "requirements" / "image.txt").read_text()
    for package in ("psycopg==", "psycopg-binary==", "redis==", "hiredis==", "prometheus-client=="):
        assert f"\n{package}" in locked


def test_the_image_has_what_sonar_needs():
    locked = (ROOT / "requirements" / "image.txt").read_text()
    for package in ("starlette==", "jinja2==", "uvicorn=="):
        assert f"\n{package}" in locked


# ----------------------------------------------------------------------------------------------------- its programs


def entrypoint(*command, **environment):
    """Runs it as the image does."""
    return subprocess.run(
        [sys.executable, IMAGE / "entrypoint.py", *command],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
    )


TELL = (sys.executable, "-c", "import os; print({k: v for k, v in os.environ.items() if k[:2] in ('SQ', 'PG', 'SS')})")


def test_a_secret_comes_from_its_file_and_other_files_are_left_alone(tmp_path):
    (tmp_path / "url").write_text("postgresql://x:pass word@db/orders\n")
    done = entrypoint(*TELL, SQUIDMESH_URL_FILE=str(tmp_path / "url"), SSL_CERT_FILE="/etc/ca.pem")
    assert done.stdout.strip() == str(
        {"SSL_CERT_FILE": "/etc/ca.pem", "SQUIDMESH_URL": "postgresql://x:pass word@db/orders"}
    ), done.stderr


def test_the_exit_code_is_that_of_the_command():
    assert entrypoint("sh", "-c", "exit 7").returncode == 7


def test_what_can_not_be_read_is_refused_in_one_line(tmp_path):
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    refused = {
        "SQUIDMESH_URL_FILE: /nowhere: No such file or directory": {"SQUIDMESH_URL_FILE": "/nowhere"},
        f"PGPASSWORD_FILE: {tmp_path}/empty is empty": {"PGPASSWORD_FILE": f"{tmp_path}/empty"},
        f"SQUIDMESH_LEASES_FILE: {tmp_path}/binary: no UTF-8": {"SQUIDMESH_LEASES_FILE": f"{tmp_path}/binary"},
        "SQUIDMESH_URL and SQUIDMESH_URL_FILE exclude each other": {
            "SQUIDMESH_URL": "secret",
            "SQUIDMESH_URL_FILE": f"{tmp_path}/empty",
        },
    }
    for words, environment in refused.items():
        done = entrypoint("true", **environment)
        assert (done.returncode, done.stderr) == (2, f"entrypoint: {words}\n")
    assert entrypoint().returncode == 2
    assert entrypoint("/nowhere").stderr == "entrypoint: /nowhere: No such file or directory\n"


@pytest.fixture
def served():
    """A listener whose answer can be chosen."""
    chosen = SimpleNamespace(status=200, asked=[])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            chosen.asked.append(self.path)
            self.send_response(chosen.status)
            self.end_headers()
            self.wfile.write(b"the pump has ended\n")

        def log_message(self, format, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        chosen.listen = f"0.0.0.0:{server.server_port}"
        yield chosen
        server.shutdown()
        thread.join()


def health(listen, *path):
    done = subprocess.run(
        [sys.executable, IMAGE / "health.py", *path], env={"SQUIDMESH_LISTEN": listen}, capture_output=True, text=True
    )
    return done.returncode, done.stdout.strip()


def test_sonar_is_well_while_it_answers():
    tokens, _ = Tokens.for_this_machine("gandalf")
    with Mesh.connect("memory://") as mesh:
        with sonar(mesh, tokens) as address:
            listen = address.removeprefix("http://")
            assert health(listen, "/static/favicon.svg") == (0, "ok")
            assert health(listen, "/livez")[0] == 1
        assert health(listen, "/static/favicon.svg")[0] == 1


def test_health_is_what_livez_says(served):
    assert health(served.listen) == (0, "ok")
    served.status = 503
    assert health(served.listen) == (1, "503: the pump has ended")
    assert served.asked == ["/livez", "/livez"]


def test_who_does_not_listen_is_not_well(served):
    code, said = health("127.0.0.1:1")
    assert (code, "ConnectionRefusedError" in said) == (1, True)
    assert health("")[0] == 1


def test_an_address_of_all_interfaces_is_asked_on_loopback():
    address = runpy.run_path(str(IMAGE / "health.py"))["address"]
    assert address("0.0.0.0:9464") == address("9464") == ("127.0.0.1", 9464)
    assert address("[::]:9464") == ("::1", 9464)
    assert address("10.1.2.3:80") == ("10.1.2.3", 80)
