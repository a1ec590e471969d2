"""One successful request per endpoint of the trades module."""

from uuid import uuid4

from apps.trades.engine.facts import Facts
from apps.trades.models import (
    Acknowledgement,
    Amendment,
    Approval,
    Deadline,
    Delivery,
    Dispatch,
    Dispute,
    LedgerEntry,
    Lot,
    Party,
    Payment,
    QualityResult,
    Settlement,
    Terms,
    Trade,
    TradeDocument,
    Weighment,
)
from apps.trades.services import amendments, approval, disputes
from apps.trades.tests.cases import ADVANCE, ARRIVED, BALANCE, TERMS
from apps.trades.tests.deals import LAB, METHODS, Deals
from erp import clock
from erp.api.examples import SAMPLE_ID, Example, Sample
from erp.files import PDF
from erp.models import unguarded_writes
from erp.services import caused_by
from erp.uploads.models import StoredFile

NOTHING = Facts(as_of=TERMS.trade_date)
MOMENT = "2026-01-16T06:00:00Z"


def deals(world):
    """One world of trades for each test's bundle of factories."""
    if "made_deals" not in world.__dict__:
        world.__dict__["made_deals"] = Deals(world)
    return world.__dict__["made_deals"]


def created(world):
    return deals(world).created()


def acknowledged(world):
    return deals(world).acknowledged()


def endorsed(world):
    trade = acknowledged(world)
    return approval.approve(trade, actor=deals(world).managers[0])


def approved(world):
    return deals(world).trade(facts=NOTHING, status="APPROVED")


def running(world):
    trade = deals(world).trade(facts=NOTHING, status="IN_EXECUTION")
    deals(world).dispatched(trade)
    return Trade.objects.get(pk=trade.pk)


def paid(world):
    trade = deals(world).trade(facts=ARRIVED)
    for payment in (ADVANCE, BALANCE):
        deals(world).pay(trade, payment)
    return Trade.objects.get(pk=trade.pk)


def proposed(world):
    trade = created(world)
    change = [{"pointer": "/delivery/window_end", "value": str(clock.today().replace(year=2027))}]
    return amendments.propose_amendment(
        trade, actor=deals(world).sellers, changes=change, reason="More time is needed."
    )


def disputed(world):
    return disputes.create_dispute(
        approved(world), actor=deals(world).buyers, kind="OTHER", statement="A lorry came without its papers."
    )


def whole(world):
    """The trade whose parts are listed."""
    return Trade.objects.order_by("created_at").first() or approved(world)


def _add(model, **fields):
    def add(world, viewer):
        trade = whole(world)
        values = {name: value(world, trade) if callable(value) else value for name, value in fields.items()}
        with unguarded_writes():
            model(trade=trade, **values).save()

    return add


def lot(world, trade):
    return trade.lots.order_by("lot_no").first()


def version(world, trade):
    return Terms.objects.filter(trade=trade).count() + 1


def number(world, trade):
    return uuid4().hex[:10]


def count(model):
    return lambda world, trade: model.objects.filter(trade=trade).count() + 1


def consignment(world, trade):
    with unguarded_writes():
        row = Dispatch(
            trade=trade, dispatched_at=clock.now(), vehicle_number="GJ03BT4321", distance_km=1730,
            consignor=trade.seller, consignment_value=1, eway_status="NOT_NEEDED",
        )  # fmt: skip
        row.save()
    return row


def paper(world, trade):
    with unguarded_writes():
        row = StoredFile(
            purpose="trade.document", name="paper.pdf", media_type=PDF, size=1, sha256="0" * 64, used_by="trade",
            expires_at=clock.now(),
        )  # fmt: skip
        row.save()
    return row


SETTLED = dict.fromkeys(
    ("taxable", "tax", "round_off", "invoice_total", "tds", "claim", "carrying", "brokerage", "net_due"), 0
)
SETTLEMENT = _add(
    Settlement, organization=lambda world, trade: trade.organization, revision=count(Settlement), number=number,
    settled_date=TERMS.trade_date, engine_version=1, terms_version=1, facts={}, documents=[], obligations=[],
    position_moves=[], lines_hash="0" * 64, currency="INR", **SETTLED,
)  # fmt: skip


def next_day(world, trade):
    last = Deadline.objects.filter(trade=trade).count()
    return clock.today().replace(year=2030 + last)


def next_partner(world, trade):
    return world.partner()


def next_manager(world, trade):
    return world.user("INTERNAL_MANAGER")


WHOLES = {"/api/v1/trades/<uuid:pk>/": whole}
_STAFF = "INTERNAL_MANAGER"
LISTS = {
    "/api/v1/trades": (_STAFF, lambda world, viewer: approved(world)),
    "/api/v1/trades/<uuid:pk>/terms": (
        _STAFF, _add(Terms, terms_version=version, schema_version=1, body={}, hash="0" * 64),
    ),
    "/api/v1/trades/<uuid:pk>/parties": (
        _STAFF, _add(Party, role="CONTROLLER", partner=next_partner, state_code="24", tax_status="REGISTERED",
                     has_pan=True),
    ),
    "/api/v1/trades/<uuid:pk>/lots": (_STAFF, _add(Lot, lot_no=number, count=1, estimated_kg=170)),
    "/api/v1/trades/<uuid:pk>/acknowledgements": (
        _STAFF, _add(Acknowledgement, terms_version=count(Acknowledgement), role="SELLER", contract_hash="0" * 64),
    ),
    "/api/v1/trades/<uuid:pk>/approvals": (
        _STAFF, _add(Approval, terms_version=1, request_id=lambda world, trade: trade.pk, contract_hash="0" * 64,
                     created_by=next_manager),
    ),
    "/api/v1/trades/<uuid:pk>/quality-results": (
        _STAFF, _add(QualityResult, lot=lot, source="LAB", sampled_at=MOMENT, tested_at=MOMENT, decision="PASS"),
    ),
    "/api/v1/trades/<uuid:pk>/weighments": (
        _STAFF, _add(Weighment, lot=lot, organization=lambda world, trade: trade.organization, stage="CHECK",
                     weighed_at=MOMENT, gross_kg=2, tare_kg=1, net_kg=1, weighbridge="W", slip_number=number),
    ),
    "/api/v1/trades/<uuid:pk>/dispatches": (_STAFF, lambda world, viewer: consignment(world, whole(world))),
    "/api/v1/trades/<uuid:pk>/deliveries": (
        _STAFF, _add(Delivery, dispatch=consignment, delivered_at=MOMENT),
    ),
    "/api/v1/trades/<uuid:pk>/payments": (
        _STAFF, _add(Payment, organization=lambda world, trade: trade.organization, number=count(Payment),
                     kind="ADVANCE", payer=lambda world, trade: trade.buyer, payee=lambda world, trade: trade.seller,
                     amount=1, bank_amount=1, currency="INR", paid_date=TERMS.trade_date, method="NEFT",
                     reference=number),
    ),
    "/api/v1/trades/<uuid:pk>/amendments": (
        _STAFF, _add(Amendment, status="REJECTED", side="SELLER", changes=[], commercial=False, reason="Other days.",
                     base_terms_version=1, proposed_body={}, proposed_hash="0" * 64),
    ),
    "/api/v1/trades/<uuid:pk>/disputes": (
        _STAFF, _add(Dispute, kind="OTHER", side="BUYER", statement="A lorry came late."),
    ),
    "/api/v1/trades/<uuid:pk>/evidence": (
        _STAFF, _add(Dispute, kind="OTHER", side="BUYER", statement="A lorry came late.",
                     evidence_ids=lambda world, trade: [paper(world, trade).pk]),
    ),
    "/api/v1/trades/<uuid:pk>/deadlines": (_STAFF, _add(Deadline, kind="BALANCE", due_date=next_day)),
    "/api/v1/trades/<uuid:pk>/settlements": (_STAFF, SETTLEMENT),
    "/api/v1/trades/settlements": (_STAFF, SETTLEMENT),
    "/api/v1/trades/<uuid:pk>/ledger": (
        _STAFF, _add(LedgerEntry, kind="GOODS", debtor=lambda world, trade: trade.buyer,
                     creditor=lambda world, trade: trade.seller, amount=1, currency="INR"),
    ),
    "/api/v1/trades/<uuid:pk>/documents": (
        _STAFF, _add(TradeDocument, kind="CREDIT_NOTE", subject=number, subject_version=1, file=paper,
                     sha256="0" * 64, size=1),
    ),
    "/api/v1/trades/<uuid:pk>/history": (
        _STAFF, lambda world, viewer: add_history(world),
    ),
}  # fmt: skip


def add_history(world):
    with caused_by(str(uuid4())):
        disputes.create_dispute(
            whole(world),
            actor=deals(world).buyers,
            kind="OTHER",
            statement="A lorry came without its papers.",
        )


def seller(world, target):
    return deals(world).sellers


def buyer(world, target):
    return deals(world).buyers


def desk(world, target):
    return deals(world).desk


def finance(world, target):
    return deals(world).finance


def second_manager(world, target):
    return deals(world).managers[1]


def director(world, target):
    return deals(world).director


def first_lot(world, target):
    return str(target.lots.get().pk)


def match(world, target):
    world.__dict__["made_match"] = deals(world).matched()
    return str(world.made_match.pk)


def place(world, target):
    return str(deals(world).place.pk)


def parameter(code):
    return lambda world, target: str(deals(world).parameters[code].pk)


def hash_of(world, target):
    return target.contract_hash


def partner_of(name):
    return lambda world, target: str(getattr(target, f"{name}_id"))


def nested(value):
    """A list or an object whose values depend on rows."""
    return Sample(_each(value, lambda leaf: getattr(leaf, "shown", SAMPLE_ID)),
                  lambda world, target: _each(value, lambda leaf: leaf(world, target)))  # fmt: skip


def _each(value, step):
    if isinstance(value, dict):
        return {name: _each(part, step) for name, part in value.items()}
    if isinstance(value, list):
        return [_each(part, step) for part in value]
    return step(value) if callable(value) else value


HASH = Sample("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", hash_of)
WINDOW = Sample("2026-01-22", lambda world, target: str(clock.today().replace(month=12, day=31)))
TODAY = Sample("2026-01-12", lambda world, target: str(clock.today()))
NOW = Sample("2026-01-16T06:00:00Z", lambda world, target: clock.now().isoformat())
EXAMPLES = {
    "create": Example(
        desk,
        {
            "match_id": match,
            "reservation_id": lambda world, target: str(world.made_match.reservation_id),
            "delivery": nested(
                {
                    "from_location_id": place,
                    "to_location_id": place,
                    "window_start": TODAY,
                    "window_end": WINDOW,
                }
            ),
            "weight": {"tolerance_percent": "5"},
            "brokerage": [{"side": "SELLER", "basis": "PERCENT", "rate": "0.25"}],
            "parties": nested(
                [{"role": "BROKER_SELLER", "partner_id": lambda world, target: str(deals(world).broker.pk)}]
            ),
        },
    ),
    "acknowledge": Example(seller, {"contract_hash": HASH}, created),
    "approve": Example(second_manager, {"comment": "Within the limits."}, endorsed),
    "cancel": Example(
        director,
        {"reason_code": "MUTUAL", "reason": "Both sides agreed to end it.", "stock": "RETURN"},
        lambda world: deals(world).approved(),
    ),
    "settle": Example(finance, {"settled_date": "2026-02-23"}, paid),
    "preview_settlement": Example(buyer, {"as_of_date": "2026-01-16"}, lambda world: deals(world).trade()),
    "record_quality": Example(
        desk,
        {
            "lot_id": first_lot,
            "source": "LAB",
            "sampled_at": MOMENT,
            "tested_at": MOMENT,
            "sample_refs": ["SSG-27/1"],
            "values": nested(
                [
                    {"parameter_id": parameter(code), "value": value, "method": METHODS[code]}
                    for code, value in LAB.items()
                ]
            ),
            "governing": True,
        },
        approved,
    ),
    "record_weight": Example(
        desk,
        {
            "lot_id": first_lot,
            "stage": "ORIGIN",
            "weighed_at": MOMENT,
            "gross_kg": "17023.500",
            "tare_kg": "85.000",
            "count": 100,
            "weighbridge": "Gondal Dharam Kanta",
            "slip_number": "WB-0116-7",
        },
        approved,
    ),
    "dispatch": Example(
        desk,
        {
            "dispatched_at": NOW,
            "vehicle_number": "GJ03BT4321",
            "distance_km": 1730,
            "invoice_number": "SSG/25-26/0412",
            "invoice_date": TODAY,
            "lines": nested([{"lot_id": first_lot, "count": 100, "weight_kg": "16938.500"}]),
        },
        approved,
    ),
    "deliver": Example(
        buyer,
        {
            "dispatch_id": lambda world, target: str(target.dispatches.get().pk),
            "delivered_at": NOW,
            "lines": nested([{"lot_id": first_lot, "count": 100, "weight_kg": "16857.000"}]),
            "final": True,
        },
        running,
    ),
    "record_payment": Example(
        finance,
        {
            "kind": "ADVANCE",
            "payer_id": partner_of("buyer"),
            "payee_id": partner_of("seller"),
            "amount": "383625.78",
            "currency": "INR",
            "paid_date": "2026-01-14",
            "method": "NEFT",
            "reference": "ZZZBN26014000001",
        },
        approved,
    ),
    "propose_amendment": Example(
        seller,
        {
            "changes": [{"pointer": "/delivery/window_end", "value": "2099-01-31"}],
            "reason": "The gin was closed for a week.",
        },
        approved,
    ),
    "accept_amendment": Example(buyer, {}, proposed),
    "reject_amendment": Example(buyer, {"reason": "The mill needs the bales now."}, proposed),
    "create_dispute": Example(
        buyer,
        {
            "kind": "DELAY",
            "claimed_amount": "5000.00",
            "statement": "The lorry came four days after the window.",
        },
        approved,
    ),
    "resolve_dispute": Example(
        director, {"outcome": "REJECTED", "reason": "The papers were in the lorry."}, disputed
    ),
}
