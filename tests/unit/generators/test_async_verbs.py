"""Generated files are fresh, and their program refuses what it can not write."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from generators import __main__ as generate
from generators import async_verbs

ROOT = Path(__file__).resolve().parents[3]


def test_what_is_generated_is_what_its_program_writes():
    assert generate.stale() == [], "run ./dev generate"


def test_a_new_verb_makes_the_file_stale(mesh_with: Callable[[str], None], capsys: pytest.CaptureFixture[str]):
    mesh_with("def sing(self, *, loud: bool = False) -> None: ...")
    assert "async def sing(self, *, loud: bool = False) -> None:" in async_verbs.write()
    assert generate.main(["--check"]) == 1
    assert capsys.readouterr().out == "squidmesh/runtime/async_verbs.py is stale: run ./dev generate\n"


def test_a_verb_that_takes_its_time_is_in_the_other_pool(mesh_with: Callable[[str], None]):
    mesh_with("def archive(self, *, to: str) -> int: ...")
    assert "return await self._call_slow(self.mesh.archive, to=to)" in async_verbs.write()


def test_a_file_that_is_broken_is_written_all_the_same(tmp_path: Path):
    for folder in ("squidmesh", "generators"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    broken = tmp_path / "squidmesh" / "runtime" / "async_verbs.py"
    broken.write_text("<<<<<<< half a merge")
    done = subprocess.run([sys.executable, "-m", "generators"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert broken.read_text() == (ROOT / "squidmesh" / "runtime" / "async_verbs.py").read_text()


@pytest.mark.parametrize(
    ("verb", "why"),
    [
        ("def sing(self, *songs: str) -> None: ...", "every parameter has to have a name"),
        ("def sing(self, song: _Song) -> None: ...", "_Song stands in a signature, and is private"),
        ("def sing(self, song: Song) -> None: ...", "Song in .* comes from nowhere"),
        ("def sing(self) -> Iterator[str]: ...", "would go on in the event loop's thread"),
        ("def sing(self, song: timedelta) -> None: ...", "timedelta means two things"),
    ],
)
def test_a_signature_that_can_not_be_told_is_refused(mesh_with: Callable[[str], None], verb: str, why: str):
    mesh_with(verb)
    with pytest.raises(async_verbs.NotWritable, match=why):
        async_verbs.write()


SINGING = """
from __future__ import annotations
from collections.abc import Iterator
from numbers import Number as timedelta
from squidmesh.runtime.mesh import Mesh
_Song = str
class Singing(Mesh):
    {verb}
"""


@pytest.fixture
def mesh_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets the program find a mesh with one more verb."""

    def add(verb: str) -> None:
        path = tmp_path / "singing.py"
        path.write_text(SINGING.format(verb=verb))
        spec = spec_from_file_location("singing", path)
        assert spec is not None and spec.loader is not None
        module = module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "singing", module)
        spec.loader.exec_module(module)
        monkeypatch.setattr(async_verbs, "Mesh", module.Singing)

    return add
