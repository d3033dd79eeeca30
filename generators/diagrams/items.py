"""The machine of an item in a lease backend. It has no table in the code, since each backend keeps it in its own way;
tests/unit/generators/test_diagrams.py holds the memory, which is the specification that runs, to this one.
"""

from __future__ import annotations

MOVES = {
    ("", "offer"): "free",
    ("free", "claim"): "leased",
    ("free", "drop"): "gone",
    ("leased", "heartbeat"): "leased",
    ("leased", "release"): "free",
    ("leased", "settle"): "gone",
    ("leased", "shelve"): "gone",
    ("leased", "time"): "lapsed",
    ("lapsed", "claim"): "leased",
    ("lapsed", "release"): "free",
    ("lapsed", "settle"): "gone",
    ("gone", "offer"): "free",
}
"""By (state, what happens). ``free``: visible now, or after its delay. ``lapsed``: its lease ended without a word, and
nobody has taken over. An offer brings back what is gone only above its tombstone.
"""

WORDS = {
    ("lapsed", "claim"): "claim: takeover,\nfence + 1",
    ("leased", "time"): "the lease ends",
    ("gone", "offer"): "offer, above the tombstone",
}
"""What is said in the picture, where it is more than the verb."""
