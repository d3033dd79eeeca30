"""What claims and heartbeats read of tables that are full, and that nobody has ever counted: as much as they take."""

import json

import psycopg
import pytest
from squidmesh_postgres import PostgresBackend
from squidmesh_postgres.claiming import Claiming, Request, _of_request
from squidmesh_postgres.pool import Pool
from squidmesh_postgres.raw import Raw
from squidmesh_postgres.statements import load

from squidmesh.testing.lease_suite import LEASE

MANY = 100_000
FILL = """
    INSERT INTO squidmesh.agenda (item, run_id, step, attempt, queue, priority, visible_at, generation, fence,
        concurrency_key, concurrency_limit, aside_until)
    SELECT '{queue}-' || i, 'run-' || i, 's', 1, '{queue}', 5, {visible_at}, 0, 0, {key}, {limit}, {aside}
    FROM generate_series(1, {many}) AS i;
"""
LEASED = """
    INSERT INTO squidmesh.leases (item, queue, generation, fence, granted, owner, claim_hash, request_hash, position,
        lease, expires_at, concurrency_key)
    SELECT 'ready-' || i, 'ready', 0, 1, 1, 'sam@1', 'h' || i, 'r' || i, 0, 60, {expires_at}, NULL
    FROM generate_series({many} - 50000, {many}) AS i;
"""


@pytest.fixture(scope="module")
def full(postgres_server):
    """Never analysed. 100,000 items each that are ready, that are not yet, that are aside and that have keys of their
    own; and 50,000 leases.
    """
    url = postgres_server.create_database("full")
    PostgresBackend(url).migrate()
    now, later = "squidmesh.moment()", "squidmesh.moment() + 3600000000 + i"
    plain = {"key": "NULL", "limit": "NULL", "aside": "NULL", "many": MANY}
    with psycopg.connect(url, autocommit=True) as connection:
        for table in ("agenda", "leases"):
            connection.execute(f"ALTER TABLE squidmesh.{table} SET (autovacuum_enabled = off)")
        connection.execute(FILL.format(queue="ready", visible_at=f"{now} - 1000000 + i", **plain))
        connection.execute(FILL.format(queue="later", visible_at=later, **plain))
        crowd = {"key": "'orc'", "limit": "1", "aside": later, "many": MANY}
        connection.execute(FILL.format(queue="crowd", visible_at=now, **crowd))
        connection.execute(
            FILL.format(queue="keys", visible_at=f"{now} - i", **{**plain, "key": "'k' || i", "limit": "1"})
        )
        connection.execute(LEASED.format(expires_at=later, many=MANY))
    pool = Pool(url, "full", "ordered")
    with pool.use() as connection:
        yield connection
    pool.close()
    postgres_server.drop_database("full")


def pages(connection, statement, **told):
    """How many pages it looks at. What it does is rolled back."""
    explain = b"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) " + statement.sql.encode()
    with connection.transaction(force_rollback=True):
        cursor = psycopg.RawCursor(connection)
        cursor.execute(explain, [told[name] for name in statement._names], prepare=False)
        ((told_plan,),) = cursor.fetchall()
    plan = told_plan[0]["Plan"]
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


def a_claim(queues, limit=10):
    request = Request("frodo@1", "a-request", LEASE, "")
    return {
        **_of_request(request, 0, limit),
        "queues": json.dumps(queues),
        "skip": "[]",
        "item": "ready-7",
        "mine": 0,
        "look": limit,
        "most": limit,
    }


@pytest.mark.parametrize("queues", [["ready"], ["later"], ["crowd"], ["nothing"], ["ready", "later", "crowd"]], ids=str)
def test_a_claim_reads_what_it_takes_and_no_more(full, queues):
    """Ten items, with their locks, their leases and the indexes of those, and the first entries of their runs, which no
    read asks for then: less than twenty-five pages each.
    """
    claiming = Claiming("squidmesh")
    statement = claiming._of_queues if len(queues) > 1 else claiming._of_one_queue
    assert pages(full, statement, **a_claim(queues)) < 250 * len(queues)


def test_a_claim_of_one_item_reads_that_one(full):
    assert pages(full, Claiming("squidmesh")._of_item, **a_claim(["ready"])) < 100


def test_a_claim_of_ten_keys_reads_those(full):
    keyed = [{"item": f"keys-{n}", "queue": "keys", "concurrency_key": f"k{n}", "nth": n} for n in range(10)]
    told = {**a_claim(["keys"]), "keyed": json.dumps(keyed), "out_of_turn": False, "aside": 5, "soon": 1}
    assert pages(full, Claiming("squidmesh")._keyed, **told) < 400


def test_what_is_aside_is_walked_past_by_nobody(full):
    told = {"queues": '["crowd"]', "most": 1000}
    assert pages(full, Claiming("squidmesh")._bring_back, **told) < 20


def test_a_beat_of_ten_reads_those(full):
    known = load("leases")
    claims = [{"item": f"ready-{MANY - n}", "claim_hash": f"h{MANY - n}", "fence": 1} for n in range(10)]
    beat = Raw(f"{known['held']},\n{known['beat']}")
    assert pages(full, beat, claims=json.dumps(claims)) < 100
