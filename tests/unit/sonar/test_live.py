"""Live updates: one look for all who watch, a word for each change, and nothing while nobody watches."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from squidmesh import BackendUnavailable, Mesh
from squidmesh.sonar import Visitor
from squidmesh.sonar.live import Live, Topic
from tests.features.world import MemoryWorld, work
from tests.scenarios.sonar_app import Letter
from tests.unit.sonar.conftest import Browser, browser

LISTS = ("/runs", "/queues", "/workers", "/dead-letters", "/cron", "/pulse")


class Store:
    """What is watched, and how often it was looked at."""

    def __init__(self) -> None:
        self.state: str | None = "a"
        self.looks = 0

    def look(self) -> str:
        self.looks += 1
        if self.state is None:
            raise BackendUnavailable("it is away")
        return self.state


async def next_seen(stream: AsyncIterator[bytes]) -> str:
    async for message in stream:
        if message.startswith(b"event: seen"):
            return message.decode().partition("data: ")[2].strip()
    raise AssertionError("the stream has ended")


def played(story: Callable[[Live, Store], Coroutine[Any, Any, None]]) -> Store:
    store = Store()

    async def play() -> None:
        await asyncio.wait_for(story(Live(most=3, every=0.005), store), 10)

    asyncio.run(play())
    return store


def test_who_watches_is_told_what_is_there_and_each_change() -> None:
    async def story(live: Live, store: Store) -> None:
        stream = live.follow(Topic("runs", store.look))
        assert await next_seen(stream) == "a"
        store.state = "b"
        assert await next_seen(stream) == "b"

    played(story)


def test_all_who_watch_the_same_share_one_look() -> None:
    async def story(live: Live, store: Store) -> None:
        streams = [live.follow(Topic("runs", store.look)) for _ in range(3)]
        assert [await next_seen(one) for one in streams] == ["a", "a", "a"]
        store.looks, store.state = 0, "b"
        assert await asyncio.gather(*map(next_seen, streams)) == ["b", "b", "b"]
        assert store.looks <= 2
        assert live.is_full

    played(story)


def test_nobody_looks_when_nobody_watches() -> None:
    async def story(live: Live, store: Store) -> None:
        stream = live.follow(Topic("runs", store.look))
        await next_seen(stream)
        await stream.aclose()  # type: ignore[attr-defined]  # it is a generator
        assert live.streams == 0
        await asyncio.sleep(0.05)
        store.looks = 0
        await asyncio.sleep(0.1)
        assert store.looks == 0

    played(story)


def test_a_store_that_is_away_is_news_and_so_is_its_return() -> None:
    async def story(live: Live, store: Store) -> None:
        stream = live.follow(Topic("runs", store.look))
        await next_seen(stream)
        store.state = None
        assert await next_seen(stream) == "away"
        store.state = "a"
        assert await next_seen(stream) == "a"

    played(story)


def test_a_page_says_as_what_it_has_seen_its_topic(world: MemoryWorld, mesh: Mesh, operator: Browser) -> None:
    """Who hears the same again does not load the page again."""
    run = mesh.start_run(Letter.send).run_id
    work(mesh)
    before = {path: seen_of(operator.page(path)) for path in (f"/runs/{run}", *LISTS)}
    assert before == {path: seen_of(operator.page(path)) for path in before}
    mesh.cancel_run(run, actor="gandalf")
    after = {path: seen_of(operator.page(path)) for path in before}
    changed = {path for path in before if before[path] != after[path]}
    assert {f"/runs/{run}", "/runs", "/pulse"} <= changed and "/cron" not in changed


def seen_of(page: str) -> tuple[str, str]:
    topic, _, rest = page.partition('data-topic="')[2].partition('"')
    return topic, rest.partition('data-seen="')[2].partition('"')[0]


def test_whoever_may_only_look_is_told_too(mesh: Mesh) -> None:
    topic, seen = seen_of(browser(mesh, Visitor(actor="pippin")).page("/runs?size=50"))
    assert topic == "/live/runs?size=50" and seen
