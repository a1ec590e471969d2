"""Dispatches with their e-way bills, deliveries, and returns of what was rejected."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

import structlog
from django.conf import settings
from django.db.models import Sum

from apps.approvals import services as approvals
from apps.commodities.exact import rounded
from apps.partners.models import Partner, PartnerRole, Vehicle
from apps.trades import capabilities, engine, events
from apps.trades.engine import errors as engine_errors
from apps.trades.engine import facts as f
from apps.trades.engine import terms as t
from apps.trades.engine.terms import Role
from apps.trades.models import (
    Amendment,
    Deadline,
    Delivery,
    DeliveryLine,
    Dispatch,
    DispatchLine,
    EwayExtension,
    EwayRequest,
    Governing,
    QualityResult,
    TaxRule,
    Trade,
)
from apps.trades.services import deadlines, effects, rules, settlement
from apps.trades.services.quality import proceed, upper_kg
from apps.trades.services.rules import day_of, head
from erp import clock
from erp.access import Actor
from erp.errors import FieldError
from erp.services import emit, service

_Status, _Eway = Trade.Status, Dispatch.Eway
OUTWARD, RETURN = f.Movement.OUTWARD.value, f.Movement.RETURN.value
Lines = Sequence[dict[str, Any]]
INVOICE_DAYS: Final = 7  # an invoice is dated at most so many days after its dispatch
log = structlog.get_logger(__name__)
EWAY_DAYS: Final = 360  # that an e-way bill can be extended to in all (CGST Rules r. 138)
RETRY_MINUTES: Final = (1, 5, 15, 60, 240)  # between attempts to get an e-way bill; then it has failed


def live_dispatches(trade: Trade) -> Any:
    """Dispatches that weren't voided."""
    return Dispatch.objects.filter(trade=trade, voided_at=None)


def live_dispatches_of(eway_number: str) -> Any:
    """Dispatches that weren't voided with this e-way bill."""
    return Dispatch.objects.filter(eway_number=eway_number, voided_at=None)


def in_transit(trade: Trade) -> bool:
    """Whether goods are on their way to the buyer."""
    return bool(live_dispatches(trade).filter(direction=OUTWARD, delivery=None).exists())


def _moved(trade: Trade, direction: str, column: str) -> dict[Any, Decimal]:
    """What was dispatched of each lot, in packages or kilograms."""
    lines = DispatchLine.objects.filter(
        dispatch__trade=trade, dispatch__voided_at=None, dispatch__direction=direction
    )
    sums = lines.values("lot").annotate(total=Sum(column)).values_list("lot", "total")
    return {lot: Decimal(total or 0) for lot, total in sums}


def _goods(lines: Lines) -> list[events.LotGoods]:
    return [
        events.LotGoods(lot_id=line["lot_id"], count=line.get("count"), weight_kg=line["weight_kg"])
        for line in lines
    ]


@service(
    requires=capabilities.DISPATCH,
    emits=[events.TradeDispatched, events.TradeAmendmentClosed],
    raises=dict.fromkeys([
        rules.InvalidState, rules.SnapshotDamaged, rules.NotYourPart, rules.DateInFuture, rules.LotUnknown,
        rules.CountMismatch, rules.VehiclePapersExpired, rules.TransporterUnfit, rules.QualityRejected, rules.OnHold,
        rules.OverTolerance, rules.LotOverdispatched, rules.DocumentMissing, rules.DocumentUsed, rules.NotDelivered,
        rules.NotRejected, rules.TimesOutOfOrder, *settlement.YEAR_ERRORS, *effects.ERRORS,
    ]),
    label="Record a dispatch",
)  # fmt: skip
def dispatch(
    trade: Trade,
    *,
    actor: Actor,
    dispatched_at: datetime,
    distance_km: int,
    lines: Lines,
    transporter: Partner | None = None,
    vehicle: Vehicle | None = None,
    vehicle_number: str = "",
    lr_number: str = "",
    invoice_number: str = "",
    invoice_date: date | None = None,
    challan_number: str = "",
    eway_number: str = "",
    returns: Dispatch | None = None,
) -> Dispatch:
    """Record goods that left for the buyer, or delivered goods that go back to the seller."""
    states = (
        (_Status.IN_EXECUTION, _Status.DELIVERED)
        if returns is not None
        else (_Status.APPROVED, _Status.IN_EXECUTION)
    )
    terms = rules.require_writable(trade, *states)
    sender = Role.SELLER if returns is None else Role.BUYER
    own = rules.role_of(trade, actor, sender, *([Role.TRANSPORTER] if returns is None else []))
    if own == Role.TRANSPORTER and (
        (transporter is not None and transporter.pk != actor.partner_id) or invoice_number or invoice_date
    ):
        raise rules.NotYourPart  # the invoice is the seller's: what is due when depends on it
    if trade.hold_code is not None and not actor.is_staff:
        raise rules.OnHold
    rules.require_past("/dispatched_at", dispatched_at)
    day = day_of(dispatched_at)
    _require_dates(trade, actor, day, invoice_date)
    lots = rules.require_lots(trade, lines)
    if returns is None:
        _require_open(trade, terms, lines, lots)
    else:
        _require_rejected(trade, lots)
        _require_delivered(trade, returns, lines)
    carrier = transporter or _carrier(trade)
    vehicle, plate = _roadworthy(carrier, vehicle, vehicle_number, day)
    value = _value(trade, terms, lines, day)
    status = _eway_status(trade, terms, value, eway_number, day)
    document = invoice_number or challan_number
    if status != _Eway.NOT_NEEDED and not document:
        raise rules.DocumentMissing.at(
            "/invoice_number", "required", "Enter the invoice or delivery challan."
        )
    consignor = trade.seller_id if returns is None else trade.buyer_id
    if (
        status != _Eway.NOT_NEEDED
        and Dispatch.objects.filter(
            consignor=consignor,
            eway_document=document,
            voided_at=None,
            eway_status__in=(_Eway.PENDING, _Eway.RECORDED),
        ).exists()
    ):
        raise rules.DocumentUsed
    if eway_number and live_dispatches_of(eway_number).exists():
        raise rules.DocumentUsed
    places = [terms.references.get("from_location_id"), terms.references.get("to_location_id")]
    start, end = places if returns is None else places[::-1]
    row = Dispatch(
        trade=trade,
        direction=OUTWARD if returns is None else RETURN,
        returns=returns,
        dispatched_at=dispatched_at,
        transporter=carrier,
        vehicle=vehicle,
        vehicle_number=plate,
        lr_number=lr_number,
        distance_km=distance_km,
        from_location_id=start,
        to_location_id=end,
        consignor_id=consignor,
        invoice_number=invoice_number,
        invoice_date=invoice_date,
        challan_number=challan_number,
        consignment_value=value,
        eway_number=eway_number,
        eway_document=document if status != _Eway.NOT_NEEDED else "",
        eway_status=status,
        eway_valid_until=end_of_validity(dispatched_at, distance_km) if eway_number else None,
        created_by_id=actor.pk,
    )
    row.save()
    if status == _Eway.PENDING:
        EwayRequest(dispatch=row, next_at=clock.now()).save()
    for line in lines:
        DispatchLine(
            dispatch=row, lot_id=line["lot_id"], count=line.get("count"), weight_kg=line["weight_kg"]
        ).save()
    if returns is None:
        deadlines.after_dispatch(trade, terms, row, actor)
        _overtake_amendments(trade, actor)
        proceed(trade)
    else:
        rules.touch(trade)
    emit(
        events.TradeDispatched(
            **head(trade), dispatch_id=row.pk, direction=row.direction, lines=_goods(lines), distance_km=distance_km,
            eway_status=status,
        )
    )  # fmt: skip
    return row


def _require_dates(trade: Trade, actor: Actor, day: date, invoice_date: date | None) -> None:
    """Nothing leaves before the approval, and no invoice is older than the trade or much younger than the dispatch."""
    if trade.approved_at is not None and day < day_of(trade.approved_at):
        raise rules.TimesOutOfOrder.at("/dispatched_at", "order", "The trade was not approved on that day.")
    if invoice_date is None:
        return
    settlement.require_open_date(trade, actor, invoice_date, "/invoice_date")
    last = day + timedelta(days=INVOICE_DAYS)
    if not trade.trade_date <= invoice_date <= last:
        raise rules.TimesOutOfOrder.at("/invoice_date", "order", f"From {trade.trade_date} to {last}.")


def _overtake_amendments(trade: Trade, actor: Actor) -> None:
    """Terms that a figure depends on can't change once goods have left: open amendments of them are stale."""
    for amendment in Amendment.objects.filter(trade=trade, commercial=True, status__in=Amendment.OPEN):
        approvals.mark_stale(actor=actor, row_type="trade_amendment", row_id=amendment.pk)
        amendment.status = Amendment.Status.STALE
        amendment.save()
        emit(
            events.TradeAmendmentClosed(
                **head(trade), amendment_id=amendment.pk, amendment_status=amendment.status
            )
        )


def _require_rejected(trade: Trade, lots: Iterable[Any]) -> None:
    """Only a lot that the governing result rejects goes back (rulings §4)."""
    rejected = Governing.objects.filter(trade=trade, result__decision=QualityResult.Decision.REJECT)
    if set(lots) - set(rejected.values_list("lot_id", flat=True)):
        raise rules.NotRejected


def _require_open(trade: Trade, terms: t.Terms, lines: Lines, lots: dict[Any, Any]) -> None:
    """What leaves must be accepted quality and within the lots and the contract."""
    rejected = Governing.objects.filter(trade=trade, result__decision=QualityResult.Decision.REJECT).exclude(
        result__source=QualityResult.Source.AWARD
    )
    if rejected.filter(lot__in=lots).exists():
        raise rules.QualityRejected
    counts = _moved(trade, OUTWARD, "count")  # what came back is the offer's again
    for number, line in enumerate(lines):
        lot = lots[line["lot_id"]]
        gone = counts.get(lot.pk, Decimal(0))
        if lot.count is not None and gone + line["count"] > lot.count:
            left = max(lot.count - gone, Decimal(0))
            raise rules.LotOverdispatched(
                errors=[
                    FieldError(f"/lines/{number}/count", "too_many", f"{left} packages of the lot are left.")
                ]
            )
    weight = sum(_moved(trade, OUTWARD, "weight_kg").values(), Decimal(0))
    most = upper_kg(trade, terms)
    if weight + sum(line["weight_kg"] for line in lines) > most:
        raise rules.OverTolerance(most_kg=str(most))


def _require_delivered(trade: Trade, returns: Dispatch, lines: Lines) -> None:
    """Only what a delivery of this trade brought can go back, once."""
    returns = Dispatch.objects.get(pk=returns.pk)  # as it is under the lock of the trade
    if returns.trade_id != trade.pk or returns.direction != OUTWARD:
        raise rules.NotDelivered.at(
            "/returns_dispatch_id", "does_not_exist", "The trade has no such dispatch."
        )
    arrived = {
        row.lot_id: row for row in DeliveryLine.objects.filter(delivery__dispatch=returns).order_by("pk")
    }
    gone = DispatchLine.objects.filter(dispatch__returns=returns, dispatch__voided_at=None)
    for number, line in enumerate(lines):
        came = arrived.get(line["lot_id"])
        if came is None:
            raise rules.NotDelivered
        went = gone.filter(lot_id=line["lot_id"]).aggregate(count=Sum("count"), kg=Sum("weight_kg"))
        over = line["weight_kg"] + (went["kg"] or 0) > came.weight_kg
        if over or (came.count is not None and line["count"] + (went["count"] or 0) > came.count):
            raise rules.LotOverdispatched(
                errors=[FieldError(f"/lines/{number}", "too_many", "More than was delivered.")]
            )


def _take_back(trade: Trade, terms: t.Terms, row: Delivery, lines: Lines, actor: Actor) -> None:
    """Returned goods go back to the offer; demand falls by what was bought of them."""
    effects.locked(trade)
    quantity = quantity_of_lines(trade, lines)
    effects.give_back(
        trade,
        actor,
        quantity=quantity,
        amount=_price(trade, terms, kg_of(lines)),
        key=str(row.pk),
        withdraw=False,
    )


def quantity_of_lines(trade: Trade, lines: Lines) -> Decimal:
    """Goods in the offer's unit: packages, else in proportion to the contract weight."""
    if trade.count is not None:
        return Decimal(sum(line["count"] for line in lines))
    return rounded(Fraction(trade.quantity) * Fraction(kg_of(lines)) / Fraction(trade.weight_kg), 3)


def kg_of(lines: Lines) -> Decimal:
    """Kilograms of goods."""
    return sum((line["weight_kg"] for line in lines), Decimal(0))


def _price(trade: Trade, terms: t.Terms, kg: Decimal) -> Decimal:
    """What goods cost at the contract price, before tax."""
    return rounded(Fraction(kg) * Fraction(trade.price) / terms.unit.k, 2)


def _carrier(trade: Trade) -> Partner | None:
    party = trade.parties.filter(role=Role.TRANSPORTER).select_related("partner").first()
    return party and party.partner


def _roadworthy(
    carrier: Partner | None, vehicle: Vehicle | None, number: str, day: date
) -> tuple[Vehicle | None, str]:
    """The vehicle and its plate; one that we know needs valid papers, whoever named it."""
    roles = PartnerRole.objects.usable(day).filter(service_kind=PartnerRole.ServiceKind.TRANSPORTER)
    if carrier is not None and not roles.filter(partner=carrier).exists():
        raise rules.TransporterUnfit.at("/transporter_id", "not_usable", "The partner can't carry goods now.")
    plate = "".join(number.upper().split())
    if vehicle is None and plate:
        vehicle = Vehicle.objects.filter(number=plate, status=Vehicle.Status.ACTIVE).first()
    if vehicle is None and not plate:
        raise rules.TransporterUnfit.at("/vehicle_number", "required", "Name the vehicle.")
    if vehicle is None:
        return None, plate
    if carrier is not None and vehicle.partner_id != carrier.pk:
        raise rules.TransporterUnfit.at("/vehicle_id", "mismatch", "It is another transporter's vehicle.")
    if not Vehicle.objects.roadworthy(day).filter(pk=vehicle.pk).exists():
        raise rules.VehiclePapersExpired
    return vehicle, vehicle.number


def _value(trade: Trade, terms: t.Terms, lines: Lines, day: date) -> Decimal:
    """Value of a consignment with tax, at the contract price."""
    return rounded(Fraction(_price(trade, terms, kg_of(lines))) * effects.tax_factor(terms, day), 2)


def _eway_status(trade: Trade, terms: t.Terms, value: Decimal, number: str, day: date) -> str:
    """Whether the consignment needs an e-way bill: by the dated limit of the state, else the one between states."""
    if number:
        return _Eway.RECORDED
    start, end = terms.delivery.from_state, terms.delivery.to_state
    if not start:
        return _Eway.NOT_NEEDED
    limits = TaxRule.objects.active().on(day).filter(kind=TaxRule.Kind.EWAY)
    own = limits.filter(applies__state_code=start).first() if start == end else None
    row = own or limits.filter(applies__state_code__isnull=True).first()
    if row is None:
        raise engine_errors.TaxRuleMissing(f"There is no limit for e-way bills on {day}.")
    return _Eway.PENDING if value > Decimal(row.figures["limit"]) else _Eway.NOT_NEEDED


def end_of_validity(start: datetime, distance_km: int) -> datetime:
    """End of an e-way bill: one day for each stretch, to the midnight after (CGST Rules r. 138(10))."""
    days = -(-distance_km // settings.TRADE_EWAY_KM_PER_DAY)
    last = day_of(start) + timedelta(days=days + 1)
    return datetime.combine(last, time(), clock.KOLKATA).astimezone(UTC)


@service(
    requires=capabilities.DISPATCH,
    emits=[events.TradeDispatchVoided],
    raises=[rules.InvalidState, rules.SnapshotDamaged, rules.NotYourPart, rules.AlreadyDelivered],
    lock_via=rules.lock_trade,
    label="Void a dispatch",
)
def void_dispatch(dispatch: Dispatch, *, actor: Actor, reason: str) -> Dispatch:
    """Take back a dispatch before its delivery: it was recorded by mistake, or the goods never left."""
    trade = dispatch.trade
    is_return = dispatch.direction == RETURN
    terms = rules.require_writable(trade, _Status.IN_EXECUTION, *([_Status.DELIVERED] if is_return else []))
    rules.role_of(trade, actor, *([] if is_return else [Role.SELLER]))  # staff alone void a return
    if dispatch.voided_at is not None or hasattr(dispatch, "delivery"):
        raise rules.AlreadyDelivered
    dispatch.voided_at, dispatch.voided_by_id, dispatch.void_reason = clock.now(), actor.pk, reason
    dispatch.save()
    if not is_return:
        deadlines.after_void(trade, terms, dispatch)
    rules.touch(trade)
    emit(events.TradeDispatchVoided(**head(trade), dispatch_id=dispatch.pk))
    return dispatch


@service(
    requires=capabilities.DISPATCH,
    emits=[events.TradeEwayExtended],
    raises=[
        rules.InvalidState, rules.SnapshotDamaged, rules.NotYourPart, rules.AlreadyDelivered,
        rules.TransporterUnfit, rules.VehiclePapersExpired, rules.TimesOutOfOrder,
    ],
    lock_via=rules.lock_trade,
    label="Change vehicle or validity",
)  # fmt: skip
def extend_eway(
    dispatch: Dispatch,
    *,
    actor: Actor,
    reason: str,
    vehicle_number: str = "",
    valid_until: datetime | None = None,
) -> EwayExtension:
    """Add a change of vehicle, or a longer validity, to the e-way bill of goods on their way."""
    trade = dispatch.trade
    rules.require_writable(trade, _Status.IN_EXECUTION, _Status.DELIVERED)
    rules.role_of(trade, actor, Role.SELLER, Role.TRANSPORTER)
    if dispatch.voided_at is not None or hasattr(dispatch, "delivery"):
        raise rules.AlreadyDelivered
    if not vehicle_number and valid_until is None:
        raise rules.TransporterUnfit.at("/vehicle_number", "required", "Name the vehicle or the new end.")
    plate = ""
    if vehicle_number:
        _, plate = _roadworthy(dispatch.transporter, None, vehicle_number, clock.today())
    last = dispatch.eway_valid_until
    latest = dispatch.dispatched_at + timedelta(days=EWAY_DAYS)
    if valid_until is not None and (valid_until > latest or (last is not None and valid_until <= last)):
        words = f"Later than before, and at most {EWAY_DAYS} days after the dispatch."
        raise rules.TimesOutOfOrder.at("/valid_until", "order", words)
    kind = EwayExtension.Kind.VEHICLE if plate else EwayExtension.Kind.VALIDITY
    row = EwayExtension(
        trade=trade, dispatch=dispatch, kind=kind, vehicle_number=plate, valid_until=valid_until, reason=reason,
        created_by_id=actor.pk,
    )  # fmt: skip
    row.save()
    dispatch.vehicle_number = plate or dispatch.vehicle_number
    dispatch.eway_valid_until = valid_until or last
    dispatch.save()
    rules.touch(trade)
    emit(events.TradeEwayExtended(**head(trade), dispatch_id=dispatch.pk, kind=kind, valid_until=valid_until))
    return row


@service(
    requires=capabilities.DISPATCH,
    emits=[events.TradeEwayRecorded, events.TradeEwayFailed],
    lock_via=rules.lock_trade,
    label="Record an e-way bill",
)
def record_eway(dispatch: Dispatch, *, actor: Actor, number: str = "") -> Dispatch:
    """Record the answer of the e-way bill portal, or that it refuses; a repeat changes nothing."""
    trade = dispatch.trade
    waiting = (_Eway.PENDING, _Eway.FAILED) if number else (_Eway.PENDING,)
    if dispatch.eway_status not in waiting or dispatch.voided_at is not None:
        if (
            number and number != dispatch.eway_number
        ):  # issued meanwhile: staff must cancel it with the government
            log.error("eway_number_unused", dispatch=str(dispatch.pk), number=number)
        return dispatch
    dispatch.eway_status = _Eway.RECORDED if number else _Eway.FAILED
    until = end_of_validity(dispatch.dispatched_at, dispatch.distance_km)
    if number:
        dispatch.eway_number, dispatch.eway_valid_until = number, until
    dispatch.save()
    rules.touch(trade)
    if number:
        emit(events.TradeEwayRecorded(**head(trade), dispatch_id=dispatch.pk, valid_until=until))
    else:
        emit(events.TradeEwayFailed(**head(trade), dispatch_id=dispatch.pk))
    return dispatch


@service(
    requires=capabilities.DISPATCH,
    emits=[events.TradeEwayRecorded],
    raises=[rules.InvalidState, rules.NotYourPart, rules.DocumentUsed, rules.TimesOutOfOrder],
    lock_via=rules.lock_trade,
    label="Enter the e-way bill",
    description="Enter the number of an e-way bill that was made on the government's portal.",
)
def enter_eway(
    dispatch: Dispatch, *, actor: Actor, number: str, valid_until: datetime | None = None
) -> Dispatch:
    """Record a bill that staff made on the portal themselves, where ours was refused or isn't answered."""
    trade = dispatch.trade
    rules.role_of(trade, actor)  # staff only
    if dispatch.eway_status not in (_Eway.PENDING, _Eway.FAILED) or dispatch.voided_at is not None:
        raise rules.InvalidState("The dispatch waits for no e-way bill.")
    if live_dispatches_of(number).exists():
        raise rules.DocumentUsed.at("/number", "used", "Another dispatch has this e-way bill.")
    until = valid_until or end_of_validity(dispatch.dispatched_at, dispatch.distance_km)
    if not dispatch.dispatched_at < until <= dispatch.dispatched_at + timedelta(days=EWAY_DAYS):
        words = f"After the dispatch, and at most {EWAY_DAYS} days later."
        raise rules.TimesOutOfOrder.at("/valid_until", "order", words)
    dispatch.eway_status, dispatch.eway_number, dispatch.eway_valid_until = _Eway.RECORDED, number, until
    dispatch.save()
    rules.touch(trade)
    emit(events.TradeEwayRecorded(**head(trade), dispatch_id=dispatch.pk, valid_until=until))
    return dispatch


@service(
    requires=capabilities.DISPATCH,
    emits=[events.TradeEwayFailed],
    machinery="when a remote is asked again is no business fact",
    lock_via=rules.lock_trade,
    label="Ask for an e-way bill later",
)
def postpone_eway(dispatch: Dispatch, *, actor: Actor) -> Dispatch:
    """The portal didn't answer: ask again later, and give up after the last attempt."""
    if dispatch.eway_status != _Eway.PENDING:
        return dispatch
    request = EwayRequest.objects.get(dispatch=dispatch)
    if request.attempts >= len(RETRY_MINUTES):
        done: Dispatch = record_eway(dispatch, actor=actor)
        return done
    request.next_at = clock.now() + timedelta(minutes=RETRY_MINUTES[request.attempts])
    request.attempts += 1
    request.save()
    return dispatch


@service(
    requires=capabilities.DISPATCH,
    emits=[events.TradeDelivered],
    raises=dict.fromkeys([
        rules.InvalidState, rules.SnapshotDamaged, rules.NotYourPart, rules.DateInFuture, rules.LotUnknown,
        rules.CountMismatch, rules.AlreadyDelivered, rules.DeliveredBeforeDispatch, rules.LotOverdelivered,
        rules.GoodsInTransit, *effects.ERRORS,
    ]),
    label="Record a delivery",
)  # fmt: skip
def deliver(
    trade: Trade,
    *,
    actor: Actor,
    dispatch: Dispatch,
    delivered_at: datetime,
    lines: Lines,
    final: bool = False,
    condition_note: str = "",
) -> Delivery:
    """Record what arrived of a dispatch; the last one, or what completes the quantity, ends the execution.

    What comes back to the seller it records itself: only then it has the goods again, and the buyer owes less.
    A final delivery that stays below the tolerance leaves a rest, which is cancelled with its washout.
    """
    dispatch = Dispatch.objects.get(pk=dispatch.pk)  # as it is under the lock of the trade
    is_return = dispatch.trade_id == trade.pk and dispatch.direction == RETURN
    terms = rules.require_writable(trade, _Status.IN_EXECUTION, *([_Status.DELIVERED] if is_return else []))
    rules.role_of(trade, actor, Role.SELLER if is_return else Role.BUYER)
    rules.require_past("/delivered_at", delivered_at)
    if dispatch.trade_id != trade.pk:
        raise rules.LotUnknown.at("/dispatch_id", "does_not_exist", "The trade has no such dispatch.")
    if dispatch.voided_at is not None or hasattr(dispatch, "delivery"):
        raise rules.AlreadyDelivered
    if day_of(delivered_at) < day_of(dispatch.dispatched_at):
        raise rules.DeliveredBeforeDispatch
    rules.require_lots(trade, lines)
    sent = {row.lot_id: row for row in dispatch.lines.all()}
    for number, line in enumerate(lines):
        went = sent.get(line["lot_id"])
        if went is None or line["weight_kg"] > went.weight_kg or (line.get("count") or 0) > (went.count or 0):
            words = "More than was dispatched."
            raise rules.LotOverdelivered(errors=[FieldError(f"/lines/{number}", "too_many", words)])
    row = Delivery(
        trade=trade,
        dispatch=dispatch,
        delivered_at=delivered_at,
        final=final,
        condition_note=condition_note,
        created_by_id=actor.pk,
    )
    row.save()
    for line in lines:
        DeliveryLine(
            delivery=row, lot_id=line["lot_id"], count=line.get("count"), weight_kg=line["weight_kg"]
        ).save()
    if is_return:
        _take_back(trade, terms, row, lines, actor)
        return _tell_delivered(trade, row, lines, complete=False)
    if final and in_transit(trade):
        raise rules.GoodsInTransit
    complete = _is_complete(trade, terms, final=final)
    kg = kg_of(lines)
    left = Fraction(trade.open_kg) - Fraction(arrived(trade)["kg"] or 0) + Fraction(kg)  # before this one
    part = Fraction(1) if complete or left <= kg else Fraction(kg) / left
    effects.deliver(trade, actor, effects.exposure_of(trade, terms, kg), str(row.pk), part=part)
    deadlines.after_delivery(trade, terms, day_of(delivered_at), actor)
    if complete:
        deadlines.close(trade, Deadline.Kind.DELIVERY)
    trade.status = _Status.DELIVERED if complete else trade.status
    return _tell_delivered(trade, row, lines, complete=complete)


def _tell_delivered(trade: Trade, row: Delivery, lines: Lines, *, complete: bool) -> Delivery:
    rules.touch(trade)
    emit(
        events.TradeDelivered(
            **head(trade),
            delivery_id=row.pk,
            dispatch_id=row.dispatch_id,
            lines=_goods(lines),
            complete=complete,
        )
    )
    return row


def arrived(trade: Trade) -> dict[str, Any]:
    """What was delivered to the buyer: packages and kilograms."""
    lines = DeliveryLine.objects.filter(delivery__trade=trade, delivery__dispatch__direction=OUTWARD)
    found: dict[str, Any] = lines.aggregate(count=Sum("count"), kg=Sum("weight_kg"))
    return found


def _is_complete(trade: Trade, terms: t.Terms, *, final: bool) -> bool:
    """Whether the quantity is delivered: all packages or kilograms, or at the end what the tolerance allows."""
    if in_transit(trade):
        return False
    came = arrived(trade)
    if trade.count is not None and (came["count"] or 0) >= trade.count - trade.cancelled_count:
        return True
    kg = Fraction(came["kg"] or 0)
    lower = engine.version(engine.CURRENT).band(terms)[0] - Fraction(trade.cancelled_kg)
    if final:
        return bool(kg >= lower)
    return bool(trade.count is None and kg >= Fraction(trade.open_kg))
