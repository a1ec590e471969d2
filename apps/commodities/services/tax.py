"""Change HSN codes, HSN mappings and GST rates."""

from typing import Any

from django.db.models import Q

from apps.approvals.services.drafts import DraftProcedure
from apps.commodities import capabilities
from apps.commodities.events import tax as events
from apps.commodities.models.tax import HsnCode, HsnMapping, TaxRate
from apps.commodities.reference import FILES
from apps.commodities.reference.tax import HSN_CODES
from apps.commodities.services.rules import DRAFT_ERRORS, Duplicate
from erp import clock
from erp.access import Actor
from erp.errors import FieldError, RuleBroken
from erp.reference import ReferenceList, event_of
from erp.reference_data import ReferenceTable
from erp.services import emit, service
from erp.text import name_key


class HsnUnknown(RuleBroken):
    """The HSN code does not exist or is archived."""


def require_hsn(code: str | None, pointer: str = "/hsn_code") -> None:
    """Raise HsnUnknown for a code (None: no check) that is neither stored nor included in the product."""
    if code is None:
        return
    status = HsnCode.objects.filter(code=code).values_list("status", flat=True).first()
    known = code in HSN_CODES if status is None else status == HsnCode.Status.ACTIVE
    if not known:
        raise HsnUnknown(
            errors=[FieldError(pointer, "hsn_unknown", "This HSN code does not exist or is archived.")]
        )


HSN_LIST = ReferenceList(
    HsnCode,
    noun="hsn_code",
    views=capabilities.VIEW,
    requires=capabilities.UPDATE,
    created=events.HsnCodeCreated,
    updated=events.HsnCodeUpdated,
    create_raises=[Duplicate],
)
create_hsn_code, update_hsn_code = HSN_LIST.create, HSN_LIST.update


@service(requires=capabilities.UPDATE, emits=[events.HsnMappingConfirmed], raises=[HsnUnknown, Duplicate])
def confirm_hsn_mapping(*, actor: Actor, name: str, hsn_code: str) -> HsnMapping:
    """Confirm the HSN code of goods by their name. It replaces an earlier confirmation of the name.

    Raises HsnUnknown.
    """
    require_hsn(hsn_code)
    key = name_key(name)
    mapping = HsnMapping.objects.filter(name_key=key).locked().first() or HsnMapping(name_key=key)
    if mapping.is_new or mapping.hsn_code != hsn_code:
        mapping.name, mapping.hsn_code = name, hsn_code
        mapping.confirmed_by, mapping.confirmed_at = actor.pk, clock.now()
        mapping.save()
        emit(event_of(events.HsnMappingConfirmed, mapping, "mapping"))
    return mapping


def _rates(rate: TaxRate, previous: TaxRate | None) -> dict[str, Any]:
    return {
        "old_rate_percent": None if previous is None else previous.rate_percent,
        "new_rate_percent": rate.rate_percent,
    }


TAX_RATE = DraftProcedure(
    TaxRate,
    title="GST rate",
    requires=capabilities.MANAGE_TAX,
    events=events.TAX_RATE,
    errors=DRAFT_ERRORS,
    published_members=_rates,
)
draft_tax_rate, edit_tax_rate = TAX_RATE.draft, TAX_RATE.edit
submit_tax_rate, withdraw_tax_rate = TAX_RATE.submit, TAX_RATE.withdraw


def _publish_rate(*, actor: Actor, **values: Any) -> TaxRate | None:
    rate = TaxRate(**values)
    effective = TaxRate.objects.filter(
        hsn=rate.hsn, condition=rate.condition, status=TaxRate.Status.PUBLISHED
    )
    effective = effective.filter(Q(valid_to=None) | Q(valid_to__gte=rate.valid_from))
    if rate.valid_to is not None:
        effective = effective.filter(valid_from__lte=rate.valid_to)
    if effective.exists():
        return None
    TAX_RATE.release(rate, actor)
    return rate


CODES = ReferenceTable(model=HsnCode, rows=FILES / "hsn_codes.csv", create=create_hsn_code)
RATES = ReferenceTable(
    model=TaxRate, rows=FILES / "tax_rates.csv", create=_publish_rate, key=("hsn", "condition", "valid_from")
)


@service(requires=capabilities.UPDATE, emits=[events.HsnCodeCreated])
def load_hsn_codes(*, actor: Actor) -> int:
    """Add missing HSN codes; returns how many are new."""
    return len(CODES.load(actor))


@service(requires=capabilities.MANAGE_TAX, emits=[events.TAX_RATE.published])
def load_tax_rates(*, actor: Actor) -> int:
    """Publish missing GST rates; returns how many are new.

    A rate that exists, in any status, or overlaps a published rate is skipped; so a second run changes nothing.
    """
    return len(RATES.load(actor))
