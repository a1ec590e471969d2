"""What the people of a market wrote down, and whether every ledger agrees with it and with every other."""

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import psycopg

from benchmarks.faults.world import CommandFailed
from benchmarks.market.people import OPENING, THRESHOLD
from benchmarks.market.world import Market

_BOUGHT = "('APPROVED', 'IN_EXECUTION', 'DELIVERED', 'SETTLED')"
# Each counts rows that contradict another ledger; what it is, and the statement.
CONTRADICTIONS = {
    "offers whose parts aren't the whole": """
        SELECT count(*) FROM availability_availability
        WHERE total_quantity <> available_quantity + reserved_quantity + sold_quantity + withdrawn_quantity""",
    "offers that sold another quantity than their trades": f"""
        SELECT count(*) FROM availability_availability a WHERE a.sold_quantity <> coalesce((
            SELECT sum(quantity) FROM trade_trade t WHERE t.availability_id = a.id AND t.status IN {_BOUGHT}), 0)""",
    "offers that reserved another quantity than their reservations": """
        SELECT count(*) FROM availability_availability a WHERE a.reserved_quantity <> coalesce((
            SELECT sum(open_quantity) FROM availability_reservation r
            WHERE r.availability_id = a.id AND r.status IN ('HELD', 'IN_TRADE')), 0)""",
    "reservations in a trade without that trade": """
        SELECT count(*) FROM availability_reservation r
        WHERE r.status IN ('IN_TRADE', 'SOLD')
          AND NOT EXISTS (SELECT 1 FROM trade_trade t WHERE t.id = r.trade_id AND t.status <> 'CANCELLED')""",
    "requirements that bought another quantity than their trades": f"""
        SELECT count(*) FROM requirement_requirement q WHERE (q.committed_quantity, q.purchased_quantity) <> (
            SELECT coalesce(sum(quantity) FILTER (WHERE t.status LIKE 'PENDING%'), 0),
                   coalesce(sum(quantity) FILTER (WHERE t.status IN {_BOUGHT}), 0)
            FROM trade_trade t WHERE t.requirement_id = q.id)""",
    "requirements bought beyond their limit": """
        SELECT count(*) FROM requirement_requirement
        WHERE committed_quantity + purchased_quantity > max_quantity * (1 + tolerance_percent / 100)""",
    "reservations with two live trades": """
        SELECT count(*) FROM (
            SELECT 1 FROM trade_trade WHERE status <> 'CANCELLED' GROUP BY reservation_id HAVING count(*) > 1) t""",
    "sources that owe another amount than their entries": """
        SELECT count(*) FROM (
            SELECT account_id, source_type, source_id, bucket, sum(amount) AS amount
            FROM partner_exposureentry GROUP BY 1, 2, 3, 4) e
        FULL JOIN partner_openexposure o USING (account_id, source_type, source_id, bucket)
        WHERE coalesce(e.amount, 0) <> coalesce(o.amount, 0)""",
    "ended trades that still use credit": """
        SELECT count(*) FROM partner_openexposure o JOIN trade_trade t ON t.id = o.source_id
        WHERE o.source_type = 'trade' AND o.amount <> 0 AND t.status IN ('SETTLED', 'CANCELLED')""",
    "ended reservations that still use credit": """
        SELECT count(*) FROM partner_openexposure o JOIN availability_reservation r ON r.id = o.source_id
        WHERE o.source_type = 'reservation' AND o.amount <> 0 AND r.status <> 'HELD'""",
    "TDS positions that differ from the settlements": f"""
        SELECT count(*) FROM trade_taxposition p
        LEFT JOIN (
            SELECT t.buyer_id, t.seller_id, sum(s.taxable) AS taxable,
                   concat(y, '-', to_char((y + 1) %% 100, 'FM00')) AS year
            FROM trade_settlement s JOIN trade_trade t ON t.id = s.trade_id,
                 LATERAL (SELECT extract(year FROM s.settled_date - interval '3 months')::int AS y) y
            GROUP BY 1, 2, 4) s
          ON (s.buyer_id, s.seller_id, s.year) = (p.deductor_id, p.deductee_id, p.financial_year)
        WHERE p.counted <> coalesce(s.taxable, 0)
           OR p.taxed <> greatest({OPENING} + coalesce(s.taxable, 0) - {THRESHOLD}, 0)""",
    "settled trades whose accounts don't come to what is due": """
        SELECT count(*) FROM trade_settlement s JOIN trade_trade t ON t.id = s.trade_id
        WHERE (CASE WHEN s.net_debtor_id = t.seller_id THEN -s.net_due ELSE s.net_due END) <> (
            SELECT coalesce(sum(CASE WHEN debtor_id = t.buyer_id THEN amount ELSE -amount END), 0)
            FROM trade_ledgerentry e WHERE e.trade_id = t.id
              AND (e.debtor_id, e.creditor_id) IN ((t.buyer_id, t.seller_id), (t.seller_id, t.buyer_id)))""",
    "settled trades without exactly one settlement": """
        SELECT count(*) FROM trade_trade t WHERE (t.status = 'SETTLED') <> (
            SELECT count(*) = 1 FROM trade_settlement s WHERE s.trade_id = t.id)""",
    "series of numbers with a gap": """
        SELECT count(*) FROM (
            SELECT 1 FROM organization_allocatednumber GROUP BY series_id
            HAVING max(number) <> count(*) OR min(number) <> 1) s""",
    "trades without their number": """
        SELECT count(*) FROM trade_trade t WHERE NOT EXISTS (
            SELECT 1 FROM organization_allocatednumber n 
                              WHERE n.document_number = t.number AND n.reference_id = t.id)""",
    "streams of events with a gap": """
        SELECT count(*) FROM (
            SELECT 1 FROM event_outbox GROUP BY aggregate_type, aggregate_id
            HAVING max(sequence) <> count(*) OR min(sequence) <> 1) s""",
    "trades whose story the events tell otherwise": """
        SELECT count(*) FROM trade_trade t LEFT JOIN (
            SELECT aggregate_id::text AS id, count(*) FILTER (WHERE event_type LIKE 'trade.created') AS created,
                   count(*) FILTER (WHERE event_type LIKE 'trade.approved') AS approved,
                   count(*) FILTER (WHERE event_type LIKE 'trade.settled') AS settled
            FROM event_outbox WHERE aggregate_type = 'trade' GROUP BY 1) e ON e.id = t.id::text
        WHERE (e.created, e.approved, e.settled) IS DISTINCT FROM
              (1::bigint, (t.approved_at IS NOT NULL)::int::bigint, (t.status = 'SETTLED')::int::bigint)""",
}  # fmt: skip
COMMITTED = """
SELECT id, event_type, aggregate_type || ':' || aggregate_id, sequence FROM event_outbox WHERE position > %s"""
NEWEST = "SELECT coalesce(max(position), 0) FROM event_outbox"
TOTALS = ("taxable", "invoice_total", "tds", "carrying", "net_due")


@dataclass
class MarketBooks:
    """What all clients together wrote down; their threads share it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    offered: dict[str, Decimal] = field(default_factory=dict)  # offer → quantity posted
    contracted: dict[str, dict[str, Any]] = field(default_factory=dict)  # trade → offer, quantity, price
    settled: dict[str, dict[str, Any]] = field(default_factory=dict)  # trade → totals answered
    paid: dict[str, dict[str, Any]] = field(default_factory=dict)  # reference → the payment answered
    unpaid: list[str] = field(default_factory=list)  # trades that wait for the buyer's money
    cancelled: set[str] = field(default_factory=set)
    acquainted: dict[frozenset[str], float] = field(
        default_factory=dict
    )  # partners → since when they have a trade
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

    def meet(self, seller: str, buyer: str, moment: float) -> None:
        """From then on the two may read of each other."""
        with self.lock:
            self.acquainted.setdefault(frozenset({seller, buyer}), moment)


def contradictions(market: Market, books: MarketBooks) -> Iterator[str]:
    """Every way in which a ledger disagrees with another one, with itself or with the clients' books."""
    with market.place.connect() as connection:
        for what, statement in CONTRADICTIONS.items():
            row = connection.execute(statement.replace("%%", "%")).fetchone()
            if row is not None and row[0]:
                yield f"{row[0]} {what}"
        yield from _against_clients(connection, books)
    for command in ("verify_ledger", "verify_audit"):
        try:
            market.place.command(command)
        except CommandFailed as error:
            yield f"{command}: {error}"


def _against_clients(connection: psycopg.Connection[Any], books: MarketBooks) -> Iterator[str]:
    def stored(statement: str) -> dict[str, tuple[Any, ...]]:
        return {str(row[0]): row[1:] for row in connection.execute(statement)}

    offers = stored("SELECT id, total_quantity FROM availability_availability")
    yield from _compared("offer", {key: (value,) for key, value in books.offered.items()}, offers)
    trades = stored("SELECT id, availability_id::text, quantity, price FROM trade_trade")
    told = {
        key: (row["availability_id"], Decimal(row["quantity"]), Decimal(row["price"]))
        for key, row in books.contracted.items()
    }
    yield from _compared("trade", told, trades)
    payments = stored("SELECT reference, trade_id::text, amount, tds FROM trade_payment")
    entered = {
        key: (row["trade_id"], Decimal(row["amount"]), Decimal(row["tds"])) for key, row in books.paid.items()
    }
    yield from _compared("payment", entered, payments)
    totals = stored(f"SELECT trade_id, {', '.join(TOTALS)} FROM trade_settlement")  # noqa: S608 - names above
    settled = {key: tuple(Decimal(row[name]) for name in TOTALS) for key, row in books.settled.items()}
    yield from _compared("settlement of trade", settled, totals)
    ended = {
        key for (key,) in connection.execute("SELECT id::text FROM trade_trade WHERE status = 'CANCELLED'")
    }
    for trade in books.cancelled ^ ended:
        yield f"trade {trade} is {'not ' * (trade not in ended)}cancelled, and its people believe otherwise"


def _compared(
    what: str, told: dict[str, tuple[Any, ...]], stored: dict[str, tuple[Any, ...]]
) -> Iterator[str]:
    """Rows that people were told otherwise, or not at all."""
    for key in told.keys() | stored.keys():
        if told.get(key) != stored.get(key):
            yield f"{what} {key}: stored is {stored.get(key)}, its people were told {told.get(key)}"
