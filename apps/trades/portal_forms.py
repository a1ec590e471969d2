"""What forms of a trade in the staff portal start with, and what they let one choose: rows of that trade only."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from apps.commodities.models.parameters import QualityParameter
from apps.trades.models import Dispatch, Payment, QualityResult, Trade, Weighment
from apps.trades.services import disputes, execution, payments, quality, rules
from erp import clock
from erp.figures import group, money
from erp.services import Service

Options = dict[str, list[tuple[str, str]]]

# The controls of a service that choose among rows of the trade.
CHOSEN: Final[dict[Service, tuple[str, ...]]] = {
    execution.dispatch: ("lines.lot_id", "returns_dispatch_id"),
    execution.deliver: ("lines.lot_id", "dispatch_id"),
    quality.record_quality: ("lot_id", "values.parameter_id", "values.method", "supersedes_id"),
    quality.record_weight: ("lot_id", "dispatch_id", "corrects_id"),
    payments.record_payment: ("payer_id", "payee_id", "reverses_payment_id"),
    disputes.create_dispute: ("lot_id",),
}


def goods(count: int | None, kg: Decimal) -> str:
    """Packages and weight in words."""
    weight = f"{group(kg)} kg"
    return weight if count is None else f"{group(count)} packages, {weight}"


def _pairs(rows: Iterable[Any], words: Any = str) -> list[tuple[str, str]]:
    return [(str(row.pk), words(row)) for row in rows]


def _dispatch(row: Dispatch) -> str:
    return f"{row}, {row.vehicle_number}"


def _parameters(trade: Trade) -> list[QualityParameter]:
    rows = QualityParameter.objects.filter(commodity=trade.commodity_id, data_type="DECIMAL")
    return list(rows.order_by("display_order", "name"))


def choices(trade: Trade, service: Service) -> Options:
    """Rows of the trade, by the name of the control that chooses among them."""
    found = {name: _choices(trade, name.rpartition(".")[2]) for name in CHOSEN.get(service, ())}
    if service is execution.deliver:
        found["dispatch_id"] = _pairs(execution.live_dispatches(trade).filter(delivery=None), _dispatch)
    return found


def _choices(trade: Trade, name: str) -> list[tuple[str, str]]:
    match name:
        case "lot_id":
            lots = trade.lots.order_by("lot_no")
            return _pairs(lots, lambda lot: f"{lot.lot_no}: {goods(lot.count, lot.estimated_kg)}")
        case "parameter_id":
            return _pairs(
                _parameters(trade), lambda row: f"{row.name} ({row.unit})" if row.unit else row.name
            )
        case "method":
            known = {method: method for row in _parameters(trade) for method in row.methods}
            return sorted(known.items())
        case "dispatch_id":
            return _pairs(execution.live_dispatches(trade), _dispatch)
        case "returns_dispatch_id":
            sent = execution.live_dispatches(trade).filter(direction=execution.OUTWARD)
            return _pairs(sent.exclude(delivery=None), _dispatch)
        case "supersedes_id":
            rows = QualityResult.objects.filter(trade=trade, pk__in=trade.governing.values("result"))
            return _pairs(rows.select_related("lot"), lambda row: f"{row.lot.lot_no}: {row}")
        case "corrects_id":
            rows = Weighment.objects.filter(trade=trade, corrected_by=None).select_related("lot")
            return _pairs(rows, lambda row: f"{row}, {row.lot.lot_no}: {group(row.net_kg)} kg")
        case "reverses_payment_id":
            rows = Payment.objects.filter(trade=trade, reversed_by=None).exclude(kind="REVERSAL")
            return _pairs(rows, lambda row: f"{row.get_kind_display()} {money(row.amount, row.currency)}")
    parties = trade.parties.select_related("partner").order_by("created_at", "pk")
    return [(str(row.partner_id), f"{row.partner}, {row.get_role_display().lower()}") for row in parties]


def initial(trade: Trade, service: Service) -> dict[str, Any]:
    """What is known before somebody types: the terms, lots and sides of the trade, and the time."""
    now, today = clock.now(), clock.today()
    match service.__name__:
        case "acknowledge":
            return {"contract_hash": trade.contract_hash}
        case "dispatch":
            return {"dispatched_at": now, "lines": _lines(trade)}
        case "deliver":
            return {"delivered_at": now, "lines": _lines(trade)}
        case "record_quality":
            return {"sampled_at": now, "tested_at": now, "values": _wanted(trade)}
        case "record_weight":
            return {"weighed_at": now}
        case "record_payment":
            sides = {"payer_id": trade.buyer_id, "payee_id": trade.seller_id}
            return {**sides, "currency": trade.currency, "paid_date": today}
        case "settle":
            return {"settled_date": today}
    return {}


def _lines(trade: Trade) -> list[dict[str, Any]]:
    lots = trade.lots.order_by("lot_no")
    return [{"lot_id": lot.pk, "count": lot.count, "weight_kg": lot.estimated_kg} for lot in lots]


def _wanted(trade: Trade) -> list[dict[str, Any]]:
    """A row for each parameter that the contract's schedule prices; one empty row without a schedule."""
    schedule = rules.terms_of(trade).schedule
    if schedule is None:
        return [{}]
    known = {row.code: row for row in _parameters(trade)}
    wanted = {line.parameter: line.method for line in schedule.rules.lines if line.parameter in known}
    return [{"parameter_id": known[code].pk, "method": method} for code, method in wanted.items()] or [{}]
