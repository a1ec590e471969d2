"""Quality results and weighings of a trade."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.db.models import Q, Sum

from apps.commodities.differences import Result
from apps.commodities.figures import plain
from apps.commodities.models.parameters import QualityParameter
from apps.partners.models import Partner
from apps.trades import capabilities, engine, events
from apps.trades.engine import facts as f
from apps.trades.engine import terms as t
from apps.trades.engine.terms import Role
from apps.trades.models import (
    Dispatch,
    DispatchLine,
    Governing,
    Lot,
    QualityResult,
    QualityValue,
    Trade,
    Weighment,
)
from apps.trades.services import rules
from apps.trades.services.approval import involved
from apps.trades.services.rules import head
from erp import access
from erp.access import Actor
from erp.errors import FieldError, SelfApproval
from erp.services import emit, service

_Status, _Source = Trade.Status, QualityResult.Source
RUNNING: Final = (_Status.APPROVED, _Status.IN_EXECUTION, _Status.DELIVERED)


def proceed(trade: Trade) -> None:
    """The trade has changed; the first record of its execution starts it."""
    rules.touch(trade, status=_Status.IN_EXECUTION if trade.status == _Status.APPROVED else trade.status)


def lot_of(trade: Trade, lot_id: Any) -> Lot:
    """A lot of the trade. Raises LotUnknown."""
    lot: Lot | None = trade.lots.filter(pk=lot_id).first()
    if lot is None:
        raise rules.LotUnknown.at("/lot_id", "does_not_exist", "The trade has no such lot.")
    return lot


@service(
    requires=capabilities.RECORD_QUALITY,
    emits=[events.TradeQualityRecorded],
    raises=[
        rules.InvalidState, rules.SnapshotDamaged, rules.NotYourPart, rules.LotUnknown, rules.DateInFuture,
        rules.TimesOutOfOrder, rules.ParameterUnknown, rules.ValueOutOfRange, rules.UnitMismatch,
        rules.SourceNotFinal, rules.GoverningIncomplete, rules.GoverningExists, rules.FileUsed,
        rules.EvidenceRequired, rules.NotRejected, SelfApproval,
        engine.errors.ScheduleGap,
        engine.errors.FactsMissing,
    ],
    label="Record a quality result",
)  # fmt: skip
def record_quality(
    trade: Trade,
    *,
    actor: Actor,
    lot_id: Any,
    source: str,
    sampled_at: datetime,
    tested_at: datetime,
    values: Sequence[dict[str, Any]],
    laboratory: Partner | None = None,
    sample_refs: Sequence[str] = (),
    governing: bool = False,
    supersedes: QualityResult | None = None,
    report: rules.Evidence | None = None,
    award_price: Decimal | None = None,
    award_allowance_percent: Decimal | None = None,
) -> QualityResult:
    """Record test results of a lot; the contract's schedule decides. A governing one is what the lot is priced by."""
    terms = rules.require_writable(trade, *RUNNING)
    own = rules.role_of(trade, actor, Role.CONTROLLER)
    if own and (source != _Source.CONTROLLER or (governing and terms.quality.final_source != source)):
        raise rules.NotYourPart
    lot = lot_of(trade, lot_id)
    rules.require_past("/tested_at", tested_at)
    if sampled_at > tested_at:
        raise rules.TimesOutOfOrder.at("/sampled_at", "order", "Samples are drawn before they are tested.")
    rows = _values(trade, values)
    is_award = source == _Source.AWARD
    current = Governing.objects.filter(trade=trade, lot=lot).select_related("result").first()
    if is_award:
        _require_award(
            trade, actor, current, report, beyond=(award_price, award_allowance_percent) != (None, None)
        )
    if (award_price is not None or award_allowance_percent is not None) and not is_award:
        raise rules.SourceNotFinal.at(
            "/award_price", "award_only", "Only an award sets a price or an allowance."
        )
    if governing and source not in (terms.quality.final_source, _Source.AWARD):
        raise rules.SourceNotFinal(final_source=terms.quality.final_source)
    governs = current.result_id if governing and current is not None else None
    if supersedes is not None and governs != supersedes.pk:
        raise rules.GoverningExists.at("/supersedes_id", "not_governing", "Name the result that governs now.")
    if governing and current is not None and supersedes is None:
        raise rules.GoverningExists(governing_id=str(current.result_id))
    report = rules.use_file(actor, report)
    result = QualityResult(
        trade=trade,
        lot=lot,
        source=source,
        laboratory=laboratory,
        sampled_at=sampled_at,
        tested_at=tested_at,
        sample_refs=list(sample_refs),
        decision=_decide(terms, lot, source, rows, complete=governing, award_price=award_price,
                         award_allowance_percent=award_allowance_percent),
        supersedes=supersedes,
        report=report,
        award_price=award_price,
        award_allowance_percent=award_allowance_percent,
        created_by_id=actor.pk,
    )  # fmt: skip
    result.save()
    for row in rows:
        row.result = result
        row.save()
    if governing:
        current = current or Governing(trade=trade, lot=lot, created_by_id=actor.pk)
        current.result = result
        current.save()
    proceed(trade)
    emit(
        events.TradeQualityRecorded(
            **head(trade), result_id=result.pk, lot_id=lot.pk, source=source, decision=result.decision,
            governing=governing,
        )
    )  # fmt: skip
    return result


def _require_award(
    trade: Trade, actor: Actor, current: Governing | None, report: rules.Evidence | None, *, beyond: bool
) -> None:
    """An award is made as a dispute is decided: by who may, had no part in the trade, and has a report.

    Raises CapabilityMissing, SelfApproval, EvidenceRequired; NotRejected for a price of goods that weren't rejected.
    """
    access.authorize(actor, capabilities.RESOLVE_DISPUTE, trade)
    if actor.pk in involved(trade):
        raise SelfApproval("You had a part in this trade, so another person must make the award.")
    if report is None:
        raise rules.EvidenceRequired.at("/report_upload_id", "required", "Upload the award.")
    if beyond and (current is None or current.result.decision != QualityResult.Decision.REJECT):
        raise rules.NotRejected


def _values(trade: Trade, values: Sequence[dict[str, Any]]) -> list[QualityValue]:
    """The values as rows. Raises ParameterUnknown, ValueOutOfRange, UnitMismatch with pointers."""
    known = {
        row.pk: row
        for row in QualityParameter.objects.filter(commodity_id=trade.commodity_id, data_type="DECIMAL")
    }
    rows, seen = [], set()
    for number, entry in enumerate(values):
        pointer, parameter = f"/values/{number}", known.get(entry["parameter_id"])
        if parameter is None or parameter.pk in seen:
            raise rules.ParameterUnknown.at(f"{pointer}/parameter_id", "does_not_exist", "Unknown, or twice.")
        seen.add(parameter.pk)
        method = entry.get("method") or parameter.default_method or ""
        if method and parameter.methods and method not in parameter.methods:
            raise rules.ParameterUnknown.at(
                f"{pointer}/method", "unknown", f"Use {', '.join(parameter.methods)}."
            )
        if entry.get("unit") and entry["unit"] != parameter.unit:
            raise rules.UnitMismatch.at(f"{pointer}/unit", "mismatch", f"Results are in {parameter.unit}.")
        low, high = parameter.possible_min, parameter.possible_max
        if (low is not None and entry["value"] < low) or (high is not None and entry["value"] > high):
            raise rules.ValueOutOfRange.at(f"{pointer}/value", "out_of_range", f"From {low} to {high}.")
        rows.append(
            QualityValue(parameter=parameter, value=entry["value"], unit=parameter.unit or "", method=method)
        )
    return rows


def _decide(
    terms: t.Terms, lot: Lot, source: str, rows: Sequence[QualityValue], *, complete: bool, **award: Any
) -> str:
    """What the schedule says; of results that don't govern only the lines that they have values for."""
    if terms.schedule is None:
        return str(QualityResult.Decision.PASS)
    results = tuple(Result(row.parameter.code, row.method, Decimal(plain(row.value))) for row in rows)
    measured = {result.parameter for result in results}
    lines = terms.schedule.rules.lines
    missing = [
        line for line in lines if not {line.parameter, line.second_parameter or line.parameter} <= measured
    ]
    if missing and complete:
        names = ", ".join(sorted({line.parameter for line in missing}))
        raise rules.GoverningIncomplete(
            f"The schedule needs {names}.",
            errors=[FieldError("/values", "incomplete", f"The schedule needs {names}.")],
        )
    asked = replace(terms.schedule.rules, lines=tuple(line for line in lines if line not in missing))
    judged = replace(terms, schedule=replace(terms.schedule, rules=asked))
    found = f.Governing(lot_no=lot.lot_no, source=source, results=results, **award)
    return str(engine.version(engine.CURRENT).decide(judged, found))


# Weighings


def _weigher(trade: Trade, actor: Actor, stage: str) -> None:
    """Raise NotYourPart unless it is the seller at the origin, the buyer at the destination, or the controller."""
    allowed = {f.Stage.ORIGIN: (Role.SELLER,), f.Stage.DESTINATION: (Role.BUYER,)}
    rules.role_of(trade, actor, *allowed.get(f.Stage(stage), ()), Role.CONTROLLER)


@service(
    requires=capabilities.RECORD_WEIGHT,
    emits=[events.TradeWeighed],
    raises=[
        rules.InvalidState, rules.SnapshotDamaged, rules.NotYourPart, rules.LotUnknown, rules.DateInFuture,
        rules.NetNotPositive, rules.CountMismatch, rules.OverTolerance, rules.SlipUsed, rules.AlreadyCorrected,
        rules.DispatchRequired, rules.FileUsed, rules.EvidenceRequired,
    ],
    label="Record a weighing",
)  # fmt: skip
def record_weight(
    trade: Trade,
    *,
    actor: Actor,
    lot_id: Any,
    stage: str,
    weighed_at: datetime,
    gross_kg: Decimal,
    tare_kg: Decimal,
    weighbridge: str,
    slip_number: str,
    count: int | None = None,
    tare_method: str = t.TareMethod.ACTUAL.value,
    dispatch: Dispatch | None = None,
    slip: rules.Evidence | None = None,
    corrects: Weighment | None = None,
) -> Weighment:
    """Record a weighing of a lot at the origin or at the destination; a correction names the weighing it corrects."""
    terms = rules.require_writable(trade, *RUNNING)
    _weigher(trade, actor, stage)
    lot = lot_of(trade, lot_id)
    rules.require_past("/weighed_at", weighed_at)
    if tare_kg >= gross_kg:
        raise rules.NetNotPositive.at("/tare_kg", "too_large", "The tare is below the gross weight.")
    if dispatch is not None:
        dispatch = Dispatch.objects.get(pk=dispatch.pk)  # as it is under the lock of the trade
    if dispatch is not None and (dispatch.trade_id != trade.pk or dispatch.voided_at is not None):
        raise rules.DispatchRequired.at("/dispatch_id", "does_not_exist", "The trade has no such dispatch.")
    if stage == f.Stage.DESTINATION and dispatch is None:
        raise rules.DispatchRequired.at("/dispatch_id", "required", "Name the dispatch.")
    if corrects is not None:
        same = (corrects.trade_id, corrects.lot_id, corrects.stage, corrects.dispatch_id)
        if same != (trade.pk, lot.pk, stage, dispatch and dispatch.pk):
            raise rules.LotUnknown.at("/corrects_id", "mismatch", "It is of another lot, stage or dispatch.")
        recorded_by = getattr(corrects.created_by, "partner_id", None)
        if actor.partner_id is not None and recorded_by != actor.partner_id:
            raise rules.NotYourPart  # nobody replaces another's weighing by its own
        if actor.partner_id is None and recorded_by is not None and slip is None:
            raise rules.EvidenceRequired.at("/slip_upload_id", "required", "Upload the slip.")
        if Weighment.objects.filter(corrects=corrects).exists():
            raise rules.AlreadyCorrected
    _require_slip(trade, stage, weighbridge, slip_number, corrects)
    counting = Weighment.objects.filter(trade=trade, stage=stage, corrected_by=None, dispatch__voided_at=None)
    counting = counting.exclude(pk=corrects.pk) if corrects is not None else counting
    _require_count(lot, count, dispatch, counting)
    net = gross_kg - tare_kg
    weighed = counting.aggregate(kg=Sum("net_kg"))["kg"] or Decimal(0)
    if stage != f.Stage.CHECK and weighed + net > upper_kg(trade, terms):
        raise rules.OverTolerance(most_kg=str(upper_kg(trade, terms)))
    slip = rules.use_file(actor, slip)
    row = Weighment(
        trade=trade,
        organization_id=trade.organization_id,
        lot=lot,
        dispatch=dispatch,
        stage=stage,
        weighed_at=weighed_at,
        count=count,
        gross_kg=gross_kg,
        tare_kg=tare_kg,
        net_kg=net,
        tare_method=tare_method,
        weighbridge=weighbridge,
        slip_number=slip_number,
        slip=slip,
        corrects=corrects,
        created_by_id=actor.pk,
    )
    row.save()
    proceed(trade)
    emit(
        events.TradeWeighed(
            **head(trade), weighment_id=row.pk, lot_id=lot.pk, stage=stage, net_kg=net, count=count
        )
    )
    return row


def upper_kg(trade: Trade, terms: t.Terms) -> Decimal:
    """The most kilograms that fulfil the contract, in grams, without what was cancelled."""
    upper = engine.version(engine.CURRENT).band(terms)[1]
    return Decimal(int(upper * 1000)) / 1000 - Decimal(trade.cancelled_kg)


def _require_slip(trade: Trade, stage: str, weighbridge: str, slip: str, corrects: Weighment | None) -> None:
    """Raise SlipUsed for a slip of another weighing than the one that is corrected, and its own corrections."""
    used = Weighment.objects.filter(
        organization_id=trade.organization_id,
        stage=stage,
        weighbridge__iexact=weighbridge,
        slip_number__iexact=slip,
    )
    if corrects is not None:
        used = used.exclude(Q(pk=corrects.pk) | Q(pk=corrects.corrects_id))
    if used.exists():
        raise rules.SlipUsed


def _require_count(lot: Lot, count: int | None, dispatch: Dispatch | None, counting: Any) -> None:
    """Raise CountMismatch where more packages are weighed than the lot, or its part in the dispatch, has."""
    if (count is None) != (lot.count is None):
        words = "Enter the packages that were weighed." if count is None else "The lot isn't counted."
        raise rules.CountMismatch.at("/count", "count", words)
    if count is None:
        return
    most, rows = lot.count, counting.filter(lot=lot)
    if dispatch is not None:
        line = DispatchLine.objects.filter(dispatch=dispatch, lot=lot).first()
        most, rows = (line.count if line is not None else 0), rows.filter(dispatch=dispatch)
    if count + (rows.aggregate(n=Sum("count"))["n"] or 0) > (most or 0):
        raise rules.CountMismatch.at("/count", "too_many", f"At most {most} packages.")
