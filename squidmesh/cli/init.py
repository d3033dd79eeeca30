"""``squidmesh init``: a folder with a workflow that runs, and its tests."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import click

from squidmesh import InvalidInput, __version__
from squidmesh.cli.output import json_option, show, show_json

_FILES = {
    "orders.py": "orders.py.txt",
    "test_orders.py": "test_orders.py.txt",
    "README.md": "README.md.txt",
    "requirements.txt": "requirements.txt.txt",
    ".gitignore": "gitignore.txt",
}


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path())
@json_option
def init(folder: Path, as_json: bool) -> None:
    """Make a project that runs in FOLDER: a workflow, its tests, and how to go on.

    FOLDER is made where it is not there; nothing that stands in it is written over.
    """
    written = make_project(folder)
    if as_json:
        show_json({"folder": str(folder), "files": written})
    else:
        show(*(f"made {folder / name}" for name in written), f"now read {folder / 'README.md'}")


def make_project(folder: Path) -> list[str]:
    """The names of the files that were made. Raises ``InvalidInput`` where one of them is there, or can not be made;
    what was made before that is removed again.
    """
    there = [name for name in _FILES if (folder / name).exists()]
    if there:
        raise InvalidInput(f"{folder} has {', '.join(there)} already; allowed is a folder without", field="folder")
    made: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, source in _FILES.items():
            with (folder / name).open("x", encoding="utf-8") as file:
                made.append(folder / name)
                file.write(_text(source))
    except OSError as error:
        for path in made:
            path.unlink(missing_ok=True)
        where = error.filename or folder
        raise InvalidInput(f"{where} can not be made: {error.strerror or error}", field="folder") from error
    return list(_FILES)


def _text(source: str) -> str:
    text = (resources.files("squidmesh.cli") / "project" / source).read_text("utf-8")
    return text.replace("{version}", __version__) if source.startswith("requirements") else text
