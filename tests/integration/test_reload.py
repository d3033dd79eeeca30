"""``squidmesh worker --reload``: the next run is of the code as it stands now."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from squidmesh import Mesh, UsageError, Workflow, manual, step
from squidmesh.cli.reload import folder_of, stamps_of
from tests.integration.test_worker import Nothing

WAIT = 30.0
APP = """
from pydantic import BaseModel
from squidmesh import Mesh, Workflow, manual, step
from words import WORD

class Nothing(BaseModel):
    pass

class Says(Workflow):
    version = "1"
    go = manual(Nothing)
    only = step(lambda: {"word": WORD})

mesh = Mesh.connect("sqlite:///says.db", workflows=[Says], idle_poll=0.1)
"""


class Says(Workflow):
    version = "1"
    go = manual(Nothing)
    only = step(lambda: {"word": ""})


class Project:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("says.py", APP)
        self.write("words.py", 'WORD = "first"\n')
        self.mesh = Mesh.connect(f"sqlite:///{folder / 'says.db'}", workflows=[Says])
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "squidmesh", "--app", "says:mesh", "worker", "--reload", "--json"],
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def write(self, name: str, text: str) -> None:
        """As editors do: whole, at once."""
        draft = self.folder / f"{name}.draft"
        draft.write_text(text)
        draft.replace(self.folder / name)

    def says(self) -> object:
        run = self.mesh.start_run(Says)
        return self.mesh.wait_for(run.run_id, timeout=WAIT).output

    def until_logged(self, word: str, times: int = 1) -> None:
        ends = time.monotonic() + WAIT
        while self.log.read_text().count(word) < times:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < ends, self.log.read_text()
            time.sleep(0.02)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project(tmp_path)
    yield made
    made.mesh.close()
    if made.process.poll() is None:
        made.process.kill()
    made.process.communicate()


def test_a_change_is_in_the_next_run(project: Project) -> None:
    project.until_logged("worker_started")
    project.write("words.py", 'WORD = "second"\n')
    project.until_logged("worker_started", 2)
    assert project.says() == {"word": "second"}


@pytest.mark.all
def test_a_broken_app_waits_for_the_next_change(project: Project) -> None:
    assert project.says() == {"word": "first"}
    project.write("words.py", "WORD = \n")
    project.until_logged("reload_waits")
    project.write("words.py", 'WORD = "third"\n')
    assert project.says() == {"word": "third"}
    project.process.send_signal(signal.SIGTERM)
    told, _ = project.process.communicate(timeout=WAIT)
    assert (project.process.returncode, told.split()) == (0, [b"{", b'"drained":', b"true", b"}"])


@pytest.mark.all
def test_who_is_killed_leaves_no_worker_behind(project: Project) -> None:
    project.until_logged("worker_started")
    project.process.kill()
    project.process.wait()
    ends = time.monotonic() + WAIT
    while "worker_ended" not in project.log.read_text():
        assert time.monotonic() < ends, project.log.read_text()
        time.sleep(0.02)


# -------------------------------------------------------------------------------------------------------- watching


def test_what_is_not_the_apps_is_not_watched(tmp_path: Path) -> None:
    for name in ("app.py", "inside/part.py", ".venv/lib.py", "site-packages/lib.py", "__pycache__/app.py", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    assert sorted(os.path.relpath(path, tmp_path) for path in stamps_of(tmp_path)) == ["app.py", "inside/part.py"]


Write = Callable[[Path], object]


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_text("longer"),
        lambda path: os.utime(path, ns=(1, 1)),
        lambda path: path.unlink(),
        lambda path: path.with_name("other.py").write_text(""),
    ],
)
def test_each_kind_of_change_is_seen(tmp_path: Path, write: Write) -> None:
    path = tmp_path / "app.py"
    path.write_text("")
    before = stamps_of(tmp_path)
    assert stamps_of(tmp_path) == before
    write(path)
    assert stamps_of(tmp_path) != before


def test_the_folder_is_found_without_importing_the_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "shire").mkdir()
    (tmp_path / "shire" / "__init__.py").write_text("raise RuntimeError")
    (tmp_path / "lonely.py").write_text("raise RuntimeError")
    assert folder_of("shire.deep.app:mesh") == tmp_path / "shire"
    assert folder_of("lonely:mesh") == tmp_path


@pytest.mark.parametrize("app", ["nowhere:mesh", "", "a b:mesh", "sys:mesh"])
def test_an_app_that_is_no_file_is_refused(app: str) -> None:
    with pytest.raises(UsageError, match="--app"):
        folder_of(app)
