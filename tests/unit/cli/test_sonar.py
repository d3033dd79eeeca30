"""``squidmesh sonar``: what it serves, to whom, and what it refuses to do."""

import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from squidmesh.cli.root import squidmesh
from squidmesh.sonar import Tokens


def test_it_answers_this_machine_and_says_where_to_sign_in(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'journal.db'}"
    command = [sys.executable, "-m", "squidmesh", "sonar", "--url", store, "--listen", "0", "--actor", "frodo"]
    assert CliRunner().invoke(squidmesh, ["migrate", "--url", store]).exit_code == 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            look, decide = process.stdout.readline(), process.stdout.readline()
            (address,) = re.findall(r"http://127\.0\.0\.1:\d+/", look)
            assert re.search(r"/sign-in#[\w-]{32}  to decide", decide)
            with urllib.request.urlopen(f"{address}runs", timeout=10) as answer:
                assert b"There is no run yet" in answer.read() and "default-src 'none'" in str(answer.headers)
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) in (0, -signal.SIGTERM)
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--listen", "0.0.0.0:0"], "without --tokens anybody could come in"),
        (["--listen", "[::]:0"], "without --tokens anybody could come in"),
        (["--listen", "example.org:80"], "without --tokens anybody could come in"),
        (["--listen", "nowhere:x"], "is refused; allowed is HOST:PORT"),
        (["--tokens", "none.toml"], "does not exist"),
        (["--actor", ""], "allowed are 1 to 128 characters"),
        (["--listen", "0"], "which mesh?"),
    ],
)
def test_what_it_can_not_serve_is_refused(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(squidmesh, ["sonar", *arguments])
    assert result.exit_code != 0 and said in re.sub(r"\s+", " ", result.output)


def test_a_token_that_is_made_lets_its_actor_in(tmp_path: Path) -> None:
    arguments = ["sonar", "token", "frodo", "--role", "operator", "--queue", "shire-*"]
    result = CliRunner().invoke(squidmesh, arguments)
    path = tmp_path / "tokens.toml"
    path.write_text(result.stdout)
    (token,) = re.findall(r": ([\w-]{32})$", result.stderr.strip())
    visitor = Tokens.read(path).sign_in(token)
    assert visitor is not None
    assert (visitor.actor, visitor.role, visitor.queues) == ("frodo", "operator", ("shire-*",))
    assert token not in result.stdout


def test_tokens_and_an_actor_exclude_each_other(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(CliRunner().invoke(squidmesh, ["sonar", "token", "frodo"]).stdout)
    result = CliRunner().invoke(squidmesh, ["sonar", "--tokens", str(path), "--actor", "sam", "--url", "memory://"])
    assert result.exit_code != 0 and "without --actor" in result.output
