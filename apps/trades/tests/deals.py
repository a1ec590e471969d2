"""Agreed matches with stock reserved for them, and the trades that services make of them."""

from datetime import date, timedelta
from decimal import Decimal
from uuid import uuid4

from apps.availability.services import stock
from apps.availability.tests.factories import terms as offer_terms
from apps.commodities.models.schedules import QualitySchedule, ScheduleLine
from apps.commodities.models.terms import PassingTerms, PaymentTerms, WeighmentTerms
from apps.matching.models import Match
from apps.negotiations.models import Negotiation, Offer
from apps.negotiations.tests.factories import BREAKDOWN
from apps.requirement.models import Requirement
from apps.requirement.tests.factories import band
from apps.trades.models import Trade
from apps.trades.services import approval, creation, execution, quality
from apps.trades.tests.cases import DEMO_29
from apps.trades.tests.stored import METHODS, Exchange
from erp import clock
from erp.access import SYSTEM
from erp.files import PDF, Upload
from erp.models import unguarded_writes
from erp.services import unit_of_work
from erp.uploads import services as uploads

D = Decimal
SLABS = [
    {"days": 15, "annual_percent": "15"},
    {"days": 15, "annual_percent": "18"},
    {"days": None, "annual_percent": "24"},
]
LAB = {"rd": "75.1", "trash": "3.8", "moisture": "8.9", "staple_length": "29.2", "micronaire": "3.9"}


def _row(model, code, **fields):
    with unguarded_writes():
        row, _ = model.objects.get_or_create(
            code=code, defaults={"name": code.title(), "name_key": code.lower(), **fields}
        )
    return row


def journey_terms():
    """The terms of journey A: passing by a laboratory, weight at the origin with a franchise, 15 % in advance."""
    return {
        "delivery_term": offer_terms()["delivery_term"],
        "payment_term": _row(
            PaymentTerms, "A15_B15", advance_percent=15, advance_days=2, balance_days=15, balance_from="INVOICE",
            day_kind="CALENDAR", instrument="TRANSFER", bank_charges_by="BUYER", carrying_slabs=SLABS,
        ),
        "passing_term": _row(
            PassingTerms, "LAB_PASS", place="LAB", basis="SPECIFICATION", final_source="LAB", claim_days=7
        ),
        "weighment_term": _row(
            WeighmentTerms, "ORIGIN_FRANCHISE", final="ORIGIN", weighbridge="INDEPENDENT", weight="NET",
            tare_method="ACTUAL", franchise_kind="DEDUCTIBLE", franchise_percent=D("0.25"), claim_days=3,
        ),
    }  # fmt: skip


def demo_29(goods, parameters):
    """The schedule of journey A, published."""
    rules = DEMO_29.rules
    with unguarded_writes():
        row, new = QualitySchedule.objects.get_or_create(
            code="DEMO-29", schedule_version=3,
            defaults={"commodity": goods, "contract_form": "DEMO", "title": "Demonstration", "mode": rules.mode.value,
                      "valid_from": date(2020, 1, 1), "source": "practice", "status": "DRAFT"},
        )  # fmt: skip
        if not new:
            return row
        for line in rules.lines:
            bands = [
                {"from": None if b.start is None else str(b.start), "to": None if b.end is None else str(b.end),
                 "effect": str(b.effect)} for b in line.bands
            ]  # fmt: skip
            ScheduleLine(
                schedule=row, order=line.order, parameter=parameters[line.parameter], method=line.method,
                form=line.form.value, base_low=line.base_low, base_high=line.base_high, rate=line.rate,
                side=line.side.value if line.form.value in ("LINEAR", "WEIGHT") else None, bands=bands,
                reject_below=line.reject_below, reject_above=line.reject_above,
            ).save()  # fmt: skip
        QualitySchedule.objects.filter(pk=row.pk).update(status="PUBLISHED")
    return QualitySchedule.objects.get(pk=row.pk)


class Deals(Exchange):
    """The exchange with live listings of journey A, and people of both sides and of the house."""

    def __init__(self, world, **options):
        super().__init__(world, **options)
        self.world = world
        self.schedule = demo_29(self.goods, self.parameters)
        self.sellers = world.user("SELLER", of=self.seller)
        self.buyers = world.user("BUYER", of=self.buyer)
        self.desk = world.user("INTERNAL", organization_id=self.organization.pk)
        self.managers = [world.user("INTERNAL_MANAGER") for _ in range(3)]
        self.director = world.user("INTERNAL_DIRECTOR")

    def matched(self, quantity=100, price=53500, total=None, want=None, **fields):
        """An approved match with its reservation: of a new offer and a new requirement."""
        offer = self.world.offer(
            commodity=self.goods, seller=self.sellers, quantity=total or quantity,
            unit_price=D(price),
            **{"lots": [{"lot_no": "SSG-27", "bales": total or quantity}], "quality_schedule": self.schedule,
               **journey_terms(), **fields},
        )  # fmt: skip
        wanted = self.world.requirement(
            buyer=self.buyers,
            goods=self.goods,
            bands=[band("trash", maximum=10)],
            max_quantity=D(total or quantity),
        )
        if want:
            with unguarded_writes():
                Requirement.objects.filter(pk=wanted.pk).update(**want)
            wanted = Requirement.objects.get(pk=wanted.pk)
        with unit_of_work(SYSTEM):
            held = stock.reserve(
                offer, actor=SYSTEM, quantity=D(quantity), holder_partner=self.buyer, requirement_id=wanted.pk,
                unit_price=D(price),
            )  # fmt: skip
        with unguarded_writes():
            match = Match(
                requirement=wanted, availability=offer, buyer_partner=self.buyer, seller_partner=self.seller,
                requirement_terms_version=wanted.terms_version, availability_terms_version=offer.terms_version,
                engine_version=1, risk_status="PASS", unit="BALE", counted=True, proposed_quantity=quantity,
                proposed_kg=D(170) * quantity, need_quantity=1, need_kg=170, score=1, label="excellent",
                breakdown=BREAKDOWN, inputs_digest="0" * 64, bucket="0" * 64, status="APPROVED",
                reservation_id=held.pk,
                expires_at=clock.now() + timedelta(days=1), run=self.run,
            )  # fmt: skip
            match.save()
        return match

    def negotiated(self, quantity=100, price=53000, match=None):
        """An accepted negotiation of a match, whose reservation is bound to it."""
        match = match or self.matched(quantity)
        until = clock.now() + timedelta(hours=20)
        with unguarded_writes():
            row = Negotiation(
                match=match, requirement=match.requirement, availability=match.availability, buyer_partner=self.buyer,
                seller_partner=self.seller, opened_by="BUYER", turn="SELLER", round=0, expires_at=until,
                hard_expires_at=until, pseudonym_key=1,
            )  # fmt: skip
            row.save()
        offer = match.availability
        with unit_of_work(SYSTEM):
            held = stock.bind(
                offer, actor=SYSTEM, reservation_id=match.reservation_id, negotiation_id=row.pk, unit_price=D(price),
                until=until,
            )  # fmt: skip
        with unguarded_writes():
            agreed = Offer(
                negotiation=row, round=1, opened_by="BUYER", side="BUYER", price=D(price), quantity=D(quantity),
                weight_kg=D(170) * quantity, window_from_date=clock.today(),
                window_until_date=clock.today() + timedelta(days=10), availability_terms_version=offer.terms_version,
                requirement_terms_version=match.requirement.terms_version, valid_until=until, status="ACCEPTED",
            )  # fmt: skip
            agreed.save()
            row.status, row.accepted_offer, row.accepted_at = "ACCEPTED", agreed, clock.now()
            row.closed_by = "SELLER"
            row.round, row.reservation_id = 1, held.pk
            row.save()
        return row

    def content(self, **fields):
        """What staff add to the terms of a match."""
        today = clock.today()
        return {
            "delivery": {
                "from_location": self.place, "to_location": self.place, "window_start": today,
                "window_end": today + timedelta(days=10),
            },
            "parties": [
                {"role": "BROKER_SELLER", "partner": self.broker},
                {"role": "TRANSPORTER", "partner": self.transporter},
            ],
            "brokerage": [{"side": "SELLER", "basis": "PERCENT", "rate": D("0.25")}],
            **fields,
        }  # fmt: skip

    def created(self, match=None, actor=None, **fields):
        """A trade of a match, as staff make it."""
        match = match or self.matched()
        held = match.availability.reservations.get(pk=match.reservation_id)
        options = {
            name: fields.pop(name) for name in ("quantity", "trade_date", "organization") if name in fields
        }
        return creation.create(
            actor=actor or self.desk, match=match, reservation=held, content=self.content(**fields), **options
        )

    def paper(self, user):
        """An upload of the user that can be evidence."""
        file = Upload("letter.pdf", PDF, b"%PDF-1.4 yes")
        return uploads.create(actor=user, file=file, purpose="trade.evidence")

    def acknowledged(self, trade=None):
        trade = trade or self.created()
        for user in (self.sellers, self.buyers):
            approval.acknowledge(trade, actor=user, contract_hash=trade.contract_hash)
        return Trade.objects.get(pk=trade.pk)

    def approved(self, trade=None):
        trade = self.acknowledged(trade)
        for manager in self.managers[: trade.approvals_required]:
            trade = approval.approve(trade, actor=manager)
        return Trade.objects.get(pk=trade.pk)

    # Execution

    def lot(self, trade):
        return trade.lots.get()

    def tested(self, trade, values=None, actor=None, **fields):
        now = clock.now()
        entries = [
            {"parameter_id": self.parameters[code].pk, "value": D(value), "method": METHODS[code]}
            for code, value in (values or LAB).items()
        ]
        return quality.record_quality(
            trade, actor=actor or self.desk,
            **{"lot_id": self.lot(trade).pk, "source": "LAB", "sampled_at": now, "tested_at": now, "values": entries,
               "governing": True, **fields},
        )  # fmt: skip

    def weighed(self, trade, gross="17023.500", tare="85.000", actor=None, **fields):
        return quality.record_weight(
            trade, actor=actor or self.desk,
            **{"lot_id": self.lot(trade).pk, "stage": "ORIGIN", "weighed_at": clock.now(), "gross_kg": D(gross),
               "tare_kg": D(tare), "weighbridge": "Gondal Dharam Kanta", "slip_number": uuid4().hex[:12], "count": 100,
               **fields},
        )  # fmt: skip

    def line(self, trade, count=100, kg=None):
        return {"lot_id": self.lot(trade).pk, "count": count, "weight_kg": D(kg) if kg else D(170) * count}

    def dispatched(self, trade, count=100, actor=None, **fields):
        return execution.dispatch(
            trade, actor=actor or self.desk,
            **{"dispatched_at": clock.now(), "distance_km": 1730, "lines": [self.line(trade, count)],
               "vehicle_number": "GJ03BT4321", "invoice_number": f"I/{uuid4().hex[:10]}",
               "invoice_date": clock.today(), **fields},
        )  # fmt: skip

    def delivered(self, trade, dispatch, count=100, actor=None, **fields):
        return execution.deliver(
            trade, actor=actor or self.desk,
            **{"dispatch": dispatch, "delivered_at": clock.now(), "lines": [self.line(trade, count)], **fields},
        )  # fmt: skip
