"""Dashboards as values, and the JSON that Grafana reads. A panel tells what good looks like, in its description."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from generators.monitoring.promql import check

Kind = Literal["timeseries", "stat", "table", "bargauge"]
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH = 24
_SCHEMA = 39
TAG = "squidmesh"


@dataclass(frozen=True, slots=True)
class Query:
    """``legend``: of each series, with {{label}}."""

    expression: str
    legend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """``good``: what it looks like where all is well; what else it means is ``about``. ``unit``: a name of Grafana's.
    ``limit``: from there on it is red (below it, where ``low_is_bad``). ``width``: of 24.
    """

    title: str
    about: str
    good: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: Kind = "timeseries"
    limit: float | None = None
    low_is_bad: bool = False
    stack: bool = False
    exemplars: bool = False
    width: int = 12
    height: int = 8

    def __post_init__(self) -> None:
        for query in self.queries:
            check(query.expression)

    @property
    def description(self) -> str:
        return f"{self.about} Good: {self.good}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """A label whose values the reader chooses among: those that ``source`` has."""

    label: str
    source: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """``name``: of its file, and the end of its uid."""

    name: str
    title: str
    about: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]

    @property
    def panels(self) -> tuple[Panel, ...]:
        return tuple(panel for row in self.rows for panel in row.panels)


def written(board: Dashboard) -> str:
    """The file, as Grafana's provisioning reads it."""
    document = {
        "uid": f"squidmesh-{board.name.replace('_', '-')}",
        "title": f"Squid Mesh / {board.title}",
        "description": board.about,
        "tags": [TAG],
        "schemaVersion": _SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "links": [_links()],
        "annotations": {"list": [_firing()]},
        "templating": {"list": [_datasource(), *(_variable(one) for one in board.variables)]},
        "panels": _placed(board.rows),
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _links() -> dict[str, Any]:
    """To the other dashboards, with the time and what was chosen."""
    return {
        "type": "dashboards",
        "title": "Squid Mesh",
        "tags": [TAG],
        "asDropdown": False,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
    }


def _firing() -> dict[str, Any]:
    return {
        "name": "Alerts",
        "datasource": _SOURCE,
        "enable": True,
        "iconColor": "red",
        "expr": FIRING,
        "titleFormat": "{{alertname}}",
        "textFormat": "{{job}} {{queue}} {{workflow}} {{instance}}",
        "step": "30s",
    }


FIRING = check('ALERTS{alertname=~"SquidMesh.*", alertstate="firing"}')
"""What is marked over every graph."""


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}


def _variable(variable: Variable) -> dict[str, Any]:
    """Its values are those of the fleet that was chosen before it."""
    fleet = '{job=~"$job"}' if variable.label != "job" else ""
    query = f"label_values({variable.source}{fleet}, {variable.label})"
    return {
        "name": variable.label,
        "label": variable.name,
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": f"variable-{variable.label}"},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _placed(rows: tuple[Row, ...]) -> list[dict[str, Any]]:
    """From left to right, and in a new line where the width is used up."""
    found: list[dict[str, Any]] = []
    top = 0
    for row in rows:
        place = {"x": 0, "y": top, "w": _WIDTH, "h": 1}
        found.append(
            {
                "id": len(found) + 1,
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "gridPos": place,
                "panels": [],
            }
        )
        top, left, high = top + 1, 0, 0
        for panel in row.panels:
            if left + panel.width > _WIDTH:
                top, left, high = top + high, 0, 0
            place = {"x": left, "y": top, "w": panel.width, "h": panel.height}
            found.append({"id": len(found) + 1, "gridPos": place, **_panel(panel)})
            left, high = left + panel.width, max(high, panel.height)
        top += high
    return found


def _panel(panel: Panel) -> dict[str, Any]:
    instant = panel.kind == "table"
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": _SOURCE,
                "expr": query.expression,
                "legendFormat": query.legend,
                "editorMode": "code",
                "range": not instant,
                "instant": instant,
                "exemplar": panel.exemplars,
                **({"format": "table"} if instant else {}),
            }
            for number, query in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _OPTIONS[panel.kind],
        **({"transformations": _TABLE} if instant else {}),
    }


_OPTIONS: dict[Kind, dict[str, Any]] = {
    "timeseries": {
        "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "area",
        "textMode": "auto",
    },
    "bargauge": {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "orientation": "horizontal",
        "displayMode": "basic",
    },
    "table": {"showHeader": True, "cellHeight": "sm", "footer": {"show": False}},
}
_TABLE = [
    {"id": "merge", "options": {}},
    {"id": "organize", "options": {"excludeByName": {"Time": True}, "renameByName": {"Value": "value"}}},
]


def _defaults(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.limit is not None:
        steps = (
            [{"color": "red", "value": None}, {"color": "green", "value": panel.limit}]
            if panel.low_is_bad
            else [*steps, {"color": "red", "value": panel.limit}]
        )
    found: dict[str, Any] = {
        "unit": panel.unit,
        "color": {"mode": "palette-classic" if panel.kind == "timeseries" else "thresholds"},
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    if panel.kind == "timeseries":
        found["custom"] = {
            "lineWidth": 1,
            "fillOpacity": 25 if panel.stack else 5,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.stack else "none", "group": "A"},
            "thresholdsStyle": {"mode": "off" if panel.limit is None else "dashed"},
        }
    return found
