"""Absurd: durable workflows as functions of PostgreSQL."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import Any

import psycopg
from absurd_sdk import Absurd
from absurdctl import BUNDLED_SCHEMA_SQL

from benchmarks.peers.protocol import Peer, entered, left, timed

BATCH = 16


class AbsurdPeer(Peer):
    package = "absurd-sdk"
    how = f"a worker claims {BATCH} at once and runs them one after another; polling every 10 ms"

    def prepare(self) -> None:
        with psycopg.connect(self.settings["postgres"], autocommit=True) as connection:
            connection.execute(BUNDLED_SCHEMA_SQL)
        self.app.create_queue()

    @cached_property
    def app(self) -> Absurd:
        app = Absurd(self.settings["postgres"])

        @app.register_task("errand")
        def errand(params: Any, context: Any) -> None:
            context.step("first", entered)
            context.step("second", lambda: None)
            context.step("third", left)

        return app

    def enqueue(self, count: int) -> None:
        app = self.app
        for number in range(count):
            app.spawn("errand", {"number": number})

    def work(self) -> None:
        app = self.app
        run = {"batch_size": BATCH, "concurrency": 1, "poll_interval": 0.01}
        threading.Thread(target=app.start_worker, kwargs=run, daemon=True).start()

    def ended(self) -> int:
        with psycopg.connect(self.settings["postgres"], autocommit=True) as connection:
            asked = "SELECT count(*) FROM absurd.t_default WHERE state = 'completed'"
            ((found,),) = connection.execute(asked).fetchall()
        return int(found)

    def direct(self, count: int, threads: int = 1) -> None:
        app = self.app
        for number in range(count):
            app.spawn("errand", {"number": number})
            app.work_batch()

    def alone(self, count: int) -> list[float]:
        app = self.app

        def one(number: int) -> None:
            spawned = app.spawn("errand", {"number": number})
            app.work_batch()
            app.await_task_result(spawned["task_id"])

        return timed(one, count)


PEER = AbsurdPeer
