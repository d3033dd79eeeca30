"""The manifests say what the list of processes says, and their pods may do no more than they need."""

import re

import pytest
import yaml

from tests.deploy.manifests import KUBERNETES, ROOT, containers, documents, of_kind, pods, topology

TOPOLOGY = topology()
BASE = documents(KUBERNETES / "base")
DEPLOYMENTS = of_kind("Deployment", KUBERNETES / "base")
JOBS = of_kind("Job", KUBERNETES / "base")
POLICIES = of_kind("NetworkPolicy", KUBERNETES / "base")
SETTINGS = of_kind("ConfigMap", KUBERNETES / "base")["squidmesh"]["data"]
SECRETS = "/run/secrets/squidmesh"


def told(container):
    """The environment of a container, with the settings if it takes them."""
    settings = SETTINGS if {"configMapRef": {"name": "squidmesh"}} in container.get("envFrom", []) else {}
    return settings | {row["name"]: row["value"] for row in container.get("env", [])}


def container_of(name):
    if name in ("migrate", "rights"):
        spec = JOBS["squidmesh-migrate"]["spec"]["template"]["spec"]
    else:
        spec = DEPLOYMENTS[f"squidmesh-{name}"]["spec"]["template"]["spec"]
    (found,) = [one for one in containers(spec) if one["name"] == name]
    return found


@pytest.mark.parametrize("name", ["migrate", "rights", "worker", "cron"])
def test_a_container_is_what_the_list_says(name):
    process, container = TOPOLOGY.processes[name], container_of(name)
    assert container["args"] == process.command
    assert "command" not in container, "the image's entry point brings the secrets"
    expected = {key: value.replace("/run/secrets", SECRETS) for key, value in process.environment.items()}
    assert told(container) == expected
    assert [port["containerPort"] for port in container.get("ports", [])] == process.ports


@pytest.mark.parametrize("name", ["worker", "cron"])
def test_it_is_asked_how_it_is_and_has_time_to_drain(name):
    container, pod = container_of(name), DEPLOYMENTS[f"squidmesh-{name}"]["spec"]["template"]["spec"]
    for probe, path in {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}.items():
        assert container[probe]["httpGet"] == {"path": path, "port": "http"}
    liveness = container["livenessProbe"]
    assert liveness["periodSeconds"] * liveness["failureThreshold"] >= 60, "not sooner than a lease"
    assert pod["terminationGracePeriodSeconds"] == TOPOLOGY.stop_after
    assert DEPLOYMENTS[f"squidmesh-{name}"]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 1
    assert pod["topologySpreadConstraints"]


def test_there_are_as_many_workers_as_in_the_list():
    assert DEPLOYMENTS["squidmesh-worker"]["spec"]["replicas"] == TOPOLOGY.processes["worker"].instances


def test_the_rights_are_given_after_the_migration():
    spec = JOBS["squidmesh-migrate"]["spec"]["template"]["spec"]
    assert [one["name"] for one in spec["initContainers"]] == ["migrate"]
    assert [one["name"] for one in spec["containers"]] == ["rights"]


@pytest.mark.parametrize(
    ("workload", "pod"), list(pods(BASE)), ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_pod_keeps_to_the_restricted_standard(workload, pod):
    context = pod["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] == context["runAsGroup"] == context["fsGroup"] == 10001
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["serviceAccountName"] == "squidmesh"
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert {"hostNetwork", "hostPID", "hostIPC"}.isdisjoint(pod)
    assert all(set(volume) - {"name"} <= {"secret", "emptyDir"} for volume in pod["volumes"])
    for one in containers(pod):
        assert one["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert one["resources"]["requests"].keys() == {"cpu", "memory"}
        assert "memory" in one["resources"]["limits"] and "cpu" not in one["resources"]["limits"]


def test_the_service_account_has_no_token_and_nobody_has_a_role():
    assert of_kind("ServiceAccount")["squidmesh"]["automountServiceAccountToken"] is False
    assert not {"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding", "Secret"} & {
        one["kind"] for one in documents(KUBERNETES)
    }


def test_a_pod_sees_the_secrets_that_it_needs():
    for workload, pod in pods(BASE):
        (volume,) = [one["secret"] for one in pod["volumes"] if "secret" in one]
        seen = {item["key"] for item in volume["items"]}
        files = {value for one in containers(pod) for key, value in told(one).items() if key.endswith("_FILE")}
        assert {f"{SECRETS}/{key}" for key in seen} == files, workload
        assert volume["secretName"] == "squidmesh-stores"
        assert volume["defaultMode"] == 0o440


def test_selectors_and_labels_agree():
    labels = {name: one["spec"]["template"]["metadata"]["labels"] for name, one in (DEPLOYMENTS | JOBS).items()}
    for name, one in DEPLOYMENTS.items():
        assert one["spec"]["selector"]["matchLabels"] == labels[name]
    for name, one in of_kind("PodDisruptionBudget").items():
        assert one["spec"]["selector"]["matchLabels"] == labels[name]
        assert one["spec"]["maxUnavailable"] == 1


def test_the_network_is_closed_but_for_stores_names_and_scrapes():
    deny = POLICIES["squidmesh-deny"]["spec"]
    assert deny == {
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "squidmesh"}},
        "policyTypes": ["Ingress", "Egress"],
    }
    out = {
        name: {port["port"] for rule in one["spec"]["egress"] for port in rule["ports"]}
        for name, one in POLICIES.items()
        if "egress" in one["spec"]
    }
    assert out == {"squidmesh-dns": {53}, "squidmesh-postgresql": {5432}, "squidmesh-redis": {6379}}
    inwards = {name: one["spec"]["ingress"] for name, one in POLICIES.items() if "ingress" in one["spec"]}
    assert list(inwards) == ["squidmesh-scrapes"]
    (rule,) = inwards["squidmesh-scrapes"]
    assert rule["ports"] == [{"protocol": "TCP", "port": "http"}]
    for one in POLICIES.values():
        for rule in [*one["spec"].get("egress", []), *one["spec"].get("ingress", [])]:
            assert all(peer for peer in rule.get("to", []) + rule.get("from", [])), "an empty peer is everybody"
            assert rule.get("to") or rule.get("from")


# ---------------------------------------------------------------------- custom resources: no schema of them is at hand


NUMBER, TEXT = int, str
SCALED_OBJECT = {
    "scaleTargetRef": {"apiVersion": TEXT, "kind": TEXT, "name": TEXT},
    "minReplicaCount": NUMBER,
    "maxReplicaCount": NUMBER,
    "pollingInterval": NUMBER,
    "cooldownPeriod": NUMBER,
    "fallback": {"failureThreshold": NUMBER, "replicas": NUMBER},
    "advanced": {
        "horizontalPodAutoscalerConfig": {
            "behavior": {
                direction: {
                    "stabilizationWindowSeconds": NUMBER,
                    "policies": [{"type": TEXT, "value": NUMBER, "periodSeconds": NUMBER}],
                }
                for direction in ("scaleDown", "scaleUp")
            }
        }
    },
    "triggers": [
        {
            "type": TEXT,
            "name": TEXT,
            "metricType": TEXT,
            "metadata": {"serverAddress": TEXT, "query": TEXT, "threshold": TEXT, "activationThreshold": TEXT},
        }
    ],
}
POD_MONITOR = {
    "selector": {"matchLabels": dict, "matchExpressions": [dict]},
    "podMetricsEndpoints": [{"port": TEXT, "path": TEXT, "interval": TEXT, "scrapeTimeout": TEXT}],
}


def misfits(shape, value, place="spec"):
    """Where a value does not have the shape: a type, a table of fields, or a list of such."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return [place]
        unknown = [f"{place}.{name}: unknown" for name in value if name not in shape]
        missing = [f"{place}.{name}: missing" for name in shape if name not in value]
        known = [name for name in value if name in shape]
        return (
            unknown + missing + [bad for name in known for bad in misfits(shape[name], value[name], f"{place}.{name}")]
        )
    if isinstance(shape, list):
        if not isinstance(value, list) or not value:
            return [place]
        return [bad for number, one in enumerate(value) for bad in misfits(shape[0], one, f"{place}[{number}]")]
    return [] if type(value) is shape else [f"{place}: {value!r} is no {shape.__name__}"]


def test_custom_resources_have_the_shape_that_their_operators_know():
    scaled, monitor = of_kind("ScaledObject")["squidmesh-worker"], of_kind("PodMonitor")["squidmesh"]
    assert (scaled["apiVersion"], monitor["apiVersion"]) == ("keda.sh/v1alpha1", "monitoring.coreos.com/v1")
    assert misfits(SCALED_OBJECT, scaled["spec"]) == []
    assert misfits(POD_MONITOR, monitor["spec"]) == []


def test_a_shape_that_does_not_fit_is_found():
    spec = of_kind("ScaledObject")["squidmesh-worker"]["spec"]
    wrong = spec | {"maxReplicas": 3, "triggers": [{"type": "prometheus", "metadata": {"threshold": 5}}]}
    found = misfits(SCALED_OBJECT, wrong)
    assert "spec.maxReplicas: unknown" in found
    assert "spec.triggers[0].metadata.threshold: 5 is no str" in found
    assert "spec.triggers[0].metricType: missing" in found


def test_the_fleet_grows_by_age_and_number_of_what_is_ready():
    spec = of_kind("ScaledObject")["squidmesh-worker"]["spec"]
    assert spec["scaleTargetRef"]["name"] in DEPLOYMENTS
    assert spec["minReplicaCount"] == TOPOLOGY.processes["worker"].instances
    assert spec["minReplicaCount"] <= spec["fallback"]["replicas"] <= spec["maxReplicaCount"]
    queries = {trigger["name"]: trigger["metadata"]["query"] for trigger in spec["triggers"]}
    assert "squidmesh_queue_oldest_ready_age_seconds" in queries["oldest-ready-age"]
    assert 'squidmesh_queue_items{state="ready"}' in queries["ready-items"]
    # KEDA falls back for averages only.
    assert {trigger["metricType"] for trigger in spec["triggers"]} == {"AverageValue"}


def test_the_monitor_scrapes_the_pods_that_listen():
    spec = of_kind("PodMonitor")["squidmesh"]["spec"]
    (rule,) = spec["selector"]["matchExpressions"]
    listening = {name.removeprefix("squidmesh-") for name in DEPLOYMENTS}
    assert set(rule["values"]) == listening
    assert [one["port"] for one in spec["podMetricsEndpoints"]] == ["http"]


def test_every_metric_that_is_asked_for_is_there():
    """The names stand in the ScaledObject; whoever renames one finds it here."""
    page = (ROOT / "docs" / "metrics.md").read_text()
    there = set(re.findall(r"^\| `(squidmesh_\w+)`", page, re.MULTILINE))
    text = yaml.safe_dump(of_kind("ScaledObject")["squidmesh-worker"]["spec"]["triggers"])
    asked = set(re.findall(r"squidmesh_\w+", text))
    assert asked and asked <= there
