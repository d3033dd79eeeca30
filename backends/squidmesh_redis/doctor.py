"""What a doctor sees of servers: who is there, whether they are fit to hold leases, and what they would forget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from redis import Redis

from squidmesh.clock import Instant
from squidmesh.errors import BackendError
from squidmesh.ports.backend import Finding, Level
from squidmesh_redis.address import Address, Node
from squidmesh_redis.faults import translated
from squidmesh_redis.fitness import POLICY, is_another_thing, is_new_enough
from squidmesh_redis.topology import Survey, Topology

FULL = 0.9
"""The share of its memory from which on a server is told to be nearly full."""
APART = 1.0
"""Seconds between its clock and the journal's from which on that is told."""
_SECTIONS = ("server", "replication", "memory", "persistence")


class _Seen(NamedTuple):
    """One server, as it describes itself. ``time``: its clock, in microseconds."""

    node: Node
    info: dict[str, dict[str, Any]]
    time: int


def examine(topology: Topology, address: Address, *, now: Instant | None) -> list[Finding]:
    """Raises nothing. Of several servers, those of which the same is to be told are told of together."""
    found = [_transport(address.where, address.safe)]
    try:
        with translated(address.where):
            primaries = [_see(node, redis) for node, redis in topology.primaries()]
            survey = topology.survey()
            followers = topology.replicas()
    except BackendError as error:
        return [*found, _finding("server", "refused", str(error), "a server that answers, and a user that may ask it")]
    replicas, silent = _looked_at(followers, address.where)
    found.append(_topology(survey, primaries, silent))
    found += _together([(one.node, finding) for one in primaries for finding in _of_primary(one, address, now)])
    return found + _together([(one.node, finding) for one in replicas for finding in _of_replica(one, address)])


def _see(node: Node, redis: Redis) -> _Seen:
    info = {section: redis.info(section) for section in _SECTIONS}
    seconds, micros = redis.time()
    return _Seen(node, info, seconds * 1_000_000 + micros)


def _looked_at(followers: Sequence[tuple[Node, Redis]], where: str) -> tuple[list[_Seen], list[str]]:
    """Replicas, and what those say that can not be looked at."""
    seen, silent = [], []
    for node, redis in followers:
        try:
            with translated(where):
                seen.append(_see(node, redis))
        except BackendError:
            silent.append(f"the replica {node} does not answer")
    return seen, silent


def _of_primary(seen: _Seen, address: Address, now: Instant | None) -> Iterator[Finding]:
    info = seen.info
    yield _server(info["server"], str(seen.node), address.shape)
    yield _role(info["replication"])
    yield _replicas(info["replication"], watched=address.shape == "sentinel")
    yield _eviction(info["memory"], address.evicts)
    yield _memory(info["memory"])
    yield _persistence(info["persistence"])
    if now is not None:
        yield _clock((seen.time - now) / 1e6)


def _of_replica(seen: _Seen, address: Address) -> Iterator[Finding]:
    """It may be the primary of tomorrow."""
    for finding in (
        _server(seen.info["server"], str(seen.node), address.shape),
        _eviction(seen.info["memory"], address.evicts),
        _memory(seen.info["memory"]),
        _persistence(seen.info["persistence"]),
        _link(seen.info["replication"]),
    ):
        name = finding.name.replace("redis.", "redis.replica.")
        yield Finding(name=name, level=finding.level, found=finding.found, wanted=finding.wanted)


def _together(found: Sequence[tuple[Node, Finding]]) -> list[Finding]:
    """Equal findings of several servers are one, which names them all."""
    nodes: dict[Finding, list[Node]] = {}
    for node, finding in found:
        nodes.setdefault(finding, []).append(node)
    several = len({node for node, _ in found}) > 1
    told = []
    for finding, where in sorted(nodes.items(), key=lambda one: [f.name for _, f in found].index(one[0].name)):
        known = str(where[0]) in finding.found
        found_there = f"{finding.found} ({', '.join(map(str, where))})" if several and not known else finding.found
        told.append(Finding(name=finding.name, level=finding.level, found=found_there, wanted=finding.wanted))
    return told


def _topology(survey: Survey, primaries: Sequence[_Seen], silent: Sequence[str]) -> Finding:
    troubles = [*survey.troubles, *silent]
    wanted = "every server that was named answers, and each primary has somebody to take its place"
    return _finding("topology", "warning" if troubles else "ok", "; ".join([survey.found, *troubles]), wanted)


def _transport(where: str, safe: bool) -> Finding:
    wanted = "loopback, or rediss:// and a password"
    return _finding("transport", "ok" if safe else "warning", where if safe else f"{where}, as ?insecure=1", wanted)


def _server(server: dict[str, Any], where: str, shape: str = "standalone") -> Finding:
    if other := is_another_thing(server, shape):
        return _finding("server", "refused", f"{where} {other}", "what the URL says")
    is_valkey = "valkey_version" in server
    version = server["valkey_version"] if is_valkey else server.get("redis_version", "?")
    level: Level = "ok" if is_new_enough(server) else "refused"
    name = "Valkey" if is_valkey else "Redis"
    return _finding("server", level, f"{name} {version} at {where}", "Redis 6.2 and newer, or any Valkey")


def _role(replication: dict[str, Any]) -> Finding:
    role = str(replication.get("role", "master"))
    return _finding("role", "ok" if role == "master" else "refused", role, "master: a replica takes no claims")


def _replicas(replication: dict[str, Any], *, watched: bool) -> Finding:
    """``min-replicas-to-write`` shows in what a primary tells of its replicas. ``watched``: by Sentinels, that would
    put another one in the place of a primary that is cut off; in a Cluster that one stops by itself.
    """
    count = int(replication.get("connected_slaves", 0))
    limited = "min_slaves_good_slaves" in replication
    found = f"{count or 'no'} replica{'' if count == 1 else 's'}"
    found += ", and writes need some of them (min-replicas-to-write)" if limited else ""
    if not watched:
        return _finding("replicas", "ok", found, "any number: what a server forgets is offered again from the journal")
    wanted = "at least one, and min-replicas-to-write 1: else a primary that is cut off goes on granting, for nothing"
    found += "" if limited else ", and min-replicas-to-write is not set"
    return _finding("replicas", "ok" if count and limited else "warning", found, wanted)


def _link(replication: dict[str, Any]) -> Finding:
    status = str(replication.get("master_link_status", "?"))
    return _finding("link", "ok" if status == "up" else "warning", f"the link to its primary is {status}", "up")


def _eviction(memory: dict[str, Any], evicts: bool) -> Finding:
    policy = str(memory.get("maxmemory_policy", POLICY))
    level: Level = "ok" if policy == POLICY else "warning" if evicts else "refused"
    wanted = f"{POLICY}: any other throws leases away when memory is short"
    return _finding("eviction", level, policy + (", as ?evicts=1" if evicts else ""), wanted)


def _memory(memory: dict[str, Any]) -> Finding:
    used, most = int(memory.get("used_memory", 0)), int(memory.get("maxmemory", 0))
    full = most > 0 and used >= FULL * most
    found = f"{used / 2**20:.1f} MiB" + (f" of {most / 2**20:.1f} MiB" if most else ", without a limit")
    return _finding("memory", "warning" if full else "ok", found, f"less than {FULL:.0%} of its maxmemory")


def _persistence(persistence: dict[str, Any]) -> Finding:
    """None is needed: what a server forgets is offered again from the journal. But one that fails to save may refuse
    every write.
    """
    kinds = [
        name
        for name, is_on in (
            ("append-only file", persistence.get("aof_enabled") == 1),
            ("snapshots", int(persistence.get("rdb_last_save_time", 0)) > 0),
        )
        if is_on
    ]
    failed = [
        name
        for name in ("rdb_last_bgsave_status", "aof_last_write_status", "aof_last_bgrewrite_status")
        if persistence.get(name, "ok") != "ok"
    ]
    found = " and ".join(kinds) or "nothing is saved"
    if failed:
        found += f"; failed: {', '.join(failed)}"
    wanted = "any; what it forgets is offered again from the journal. No save that fails: then it takes no writes"
    return _finding("persistence", "warning" if failed else "ok", found, wanted)


def _clock(apart: float) -> Finding:
    """Where it runs ahead, work is granted before its time and given back (I7)."""
    side = "ahead of" if apart > 0 else "behind"
    wanted = f"within {APART:g} s: one that runs ahead costs releases, one that is behind delays work"
    return _finding(
        "clock", "ok" if abs(apart) <= APART else "warning", f"{abs(apart):.3f} s {side} the journal's", wanted
    )


def _finding(name: str, level: Level, found: str, wanted: str) -> Finding:
    return Finding(name=f"redis.{name}", level=level, found=found, wanted=wanted)
