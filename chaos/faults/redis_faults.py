"""What befalls a Redis that stands alone: it dies, forgets, remembers too much, stands still, is full."""

from __future__ import annotations

import shutil
import socket
import time
from pathlib import Path

from chaos.faults.fault import Fault, state_of
from chaos.fleet.settings import LEASE
from chaos.fleet.stores import Redis

REDIS = frozenset({"redis"})
CANARY = "chaos:canary"
"""A key of ours, which must be gone with everything else; it is there for a moment only."""
_SOON = 0.5
"""Seconds in which a server that lives would have answered."""


class OfRedis(Fault):
    needs = REDIS
    touches = REDIS

    @property
    def redis(self) -> Redis:
        found = self.world.stores.redis
        assert found is not None
        return found

    def keys(self) -> int:
        return int(self.redis.ask("DBSIZE").lstrip(b":"))

    def answers(self) -> bool:
        """Soon, to somebody who knocks now."""
        try:
            with socket.create_connection(("127.0.0.1", self.redis.port), timeout=_SOON) as line:
                line.settimeout(_SOON)
                line.sendall(b"PING\r\n")
                return bool(line.recv(1))
        except OSError:
            return False


class RedisKilled(OfRedis):
    name = "redis-killed"
    harm = "link"
    what = "SIGKILL to the Redis; some seconds later it starts again, with its append-only file"
    expected = "workers pause and go on; nothing is lost"
    lasts = (0.5, 5.0)

    def apply(self) -> str:
        self._pid = self.redis.pid
        self.redis.kill()
        return f"redis (pid {self._pid})"

    def seen(self) -> str | None:
        return None if state_of(self._pid) or self.answers() else f"process {self._pid} has ended, nobody answers"

    def heal(self) -> None:
        self.redis.start()


class RedisFlushed(OfRedis):
    name = "redis-flushed"
    harm = "leases_lost"
    what = "FLUSHALL, and nobody is told"
    expected = "the journal offers all open work again; fences go on growing"
    lasts = (0.0, 1.0)

    def apply(self) -> str:
        self.redis.ask("SET", CANARY, "here", "PX", "60000")
        self._before = self.keys()
        self.redis.ask("FLUSHALL")
        self._gone = self.redis.ask("EXISTS", CANARY) == b":0"
        return f"{self._before} keys"

    def seen(self) -> str | None:
        return f"{self._before} keys were forgotten" if self._gone and self._before > 1 else None

    def heal(self) -> None:
        """The fleet does."""


class RedisEmptied(OfRedis):
    name = "redis-emptied"
    harm = "leases_lost"
    what = "SIGKILL to the Redis, which comes back on an empty folder"
    expected = "another incarnation: the journal offers all open work again"
    lasts = (0.5, 3.0)

    def apply(self) -> str:
        self.redis.ask("SET", CANARY, "here", "PX", "60000")
        self._before = self.keys()
        self.redis.kill()
        removed = wipe(self.redis.folder)
        return f"{self._before} keys, {removed} bytes"

    def seen(self) -> str | None:
        left = [path.name for path in self.redis.folder.rglob("*.aof")]
        return f"{self._before} keys are gone with their files" if not left and self._before > 1 else None

    def heal(self) -> None:
        self.redis.start()


class OfYesterday(OfRedis):
    """The server is put back to what it knew when the fault began; the fault ends with that."""

    lasts = (6.0, 12.0)
    _age = 0.0

    def seen(self) -> str | None:
        if time.monotonic() - self._since < self._age:
            return None
        now = int(self.redis.info("stats")["total_commands_processed"])
        went = now - self._commands
        if went < 20:  # nothing would be lost
            return None
        size = sum(path.stat().st_size for path in self.redis.folder.rglob("*.aof"))
        self.redis.kill()
        self.restore()
        return f"back by {time.monotonic() - self._since:.1f} s and {went} commands ({size} bytes were on the disk)"

    def apply(self) -> str:
        self._since = time.monotonic()
        self._age = self.chance.uniform(1.0, self.lasts[0] - 1.0)
        self._commands = int(self.redis.info("stats")["total_commands_processed"])
        self._copy = self.world.folder / f"redis-{self.chance.getrandbits(32):08x}"
        self.keep()
        return f"redis, to be put back after {self._age:.1f} s"

    def keep(self) -> None:
        raise NotImplementedError

    def restore(self) -> None:
        raise NotImplementedError

    def heal(self) -> None:
        shutil.rmtree(self._copy, ignore_errors=True)


class RedisPowerCut(OfYesterday):
    name = "redis-power-cut"
    harm = "leases_rolled_back"
    what = "SIGKILL to the Redis, whose append-only file then ends some seconds earlier: a power cut, simulated"
    expected = "its cursor has gone back too, so the next pass offers what was lost"

    def keep(self) -> None:
        shutil.copytree(self.redis.folder, self._copy, ignore=shutil.ignore_patterns("*.log"))

    def restore(self) -> None:
        wipe(self.redis.folder)
        shutil.copytree(self._copy, self.redis.folder, dirs_exist_ok=True)
        self.redis.start()


class RedisOldDump(OfYesterday):
    name = "redis-old-dump"
    harm = "leases_rolled_back"
    what = "an old RDB file is restored: leases, tombstones and cursor of some seconds ago"
    expected = "the journal decides; what is closed there is settled again, what is open is offered again"

    def keep(self) -> None:
        self._copy.mkdir()
        if self.redis.ask("SAVE") != b"+OK":
            raise RuntimeError("the Redis does not save")
        shutil.copy(self.redis.folder / "dump.rdb", self._copy / "dump.rdb")

    def restore(self) -> None:
        wipe(self.redis.folder)
        shutil.copy(self._copy / "dump.rdb", self.redis.folder / "dump.rdb")
        self.redis.start_with(("appendonly", "no"))
        self.redis.ask("CONFIG", "SET", "appendonly", "yes")


class RedisStopped(OfRedis):
    name = "redis-stalled"
    harm = "link"
    what = "SIGSTOP to the Redis, then SIGCONT; at times for longer than a lease"
    expected = "time-outs are unknown outcomes; what was on its way is done later, and not twice"
    lasts = (1.0, LEASE * 1.5)

    def apply(self) -> str:
        self.redis.freeze()
        return f"redis (pid {self.redis.pid})"

    def seen(self) -> str | None:
        if state_of(self.redis.pid) != "T" or self.answers():
            return None
        return f"process {self.redis.pid} stands still and answers nobody"

    def heal(self) -> None:
        self.redis.resume()


class RedisPaused(OfRedis):
    name = "redis-paused"
    harm = "link"
    what = "CLIENT PAUSE: the Redis holds all commands back for some seconds"
    expected = "as for a stall"
    lasts = (0.5, 4.0)

    def apply(self) -> str:
        self._for = self.chance.uniform(1.0, 4.0)
        self.redis.ask("CLIENT", "PAUSE", str(int(self._for * 1000)), "ALL")
        self._until = time.monotonic() + self._for
        return f"redis, for {self._for:.1f} s"

    def seen(self) -> str | None:
        if time.monotonic() + _SOON > self._until:
            return None
        return f"a PING had no answer for {_SOON:g} s" if not self.answers() else None

    def heal(self) -> None:
        self.redis.ask("PING")  # answered when the pause is over


class RedisFull(OfRedis):
    name = "redis-full"
    harm = "link"
    what = "maxmemory below what is in use, with noeviction"
    expected = "settlements and heartbeats still work; offers wait in the journal"
    lasts = (2.0, 8.0)

    def apply(self) -> str:
        used = int(self.redis.info("memory")["used_memory"])
        self.redis.ask("CONFIG", "SET", "maxmemory", str(used // 2))
        return f"redis, {used} bytes in use"

    def seen(self) -> str | None:
        answer = self.redis.ask("SET", CANARY, "x")
        return "a write is refused: " + answer.decode()[1:60] if b"OOM" in answer else None

    def heal(self) -> None:
        self.redis.ask("CONFIG", "SET", "maxmemory", "0")
        self.redis.ask("DEL", CANARY)


class RedisEvicts(OfRedis):
    name = "redis-wrong-policy"
    what = "an eviction policy that may drop keys; the doctor has to say so"
    expected = "doctor refuses it by name, and a new worker does not begin"
    lasts = (0.5, 3.0)

    def apply(self) -> str:
        self.redis.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        return "redis"

    def seen(self) -> str | None:
        for finding in self.world.mesh.doctor().findings:
            if finding.level == "refused" and "eviction" in finding.name:
                return f"doctor refuses {finding.name}: {finding.found}"
        return None

    def heal(self) -> None:
        self.redis.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")


class RedisClock(OfRedis):
    name = "redis-clock"
    harm = "clock"
    what = "the clock of the Redis jumps ahead by minutes, or back by a second or two"
    expected = "leases end early and are taken over; fences keep it safe"
    needs = REDIS | {"clock"}
    lasts = (0.0, 1.0)
    package = "libfaketime"

    def apply(self) -> str:
        clock = self.world.stores.clock
        assert clock is not None
        self._before = self._ahead()
        self._by = self.chance.choice((-2, 10, 120))
        clock.move(round(self._before) + self._by)
        return f"redis, {self._by:+d} s"

    def _ahead(self) -> float:
        seconds, micros = self.redis.answers("TIME")
        return float(seconds) + float(micros) / 1e6 - time.time()

    def seen(self) -> str | None:
        moved = self._ahead() - self._before
        return f"its TIME has jumped by {moved:+.1f} s" if abs(moved - self._by) < 1.5 else None

    def heal(self) -> None:
        """It stays there: what was leased then ends by that clock."""


class RedisAnswersLost(OfRedis):
    name = "redis-answers-lost"
    harm = "link"
    what = "answers to scripts are swallowed, each with its connection: the Redis has done as told"
    expected = "the same call is made again, and nothing is done twice"
    needs = frozenset({"redis", "redis-wire"})
    touches = frozenset({"redis-wire"})
    lasts = (1.0, 6.0)

    def apply(self) -> str:
        wire = self.world.stores.redis_wire
        assert wire is not None
        self._wire = wire
        self._goal = wire.swallowed + self.chance.randrange(3, 10)
        wire.swallow(self._goal - wire.swallowed)
        return f"{self._goal - wire.swallowed} answers"

    def seen(self) -> str | None:
        if self._wire.swallowed < self._goal:
            return None
        return f"{self._wire.swallowed} answers were swallowed so far"

    def heal(self) -> None:
        self._wire.spare()


def wipe(folder: Path) -> int:
    """Removes what a server keeps, but its log; the bytes."""
    size = 0
    for path in folder.iterdir():
        if path.name.endswith(".log"):
            continue
        size += sum(part.stat().st_size for part in (path, *path.rglob("*")) if part.is_file())
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    return size
