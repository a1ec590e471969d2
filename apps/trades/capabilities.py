"""Capabilities on trades."""

from erp.access import Capability

_SIDES = ("PARTNER_ADMIN", "SELLER", "BUYER", "TRADER")

VIEW = Capability(
    "trade.view",
    on="Trade",
    label="See trades",
    everywhere=("INTERNAL", "AUDITOR"),
    own=(*_SIDES, "BROKER", "SERVICE_PROVIDER"),
)
CREATE = Capability("trade.create", on="Trade", label="Create trades", everywhere=("INTERNAL", "SYSTEM"))
ACKNOWLEDGE = Capability(
    "trade.acknowledge", on="Trade", label="Acknowledge trades", everywhere=("INTERNAL",), own=_SIDES
)
APPROVE = Capability("trade.approve", on="Trade", label="Approve trades", everywhere=("INTERNAL_MANAGER",))
RECORD_QUALITY = Capability(
    "trade.record_quality",
    on="Trade",
    label="Record quality results",
    everywhere=("INTERNAL",),
    own=("SERVICE_PROVIDER",),
)
RECORD_WEIGHT = Capability(
    "trade.record_weight",
    on="Trade",
    label="Record weighings",
    everywhere=("INTERNAL",),
    own=("SELLER", "BUYER", "TRADER", "SERVICE_PROVIDER"),
)
DISPATCH = Capability(
    "trade.dispatch",
    on="Trade",
    label="Record dispatches and deliveries",
    everywhere=("INTERNAL",),
    own=("SELLER", "BUYER", "TRADER", "SERVICE_PROVIDER"),
)
RECORD_PAYMENT = Capability(
    "trade.record_payment", on="Trade", label="Record payments", everywhere=("INTERNAL_FINANCE",)
)
SETTLE = Capability("trade.settle", on="Trade", label="Settle trades", everywhere=("INTERNAL_FINANCE",))
CANCEL = Capability("trade.cancel", on="Trade", label="Cancel trades", everywhere=("INTERNAL_DIRECTOR",))
AMEND = Capability("trade.amend", on="Trade", label="Amend trades", everywhere=("INTERNAL",), own=_SIDES)
DISPUTE = Capability(
    "trade.dispute", on="Trade", label="Raise disputes", everywhere=("INTERNAL",), own=_SIDES
)
RESOLVE_DISPUTE = Capability(
    "trade.resolve_dispute", on="Trade", label="Resolve disputes", everywhere=("INTERNAL_DIRECTOR",)
)
CONFIGURE = Capability(
    "trade.configure",
    on="TaxRule",
    label="Change tax rules, TDS positions and approval bands",
    everywhere=("INTERNAL_FINANCE", "INTERNAL_DIRECTOR"),
)
