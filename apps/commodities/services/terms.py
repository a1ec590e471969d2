"""How the six lists of terms change."""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from apps.commodities import capabilities, events
from apps.commodities.figures import plain
from apps.commodities.models import (
    BargainType,
    DeliveryTerms,
    PassingTerms,
    PaymentTerms,
    Terms,
    TradeType,
    WeighmentTerms,
)
from apps.commodities.models.terms import CARRIED, COLLECTED, INSURED
from apps.commodities.reference import FILES
from apps.commodities.services.rules import Duplicate, FieldsContradict
from erp.access import Actor
from erp.errors import Fault
from erp.reference import reference
from erp.reference_data import ReferenceTable
from erp.services import Service, service
from erp.text import name_key

Contradictions = Callable[[Any], Iterator[Fault]]


def _pair(
    model: type[Terms], noun: str, contradictions: Contradictions = lambda row: iter(())
) -> tuple[Service, Service]:
    def check(row: Any) -> None:
        row.name_key = name_key(row.name)
        if faults := list(contradictions(row)):
            raise FieldsContradict(errors=faults)

    return reference(
        model,
        noun=noun,
        creates=capabilities.MANAGE_TERMS,
        updates=capabilities.MANAGE_TERMS,
        created=events.TradeTermsCreated,
        updated=events.TradeTermsUpdated,
        fields=model.said(),
        unreported_fields=("name_key",),
        check=check,
        create_raises=[Duplicate, FieldsContradict],
        update_raises=[Duplicate, FieldsContradict],
    )


def _only_with(row: Any, field: str, applies: bool, whose: str) -> Iterator[Fault]:
    """The field is given exactly where it applies."""
    given = getattr(row, field) is not None
    if applies and not given:
        yield Fault(f"/{field}", "required", f"{whose} needs it.")
    elif given and not applies:
        yield Fault(f"/{field}", "contradicts", f"{whose} has none.")


def _slabs(row: Any, field: str) -> Iterator[Fault]:
    """Every slab but the last has days, the last has none. They are kept as plain text."""
    rows: Sequence[Any] = getattr(row, field)
    for place, slab in enumerate(rows):
        if (slab["days"] is None) != (place == len(rows) - 1):
            yield Fault(f"/{field}/{place}/days", "contradicts", "The last slab alone has no days.")
    told = [{"days": slab["days"], "annual_percent": plain(Decimal(slab["annual_percent"]))} for slab in rows]
    setattr(row, field, told)


def _weighment(row: WeighmentTerms) -> Iterator[Fault]:
    method = WeighmentTerms.TareMethod(row.tare_method)
    yield from _only_with(row, "tare_value", method != "ACTUAL", f"tare_method {method}")
    if method == "PERCENT" and row.tare_value is not None and row.tare_value > 100:
        yield Fault("/tare_value", "contradicts", "At most 100 percent.")
    kind = WeighmentTerms.FranchiseKind(row.franchise_kind)
    yield from _only_with(row, "franchise_percent", kind != "NONE", f"franchise_kind {kind}")


def _delivery(row: DeliveryTerms) -> Iterator[Fault]:
    basis = str(row.basis)
    for field, held, kept in (
        ("includes_freight", (*INSURED, *CARRIED), COLLECTED),
        ("includes_insurance", INSURED, COLLECTED),
    ):
        if basis in held and not getattr(row, field):
            yield Fault(f"/{field}", "contradicts", f"The price {basis} includes it.")
        elif basis in kept and getattr(row, field):
            yield Fault(f"/{field}", "contradicts", f"The price {basis} doesn't include it.")
    yield from _slabs(row, "late_slabs")


def _payment(row: PaymentTerms) -> Iterator[Fault]:
    instrument = str(row.instrument)
    if instrument != "SBLC":  # a standby credit may be silent about it
        yield from _only_with(row, "lc_kind", instrument == "LC", f"instrument {instrument}")
    yield from _only_with(row, "usance_days", row.lc_kind == "USANCE", f"lc_kind {row.lc_kind or 'null'}")
    yield from _slabs(row, "carrying_slabs")


create_trade_type, update_trade_type = _pair(TradeType, "trade_type")
create_bargain_type, update_bargain_type = _pair(BargainType, "bargain_type")
create_passing_terms, update_passing_terms = _pair(PassingTerms, "passing_terms")
create_weighment_terms, update_weighment_terms = _pair(WeighmentTerms, "weighment_terms", _weighment)
create_delivery_terms, update_delivery_terms = _pair(DeliveryTerms, "delivery_terms", _delivery)
create_payment_terms, update_payment_terms = _pair(PaymentTerms, "payment_terms", _payment)


REFERENCE = (
    ReferenceTable(model=TradeType, rows=FILES / "trade_types.csv", create=create_trade_type),
    ReferenceTable(model=BargainType, rows=FILES / "bargain_types.csv", create=create_bargain_type),
    ReferenceTable(model=PassingTerms, rows=FILES / "passing_terms.csv", create=create_passing_terms),
    ReferenceTable(model=WeighmentTerms, rows=FILES / "weighment_terms.csv", create=create_weighment_terms),
    ReferenceTable(model=DeliveryTerms, rows=FILES / "delivery_terms.csv", create=create_delivery_terms),
    ReferenceTable(model=PaymentTerms, rows=FILES / "payment_terms.csv", create=create_payment_terms),
)


@service(requires=capabilities.MANAGE_TERMS, emits=[events.TradeTermsCreated])
def load_terms(*, actor: Actor) -> int:
    """Add the usual terms that the six lists lack; returns how many are new. A second run changes nothing."""
    return sum(len(table.load(actor)) for table in REFERENCE)
