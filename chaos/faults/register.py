"""Every fault that can be injected, by its name; and those that can not, with the reason."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from chaos.faults import postgres_faults, redis_faults, replica_faults, wire_faults, worker_faults
from chaos.faults.fault import Fault
from chaos.fleet.setup import Setup

_ALL: tuple[type[Fault], ...] = (
    worker_faults.WorkerKilled,
    worker_faults.WorkerStopped,
    worker_faults.PoisonStep,
    worker_faults.WorkerClock,
    worker_faults.OldWorker,
    redis_faults.RedisKilled,
    redis_faults.RedisFlushed,
    redis_faults.RedisEmptied,
    redis_faults.RedisOldDump,
    redis_faults.RedisPowerCut,
    redis_faults.RedisStopped,
    redis_faults.RedisPaused,
    redis_faults.RedisFull,
    redis_faults.RedisEvicts,
    redis_faults.RedisClock,
    redis_faults.RedisAnswersLost,
    wire_faults.RedisCut,
    wire_faults.RedisTorn,
    replica_faults.FailoverLosesWrites,
    replica_faults.SplitBrain,
    replica_faults.SentinelKilled,
    replica_faults.NodeKilled,
    replica_faults.SlotMoves,
    postgres_faults.PostgresKilled,
    postgres_faults.BackendKilled,
    postgres_faults.SessionsEnded,
    postgres_faults.PostgresStopped,
    postgres_faults.RowsLocked,
    wire_faults.CommitUnknown,
    wire_faults.PostgresCut,
    wire_faults.PostgresTorn,
    postgres_faults.DiskFull,
    postgres_faults.FileLocked,
    wire_faults.NodeCut,
)
FAULTS: Mapping[str, type[Fault]] = {fault.name: fault for fault in _ALL}

NOT_INJECTED: Mapping[str, str] = {
    "a power cut of the whole machine": "the kernel keeps what a killed server wrote; only a virtual machine that is"
    " switched off would tell. Of a Redis it is simulated (redis-power-cut)",
    "a power cut under SQLite": "as above; `synchronous=FULL` is checked by doctor",
    "a Redis script killed half-way": "SCRIPT KILL refuses one that has written; scripts validate before they write",
    "a disk that lies or rots": "there is no such disk here; entries have checksums, and doctor reads them",
    "a slow network": "some kernels have no `tc netem`; stalls and cut links hold back instead of slowing down",
}
"""What -> why."""


def possible(setup: Setup) -> list[type[Fault]]:
    """Those that this setup has what they need for."""
    return [fault for fault in _ALL if fault.needs <= setup.offers]


def missing(fault: type[Fault]) -> str:
    """Why this machine can not do it; empty where it can, as far as one can tell before trying."""
    if not sys.platform.startswith("linux"):
        return "needs Linux"
    return "needs root" if fault.root and os.geteuid() != 0 else ""
