"""Bad days on purpose: a real fleet under load, faults that really happen, and a judge who reads everything afterwards.

``python -m chaos list | run | soak | judge``; docs/chaos.md says how.
"""
