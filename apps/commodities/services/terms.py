"""Change the six lists of terms."""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from apps.commodities import capabilities
from apps.commodities.events import terms as events
from apps.commodities.figures import plain
from apps.commodities.models.terms import (
    CARRIED,
    COLLECTED,
    INSURED,
    BargainType,
    DeliveryTerms,
    PassingTerms,
    PaymentTerms,
    Terms,
    TradeType,
    WeighmentTerms,
)
from apps.commodities.reference import FILES
from apps.commodities.services.rules import Duplicate, FieldsContradict
from erp.access import Actor
from erp.errors import FieldError
from erp.reference import EQUAL, ReferenceList
from erp.reference_data import ReferenceTable
from erp.services import service
from erp.text import name_key

Contradictions = Callable[[Any], Iterator[FieldError]]


def terms_list(
    model: type[Terms],
    noun: str,
    contradictions: Contradictions = lambda row: iter(()),
    extra_output: Sequence[str] = (),
) -> ReferenceList:
    """Declare a list of terms; ``contradictions`` finds the errors of a row."""

    def check(row: Any) -> None:
        row.name_key = name_key(row.name)
        if faults := list(contradictions(row)):
            raise FieldsContradict(errors=faults)

    return ReferenceList(
        model,
        noun=noun,
        path=model.kind,
        schema_name=model.__name__,
        views=capabilities.VIEW,
        requires=capabilities.MANAGE_TERMS,
        created=events.TradeTermsCreated,
        updated=events.TradeTermsUpdated,
        unreported_fields=("name_key",),
        check=check,
        raises=[Duplicate, FieldsContradict],
        extra_output=extra_output,
        filters={"code": EQUAL},
        sortable=("sort_order", "code", "name"),
        columns=("code", "name", "sort_order"),
        ordering=("sort_order", "code"),
    )


def _only_with(row: Any, field: str, applies: bool, whose: str) -> Iterator[FieldError]:
    """Check that the field has a value where it applies, and only there."""
    has_value = getattr(row, field) is not None
    if applies and not has_value:
        yield FieldError(f"/{field}", "required", f"Required with {whose}.")
    elif has_value and not applies:
        yield FieldError(f"/{field}", "contradicts", f"Not allowed with {whose}.")


def _slabs(row: Any, field: str) -> Iterator[FieldError]:
    """Check that every slab but the last has days, and convert the figures to plain text."""
    rows: Sequence[Any] = getattr(row, field)
    for place, slab in enumerate(rows):
        if (slab["days"] is None) != (place == len(rows) - 1):
            yield FieldError(f"/{field}/{place}/days", "contradicts", "Enter days in every row but the last.")
    slabs = [
        {"days": slab["days"], "annual_percent": plain(Decimal(slab["annual_percent"]))} for slab in rows
    ]
    setattr(row, field, slabs)


def _weighment(row: WeighmentTerms) -> Iterator[FieldError]:
    method = WeighmentTerms.TareMethod(row.tare_method)
    yield from _only_with(row, "tare_value", method != "ACTUAL", f"tare by {method.label}")
    if method == "PERCENT" and row.tare_value is not None and row.tare_value > 100:
        yield FieldError("/tare_value", "contradicts", "The tare must be at most 100 percent.")
    kind = WeighmentTerms.FranchiseKind(row.franchise_kind)
    yield from _only_with(row, "franchise_percent", kind != "NONE", f"franchise {kind.label}")


def _delivery(row: DeliveryTerms) -> Iterator[FieldError]:
    basis = str(row.basis)
    for field, included, excluded in (
        ("includes_freight", (*INSURED, *CARRIED), COLLECTED),
        ("includes_insurance", INSURED, COLLECTED),
    ):
        if basis in included and not getattr(row, field):
            yield FieldError(f"/{field}", "contradicts", f"The {basis} price includes it: choose yes.")
        elif basis in excluded and getattr(row, field):
            yield FieldError(f"/{field}", "contradicts", f"The {basis} price does not include it: choose no.")
    yield from _slabs(row, "late_slabs")


def _payment(row: PaymentTerms) -> Iterator[FieldError]:
    instrument = str(row.instrument)
    if instrument != "SBLC":  # optional for a standby letter of credit
        yield from _only_with(
            row, "lc_kind", instrument == "LC", f"payment by {row.get_instrument_display()}"
        )
    yield from _only_with(
        row, "usance_days", row.lc_kind == "USANCE", f"LC type {row.get_lc_kind_display() or 'empty'}"
    )
    yield from _slabs(row, "carrying_slabs")


TRADE_TYPES = terms_list(TradeType, "trade_type")
BARGAIN_TYPES = terms_list(BargainType, "bargain_type")
PASSING_TERMS = terms_list(PassingTerms, "passing_terms")
WEIGHMENT_TERMS = terms_list(WeighmentTerms, "weighment_terms", _weighment)
DELIVERY_TERMS = terms_list(DeliveryTerms, "delivery_terms", _delivery)
PAYMENT_TERMS = terms_list(PaymentTerms, "payment_terms", _payment, ["over_msme_limit"])

REFERENCE = (
    ReferenceTable(model=TradeType, rows=FILES / "trade_types.csv", create=TRADE_TYPES.create),
    ReferenceTable(model=BargainType, rows=FILES / "bargain_types.csv", create=BARGAIN_TYPES.create),
    ReferenceTable(model=PassingTerms, rows=FILES / "passing_terms.csv", create=PASSING_TERMS.create),
    ReferenceTable(model=WeighmentTerms, rows=FILES / "weighment_terms.csv", create=WEIGHMENT_TERMS.create),
    ReferenceTable(model=DeliveryTerms, rows=FILES / "delivery_terms.csv", create=DELIVERY_TERMS.create),
    ReferenceTable(model=PaymentTerms, rows=FILES / "payment_terms.csv", create=PAYMENT_TERMS.create),
)


@service(requires=capabilities.MANAGE_TERMS, emits=[events.TradeTermsCreated])
def load_terms(*, actor: Actor) -> int:
    """Add the usual terms that the six lists lack; returns how many are new. A second run changes nothing."""
    return sum(len(table.load(actor)) for table in REFERENCE)
