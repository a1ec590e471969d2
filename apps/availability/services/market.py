"""The market as AI tasks read it: open offers, executed sales, and the price that follows from them.

The asking partner's own rows and those of its linked partners are left out, so nobody moves their own suggestion.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from fractions import Fraction
from typing import Any, Final
from uuid import UUID

from django.db.models import Prefetch, Q

from apps.availability.models import Availability, Invitation, QualityValue, Reservation
from apps.availability.services.rules import gst_of, value_of
from apps.commodities.market import (
    EXECUTED_SALES,
    OPEN_OFFERS,
    PRICE_TASK,
    Observation,
    OpenOffer,
    PriceQuestion,
    SuggestedPrice,
    suggest_price,
)
from apps.partners.models.links import PartyLink
from erp import clock
from erp.ai.registry import Answer, Facts, Task, source

SALES_DAYS: Final = 30
MOST: Final = 5_000  # the newest offers that a question reads
DELIVERED: Final = ("FOR_MILL", "CFR", "CIF")
_Visibility = Availability.Visibility


@source(OPEN_OFFERS)
def open_offers(question: Any, partner_id: UUID | None) -> Sequence[OpenOffer]:
    """Live offers of the asked goods that a match may show to the partner; staff see those of all.

    ``question`` names ``commodity_id``, and where others are accepted ``substitute_ids``.
    """
    goods = [question.commodity_id, *getattr(question, "substitute_ids", ())]
    invited = Invitation.objects.filter(partner_id__in=[partner_id] if partner_id else []).values(
        "availability_id"
    )
    open_to = Q(visibility__in=[_Visibility.PUBLIC, _Visibility.MATCHED_ONLY])
    open_to |= Q(visibility=_Visibility.RESTRICTED, pk__in=invited)
    rows = Availability.objects.filter(
        open_to, status=Availability.Status.ACTIVE, commodity_id__in=goods, available_quantity__gt=0
    ).exclude(seller_partner_id__in=_own(partner_id))
    governing = QualityValue.objects.filter(governing=True, lot=None).select_related("parameter")
    rows = rows.exclude(expires_at__lte=clock.now()).prefetch_related(
        Prefetch("quality", governing, to_attr="governing")
    )
    return [_open_offer(row) for row in rows.order_by("-listed_at", "pk")[:MOST]]


@source(EXECUTED_SALES)
def executed_sales(question: PriceQuestion, partner_id: UUID | None) -> Sequence[Observation]:
    """Sales of the last 30 days that fit the question, in aggregates only; without those of the asking partner."""
    own, now = _own(partner_id), clock.now()
    sold = Reservation.objects.filter(
        status=Reservation.Status.SOLD,
        sold_at__gte=now - timedelta(days=SALES_DAYS),
        agreed_price__isnull=False,
        **{f"availability__{name}": value for name, value in _fits(question).items()},
    ).exclude(Q(availability__seller_partner_id__in=own) | Q(holder_partner_id__in=own))
    return list(_sales(sold.select_related("pricing_unit", "availability__commodity"), question))


def _sales(sold: Any, question: PriceQuestion) -> Iterator[Observation]:
    for row in sold.order_by("pk"):
        offer = row.availability
        if row.weight_kg and _group(offer) == question.price_group:
            value = value_of(row, row.open_quantity, row.weight_kg, row.agreed_price)
            if row.tax_basis == Availability.TaxBasis.INCLUSIVE:
                value /= 1 + gst_of(offer) / 100
            yield Observation(
                id=row.pk,
                partner_id=offer.seller_partner_id,
                price_per_kg=value / Fraction(row.weight_kg),
                kg=row.weight_kg,
                age_days=_age(row.sold_at),
                is_sale=True,
            )


def _suggested(question: PriceQuestion, facts: Facts) -> Answer[SuggestedPrice]:
    offers = [
        Observation(
            id=offer.availability_id,
            partner_id=offer.seller_partner_id,
            price_per_kg=offer.price_per_kg,
            kg=offer.open_kg,
            age_days=(clock.today() - offer.listed_date).days,
            is_sale=False,
        )
        for offer in facts[OPEN_OFFERS]
        if offer.price_per_kg is not None
        and (question.variety_id is None or offer.variety_id == question.variety_id)
        and (question.crop_year is None or offer.crop_year == question.crop_year)
        and (offer.currency, offer.price_group) == (question.currency, question.price_group)
    ]
    return suggest_price(question, [*facts[EXECUTED_SALES], *offers])


def _same_price(
    question: PriceQuestion, facts: Facts, answer: Answer[SuggestedPrice]
) -> Answer[SuggestedPrice]:
    """A remote price within the quarters that the facts give. Raises ValueError for any other."""
    own = _suggested(question, facts).value
    if own is None or answer.value is None or not own.low <= answer.value.price <= own.high:
        raise ValueError("a price that the facts don't give")
    return answer.model_copy(update={"value": own.model_copy(update={"price": answer.value.price})})


PRICE: Final = Task(
    name=PRICE_TASK,
    input=PriceQuestion,
    output=SuggestedPrice,
    built_in=_suggested,
    check=_same_price,
    sources=(OPEN_OFFERS, EXECUTED_SALES),
)


def _own(partner_id: UUID | None) -> set[UUID]:
    """The partner and those linked to it by a blocking link."""
    if partner_id is None:
        return set()
    linked = PartyLink.objects.blocking().of(partner_id).values_list("low_id", "high_id")
    return {partner_id, *(side for both in linked for side in both)}


def _fits(question: PriceQuestion) -> dict[str, Any]:
    asked = {"variety_id": question.variety_id, "crop_year": question.crop_year}
    return {
        "commodity_id": question.commodity_id,
        "currency": question.currency,
        **{name: value for name, value in asked.items() if value is not None},
    }


def _group(offer: Availability) -> str:
    return "DELIVERED" if offer.price_basis in DELIVERED else "EX"


def _age(moment: Any) -> int:
    return int((clock.today() - moment.astimezone(clock.KOLKATA).date()).days)


def _open_offer(row: Any) -> OpenOffer:
    numbers = [value for value in row.governing if value.value_number is not None]
    return OpenOffer(
        availability_id=row.pk,
        seller_partner_id=row.seller_partner_id,
        commodity_id=row.commodity_id,
        variety_id=row.variety_id,
        crop_year=row.crop_year,
        unit=row.unit,
        open_quantity=row.available_quantity,
        open_kg=row.weight_of(row.available_quantity),
        min_order_quantity=row.min_order_quantity,
        allow_partial=row.allow_partial,
        quality={(value.parameter.code, value.method): value.value_number for value in numbers},
        price_per_kg=None if row.price_per_kg is None else Fraction(row.price_per_kg),
        currency=row.currency,
        price_group=_group(row),
        country=row.country,
        state_code=row.state_code,
        latitude=row.latitude,
        longitude=row.longitude,
        available_from_date=row.available_from_date,
        available_until_date=row.available_until_date,
        listed_date=(row.listed_at or row.created_at).astimezone(clock.KOLKATA).date(),
        texts={value.parameter.code: value.value_text for value in row.governing if value.value_text},
    )
