"""``docs/postgres-plans.md``: how a real PostgreSQL 18 carries out what is asked of it all the time. Needs a server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from psycopg import Connection
from squidmesh_postgres import PostgresBackend
from squidmesh_postgres.pool import Pool
from squidmesh_postgres.raw import Raw
from squidmesh_postgres.statements import OUR_SCHEMA, load
from squidmesh_postgres.writes import _composed

from squidmesh.testing.postgres import Postgres

VERSION = "18"
_HEAD = """\
# Plans in PostgreSQL

What is asked of PostgreSQL all the time, and how PostgreSQL 18 carries it out. Each plan is the one for any parameters,
which our sessions keep (`plan_cache_mode = force_generic_plan`), asked on a new journal, of which nothing has been
counted (`EXPLAIN (GENERIC_PLAN, COSTS OFF)`). None walks through a table that grows: each reaches it by an index, with
the condition that is shown, or in the order of an index up to a limit. A *Function Scan* reads the parameters, a *CTE
Scan* what an earlier part of the same statement has found.

`tests/unit/postgres/test_plans.py` tries all statements, in an empty journal, in one that was filled and never
analysed, in one that was analysed, and in one that was analysed when it held much more;
`tests/unit/postgres/test_cost.py` counts the pages that they touch. This page is written by a program
(`./dev generate --plans`).
"""


STARTED = ("run_rows", "tallied", "runs", "put_rows", "put", "set_timers", "definitions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """``about``: which index bounds it."""

    title: str
    about: str
    sql: str


def shown() -> Iterator[Shown]:
    leases, lists, agenda = load("leases"), load("lists"), load("agenda")

    def of_leases(*parts: str) -> str:
        return ",\n".join(leases[part] for part in parts)

    def commit(judged: str, *parts: str) -> str:
        return _composed(OUR_SCHEMA, ("given", judged, "accepted", "written", *parts), "answer").sql

    yield Shown(
        title="Claim",
        about="`agenda_order` gives what is visible in the order of claims, and the limit ends it: it passes over what "
        "others hold, one look into `leases_pkey` each. The repetition of a request is found by `leases_by_request`, "
        "and what comes next by the beginnings of `agenda_order`, `leases_by_end` and `agenda_aside_until`.",
        sql=of_leases("claim", "share_of_one", "heads", "granted"),
    )
    yield Shown(
        title="Which queues are due",
        about="Hops from queue to queue, by the beginnings of `agenda_order` and `agenda_aside_until`, and stops with "
        "the last one that was asked for. Each is looked at as a claim looks at it. When fewer are due than were "
        "asked for, it has looked at all, and tells when the next one will be.",
        sql=leases["due_queues"],
    )
    yield Shown(
        title="Heartbeat",
        about="`leases_pkey`, and `agenda_pkey` for what is still open: as many look-ups as claims.",
        sql=of_leases("held", "beat"),
    )
    yield Shown(
        title="Commit of claims",
        about="`threads_pkey` for the threads that are locked, and the primary keys of what is written. The epoch is "
        "in `plane`, which has one row.",
        sql=commit("judged_by_epoch", "put_rows", "put"),
    )
    yield Shown(
        title="Commit of a step, with the claim of the next",
        about="The same; what a run was before is found by `runs_pkey`, and its lease by `leases_pkey`.",
        sql=commit(
            "judged_by_epoch",
            "run_rows",
            "tallied",
            "runs_known",
            "remove",
            "put_rows",
            "put",
            "agenda_done",
            "hand_over",
        ),
    )
    yield Shown(
        title="Commit of a last step",
        about="The same. The lease of an attempt that is closed is removed by a trigger, by `leases_pkey`.",
        sql=commit("judged", "run_rows", "tallied", "runs_known", "remove"),
    )
    yield Shown(
        title="Commit of starts",
        about="`threads_pkey` tells which of them are there already; the others are written once, with their rows.",
        sql=_composed(
            OUR_SCHEMA,
            (
                "given_new",
                "judged_new",
                "accepted",
                "written_new",
                "run_rows",
                "tallied",
                "runs",
                "put_rows",
                "put",
                "set_timers",
                "definitions",
            ),
            "answer",
        ).sql,
    )
    yield Shown(
        title="Commit in which threads begin beside others that go on: the threads",
        about="In front of the commit, in the same round trip. `threads_pkey` tells which are there already.",
        sql=load("commit")["found"],
    )
    yield Shown(
        title="Read threads",
        about="`checkpoints_pkey`, and `entries_pkey` from the checkpoint on: as many rows as are given back.",
        sql=load("journal")["read"],
    )
    yield Shown(
        title="List the newest runs",
        about="`runs_newest`, backwards from the place of the page before, up to the limit.",
        sql=lists["newest"],
    )
    yield Shown(title="List the runs of a workflow", about="`runs_of_workflow`, likewise.", sql=lists["of_workflow"])
    yield Shown(title="List the runs of a queue", about="`runs_of_queue`, likewise.", sql=lists["of_queue"])
    yield Shown(
        title="List the runs with a status",
        about="`runs_by_status`, likewise. It does without the completed ones: those are listed by the newest.",
        sql=lists["of_status"],
    )
    yield Shown(
        title="List the running ones",
        about="`runs_by_status` for those that are written as running, and `runs_due` for those whose time has come, "
        "up to a thousand. Where there are more, the last part, which is not carried out otherwise, walks through "
        "those that wait, by `runs_by_status`.",
        sql=lists["running"],
    )
    yield Shown(
        title="List by the beginning of an id or a key",
        about="`runs_pkey` and `runs_by_key`: as many rows as begin so, all of which are sorted.",
        sql=lists["of_text"],
    )
    yield Shown(title="The row of a run", about="`runs_pkey`.", sql=lists["run_row"])
    yield Shown(
        title="Count by status",
        about="`run_tallies` has few rows: every 500 commits of a process, 2,000 of them become as many as there are "
        "workflows and statuses. `runs_due` gives those whose time has come, and that nobody has taken up.",
        sql=lists["count_runs"],
    )
    yield Shown(
        title="A reconciler: the queues",
        about="`agenda_order` and `agenda_aside`, from one queue to the next: one look each.",
        sql=agenda["queues"],
    )
    yield Shown(
        title="A reconciler: what has changed",
        about="`agenda_changes`, from the place of the page before, up to the limit.",
        sql=agenda["changed"],
    )
    yield Shown(
        title="Due timers",
        about="`timers_due`, from the place of the page before, up to the limit.",
        sql=load("timers")["due"],
    )
    yield Shown(
        title="What may be pruned",
        about="`runs_ended`, the oldest first, up to the limit.",
        sql=load("retention")["ended"],
    )
    yield Shown(
        title="Prune",
        about="Every table by its primary key: by the names of the runs, by what the names of attempts begin with, and "
        "by the names of timers.",
        sql=load("retention")["prune"],
    )


def write(connection: Connection[Any]) -> str:
    """``connection``: a session of ours, on a new journal."""
    parts = [_HEAD]
    for each in shown():
        parts += [f"## {each.title}\n", f"{_folded(each.about)}\n", f"```text\n{plan(connection, each.sql)}\n```\n"]
    return "\n".join(parts)


def plan(connection: Connection[Any], sql: str) -> str:
    asked = f"EXPLAIN (GENERIC_PLAN, COSTS OFF) {Raw(sql).sql}"
    return "\n".join(line for (line,) in connection.execute(asked.encode(), prepare=False))


def write_on_a_server_of_its_own() -> str:
    """Raises ``NoServer`` where there is none."""
    with TemporaryDirectory() as folder, Postgres(Path(folder), version=VERSION) as server:
        return write_on(server.create_database("plans"))


def write_on(url: str) -> str:
    """``url``: of an empty database."""
    backend = PostgresBackend(url)
    backend.migrate()
    backend.close()
    pool = Pool(url, "plans", "durable")
    try:
        with pool.use() as connection:
            return write(connection)
    finally:
        pool.close()


def _folded(text: str) -> str:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) >= 120:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return "\n".join(lines)
