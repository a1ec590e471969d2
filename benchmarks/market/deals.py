"""Deals from an offer to its settlement, as the people of both sides and the staff would do them, with what goes wrong.

Each step may be refused because somebody else was faster, or because the trade's rules say so; the codes of such
refusals are counted. Any other refusal is an error of the product (or of the market).
"""

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from queue import Empty, SimpleQueue
from typing import Any

from apps.commodities.seasons import season_of
from benchmarks.market.books import MarketBooks
from benchmarks.market.client import Client, GaveUp, HttpAnswer
from benchmarks.market.world import Market

TERMS = {
    "delivery_term_id": ("delivery-terms", "EX_GIN"),
    "passing_term_id": ("passing-terms", "SELLER_PASS"),
    "weighment_term_id": ("weighment-terms", "ORIGIN_FINAL"),
}
PAYMENT_TERMS = ("D7", "ADV15_D15", "CASH")  # one with charges for late payment
QUALITY = {
    "staple_length": "29.2",
    "micronaire": "3.90",
    "strength": "28.6",
    "trash": "3.2",
    "moisture": "8.4",
}
TRADE_SECONDS = 300.0  # from an accepted negotiation to its trade, whatever dies meanwhile
TRIES = 5  # with a row that others change
BALE_KG = Decimal(170)
# What was looked at isn't so any more. A preview counts the two sides' other settlements, for their TDS threshold.
CHANGED = frozenset({"precondition.failed", "trade.preview_stale"})
# What others' work may cause at any step: the row changed meanwhile, the stock, the demand or the match is gone.
RACES = frozenset({
    "precondition.failed", "matching.not_open", "matching.stale", "matching.expired", "matching.already_decided",
    "negotiation.not_open", "negotiation.listing_changed", "negotiation.listing_not_live", "negotiation.match_not_live",
    "negotiation.already_open", "negotiation.want_exhausted", "negotiation.not_your_turn", "matching.negotiation_open",
    "availability.quantity_exceeded", "requirement.not_live", "availability.not_live", "matching.subject_not_live",
    "trade.invalid_state", "trade.already_created", "negotiation.offer_lapsed", "negotiation.counterpart_not_ready",
    "risk.blocked", "negotiation.quantity_out_of_range",
})  # fmt: skip


class Ended(Exception):
    """The deal ends here; the code says why."""


def today(market: Market) -> date:
    """The business date of a market."""
    return (datetime.now(UTC) + timedelta(days=market.days, hours=5, minutes=30)).date()


@dataclass
class Goods:
    """What all deals are about, read once over the API."""

    commodity: str
    pricing_unit: str
    terms: Mapping[str, str]
    payment_terms: Sequence[str]
    parameters: Mapping[str, str]

    @classmethod
    def read(cls, staff: Client) -> "Goods":
        """Look them up."""

        def one(path: str) -> str:
            (row,) = staff.read(path)["results"]
            return str(row["id"])

        cotton = one("/commodities?code=COTTON")
        parameters = staff.read(f"/commodities/{cotton}/quality-parameters?limit=100")["results"]
        return cls(
            cotton,
            one("/pricing-units?code=INR/CANDY"),
            {name: one(f"/{path}?code={code}") for name, (path, code) in TERMS.items()},
            [one(f"/payment-terms?code={code}") for code in PAYMENT_TERMS],
            {row["code"]: row["id"] for row in parameters},
        )


@dataclass
class Deals:
    """The work of one thread: deal after deal among the partners."""

    market: Market
    books: MarketBooks
    goods: Goods
    staff: Mapping[str, Client]
    sellers: Sequence[tuple[Mapping[str, Any], Client]]
    buyers: Sequence[tuple[Mapping[str, Any], Client]]
    rng: random.Random
    may_wait: bool = True  # whether a later day comes, on which what is unpaid can be paid

    def one(self) -> None:
        """One deal; it ends settled, cancelled, refused or given up on the way."""
        self.seller_row, self.seller = self.rng.choice(self.sellers)
        self.buyer_row, self.buyer = self.rng.choice(self.buyers)
        try:
            offer = self.post_offer()
            self.pry(offer)
            wanted = self.post_requirement()
            match = self.find_match(wanted, offer)
            trade = self.negotiate(match) if self.rng.random() < 0.6 else self.approve_match(match)
            self.fulfil(trade)
        except Ended as end:
            self.books.note(f"ended: {end}")

    def today(self) -> date:
        """The business date."""
        return today(self.market)

    def do(self, who: Client, method: str, path: str, body: Any = None, *, of: str = "") -> HttpAnswer:
        """A write that succeeds, or is refused as it may be: then the deal ends.

        ``of`` is the row whose version is sent, and ``body`` may be a function that looks at what it is about: what
        others changed meanwhile is looked at and sent again.
        """
        for _ in range(TRIES):
            sent = body() if callable(body) else body
            answer = who.write(method, path, sent, etag=who.tagged(of).etag if of else "")
            if answer.ok:
                return answer
            self.books.refuse(answer.code)
            if answer.code not in CHANGED:
                break
        if answer.code in RACES:
            raise Ended(answer.code)
        raise AssertionError(f"{who.email} {method} {path} {sent}: {answer.status} {answer.body}")

    def post_offer(self) -> str:
        """Post, submit and approve an offer of 10 to 30 bales."""
        bales = self.rng.randrange(10, 31)
        body = {
            "commodity_id": self.goods.commodity,
            "total_quantity": str(bales),
            "total_weight_kg": f"{bales * BALE_KG:.3f}",
            "crop_year": season_of(self.today(), 10),
            "place": {
                "address": "Market Yard",
                "country": "IN",
                "state_code": self.seller_row["state"],
                "latitude": "21.9619",
                "longitude": "70.8023",
            },
            "unit_price": str(50 * self.rng.randrange(1040, 1080)),
            **self.goods.terms,
            "payment_term_id": self.rng.choice(self.goods.payment_terms),
            "quality": [{"parameter": name, "value": value} for name, value in QUALITY.items()],
            "available_from_date": self.today().isoformat(),
            "available_until_date": (self.today() + timedelta(days=30)).isoformat(),
        }
        offer = self.do(self.seller, "POST", "/availabilities", body)
        with self.books.lock:
            self.books.offered[offer.body["id"]] = Decimal(bales)
        path = f"/availabilities/{offer.body['id']}"
        self.do(self.seller, "POST", f"{path}/submit", of=path)
        self.do(self.staff["INTERNAL_MANAGER"], "POST", f"{path}/approve", {"note": "Seen."}, of=path)
        self.books.note("offers")
        self.bales = bales
        return str(offer.body["id"])

    def pry(self, offer: str) -> None:
        """Somebody asks for more than there is, to learn how much there is."""
        _, other = self.rng.choice(self.buyers)
        other.read(f"/availabilities/{offer}")
        body = {"quantity": str(self.bales + 1)}
        answer = other.write("POST", f"/availabilities/{offer}/reserve", body)
        if answer.ok:
            raise AssertionError(f"{self.bales + 1} of {self.bales} bales reserved: {answer.body}")
        self.books.refuse(answer.code)

    def post_requirement(self) -> str:
        """Publish a requirement that the offer meets."""
        body = {
            "commodity_id": self.goods.commodity,
            "max_quantity": str(self.bales * self.rng.randrange(1, 4)),
            "kg_per_count": "170",
            "ceiling_price": "60000",
            "pricing_unit_id": self.goods.pricing_unit,
            "delivery_from_date": self.today().isoformat(),
            "delivery_until_date": (self.today() + timedelta(days=20)).isoformat(),
            "bands": [{"parameter": "staple_length", "min": "28.5", "max": "30.0", "required": True}],
            "places": [{"latitude": "11.0168", "longitude": "76.9558", "state_code": "TN", "max_distance_km": 2000}],
            "publish": True,
        }  # fmt: skip
        made = self.do(self.buyer, "POST", "/requirements", body)
        if made.body["status"] != "ACTIVE":
            path = f"/requirements/{made.body['id']}"
            self.do(self.staff["INTERNAL_MANAGER"], "POST", f"{path}/approve", {"note": "Seen."}, of=path)
        self.books.note("requirements")
        return str(made.body["id"])

    def find_match(self, wanted: str, offer: str) -> dict[str, Any]:
        """Ask for matches of the requirement; take the offer's if it is there, else the best."""
        found = self.do(self.buyer, "POST", f"/matching/requirements/{wanted}/find-matches", {"limit": 50})
        matches = found.body["matches"]
        if not matches:
            raise Ended(f"no match {found.body['run']['rejected']}")
        self.books.note("matches found")
        return next((row for row in matches if row.get("availability_id") == offer), matches[0])

    def owner_of(self, match: Mapping[str, Any]) -> Client:
        """The seller's client: the buyer knows the offer's id, the market whose it is."""
        offer = match["availability_id"]
        return next(client for row, client in self.sellers if row["partner"] == self.offer_owner(offer))

    def offer_owner(self, offer: str) -> str:
        """Partner id of the offer's seller, as staff reads it."""
        return str(self.staff["INTERNAL_MANAGER"].read(f"/availabilities/{offer}")["seller_partner_id"])

    def approve_match(self, match: Mapping[str, Any]) -> str:
        """Both sides approve, sometimes at once; staff makes the contract."""
        self.seller = self.owner_of(match)
        path = f"/matching/{match['id']}"
        for who in self.rng.sample([self.buyer, self.seller], 2):
            self.do(who, "POST", f"{path}/approve", {}, of=path)
        self.books.note("matches approved")
        return self.contract(match["id"])

    def negotiate(self, match: Mapping[str, Any]) -> str:
        """Offer and counter-offer until one is accepted; the product makes the contract from the event."""
        self.seller = self.owner_of(match)
        opened = self.do(self.buyer, "POST", "/negotiations", {"match_id": match["id"]})
        path = f"/negotiations/{opened.body['id']}"
        steps = self.rng.sample(range(20), self.rng.randrange(1, 5))  # nobody offers what was just offered
        for turn, step in enumerate(steps):
            who = self.buyer if turn % 2 == 0 else self.seller
            made = self.do(who, "POST", f"{path}/offer", {"price": str(53_000 + 50 * step)}, of=path)
        if self.rng.random() < 0.15:
            who = self.rng.choice([self.buyer, self.seller])
            self.do(who, "POST", f"{path}/withdraw", {"reason": "PRICE"}, of=path)
            raise Ended("withdrawn")
        self.meet()
        standing = made.body["standing_offer"]["id"]
        who = self.seller if who is self.buyer else self.buyer
        self.do(who, "POST", f"{path}/accept", {"offer_id": standing}, of=path)
        self.books.note("negotiations accepted")
        return self.trade_of(opened.body["id"])

    def trade_of(self, negotiation: str) -> str:
        """Wait for the contract that the product makes from the event."""
        end, pause = time.monotonic() + TRADE_SECONDS, 0.3
        staff = self.staff["INTERNAL_MANAGER"]
        while time.monotonic() < end:
            found = staff.read(f"/trades?negotiation_id={negotiation}")["results"]
            if found:
                return self.agreed(found[0])
            time.sleep(pause)
            pause = min(pause * 1.5, 2.0)  # the product needs the processor more
        raise AssertionError(f"no trade from negotiation {negotiation}")

    def meet(self) -> None:
        """A contract is about to be made: from now on the two sides may know each other."""
        self.books.meet(self.seller.partner, self.buyer.partner, time.monotonic())

    def contract(self, match: str) -> str:
        """Staff makes the contract from an approved match."""
        desk = self.staff["INTERNAL_MASTERDATA"]
        day, row = self.today(), desk.read(f"/matching/{match}")
        window = {"window_start": day.isoformat(), "window_end": (day + timedelta(days=20)).isoformat()}
        self.meet()
        made = self.do(desk, "POST", "/trades", {
            "match_id": match, "reservation_id": row["reservation_id"], "delivery": window,
        })  # fmt: skip
        return self.agreed(made.body)

    def agreed(self, trade: Mapping[str, Any]) -> str:
        """Write the contract down."""
        with self.books.lock:
            self.books.contracted[trade["id"]] = dict(trade)
        self.books.note("trades")
        return str(trade["id"])

    def fulfil(self, trade: str) -> None:
        """From acknowledgement to settlement; some trades are cancelled, amended, disputed or paid late on the way."""
        path, fate = f"/trades/{trade}", self.rng.random()
        contract = self.buyer.read(path)["contract_hash"]
        for who in self.rng.sample([self.buyer, self.seller], 2):
            self.do(who, "POST", f"{path}/acknowledge", {"contract_hash": contract})
        director, finance = self.staff["INTERNAL_DIRECTOR"], self.staff["INTERNAL_FINANCE"]
        for manager in (self.staff["INTERNAL_MANAGER"], self.staff["SECOND_MANAGER"]):
            if manager.read(path)["status"] == "PENDING_APPROVAL":
                self.do(manager, "POST", f"{path}/approve", {"comment": "Seen."}, of=path)
        self.books.note("trades approved")
        if fate < 0.12:
            body = {"reason_code": "MUTUAL", "reason": "Both sides agreed to end it."}
            self.do(director, "POST", f"{path}/cancel", body, of=path)
            with self.books.lock:
                self.books.cancelled.add(trade)
            self.books.note("cancelled")
            return
        if fate < 0.3:
            self.amend(path)
        self.move_goods(path)
        if fate > 0.85:
            self.dispute(path, director)
        if 0.6 < fate < 0.85 and self.may_wait:
            with self.books.lock:
                self.books.unpaid.append(trade)
            self.books.note("left unpaid for a while")
            return
        self.pay(path, finance, bounced=0.5 < fate < 0.6)
        self.settle(trade)

    def settle(self, trade: str) -> None:
        """Finance settles what it was shown."""
        path, finance = f"/trades/{trade}", self.staff["INTERNAL_FINANCE"]

        def shown() -> dict[str, str]:
            return {"preview_hash": self.preview(path)["preview_hash"]}

        self.do(finance, "POST", f"{path}/settle", shown, of=path)
        (row,) = finance.read(f"{path}/settlements")["results"]
        with self.books.lock:
            self.books.settled[trade] = row
        self.books.note("settled")
        if Decimal(row["carrying"]):
            self.books.note("charged for late payment")

    def preview(self, path: str) -> dict[str, Any]:
        """What a settlement would come to today."""
        answer = self.staff["INTERNAL_FINANCE"].write("POST", f"{path}/settlement/preview", {})
        if not answer.ok:
            raise AssertionError(f"preview {path}: {answer.status} {answer.body}")
        return dict(answer.body)

    def pay_late(self, trade: str) -> None:
        """Pay and settle a trade of an earlier day."""
        self.pay(f"/trades/{trade}", self.staff["INTERNAL_FINANCE"], bounced=False)
        self.books.note("paid late")
        self.settle(trade)

    def amend(self, path: str) -> None:
        """The buyer asks for another last day; the seller accepts or refuses."""
        day = (self.today() + timedelta(days=25)).isoformat()
        changes = [{"pointer": "/delivery/window_end", "value": day}]
        body = {"changes": changes, "reason": "The mill is closed for a week."}
        made = self.do(self.buyer, "POST", f"{path}/amendments", body)
        changed = f"/trades/amendments/{made.body['id']}"
        verb = self.rng.choice(["accept", "reject"])
        answer = {"reason": "The goods leave as agreed."} if verb == "reject" else {}
        self.do(self.seller, "POST", f"{changed}/{verb}", answer, of=f"{path}/amendments/{made.body['id']}")
        self.books.note(f"amendments {verb}ed")

    def move_goods(self, path: str) -> None:
        """Quality, weight at the gin, a lorry, and its arrival."""
        now = datetime.now(UTC) + timedelta(days=self.market.days)
        (lot,) = self.seller.read(f"{path}/lots")["results"]
        count, kilograms = int(lot["count"]), Decimal(lot["estimated_kg"])
        staff = self.staff["INTERNAL_MASTERDATA"]
        values = [
            {"parameter_id": self.goods.parameters[name], "value": value} for name, value in QUALITY.items()
        ]
        moment = now.isoformat()
        self.do(staff, "POST", f"{path}/quality-results", {
            "lot_id": lot["id"], "source": "SELLER", "sampled_at": moment, "tested_at": moment, "values": values,
            "governing": True,
        })  # fmt: skip
        slip = f"S{self.rng.getrandbits(40):010x}"
        self.do(self.seller, "POST", f"{path}/weighments", {
            "lot_id": lot["id"], "stage": "ORIGIN", "weighed_at": moment, "count": count,
            "gross_kg": f"{kilograms + 500:.3f}", "tare_kg": "500.000", "tare_method": "ACTUAL",
            "weighbridge": "Gondal", "slip_number": slip,
        })  # fmt: skip
        goods = {"lot_id": lot["id"], "count": count, "weight_kg": f"{kilograms:.3f}"}
        sent = self.do(self.seller, "POST", f"{path}/dispatches", {
            "dispatched_at": moment, "vehicle_number": "GJ03AB1234", "distance_km": 1500, "lines": [goods],
            "invoice_number": f"I{self.rng.getrandbits(40):010x}", "invoice_date": self.today().isoformat(),
        })  # fmt: skip
        self.do(self.buyer, "POST", f"{path}/deliveries", {
            "dispatch_id": sent.body["id"], "delivered_at": moment, "lines": [goods], "final": True,
        })  # fmt: skip
        self.books.note("deliveries")

    def dispute(self, path: str, director: Client) -> None:
        """The buyer complains and the director decides for nobody."""
        body = {"kind": "OTHER", "statement": "Two bales came without their wrapping."}
        made = self.do(self.buyer, "POST", f"{path}/disputes", body)
        body = {"outcome": "REJECTED", "reason": "The photographs show wrapped bales."}
        dispute = f"/trades/disputes/{made.body['id']}"
        self.do(director, "POST", f"{dispute}/resolve", body, of=f"{path}/disputes/{made.body['id']}")
        self.books.note("disputes")

    def pay(self, path: str, finance: Client, *, bounced: bool) -> None:
        """Pay what the preview says is still open; sometimes the cheque bounces first."""
        row = finance.read(path)
        lines = {line["name"]: line["amount"] for line in self.preview(path)["lines"]}
        body = {
            "kind": "BALANCE",
            "payer_id": row["buyer_id"],
            "payee_id": row["seller_id"],
            "amount": lines["balance_due"],
            "currency": "INR",
            "paid_date": self.today().isoformat(),
            "method": "CHEQUE" if bounced else "RTGS",
        }
        paid = self.payment(finance, path, body)
        if bounced:
            self.payment(finance, path, body | {"kind": "REVERSAL", "reverses_payment_id": paid["id"]})
            self.payment(finance, path, body)
            self.books.note("bounced cheques")

    def payment(self, finance: Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """One payment, under a reference of its own."""
        reference = f"P{self.rng.getrandbits(48):012x}"
        made = self.do(finance, "POST", f"{path}/payments", {**body, "reference": reference}).body
        with self.books.lock:
            self.books.paid[reference] = made
        self.books.note("payments")
        return dict(made)

    def work(self, queue: SimpleQueue[str]) -> None:
        """Take from the queue until it is empty: a trade that waits for its money, or the wish for another deal."""
        while not self.market.closing.is_set():
            try:
                waiting = queue.get_nowait()
            except Empty:
                return
            try:
                if waiting:
                    self.pay_late(waiting)
                else:
                    self.one()
            except (AssertionError, GaveUp) as error:
                with self.books.lock:
                    self.books.errors.append(str(error)[:1500])
