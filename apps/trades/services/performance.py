"""What risk learns of a trade: how it was paid, delivered and passed, and what is overdue (risk §2)."""

from datetime import date
from decimal import Decimal
from typing import Any, Final

from django.db.models import Exists, OuterRef

from apps.risk.models import TradeFact
from apps.risk.services import facts as risk_facts
from apps.trades import capabilities
from apps.trades import engine as engines
from apps.trades.engine import facts as f
from apps.trades.engine import settlement as s
from apps.trades.engine.v1 import payments as allocation
from apps.trades.models import Deadline, Dispute, Governing, QualityResult, Trade
from apps.trades.services import credit, gathering
from apps.trades.services.gathering import Gathered
from erp import clock
from erp.access import Actor
from erp.services import service

GOODS: Final = ("ADVANCE", "BALANCE")
ERRORS: Final = (risk_facts.FactUnknown, risk_facts.FactContradicts)
NOTHING: Final = Decimal("0.00")


def report_settled(trade: Trade, actor: Actor, day: date, gathered: Gathered, done: s.Settlement) -> None:
    """Report a settled trade; once it is settled nothing is overdue."""
    due, in_time = _payments(gathered.facts, done)
    due_kg = trade.weight_kg if trade.cancel_reason == "SELLER_DEFAULT" else trade.open_kg
    end = gathered.terms.delivery.window_end
    outward = [row for row in gathered.facts.dispatches if row.direction is f.Movement.OUTWARD]
    moved = sum(
        (line.weight_kg for row in outward if row.dispatched_date <= end for line in row.lines), NOTHING
    )
    decisions = list(Governing.objects.filter(trade=trade).values_list("result__decision", flat=True))
    risk_facts.record_performance(
        actor=actor,
        trade_id=trade.pk,
        settled_date=day,
        due_amount=credit.in_rupees(trade, due),
        paid_in_time_amount=credit.in_rupees(trade, in_time),
        due_kg=due_kg,
        in_window_kg=min(moved, due_kg),
        lots=len(decisions),
        lots_passed=sum(decision != QualityResult.Decision.REJECT for decision in decisions),
        disputed=Dispute.objects.filter(trade=trade).exclude(outcome="WITHDRAWN").exists(),
        overdue_amount=NOTHING,
    )


def _payments(facts: f.Facts, done: s.Settlement) -> tuple[Decimal, Decimal]:
    """What was due for the goods, and what of it was paid by its day."""
    owed = [
        allocation.Owed(row.kind, row.document, row.debtor, row.creditor, row.amount, row.due_date)
        for row in done.obligations
        if row.kind in GOODS
    ]
    kinds = (f.PaymentKind.ADVANCE, f.PaymentKind.BALANCE)
    paid = [row for row in allocation.effective(facts.payments, facts.as_of) if row.kind in kinds]
    allocation.allocate(owed, paid)
    in_time = (amount for row in owed for _, amount, day in row.parts if day <= row.due)
    return sum((row.amount for row in owed), NOTHING), sum(in_time, NOTHING)


def owing() -> Any:
    """Trades of which something was due before today and is not paid, or was reported as overdue."""
    due = Deadline.objects.filter(
        trade=OuterRef("pk"), kind__in=GOODS, due_date__lt=clock.today(), status__in=("OPEN", "MISSED")
    )
    reported = TradeFact.objects.filter(trade_id=OuterRef("pk"), overdue_amount__gt=0)
    running = Trade.objects.filter(status__in=(Trade.Status.IN_EXECUTION, Trade.Status.DELIVERED))
    return running.filter(Exists(due) | Exists(reported))


@service(
    requires=capabilities.CREATE,
    machinery="the fact is risk's, with an event of its own",
    raises=[*ERRORS],
    label="Report what is overdue",
)
def report_overdue(trade: Trade, *, actor: Actor) -> bool:
    """Report what the buyer owes past its due day; returns whether there was something to report."""
    if trade.status not in (Trade.Status.IN_EXECUTION, Trade.Status.DELIVERED):
        return False
    today = clock.today()
    gathered = gathering.gather(trade, as_of=today, lock=False)
    done = engines.preview(engines.CURRENT, gathered.terms, gathered.facts)
    invoiced = any(row.invoice_date for row in gathered.facts.dispatches)
    late = [
        row
        for row in done.obligations
        if row.kind in GOODS and row.open and row.due_date < today and invoiced
    ]
    amount = credit.in_rupees(trade, sum((row.open for row in late), NOTHING))
    risk_facts.record_performance(
        actor=actor,
        trade_id=trade.pk,
        overdue_amount=amount,
        overdue_since_date=min((row.due_date for row in late), default=None),
    )
    return True
