"""The tree speaks of the project alone: no file knows whose machine wrote it, or where packages come from."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted((ROOT / "requirements").rglob("*.txt"))

# Folders of a person, or of one machine. What every host has (/etc, /usr, /var, /run, /dev) may be named.
A_PERSONS_PATH = re.compile(r"(?<![\w.:/>-])/(?:home|mnt|root|Users|work|workspaces?)(?:/[\w.-]|(?![\w./-]))")
REGISTRIES = re.compile(
    "|".join(
        re.escape(".".join(name))
        for name in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("deb", "debian", "org"))
    )
)


def project_files() -> list[Path]:
    """Return every file that is, or is about to be, part of the project."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    except (OSError, subprocess.CalledProcessError):
        listed = []
    files = [ROOT / name for name in listed if name and (ROOT / name).is_file()]
    return files if ROOT / "pyproject.toml" in files else files_without_git()


def files_without_git() -> list[Path]:
    """An unpacked archive: all but what tools leave behind."""
    made = re.compile(r"__pycache__|\.venv|\.tools|\.git|\.hypothesis|\..+_cache|build|dist|htmlcov")
    return [
        Path(folder, name)
        for folder, _, names in os.walk(ROOT)
        if not any(made.fullmatch(part) for part in Path(folder).relative_to(ROOT).parts)
        for name in names
    ]


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    found = []
    for path in project_files():
        text = path.read_bytes().decode("utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), start=1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}")
    return found


def test_no_file_names_a_path_of_the_machine_that_wrote_it():
    here = re.escape(f"{ROOT}/") if len(ROOT.parts) > 2 else "(?!)"
    assert lines_with(re.compile(f"{A_PERSONS_PATH.pattern}|{here}")) == []


def test_no_file_names_a_package_registry():
    assert lines_with(REGISTRIES) == []


def test_what_is_started_by_name_is_executable():
    assert [name for name in ("dev", ".ci/run") if not os.access(ROOT / name, os.X_OK)] == []


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_a_lock_holds_versions_and_hashes_and_no_address(path: Path):
    lines = path.read_text().splitlines()
    assert lines, "an empty lock"
    pin = re.compile(r"[a-z0-9-]+(\[[a-z0-9,-]+\])?==[\w.!+]+( ; [^:/@]+)? \\")
    a_hash = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
    assert [line for line in lines if not pin.fullmatch(line) and not a_hash.fullmatch(line)] == []


def pins(name: str) -> dict[str, set[str]]:
    """Return the versions that a lock pins, by package; several where they differ by platform or Python."""
    found: dict[str, set[str]] = {}
    for line in (ROOT / "requirements" / name).read_text().splitlines():
        if not line.startswith(" "):
            requirement = Requirement(line.removesuffix("\\"))
            version = next(iter(requirement.specifier)).version
            found.setdefault(canonicalize_name(requirement.name), set()).add(version)
    return found


def test_a_user_gets_the_versions_that_the_tests_ran_with():
    dev = pins("dev.txt")
    assert {name: versions for lock in ("run.txt", "build.txt") for name, versions in pins(lock).items()}.items() <= (
        dev.items()
    )


def test_every_dependency_is_locked_in_a_version_that_it_allows():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = pins("run.txt")
    for requirement in map(Requirement, project["dependencies"]):
        versions = locked.get(canonicalize_name(requirement.name))
        assert versions, f"{requirement.name}: not locked; run ./dev lock"
        assert all(map(requirement.specifier.contains, versions)), f"{requirement}: locked {versions}; run ./dev lock"
