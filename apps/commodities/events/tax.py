"""What others may learn of codes and rates of tax."""

from datetime import date
from uuid import UUID

from apps.commodities import capabilities
from erp.events import ALL, EVERYONE, Change, DecimalText, Event, event, rows_of

rows_of("hsn_code", model="commodity.HsnCode", reads=capabilities.VIEW)
rows_of("hsn_mapping", model="commodity.HsnMapping", reads=capabilities.VIEW)
rows_of("tax_rate", model="commodity.TaxRate", reads=capabilities.VIEW)

HSN_CODE = ("hsn_code", "hsn_code_id")
RATE = ("tax_rate", "tax_rate_id")


@event("hsn_code.created", version=1, aggregate=HSN_CODE, readers={EVERYONE: ALL})
class HsnCodeCreated(Event):
    hsn_code_id: UUID
    code: str
    description: str


@event("hsn_code.updated", version=1, aggregate=HSN_CODE, readers={EVERYONE: ALL})
class HsnCodeUpdated(Event):
    hsn_code_id: UUID
    version: int
    changes: dict[str, Change]


@event("commodity.hsn_mapping.confirmed", version=1, aggregate=("hsn_mapping", "mapping_id"), readers={})
class HsnMappingConfirmed(Event):
    mapping_id: UUID
    name_key: str
    hsn_code: str


class Rate(Event):
    """What each event says of its rate."""

    tax_rate_id: UUID
    hsn: str
    condition: str
    version: int
    valid_from: date
    valid_to: date | None


# Until it is published a rate is the staff's alone.
@event("tax_rate.drafted", version=1, aggregate=RATE, readers={})
class TaxRateDrafted(Rate):
    """Somebody wrote a rate."""


@event("tax_rate.edited", version=1, aggregate=RATE, readers={})
class TaxRateEdited(Rate):
    """Somebody changed a draft."""


@event("tax_rate.submitted", version=1, aggregate=RATE, readers={})
class TaxRateSubmitted(Rate):
    """A second person is asked."""


@event("tax_rate.returned", version=1, aggregate=RATE, readers={})
class TaxRateReturned(Rate):
    """It is a draft again: refused, taken back, not decided in time, or changed meanwhile."""


@event("tax_rate.published", version=1, aggregate=RATE, readers={EVERYONE: ALL})
class TaxRatePublished(Rate):
    """It holds from its first day on; the open one before it ends the day before."""

    old_rate_percent: DecimalText | None
    new_rate_percent: DecimalText


@event("tax_rate.withdrawn", version=1, aggregate=RATE, readers={EVERYONE: ALL})
class TaxRateWithdrawn(Rate):
    """It isn't chosen any more; what was billed by it stays."""
