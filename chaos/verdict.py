"""What a judge says: one finding for each invariant, and all of them together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

INVARIANTS: Mapping[str, str] = {
    "I1": "The revisions of a thread are 1 to n without a gap, and an entry never changes.",
    "I2": "Folding gives the same state with a checkpoint, without one, and with a stale one.",
    "I3": "The pairs (generation, fence) recorded for one runnable strictly increase.",
    "I4": "The result of a worker is accepted under the current claim only.",
    "I5": "An attempt has at most one accepted result, a runnable at most one accepted success.",
    "I6": "An item has at most one live lease, within one incarnation of its backend.",
    "I7": "Nothing is claimed before its visible_at.",
    "I8": "Attempts and lost deliveries keep to their limits, unless an operator intervenes.",
    "I9": "No entry follows the one which ended the run.",
    "I10": "Every run which was started ends, or waits for something that explain_run names.",
    "I11": "No attempt due for longer than the sweep period is missing from the backend.",
    "I12": "One key, one run, for ever. One child key, one child.",
    "I13": "The derived rows equal the rows which are rebuilt from the threads.",
    "I14": "A join starts after all its dependencies have succeeded, and once.",
    "I15": "Compensations are accepted once each, in reverse order of completion, after no sibling is claimed.",
    "I16": "A dead letter is in the journal, keeps its identity, and its replay names an actor.",
    "I17": "A paused step is moved only by a resume, approve, reject, cancel or deadline, each of them a fact.",
    "I18": "Losing the whole lease backend loses nothing and repeats no accepted result.",
    "I19": "No claim id, secret or payload is in the backend's values, in logs, or in a default inspection.",
    "I20": "Workers may be killed at any instruction, and the fleet goes on without a human.",
}
"""What each of them says, in short: docs/protocol.md has the whole of it."""

Status = Literal["green", "red", "nothing_checked", "not_applicable"]

MOST_SHOWN = 20
"""Problems that a finding keeps; ``red`` counts all of them."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """``where``: ``file:line``, ``thread@revision``, an item or a name. ``what``: one sentence."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Of one invariant. ``checked``: how many things were held against it; ``red``: how many of them broke it, of which
    ``problems`` are the first. ``reason``: why it does not apply here, in the words of who declared that; or why
    nothing could be checked.
    """

    invariant: str
    status: Status
    checked: int = 0
    red: int = 0
    problems: tuple[Problem, ...] = ()
    reason: str = ""

    @property
    def ok(self) -> bool:
        """*Nothing checked* is not: who never looked has found nothing."""
        return self.status in ("green", "not_applicable")


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """``findings``: I1 to I20, in order. ``seen``: how much evidence there was, by its kind. ``notes``: what a reader
    should know beside, such as torn lines. ``unreadable``: lines of the evidence that nobody can read; where there are
    any, nothing is proven.
    """

    findings: tuple[Finding, ...]
    seen: dict[str, int] = {}
    notes: tuple[str, ...] = ()
    unreadable: tuple[Problem, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.unreadable and all(finding.ok for finding in self.findings)

    @property
    def red(self) -> frozenset[str]:
        """The invariants that are not kept."""
        return frozenset(finding.invariant for finding in self.findings if not finding.ok)

    def __getitem__(self, invariant: str) -> Finding:
        return next(finding for finding in self.findings if finding.invariant == invariant)

    def to_json(self) -> dict[str, Any]:
        whole: dict[str, Any] = msgspec.to_builtins(self)
        return {"ok": self.ok, **whole}

    def table(self) -> str:
        """For people: a line an invariant, and below it what is wrong."""
        lines = []
        for finding in self.findings:
            word = {"nothing_checked": "nothing checked", "not_applicable": "not applicable"}.get(
                finding.status, finding.status
            )
            count = f"{finding.checked:>9,}" if finding.status in ("green", "red") else f"{'–':>9}"
            lines.append(
                f"{finding.invariant:<4} {word:<15} {count}  {finding.reason or INVARIANTS[finding.invariant]}"
            )
            lines += [f"       {problem}" for problem in finding.problems]
            if finding.red > len(finding.problems):
                lines.append(f"       … and {finding.red - len(finding.problems):,} more")
        lines += [f"unreadable evidence: {problem}" for problem in self.unreadable]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)
