"""The lease backend for a fleet: items, leases and fences in Redis or Valkey (the schemes ``redis`` and ``rediss``)."""

from squidmesh_redis.connect import RedisBackend, backend

__all__ = ["RedisBackend", "backend"]
