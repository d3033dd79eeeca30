"""What a worker carries beside its steps, and what happens when that fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from squidmesh import Mesh
from tests.integration.test_observed_worker import until, watched
from tests.support.watched import Shop


def test_a_worker_fires_cron_triggers_when_it_is_told_to_and_says_where_it_can_not(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    Mesh.migrate(url)
    with watched(tmp_path, url, "--with=cron", "--without=reconcile") as worker:
        until(lambda: worker.ask("/readyz") == (200, "ok\n"), "it is ready")
        with Mesh.connect(url, workflows=[Shop]) as mesh:
            until(lambda: mesh.list_cron()[0].registered_at is not None, "the loop has seen the trigger")
        assert 'squidmesh_role_up{role="cron"} 1.0' in worker.ask("/metrics")[1]
        assert 'role="reconcile"' not in worker.ask("/metrics")[1]
        assert worker.log.count("worker_started") == 1


@pytest.mark.all
def test_a_role_that_fails_does_not_end_the_worker_and_is_told(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    Mesh.migrate(url)
    with watched(tmp_path, url, "--with=cron", WATCHED_CRON_FAILS="1") as worker:
        until(lambda: "cron_failed" in worker.log, "it says so")
        until(lambda: worker.ask("/readyz")[1].startswith("ok\ncron: "), "it tells of its role")
        assert worker.ask("/readyz")[0] == 200
        assert 'squidmesh_role_up{role="cron"} 0.0' in worker.ask("/metrics")[1]
        assert 'squidmesh_role_up{role="reconcile"} 1.0' in worker.ask("/metrics")[1]
        assert worker.process.poll() is None
