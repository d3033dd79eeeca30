"""``AsyncMesh``: the verbs of ``Mesh``, and an event loop that goes on meanwhile."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from squidmesh import AsyncMesh, InvalidInput, InvalidPayload, Mesh, NotFound, UsageError, Workflow, manual, step
from squidmesh.runtime.async_calls import AsyncWorker
from squidmesh.runtime.worker import Worker

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = Path(__file__).with_name("async_typing_example.py")


class Leave(BaseModel):
    ring_id: str = "one-ring"


class Errand(Workflow):
    version = "1"
    leave = manual(Leave)
    walk = step(lambda ring_id: {"walked_with": ring_id})


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/errand.db"


def play(scene: Callable[[AsyncMesh], Awaitable[None]], url: str = "memory://", **settings: Any) -> None:
    """The scene with a mesh, in an event loop of its own. A minute is for ever: then something waits for itself."""

    async def whole() -> None:
        async with asyncio.timeout(60), AsyncMesh.connect(url, workflows=[Errand], **settings) as mesh:
            await scene(mesh)

    asyncio.run(whole())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 (what it waits for knows no event)
        await asyncio.sleep(0)


# ----------------------------------------------------------------------------------------------------- no drift


def verbs() -> list[str]:
    return [name for name, _ in inspect.getmembers(Mesh, callable) if not name.startswith("_")]


def test_there_is_a_coroutine_for_every_verb():
    found = {name for name, _ in inspect.getmembers(AsyncMesh, callable) if not name.startswith("_")}
    assert found == set(verbs())
    assert {name for name in found if not inspect.iscoroutinefunction(getattr(AsyncMesh, name))} == {
        "connect", "worker"
    }  # fmt: skip


@pytest.mark.parametrize("name", verbs())
def test_a_verb_has_the_same_signature(name: str):
    ours, theirs = inspect.signature(getattr(AsyncMesh, name)), inspect.signature(getattr(Mesh, name))
    given = [parameter for parameter in ours.parameters.values() if (name, parameter.name) != ("connect", "threads")]
    wanted = [parameter for parameter in theirs.parameters.values() if parameter.name != "connection"]
    assert [shown(parameter) for parameter in given] == [shown(parameter) for parameter in wanted]
    if name not in ("connect", "worker"):
        assert ours.return_annotation == theirs.return_annotation


def shown(parameter: inspect.Parameter) -> tuple[Any, ...]:
    """A lambda is as good as another one."""
    default = "lambda" if inspect.isfunction(parameter.default) else parameter.default
    return parameter.name, parameter.kind, parameter.annotation, default


def test_a_worker_can_be_asked_what_a_worker_can_be_asked():
    asked = {"running", "failed", "start", "drain", "abort"}
    assert asked <= set(dir(AsyncWorker))
    left = {name for name in dir(Worker) if not name.startswith("_")} - asked
    assert left == {"join", "look", "queues", "signs", "wait_turned"}, (
        "a drain waits for the end; the rest is for who watches"
    )


def test_type_checkers_see_true_signatures(tmp_path: Path):
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", f"--cache-dir={tmp_path}"]
    checked = subprocess.run([*command, str(EXAMPLE)], cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    wrong = tmp_path / "wrong.py"
    wrong.write_text(EXAMPLE.read_text().replace('Leave(ring_id="one-ring")', '"one-ring"'))
    checked = subprocess.run([*command, str(wrong)], cwd=ROOT, capture_output=True, text=True)
    assert 'No overload variant of "start_run"' in checked.stdout, checked.stdout + checked.stderr


# ------------------------------------------------------------------------------------------------------ behaviour


def test_a_run_is_started_executed_and_read(url: str):
    async def scene(mesh: AsyncMesh) -> None:
        run = await mesh.start_run(Errand.leave, Leave(ring_id="nine"), key="one")
        assert (await mesh.start_run(Errand.leave, Leave(ring_id="nine"), key="one")).run_id == run.run_id
        assert (await mesh.explain_run(run.run_id)).reason == "waiting_for_worker"
        executed = await mesh.execute_next(owner_id="sam")
        assert executed is not None and executed.status == "completed"
        assert await mesh.execute_next() is None
        assert (await mesh.wait_for(run.run_id)).output == {"walked_with": "nine"}
        assert (await mesh.list_runs(status="completed")).runs[0].run_id == run.run_id
        assert await mesh.count_runs() == {"completed": 1}
        assert mesh.mesh.count_runs() == {"completed": 1}, "the mesh itself is there too"

    play(scene, url)


def test_a_worker_runs_until_its_block_is_left(url: str):
    async def scene(mesh: AsyncMesh) -> None:
        async with mesh.worker(concurrency=2, owner_id="sam") as worker:
            runs = await mesh.start_runs(Errand.leave, [Leave()] * 20)
            ended = await asyncio.gather(*(mesh.wait_for(run.run_id) for run in runs))
            assert {run.status for run in ended} == {"completed"}
            assert worker.running
        assert not worker.running
        assert worker.failed is None
        with pytest.raises(UsageError, match="started once"):
            await worker.start()

    play(scene, url)


def test_errors_are_those_of_the_verbs(url: str):
    async def scene(mesh: AsyncMesh) -> None:
        with pytest.raises(InvalidPayload):
            await mesh.start_run(Errand, {"ring_id": 7})
        with pytest.raises(NotFound):
            await mesh.inspect_run("nobody")
        with pytest.raises(NotFound):
            await mesh.wait_for("nobody")
        with pytest.raises(InvalidInput, match="timeout: "):
            await mesh.wait_for("nobody", timeout=-1)
        with pytest.raises(InvalidInput, match="concurrency: "):
            async with mesh.worker(concurrency=0):
                raise AssertionError

    play(scene, url)


def test_a_store_is_migrated(tmp_path: Path):
    assert asyncio.run(AsyncMesh.migrate(f"sqlite:///{tmp_path}/errand.db"))


@pytest.mark.parametrize("threads", [0, 257, True, "4"])
def test_the_number_of_threads_is_bounded(threads: Any):
    with pytest.raises(InvalidInput, match="threads: "):
        AsyncMesh.connect("memory://", threads=threads)


def test_context_variables_are_seen_in_the_verb():
    asked_by = contextvars.ContextVar("asked_by", default="nobody")

    async def scene(mesh: AsyncMesh) -> None:
        asked_by.set("elrond")
        assert await mesh._call(asked_by.get) == "elrond"

    play(scene)


# ------------------------------------------------------------------------------------------------------ waiting


def test_many_waits_take_no_thread_from_a_start(url: str):
    async def scene(mesh: AsyncMesh) -> None:
        runs = await mesh.start_runs(Errand.leave, [Leave()] * 99)
        waits = [asyncio.create_task(mesh.wait_for(run.run_id)) for run in runs]
        await asyncio.sleep(0)
        last = await mesh.start_run(Errand.leave)
        waits.append(asyncio.create_task(mesh.wait_for(last.run_id)))
        while await mesh.execute_next() is not None:
            pass
        assert {run.status for run in await asyncio.gather(*waits)} == {"completed"}

    play(scene, url, threads=1)


def test_a_wait_hears_of_an_end_in_this_process(monkeypatch: pytest.MonkeyPatch):
    """No pause is over in this test: whoever only looks again would wait for ever."""
    monkeypatch.setattr("squidmesh.runtime.async_calls._FIRST_PAUSE", 3600.0)

    async def scene(mesh: AsyncMesh) -> None:
        run = await mesh.start_run(Errand.leave)
        waiting = asyncio.create_task(mesh.wait_for(run.run_id))
        endings = mesh.mesh._engine().endings
        await until(lambda: bool(endings._listeners))
        await mesh.execute_next()
        assert (await waiting).status == "completed"
        assert not endings._listeners, "nobody listens any more"

    play(scene)


def test_a_wait_finds_an_end_that_another_process_recorded(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/errand.db"

    async def scene(mesh: AsyncMesh) -> None:
        run = await mesh.start_run(Errand.leave)
        waiting = asyncio.create_task(mesh.wait_for(run.run_id))
        with Mesh.connect(url, workflows=[Errand]) as other:
            await asyncio.to_thread(other.execute_next)
        assert (await waiting).status == "completed"

    play(scene, url)


def test_a_wait_ends_with_its_time(url: str):
    async def scene(mesh: AsyncMesh) -> None:
        run = await mesh.start_run(Errand.leave)
        for timeout in (0, 0.01):
            with pytest.raises(TimeoutError, match=f"run {run.run_id} has not ended after {timeout:g} s; it is "):
                await mesh.wait_for(run.run_id, timeout=timeout)

    play(scene, url)


def test_a_loop_that_is_closed_over_a_wait_harms_nobody_who_records():
    with Mesh.connect("memory://", workflows=[Errand]) as plain:
        run = plain.start_run(Errand.leave)
        mesh, endings, loop = AsyncMesh(plain), plain._engine().endings, asyncio.new_event_loop()
        waiting = loop.create_task(mesh.wait_for(run.run_id))
        loop.run_until_complete(until(lambda: bool(endings._listeners)))
        loop.close()
        executed = plain.execute_next()
        assert executed is not None and executed.status == "completed"
        waiting._log_destroy_pending = False  # type: ignore[attr-defined]  # that it is left is the point


def test_a_step_that_takes_its_time_holds_up_no_start():
    begun, go_on = threading.Event(), threading.Event()

    def block() -> None:
        begun.set()
        go_on.wait(60)

    class Long(Workflow):
        version = "1"
        leave = manual(Leave)
        sit = step(block)

    async def scene() -> None:
        async with asyncio.timeout(60), AsyncMesh.connect("memory://", workflows=[Long], threads=1) as mesh:
            await mesh.start_run(Long.leave)
            executing = [asyncio.create_task(mesh.execute_next()) for _ in range(3)]
            await asyncio.to_thread(begun.wait, 60)
            assert (await mesh.start_run(Long.leave, key="second")).key == "second"
            async with mesh.worker():
                go_on.set()
                await asyncio.gather(*executing)

    asyncio.run(scene())


# --------------------------------------------------------------------------------------------------- cancelling


def test_a_start_that_is_cancelled_before_it_begins_never_begins():
    async def scene(mesh: AsyncMesh) -> None:
        go_on = threading.Event()
        before = asyncio.create_task(mesh._call(go_on.wait, 60))
        starting = asyncio.create_task(mesh.start_run(Errand.leave))
        await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        go_on.set()
        await before
        assert await mesh.count_runs() == {}

    play(scene, threads=1)


def test_a_start_that_has_begun_goes_on_when_it_is_cancelled():
    async def scene(mesh: AsyncMesh) -> None:
        begun, go_on, start = threading.Event(), threading.Event(), mesh.mesh.start_run

        def slowly(*args: Any, **kwargs: Any) -> Any:
            begun.set()
            go_on.wait(60)
            return start(*args, **kwargs)

        mesh.mesh.start_run = slowly  # type: ignore[method-assign]
        starting = asyncio.create_task(mesh.start_run(Errand.leave, key="one"))
        await asyncio.to_thread(begun.wait, 60)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        go_on.set()
        assert await mesh.count_runs() == {"running": 1}, "the only thread has ended the start before it counts"
        assert (await mesh.start_run(Errand.leave, key="one")).key == "one", "the key finds it"

    play(scene, threads=1)


def test_a_wait_is_cancelled_at_once_and_changes_nothing(url: str):
    async def scene(mesh: AsyncMesh) -> None:
        run = await mesh.start_run(Errand.leave)
        waiting = asyncio.create_task(mesh.wait_for(run.run_id))
        endings = mesh.mesh._engine().endings
        await until(lambda: bool(endings._listeners))
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not endings._listeners
        assert (await mesh.inspect_run(run.run_id)).status == "running"

    play(scene, url)


def test_a_worker_whose_start_is_cancelled_does_not_stay(monkeypatch: pytest.MonkeyPatch):
    begun, go_on, start = threading.Event(), threading.Event(), Worker.start

    def slowly(worker: Worker) -> Worker:
        begun.set()
        go_on.wait(60)
        return start(worker)

    monkeypatch.setattr(Worker, "start", slowly)

    async def scene(mesh: AsyncMesh) -> None:
        worker = mesh.worker()
        starting = asyncio.create_task(worker.start())
        await asyncio.to_thread(begun.wait, 60)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        go_on.set()
        await mesh.count_runs()  # behind the start, in the only thread
        assert worker._worker is not None
        await asyncio.to_thread(worker._worker.join, 60)
        assert not worker.running

    play(scene, threads=1)


def test_a_block_that_is_cancelled_drains_its_worker():
    async def scene(mesh: AsyncMesh) -> None:
        entered = asyncio.Event()
        worker = mesh.worker()

        async def block() -> None:
            async with worker:
                entered.set()
                await asyncio.sleep(3600)

        task = asyncio.create_task(block())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not worker.running

    play(scene)


# ------------------------------------------------------------------------------------------------------ the end


def test_a_closed_mesh_says_so(url: str):
    async def scene(mesh: AsyncMesh) -> None:
        await mesh.count_runs()
        await mesh.close()
        await mesh.close()
        for call in (mesh.count_runs, mesh.execute_next, mesh.worker().start):
            with pytest.raises(UsageError, match="closed"):
                await call()

    play(scene, url)


def test_closing_waits_for_no_step():
    async def scene(mesh: AsyncMesh) -> None:
        go_on = threading.Event()
        stuck = asyncio.create_task(mesh._call_slow(go_on.wait, 60))
        await asyncio.sleep(0)
        await mesh.close()
        go_on.set()
        assert await stuck

    play(scene, threads=1)


def test_it_says_what_it_is():
    assert repr(AsyncMesh.connect("memory://", workflows=[Errand])) == "<AsyncMesh memory:// workflows=['Errand']>"
