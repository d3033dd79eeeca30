"""The page is followed to the letter: its file is written, and its commands are given to one shell, in order."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.all, pytest.mark.timeout(300)]

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "getting-started.md").read_text()


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = [line for block in blocks("console") for line in block.splitlines()]
    assert all(line.startswith("$ ") for line in lines)
    return [line.removeprefix("$ ") for line in lines]


def test_the_page_can_be_followed(tmp_path: Path):
    (program,) = blocks("python")
    name, _, _ = program.partition("\n")
    (tmp_path / name.removeprefix("# ")).write_text(program)
    told = []
    for number, command in enumerate(commands()):
        told += [f"exec > {number}.out 2>&1", f"{command}\necho $? > {number}.code"]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    ended = subprocess.run(
        ["bash", "-c", "\n".join(told)],
        cwd=tmp_path,
        env=environment,
        timeout=280,
        stdin=subprocess.DEVNULL,
    )
    said = [(tmp_path / f"{number}.out").read_text() for number in range(len(commands()))]
    assert ended.returncode == 0
    assert [(tmp_path / f"{number}.code").read_text() for number in range(len(said))] == ["0\n"] * len(said), said

    explained = [text for command, text in zip(commands(), said, strict=True) if "runs explain" in command]
    for text, reason in zip(explained, ("waiting_for_worker", "running", "approval"), strict=True):
        assert f"why: {reason}" in text
    assert "delivery 2: out of Moria" in (tmp_path / "worker-2.log").read_text()
    assert "delivery 1: out of Moria" not in (tmp_path / "worker-1.log").read_text()
    (shown,) = [text for command, text in zip(commands(), said, strict=True) if "--history" in command]
    assert "one-ring is gone, 36 lembas are left" in shown
    assert "there is no other way" in shown
