"""Trades stored as rows, from terms and facts of the engine: for tests about money, whatever made the trade."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import uuid4

from apps.availability.models import Reservation
from apps.availability.tests.factories import per_candy, with_credit
from apps.commodities.models.parameters import QualityParameter
from apps.commodities.services import parameters
from apps.commodities.services import tax as rates
from apps.matching.models import Match, MatchRun
from apps.negotiations.tests.factories import BREAKDOWN
from apps.organization.services import series, years
from apps.partners.models import PartnerRole
from apps.trades import engine
from apps.trades.engine import terms as t
from apps.trades.models import (
    Approval,
    Delivery,
    DeliveryLine,
    Dispatch,
    DispatchLine,
    Governing,
    Lot,
    Party,
    QualityResult,
    QualityValue,
    TaxPosition,
    Terms,
    Trade,
    Weighment,
)
from apps.trades.services import judging, payments, tax_rules
from apps.trades.tests.cases import ARRIVED, KOVAI, MUMBADEVI, SAURASHTRA, SOMNATH, TERMS
from erp import clock
from erp.access import SYSTEM
from erp.models import unguarded_writes
from erp.services import unit_of_work

METHODS = {
    "rd": "HVI",
    "trash": "GRAVIMETRIC",
    "moisture": "OVEN",
    "staple_length": "UHML_HVI",
    "micronaire": "HVI",
}
NAMES = {
    SOMNATH: "Shree Somnath Ginning & Pressing",
    KOVAI: "Kovai Spinners Pvt Ltd",
    MUMBADEVI: "Mumbadevi Cotton Brokers LLP",
    SAURASHTRA: "Saurashtra Roadways",
}


def moment(day):
    return datetime.combine(day, time(6), UTC)


class Exchange:
    """An organization with its books open, the four firms of journey A, cotton, and the tax rows."""

    def __init__(self, world, *, opening="3200000.00", liable=True, goods=None):
        self.organization = world.organization()
        year = self._year(date(2025, 4, 1))
        for kind, prefix in (("trade", "TRD"), ("settlement_statement", "SET"), ("claim", "CLM")):
            series.add_document_series(
                self.organization,
                actor=SYSTEM,
                financial_year=year,
                document_type=kind,
                template=prefix + "-{FY}-{N:6}",
            )
        self._year(date(2026, 4, 1))  # with a copy of the series
        self.firms = {key: world.partner(name) for key, name in NAMES.items()}
        self.seller, self.buyer, self.broker, self.transporter = self.firms.values()
        for side in (self.seller, self.buyer):
            with_credit(side, 10**9)
        with unguarded_writes():
            PartnerRole(
                partner=self.transporter, role="service_provider", service_kind="transporter", live=True,
                usable_from=clock.today(),
            ).save()  # fmt: skip
        rates.load_tax_rates(actor=SYSTEM)
        tax_rules.load_tax_rules(actor=SYSTEM)
        self.goods = goods or world.commodity(hsn_code="5201")
        self._parameters()
        self.offer = world.offer(commodity=self.goods, seller=world.user("SELLER", of=self.seller))
        self.requirement = world.requirement(
            buyer=world.user("BUYER", of=self.buyer), goods=self.goods, live=False, bands=[]
        )
        with unguarded_writes():
            self.run = MatchRun(kind="ASKED", requirement=self.requirement, engine_version=1)
            self.run.save()
        self.position = self.open_position("TDS_GOODS", self.buyer, self.seller, opening, liable=liable)
        self.broker_position = self.open_position(
            "TDS_BROKERAGE", self.seller, self.broker, "0.00", liable=True
        )
        self.place = world.place()
        self.finance = world.user("INTERNAL_FINANCE")
        self.unit = per_candy()

    def _year(self, start):
        end = start.replace(year=start.year + 1) - timedelta(1)
        return years.add_financial_year(self.organization, actor=SYSTEM, start_date=start, end_date=end)

    def _parameters(self):
        there = set(QualityParameter.objects.filter(commodity=self.goods).values_list("code", flat=True))
        for code, method in METHODS.items():
            if code not in there:
                parameters.create_parameter(
                    actor=SYSTEM, commodity=self.goods, code=code, name=code.title(), data_type="DECIMAL",
                    unit="%", precision=2, direction="HIGHER", methods=[method], possible_min=Decimal(0),
                    possible_max=Decimal(99),
                )  # fmt: skip
        self.parameters = {row.code: row for row in QualityParameter.objects.filter(commodity=self.goods)}

    def open_position(self, kind, deductor, deductee, opening, year="2025-26", **fields):
        with unguarded_writes():
            row = TaxPosition(
                kind=kind, deductor=deductor, deductee=deductee, financial_year=year, opening_amount=Decimal(opening),
                **fields,
            )  # fmt: skip
            row.save()
        return row

    # Terms and facts of the engine between these firms

    def named(self, value):
        """A record of the engine with the ids of these firms."""
        ids = {key: str(firm.pk) for key, firm in self.firms.items()}
        if isinstance(value, t.Terms):
            parties = tuple(replace(row, partner_id=ids[row.partner_id]) for row in value.parties)
            return replace(value, parties=parties, goods=replace(value.goods, commodity=self.goods.code))
        moved = tuple(replace(row, payer=ids[row.payer], payee=ids[row.payee]) for row in value.payments)
        known = tuple(
            replace(row, deductor=ids[row.deductor], deductee=ids[row.deductee]) for row in value.positions
        )
        return replace(value, payments=moved, positions=known)

    def trade(self, terms=TERMS, facts=ARRIVED, *, status="DELIVERED", approved_by=None):
        """A trade with these terms, and what happened to it: but for its payments, which services record."""
        terms = self.named(terms)
        body, contract_hash = t.freeze(terms)
        value = engine.version(1).value(terms)
        number, key = uuid4().hex[:12].upper(), uuid4()
        with unguarded_writes():
            match = Match(
                requirement=self.requirement, availability=self.offer, buyer_partner=self.buyer,
                seller_partner=self.seller, requirement_terms_version=1, availability_terms_version=1, engine_version=1,
                risk_status="PASS", unit="BALE", counted=True, proposed_quantity=100, proposed_kg=terms.weight_kg,
                need_quantity=1, need_kg=170, score=1, label="GOOD", breakdown=BREAKDOWN, inputs_digest="0" * 64,
                bucket="0" * 64, status="CONVERTED", trade_id=key, expires_at=clock.now(), run=self.run,
            )  # fmt: skip
            match.save()
            reservation = Reservation(
                availability=self.offer, holder_partner=self.buyer, trade_id=key, quantity=1, weight_kg=170,
                reserved_weight_kg=170, terms_version=1, status="IN_TRADE", match_id=match.pk,
            )  # fmt: skip
            reservation.save()
            trade = Trade(
                id=key, organization=self.organization, number=f"T-{number}", match=match, reservation=reservation,
                availability=self.offer, requirement=self.requirement, commodity=self.goods, seller=self.seller,
                buyer=self.buyer, status=status, trade_date=terms.trade_date, quantity=terms.count or terms.weight_kg,
                count=terms.count, count_unit=terms.count_unit, weight_kg=terms.weight_kg, weight_basis="ESTIMATED",
                price=getattr(terms.price, "price", None) or terms.price.provisional_price, currency=terms.currency,
                pricing_unit=self.unit, unit_definition_version=1, contract_value=value.contract_value,
                fx_rate=terms.fx_rate, base_value=value.base_value, contract_hash=contract_hash, approvals_required=1,
                acknowledge_until=clock.now(), approved_at=clock.now(),
            )  # fmt: skip
            trade.save()
            Terms(trade=trade, terms_version=1, schema_version=1, body=body, hash=contract_hash).save()
            for party in terms.parties:
                Party(
                    trade=trade, role=party.role, partner_id=party.partner_id, state_code=party.state_code,
                    tax_status=party.tax_status, has_pan=party.has_pan, share=party.share,
                ).save()  # fmt: skip
            if approved_by is not None:
                Approval(
                    trade=trade,
                    terms_version=1,
                    created_by=approved_by,
                    contract_hash=contract_hash,
                    request_id=uuid4(),
                ).save()
            self._happen(trade, terms, facts)
        with unit_of_work(SYSTEM):
            judging.created(SYSTEM, trade, terms, [])
            judging.executed(SYSTEM, trade)
        return trade

    def _happen(self, trade, terms, facts):
        lots = {}
        for lot in terms.lots:
            lots[lot.lot_no] = Lot(
                trade=trade, lot_no=lot.lot_no, count=lot.count, estimated_kg=lot.estimated_kg
            )
            lots[lot.lot_no].save()
        sent = {}
        for row in facts.dispatches:
            sent[row.id] = Dispatch(
                trade=trade, direction=row.direction, returns=sent.get(row.returns), vehicle_number="GJ03BT4321",
                dispatched_at=moment(row.dispatched_date), distance_km=1730, consignor=self.seller,
                from_location=self.place, to_location=self.place, invoice_number=row.invoice_number,
                invoice_date=row.invoice_date, consignment_value=1, eway_status="NOT_NEEDED",
            )  # fmt: skip
            sent[row.id].save()
            self._lines(DispatchLine, "dispatch", sent[row.id], row.lines, lots)
        for row in facts.deliveries:
            arrived = Delivery(
                trade=trade,
                dispatch=sent[row.dispatch],
                delivered_at=moment(row.delivered_date),
                final=row.final,
            )
            arrived.save()
            self._lines(DeliveryLine, "delivery", arrived, row.lines, lots)
        weighed = {}
        for row in facts.weighments:
            weighed[row.id] = Weighment(
                trade=trade, organization=self.organization, lot=lots[row.lot_no], dispatch=sent.get(row.dispatch),
                stage=row.stage, weighed_at=moment(row.weighed_date), gross_kg=row.gross_kg, tare_kg=row.tare_kg,
                net_kg=row.gross_kg - row.tare_kg, weighbridge="WB", slip_number=uuid4().hex,
                corrects=weighed.get(row.corrects),
            )  # fmt: skip
            weighed[row.id].save()
        for row in facts.quality:
            result = QualityResult(
                trade=trade, lot=lots[row.lot_no], source=row.source, sampled_at=moment(terms.trade_date),
                tested_at=moment(terms.trade_date), decision="PASS", award_price=row.award_price,
                award_allowance_percent=row.award_allowance_percent,
            )  # fmt: skip
            result.save()
            for each in row.results:
                QualityValue(
                    result=result,
                    parameter=self.parameters[each.parameter],
                    value=each.value,
                    method=each.method,
                ).save()
            Governing(trade=trade, lot=lots[row.lot_no], result=result).save()

    def _lines(self, model, name, whole, lines, lots):
        for line in lines:
            model(**{name: whole}, lot=lots[line.lot_no], count=line.count, weight_kg=line.weight_kg).save()

    def pay(self, trade, row, **fields):
        """Record a payment of the engine's facts as finance does."""
        firms = {**self.firms, **{str(firm.pk): firm for firm in self.firms.values()}}
        return payments.record_payment(
            trade,
            actor=self.finance,
            **{
                "kind": row.kind.value,
                "payer": firms[row.payer],
                "payee": firms[row.payee],
                "amount": row.amount,
                "currency": trade.currency,
                "paid_date": row.paid_date,
                "method": "NEFT",
                "reference": uuid4().hex,
                **fields,
            },
        )
