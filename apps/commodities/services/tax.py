"""How codes of the tariff, names mapped to them, and rates of tax change."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from django.db.models import Q
from django.utils import timezone

from apps.commodities import capabilities, events
from apps.commodities.models import HsnCode, HsnMapping, TaxRate
from apps.commodities.reference.tax import HSN_CODES, RATES
from apps.commodities.services.drafts import Procedure
from apps.commodities.services.rules import Duplicate, IllegalTransition, LimitsInverted
from erp.access import Actor
from erp.errors import Fault, RuleBroken
from erp.reference import ReferenceList, event_of
from erp.services import emit, service
from erp.text import name_key


class HsnUnknown(RuleBroken):
    """The tariff has no such code, or it isn't in use."""


def require_hsn(code: str | None, pointer: str = "/hsn_code") -> None:
    """Raise HsnUnknown for a code (None: none is named) that is neither kept by staff nor known to the product."""
    if code is None:
        return
    status = HsnCode.objects.filter(code=code).values_list("status", flat=True).first()
    known = code in HSN_CODES if status is None else status == HsnCode.Status.ACTIVE
    if not known:
        raise HsnUnknown(errors=[Fault(pointer, "hsn_unknown", "No such code is in use.")])


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
    """Say which code goods of a name bear; what was said of the name before is replaced. Raises HsnUnknown."""
    require_hsn(hsn_code)
    key = name_key(name)
    mapping = HsnMapping.objects.filter(name_key=key).locked().first() or HsnMapping(name_key=key)
    if mapping.is_new or mapping.hsn_code != hsn_code:
        mapping.name, mapping.hsn_code = name, hsn_code
        mapping.confirmed_by, mapping.confirmed_at = actor.pk, timezone.now()
        mapping.save()
        emit(event_of(events.HsnMappingConfirmed, mapping, "mapping"))
    return mapping


def _news(rate: TaxRate, former: TaxRate | None) -> Mapping[str, Any]:
    return {
        "old_rate_percent": None if former is None else former.rate_percent,
        "new_rate_percent": rate.rate_percent,
    }


TAX_RATE = Procedure(
    TaxRate,
    title="Rate of tax",
    requires=capabilities.MANAGE_TAX,
    drafted=events.TaxRateDrafted,
    edited=events.TaxRateEdited,
    submitted=events.TaxRateSubmitted,
    returned=events.TaxRateReturned,
    published=events.TaxRatePublished,
    withdrawn=events.TaxRateWithdrawn,
    news=_news,
)
submit_tax_rate = TAX_RATE.submit
withdraw_tax_rate = TAX_RATE.withdraw


@service(requires=capabilities.MANAGE_TAX, emits=[events.TaxRateDrafted], raises=[LimitsInverted])
def draft_tax_rate(
    *,
    actor: Actor,
    hsn: str,
    rate_percent: Decimal,
    source: str,
    valid_from: date,
    valid_to: date | None = None,
    condition: str = TaxRate.Condition.ANY,
) -> TaxRate:
    """Draft a rate for goods whose code begins with ``hsn``, under a condition; both dates are inclusive."""
    rate = TaxRate(
        hsn=hsn,
        condition=condition,
        rate_percent=rate_percent,
        source=source,
        valid_from=valid_from,
        valid_to=valid_to,
    )
    TAX_RATE.begin(rate, actor)
    return rate


@service(
    requires=capabilities.MANAGE_TAX,
    emits=[events.TaxRateEdited, events.TaxRateReturned],
    raises=[IllegalTransition, LimitsInverted],
)
def edit_tax_rate(
    rate: TaxRate,
    *,
    actor: Actor,
    hsn: str,
    rate_percent: Decimal,
    source: str,
    valid_from: date,
    valid_to: date | None = None,
    condition: str = TaxRate.Condition.ANY,
) -> TaxRate:
    """Replace what a draft says. What was submitted is a draft again, and its approval stale."""
    rate.hsn, rate.condition, rate.rate_percent, rate.source = hsn, condition, rate_percent, source
    rate.valid_from, rate.valid_to = valid_from, valid_to
    TAX_RATE.revise(rate, actor)
    return rate


@service(requires=capabilities.UPDATE, emits=[events.HsnCodeCreated])
def load_hsn_codes(*, actor: Actor) -> int:
    """Add the codes of the tariff that the product knows and that aren't there; returns how many are new."""
    there = set(HsnCode.objects.values_list("code", flat=True))
    missing = [code for code in HSN_CODES if code not in there]
    for code in missing:
        create_hsn_code(actor=actor, code=code, description=HSN_CODES[code])
    return len(missing)


@service(requires=capabilities.MANAGE_TAX, emits=[events.TaxRatePublished])
def load_tax_rates(*, actor: Actor) -> int:
    """Publish the rates that the product knows; returns how many are new.

    One that is there, whatever became of it, and one that meets a rate of the staff's stay away; so a second run
    changes nothing.
    """
    added = 0
    for known in RATES:
        rows = TaxRate.objects.filter(hsn=known.hsn, condition=known.condition)
        held = Q(status=TaxRate.Status.PUBLISHED) & (Q(valid_to=None) | Q(valid_to__gte=known.valid_from))
        if known.valid_to is not None:
            held &= Q(valid_from__lte=known.valid_to)
        if rows.filter(Q(valid_from=known.valid_from) | held).exists():
            continue
        rate = TaxRate(
            hsn=known.hsn,
            condition=known.condition,
            rate_percent=known.percent,
            source=known.source,
            valid_from=known.valid_from,
            valid_to=known.valid_to,
        )
        TAX_RATE.release(rate, actor)
        added += 1
    return added
