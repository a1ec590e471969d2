"""Journey A14 to A24 over HTTP: from an approved match to a settled trade, to the last paisa (trades §8.1)."""

import io
import json
from datetime import UTC, date, datetime

import pytest
from pypdf import PdfReader

from apps.availability.models import Reservation
from apps.commodities.models.schedules import QualitySchedule
from apps.commodities.services import reference_goods
from apps.partners.models import PartnerRole, TaxRegistration
from apps.trades import engine, ledgers, money_tasks
from apps.trades.engine import records
from apps.trades.models import Payment, Settlement, Trade
from apps.trades.tests.deals import Deals
from apps.trades.tests.stored import METHODS
from config.testing import signed_in_client
from erp.access import SYSTEM
from erp.models import unguarded_writes

TRADES = "/api/v1/trades"
STATES = {"somnath": "24", "kovai": "33", "mumbadevi": "27", "saurashtra": "24"}
DAY = "2026-02-23"


@pytest.fixture
def deals(world, state):
    made = Deals(world, goods=world.commodity(code="COTTON", hsn_code="5201"))
    for key, code in STATES.items():
        state(code)
        with unguarded_writes():
            TaxRegistration(
                partner=made.firms[key], state_code=code, form="REGULAR", registry_status="active", is_main=True,
                registration_date=date(2017, 7, 1),
            ).save()  # fmt: skip
    with unguarded_writes():
        PartnerRole.objects.filter(partner=made.transporter).update(usable_from=date(2025, 4, 1))
    reference_goods.load_schedules(actor=SYSTEM)
    made.destination = world.place(state="33")
    return made


class Steps:
    """The people of the journey, and what each sends: every write twice with one key."""

    def __init__(self, deals, client_for):
        self.deals = deals
        people = {
            "T1": deals.desk, "M1": deals.managers[0], "M2": deals.managers[1], "F1": deals.finance,
            "SO": deals.sellers, "KO": deals.buyers, "D1": deals.director,
        }  # fmt: skip
        self.clients = {name: client_for(person) for name, person in people.items()}
        self.path, self.number = TRADES, 0

    def send(self, who, path, body, **headers):
        self.number += 1
        key = f"journey-a-step-{self.number:04}"
        first = self.clients[who].write(self.path + path, body, key=key, **headers)
        if path.endswith("/preview"):  # a lookup stores nothing, its answer neither
            return first
        again = self.clients[who].write(self.path + path, body, key=key, **headers)
        if first.status_code < 300:
            assert (again.status_code, again.content) == (first.status_code, first.content)
            assert again["Idempotency-Replayed"] == "true"
        return first

    def done(self, who, path, body, status=200, **headers):
        answer = self.send(who, path, body, **headers)
        assert answer.status_code == status, answer.content
        return answer.json()

    def refused(self, who, path, body, status, code, **headers):
        answer = self.send(who, path, body, **headers)
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.content

    def version(self):
        return self.clients["T1"].read(self.path).json()["version"]


@pytest.fixture
def steps(deals, client_for):
    return Steps(deals, client_for)


def created(steps):
    """A14: the trade of the match, acknowledged by both sides."""
    deals = steps.deals
    match = deals.matched()
    body = {
        "organization_id": str(deals.organization.pk),
        "match_id": str(match.pk),
        "reservation_id": str(match.reservation_id),
        "trade_date": "2026-01-12",
        "schedule_id": str(QualitySchedule.objects.get(code="DEMO-29").pk),
        "quality": {"bales_per_sample": 20},
        "weight": {"tolerance_percent": "5"},
        "delivery": {
            "from_location_id": str(deals.place.pk), "to_location_id": str(deals.destination.pk),
            "window_start": "2026-01-12", "window_end": "2026-01-22",
        },
        "parties": [
            {"role": "BROKER_SELLER", "partner_id": str(deals.broker.pk)},
            {"role": "TRANSPORTER", "partner_id": str(deals.transporter.pk)},
        ],
        "brokerage": [{"side": "SELLER", "basis": "PERCENT", "rate": "0.25"}],
    }  # fmt: skip
    trade = steps.done("T1", "", body, 201)
    steps.refused("T1", "", body, 409, "trade.already_created")
    steps.path = f"{TRADES}/{trade['id']}"
    assert (trade["status"], trade["contract_value"], trade["approvals_required"]) == (
        "PENDING_ACKNOWLEDGEMENT", "2557505.20", 2,
    )  # fmt: skip
    agreed = {"contract_hash": trade["contract_hash"]}
    steps.refused("SO", "/acknowledge", {"contract_hash": "0" * 64}, 409, "trade.contract_changed")
    for side in ("SO", "KO"):
        steps.done(side, "/acknowledge", agreed)
    steps.refused("SO", "/acknowledge", agreed, 409, "trade.invalid_state")
    return Trade.objects.get(pk=trade["id"])


def approved(steps):
    """A15: two managers."""
    trade = created(steps)
    version = steps.version()
    once = steps.done("M1", "/approve", {}, if_match=version)
    assert once["status"] == "PENDING_APPROVAL"
    assert Reservation.objects.get(pk=trade.reservation_id).status != "SOLD"
    steps.refused("M1", "/approve", {}, 409, "trade.approver_repeated", if_match=steps.version())
    assert steps.send("T1", "/approve", {}, if_match=steps.version()).status_code == 403
    assert steps.done("M2", "/approve", {}, if_match=steps.version())["status"] == "APPROVED"
    assert Reservation.objects.get(pk=trade.reservation_id).status == "SOLD"
    with unguarded_writes():  # the journey is of January
        Trade.objects.filter(pk=trade.pk).update(approved_at=datetime(2026, 1, 13, 6, tzinfo=UTC))
    return Trade.objects.get(pk=trade.pk)


def payment(steps, kind, amount, day, reference):
    return {
        "kind": kind, "payer_id": str(steps.deals.buyer.pk), "payee_id": str(steps.deals.seller.pk),
        "amount": amount, "currency": "INR", "paid_date": day, "method": "NEFT", "reference": reference,
    }  # fmt: skip


def dispatched(steps):
    """A16 to A19: advance, quality, weight, dispatch."""
    trade = approved(steps)
    deals, lot = steps.deals, str(trade.lots.get().pk)
    advance = payment(steps, "ADVANCE", "383625.78", "2026-01-14", "ZZZBN26014000001")
    paid = steps.done("F1", "/payments", advance, 201)
    assert (paid["tds"], paid["bank_amount"]) == ("0.00", "383625.78")
    steps.refused("F1", "/payments", advance, 409, "trade.payment_reference_used")
    values = {"rd": "75.1", "trash": "3.8", "moisture": "8.9", "staple_length": "29.2", "micronaire": "3.9"}
    tests = {
        "lot_id": lot, "source": "LAB", "sampled_at": "2026-01-15T04:00:00Z", "tested_at": "2026-01-15T09:00:00Z",
        "sample_refs": ["1", "2", "3", "4", "5"], "governing": True,
        "values": [
            {"parameter_id": str(deals.parameters[code].pk), "value": value, "method": METHODS[code]}
            for code, value in values.items()
        ],
    }  # fmt: skip
    without = {**tests, "values": tests["values"][1:]}
    steps.refused("T1", "/quality-results", without, 422, "trade.governing_incomplete")
    assert steps.done("T1", "/quality-results", tests, 201)["decision"] == "PASS_WITH_ALLOWANCE"
    slip = {
        "lot_id": lot, "stage": "ORIGIN", "weighed_at": "2026-01-16T05:00:00Z", "gross_kg": "17023.500",
        "tare_kg": "85.000", "count": 100, "weighbridge": "Gondal", "slip_number": "WB-0116-7",
    }  # fmt: skip
    assert steps.done("T1", "/weighments", slip, 201)["net_kg"] == "16938.500"
    steps.refused("T1", "/weighments", slip, 409, "trade.slip_used")
    heavy = {**slip, "tare_kg": "17023.500", "slip_number": "WB-0116-8"}
    steps.refused("T1", "/weighments", heavy, 422, "trade.net_not_positive")
    goods = [{"lot_id": lot, "count": 100, "weight_kg": "17000.000"}]
    sent = steps.done(
        "T1", "/dispatches",
        {
            "dispatched_at": "2026-01-16T07:00:00Z", "vehicle_number": "GJ03BT4321", "distance_km": 1730,
            "invoice_number": "SSG/25-26/0412", "invoice_date": "2026-01-16", "lines": goods,
        },
        201,
    )  # fmt: skip
    return trade, lot, goods, sent["id"]


def test_journey_a14_to_a24(steps):
    """Every figure of the journey through HTTP; both sides see the same; the wrong variants never occur."""
    trade, lot, goods, dispatch = dispatched(steps)
    seen = [steps.done(who, "/settlement/preview", {"as_of_date": "2026-01-16"}) for who in ("KO", "SO")]
    for line in (line for each in seen for line in each["lines"] if line["document"].startswith("BROKERAGE")):
        line.pop("inputs")  # what the seller has counted with its broker in other trades
    assert seen[0] == seen[1]
    lines = {line["name"]: line for line in seen[0]["lines"] if line["document"][:7] in ("", "INVOICE")}
    assert {name: lines[name]["amount"] for name in ("accounted_kg", "unit_price", "taxable", "invoice_total")} == {
        "accounted_kg": "16870.746", "unit_price": "52269.500000", "taxable": "2479684.66",
        "invoice_total": "2603669.00",
    }  # fmt: skip
    assert lines["line_amount"]["exact"].startswith("2479684.6579129")
    assert (lines["tds"]["amount"], lines["balance_due"]["amount"]) == ("680", "2219363.22")
    assert (lines["balance_due"]["inputs"]["due_date"], lines["round_off"]["amount"]) == (
        "2026-01-31",
        "0.11",
    )
    broker = steps.deals.world.user("BROKER", of=steps.deals.broker)
    steps.clients["BR"] = signed_in_client(broker)
    steps.refused("BR", "/settlement/preview", {}, 403, "trade.not_a_side")
    assert steps.clients["BR"].read(f"{steps.path}/payments").json()["results"] == []
    assert not Settlement.objects.exists()

    arrived = {"dispatch_id": dispatch, "delivered_at": "2026-01-22T06:00:00Z", "lines": goods, "final": True}
    steps.done("KO", "/deliveries", arrived, 201)
    slip = {
        "lot_id": lot, "stage": "DESTINATION", "weighed_at": "2026-01-22T08:00:00Z", "gross_kg": "16942.000",
        "tare_kg": "85.000", "count": 100, "weighbridge": "Coimbatore", "slip_number": "CB-1", "dispatch_id": dispatch,
    }  # fmt: skip
    assert steps.done("T1", "/weighments", slip, 201)["net_kg"] == "16857.000"
    steps.refused("F1", "/settle", {"settled_date": DAY}, 409, "trade.balance_open", if_match=steps.version())
    steps.done(
        "F1", "/payments", payment(steps, "BALANCE", "2219363.22", "2026-02-20", "ZZZBR26052000000001"), 201
    )
    preview = steps.done("F1", "/settlement/preview", {"as_of_date": DAY})
    assert preview["blocking"] == []
    body = {"settled_date": DAY, "preview_hash": preview["preview_hash"]}
    assert steps.send("M1", "/settle", body, if_match=steps.version()).status_code == 403
    assert steps.done("F1", "/settle", body, if_match=steps.version())["status"] == "SETTLED"

    (row,) = steps.clients["SO"].read(f"{steps.path}/settlements").json()["results"]
    figures = (
        "taxable",
        "tax",
        "round_off",
        "invoice_total",
        "tds",
        "claim",
        "carrying",
        "brokerage",
        "net_due",
    )
    assert [row[name] for name in figures] == [
        "2479684.66", "123984.23", "0.11", "2603669.00", "680.00", "5754.91", "19153.41", "6199.21", "14068.00",
    ]  # fmt: skip
    whole = steps.clients["KO"].read(f"{TRADES}/settlements/{row['id']}").json()
    assert [line["amount"] for line in whole["lines"]] == [line["amount"] for line in preview["lines"]]
    assert [line["amount"] for line in whole["lines"] if line["name"] == "brokerage_tax"] == ["1115.86"]
    notes = [(each["total"], each["number"]) for each in whole["documents"] if "NOTE" in each["kind"]]
    assert [total for total, _ in notes] == ["6043.00", "20111.00"]
    text = json.dumps(whole)
    assert "2479665.08" not in text
    assert "2479662.25" not in text
    traces = [
        steps.clients[who].read(f"{TRADES}/settlements/{row['id']}/trace").content
        for who in ("SO", "F1", "KO")
    ]
    assert [engine.recompute(records.load(trace)).differences for trace in traces[:2]] == [[], []]
    with pytest.raises(engine.errors.FactsMissing, match="TDS_BROKERAGE"):  # the seller's with its broker
        engine.recompute(records.load(traces[2]))
    steps.done(
        "F1", "/payments", payment(steps, "CARRYING", "14068.00", "2026-02-25", "ZZZBR26056000000002"), 201
    )
    entries = steps.clients["KO"].read(f"{steps.path}/ledger?limit=100").json()["results"]
    assert net(entries, steps.deals) == 0

    money_tasks.draw_documents(str(trade.pk))
    papers = steps.clients["SO"].read(f"{steps.path}/documents").json()["results"]
    assert sorted(each["kind"] for each in papers) == [
        "CONTRACT_NOTE",
        "CREDIT_NOTE",
        "DEBIT_NOTE",
        "STATEMENT",
    ]
    (statement,) = [each for each in papers if each["kind"] == "STATEMENT"]
    file = steps.clients["KO"].read(f"{TRADES}/documents/{statement['id']}/content").content
    words = " ".join(" ".join(page.extract_text() for page in PdfReader(io.BytesIO(file)).pages).split())
    assert "Rupees Twenty-Six Lakh Three Thousand Six Hundred Sixty-Nine Only" in words
    assert steps.clients["BR"].read(f"{TRADES}/documents/{statement['id']}/content").status_code == 404
    assert Payment.objects.count() == 3
    checks = (
        ledgers.check_settlements,
        ledgers.check_payments,
        ledgers.check_positions,
        ledgers.check_documents,
    )
    assert [list(check()) for check in checks] == [[], [], [], []]


def net(entries, deals):
    """What the buyer owes the seller by the entries, in paise."""
    sides = {(str(deals.buyer.pk), str(deals.seller.pk)): 1, (str(deals.seller.pk), str(deals.buyer.pk)): -1}
    return sum(
        sides.get((row["debtor_id"], row["creditor_id"]), 0) * int(row["amount"].replace(".", ""))
        for row in entries
    )
