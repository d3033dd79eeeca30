"""One small script a peer, run by the Python of that peer's own environment; ``ours`` is Squid Mesh, by the same rules.

Nothing here imports another part of this repository but ``benchmarks.peers.protocol``, which needs the standard library
only. ``ours`` alone imports Squid Mesh.
"""
