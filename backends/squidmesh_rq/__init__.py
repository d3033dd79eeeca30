"""The bridge for teams that run RQ: its workers run the attempts of a mesh, under leases of the journal.

RQ carries names, and nothing depends on it: what is open, delayed, tried again or given up stands in the journal. A
:class:`Bridge` puts a job into RQ for each attempt that is open; an ordinary ``rq worker`` runs :func:`deliver`, which
claims that one attempt; RQ's cron may run :func:`activate`.
"""

from squidmesh_rq.activating import activate
from squidmesh_rq.bridge import Bridge
from squidmesh_rq.delivering import DeliveryFailed, deliver
from squidmesh_rq.following import Passed

__all__ = ["Bridge", "DeliveryFailed", "Passed", "activate", "deliver"]
