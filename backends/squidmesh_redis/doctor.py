"""What a doctor sees of a server: whether it is fit to hold leases, and what it would forget."""

from __future__ import annotations

from typing import Any

from redis import Redis

from squidmesh.clock import Instant
from squidmesh.errors import BackendError
from squidmesh.ports.backend import Finding, Level
from squidmesh_redis.faults import translated
from squidmesh_redis.fitness import POLICY, is_new_enough

FULL = 0.9
"""The share of its memory from which on a server is told to be nearly full."""
APART = 1.0
"""Seconds between its clock and the journal's from which on that is told."""
_SECTIONS = ("server", "replication", "memory", "persistence")


def examine(redis: Redis, where: str, *, evicts: bool, safe: bool, now: Instant | None) -> list[Finding]:
    """``safe``: it is on this machine, or behind TLS and a password. Raises nothing."""
    found = [_transport(where, safe)]
    try:
        with translated(where):
            info = {section: redis.info(section) for section in _SECTIONS}
            seconds, micros = redis.time()
    except BackendError as error:
        return [*found, _finding("server", "refused", str(error), "a server that answers, and a user that may ask it")]
    found += [
        _server(info["server"], where),
        _role(info["replication"]),
        _eviction(info["memory"], evicts),
        _memory(info["memory"]),
        _persistence(info["persistence"]),
    ]
    if now is not None:
        found.append(_clock((seconds * 1_000_000 + micros - now) / 1e6))
    return found


def _transport(where: str, safe: bool) -> Finding:
    wanted = "loopback, or rediss:// and a password"
    return _finding("transport", "ok" if safe else "warning", where if safe else f"{where}, as ?insecure=1", wanted)


def _server(server: dict[str, Any], where: str) -> Finding:
    is_valkey = "valkey_version" in server
    version = server["valkey_version"] if is_valkey else server.get("redis_version", "?")
    level: Level = "ok" if is_new_enough(server) else "refused"
    name = "Valkey" if is_valkey else "Redis"
    return _finding("server", level, f"{name} {version} at {where}", "Redis 6.2 and newer, or any Valkey")


def _role(replication: dict[str, Any]) -> Finding:
    role = str(replication.get("role", "master"))
    return _finding("role", "ok" if role == "master" else "refused", role, "master: a replica takes no claims")


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
