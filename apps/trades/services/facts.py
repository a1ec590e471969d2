"""What has happened to a trade, as the engine takes it. Lots go by number, other rows by id."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from apps.commodities.differences import Result
from apps.commodities.figures import plain
from apps.trades.engine import facts as f
from apps.trades.engine.terms import Side
from apps.trades.models import Dispatch, Dispute, Governing, QualityResult, Trade
from apps.trades.services.rules import day_of


def goods_of(trade: Trade) -> dict[str, Any]:
    """Weighments, dispatches, deliveries, quality, payments and awards: members of ``facts.Facts``."""
    lots = dict(trade.lots.values_list("pk", "lot_no"))

    def goods(rows: Iterable[Any]) -> tuple[f.Goods, ...]:
        return tuple(
            f.Goods(lot_no=lots[row.lot_id], weight_kg=row.weight_kg, count=row.count) for row in rows
        )

    dispatches = list(
        Dispatch.objects.filter(trade=trade, voided_at=None)
        .exclude(direction=f.Movement.RETURN, delivery=None)  # on its way: it counts once the seller has it
        .prefetch_related("lines")
        .order_by("pk")
    )
    deliveries = trade.deliveries.prefetch_related("lines").order_by("pk")
    return {
        "weighments": tuple(
            f.Weighment(
                id=str(row.pk),
                lot_no=lots[row.lot_id],
                stage=f.Stage(row.stage),
                weighed_date=day_of(row.weighed_at),
                gross_kg=row.gross_kg,
                tare_kg=row.tare_kg,
                dispatch=row.dispatch_id and str(row.dispatch_id),
                corrects=row.corrects_id and str(row.corrects_id),
            )
            for row in trade.weighments.filter(dispatch__voided_at=None).order_by("pk")
        ),
        "dispatches": tuple(
            f.Dispatch(
                id=str(row.pk),
                dispatched_date=day_of(row.dispatched_at),
                lines=goods(row.lines.all()),
                direction=f.Movement(row.direction),
                invoice_number=row.invoice_number,
                invoice_date=row.invoice_date,
                returns=row.returns_id and str(row.returns_id),
            )
            for row in dispatches
        ),
        "deliveries": tuple(
            f.Delivered(
                dispatch=str(row.dispatch_id),
                delivered_date=day_of(row.delivered_at),
                lines=goods(row.lines.all()),
                final=row.final,
            )
            for row in deliveries
        ),
        "quality": tuple(
            governing_of(row.result, lots[row.lot_id])
            for row in Governing.objects.filter(trade=trade).select_related("result").order_by("pk")
        ),
        "payments": tuple(
            f.Payment(
                id=str(row.pk),
                number=row.number,
                kind=f.PaymentKind(row.kind),
                payer=str(row.payer_id),
                payee=str(row.payee_id),
                amount=row.amount,
                paid_date=row.paid_date,
                tds=row.tds,
                reverses=row.reverses_id and str(row.reverses_id),
                allocations=tuple(
                    f.Allocation(obligation=part.obligation, amount=part.amount)
                    for part in row.allocations.all()
                ),
            )
            for row in trade.payments.prefetch_related("allocations").order_by("number")
        ),
        "awards": tuple(
            award_of(row, row.lot_id and lots[row.lot_id])
            for row in Dispute.objects.filter(trade=trade, award_amount__isnull=False).order_by("pk")
        ),
    }


def award_of(dispute: Dispute, lot_no: str | None) -> f.Award:
    """What a resolved dispute awards, as the engine takes it."""
    return f.Award(id=str(dispute.pk), amount=dispute.award_amount, to=Side(dispute.award_to), lot_no=lot_no)


def governing_of(result: QualityResult, lot_no: str) -> f.Governing:
    """A quality result as the engine takes it; one whose value is the code of a choice has that."""
    return f.Governing(
        lot_no=lot_no,
        source=result.source,
        results=tuple(
            Result(row.parameter.code, row.method, Decimal(plain(row.value)))
            for row in result.values.select_related("parameter").order_by("parameter__code")
        ),
        award_price=result.award_price,
        award_allowance_percent=result.award_allowance_percent,
    )
