"""What all pictures share: a sheet that is light or dark as its reader is, words for screen readers, and arrows."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import count

LETTER = 6.9
"""The width of a letter of 13 px: a little more than most fonts need."""
LINE = 17
"""From one line of words to the next."""

_STYLE = """\
<style>
.sheet { fill: #ffffff; stroke: #d5dbe3 } .box { fill: #eef3f9; stroke: #4a6078 }
.end { fill: #e3f1e7; stroke: #35704a }
.bad { fill: #f9e6e4; stroke: #96443d } .note { fill: #fdf4da; stroke: #a98a2f } .start { fill: #1c2733 }
.line { fill: none; stroke: #4a6078; stroke-width: 1.4 } .no { fill: none; stroke: #96443d; stroke-width: 1.4 }
.life { stroke: #a5b1be; stroke-dasharray: 3 4 } .tip { fill: #4a6078 } .tip-no { fill: #96443d }
text { fill: #1c2733; font: 13px system-ui, sans-serif } .name { font-weight: 600 } .code { font-size: 12px }
.said { paint-order: stroke; stroke: #ffffff; stroke-width: 5px; stroke-linejoin: round } .back { fill: #ffffff }
@media (prefers-color-scheme: dark) {
.sheet { fill: #161b22; stroke: #39424e } .box { fill: #22303f; stroke: #8fa9c4 }
.end { fill: #1d3a28; stroke: #79bf91 }
.bad { fill: #46231f; stroke: #e39a92 } .note { fill: #3d3418; stroke: #d1b35c } .start { fill: #e4e9ef }
.line { stroke: #8fa9c4 } .no { stroke: #e39a92 } .life { stroke: #56616e } .tip { fill: #8fa9c4 }
.tip-no { fill: #e39a92 } text { fill: #e4e9ef } .said { stroke: #161b22 } .back { fill: #161b22 }
}
</style>
<defs>
<marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto">
<path class="tip" d="M0 1 L10 5 L0 9 z"/></marker>
<marker id="tip-no" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto">
<path class="tip-no" d="M0 1 L10 5 L0 9 z"/></marker>
</defs>"""


def sheet(title: str, about: str, width: int, height: int, parts: Sequence[str]) -> str:
    """``title`` and ``about`` are what a screen reader says of it."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            'role="img" aria-labelledby="title about">',
            f'<title id="title">{escape(title)}</title>',
            f'<desc id="about">{escape(about)}</desc>',
            _STYLE,
            f'<rect class="sheet" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>',
            *parts,
            "</svg>\n",
        ]
    )


def words(lines: Sequence[str], x: float, y: float, *, style: str = "", anchor: str = "middle") -> str:
    """Lines of words, the middle of them all at ``y``."""
    first = y - (len(lines) - 1) * LINE / 2 + 4.5
    return "\n".join(
        f'<text class="{style}" x="{x:.1f}" y="{first + place * LINE:.1f}" text-anchor="{anchor}">{escape(line)}</text>'
        for place, line in zip(count(), lines, strict=False)
    )


def box(x: float, y: float, width: float, height: float, style: str = "box") -> str:
    """Around its middle."""
    left, top = x - width / 2, y - height / 2
    return f'<rect class="{style}" x="{left:.1f}" y="{top:.1f}" width="{width:g}" height="{height:g}" rx="7"/>'


def label(lines: Sequence[str], x: float, y: float) -> str:
    """Words that stand on an arrow, and interrupt it."""
    width, height = max(map(len, lines)) * LETTER, LINE * len(lines) + 1
    back = (
        f'<rect class="back" x="{x - width / 2:.1f}" y="{y - height / 2:.1f}" width="{width:.1f}" height="{height}"/>'
    )
    return f"{back}\n{words(lines, x, y, style='code')}"


def arrow(path: str, *, refused: bool = False) -> str:
    if refused:
        return f'<path class="no" d="{path}" stroke-dasharray="6 4" marker-end="url(#tip-no)"/>'
    return f'<path class="line" d="{path}" marker-end="url(#tip)"/>'
