"""Peers beside us: the same works, machine, servers and durability, in turn, in one run."""
