"""The deal of the demo: from a match to a settled trade, with the figures of the example in ``docs/settlement.md``.

The days are those of the example, moved so that the late balance is paid today: contract 39 days ago, invoice 35 days
ago. Goods leave only after the approval, which is given today, so dispatch, delivery and settlement are of today, too;
no amount depends on these days.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final

from rich.table import Table

from apps.trades import engine
from apps.trades.engine import records, report
from apps.trades.engine.v1.taxes import financial_year
from config.demo_client import VERSION_TRIES, Caller, DemoFailed, MatchGone, require_figure
from erp import clock, figures

METHODS: Final = {
    "rd": "HVI", "trash": "GRAVIMETRIC", "moisture": "OVEN", "staple_length": "UHML_HVI", "micronaire": "HVI",
}  # fmt: skip
TESTED: Final = {
    "rd": "75.1",
    "trash": "3.8",
    "moisture": "8.9",
    "staple_length": "29.2",
    "micronaire": "3.9",
}
PAPERS: Final = ["CONTRACT_NOTE", "CREDIT_NOTE", "DEBIT_NOTE", "STATEMENT"]
PAPER_SECONDS: Final = 60.0
INVOICED_DAYS: Final = 35  # before the balance is paid: 15 until it is due, 20 late
INVOICED: Final = {
    "accounted_kg": "16870.746", "unit_price": "52269.500000", "taxable": "2479684.66", "tax": "123984.23",
    "round_off": "0.11", "invoice_total": "2603669.00", "tds": "680", "balance_due": "2219363.22",
}  # fmt: skip
SETTLED: Final = {
    "taxable": "2479684.66", "tax": "123984.23", "round_off": "0.11", "invoice_total": "2603669.00", "tds": "680.00",
    "claim": "5754.91", "carrying": "19153.41", "brokerage": "6199.21", "net_due": "14068.00",
}  # fmt: skip


def partner_of(caller: Caller) -> str:
    """Id of the caller's own partner."""
    return str(caller.read("/auth/me")["partner_id"])


def paid_on(today: date) -> date:
    """The day on which the balance is paid: today, unless advance and invoice were of two financial years then."""
    invoiced = today - timedelta(days=INVOICED_DAYS)
    is_one_year = financial_year(invoiced) == financial_year(invoiced - timedelta(days=2))
    return today if is_one_year else today - timedelta(days=2)


@dataclass
class Deal:
    """The people of the deal by their short names, and what they have made so far."""

    people: dict[str, Caller]
    tags: dict[str, str]
    run: str
    path: str = ""
    settlement: str = ""
    names: dict[str, str] = field(default_factory=dict)

    def _day(self, number: int) -> str:
        """A day counted from that of the invoice."""
        today = paid_on(date.today())  # noqa: DTZ011 - the demo's day
        return (today + timedelta(days=number - INVOICED_DAYS)).isoformat()

    def give_credit(self, partner: str, amount: str) -> None:
        """Finance sets a credit limit; one above the band a second person approves."""
        body = {
            "amount": amount, "currency": "INR", "valid_from": _today(),
            "payment_terms_days": 15, "reason": "Turnover of the last year and three references.",
        }  # fmt: skip
        self.tags[partner] = "{partner}"
        limit = self.people["F1"].write("POST", f"/partners/{partner}/credit-limit", body)
        if request := limit["approval_id"]:
            self.tags[request] = "{request}"
            manager = self.people["M2"]
            seen = manager.read(f"/approvals/{request}")["subject_version"]
            body = {"subject_version": seen, "note": "References seen."}
            manager.write_current(f"/approvals/{request}", "approve", body)

    def play(self, requirement: str, offer: str, *, absent: str) -> None:
        """Match, trade, goods and money, up to the settled trade; ``absent``: an offer that must not be found."""
        match = self._match(requirement, offer, absent)
        self._contract(match, offer)
        self._approve()
        lot = self._goods()
        self._arrive(*lot)
        self._settle()

    def _match(self, requirement: str, offer: str, absent: str) -> dict[str, Any]:
        """The buyer finds the offer, and both sides approve; again where the facts of the match change meanwhile."""
        for _ in range(VERSION_TRIES):
            match = self._find(requirement, offer, absent)
            with suppress(MatchGone):
                return self._agree(match)
            time.sleep(1)
        raise DemoFailed("the match never rests")

    def _find(self, requirement: str, offer: str, absent: str) -> dict[str, Any]:
        """The match with the offer; asked again, and nothing has changed, it is the same one."""
        buyer, path = self.people["KO"], f"/matching/requirements/{requirement}/find-matches"
        seen: list[str] = []
        for _ in range(VERSION_TRIES):
            matches = {each["availability_id"]: each for each in buyer.write("POST", path, {})["matches"]}
            if absent in matches:
                raise DemoFailed(f"POST {path}: the offer {absent} of a suspended seller was found")
            found = [matches[offer]] if offer in matches else []
            if found and seen == [found[0]["id"]]:
                break
            seen = [each["id"] for each in found]
        else:
            raise DemoFailed(f"POST {path}: expected the offer in the same match twice, found {seen}")
        (match,) = found
        if match["seller_partner_id"] or not match["counterpart_ref"] or not match["breakdown"]:
            raise DemoFailed("The buyer must read a pseudonym and reasons.")
        self.tags[match["id"]] = "{match}"
        return dict(match)

    def _agree(self, match: dict[str, Any]) -> dict[str, Any]:
        """First the seller approves, then the buyer, for whom the stock is reserved."""
        seller, buyer, path = self.people["SO"], self.people["KO"], f"/matching/{match['id']}"
        if any(seller.read(path)[name] for name in ("requirement_id", "landed", "score")):
            raise DemoFailed("The seller must not read what the buyer wants.")
        seller.write_current(path, "approve", {})
        taken = {"quantity": {"value": "100", "unit": "BALE"}}
        agreed = buyer.write_current(path, "approve", taken)
        require_figure("status of the match", agreed["status"], "APPROVED")
        self.tags[agreed["reservation_id"]] = "{reservation}"
        return dict(agreed)

    def _contract(self, match: dict[str, Any], offer: str) -> None:
        """Staff make the contract, and both sides acknowledge it."""
        desk, sides = self.people["T1"], (self.people["SO"], self.people["KO"])
        self.names = {row["id"]: row["legal_name"] for row in desk.read("/partners?limit=100")["results"]}
        firms = {name: key for key, name in self.names.items()}
        (schedule,) = desk.read("/quality-schedules?code=DEMO-29")["results"]
        broker, carrier = firms["Mumbadevi Cotton Brokers LLP"], firms["Saurashtra Roadways"]
        body = {
            "match_id": match["id"], "reservation_id": match["reservation_id"], "trade_date": self._day(-4),
            "schedule_id": schedule["id"], "quality": {"bales_per_sample": 20}, "weight": {"tolerance_percent": "5"},
            "delivery": {"window_start": self._day(-4), "window_end": _today()},
            "parties": [
                {"role": "BROKER_SELLER", "partner_id": broker}, {"role": "TRANSPORTER", "partner_id": carrier},
            ],
            "brokerage": [{"side": "SELLER", "basis": "PERCENT", "rate": "0.25"}],
        }  # fmt: skip
        trade = desk.write("POST", "/trades", body)
        self.path = f"/trades/{trade['id']}"
        self.tags[trade["id"]] = "{trade}"
        desk.refused(409, "trade.already_created", "POST", "/trades", body)
        require_figure("status of the trade", trade["status"], "PENDING_ACKNOWLEDGEMENT")
        require_figure("contract value", trade["contract_value"], "2557505.20")
        require_figure("approvals needed", str(trade["approvals_required"]), "2")
        agreed, path = {"contract_hash": trade["contract_hash"]}, f"{self.path}/acknowledge"
        sides[0].refused(409, "trade.contract_changed", "POST", path, {"contract_hash": "0" * 64})
        for side in sides:
            side.write("POST", path, agreed)
        sides[0].refused(409, "trade.invalid_state", "POST", path, agreed)

    def _write(self, who: str, verb: str, body: Any, *, is_versioned: bool = False) -> Any:
        """A write to the trade."""
        caller = self.people[who]
        if is_versioned:
            return caller.write_current(self.path, verb, body)
        return caller.write("POST", f"{self.path}/{verb}", body)

    def _refused(self, who: str, verb: str, body: Any, status: int, code: str) -> None:
        caller = self.people[who]
        caller.refused(status, code, "POST", f"{self.path}/{verb}", body, If_Match=caller.etag(self.path))

    def _approve(self) -> None:
        """Two managers who had no part in the trade."""
        half = self._write("M1", "approve", {}, is_versioned=True)
        require_figure("status after one approval", half["status"], "PENDING_APPROVAL")
        self._refused("M1", "approve", {}, 409, "trade.approver_repeated")
        self._refused("T1", "approve", {}, 403, "capability.missing")
        whole = self._write("M2", "approve", {}, is_versioned=True)
        require_figure("status after two approvals", whole["status"], "APPROVED")
        self.tags |= {whole["buyer_id"]: "{buyer}", whole["seller_id"]: "{seller}"}

    def _pay(self, kind: str, amount: str, day: str, reference: str) -> dict[str, Any]:
        trade = self.people["F1"].read(self.path)
        return {
            "kind": kind, "payer_id": trade["buyer_id"], "payee_id": trade["seller_id"], "amount": amount,
            "currency": "INR", "paid_date": day, "method": "NEFT", "reference": reference,
        }  # fmt: skip

    def _goods(self) -> tuple[str, str]:
        """Advance, quality, weight, dispatch, and what a settlement would come to; return lot and dispatch."""
        advance = self._pay("ADVANCE", "383625.78", self._day(-2), "ZZZBN26014000001")
        require_figure("TDS on the advance", self._write("F1", "payments", advance)["tds"], "0.00")
        self._refused("F1", "payments", advance, 409, "trade.payment_reference_used")
        desk = self.people["T1"]
        (lot,) = desk.read(f"{self.path}/lots")["results"]
        commodity = desk.read(self.path)["commodity_id"]
        known = desk.read(f"/commodities/{commodity}/quality-parameters?limit=100")["results"]
        ids = {row["code"]: row["id"] for row in known}
        tests = {
            "lot_id": lot["id"], "source": "LAB", "sampled_at": f"{self._day(-1)}T04:00:00Z",
            "tested_at": f"{self._day(-1)}T09:00:00Z", "sample_refs": ["1", "2", "3", "4", "5"], "governing": True,
            "values": [
                {"parameter_id": ids[code], "value": value, "method": METHODS[code]} for code, value in TESTED.items()
            ],
        }  # fmt: skip
        without = {**tests, "values": tests["values"][1:]}
        self._refused("T1", "quality-results", without, 422, "trade.governing_incomplete")
        passed = self._write("T1", "quality-results", tests)["decision"]
        require_figure("decision on the quality", passed, "PASS_WITH_ALLOWANCE")
        slip = {
            "lot_id": lot["id"], "stage": "ORIGIN", "weighed_at": f"{self._day(0)}T05:00:00Z", "gross_kg": "17023.500",
            "tare_kg": "85.000", "count": 100, "weighbridge": "Gondal", "slip_number": "WB-0116-7",
        }  # fmt: skip
        require_figure("net weight", self._write("T1", "weighments", slip)["net_kg"], "16938.500")
        self._refused("T1", "weighments", slip, 409, "trade.slip_used")
        heavy = {**slip, "tare_kg": "17023.500", "slip_number": "WB-0116-8"}
        self._refused("T1", "weighments", heavy, 422, "trade.net_not_positive")
        year = financial_year(date.fromisoformat(self._day(0)))
        load = {
            "dispatched_at": _now(), "vehicle_number": "GJ03BT4321", "distance_km": 1730,
            "invoice_number": f"SSG/{year[2:]}/0412", "invoice_date": self._day(0),
            "lines": [{"lot_id": lot["id"], "count": 100, "weight_kg": "17000.000"}],
        }  # fmt: skip
        carrier = self.people["TR"]
        uninsured = {"number": "GJ03BT9999", "category": "truck", "owner_name": "Bharat Chauhan"}
        path = f"/partners/{partner_of(carrier)}/vehicles"
        carrier.write("POST", path, {**uninsured, "capacity_tonnes": "16.00"})
        without = {**load, "vehicle_number": uninsured["number"]}
        self._refused("T1", "dispatches", without, 409, "trade.vehicle_papers_expired")
        sent = self._write("T1", "dispatches", load)
        seen = [self._ask(who, self._day(0)) for who in ("KO", "SO")]
        if [_public(each) for each in seen[:1]] != [_public(each) for each in seen[1:]]:
            raise DemoFailed("The sides must read the same settlement.")
        lines = {line["name"]: line for line in seen[0]["lines"] if line["document"][:7] in ("", "INVOICE")}
        for name, right in INVOICED.items():
            require_figure(name, lines[name]["amount"], right)
        require_figure("due date", lines["balance_due"]["inputs"]["due_date"], self._day(15))
        return lot["id"], sent["id"]

    def _ask(self, who: str, day: str) -> Any:
        """A preview of the settlement of a day."""
        path = f"{self.path}/settlement/preview"
        return self.people[who].ask(path, {"as_of_date": day}, f"as of {day}, stores nothing")

    def _arrive(self, lot: str, dispatch: str) -> None:
        """The goods arrive, some of them short, and the balance is paid 20 days late."""
        goods = [{"lot_id": lot, "count": 100, "weight_kg": "17000.000"}]
        arrived = {"dispatch_id": dispatch, "delivered_at": _now(), "lines": goods, "final": True}
        self._write("KO", "deliveries", arrived)
        slip = {
            "lot_id": lot, "stage": "DESTINATION", "weighed_at": _now(), "gross_kg": "16942.000", "tare_kg": "85.000",
            "count": 100, "weighbridge": "Coimbatore", "slip_number": "CB-1", "dispatch_id": dispatch,
        }  # fmt: skip
        require_figure("net weight on arrival", self._write("T1", "weighments", slip)["net_kg"], "16857.000")
        self._refused("F1", "settle", {}, 409, "trade.balance_open")
        self._write(
            "F1",
            "payments",
            self._pay("BALANCE", "2219363.22", self._day(INVOICED_DAYS), "ZZZBR26052000000001"),
        )

    def _settle(self) -> None:
        """Finance settles what it has previewed, and what the buyer then owes is paid."""
        today = _today()
        body = {"settled_date": today, "preview_hash": self._ask("F1", today)["preview_hash"]}
        self._refused("M1", "settle", body, 403, "capability.missing")
        done = self._write("F1", "settle", body, is_versioned=True)
        require_figure("status of the trade", done["status"], "SETTLED")
        (row,) = self.people["SO"].read(f"{self.path}/settlements")["results"]
        for name, right in SETTLED.items():
            require_figure(name, row[name], right)
        self.settlement = f"/trades/settlements/{row['id']}"
        whole = self.people["KO"].read(self.settlement)
        (tax,) = [line["amount"] for line in whole["lines"] if line["name"] == "brokerage_tax"]
        require_figure("tax on the brokerage", tax, "1115.86")
        notes = [each["total"] for each in whole["documents"] if "NOTE" in each["kind"]]
        require_figure("notes", ", ".join(notes), "6043.00, 20111.00")
        self._write("F1", "payments", self._pay("CARRYING", "14068.00", today, "ZZZBR26056000000002"))
        sides = {done["buyer_id"], done["seller_id"]}
        entries = self.people["KO"].read(f"{self.path}/ledger?limit=100")["results"]
        net = sum(
            (1 if each["debtor_id"] == done["buyer_id"] else -1) * int(each["amount"].replace(".", ""))
            for each in entries
            if {each["debtor_id"], each["creditor_id"]} == sides
        )
        require_figure("what buyer and seller owe each other, in paise", str(net), "0")

    def _rows(self, part: str, is_done: Callable[[Any], bool]) -> Any:
        """Rows of the trade, as the seller reads them, once a worker has done its part or time is over."""
        end = time.monotonic() + PAPER_SECONDS
        while True:
            rows = self.people["SO"].read(f"{self.path}/{part}")["results"]
            if is_done(rows) or time.monotonic() > end:
                return rows
            time.sleep(0.5)

    def wait_for_eway(self) -> str:
        """Wait until the worker has entered the e-way bill of the dispatch; return its number."""
        (row,) = self._rows("dispatches", lambda rows: rows[0]["eway_status"] == "RECORDED")
        require_figure("e-way bill", row["eway_status"], "RECORDED")
        until, sent = (datetime.fromisoformat(row[name]) for name in ("eway_valid_until", "dispatched_at"))
        last = (until.astimezone(clock.KOLKATA) - timedelta(seconds=1)).date()
        require_figure(
            "days of the e-way bill", str((last - sent.astimezone(clock.KOLKATA).date()).days), "9"
        )
        return str(row["eway_number"])

    def wait_for_papers(self) -> list[str]:
        """Wait until the worker has drawn the documents; return their kinds."""
        rows = self._rows("documents", lambda rows: sorted(row["kind"] for row in rows) == PAPERS)
        for row in rows:
            answer = self.people["SO"].send("GET", f"/api/v1/trades/documents/{row['id']}/content")
            if not answer.body.startswith(b"%PDF"):
                raise DemoFailed(f"{row['kind']}: {answer.status}, not a PDF")
        require_figure("documents", ", ".join(sorted(row["kind"] for row in rows)), ", ".join(PAPERS))
        return [row["kind"] for row in rows]

    def statement(self) -> Table:
        """The settlement, which is computed again here from what the server recorded of it."""
        trade = self.people["F1"].read(self.path)
        trace = self.people["F1"].send("GET", f"/api/v1{self.settlement}/trace").body
        again = engine.recompute(records.load(trace))
        if again.differences:
            raise DemoFailed(f"Recomputed, the settlement differs: {again.differences}")
        done = again.settlement
        table = Table(title=f"\nSettlement of {trade['number']}", title_justify="left")
        table.add_column("for")
        table.add_column("amount", justify="right")
        for key, title in (
            ("", "Weights and prices"),
            *((row.key, report.heading(row)) for row in done.documents),
        ):
            table.add_section()
            table.add_row(f"[bold]{title}", "")
            for line in done.lines:
                if line.document == key:
                    table.add_row(
                        f"  {report.caption(line, self.names)}", report.amount(line, done.totals.currency)
                    )
        table.add_section()
        table.add_row("[bold]What is owed, before the last payment", "")
        for owed in done.obligations:
            sides = " to ".join(self.names[side] for side in (owed.debtor, owed.creditor))
            table.add_row(f"  {report.words(owed.kind)}, {sides}, open", figures.money(owed.open))
        return table


def _today() -> str:
    return date.today().isoformat()  # noqa: DTZ011


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _public(preview: dict[str, Any]) -> list[dict[str, Any]]:
    """The lines without what the seller has counted with its broker in other trades."""
    return [
        {**line, "inputs": None} if line["document"].startswith("BROKERAGE") else line
        for line in preview["lines"]
    ]
