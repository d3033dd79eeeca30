"""Authors get their mistakes from the type checker, not from a run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = Path(__file__).with_name("typing_example.py")


def test_a_workflow_is_checked_by_mypy_strict(tmp_path):
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", f"--cache-dir={tmp_path}"]
    checked = subprocess.run([*command, str(EXAMPLE)], cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_what_the_checker_can_not_follow_is_not_passed_over(tmp_path):
    """The checks above would all hold for ``Any``."""
    wrong = tmp_path / "wrong.py"
    wrong.write_text(EXAMPLE.read_text().replace("Cron[Nightly])", "Cron[LeaveShire])"))
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", f"--cache-dir={tmp_path}"]
    checked = subprocess.run([*command, str(wrong)], cwd=ROOT, capture_output=True, text=True)
    assert "assert_type" in checked.stdout or "Expression is of type" in checked.stdout, checked.stdout + checked.stderr
