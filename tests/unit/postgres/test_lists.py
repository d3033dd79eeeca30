"""Lists that are found in more than one way, whatever is the cheaper one."""

import psycopg
import pytest

from squidmesh.ports.journal_store import RunQuery

FILL = """
    INSERT INTO squidmesh.runs (run_id, workflow, version, trigger, queue, status, started_at, due_at)
    SELECT 'orc-' || lpad(i::text, 5, '0'), 'W' || i %% 2, '1', 't', 'default',
        (ARRAY['waiting', 'retrying', 'running', 'waiting'])[1 + i %% 4], i,
        CASE WHEN i %% 4 < 2 AND i < %(edge)s THEN i WHEN i %% 4 <> 2 THEN squidmesh.moment() + 3600000000 END
    FROM generate_series(0, 4999) AS i
"""


@pytest.mark.parametrize("due", [0, 3, 999, 1000, 1001, 1500])
@pytest.mark.parametrize("workflow", [None, "W0"])
def test_the_running_ones_are_found_whether_few_or_many_are_due(store, postgres_url, due, workflow):
    edge = 2 * due - due % 2  # of four numbers, the first two wait until a time that may have come
    with psycopg.connect(postgres_url) as connection:
        connection.execute(FILL, {"edge": edge})
        counted = connection.execute("SELECT count(*) FROM squidmesh.runs WHERE due_at < 5000").fetchone()
    assert counted == (due,)
    expected = [
        number
        for number in reversed(range(5000))
        if (number % 4 == 2 or (number % 4 < 2 and number < edge)) and (workflow is None or number % 2 == 0)
    ]
    listed, after = [], None
    while True:
        page = store.runs(RunQuery(status="running", workflow=workflow, limit=700, after=after))
        listed += [int(row.run_id.removeprefix("orc-")) for row in page.rows]
        after = page.next
        if after is None:
            break
    assert listed == expected
