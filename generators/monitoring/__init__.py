"""What watches a fleet: rules and alerts for Prometheus, dashboards for Grafana. All of it is made from
``squidmesh/ports/metrics.py``, so a metric that is renamed or loses a label stops ``./dev generate``.
"""
