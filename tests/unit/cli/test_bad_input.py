"""Whatever is typed: exit code 2, one line a problem on stderr, nothing on stdout, never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import Result

BROKEN = {
    "divides.py": "mesh = 1 / 0",
    "half.py": "def broken(:",
    "needs.py": "import a_library_that_is_not_there",
    "leaves.py": "import sys; sys.exit(3)",
    "number.py": "mesh = 5",
    "wrong.py": """
from squidmesh import Mesh, Workflow, wait
class W(Workflow):
    version = "1"
    a = wait(-1)
    b = wait(-2)
    flow = a >> b
mesh = Mesh.connect("memory://", workflows=[W])
""",
}


def lines(result: Result) -> list[str]:
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr.splitlines()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in BROKEN.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    "app, said",
    [
        ("nowhere:mesh", "there is no module 'nowhere'"),
        ("os.path.deeper:mesh", "there is no module 'os.path.deeper'"),
        ("number:nothing", "'number' has no 'nothing'; it has no mesh either"),
        ("number:mesh", "'number:mesh' is no mesh but int; allowed is what Mesh.connect returns"),
        ("number", "'number' is refused; allowed is MODULE:ATTRIBUTE"),
        ("number:", "'number:' is refused"),
        (":mesh", "':mesh' is refused"),
        ("a b:mesh", "'a b:mesh' is refused"),
        ("divides:mesh", "importing 'divides' failed: ZeroDivisionError: division by zero"),
        ("needs:mesh", "importing 'needs' failed: No module named 'a_library_that_is_not_there'"),
        ("half:mesh", "importing 'half' failed: invalid syntax"),
        ("leaves:mesh", "importing 'leaves' ended the program, with 3"),
    ],
)
@pytest.mark.parametrize("command", [("runs", "list"), ("worker",), ("start", "W")])
def test_an_app_that_can_not_be_had(run_cli, folder, app, said, command):
    (line,) = lines(run_cli("--app", app, *command))

    assert line.startswith(f"squidmesh: invalid_app: --app: {said}")


def test_where_an_app_failed_is_told(run_cli, folder):
    assert "divides.py, line 1)" in lines(run_cli("--app", "divides:mesh", "runs", "list"))[0]


def test_a_workflow_with_several_problems_has_a_line_for_each(run_cli, folder):
    found = lines(run_cli("--app", "wrong:mesh", "worker"))

    assert len(found) == 3
    assert all(line.startswith("squidmesh: invalid_workflow: W: ") for line in found)
    assert "W: steps.a.duration:" in found[0] and "[no_trigger]" in found[2]


@pytest.mark.parametrize(
    "payload, said",
    [
        ("{", "invalid_json: --payload: line 1 column 2:"),
        ('{\n"a": 1,,\n}', "invalid_json: --payload: line 2 column 8:"),
        ("[1]", "invalid_json: --payload: an array is refused; allowed is an object"),
        ("null", "invalid_json: --payload: null is refused"),
        ("17", "invalid_json: --payload: a number is refused"),
        ('{"a": NaN}', "invalid_json: --payload: NaN is no JSON"),
        ('{"a": 1, "a": 2}', "invalid_json: --payload: the key 'a' stands twice"),
        ("[" * 100_000, "invalid_json: --payload: nested too deeply"),
        ("9" * 5000, "invalid_json: --payload: Exceeds the limit"),
        ("@nowhere.json", "unreadable_file: --payload: nowhere.json: No such file or directory"),
        ("@.", "unreadable_file: --payload: .: Is a directory"),
        ('{"amount": 1}', "invalid_payload: payload: order_id: Field required"),
        ('{"order_id": "\\u0000"}', "invalid_payload: "),
    ],
    ids=range(13),
)
def test_a_payload_that_can_not_be_read(run_cli, app, payload, said):
    (line,) = lines(run_cli("--app", app(), "start", "Fulfil", "--payload", payload))

    assert line.startswith(f"squidmesh: {said}")


def test_a_payload_on_stdin_that_is_no_text(run_cli, app):
    (line,) = lines(run_cli("--app", app(), "start", "Fulfil", "--payload", "-", stdin=b"{\xff}"))

    assert line == "squidmesh: invalid_json: --payload: stdin: byte 1 is not UTF-8"


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("start", "Nothing"), "not_found: workflow: 'Nothing' is not registered"),
        (("start", "Fulfil", "--trigger", "other"), "not_found: trigger: "),
        (("start", "Fulfil", "--delay", "nan"), "usage_error: Invalid value for '--delay': 'nan' is refused"),
        (("start", "Fulfil", "--delay", "soon"), "usage_error: Invalid value for '--delay': 'soon' is refused"),
        (("start", "Fulfil", "--delay", "-1"), "usage_error: Invalid value for '--delay': '-1' is refused"),
        (("start",), "usage_error: Missing argument 'WORKFLOW'. (see squidmesh start --help)"),
        (("start", "Fulfil", "--payload", '{"order_id": "1"}', "--priority", "10"), "invalid_input: priority: "),
        (("start", "Fulfil", "--payload", '{"order_id": "1"}', "--queue", "a b"), "invalid_input: queue: "),
        (("start", "Fulfil", "--payload", '{"order_id": "1"}', "--key", ""), "invalid_input: key: "),
        (("worker", "--concurrency", "0"), "invalid_input: concurrency: "),
        (("worker", "--processes", "0"), "usage_error: Invalid value for '--processes'"),
        (("worker", "--queue", "a b"), "invalid_input: queues: "),
        (("worker", "--reload", "--processes", "2"), "invalid_reload: --reload: --reload with --processes=2"),
        (("worker", "--queue", "a=0"), "invalid_input: queues: 'a=0': weight: "),
        (("worker", "--queue", "tenant-*:0"), "invalid_input: queues: 'tenant-*:0': limit: "),
        (("worker", "--grace", "inf"), "usage_error: Invalid value for '--grace'"),
        (("top", "--every", "0"), "usage_error: Invalid value for '--every': '0' is refused; allowed are 0.1 to 3600"),
        (("top", "--leases", "redis://localhost"), "no_mesh: --leases goes with --url"),
        (("workers", "show"), "usage_error: No such command 'show'"),
        (("worker", "--with", "cron,sweep"), "invalid_role: --with: 'sweep' is no role; allowed are cron, reconcile"),
        (("worker", "--with", ""), "invalid_role: --with: '' is no role; allowed are cron, reconcile"),
        (("worker", "--without", "all"), "invalid_role: --without: 'all' is no role; allowed are cron, reconcile"),
        (("worker", "--with", "cron", "--without", "cron"), "invalid_role: --without: cron is asked for and left out"),
        (("worker", "--processes", "2", "--concurrency", "0"), "invalid_input: concurrency: "),
        (("runs", "show", "nowhere"), "not_found: run_id: there is no run 'nowhere'"),
        (("runs", "explain", "nowhere"), "not_found: run_id: there is no run 'nowhere'"),
        (("runs", "graph", "nowhere"), "not_found: run_id: there is no run 'nowhere'"),
        (("runs", "approve", "nowhere", "--actor", "sam"), "not_found: run_id: there is no run 'nowhere'"),
        (("runs", "approve", "nowhere"), "usage_error: Missing option '--actor'"),
        (("runs", "reject", "nowhere", "--actor", " "), "invalid_input: actor: "),
        (("runs", "reject", "nowhere", "--actor", "sam", "--metadata", "[]"), "invalid_json: --metadata: an array"),
        (("runs", "list", "--status", "lost"), "usage_error: Invalid value for '--status'"),
        (("runs", "list", "--limit", "0"), "invalid_input: limit: "),
        (("runs", "list", "--after", "nowhere"), "invalid_input: after: "),
        (("runs", "list", "--by", "size"), "usage_error: Invalid value for '--by': 'size' is not one of 'started', 'a"),
        (("runs", "list", "--by", "active", "--after", "1:a"), "invalid_input: after: '1:a' is no cursor"),
        (("runs", "list", "--after", "active:1:a"), "invalid_input: after: 'active:1:a' is no cursor"),
        (("runs", "lst"), "usage_error: No such command 'lst'"),
        (("fly",), "usage_error: No such command 'fly'"),
        (("--loud",), "usage_error: No such option"),
        (("migrate",), "no_mesh: a store is named by --url, not by --app"),
        (("migrate", "--url", "nowhere"), "no_mesh: --app and --url exclude each other"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_an_argument_that_can_not_be(run_cli, app, arguments, said):
    (line,) = lines(run_cli("--app", app(), *arguments))

    assert line.startswith(f"squidmesh: {said}")


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("runs", "list"), "no_mesh: which mesh? --app MODULE:ATTRIBUTE or --url URL"),
        (("worker",), "no_mesh: this needs the workflows, not only their store: --app MODULE:ATTRIBUTE"),
        (("migrate",), "no_mesh: which store? --url URL"),
        (("--url", "memory://", "start", "W"), "no_mesh: this needs the workflows"),
        (("--url", "nowhere", "runs", "list"), "invalid_url: url: 'nowhere' has no scheme that is installed here"),
        (("--url", "oracle://user:secret@host/db", "runs", "list"), "invalid_url: url: 'oracle://…'"),
        (("migrate", "--url", "oracle://user:secret@host/db"), "invalid_url: url: 'oracle://…'"),
        (("runs", "list", "--url", "sqlite:///no/such/folder/x.db"), ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_mesh_that_is_not_named_or_not_there(run_cli, arguments, said):
    (line,) = lines(run_cli(*arguments))

    assert line.startswith(f"squidmesh: {said}")
    assert "secret" not in line


def test_a_file_that_is_no_store_is_left_alone(run_cli, tmp_path):
    (tmp_path / "notes.txt").write_text("remember the milk, and more than sixteen bytes")

    (line,) = lines(run_cli("--url", f"sqlite:///{tmp_path / 'notes.txt'}", "runs", "list"))

    assert line.startswith("squidmesh: foreign_store: ")
    assert (tmp_path / "notes.txt").read_text().startswith("remember the milk")


def test_what_is_said_stays_on_one_line_and_can_not_move_the_cursor(run_cli, app):
    (line,) = lines(run_cli("--app", app(), "runs", "show", "no\n\x1b[2Jwhere"))

    assert "\x1b" not in line
