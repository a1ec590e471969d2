"""What the people of a market wrote down, and whether every ledger agrees with it and with every other."""

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import psycopg

from benchmarks.faults.world import CommandFailed
from benchmarks.market.world import Market

# Each counts rows that contradict another ledger; what it is, and the statement.
CONTRADICTIONS = {
    "offers whose parts aren't the whole": """
        SELECT count(*) FROM availability_availability
        WHERE total_quantity <> available_quantity + reserved_quantity + sold_quantity + withdrawn_quantity""",
    "offers that sold another quantity than their trades": """
        SELECT count(*) FROM availability_availability a
        WHERE a.sold_quantity <> coalesce((
            SELECT sum(r.quantity - r.released_quantity) FROM availability_reservation r
            WHERE r.availability_id = a.id AND r.status = 'SOLD'), 0)""",
    "reservations in a trade without that trade": """
        SELECT count(*) FROM availability_reservation r
        WHERE r.status IN ('IN_TRADE', 'SOLD') AND r.closed_at IS NULL
          AND NOT EXISTS (SELECT 1 FROM trade_trade t WHERE t.id = r.trade_id AND t.status <> 'CANCELLED')""",
    "requirements that bought another quantity than their ledger": """
        SELECT count(*) FROM requirement_requirement q
        WHERE (q.committed_quantity, q.purchased_quantity) <> (
            SELECT coalesce(sum(committed_delta), 0), coalesce(sum(purchased_delta), 0)
            FROM requirement_fulfilment f WHERE f.requirement_id = q.id)""",
    "requirements bought beyond their limit": """
        SELECT count(*) FROM requirement_requirement
        WHERE committed_quantity + purchased_quantity > max_quantity * (1 + tolerance_percent / 100)""",
    "pairs of a match, a negotiation or a reservation with two live trades": """
        SELECT count(*) FROM (
            SELECT 1 FROM trade_trade WHERE status <> 'CANCELLED' GROUP BY reservation_id HAVING count(*) > 1) t""",
    "numbers of trades left out": """
        SELECT coalesce(max(n) - count(*), 0) FROM (
            SELECT substring(number from '[0-9]+$')::int AS n FROM trade_trade) t""",
    "streams of events with a gap": """
        SELECT count(*) FROM (
            SELECT 1 FROM event_outbox GROUP BY aggregate_type, aggregate_id
            HAVING max(sequence) <> count(*) OR min(sequence) <> 1) s""",
}
COMMITTED = """
SELECT id, event_type, aggregate_type || ':' || aggregate_id, sequence FROM event_outbox WHERE position > %s"""
NEWEST = "SELECT coalesce(max(position), 0) FROM event_outbox"


@dataclass
class MarketBooks:
    """What all clients together wrote down; their threads share it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    offered: dict[str, Decimal] = field(default_factory=dict)  # offer → quantity posted
    contracted: dict[str, dict[str, Any]] = field(default_factory=dict)  # trade → offer, quantity, price
    settled: dict[str, dict[str, str]] = field(default_factory=dict)  # trade → totals answered
    cancelled: set[str] = field(default_factory=set)
    acquainted: set[frozenset[str]] = field(default_factory=set)  # partners with a trade between them
    done: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)

    def note(self, what: str) -> None:
        """Count something that was done."""
        with self.lock:
            self.done[what] += 1

    def refuse(self, code: str) -> None:
        """Count a refusal of a kind that may happen: somebody was faster."""
        with self.lock:
            self.refused[code] += 1


def contradictions(market: Market, books: MarketBooks) -> Iterator[str]:
    """Every way in which a ledger disagrees with another one, with itself or with the clients' books."""
    with market.place.connect() as connection:
        for what, statement in CONTRADICTIONS.items():
            row = connection.execute(statement).fetchone()  # type: ignore[arg-type] # constants above
            if row is not None and row[0]:
                yield f"{row[0]} {what}"
        yield from _against_clients(connection, books)
    for command in (("verify_ledger",), ("verify_audit",)):
        try:
            market.place.command(*command)
        except CommandFailed as error:
            yield f"{command[0]}: {error}"


def _against_clients(connection: psycopg.Connection[Any], books: MarketBooks) -> Iterator[str]:
    stored = {str(key): rest for key, *rest in connection.execute(
        "SELECT id, availability_id::text, status, price, count FROM trade_trade"
    )}  # fmt: skip
    for trade, said in books.contracted.items():
        if trade not in stored:
            yield f"trade {trade} was answered and is not stored"
        elif (stored[trade][0], Decimal(stored[trade][2])) != (
            said["availability_id"],
            Decimal(said["price"]),
        ):
            yield f"trade {trade}: {stored[trade]}, and its people were told {said}"
    for trade in books.cancelled:
        if stored[trade][1] != "CANCELLED":
            yield f"trade {trade} was cancelled and is {stored[trade][1]}"
    sums = {str(key): total for key, total in connection.execute(
        "SELECT trade_id, invoice_total FROM trade_settlement WHERE NOT EXISTS"
        " (SELECT 1 FROM trade_settlement later WHERE later.trade_id = trade_settlement.trade_id"
        " AND later.revision > trade_settlement.revision)"
    )}  # fmt: skip
    for trade, totals in books.settled.items():
        if Decimal(totals["invoice_total"]) != sums.get(trade):
            yield f"trade {trade} was settled at {totals['invoice_total']}, stored is {sums.get(trade)}"
    offered = {
        str(key): total
        for key, total in connection.execute("SELECT id, total_quantity FROM availability_availability")
    }
    for offer, quantity in books.offered.items():
        if offered.get(offer) != quantity:
            yield f"offer {offer} of {quantity} is stored with {offered.get(offer)}"
