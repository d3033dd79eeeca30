"""A cron expression is read strictly: what two programs would read in two ways is refused, in words that help."""

import pytest

from squidmesh.workflow.cron_expression import InvalidExpression, parse


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("0 21 * *", "has 4 fields"),
        ("0 0 21 * * 1-5", "has 6 fields"),
        ("@daily", "has 1 fields"),
        ("", "has 0 fields"),
        ("60 21 * * *", "minute '60'"),
        ("0 24 * * *", "hour '24'"),
        ("0 0 0 * *", "day of month '0'"),
        ("0 0 * 13 *", "month '13'"),
        ("0 0 * * 8", "day of week '8'"),
        ("R 21 * * *", "minute 'R'"),
        ("H 21 * * *", "minute 'H'"),
        ("0 0 L * *", "day of month 'L'"),
        ("0 0 15W * *", "day of month '15W'"),
        ("0 0 ? * *", "day of month '?'"),
        ("0 0 * * 5#2", "day of week '5#2'"),
        ("0 0 * * FRIDAY", "day of week 'FRIDAY'"),
        ("5/15 * * * *", "a step needs a range"),
        ("*/0 * * * *", "the step '0' is refused; allowed is 1 to 59"),
        ("*/60 * * * *", "the step '60' is refused; allowed is 1 to 59"),
        ("0-10/11 * * * *", "the step '11' is refused; allowed is 1 to 10"),
        ("*/ * * * *", "* stands alone"),
        ("*,5 * * * *", "* stands alone"),
        ("7,*/15 * * * *", "'*' is refused"),
        ("0 17-8 * * *", "runs backwards"),
        ("1-2-3 * * * *", "'2-3' is refused"),
        ("1,,2 * * * *", "'' is refused"),
        ("-1 * * * *", "'' is refused"),
        ("1.5 * * * *", "'1.5' is refused"),
        ("٣ * * * *", "'٣' is refused"),
        ("0 0 30 2 *", "would never come"),
        ("0 0 31 4,6,9,11 *", "would never come"),
        ("0 0 31 2 */2", "would never come"),
        ("0 " * 150, "is refused"),
        (21, "is refused"),
    ],
)
def test_what_is_refused_says_which_field_and_what_is_allowed(text, part):
    with pytest.raises(InvalidExpression) as refused:
        parse(text)
    assert part in str(refused.value)
    assert "allowed" in str(refused.value) or "never" in str(refused.value)


def test_names_ranges_lists_and_steps_are_numbers_in_the_end():
    read = parse("  0-30/10,45 */6 1,15 jan-mar,DEC fri-sun ")
    assert read.text == "0-30/10,45 */6 1,15 JAN-MAR,DEC FRI-SUN"
    assert read.minutes == (0, 10, 20, 30, 45)
    assert read.hours == (0, 6, 12, 18)
    assert read.days == (1, 15)
    assert read.months == (1, 2, 3, 12)
    assert read.weekdays == (0, 5, 6)


@pytest.mark.parametrize(
    ("text", "days"), [("0", (0,)), ("7", (0,)), ("5-7", (0, 5, 6)), ("0-7", (0, 1, 2, 3, 4, 5, 6))]
)
def test_sunday_is_0_and_7(text, days):
    assert parse(f"0 0 * * {text}").weekdays == days


@pytest.mark.parametrize(
    ("text", "elapsed", "either"),
    [
        ("0 21 * * *", False, False),
        ("* 21 * * *", True, False),
        ("0 */2 1 * *", True, False),
        ("0-59 0-23 1 * 1", False, True),
        ("0 0 */2 * 1", False, False),
    ],
)
def test_a_star_tells_the_kinds_apart(text, elapsed, either):
    read = parse(text)
    assert (read.elapsed, read.either_day) == (elapsed, either)


def test_the_31st_of_some_month_or_a_monday_comes():
    assert parse("0 0 31 2 1").either_day, "either day is enough"
