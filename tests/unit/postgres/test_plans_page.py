"""docs/postgres-plans.md shows the plans that there are."""

from pathlib import Path

import pytest

from generators import __main__ as generate
from generators import postgres_plans
from tests.support.plans import GROWING

PAGE = Path(__file__).resolve().parents[3] / generate.PLANS


def test_the_page_shows_what_a_server_answers(postgres_url):
    assert PAGE.read_text() == postgres_plans.write_on(postgres_url), "run ./dev generate --plans"


@pytest.mark.parametrize("table", sorted(GROWING))
def test_no_plan_on_the_page_walks_through_a_table_that_grows(table):
    page = PAGE.read_text()
    assert f"Seq Scan on {table}" not in page
    assert f"Bitmap Heap Scan on {table}" not in page


def test_every_index_that_the_page_speaks_of_is_in_its_plan():
    for section in PAGE.read_text().split("\n## ")[1:]:
        about, _, plan = section.partition("```text")
        for name in about.split("`")[1::2]:
            assert name in plan or "trigger" in about, f"{name} in {section.splitlines()[0]}"
