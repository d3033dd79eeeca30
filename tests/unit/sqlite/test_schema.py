"""Whose file it is, and of which version; and that a file that is not ours is left alone."""

import sqlite3
from contextlib import closing

import pytest
from squidmesh_sqlite import schema, statements
from squidmesh_sqlite.statements import Migration, migrations

from squidmesh.errors import ForeignStore, SchemaOutOfDate, SchemaTooNew
from squidmesh.journal.queues import QUEUE_CODEC, QueueState, fold_queue, queue_thread
from squidmesh.ports.journal_store import ThreadRead
from squidmesh.testing.journal_suite import add_run, revisions
from squidmesh.testing.threads import together

NAMES = [migration.name for migration in migrations()]
NEWEST = len(NAMES)


def sql(path, script):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        rows = [row for statement in script for row in connection.execute(statement)]
    return rows


def everything_in(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_new_file_is_created_and_migrated(backend, path):
    add_run(backend.journal(), "frodo")
    backend.close()

    assert sql(path, ["PRAGMA application_id", "PRAGMA user_version"]) == [(schema.APPLICATION_ID,), (len(NAMES),)]
    assert sql(path, ["PRAGMA journal_mode"]) == [("wal",)]
    assert path.read_bytes()[68:72] == b"SQM1"


def test_leases_may_come_first(backend):
    assert backend.leases().incarnation("default")


def test_an_empty_file_is_a_new_one(backend, path):
    path.touch()
    assert backend.journal().count_runs() == {}


def test_an_empty_database_is_a_new_one(backend, path):
    sql(path, ["CREATE TABLE t (x)", "DROP TABLE t"])
    assert path.stat().st_size > 0
    assert backend.journal().count_runs() == {}


def test_migrations_are_applied_once_and_named(open_store):
    assert open_store().migrate() == NAMES
    assert open_store().migrate() == []
    assert open_store().journal().count_runs() == {}


def test_the_file_keeps_its_incarnation(open_store):
    first = open_store()
    name = first.leases().incarnation("default")
    first.close()
    assert open_store().leases().incarnation("default") == name


def test_migrations_are_numbered_without_a_gap():
    assert [migration.number for migration in migrations()] == list(range(1, len(NAMES) + 1))
    for migration in migrations():
        assert list(migration.statements())[-1] == f"PRAGMA user_version = {migration.number};"


# ------------------------------------------------------------------------------------------------------ not our file


def other_program(path):
    sql(path, ["CREATE TABLE invoices (id)", "INSERT INTO invoices VALUES (1)"])


def marked_by_another_program(path):
    sql(path, ["PRAGMA application_id = 1196444487", "CREATE TABLE invoices (id)"])


def another_program_with_a_log(path):
    sql(path, ["PRAGMA journal_mode = WAL", "CREATE TABLE invoices (id)"])


def no_database(path):
    path.write_text("Three Rings for the Elven-kings under the sky" * 100)


def a_short_text(path):
    path.write_text("x")


def a_broken_database(path):
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 2000)


def a_header_and_no_more(path):
    path.write_bytes(b"SQLite format 3\0")


@pytest.mark.parametrize(
    "foreign",
    [
        other_program,
        marked_by_another_program,
        another_program_with_a_log,
        no_database,
        a_short_text,
        a_broken_database,
        a_header_and_no_more,
    ],
)
@pytest.mark.parametrize("use", ["journal", "leases", "migrate"])
def test_a_foreign_file_is_refused_and_left_alone(path, open_store, foreign, use):
    foreign(path)
    before = everything_in(path.parent)

    with pytest.raises(ForeignStore, match="left alone"):
        getattr(open_store(), use)()

    assert everything_in(path.parent) == before


def test_a_foreign_database_in_use_is_left_alone(path, open_store):
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("CREATE TABLE invoices (id)")
        other.commit()
        before = everything_in(path.parent)
        with pytest.raises(ForeignStore):
            open_store().journal()
        assert everything_in(path.parent) == before


# ---------------------------------------------------------------------------------------------------------- versions


def test_a_newer_schema_is_refused(path, open_store):
    open_store().migrate()
    sql(path, ["PRAGMA user_version = 99"])
    for use in ("journal", "leases", "migrate"):
        with pytest.raises(SchemaTooNew, match=f"has schema 99, and only {NEWEST} is known: update Squid Mesh"):
            getattr(open_store(), use)()


def test_an_older_schema_must_be_migrated(path, open_store, monkeypatch):
    first = open_store()
    add_run(first.journal(), "frodo")
    first.close()
    addition = Migration(
        NEWEST + 1,
        "0099_addition",
        f"CREATE TABLE addition (x INTEGER) STRICT;\nPRAGMA user_version = {NEWEST + 1};\n",
    )
    monkeypatch.setattr(schema, "migrations", lambda: [*statements.migrations(), addition])

    for use in ("journal", "leases"):
        with pytest.raises(SchemaOutOfDate, match=f"has schema {NEWEST}, and {NEWEST + 1} is needed: migrate it first"):
            getattr(open_store(), use)()
    assert open_store().migrate() == ["0099_addition"]
    assert revisions(open_store().journal(), "frodo") == [1]
    assert sql(path, ["PRAGMA user_version"]) == [(NEWEST + 1,)]


def test_a_migration_that_fails_changes_nothing(path, open_store, monkeypatch):
    open_store().migrate()
    broken = Migration(
        NEWEST + 1,
        "0099_broken",
        f"CREATE TABLE addition (x);\nCREATE TABLE agenda (x);\nPRAGMA user_version = {NEWEST + 1};\n",
    )
    monkeypatch.setattr(schema, "migrations", lambda: [*statements.migrations(), broken])

    with pytest.raises(Exception, match="agenda"):
        open_store().migrate()

    assert sql(path, ["PRAGMA user_version"]) == [(NEWEST,)]
    assert sql(path, ["SELECT count(*) FROM sqlite_schema WHERE name = 'addition'"]) == [(0,)]


def test_a_file_whose_creator_died_at_it_is_created_again(path, open_store):
    sql(path, [f"PRAGMA application_id = {schema.APPLICATION_ID}"])
    assert open_store().journal().count_runs() == {}


def test_many_may_create_the_file_at_once(open_store):
    applied = together(6, lambda _: open_store().migrate())
    assert sorted(name for names in applied for name in names) == NAMES, "each once, by whoever came first"


def test_a_new_file_is_never_seen_with_an_older_schema(path, open_store, monkeypatch):
    """Whoever looks while it is made finds nothing in it, or all: else it would be told to migrate first."""
    seen = set()

    def looking(migration):
        for statement in Migration.statements(migration):
            with closing(sqlite3.connect(path)) as other:
                seen.add(other.execute("PRAGMA user_version").fetchone()[0])
            yield statement

    class Watched(Migration):
        statements = looking

    monkeypatch.setattr(schema, "migrations", lambda: tuple(Watched(*one) for one in statements.migrations()))
    open_store().migrate()
    assert seen == {0}


def test_many_may_open_a_new_file_at_once(open_store):
    assert together(6, lambda _: open_store().journal().count_runs()) == [{}] * 6


def test_a_transaction_may_be_open_while_the_schema_is_looked_at(path, open_store):
    first = open_store()
    first.journal()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert open_store().journal().count_runs() == {}
        other.execute("ROLLBACK")


def test_a_queue_that_was_paused_before_pauses_were_facts_stays_paused_and_can_be_resumed(
    path, open_store, monkeypatch
):
    before = next(place for place, name in enumerate(NAMES) if name.endswith("_pauses"))
    monkeypatch.setattr(schema, "migrations", lambda: statements.migrations()[:before])
    open_store().migrate()
    sql(path, ["INSERT INTO paused_queues (queue) VALUES ('payouts'), ('mordor')"])
    monkeypatch.undo()

    opened = open_store()
    assert opened.migrate() == NAMES[before:]
    store = opened.journal()
    for row in store.paused_queues():
        (history,) = store.read([ThreadRead(thread=queue_thread(row.queue))], whole=True)
        state = QueueState(queue=row.queue)
        for entry in history.tail:
            fold_queue(state, QUEUE_CODEC.decode_facts(entry.body, thread=entry.thread, revision=entry.revision))
        assert (state.paused, state.revision) == (row, 1), "the row is what the thread says"
    assert opened.leases().paused(["mordor", "payouts", "default"]) == {"mordor", "payouts"}
