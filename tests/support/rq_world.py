"""A mesh for RQ's workers, as their processes find it: what it does is told by the environment, what it did by a file.

SQUIDMESH_APP=tests.support.rq_world:mesh
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel

from squidmesh import Context, Mesh, RetryPolicy, Workflow, cron, fixed, manual, secret, step, wait

APP = f"{__name__}:mesh"
JOURNAL, FOLDER, SETTINGS = "RQ_WORLD_JOURNAL", "RQ_WORLD_FOLDER", "RQ_WORLD_SETTINGS"


class Word(BaseModel):
    word: str = "plain"
    pin: Annotated[str, secret] = "0000"


def told(context: Context, folder: Path | None = None) -> None:
    """One line in the file of what was done, in one write."""
    said = {"run": context.run_id, "step": context.step, "attempt": context.attempt, "delivery": context.delivery}
    line = json.dumps({**said, "pid": os.getpid(), "key": context.idempotency_key}) + "\n"
    with (_folder(folder) / "done").open("a") as file:
        file.write(line)


def done(folder: Path) -> list[dict[str, Any]]:
    file = folder / "done"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def _folder(folder: Path | None = None) -> Path:
    return folder or Path(os.environ[FOLDER])


def first(word: str, context: Context) -> dict[str, str]:
    told(context)
    return {"said": f"{word}!"}


def second(said: str, context: Context) -> dict[str, str]:
    told(context)
    return {"echo": said}


class Chain(Workflow):
    version = "1"
    begun = manual(Word)
    first = step(first)
    rest = wait(0.2)
    second = step(second)
    flow = first >> rest >> second


def fail(word: str, context: Context) -> None:
    told(context)
    if context.attempt < 3:
        raise ConnectionError(f"nobody hears {word}")


class Flaky(Workflow):
    version = "1"
    begun = manual(Word)
    fail = step(fail, retry=RetryPolicy(max_attempts=3, backoff=fixed(0.1)))


def linger(context: Context) -> None:
    """Until it is told to end, but only in its first delivery."""
    told(context)
    while context.delivery == 1 and not (_folder() / "go").exists():
        time.sleep(0.02)


class Long(Workflow):
    version = "1"
    begun = manual(Word)
    linger = step(linger)
    second = step(first)
    flow = linger >> second


def die(context: Context) -> None:
    told(context)
    os._exit(9)


class Poison(Workflow):
    version = "1"
    begun = manual(Word)
    die = step(die)


class Shared(Workflow):
    version = "1"
    begun = manual(Word)
    one = step(first, concurrency_key="word")


class Nightly(Workflow):
    version = "1"
    evening = cron("0 21 * * *", timezone="Etc/UTC", payload=Word)
    first = step(first)


WORKFLOWS = (Chain, Flaky, Long, Poison, Shared, Nightly)


def connect(url: str, **settings: Any) -> Mesh:
    settings = {"lease": 1.0, "idle_poll": 0.1, "reconcile_every": 0.1, "sweep": 0.5, "quarantine": False, **settings}
    return Mesh.connect(url, workflows=WORKFLOWS, **settings)


@contextmanager
def environment(url: str, folder: Path, **settings: Any) -> Iterator[dict[str, str]]:
    """That of a worker's process."""
    yield {
        **os.environ,
        "SQUIDMESH_APP": APP,
        JOURNAL: url,
        FOLDER: str(folder),
        SETTINGS: json.dumps(settings),
    }


if JOURNAL in os.environ:
    mesh = connect(os.environ[JOURNAL], **json.loads(os.environ.get(SETTINGS, "{}")))
