"""Dead letters that go back to work so many a second: told of, stopped, bounded, and each once."""

import re
import time

import pytest

from squidmesh import BackendUnavailable, DeadLettersMoved, Mesh
from squidmesh.sonar import Visitor
from squidmesh.sonar.paced import MOST, Going, Paced
from tests.features.world import MemoryWorld
from tests.scenarios.fleet import until
from tests.unit.sonar.conftest import Browser, Form, lose

ANYBODY = Visitor(actor="gandalf", role="operator")


def going(key: str = "k", *, rate: float = 1000.0, total: int = 3, queue: str | None = None) -> Going:
    return Going(key=key, actor="gandalf", queue=queue, rate=rate, total=total)


def moved(item: str) -> DeadLettersMoved:
    return DeadLettersMoved(items=(item,), refused={})


def dead(mesh: Mesh) -> set[str]:
    return {one.item for one in mesh.list_dead_letters().dead_letters}


def told(page: str) -> str:
    (found,) = re.findall(r'class="alert going[^>]*>(.*?)</form>', page, re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", found)).strip()


def stop(browser: Browser) -> Form:
    """The form that stops what goes on."""
    page = browser.page("/dead-letters")
    (form,) = re.findall(r'<form method="post" action="/dead-letters/stop".*?</form>', page, re.DOTALL)
    return Form(form)


def test_a_batch_goes_back_at_its_rate_and_the_page_tells_how_far_it_is(
    world: MemoryWorld, mesh: Mesh, operator: Browser
) -> None:
    items = {lose(world), lose(world), lose(world)}
    assert 'name="rate"' in operator.page("/dead-letters/replay")
    assert 'name="rate"' not in operator.page("/dead-letters/discard")
    before = re.findall('data-seen="([^"]+)"', operator.page("/dead-letters"))
    answer = operator.send("/dead-letters/replay", rate="1000", comment="Gently.")
    assert answer.headers["location"] == "/dead-letters?done=pace&count=3&refused=0"
    until(lambda: not dead(mesh), "all have gone back")
    until(lambda: "have gone" in operator.page("/dead-letters"), "its end")
    page = operator.page("/dead-letters", done="pace", count=3, refused=0)
    assert told(page) == "3 of 3 have gone back to work, 1000 a second, by gandalf."
    assert "3 go back to work, one by one" in page and before != re.findall('data-seen="([^"]+)"', page)
    for item in items:
        audit = mesh.inspect_run(item.partition("/")[0], history=True).audit
        assert [(one.action, one.actor, one.comment) for one in audit] == [("replayed", "gandalf", "Gently.")]


def test_a_batch_that_is_stopped_leaves_the_others_as_they_are(
    world: MemoryWorld, mesh: Mesh, operator: Browser, viewer: Browser
) -> None:
    for _ in range(3):
        lose(world)
    form = operator.form("/dead-letters/replay")
    for _ in range(2):  # a form that is sent twice
        assert operator.post(form.action, {**form.fields, "rate": "0.001"}).status_code == 303
    until(lambda: len(dead(mesh)) == 2, "the first has gone back")
    asked = stop(operator)
    assert operator.post(asked.action, {**asked.fields, "key": "another"}).status_code == 404
    assert viewer.post(asked.action, {**asked.fields, "csrf": viewer.form("/runs").fields["csrf"]}).status_code == 403
    assert operator.post(asked.action, asked.fields).headers["location"] == "/dead-letters"
    until(lambda: "have gone" in operator.page("/dead-letters"), "its end")
    said = told(operator.page("/dead-letters"))
    assert said.startswith("1 of 3 have gone back to work, 0.001 a second, by gandalf; stopped")
    assert len(dead(mesh)) == 2


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "inf", "1e9", "fast", "1" * 400])
def test_a_rate_that_is_none_is_asked_again(world: MemoryWorld, mesh: Mesh, operator: Browser, rate: str) -> None:
    lose(world)
    lose(world)
    answer = operator.send("/dead-letters/replay", rate=rate)
    assert answer.status_code == 422 and "rate" in answer.text and len(dead(mesh)) == 2


def test_whoever_sees_some_queues_sees_and_stops_what_is_bound_to_one_of_them() -> None:
    paced = Paced()
    for key, queue in (("all", None), ("theirs", "mordor"), ("mine", "shire-1")):
        assert paced.begin(going(key, queue=queue), [], moved)
    hobbit = Visitor(actor="frodo", role="operator", queues=("shire-*",))
    assert [one.key for one in paced.seen_by(hobbit)] == ["mine"]
    assert [one.key for one in paced.seen_by(ANYBODY)] == ["mine", "theirs", "all"]
    assert (paced.stop("theirs", hobbit), paced.stop("all", hobbit), paced.stop("mine", hobbit)) == (False, False, True)


def test_it_keeps_to_its_rate() -> None:
    paced, at = Paced(), []

    def replay(item: str) -> DeadLettersMoved:
        at.append(time.monotonic())
        return moved(item)

    one = going(rate=50.0)
    paced.begin(one, ["a", "b", "c"], replay)
    until(lambda: one.ended, "its end")
    assert at[-1] - at[0] >= 0.039 and (one.done, one.error) == (3, None)


def test_a_store_that_goes_away_ends_it_and_the_page_can_tell_why() -> None:
    paced, one = Paced(), going()

    def replay(item: str) -> DeadLettersMoved:
        if item == "b":
            raise BackendUnavailable("it is away")
        return moved(item)

    paced.begin(one, ["a", "b", "c"], replay)
    until(lambda: one.ended, "its end")
    assert (one.done, one.error) == (1, "backend_unavailable: it is away")


def test_no_more_go_on_than_may_and_those_that_ended_are_forgotten_in_time() -> None:
    paced = Paced()
    slow = [going(f"slow-{number}", rate=0.001) for number in range(MOST)]
    assert all(paced.begin(one, ["a", "b"], moved) for one in slow)
    assert not paced.begin(going("one-more"), ["a"], moved)
    assert paced.begin(slow[0], ["a"], moved), "the same again is no other"
    assert all(paced.stop(one.key, ANYBODY) for one in slow)
    until(lambda: all(one.ended for one in slow), "their end")
    for number in range(30):
        one = going(f"quick-{number}")
        assert paced.begin(one, ["a"], moved)
        until(lambda one=one: one.ended, "its end")  # type: ignore[misc]
    known = paced.seen_by(ANYBODY)
    assert known[0].key == "quick-29" and len(known) <= 9
