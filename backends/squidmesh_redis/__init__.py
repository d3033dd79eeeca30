"""The lease backend for a fleet: items, leases and fences in Redis or Valkey.

One server (``redis://``), Sentinels (``redis+sentinel://``), a Cluster (``redis+cluster://``), and the same with TLS.
"""

from squidmesh_redis.connect import RedisBackend, backend

__all__ = ["RedisBackend", "backend"]
