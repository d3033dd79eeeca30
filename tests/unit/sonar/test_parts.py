"""The parts that pages are made of: forms from schemas, spans from histories, plots from lists, pictures of graphs."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel, Field

from squidmesh import HistoryEvent, InvalidInput, RunSummary, Workflow, approval, complete, manual, preview_graph, step
from squidmesh.sonar import graph_picture, plots, timeline
from squidmesh.sonar.counted import Counted
from squidmesh.sonar.forms import fields_of, payload_of
from squidmesh.testing.harness import Harness
from tests.scenarios.sonar_app import WORKFLOWS, Journey, RingErrand

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


# --------------------------------------------------------------------------------------------------------- forms


class Address(BaseModel):
    street: str
    number: int


class Order(BaseModel):
    title: str
    amount: float = 1.5
    day: datetime | None = None
    tags: list[str] = []
    numbers: list[int] = []
    address: Address
    extra: dict[str, Any] = Field(default_factory=dict)
    gift: bool = False


def test_a_form_has_a_field_for_each_of_the_payloads() -> None:
    fields = {field.name: field for field in fields_of(Order.model_json_schema())}
    widgets = {name.removeprefix("payload."): field.widget for name, field in fields.items()}
    assert widgets == {
        **{"title": "text", "amount": "number", "day": "datetime-local", "tags": "lines", "numbers": "lines"},
        **{"address.street": "text", "address.number": "number", "extra": "json", "gift": "checkbox"},
    }
    assert fields["payload.title"].required and not fields["payload.amount"].required
    assert fields["payload.amount"].value == "1.5" and fields["payload.address.number"].whole


def test_what_is_entered_becomes_json_and_what_is_empty_is_left_out() -> None:
    fields = fields_of(Order.model_json_schema())
    entered = {
        **{
            "payload.title": "Ring",
            "payload.amount": "2.25",
            "payload.day": "2026-01-01T10:00",
            "payload.tags": "a\n b \n",
        },
        **{"payload.numbers": "1\n2", "payload.address.street": "Bag End", "payload.address.number": "3"},
        **{"payload.extra": '{"a": [1]}', "payload.gift": "true", "payload.unknown": "x"},
    }
    assert payload_of(fields, entered) == {
        **{"title": "Ring", "amount": 2.25, "day": "2026-01-01T10:00Z", "tags": ["a", "b"], "numbers": [1, 2]},
        **{"address": {"street": "Bag End", "number": 3}, "extra": {"a": [1]}, "gift": True},
    }
    assert payload_of(fields, {}) == {"gift": False}


@pytest.mark.parametrize(
    ("name", "given"),
    [("amount", "much"), ("address.number", "1.5"), ("numbers", "1\ntwo"), ("extra", "{"), ("extra", "[" * 5000)],
)
def test_what_is_no_value_is_refused_by_the_name_of_its_field(name: str, given: str) -> None:
    with pytest.raises(InvalidInput, match=name.replace(".", " › ")):
        payload_of(fields_of(Order.model_json_schema()), {f"payload.{name}": given})


def test_a_schema_that_refers_to_itself_ends() -> None:
    schema = {"$defs": {"A": {"$ref": "#/$defs/A"}}, "properties": {"a": {"$ref": "#/$defs/A"}}, "required": ["a"]}
    assert [field.widget for field in fields_of(schema)] == ["json"]


# ----------------------------------------------------------------------------------------------------- time-line


def event(kind: str, at: float, step: str = "charge", **details: Any) -> HistoryEvent:
    return HistoryEvent(revision=1, at=after(at), kind=kind, step=step, details={"attempt": 1, **details})


def scheduled(visible: float) -> HistoryEvent:
    return event("AttemptScheduled", 0, visible_at=after(visible))


def lost(at: float) -> HistoryEvent:
    return event("DeliveryLost", at, visible_at=after(at))


def claimed(at: float, fence: int) -> HistoryEvent:
    return event("AttemptClaimed", at, owner="a", fence=fence, lease=timedelta(seconds=30))


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([scheduled(0), claimed(2, 1), event("AttemptCompleted", 5)], "ready 0-2, work 2-5"),
        ([scheduled(4), claimed(6, 1), event("AttemptFailed", 9)], "delay 0-4, ready 4-6, failed 6-9"),
        ([claimed(0, 1), claimed(40, 2), event("AttemptCompleted", 41)], "lost 0-40, work 40-41"),
        ([claimed(0, 1), lost(3), claimed(5, 2)], "lost 0-3, ready 3-5, work 5-, lease 5-35"),
        ([claimed(0, 1), event("ClaimReleased", 1, visible_at=after(8))], "released 0-1, delay 1-8, ready 8-"),
        (
            [
                claimed(0, 1),
                event("AttemptDeadLettered", 9, cause="lost_deliveries"),
                event("DeadLetterReplayed", 20, visible_at=after(20)),
            ],
            "lost 0-9, dead 9-20, ready 20-",
        ),
        ([event("ApprovalRequested", 0), event("ApprovalDecided", 7)], "gate 0-7"),
        ([event("PauseReached", 3)], "gate 3-"),
        ([scheduled(9), event("AttemptCancelled", 2)], "delay 0-2"),
        ([scheduled(0), claimed(0, 1), event("AttemptCompleted", 0)], ""),
    ],
)  # fmt: skip
def test_spans_say_when_a_step_waited_and_worked(events: list[HistoryEvent], expected: str) -> None:
    def number(at: datetime | None) -> str:
        return "" if at is None else f"{(at - NOW).total_seconds():g}"

    found = [f"{one.kind} {number(one.since)}-{number(one.until)}" for one in timeline.spans(events)]
    assert ", ".join(found) == expected


def test_a_time_line_has_a_row_for_each_step_that_took_time() -> None:
    with Harness(WORKFLOWS) as h:
        run = h.start(RingErrand.leave_shire, Journey(ring_id="one"))
        h.skip(60)
        h.drain()
        h.skip(timedelta(hours=3))
        picture = timeline.draw(h.run(run))
        assert re.findall(r"<title>(\w+)</title>", picture) == ["pack", "council"]
        assert "+1 h" in picture and 'class="now"' in picture
        fresh = h.start(RingErrand.leave_shire, Journey(ring_id="one"))
        assert timeline.draw(h.run(fresh)) == ""


# --------------------------------------------------------------------------------------------------------- plots


def summary(start: float, took: float | None, status: str = "completed") -> RunSummary:
    ended = None if took is None else after(start + took)
    rest: dict[str, Any] = {"key": None, "step": None, "error": None, "due_at": None}
    return RunSummary(
        run_id="a", workflow="W", version="1", trigger="t", queue="q", status=status, started_at=after(start),
        ended_at=ended, active_at=after(start), **rest,
    )  # fmt: skip


def test_a_pulse_counts_and_measures() -> None:
    runs = [summary(number, 10 if number % 2 else 30) for number in range(40)]
    runs += [summary(40, None, "running"), summary(41, 5, "failed")]
    found = plots.pulse(runs, now=after(120))
    assert found is not None
    assert (found.runs, found.per_minute, found.failed_share) == (42, 21.0, 1 / 41)
    assert (found.p50, found.p95) == (timedelta(seconds=10), timedelta(seconds=30))
    assert sum(bucket.all for bucket in found.buckets) == 42 and sum(bucket.open for bucket in found.buckets) == 1
    assert plots.draw_starts(found).count("<rect") >= 14 and "30 s" in plots.draw_latency(found)
    assert plots.pulse([], now=NOW) is None


def test_a_single_run_of_this_moment_can_be_drawn() -> None:
    found = plots.pulse([summary(0, 0)], now=NOW)
    assert found is not None and "<svg" in plots.draw_starts(found) and "<svg" in plots.draw_latency(found)


@pytest.mark.parametrize(("value", "expected"), [(0, 1), (3, 5), (7, 10), (10, 10), (230, 250), (0.03, 0.05)])
def test_the_top_of_an_axis_is_a_round_number(value: float, expected: float) -> None:
    assert plots._ceiling(value) == pytest.approx(expected)


# -------------------------------------------------------------------------------------------------------- graphs


class Branchy(Workflow):
    version = "1"
    go = manual(Address)
    first = step(lambda street: None)
    check = approval()
    second = step(lambda street: None)
    flow = (first >> check >> second, check.on_reject(complete), first.on_error(second, recovery="undo"))


def test_a_graph_has_every_node_and_edge_within_its_picture() -> None:
    from squidmesh import define

    graph = preview_graph(define(Branchy))
    picture = graph_picture.draw(graph, name="Graph & <all>")
    assert picture.count('class="node ') == len(graph.nodes) and picture.count('class="edge ') == len(graph.edges)
    assert "Graph &amp; &lt;all&gt;" in picture and "error · undo" in picture
    width, height = (float(one) for one in re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', picture)[0])
    for x, y in re.findall(r"translate\(([\d.]+) ([\d.]+)\)", picture):
        assert 0 <= float(x) <= width - 204 and 0 <= float(y) <= height - 54
    assert graph_picture.draw(graph, name="Graph & <all>") == picture


# ------------------------------------------------------------------------------------------------------- counted


def test_what_is_dear_to_count_is_counted_once_for_all() -> None:
    clock, asked = [0.0], []

    def count(workflow: str | None) -> dict[str, int]:
        asked.append(workflow)
        clock[0] += 0.5 if workflow is None else 0.001
        return {"completed": len(asked)}

    counted = Counted(count, monotonic=lambda: clock[0])
    assert counted.of(None) == counted.of(None) == {"completed": 1}
    assert (counted.of("Cheap"), counted.of("Cheap")) == ({"completed": 2}, {"completed": 3})
    clock[0] += 49
    assert counted.of(None) == {"completed": 1}
    clock[0] += 2
    assert counted.of(None) == {"completed": 4}
