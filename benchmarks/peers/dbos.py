"""DBOS Transact: durable workflows in PostgreSQL or SQLite."""

from __future__ import annotations

import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cached_property

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
    how = f"queue: worker_concurrency {CONCURRENCY}, polling every 10 ms; SQLite with a write-ahead log"

    @cached_property
    def url(self) -> str:
        if "postgres" in self.settings:
            return str(self.settings["postgres"]).replace("postgresql://", "postgresql+psycopg://")
        return f"sqlite:///{self.settings['sqlite']}"

    def prepare(self) -> None:
        if "sqlite" in self.settings:  # twice as fast, and as durable
            with closing(sqlite3.connect(self.settings["sqlite"])) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
        self._launch()
        DBOS.register_queue(QUEUE, worker_concurrency=CONCURRENCY, polling_interval_sec=0.01)
        DBOS.destroy()

    def _launch(self) -> None:
        config = DBOSConfig(name="bench", system_database_url=self.url, application_version="1", log_level="ERROR")
        config["executor_id"] = str(os.getpid())
        DBOS(config=config)
        DBOS.launch()

    work = _launch

    @cached_property
    def client(self) -> DBOSClient:
        return DBOSClient(system_database_url=self.url)

    def enqueue(self, count: int) -> None:
        for number in range(count):
            self.client.enqueue({"workflow_name": "errand", "queue_name": QUEUE, "app_version": "1"}, number)

    def ended(self) -> int:
        asked = "SELECT count(*) FROM {}workflow_status WHERE status = 'SUCCESS'"
        if "postgres" in self.settings:
            with psycopg.connect(self.settings["postgres"]) as connection:
                ((found,),) = connection.execute(asked.format("dbos.")).fetchall()
        else:
            with closing(sqlite3.connect(self.settings["sqlite"], timeout=30)) as file:
                ((found,),) = file.execute(asked.format("")).fetchall()
        return int(found)

    def direct(self, count: int, threads: int = 1) -> None:
        self._launch()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(errand, range(count)))

    def alone(self, count: int) -> list[float]:
        self._launch()
        return timed(errand, count)


PEER = Dbos
