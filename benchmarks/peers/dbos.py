"""DBOS Transact: durable workflows in PostgreSQL or SQLite."""

from __future__ import annotations

import os
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cached_property
from typing import Any

import psycopg
from dbos import DBOS, DBOSClient, DBOSConfig

from benchmarks.peers.protocol import Peer, entered, left, timed

QUEUE = "bench"
CONCURRENCY = 16


@DBOS.step()
def first(number: int) -> None:
    entered()


@DBOS.step()
def second(number: int) -> None:
    pass


@DBOS.step()
def third(number: int) -> None:
    left()


@DBOS.workflow()
def errand(number: int) -> None:
    first(number)
    second(number)
    third(number)


class Dbos(Peer):
    package = "dbos"
    how = f"queue: worker_concurrency {CONCURRENCY}, polling every 10 ms; its client starts one by one"
    how += "; SQLite with a write-ahead log, which makes it twice as fast"

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self.url = settings.get("postgres") or f"sqlite:///{settings['sqlite']}"
        if "postgres" in settings:
            self.url = self.url.replace("postgresql://", "postgresql+psycopg://")

    def prepare(self) -> None:
        if "sqlite" in self.settings:
            with closing(sqlite3.connect(self.settings["sqlite"])) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
        self._launch()
        DBOS.register_queue(QUEUE, worker_concurrency=CONCURRENCY, polling_interval_sec=0.01)
        DBOS.destroy()

    def _launch(self) -> None:
        DBOS(
            config=DBOSConfig(
                name="bench",
                system_database_url=self.url,
                application_version="1",
                executor_id=str(os.getpid()),
                log_level="ERROR",
            )
        )
        DBOS.launch()

    def work(self) -> None:
        self._launch()

    @cached_property
    def client(self) -> DBOSClient:
        return DBOSClient(system_database_url=self.url)

    def enqueue(self, count: int) -> None:
        for number in range(count):
            self.client.enqueue({"workflow_name": "errand", "queue_name": QUEUE, "app_version": "1"}, number)

    def start_one(self) -> float:
        self.enqueue(1)
        return time.monotonic()

    @cached_property
    def looking(self) -> Any:
        if "postgres" in self.settings:
            return psycopg.connect(self.settings["postgres"], autocommit=True)
        return sqlite3.connect(self.settings["sqlite"], timeout=30)

    def ended(self) -> int:
        schema = "dbos." if "postgres" in self.settings else ""
        asked = f"SELECT count(*) FROM {schema}workflow_status WHERE status = 'SUCCESS'"
        return int(self.looking.execute(asked).fetchone()[0])

    def direct(self, count: int, threads: int = 1) -> None:
        self._launch()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(errand, range(count)))

    def alone(self, count: int) -> list[float]:
        self._launch()
        return timed(errand, count)


PEER = Dbos
