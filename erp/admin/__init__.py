"""The staff portal: pages that read rows directly and write through services only."""

from erp.admin.display import Table, amount, measured, quantity, titled
from erp.admin.looking import Verb
from erp.admin.options import ServiceAdmin
from erp.admin.queues import Queue
from erp.admin.site import Site, environment, icon, script, style

__all__ = [
    "Queue",
    "ServiceAdmin",
    "Site",
    "Table",
    "amount",
    "Verb",
    "environment",
    "icon",
    "measured",
    "quantity",
    "titled",
    "script",
    "style",
]
