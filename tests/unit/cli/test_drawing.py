"""A drawing says everything without colour: signs and words; heavy, light and dashed lines."""

from __future__ import annotations

from datetime import timedelta

from squidmesh import Explanation
from squidmesh.cli.drawing import draw_graph, explanation_panel
from tests.unit.cli.graphs import NOW, drawn, graph

PATH = graph(
    "pack:ok:rest:selected",
    "rest:ok:moria",
    "moria:ok:complete",
    nodes={
        "pack": {"status": "completed", "attempt": 2, "max_attempts": 3, "error": "step_raised"},
        "rest": {
            "kind": "wait",
            "status": "waiting",
            "duration": timedelta(seconds=30),
            "attempt": 1,
            "due_at": NOW + timedelta(seconds=12),
        },
    },
)

A_PATH_GOES_STRAIGHT_DOWN = """\
  ╭─ pack ──────────────╮
  │ ✓ completed         │
  │ attempt 2 of 3      │
  ╰────┰────────────────╯
       ▼
  ┏━ rest · wait 30 s ━━┓
  ┃ ◔ waiting 12 s more ┃
  ┗━━━━┯━━━━━━━━━━━━━━━━┛
       ▽
  ╭─ moria ─────────────╮
  │ ○ pending           │
  ╰────┬────────────────╯
       ▽
  ╭─────────────────────╮
  │ ○ complete          │
  ╰─────────────────────╯"""

BRANCH = graph(
    'charge:ok:receipt:selected:status == "paid"',
    "charge:ok:declined:skipped",
    "receipt:ok:complete",
    "declined:ok:complete:skipped",
    nodes={
        "charge": {"status": "completed"},
        "receipt": {"status": "running", "attempt": 1, "lost": 1},
        "declined": {"status": "skipped"},
    },
)

A_BRANCH_TELLS_ITS_CONDITION_AND_WHICH_WAY_WAS_TAKEN = """\
  ╭─ charge ─────────────╮
  │ ✓ completed          │
  ╰────┰─────────────────╯
       ┠╌ otherwise ╌╌╌╌╌╌╌╌╌╌╌╮
       ┃ status == "paid"      ╎
       ▼                       ▽
  ┏━ receipt ━━━━━━━━━━━━┓   ╭╌ declined ╌╌╌╌╌╮
  ┃ ● running            ┃   ╎ · skipped      ╎
  ┃ 1 lost delivery      ┃   ╰╌╌╌╌┬╌╌╌╌╌╌╌╌╌╌╌╯
  ┗━━━━┯━━━━━━━━━━━━━━━━━┛        ╎
       │  ╭╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╯
       ▽  ▽
  ╭──────────────────────╮
  │ ○ complete           │
  ╰──────────────────────╯"""

ERROR = graph(
    "charge:ok:ship:skipped",
    "charge:error:credit:selected::compensation",
    "ship:ok:complete:skipped",
    "credit:ok:complete",
    nodes={
        "charge": {
            "status": "failed",
            "attempt": 3,
            "max_attempts": 3,
            "error": "step_raised",
            "error_type": "GatewayBusy",
        },
        "ship": {"status": "skipped"},
        "credit": {
            "status": "retrying",
            "attempt": 2,
            "max_attempts": 8,
            "error": "card_down",
            "due_at": NOW + timedelta(seconds=6),
        },
    },
)

AN_ERROR_ROUTE_TELLS_ITS_RECOVERY = """\
  ╭─ charge ─────────────────╮
  │ ✗ failed                 │
  │ attempt 3 of 3           │
  │ GatewayBusy              │
  ╰────┰─────────────────────╯
       ┡━ error · compensation ━━━━┓
       ╎ ok                        ┃
       ▽                           ▼
  ╭╌ ship ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╮   ┏━ credit ━━━━━━━━━━┓
  ╎ · skipped                ╎   ┃ ↻ retrying in 6 s ┃
  ╰╌╌╌╌┬╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╯   ┃ attempt 2 of 8    ┃
       ╎                         ┃ card_down         ┃
       ╎                         ┗━━━━┯━━━━━━━━━━━━━━┛
       ╎  ╭───────────────────────────╯
       ▽  ▽
  ╭──────────────────────────╮
  │ ○ complete               │
  ╰──────────────────────────╯"""

REJECTED = graph(
    "load:ok:fraud:selected",
    "fraud:ok:ship:blocked",
    "ship:ok:complete:blocked",
    nodes={
        "load": {"status": "completed"},
        "fraud": {"kind": "approval", "status": "failed", "decision": "rejected"},
        "ship": {"status": "blocked"},
        "complete": {"status": "blocked"},
    },
)

WHAT_IS_BEHIND_A_REJECTION_IS_BLOCKED = """\
  ╭─ load ─────────────╮
  │ ✓ completed        │
  ╰────┰───────────────╯
       ▼
  ╭─ fraud · approval ─╮
  │ ✗ rejected         │
  ╰────┬───────────────╯
       ▽
  ╭╌ ship ╌╌╌╌╌╌╌╌╌╌╌╌╌╮
  ╎ ⊘ blocked          ╎
  ╰╌╌╌╌┬╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╯
       ▽
  ╭╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╮
  ╎ ⊘ complete         ╎
  ╰╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╯"""

AN_OUTLINE = """\
  ✗ charge  failed, attempt 3 of 3,
  GatewayBusy
      ok ╌▷ ship  (skipped)
      error · compensation ━▶ credit
  · ship  skipped
      ok ╌▷ complete  (skipped)
  ↻ credit  retrying in 6 s, attempt 2
  of 8, card_down
      ok ─▷ complete  (pending)
  ○ complete  pending"""


def without_heading(text: str) -> str:
    return "\n".join(text.splitlines()[2:])


def test_a_path_goes_straight_down():
    assert without_heading(drawn(draw_graph(PATH))) == A_PATH_GOES_STRAIGHT_DOWN


def test_a_branch_tells_its_condition_and_which_way_was_taken():
    assert without_heading(drawn(draw_graph(BRANCH))) == A_BRANCH_TELLS_ITS_CONDITION_AND_WHICH_WAY_WAS_TAKEN


def test_an_error_route_tells_its_recovery():
    assert without_heading(drawn(draw_graph(ERROR))) == AN_ERROR_ROUTE_TELLS_ITS_RECOVERY


def test_what_is_behind_a_rejection_is_blocked():
    assert without_heading(drawn(draw_graph(REJECTED))) == WHAT_IS_BEHIND_A_REJECTION_IS_BLOCKED


def test_a_narrow_terminal_gets_an_outline():
    assert without_heading(drawn(draw_graph(ERROR), width=40)) == AN_OUTLINE


def test_no_line_is_wider_than_the_console():
    for width in (40, 60, 80, 100):
        for some in (PATH, BRANCH, ERROR, REJECTED):
            assert max(map(len, drawn(draw_graph(some), width=width).splitlines())) <= width


def test_a_label_that_is_cut_short_stands_below_in_full():
    condition = 'customer.account.status == "a word that is far too long for this"'
    text = drawn(draw_graph(graph(f"charge:ok:receipt:selected:{condition}", "charge:ok:declined:skipped")), width=60)

    assert "…" in text
    assert f"charge → receipt: {condition}" in " ".join(text.split())


def test_the_heading_names_the_workflow_the_run_and_its_status():
    some = graph("a:ok:b", run_id="0192-17", status="paused")

    assert drawn(draw_graph(some)).splitlines()[0] == "Errand 1  run 0192-17  ‖ paused"


def test_a_workflow_of_one_step_is_one_box():
    assert without_heading(drawn(draw_graph(graph(entry="only")))).splitlines()[0] == "  ╭─ only ─────────╮"


def test_an_explanation_shows_reason_evidence_and_what_may_be_done():
    explanation = Explanation(
        run_id="0192-17",
        reason="approval",
        summary="fraud has waited 12 s for a person to approve or reject it.",
        evidence={"step": "fraud", "requested_at": NOW - timedelta(seconds=12), "open": ("fraud", "tax")},
        next_actions=("squidmesh runs approve 0192-17 --actor NAME",),
        as_of=NOW,
    )

    text = drawn(explanation_panel(explanation))

    assert "why: approval" in text
    assert "fraud has waited 12 s" in text
    assert "requested at  2026-01-01 11:59:48 UTC, 12 s ago" in text
    assert "open          fraud, tax" in text
    assert "squidmesh runs approve 0192-17 --actor NAME" in text


def test_what_came_from_outside_can_not_move_the_cursor():
    explanation = Explanation(
        run_id="r",
        reason="running",
        summary="\x1b[2J",
        evidence={"owner": "\x1b]0;gotcha\x07"},
        next_actions=(),
    )

    assert "\x1b" not in drawn(explanation_panel(explanation))
