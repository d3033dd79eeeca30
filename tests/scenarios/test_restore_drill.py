"""The restore drill: a fleet under load, a backup of its journal, the end of everything, and a fleet from the backup.

Every run is accounted for: it has ended, or waits for what is named. Those that were started after the backup are lost
by it, and no others; whoever starts them again with their keys has them once.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from squidmesh.ids import idempotency_key
from squidmesh.testing.servers import Server
from tests.scenarios.drill import Workers, accounted, all_end, audited, missing, saved_under_load
from tests.scenarios.fleet import ROOT
from tests.scenarios.restored_app import connected
from tests.support.backups import COPY, DUMP, RESTORE, YOUNG, Copied, Dumped, OneFile, Store
from tests.support.postgreses import VERSIONS
from tests.support.postgreses import started as postgres_started
from tests.support.redises import started as redis_started

pytestmark = [pytest.mark.all, pytest.mark.timeout(900)]


@contextmanager
def store_of(kind: str, folder: Path) -> Iterator[Store]:
    folder.mkdir()
    if kind == "sqlite":
        yield OneFile(folder)
        return
    with postgres_started(VERSIONS[0], folder) as server:
        yield Copied(server) if kind == "pg_basebackup" else Dumped(server)


@contextmanager
def valkey(folder: Path) -> Iterator[Server]:
    folder.mkdir()
    with redis_started("valkey", folder) as server:
        yield server


@pytest.mark.parametrize(
    ("kind", "leases"),
    [
        ("pg_dump", "empty"),
        ("pg_dump", "newer"),
        ("pg_basebackup", "moved"),
        ("pg_basebackup", "newer"),
        ("sqlite", ""),
    ],
)
def test_a_fleet_comes_back_from_a_backup_with_every_run_accounted_for(
    kind: str, leases: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``leases``: in a Redis that is empty then, at its address or at another one; in one that survived and knows what
    the journal does not; or in the journal."""
    saved = tmp_path / "saved"
    saved.mkdir()
    with ExitStack() as stack:
        store = stack.enter_context(store_of(kind, tmp_path / "store"))
        redis = stack.enter_context(valkey(tmp_path / "redis")) if leases else None
        was = saved_under_load(store, redis.url if redis else None, tmp_path, saved)
        store.lose()
        if redis and leases != "newer":
            redis.kill()
        if redis and leases == "empty":
            redis.start()
        if leases == "moved":
            redis = stack.enter_context(valkey(tmp_path / "another-redis"))

        url = stack.enter_context(store.restored(saved, tmp_path / "restored"))
        address = redis.url if redis else None
        workers = Workers(tmp_path, url, address)
        if redis and leases == "moved":
            workers.run("--url", url, "migrate", "--leases", redis.url)
        if leases == "newer":
            assert "offered" in workers.run("reconcile", "--rewound")
        with connected(url, address) as mesh:
            lost = missing(mesh, was.started)
            assert not lost & set(was.before), "what had been started when the backup began is in it"
            assert lost >= set(was.after), "what was started after it is not"
            with workers:
                kept = [start for start in was.started if start not in lost]
                reasons = accounted(mesh, kept)
                assert set(reasons) == {"completed", "approval", "wait", "queue_paused"}
                assert mesh.explain_run(was.approved).reason == "approval", "a word that came after it is lost too"
                newly = workers.calls() - was.calls
                assert newly, "what was done after it is done again, with the same idempotency key"
                assert not [run_id for run_id in was.ended if newly[idempotency_key(run_id, "shipped")]]

                # Whoever repeats all starts since then, with their keys, has each run once.
                again = [start.again(mesh) for start in was.started]
                assert set(was.started) - set(again) == set(), "a key is the same run, lost or not"
                all_end(mesh, again)
                held = [queue.queue for queue in mesh.vitals().queues if queue.ready or queue.leased]
                assert held == [], "nobody waits for a run that is lost"
            assert sum(mesh.count_runs().values()) == len(was.started)
            refused = {finding.name for finding in mesh.doctor().findings if finding.level == "refused"}
            assert refused <= {"postgresql.fsync"}, "a server of tests does not wait for the disk"
        audited(url, again)
        assert "Traceback" not in workers.log()
    with capsys.disabled():
        told = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
        print(f"\n{kind} {leases}: {len(was.before)} runs before, {len(lost)} lost of {len(was.started)}; then {told}")


def test_the_page_says_what_the_drill_does() -> None:
    page = (ROOT / "docs" / "backup.md").read_text()
    assert [command for command in (DUMP, RESTORE, YOUNG, COPY) if command not in page] == []
