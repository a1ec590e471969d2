"""Events of the lists of terms."""

from uuid import UUID

from apps.commodities import capabilities
from erp.events import ALL, EVERYONE, Event, FieldChange, event, rows_of

TERMS = ("trade_terms", "terms_id")
EVERYBODY = {EVERYONE: ALL}  # all signed-in users read the lists

rows_of(
    "trade_terms",
    model=(
        "commodity.TradeType",
        "commodity.BargainType",
        "commodity.PassingTerms",
        "commodity.WeighmentTerms",
        "commodity.DeliveryTerms",
        "commodity.PaymentTerms",
    ),
    reads=capabilities.VIEW,
)


class OfTerms(Event):
    """Common fields of the events; ``kind`` is the name of the list, as in its URL."""

    terms_id: UUID
    kind: str


@event("trade_terms.created", version=1, aggregate=TERMS, readers=EVERYBODY)
class TradeTermsCreated(OfTerms):
    code: str
    name: str


@event("trade_terms.updated", version=1, aggregate=TERMS, readers=EVERYBODY)
class TradeTermsUpdated(OfTerms):
    version: int
    changes: dict[str, FieldChange]
