"""What stands in deploy/, read."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "compose" / "compose.yml"
KUBERNETES = DEPLOY / "kubernetes"
SYSTEMD = DEPLOY / "systemd"
CLOSING = 5
"""Seconds that a worker takes at most to close its stores behind the grace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One row of the list of processes."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    ports: list[int] = field(default_factory=list)
    health: str | None = None
    after: dict[str, str] = field(default_factory=dict)
    instances: int = 1
    once: bool = False


@dataclass(frozen=True, slots=True)
class Topology:
    grace: int
    stop_after: int
    processes: dict[str, Process]


def topology() -> Topology:
    """In the order in which they start."""
    told = tomllib.loads((DEPLOY / "topology.toml").read_text())
    processes = {name: Process(name=name, **row) for name, row in told.pop("process").items()}
    return Topology(processes=processes, **told)


@cache
def documents(folder: Path) -> list[dict[str, Any]]:
    """Those of all YAML files below, kustomizations included."""
    return [one for path in sorted(folder.rglob("*.yaml")) for one in yaml.safe_load_all(path.read_text())]


def of_kind(kind: str, folder: Path = KUBERNETES) -> dict[str, dict[str, Any]]:
    """By name."""
    return {one["metadata"]["name"]: one for one in documents(folder) if one["kind"] == kind}


def pods(found: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The specs of the pods that workloads make, by the workload's name."""
    for one in found:
        if one["kind"] in ("Deployment", "Job"):
            yield one["metadata"]["name"], one["spec"]["template"]["spec"]


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def unit(name: str) -> dict[str, dict[str, list[str]]]:
    """A file of systemd's: section -> key -> its values in order."""
    found: dict[str, dict[str, list[str]]] = {}
    section: dict[str, list[str]] = {}
    for line in (SYSTEMD / name).read_text().splitlines():
        if line.startswith("["):
            section = found.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            section.setdefault(key, []).append(value)
    return found


UNITS = tuple(sorted(path.name for path in SYSTEMD.glob("*.service")))
