"""Deals, facts of trades, screening lists and rates for tests of risk and of the modules above."""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from django.db import transaction

from apps.availability.models import Availability
from apps.availability.tests import factories as offers
from apps.commodities.models.tax import TaxRate
from apps.partners.models import Partner
from apps.requirement.models import Requirement
from apps.requirement.tests.factories import cotton
from apps.risk.models import RiskAssessment, RiskPolicy, ScreeningList, TradeFact
from apps.risk.policy import PolicyBody
from apps.risk.services import assessing, screening
from erp import clock
from erp.access import SYSTEM
from erp.models import unguarded_writes

PER_BALE = Decimal(170)


class Deal(NamedTuple):
    """A live offer and requirement, and who owns them."""

    offer: Availability
    requirement: Requirement
    buyer: Partner
    seller: Partner

    def judge(self, bales: int = 10, **more: Any) -> RiskAssessment:
        """Judge a trade of so many bales at the offer's price, as a module above does in its transaction."""
        values: dict[str, Any] = {
            "requirement": Requirement.objects.select_related("buyer_partner").get(pk=self.requirement.pk),
            "availability": Availability.objects.with_row().get(pk=self.offer.pk),
            "quantity_kg": PER_BALE * bales,
            "price": self.offer.unit_price,
            "pricing_unit": self.offer.pricing_unit,
            "currency": self.offer.currency,
            **more,
        }
        with transaction.atomic():
            row: RiskAssessment = assessing.judge(actor=SYSTEM, **values)
        return row


def gst(percent: int = 5, hsn: str = "5201") -> None:
    """A GST rate of the goods."""
    if not TaxRate.objects.filter(hsn=hsn).exists():
        with unguarded_writes():
            TaxRate(
                hsn=hsn, rate_percent=Decimal(percent), condition="ANY", valid_from=date(2020, 1, 1),
                status="PUBLISHED", source="Notification",
            ).save()  # fmt: skip


def deal(
    user: Callable[..., Any], partner: Callable[..., Any], offer: Callable[..., Any],
    requirement: Callable[..., Any], commodity: Callable[..., Any], *, limit: Decimal, advance: int,
    buyer: Partner | None = None, seller: Partner | None = None, bales: int = 1_000,
) -> Deal:  # fmt: skip
    """An offer of bales at 53,500 rupees per candy, and a requirement of 100 bales for the same goods."""
    gst()
    goods = cotton(commodity)
    seller = seller or partner(roles=("seller",))
    buyer = buyer or partner(roles=("buyer",))
    if limit:
        offers.with_credit(buyer, int(limit))
    made = offer(seller=user("SELLER", of=seller), quantity=bales, commodity=goods, advance=advance)
    wanted = requirement(buyer=user("BUYER", of=buyer), goods=goods)
    return Deal(made, wanted, buyer, seller)


def fact(buyer: Partner, seller: Partner, commodity: Any, **fields: Any) -> TradeFact:
    """An executed trade of 1,000 kg at 150 rupees, today."""
    values: dict[str, Any] = {
        "trade_id": uuid4(), "buyer": buyer, "seller": seller, "commodity": commodity, "bucket": None,
        "quantity_kg": Decimal(1_000), "price": Decimal(150), "trade_date": clock.today(), "stage": "EXECUTED",
        "executed_at": clock.now(), **fields,
    }  # fmt: skip
    with unguarded_writes():
        row = TradeFact(**values)
        row.save()
    return row


def settled(buyer: Partner, seller: Partner, commodity: Any, **fields: Any) -> TradeFact:
    """A settled trade that both sides performed well, unless told otherwise."""
    good: dict[str, Any] = {
        "settled_date": clock.today(), "due_amount": Decimal(100_000), "paid_in_time_amount": Decimal(100_000),
        "due_kg": Decimal(1_000), "in_window_kg": Decimal(1_000), "lots": 1, "lots_passed": 1,
    }  # fmt: skip
    return fact(buyer, seller, commodity, **{**good, **fields})


def policy(**changes: Any) -> RiskPolicy:
    """An active default policy with other figures."""
    with unguarded_writes():
        RiskPolicy.objects.filter(commodity=None, status="ACTIVE").update(status="RETIRED")
        last = RiskPolicy.objects.filter(commodity=None).count()
        row = RiskPolicy(
            policy_version=last + 1, body=PolicyBody(**changes).stored(), status="ACTIVE",
            activated_at=clock.now(), reason="Figures of a test.",
        )  # fmt: skip
        row.save()
    return row


def sanctions(*rows: tuple[str, ...], code: str = "UN", days_old: int = 0) -> ScreeningList:
    """An active list with entries: reference, kind, names, country, identifiers."""
    lines = [
        "reference,kind,names,country,identifiers",
        *(",".join([*row, *[""] * (5 - len(row))]) for row in rows),
    ]
    snapshot: ScreeningList = screening.load_list(
        actor=SYSTEM, code=code, source="Test", snapshot_date=clock.today() - timedelta(days=days_old),
        content="\n".join(lines).encode(),
    )  # fmt: skip
    return snapshot


def ids(*rows: Any) -> list[UUID]:
    """Keys of rows, sorted."""
    return sorted(row.pk for row in rows)
