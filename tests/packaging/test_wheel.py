"""What a user installs: the wheel holds all that it needs and nothing else, and works where nothing of ours is."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def output_of(*command: object, cwd: Path) -> str:
    result = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, env=plain())
    assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
    return result.stdout


def plain() -> dict[str, str]:
    """Return the environment without what would let the tree's own modules, or its own .venv, stand in."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    output_of(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder, cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bin folder of a new environment with the wheel, and its dependencies as locked."""
    uv = os.environ.get("SQUIDMESH_UV") or shutil.which("uv")
    assert uv, "no uv: run the tests through ./dev, or put uv on PATH"
    folder = tmp_path_factory.mktemp("installed")
    python = folder / "env" / "bin" / "python"
    output_of(uv, "venv", "--python", sys.executable, "env", cwd=folder)
    lock = ROOT / "requirements" / "run.txt"
    output_of(uv, "pip", "sync", "--python", python, "--require-hashes", lock, cwd=folder)
    output_of(uv, "pip", "install", "--python", python, "--no-deps", wheel, cwd=folder)
    return python.parent


@pytest.fixture(scope="module")
def contents(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_the_wheel_holds_the_core_and_the_backends_only(contents):
    packages = {"squidmesh", *(path.parent.name for path in (ROOT / "backends").glob("*/__init__.py"))}
    metadata = f"squidmesh-{PROJECT['version']}.dist-info"
    assert {name.split("/")[0] for name in contents} == packages | {metadata}
    assert not [name for name in contents if "__pycache__" in name or name.endswith(".db")]


def test_every_file_of_the_packages_is_in_the_wheel(contents):
    expected = {
        path.relative_to(base).as_posix()
        for base, pattern in ((ROOT, "squidmesh/**/*"), (ROOT / "backends", "squidmesh_*/**/*"))
        for path in base.glob(pattern)
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert expected <= set(contents)


@pytest.mark.parametrize(
    "pattern",
    ["squidmesh/py.typed", "squidmesh_sqlite/**/*.sql", "squidmesh_redis/**/*.lua", "squidmesh/demo/*.json*"],
)
def test_what_is_no_python_is_in_the_wheel_too(contents, pattern):
    folder, _, last = pattern.replace("**/", "").rpartition("/")
    assert [name for name in contents if name.startswith(f"{folder}/") and Path(name).match(last)]


def test_the_wheel_imports_without_the_tree(installed):
    places = output_of(
        installed / "python",
        "-I",
        "-c",
        "import squidmesh, squidmesh_sqlite; print(squidmesh.__file__, squidmesh_sqlite.__file__)",
        cwd=installed,
    ).split()
    assert all(Path(place).is_relative_to(installed.parent) for place in places)


def test_the_command_knows_its_version(installed):
    assert PROJECT["version"] in output_of(installed / "squidmesh", "--version", cwd=installed)


def test_every_backend_is_found_by_its_url_scheme(installed):
    """Without its driver, a backend says which extra brings it."""
    urls = {scheme: f"{scheme}://localhost" for scheme in PROJECT["entry-points"]["squidmesh.backends"]}
    urls |= {"memory": "memory://", "sqlite": "sqlite:///journal.db"}
    code = (
        "from squidmesh.errors import InvalidUrl\n"
        "from squidmesh.runtime.backends import open_backend\n"
        f"for scheme, url in {urls}.items():\n"
        "    try: print(scheme, 'opened' if open_backend(url, clock=None) else '')\n"
        "    except InvalidUrl as error: print(scheme, error)\n"
    )
    found = output_of(installed / "python", "-I", "-c", code, cwd=installed).splitlines()
    missing = 'needs the package {}, which is not installed: pip install "squidmesh[{}]"'
    needs = {"postgres": ("psycopg", "postgres"), "redis": ("redis", "redis")}
    assert sorted(found) == [
        "memory opened",
        f"postgres url: postgres:// {missing.format(*needs['postgres'])}",
        f"postgresql url: postgresql:// {missing.format(*needs['postgres'])}",
        *(
            f"{scheme} url: {scheme}:// {missing.format(*needs['redis'])}"
            for scheme in ("redis", "redis+cluster", "redis+sentinel", "rediss", "rediss+cluster", "rediss+sentinel")
        ),
        "sqlite opened",
    ]
