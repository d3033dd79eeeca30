"""What delivery obeys, and what it has to bear.

``Rules`` are sentences of the protocol: a search without one of them must find out why it stands there. A ``World``
says what may go wrong; where it is kinder than the real one, the protocol says what it does not promise.
"""

from typing import NamedTuple


class Rules(NamedTuple):
    offers_claimed_rows: bool = True
    """3.8: a row with a recorded claim is offered too."""
    as_that_claim: bool = True
    """3.8: … leased to the recorded holder, not free."""
    replaces: bool = True
    """3.5.6: an offer above the item's fence replaces its whole state; it does not only raise the floor."""
    refused_is_left_to_the_recorded: bool = True
    """3.5.2: a grant that is refused because of another claim is released as that claim, not as visible."""
    refused_is_not_settled: bool = True
    """3.5.2: … and is not settled, unless the attempt is closed."""
    buries: bool = True
    """3.5.6: a settled item leaves a tombstone."""
    compares_lives: bool = True
    """3.5.6: a lease is forgotten only under another incarnation than the one that granted it. (Of a lock with two
    bolts the first, and the backend's own: while the other one holds and adoption is quick, it is not missed.)
    """
    reads_again: bool = True
    """3.5.6: … and is adopted only after the journal was read again and still calls it current."""
    cursor_last: bool = True
    """3.8: the cursor is written after the offers for which it vouches."""
    cursor_of_its_life: bool = True
    """3.8: the incarnation is read before the first offer, and the cursor is refused in another one."""
    sweeps: bool = True
    """3.8, I11: what is due and missing is offered some time, whatever the cursor says."""


class World(NamedTuple):
    """What may happen to the protocol. ``faults``: how often something goes wrong, at the worst moments."""

    faults: int
    nodes: int = 1
    """How many passes may be under way at once."""
    forgets_all: bool = True
    """The memory may be emptied. It begins another life."""
    forgets_last: bool = True
    """It may go back to what it was once, and not remember what was written since."""
    keeps_dumps: bool = True
    """… even if it was emptied in between: it is back in its former life."""
    adopts_quickly: bool = True
    """Between a worker's look into the journal and the end of its call to adopt, no tombstone ends. (That an offer is
    on its way for less time than that is taken for granted.)
    """
    forgotten_may_rob: bool = True
    """A claim that the memory forgot before it was recorded may be recorded over a healthy worker's: the journal can
    not know (3.5.2).
    """
    forgotten_may_be_robbed: bool = True
    """… and a newer one over it."""
