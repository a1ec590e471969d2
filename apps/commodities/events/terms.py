"""What others may learn of the lists of terms."""

from uuid import UUID

from apps.commodities import capabilities
from erp.events import ALL, EVERYONE, Event, FieldChange, event, rows_of

TERMS = ("trade_terms", "terms_id")
EVERYBODY = {EVERYONE: ALL}  # whoever is signed in reads the lists

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
    """What each event of the lists says first; ``kind`` is the list's name, as in its address."""

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
