"""Faults that really happen: a class a kind, and the register of all of them."""
