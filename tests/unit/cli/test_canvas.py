"""Where lines meet, the character with those arms stands."""

from __future__ import annotations

import unicodedata
from itertools import product

import pytest

from squidmesh.cli.canvas import _JUNCTIONS, Canvas, Pen

ARMS = ("UP", "RIGHT", "DOWN", "LEFT")
WEIGHTS = {1: "LIGHT", 2: "HEAVY"}


def arms_of(character: str) -> dict[str, int]:
    """What the Unicode name of a box-drawing character says: BOX DRAWINGS DOWN HEAVY AND HORIZONTAL LIGHT."""
    words = unicodedata.name(character).removeprefix("BOX DRAWINGS ").split()
    whole = words[0] in WEIGHTS.values()
    found: dict[str, int] = {}
    for part in " ".join(words).split(" AND "):
        weights = [weight for weight, name in WEIGHTS.items() if name in part.split()]
        weight = weights[0] if weights else next(w for w, name in WEIGHTS.items() if whole and name == words[0])
        for word in part.split():
            for arm in {"VERTICAL": ("UP", "DOWN"), "HORIZONTAL": ("LEFT", "RIGHT")}.get(word, (word,)):
                if arm in ARMS:
                    found[arm] = weight
    return found


@pytest.mark.parametrize("weights", list(product(range(3), repeat=4)), ids=lambda weights: "".join(map(str, weights)))
def test_a_junction_has_the_arms_that_its_name_says(weights):
    up, right, down, left = weights
    character = _JUNCTIONS[27 * up + 9 * right + 3 * down + left]

    expected = {arm: weight for arm, weight in zip(ARMS, weights, strict=True) if weight}
    assert (arms_of(character) if expected else character) == (expected or " ")


def text_of(canvas: Canvas) -> list[str]:
    return [line.plain for line in canvas.lines()]


def test_a_light_box_has_round_corners_a_heavy_one_square_a_dashed_one_gaps():
    for pen, expected in (
        (Pen.LIGHT, ["╭──╮", "│  │", "╰──╯"]),
        (Pen.HEAVY, ["┏━━┓", "┃  ┃", "┗━━┛"]),
        (Pen.DASHED, ["╭╌╌╮", "╎  ╎", "╰╌╌╯"]),
    ):
        canvas = Canvas()
        canvas.box(0, 0, 4, 3, pen, "")
        assert text_of(canvas) == expected


def test_the_stronger_line_gives_a_shared_cell_its_look():
    canvas = Canvas()
    canvas.vertical(1, 0, 2, Pen.HEAVY, "bold")
    canvas.horizontal(1, 0, 2, Pen.DASHED, "dim")

    assert text_of(canvas) == [" ╻", "╶╂╴", " ╹"]
    assert "bold" in str(canvas.lines()[1].spans)


def test_text_covers_lines():
    canvas = Canvas()
    canvas.horizontal(0, 0, 6, Pen.LIGHT, "")
    canvas.text(2, 0, " ok ")

    assert text_of(canvas) == ["╶─ ok ╴"]


def test_nothing_drawn_is_no_line():
    assert Canvas().lines() == []
