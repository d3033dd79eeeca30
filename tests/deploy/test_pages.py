"""The pages on deploying name what is there, and the times that the list of processes has."""

import re

import pytest

from tests.deploy.manifests import DEPLOY, ROOT, SYSTEMD, topology

PAGES = ("deploying.md", "bare-metal.md")


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_is_there(page):
    text = (ROOT / "docs" / page).read_text()
    named = set(re.findall(r"(?<![\w/.])((?:deploy|requirements)/[\w./*@-]*\w)", text))
    assert named
    missing = [name for name in named if not list(ROOT.glob(name))]
    assert [name for name in missing if name != "deploy/compose/secrets"] == []
    linked = re.findall(r"\]\((?!#)([^):]+)\)", text)
    assert [link for link in linked if not (ROOT / "docs" / link).resolve().exists()] == []


def test_no_unit_and_no_file_of_deploy_is_left_out():
    text = "".join((ROOT / "docs" / name).read_text() for name in PAGES)
    for path in (*SYSTEMD.iterdir(), *(DEPLOY / "redis").iterdir(), *(DEPLOY / "postgres").iterdir()):
        name = path.name.removesuffix(".service").removesuffix(".target").removesuffix("@")
        assert name in text, path


def test_the_page_tells_the_times_that_are_set():
    text = " ".join((ROOT / "docs" / "deploying.md").read_text().split())
    told = topology()
    assert f"the grace is {told.grace} s and the wait {told.stop_after} s" in text
