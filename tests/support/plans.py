"""How PostgreSQL would carry out a statement of ours, asked in a session of ours."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from psycopg import Connection

GROWING = {"threads", "entries", "checkpoints", "definitions", "runs", "agenda", "leases", "timers", "dead_letters"}
"""Tables that grow with what was done, or with what is to be done."""
_NAMED = re.compile(r"%\((\w+)\)s")


def generic_plan(connection: Connection[Any], sql: str) -> dict[str, Any]:
    """The plan for whatever parameters, which is the one that our sessions keep."""
    names = list(dict.fromkeys(_NAMED.findall(sql)))
    numbered = _NAMED.sub(lambda match: f"${names.index(match[1]) + 1}", sql)
    row = connection.execute(f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {numbered}".encode(), prepare=False).fetchone()
    assert row is not None
    found = row[0] if isinstance(row[0], list) else json.loads(row[0])
    plan: dict[str, Any] = found[0]["Plan"]
    return plan


def nodes(plan: dict[str, Any], limited: bool = False) -> Iterator[tuple[dict[str, Any], bool]]:
    """Each node, and whether it stands under a limit with nothing between that would read all first."""
    yield plan, limited
    kind = plan["Node Type"]
    below = kind == "Limit" or (limited and kind in ("LockRows", "Nested Loop", "Result", "Subquery Scan", "Append"))
    for inner in plan.get("Plans", ()):
        yield from nodes(inner, below)


def walks(plan: dict[str, Any], leading: Mapping[str, str]) -> list[str]:
    """The scans of growing tables that may read more than what was asked for. ``leading``: the first column of each
    index. Without a condition on that, an index is read from one end to the other, or nearly.
    """
    found = []
    for node, limited in nodes(plan):
        if node.get("Relation Name") not in GROWING or "Scan" not in node["Node Type"]:
            continue
        by_index = node["Node Type"] in ("Index Scan", "Index Only Scan")
        if not by_index or not (limited or _is_bound(node, leading)):
            found.append(f"{node['Node Type']} on {node['Relation Name']} {node.get('Index Name', '')}".rstrip())
    return found


def _is_bound(node: dict[str, Any], leading: Mapping[str, str]) -> bool:
    column = leading[node["Index Name"]]
    return re.search(rf"\b{column}\b", node.get("Index Cond", "")) is not None


def leading_columns(connection: Connection[Any]) -> dict[str, str]:
    """Of the indexes of our schema."""
    rows = connection.execute(
        "SELECT relname, pg_get_indexdef(indexrelid, 1, false) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
        " WHERE relnamespace = 'squidmesh'::regnamespace"
    )
    return dict(rows.fetchall())
