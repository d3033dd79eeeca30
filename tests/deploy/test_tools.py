"""The tools of each trade find nothing wrong with the manifests, and would find it."""

import re
import shutil

import pytest
import yaml

from tests.deploy.manifests import COMPOSE, DEPLOY, KUBERNETES, topology
from tests.support import manifest_tools

pytestmark = [pytest.mark.all, pytest.mark.timeout(400)]
KUSTOMIZED = ("base", "overlays/example")
CUSTOM = {"ScaledObject", "PodMonitor"}


@pytest.fixture(scope="module")
def tools():
    return manifest_tools.installed()


@pytest.fixture
def copied(tmp_path):
    """A copy of deploy/, to be spoiled."""
    return shutil.copytree(DEPLOY, tmp_path / "tree" / "deploy")


def spoil(path, text, wrong):
    told = path.read_text()
    assert text in told
    path.write_text(told.replace(text, wrong, 1))


# ------------------------------------------------------------------------------------------------------------ compose


def test_compose_reads_the_file_and_means_what_we_mean(tools):
    assert tools.run("docker-compose", "-f", COMPOSE, "config", "-q").stderr == ""
    done = tools.run("docker-compose", "-f", COMPOSE, "--profile", "tools", "config")
    services = yaml.safe_load(done.stdout)["services"]
    for process in topology().processes.values():
        assert (services[process.name].get("command") or []) == process.command
        assert services[process.name].get("environment", {}) == process.environment
    assert services["worker"]["stop_grace_period"] == "45s"
    assert {port["host_ip"] for one in services.values() for port in one.get("ports", [])} == {"127.0.0.1"}


def test_compose_finds_what_is_wrong(tools, copied):
    file = copied / "compose" / "compose.yml"
    spoil(file, "stop_grace_period: 45s", "stop_grace_time: 45s")
    assert tools.run("docker-compose", "-f", file, "config", "-q").returncode != 0


# --------------------------------------------------------------------------------------------------------- kubernetes


def judged(tools, folder, tmp_path):
    """What kubernetes-validate says of what kustomize makes: its exit code, and the kinds that it has no schema for."""
    made = tools.run("kubectl", "kustomize", folder)
    assert (made.returncode, made.stderr) == (0, "")
    file = tmp_path / "made.yaml"
    file.write_text(made.stdout)
    done = tools.run("kubernetes-validate", "--strict", "--quiet", file)
    said = done.stdout + done.stderr
    return done.returncode, set(re.findall(r"schema for kind (\w+)", said)), said


@pytest.mark.parametrize("name", KUSTOMIZED)
def test_what_kustomize_makes_is_valid(tools, tmp_path, name):
    code, unknown, said = judged(tools, KUBERNETES / name, tmp_path)
    assert code == 0, said
    assert unknown == (CUSTOM if name != "base" else set())


@pytest.mark.parametrize(
    ("file", "text", "wrong"),
    [
        ("worker.yaml", "automountServiceAccountToken: false", "automountToken: false"),
        ("worker.yaml", "replicas: 3", "replicas: three"),
        ("network-policies.yaml", "policyTypes: [Ingress, Egress]", "policyTypes: Ingress"),
        ("migrate.yaml", "backoffLimit: 6", "backOffLimit: 6"),
    ],
)
def test_what_is_not_valid_is_found(tools, copied, tmp_path, file, text, wrong):
    spoil(copied / "kubernetes" / "base" / file, text, wrong)
    code, _, said = judged(tools, copied / "kubernetes" / "base", tmp_path)
    assert code != 0, said


def test_the_overlay_says_where_it_is_and_how_many(tools):
    made = tools.run("kubectl", "kustomize", KUBERNETES / "overlays" / "example")
    found = {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(made.stdout)}
    worker = found["Deployment", "squidmesh-worker"]
    assert "replicas" not in worker["spec"], "KEDA's business"
    assert found["Deployment", "squidmesh-cron"]["spec"]["replicas"] == 2
    assert {one["metadata"].get("namespace", "orders") for one in found.values()} == {"orders"}
    images = re.findall(r"image: (\S+)", made.stdout)
    assert set(images) == {"registry.example/orders:1.0.0"}
    for name, address in {"postgresql": "192.0.2.10/32", "redis": "192.0.2.20/32"}.items():
        (rule,) = found["NetworkPolicy", f"squidmesh-{name}"]["spec"]["egress"]
        assert rule["to"] == [{"ipBlock": {"cidr": address}}]
    # The first step of a new version is all but what runs steps: docs/operations.md.
    early = [one for one in found.values() if _component(one) not in ("worker", "cron")]
    assert ("Job", "squidmesh-migrate") in {(one["kind"], one["metadata"]["name"]) for one in early}
    assert not [one for one in early if one["kind"] == "Deployment"]


def _component(one):
    return one["metadata"].get("labels", {}).get("app.kubernetes.io/component")


# ---------------------------------------------------------------------------------------------------------- the image


@pytest.mark.parametrize("name", ["image/Dockerfile", "app/Dockerfile"])
def test_hadolint_finds_nothing_wrong(tools, name):
    done = tools.run("hadolint", DEPLOY / name)
    assert (done.returncode, done.stdout) == (0, "")


def test_hadolint_finds_what_is_wrong(tools, copied):
    file = copied / "image" / "Dockerfile"
    spoil(file, "WORKDIR /app", "WORKDIR app")
    assert "DL3000" in tools.run("hadolint", file).stdout
