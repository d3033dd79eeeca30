"""Metrics, health, logs and traces of a mesh: what the runtime tells its instruments, in the forms that others read."""
