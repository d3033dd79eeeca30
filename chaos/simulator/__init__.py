"""The whole fleet in one thread on virtual time: the real shell, simulated stores, and one seeded scheduler.

``python -m chaos.simulator --schedules 1000``; docs/chaos-simulator.md says how it works and how to read a script.
"""
