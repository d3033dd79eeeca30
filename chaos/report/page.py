"""The page of a day: what happened, what the fleet made of it, and what the judge says."""

from __future__ import annotations

from html import escape
from pathlib import Path
from string import Template

from chaos.report.charts import day_chart
from chaos.scenarios.outcome import Outcome
from chaos.verdict import INVARIANTS, Finding

_PAGE = Path(__file__).with_name("page.html")
_UNFOLDED = 24
"""Faults that are shown without being asked for."""
_STATUS = {"nothing_checked": "nothing checked", "not_applicable": "not applicable"}


def write_page(outcome: Outcome, path: Path) -> None:
    """One file that needs nothing besides."""
    path.write_text(page_of(outcome))


def page_of(outcome: Outcome) -> str:
    """As HTML."""
    color = "green" if outcome.ok else "red"
    heading = f"{outcome.scenario}: {_length(outcome.load)} of bad weather"
    return Template(_PAGE.read_text()).substitute(
        title=escape(f"chaos: {outcome.scenario}, seed {outcome.seed}"),
        heading=escape(heading),
        word=color.upper(),
        color=color,
        subtitle=escape(f"seed {outcome.seed}"),
        command=escape(outcome.command),
        tiles=_tiles(outcome),
        problems="".join(f'<p class="problem">{escape(problem)}</p>' for problem in outcome.problems),
        chart=day_chart(outcome.injections, outcome.seconds, load=outcome.load),
        verdict="" if outcome.verdict is None else "".join(map(_row, outcome.verdict.findings)),
        faults=_faults(outcome),
    )


def _length(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 300 else f"{seconds / 60:.0f} min"


def _tiles(outcome: Outcome) -> str:
    happened = outcome.happened
    tiles = (
        (f"{outcome.steps:,}", "steps completed"),
        (f"{outcome.steps / max(1.0, outcome.load + outcome.rest):.0f}/s", "on average"),
        (f"{outcome.runs:,}", "runs ended"),
        (f"{len(happened):,}", f"faults of {len({one.name for one in happened})} kinds"),
        (f"{outcome.totals['lost']:,}", "leases lost"),
        (f"{outcome.totals['taken_over']:,}", "takeovers"),
        (f"{outcome.totals['refused']:,}", "stale writes refused"),
        (f"{outcome.rest:.0f} s", "to come to rest"),
    )
    return "".join(
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(words)}</span></div>' for value, words in tiles
    )


def _row(finding: Finding) -> str:
    words = escape(finding.reason or INVARIANTS[finding.invariant])
    words += "".join(f'<br><span class="problem">{escape(str(problem))}</span>' for problem in finding.problems)
    count = f"{finding.checked:,}" if finding.status in ("green", "red") else ""
    status = _STATUS.get(finding.status, finding.status)
    return (
        f'<tr><td class="w"><b>{finding.invariant}</b></td><td class="w s-{finding.status}">{status}</td>'
        f'<td class="n">{count}</td><td>{words}</td></tr>'
    )


def _faults(outcome: Outcome) -> str:
    head = '<thead><tr><th class="n">at</th><th class="n">for</th><th>fault</th><th>to</th><th>seen</th></tr></thead>'
    rows = []
    for one in outcome.injections:
        if one.state in ("dropped", "waiting"):
            continue
        seen = escape(one.evidence) or '<span class="problem">not seen to have happened</span>'
        rows.append(
            f'<tr><td class="n">{one.applied:.1f} s</td><td class="n">{max(0.0, one.healed - one.applied):.1f} s</td>'
            f'<td class="w">{one.name}</td><td>{escape(one.target)}</td><td>{seen}</td></tr>'
        )
    shown = f"<table>{head}<tbody>{''.join(rows[:_UNFOLDED])}</tbody></table>"
    if len(rows) > _UNFOLDED:
        more = f"<table>{head}<tbody>{''.join(rows[_UNFOLDED:])}</tbody></table>"
        shown += f"<details><summary>{len(rows) - _UNFOLDED} more</summary>{more}</details>"
    return shown
