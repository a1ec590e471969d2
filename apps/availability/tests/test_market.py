"""What the market tells AI tasks: offers that the asking partner may be matched with, sales, and a price."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import uuid4

import pytest
from django.utils import timezone

from apps.availability.models import Availability, Reservation
from apps.availability.services import market, stock
from apps.availability.tests import factories
from apps.commodities.market import PriceQuestion
from apps.commodities.models.pricing import PricingUnit
from apps.commodities.models.units import Unit
from apps.partners.models import Partner
from apps.requirement.models import Requirement
from apps.requirement.services import suggestions
from apps.requirement.tests.factories import cotton
from erp.ai import asking
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db


@pytest.fixture
def goods(commodity):
    return cotton(commodity)


def question(goods, **fields):
    values = {"commodity_id": goods.pk, "category": "FIBRE", "pricing_unit": "INR/CANDY", "kg": "17781/50"}
    return PriceQuestion(**values | {"tick": Decimal(50)} | fields)


def quality(**values):
    return [{"parameter": name, "value": value} for name, value in values.items()]


def test_only_live_offers_open_to_the_partner_and_not_its_own_are_facts(offer, goods, user):
    buyer, seller = user("BUYER"), user("SELLER")
    shown = [offer(commodity=goods, seller=seller), offer(commodity=goods, visibility="MATCHED_ONLY")]
    invited = offer(
        commodity=goods, visibility="RESTRICTED", invited_partners=[Partner.objects.get(pk=buyer.partner_id)]
    )
    offer(
        commodity=goods, visibility="RESTRICTED", invited_partners=[Partner.objects.get(pk=seller.partner_id)]
    )
    offer(commodity=goods, visibility="INTERNAL")
    offer(commodity=goods, live=False)
    offer()
    asked = question(goods)

    def found(partner_id):
        return {row.availability_id for row in market.open_offers(asked, partner_id)}

    assert found(buyer.partner_id) == {row.pk for row in [*shown, invited]}
    assert shown[0].pk not in found(seller.partner_id)
    with unguarded_writes():
        Availability.objects.filter(pk=shown[0].pk).update(expires_at=timezone.now() - timedelta(minutes=1))
    assert shown[0].pk not in found(buyer.partner_id)


def test_an_offer_is_told_with_its_governing_quality_weight_and_price(offer, goods):
    live = offer(
        commodity=goods, quality=quality(staple_length="29.2", micronaire="3.9", colour_grade="31-3")
    )
    (row,) = market.open_offers(question(goods), None)
    assert row.quality == {("staple_length", "UHML"): Decimal("29.2"), ("micronaire", "HVI"): Decimal("3.9")}
    assert (row.texts, row.state_code) == ({"colour_grade": "31-3"}, "24")
    assert (row.open_quantity, row.open_kg) == (100, 17_000)
    assert row.price_per_kg == Fraction(live.price_per_kg) == Fraction("150.44148248")


def test_a_price_follows_from_offers_and_sales_but_never_from_ones_own(offer, goods, user):
    buyer, sellers = user("BUYER"), [user("SELLER") for _ in range(4)]
    rows = [offer(commodity=goods, seller=seller, unit_price=Decimal(53_000)) for seller in sellers]
    assert asking.ask(market.PRICE, question(goods), actor=buyer).reasons[0].code == "too_few"
    held = stock.reserve(rows[0], actor=buyer, quantity=Decimal(80))
    with unguarded_writes():
        Reservation.objects.filter(pk=held.pk).update(
            status="SOLD", trade_id=uuid4(), agreed_price=Decimal(52_000), sold_at=timezone.now()
        )
    other = user("BUYER")
    found = asking.ask(market.PRICE, question(goods), actor=other)
    assert (found.value.low, found.value.price, found.value.high) == (52_000, 53_000, 53_000)
    assert found.evidence == {"observations": "5", "partners": "4"}
    assert (
        asking.ask(market.PRICE, question(goods), actor=buyer).value is None
    )  # its own purchase doesn't count
    assert asking.ask(market.PRICE, question(goods), actor=sellers[0]).value is None
    assert asking.ask(market.PRICE, question(goods, price_group="DELIVERED"), actor=other).value is None
    with unguarded_writes():
        Reservation.objects.filter(pk=held.pk).update(sold_at=timezone.now() - timedelta(days=31))
    assert asking.ask(market.PRICE, question(goods), actor=other).value is None


def test_sellers_and_staff_ask_for_a_price_over_http(offer, goods, user, client_for):
    """No value below five observations and three partners; never from one's own offers; buyers don't ask."""
    sellers = [user("SELLER") for _ in range(5)]
    for seller, price in zip(sellers, (52_000, 53_000, 53_400, 54_000, 55_000), strict=True):
        offer(commodity=goods, seller=seller, unit_price=Decimal(price))
    candy = factories.per_candy()
    asked = {"commodity_id": str(goods.pk), "pricing_unit_id": str(candy.pk), "price_basis": "EX_GIN"}
    path = "/api/v1/availabilities/price-suggestion"
    staff = client_for(user("INTERNAL"))
    found = staff.read(path, asked).json()
    assert (found["value"]["price"], found["is_suggestion"], found["provider"]) == (
        "53400.000000",
        True,
        "builtin",
    )
    assert (found["evidence"]["observations"], found["evidence"]["partners"]) == ("5", "5")
    assert client_for(user("SELLER")).read(path, asked).json()["value"] == found["value"]
    assert client_for(sellers[0]).read(path, asked).json()["value"] is None
    assert staff.read(path, {**asked, "price_basis": "FOR_MILL"}).json()["reasons"][0]["code"] == "too_few"
    assert client_for(user("BUYER")).read(path, asked).status_code == 403
    for wrong in (
        {"price_basis": "NOWHERE"},
        {"commodity_id": str(uuid4())},
        {"crop_year": "2025-27"},
        {"x": "1"},
    ):
        assert staff.read(path, {**asked, **wrong}).status_code == 400, wrong
    with unguarded_writes():
        per_bale = PricingUnit.objects.create(
            code="INR/BALE",
            currency="INR",
            places=2,
            unit=Unit.objects.get_or_create(
                code="BALE", defaults={"dimension": "COUNT", "symbol": "bale", "name": "Bale"}
            )[0],
        )
    answer = staff.read(path, {**asked, "pricing_unit_id": str(per_bale.pk)})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "not_by_weight")


def test_a_requirement_is_flagged_and_relaxed_from_what_is_offered(offer, goods, requirement, user):
    rows = quality(staple_length="29.0", micronaire="4.6", trash="3.0")
    place = {
        "address": "Gondal", "country": "IN", "state_code": "GJ", "latitude": Decimal("21.96"),
        "longitude": Decimal("70.79"),
    }  # fmt: skip
    for _ in range(5):
        offer(commodity=goods, unit_price=Decimal(50_000), quality=rows, place=place)
    buyer = user("BUYER")
    row = requirement(buyer=buyer, goods=goods, max_quantity=Decimal(300))
    assert (row.reference_price, row.reference_count, row.price_flag) == (50_000, 5, None)
    assert requirement(goods=goods, ceiling_price=Decimal(65_001)).status == "PENDING_APPROVAL"
    found = suggestions.ai_adjust(Requirement.objects.get(pk=row.pk), actor=buyer).suggestion
    assert found.result["options"] == [
        {
            "moves": [{"bound": "micronaire:max", "old": "4.5", "new": "4.6"}],
            "cost": "2/3",
            "unlocked": "300",
            "offers": 5,
        }
    ]
