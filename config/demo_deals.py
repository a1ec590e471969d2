"""Trades of the demo's business: of each status, with an amendment and a dispute."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from apps.accounts.models import User
from apps.approvals import services as approvals
from apps.approvals.models import ApprovalRequest
from apps.commodities.models.commodities import Commodity
from apps.matching.models import Match
from apps.matching.services import deciding, runs
from apps.negotiations.models import Negotiation
from apps.partners.models import Partner
from apps.requirement.models import Requirement
from apps.requirement.services import requirements
from apps.trades.engine.v1.taxes import financial_year
from apps.trades.models import Amendment, Dispute, PositionOpening, Trade
from apps.trades.services import (
    amendments,
    approval,
    cancellation,
    creation,
    disputes,
    execution,
    payments,
    quality,
    settlement,
    tax_rules,
)
from erp import clock, ids
from erp.access import SYSTEM

BOOKS: Final = date(2025, 4, 1)  # since when the demo's books are kept


def open_position(kind: str, payer: str, payee: str, year: str, amount: str = "0.00") -> list[str]:
    """Enter what of a financial year was counted towards a threshold of TDS before, which a director approves."""
    names = {"deductor__legal_name": payer, "deductee__legal_name": payee}
    if PositionOpening.objects.filter(kind=kind, financial_year=year, **names).exists():
        return []
    finance, director = (User.objects.get(email=f"{name}@demo.example") for name in ("finance", "director"))
    with ids.repeatable(f"demo position {kind} {payer} {payee} {year}"):
        opening = tax_rules.draft_position_opening(
            actor=finance,
            kind=kind,
            deductor=Partner.objects.get(legal_name=payer),
            deductee=Partner.objects.get(legal_name=payee),
            financial_year=year,
            opening_amount=Decimal(amount),
            liable=True,
            valid_from=BOOKS,
            source="Books before this system",
        )
        tax_rules.submit_position_opening(opening, actor=finance, reason="Balance of the books.")
        request = ApprovalRequest.objects.get(subject_id=opening.pk)
        approvals.approve(
            request, actor=director, subject_version=request.subject_version, note="Books seen."
        )
    return [f"TDS position of {payee} with {payer} in {year}"]


def trades(seed: int) -> Iterator[Any]:
    """A trade of each status: of a requirement of its own, matched with an offer on the market."""
    buyers = [_person(name) for name in ("buyer", "mill")]
    for number, status in enumerate(Trade.Status.values, 1):
        reference = f"DEMO-{seed}-T{number:02}"
        if Requirement.objects.filter(internal_reference=reference).exists():
            continue
        with _named(f"demand of trade {seed} {number}", number):
            match = _match(buyers[number % len(buyers)], reference)
        if match is None:
            continue
        with _named(f"trade {seed} {number}", number):
            yield _Deal(match, f"{seed}-{number:02}").reach(status)


def _person(name: str) -> User:
    user: User = User.objects.get(email=f"{name}@demo.example")
    return user


def _named(label: str, position: int) -> AbstractContextManager[None]:
    return ids.repeatable(f"demo {label}", position)


def _match(buyer: User, reference: str) -> Match | None:
    """The best match of a new requirement with an offer that nobody deals with yet, approved by both sides."""
    cotton, today = Commodity.objects.get(code="COTTON"), clock.today()
    want = requirements.create(
        actor=buyer,
        commodity=cotton,
        content={
            "max_quantity": Decimal(50),
            "kg_per_count": Decimal(170),
            "ceiling_price": Decimal(65_000),
            "pricing_unit": cotton.pricing_unit,
            "delivery_from_date": today,
            "delivery_until_date": today + timedelta(days=30),
            "bands": [{"parameter": "staple_length", "minimum": Decimal(26), "required": True}],
            "places": [
                {"latitude": Decimal("11.016844"), "longitude": Decimal("76.955833"), "state_code": "TN"}
            ],
            "internal_reference": reference,
        },
        publish=True,
    )
    found = runs.find_for_requirement(want, actor=SYSTEM, limit=50).matches
    dealt_with = (Negotiation.objects, Trade.objects)
    busy = {key for rows in dealt_with for key in rows.values_list("availability_id", flat=True)}
    match = next((row for row in found if row.availability_id not in busy), None)
    if match is not None:
        deciding.approve(match, actor=match.availability.created_by)
        match = deciding.approve(Match.objects.get(pk=match.pk), actor=buyer)
    return match


class _Deal:
    """A trade, and what its people do until it has a status."""

    def __init__(self, match: Match, name: str) -> None:
        self.match = match
        self.name = name
        self.buyer: Any = match.requirement.created_by
        self.seller: Any = match.availability.created_by
        self.desk = _person("masterdata")
        self.finance = _person("finance")

    def reach(self, status: str) -> Trade:
        """Take the steps up to the status."""
        trade = self._create()
        steps = {
            Trade.Status.PENDING_APPROVAL: self._acknowledge,
            Trade.Status.APPROVED: self._approve,
            Trade.Status.IN_EXECUTION: self._dispatch,
            Trade.Status.DELIVERED: self._deliver,
            Trade.Status.SETTLED: self._settle,
        }
        if status == Trade.Status.CANCELLED:
            cancelled: Trade = cancellation.cancel(
                trade, actor=_person("director"), reason_code="MUTUAL",
                reason="The mill stopped a line, and the ginner agreed to keep the bales.",
            )  # fmt: skip
            return cancelled
        for reached, step in steps.items():
            if trade.status == status:
                break
            step(trade)
            trade = Trade.objects.get(pk=trade.pk)
            assert trade.status == reached, f"{trade.number} is {trade.status}, not {reached}"
        if status == Trade.Status.APPROVED:
            self._amend(trade)
        elif status == Trade.Status.DELIVERED:
            self._dispute(trade)
        reached_status: Trade = Trade.objects.get(pk=trade.pk)
        return reached_status

    def _create(self) -> Trade:
        today = clock.today()
        made: Trade = creation.create(
            actor=self.desk,
            match=self.match,
            reservation=self.match.availability.reservations.get(match_id=self.match.pk),
            content={
                "delivery": {"window_start": today, "window_end": today + timedelta(days=10)},
                "parties": [
                    {"role": "TRANSPORTER", "partner": Partner.objects.get(legal_name="Saurashtra Roadways")}
                ],
            },
        )
        return made

    def _acknowledge(self, trade: Trade) -> None:
        for person in (self.seller, self.buyer):
            approval.acknowledge(trade, actor=person, contract_hash=trade.contract_hash)

    def _approve(self, trade: Trade) -> None:
        for name in ("manager", "approver")[: trade.approvals_required]:
            approval.approve(trade, actor=_person(name), comment="Within the limits of both sides.")

    def _pay(self, trade: Trade, kind: str, amount: Decimal) -> None:
        payments.record_payment(
            trade, actor=self.finance, kind=kind, payer=trade.buyer, payee=trade.seller, amount=amount, currency="INR",
            paid_date=clock.today(), method="NEFT", reference=f"DEMO{self.name}{kind}",
        )  # fmt: skip

    def _dispatch(self, trade: Trade) -> None:
        """Advance, test, weight, and the lorry."""
        now, lot = clock.now(), trade.lots.get()
        year = financial_year(clock.today())
        open_position("TDS_GOODS", trade.buyer.legal_name, trade.seller.legal_name, year)
        self._pay(trade, "ADVANCE", trade.contract_value)
        known = {row.code: row.pk for row in trade.commodity.quality_parameters.all()}
        quality.record_quality(
            trade, actor=self.desk, lot_id=lot.pk, source="SELLER", sampled_at=now, tested_at=now, governing=True,
            values=[
                {"parameter_id": known[code], "value": Decimal(value)}
                for code, value in (("staple_length", "29.1"), ("micronaire", "4.0"), ("trash", "3.4"))
            ],
        )  # fmt: skip
        quality.record_weight(
            trade, actor=self.desk, lot_id=lot.pk, stage="ORIGIN", weighed_at=now, gross_kg=lot.estimated_kg - 12,
            tare_kg=Decimal(0), count=lot.count, weighbridge="At the gin", slip_number=f"OR-{self.name}",
        )  # fmt: skip
        execution.dispatch(
            trade, actor=self.desk, dispatched_at=now, distance_km=1730, lines=self._goods(trade),
            vehicle_number="GJ03BT4321", invoice_number=f"DEMO/{self.name}", invoice_date=clock.today(),
        )  # fmt: skip

    def _goods(self, trade: Trade) -> list[dict[str, Any]]:
        lot = trade.lots.get()
        return [{"lot_id": lot.pk, "count": lot.count, "weight_kg": lot.estimated_kg}]

    def _deliver(self, trade: Trade) -> None:
        execution.deliver(
            trade, actor=self.buyer, dispatch=trade.dispatches.get(), delivered_at=clock.now(),
            lines=self._goods(trade), final=True,
        )  # fmt: skip

    def _settle(self, trade: Trade) -> None:
        done = settlement.preview(trade).settlement
        rest = sum((owed.open for owed in done.obligations if owed.debtor == str(trade.buyer_id)), Decimal(0))
        if rest:
            self._pay(trade, "BALANCE", rest)
        settlement.settle(Trade.objects.get(pk=trade.pk), actor=self.finance)

    def _amend(self, trade: Trade) -> Amendment:
        """The buyer asks for more time, and the seller agrees."""
        asked = amendments.propose_amendment(
            trade, actor=self.buyer, reason="The mill's godown is full until then.",
            changes=[
                {"pointer": "/delivery/window_end", "value": (clock.today() + timedelta(days=17)).isoformat()}
            ],
        )  # fmt: skip
        accepted: Amendment = amendments.accept_amendment(asked, actor=self.seller)
        return accepted

    def _dispute(self, trade: Trade) -> Dispute:
        """The buyer finds more trash than it was sold."""
        raised: Dispute = disputes.create_dispute(
            trade, actor=self.buyer, kind="QUALITY", lot_id=trade.lots.get().pk, claimed_amount=Decimal("18500.00"),
            statement="Six of ten bales opened have more trash than the seller's test shows.",
        )  # fmt: skip
        return raised
