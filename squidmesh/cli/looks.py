"""How statuses look: a sign, a word and a style each, so that nothing is said by colour alone."""

from __future__ import annotations

from rich.text import Text

_SIGNS = {
    "completed": ("✓", "green"),
    "running": ("●", "bold cyan"),
    "retrying": ("↻", "yellow"),
    "waiting": ("◔", "blue"),
    "paused": ("‖", "bold magenta"),
    "failed": ("✗", "bold red"),
    "dead": ("☠", "bold red"),
    "pending": ("○", ""),
    "blocked": ("⊘", "dim"),
    "skipped": ("·", "dim"),
    "scheduled": ("◔", "blue"),
    "claimed": ("●", "bold cyan"),
    "approved": ("✓", "green"),
    "rejected": ("✗", "bold red"),
    "failing": ("▽", "bold red"),
    "compensating": ("↺", "bold yellow"),
    "compensated": ("↺", "yellow"),
    "cancelled": ("⊗", "dim"),
    "open": ("◔", "blue"),
    "resumed": ("✓", "green"),
    "taken": ("✓", "green"),
    "ended": ("✓", "green"),
    "timed_out": ("✗", "bold red"),
    "closed": ("⊗", "dim"),
    "waived": ("·", "yellow"),
    "working": ("●", "bold cyan"),
    "idle": ("○", ""),
    "draining": ("▽", "yellow"),
    "lost": ("☠", "bold red"),
}


def sign(status: str) -> str:
    return _SIGNS.get(status, ("?", ""))[0]


def style(status: str) -> str:
    return _SIGNS.get(status, ("?", ""))[1]


def status_text(status: str) -> Text:
    """``✓ completed``."""
    return Text(f"{sign(status)} {status}", style=style(status))
