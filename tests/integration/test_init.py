"""``squidmesh init``: what it makes runs as it stands."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from squidmesh.cli.init import make_project
from squidmesh.errors import InvalidInput

ROOT = Path(__file__).resolve().parents[2]


def in_folder(folder: Path, *arguments: str) -> str:
    """What that command says; it must end well."""
    there = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "backends")]), "SQUIDMESH_APP": "orders:mesh"}
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=folder, env=os.environ | there, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_new_project_starts_runs_and_its_tests_pass(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "orders"
    told = json.loads(in_folder(tmp_path, "squidmesh", "init", str(folder), "--json"))
    assert set(told["files"]) == {path.name for path in folder.iterdir()}
    assert "3 passed" in in_folder(folder, "pytest", "-q", "-p", "no:cacheprovider")
    payload = '{"order_id": "17", "amount": 42}'
    run = json.loads(in_folder(folder, "squidmesh", "start", "Fulfil", "--payload", payload, "--json"))
    assert run["status"] == "running"
    assert run["run_id"] in in_folder(folder, "squidmesh", "runs", "list")


def test_every_command_of_its_readme_is_one(tmp_path: Path) -> None:
    make_project(tmp_path)
    lines = (tmp_path / "README.md").read_text().splitlines()
    named = {line.split()[1] for line in lines if line.startswith("squidmesh ")}
    assert {"worker", "start", "runs"} <= named
    for command in named:
        in_folder(tmp_path, "squidmesh", command, "--help")


def test_nothing_is_written_over_and_nothing_is_half_written(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(InvalidInput, match=r"folder: .* has README\.md already"):
        make_project(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_what_was_made_is_removed_where_the_rest_can_not_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def full(path: Path, *args: object, **kwargs: object) -> object:
        if path.name == "README.md":
            raise OSError(28, "No space left on device", str(path))
        return opened(path, *args, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(InvalidInput, match="No space left"):
        make_project(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "here").write_text("")
    with pytest.raises(InvalidInput, match="can not be made"):
        make_project(tmp_path / "here")
