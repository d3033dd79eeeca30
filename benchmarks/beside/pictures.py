"""Bars, ours beside the peers', as SVG written by hand: small, and the same wherever it is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from benchmarks.beside.results import Results
from benchmarks.beside.works import WORKS
from benchmarks.report import number

_SHOWN = {
    "queued": "runs/s",
    "queued by two": "runs/s",
    "alone": "p50",
    "job": "runs/s",
    "bulk": "starts/s",
    "pick-up": "p50",
}
_WIDTH, _ROW, _LEFT, _RIGHT, _TOP = 720, 26, 210, 90, 40
_OURS, _THEIRS = "#2b6cb0", "#a0aec0"


def draw(results: Results) -> Mapping[str, str]:
    """A picture of each work that has been measured, by a name for its file."""
    found = {}
    for work, figure in _SHOWN.items():
        bars = []
        for who in results.values.get(work, {}):
            measured = results.figure(work, who, figure)
            if measured is not None:
                bars.append((who, measured.median))
        if bars:
            unit = "ms, less is better" if figure == "p50" else "a second, more is better"
            found[work.replace(" ", "-")] = bars_of(f"{WORKS[work].title}: {unit}", bars)
    return found


def bars_of(title: str, bars: Sequence[tuple[str, float]]) -> str:
    """One bar for each name, the longest as wide as the picture allows."""
    height = _TOP + _ROW * len(bars) + 10
    most = max(value for _, value in bars)
    room = _WIDTH - _LEFT - _RIGHT
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"',
        ' font-family="sans-serif" font-size="13">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="10" y="22" font-weight="bold">{escape(title)}</text>',
    ]
    for place, (name, value) in enumerate(bars):
        y = _TOP + _ROW * place
        width = max(1.0, room * value / most)
        colour = _OURS if name.startswith("ours") else _THEIRS
        lines += [
            f'<text x="{_LEFT - 8}" y="{y + 16}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{_LEFT}" y="{y + 3}" width="{width:.0f}" height="{_ROW - 8}" fill="{colour}"/>',
            f'<text x="{_LEFT + width + 6:.0f}" y="{y + 16}">{number(value)}</text>',
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"
