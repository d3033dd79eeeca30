"""Draws dashboards from what a Prometheus answered to their expressions: ``python draw_dashboards.py ANSWERS FOLDER``.

ANSWERS is JSON: of each board its name, title and panels, each with its place on the grid, kind, unit, limit, and its
series, as ``{"legend": …, "points": [[second, value], …]}``. A program of its own, with matplotlib on its path.
"""

import json
import math
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib  # type: ignore[import-not-found]

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.ticker import FuncFormatter, MaxNLocator  # type: ignore[import-not-found]
from PIL import Image  # type: ignore[import-not-found]

WIDE, CELL, DOTS = 15.0, 0.34, 80
"""Inches of a whole dashboard, and of one unit of the grid's height; dots an inch."""
GRID = 24
PAPER, CARD, INK, FAINT, RED, GREEN = "#f4f5f5", "#ffffff", "#24292e", "#6e7780", "#c4162a", "#37872d"
LINES = ("#3274d9", "#56a64b", "#e0b400", "#ff780a", "#a352cc", "#00859c", "#c4162a", "#8f6b32", "#555f6b", "#e274b4")
MOST_LINES, MOST_TEXT = 10, 46


def draw(board: dict[str, Any], path: Path) -> None:
    high = max(panel["y"] + panel["h"] for panel in board["panels"])
    top = 1.4  # for the title, in units of the grid
    figure = pyplot.figure(figsize=(WIDE, (high + top) * CELL), dpi=DOTS, facecolor=PAPER)
    tall = high + top
    figure.text(0.012, 1 - 0.75 / tall, board["title"], fontsize=15, fontweight="bold", color=INK, va="center")
    for panel in board["panels"]:
        left, low = panel["x"] / GRID, 1 - (panel["y"] + top + panel["h"]) / tall
        wide, deep = panel["w"] / GRID, panel["h"] / tall
        if panel["kind"] == "row":
            figure.text(left + 0.012, low + deep / 2, panel["title"], fontsize=11, color=FAINT, va="center")
            continue
        _card(figure, panel, (left, low, wide, deep))
    figure.savefig(path, facecolor=PAPER)
    pyplot.close(figure)
    # Few colours are a small file. By coverage: a line that is thin keeps its own.
    few = Image.open(path).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def _card(figure: Any, panel: dict[str, Any], place: tuple[float, float, float, float]) -> None:
    left, low, wide, deep = place
    gap_x, gap_y = 0.004, 0.004 * WIDE / figure.get_figheight()
    card = figure.add_axes((left + gap_x, low + gap_y, wide - 2 * gap_x, deep - 2 * gap_y), facecolor=CARD)
    card.set_xticks([])
    card.set_yticks([])
    for edge in card.spines.values():
        edge.set_color("#dcdfe3")
    title = 0.30 / (deep * figure.get_figheight())
    card.text(
        0.08 / wide / WIDE, 1 - title / 2, panel["title"], fontsize=9.5, fontweight="bold", color=INK, va="center"
    )
    if panel["kind"] in ("stat", "bargauge", "table"):
        _numbers(card, panel, 1 - title)
        return
    margin_x, below = 0.62 / WIDE, 0.28 / figure.get_figheight()
    legend = 0.17 * _rows_of_legend(panel, wide) / figure.get_figheight()
    axes = figure.add_axes(
        (
            left + gap_x + margin_x,
            low + gap_y + below + legend,
            wide - 2 * gap_x - margin_x - 0.015,
            deep - 2 * gap_y - below - legend - title * deep,
        )
    )
    _graph(axes, panel)
    _legend(figure, panel, (left + gap_x + margin_x / 2, low + gap_y + legend, wide - margin_x))


def _graph(axes: Any, panel: dict[str, Any]) -> None:
    axes.set_facecolor(CARD)
    shown = _shown(panel)
    if panel["stack"] and shown:
        times = sorted({at for one in shown for at, _ in one["points"]})
        heights = [[dict(map(tuple, one["points"])).get(at, 0.0) for at in times] for one in shown]
        axes.stackplot(times, heights, colors=LINES, alpha=0.75, linewidth=0)
    else:
        for number, one in enumerate(shown):
            moments, values = zip(*_with_gaps(one["points"]), strict=True)
            axes.plot(moments, values, color=LINES[number % len(LINES)], linewidth=1.3)
    axes.set_xlim(*panel["span"])
    lowest, highest = axes.get_ylim()
    limit = panel["limit"]
    if limit is not None and (limit <= 1.6 * highest or panel["low_is_bad"]):
        axes.axhline(limit, color=RED, linewidth=0.9, linestyle=(0, (4, 3)))
        highest = max(highest, 1.15 * limit)
    axes.set_ylim(min(0.0, lowest), highest if highest > 0 else 1.0)
    if not any(value for one in shown for _, value in one["points"]):
        axes.set_ylim(-0.05, 1)
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10], integer=_whole(panel)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: told(value, panel["unit"])))
    begin, end = panel["span"]
    axes.set_xticks([begin + 60 * minute for minute in range(1, int((end - begin) / 60) + 1)])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: f"{(at - begin) / 60:.0f} min"))
    axes.tick_params(labelsize=7.5, colors=FAINT, length=0)
    axes.grid(color="#e7e9ec", linewidth=0.7)
    axes.set_axisbelow(True)
    for edge in axes.spines.values():
        edge.set_visible(False)


def _whole(panel: dict[str, Any]) -> bool:
    """It counts things."""
    return panel["unit"] in ("", "short") and all(
        value == int(value) for one in panel["series"] for _, value in one["points"]
    )


def _with_gaps(points: list[list[float]]) -> list[tuple[float, float]]:
    """Where nothing was answered the line ends."""
    step = min((later[0] - one[0] for one, later in pairwise(points)), default=1)
    found: list[tuple[float, float]] = []
    for at, value in points:
        if found and at - found[-1][0] > 1.5 * step:
            found.append((at - step, math.nan))
        found.append((at, value))
    return found


def _shown(panel: dict[str, Any]) -> list[dict[str, Any]]:
    """Those with the most to tell."""
    return sorted(panel["series"], key=lambda one: -max(value for _, value in one["points"]))[:MOST_LINES]


def _columns(wide: float) -> int:
    return 4 if wide > 0.75 else 2


def _rows_of_legend(panel: dict[str, Any], wide: float) -> int:
    return -(-len(_shown(panel)) // _columns(wide))


def _legend(figure: Any, panel: dict[str, Any], place: tuple[float, float, float]) -> None:
    left, top, wide = place
    columns = _columns(wide)
    for number, one in enumerate(_shown(panel)):
        x = left + (number % columns) * wide / columns
        y = top - (number // columns + 0.4) * 0.17 / figure.get_figheight()
        color = LINES[number % len(LINES)]
        figure.text(x, y, "■", color=color, fontsize=8, va="center")
        figure.text(x + 0.012, y, one["legend"][:MOST_TEXT], color=INK, fontsize=7.5, va="center")


def _numbers(card: Any, panel: dict[str, Any], top: float) -> None:
    """The last value of each series: large where there is one, a list where there are several."""
    now = panel["span"][1] - 15
    last = [(one["legend"], one["points"][-1][1]) for one in panel["series"] if one["points"][-1][0] >= now]
    if panel["kind"] == "stat" and len(last) <= 2:
        for number, (legend, value) in enumerate(last):
            x = (number + 0.5) / len(last)
            color = _judged(value, panel)
            card.text(x, top * 0.58, told(value, panel["unit"]), fontsize=23, color=color, ha="center", va="center")
            card.text(x, top * 0.2, legend, fontsize=8, color=FAINT, ha="center", va="center")
        return
    last = sorted(last, key=lambda one: one[0])[:24]
    columns = 3 if panel["w"] > 12 else 1
    rows = -(-len(last) // columns)
    for number, (legend, value) in enumerate(last):
        x = (number // rows) / columns
        y = top - (number % rows + 0.6) * min(top / (rows + 0.4), 0.13)
        card.text(x + 0.02, y, legend[:MOST_TEXT], fontsize=8.5, color=INK, va="center")
        text = told(value, panel["unit"])
        card.text(x + 0.95 / columns, y, text, fontsize=8.5, color=_judged(value, panel), ha="right", va="center")


def _judged(value: float, panel: dict[str, Any]) -> str:
    if panel["limit"] is None:
        return INK
    bad = value < panel["limit"] if panel["low_is_bad"] else value >= panel["limit"]
    return RED if bad else GREEN


def told(value: float, unit: str) -> str:
    """As Grafana would write it."""
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "s":
        for least, size, name in ((60, 60, " min"), (1, 1, " s"), (0, 0.001, " ms")):
            if abs(value) >= least and (value or least == 1):
                return f"{value / size:.3g}{name}"
        return "0 s"
    text = f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2g}"
    return f"{text}/s" if unit == "ops" else text


def main(answers: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for board in json.loads(answers.read_text()):
        draw(board, folder / f"dashboard-{board['name']}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
