"""The compose file says what the list of processes says, shows no secret, and is open to this machine only."""

import re
import stat
import subprocess
import sys

import pytest
import yaml

from squidmesh.sonar import Tokens, Visitor
from tests.deploy.manifests import CLOSING, COMPOSE, DEPLOY, ROOT, topology

TOPOLOGY = topology()
FILE = yaml.safe_load(COMPOSE.read_text())
SERVICES = FILE["services"]
UNTIL = {
    "healthy": "service_healthy",
    "completed": "service_completed_successfully",
    "started": "service_started",
}


def test_it_has_the_processes_of_the_list_and_a_command_line():
    assert set(SERVICES) - {"cli", "sonar"} == set(TOPOLOGY.processes)
    assert (SERVICES["cli"]["profiles"], SERVICES["sonar"]["profiles"]) == (["tools"], ["sonar"])


@pytest.mark.parametrize("process", TOPOLOGY.processes.values(), ids=lambda process: process.name)
def test_a_service_is_what_the_list_says(process):
    service = SERVICES[process.name]
    assert service.get("command", []) == process.command
    assert service.get("environment", {}) == process.environment
    after = {name: UNTIL[until] for name, until in process.after.items()}
    assert {name: row["condition"] for name, row in service.get("depends_on", {}).items()} == after
    assert service.get("deploy", {}).get("replicas", 1) == process.instances
    published = [int(port.rpartition(":")[2]) for port in service.get("ports", [])]
    assert published + [int(port) for port in service.get("expose", [])] == process.ports
    if process.once:
        assert service["restart"] == "no"
        assert service["healthcheck"] == {"disable": True}
    else:
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    if process.health and process.name not in ("worker", "cron"):
        assert service["healthcheck"]["test"][-1].endswith(f":{process.ports[0]}{process.health}")


def test_who_is_waited_for_starts_before_and_so_ends_after():
    order = list(TOPOLOGY.processes)
    for process in TOPOLOGY.processes.values():
        assert all(order.index(name) < order.index(process.name) for name in process.after)


@pytest.mark.parametrize("name", ["worker", "cron"])
def test_there_is_time_to_drain_before_the_kill(name):
    service = SERVICES[name]
    assert service["stop_grace_period"] == f"{TOPOLOGY.stop_after}s"
    assert service["stop_signal"] == "SIGTERM"
    assert TOPOLOGY.stop_after > TOPOLOGY.grace + CLOSING
    assert f"--grace={TOPOLOGY.grace}" in TOPOLOGY.processes["worker"].command


def test_what_is_published_is_published_on_loopback():
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published == ["127.0.0.1:8377:8377", "127.0.0.1:9090:9090", "127.0.0.1:3000:3000"]
    assert FILE["networks"]["stores"] == {"internal": True}
    for store in ("postgres", "redis"):
        assert SERVICES[store]["networks"] == ["stores"]


def test_secrets_are_files_and_none_stands_in_the_file():
    assert all(list(secret) == ["file"] for secret in FILE["secrets"].values())
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|URL|LEASES|SECRET|TOKEN", variable):
                assert variable.endswith("_FILE"), f"{name}: {variable}"
                assert value.removeprefix("/run/secrets/") in service["secrets"], f"{name}: {variable}"
    assert not re.search(r"://[^\s/]*:[^\s/]*@", COMPOSE.read_text())


def test_nobody_gets_a_secret_that_is_not_for_them():
    had = {name: set(service.get("secrets", [])) for name, service in SERVICES.items()}
    assert [name for name, secrets in had.items() if "owner-url" in secrets] == ["migrate", "rights"]
    assert [name for name, secrets in had.items() if "postgres-password" in secrets] == ["postgres"]
    assert set(FILE["secrets"]) == set().union(*had.values())


@pytest.mark.parametrize("name", ["migrate", "rights", "worker", "cron", "cli", "sonar"])
def test_our_containers_can_do_no_more_than_they_need(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "user" not in service, "the image's own, which is not root"
    assert "privileged" not in service and "cap_add" not in service


def test_every_image_has_a_version():
    for name, service in SERVICES.items():
        assert re.fullmatch(r"[a-z0-9/]+:v?\d[\w.-]*", service["image"]), name
    assert f'version = "{SERVICES["worker"]["image"].partition(":")[2]}"' in (ROOT / "pyproject.toml").read_text()


def test_prometheus_and_grafana_find_what_is_made_for_them():
    mounted = [volume for name in ("prometheus", "grafana") for volume in SERVICES[name]["volumes"] if ".." in volume]
    assert mounted == [
        "../prometheus/prometheus.yml:/etc/prometheus/prometheus.yml:ro",
        "../prometheus/rules:/etc/prometheus/rules:ro",
        "../../grafana/provisioning:/etc/grafana/provisioning:ro",
        "../../grafana/dashboards:/var/lib/grafana/dashboards:ro",
    ]


def test_every_file_that_is_mounted_is_there():
    mounted = [
        (COMPOSE.parent / volume.partition(":")[0]).resolve()
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if volume.startswith(".")
    ]
    names = [path.relative_to(ROOT).as_posix() for path in mounted]
    assert [name for name in names if not (ROOT / name).exists()] == []
    assert "backends/squidmesh_redis/users.acl" in names, "the only list of what our user may do"


def test_secrets_are_made_once_and_their_folder_is_closed(tmp_path):
    folder = tmp_path / "secrets"

    def make():
        command = [sys.executable, DEPLOY / "compose" / "make_secrets.py", folder]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    told = make()

    assert sorted(path.name for path in folder.iterdir()) == sorted([*FILE["secrets"], "sonar-token"])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    before = {path.name: path.read_text() for path in folder.iterdir()}
    assert make() == f"{folder}: all there already\n"
    assert {path.name: path.read_text() for path in folder.iterdir()} == before
    assert before["owner-password"].strip() in before["owner-url"]
    assert len(set(before.values())) == len(before)
    assert not [secret for secret in before.values() if secret.strip() in told]
    visitor = Tokens.read(folder / "sonar-tokens").sign_in(before["sonar-token"].strip())
    assert visitor == Visitor(actor="operator", role="operator")


def test_sonar_lets_nobody_in_without_a_token_and_its_health_is_asked_where_it_listens():
    service = SERVICES["sonar"]
    assert service["command"] == ["squidmesh", "sonar", "--listen=0.0.0.0:8377", "--tokens=/run/secrets/sonar-tokens"]
    assert [name for name, one in SERVICES.items() if "sonar-tokens" in one.get("secrets", [])] == ["sonar"]
    assert service["environment"]["SQUIDMESH_LISTEN"] == "0.0.0.0:8377"
    assert service["healthcheck"]["test"] == [
        *("CMD", "python", "/opt/squidmesh/image/health.py", "/static/favicon.svg")
    ]
    assert "watch" not in service["networks"]


def test_git_does_not_know_the_secrets():
    assert "/deploy/compose/secrets/" in (ROOT / ".gitignore").read_text().splitlines()
