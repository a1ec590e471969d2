"""Settle a trade: its facts, every figure with its trace, who owes whom, and the TDS positions (trades §4, §5.4)."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid5

from django.db.models import Q

from apps.approvals.models import ApprovalDecision
from apps.organization.models import DocumentType, FinancialYear
from apps.organization.services import series
from apps.organization.services.rules import (
    FinancialYearLocked,
    FinancialYearMissing,
    FinancialYearSoftClosed,
    require_writable,
)
from apps.partners.services import exposure
from apps.trades import capabilities, events, papers
from apps.trades import engine as engines
from apps.trades.engine import errors, records
from apps.trades.engine import facts as f
from apps.trades.engine import settlement as s
from apps.trades.engine import terms as t
from apps.trades.models import (
    Amendment,
    Approval,
    Deadline,
    Dispatch,
    Dispute,
    LedgerEntry,
    Line,
    PositionEntry,
    QualityResult,
    Settlement,
    Terms,
    Trade,
)
from apps.trades.services import credit, deadlines, gathering, ledger, performance, positions, rules
from apps.trades.services import facts as facts_of
from apps.trades.services.approval import involved
from apps.trades.services.gathering import Gathered
from erp import clock
from erp.access import Actor
from erp.errors import Conflict, FieldError, SelfApproval
from erp.services import emit, service

YEAR_ERRORS: Final = (FinancialYearMissing, FinancialYearSoftClosed, FinancialYearLocked)
NUMBER_ERRORS: Final = (*YEAR_ERRORS, series.SeriesMissing, series.SeriesExhausted, series.DateOutOfOrder)
ENGINE_ERRORS: Final = (
    errors.SnapshotDamaged, errors.FactsMissing, errors.TaxRuleMissing, errors.ScheduleGap, errors.PriceNotPositive,
    errors.BadInput,
)  # fmt: skip
PREVIEWED: Final = (
    Trade.Status.APPROVED, Trade.Status.IN_EXECUTION, Trade.Status.DELIVERED, Trade.Status.SETTLED,
)  # fmt: skip


class DisputeOpen(Conflict):
    """A dispute is open: resolve it first."""


class PreviewStale(Conflict):
    """A fact changed since the preview."""


@dataclass(frozen=True)
class Preview:
    """What a settlement would come to, and what prevents it."""

    terms_version: int
    as_of: date
    settlement: s.Settlement
    preview_hash: str
    blocking: tuple[str, ...]


def preview(trade: Trade, *, as_of: date | None = None) -> Preview:
    """Compute the settlement of a day, with estimates for missing facts. Stores nothing."""
    day = as_of or clock.today()
    gathered = gathering.gather(trade, as_of=day, lock=False)
    done = engines.preview(engines.CURRENT, gathered.terms, gathered.facts)
    blocking = [*done.blocking]
    if done.missing:
        blocking.append("facts_missing")
    if _open_dispute(trade):
        blocking.append("dispute_open")
    if _open_amendment(trade):
        blocking.append("amendment_open")
    if _coming_back(trade):
        blocking.append("goods_in_transit")
    if trade.status != Trade.Status.DELIVERED:
        blocking.append("invalid_state")
    return Preview(trade.terms_version, day, done, hash_of(trade, gathered.facts), tuple(blocking))


def hash_of(trade: Trade, facts: f.Facts) -> str:
    """A digest of all that a settlement depends on, but for the invoice that is named when settling."""
    named = replace(facts, invoice_number="", invoice_date=None)
    return records.digest([trade.contract_hash, engines.CURRENT, records.to_json(named)])


@service(
    requires=capabilities.SETTLE,
    emits=[events.TradeSettled],
    raises=[
        rules.InvalidState, rules.DateInFuture, rules.TimesOutOfOrder, DisputeOpen, rules.AmendmentOpen,
        rules.GoodsInTransit, PreviewStale, SelfApproval, errors.BalanceOpen, *performance.ERRORS, *ENGINE_ERRORS,
        *NUMBER_ERRORS,
    ],
    label="Settle",
    description="Compute every figure from the recorded facts, post who owes whom, and draw up the statement.",
)  # fmt: skip
def settle(
    trade: Trade,
    *,
    actor: Actor,
    settled_date: date | None = None,
    invoice_number: str = "",
    invoice_date: date | None = None,
    preview_hash: str = "",
) -> Trade:
    """Settle a delivered trade.

    Raises SelfApproval for who created or approved it, FactsMissing with each missing fact, BalanceOpen where more
    than 1.00 of the invoices is unpaid, PreviewStale where a fact changed since the preview.
    """
    rules.require_status(trade, Trade.Status.DELIVERED)
    require_uninvolved(trade, actor)
    day = settled_date or clock.today()
    require_open_date(trade, actor, day, "/settled_date")
    if invoice_date is not None and invoice_date > day:
        raise rules.DateInFuture(errors=[FieldError("/invoice_date", "future", f"It is after {day}.")])
    if _open_dispute(trade):
        raise DisputeOpen
    if _open_amendment(trade):
        raise rules.AmendmentOpen
    if _coming_back(trade):
        raise rules.GoodsInTransit
    exposure.lock_accounts([trade.seller_id, trade.buyer_id])
    gathered = gathering.gather(
        trade, as_of=day, lock=True, invoice_number=invoice_number, invoice_date=invoice_date
    )
    latest = _latest(gathered.facts)
    if day < latest:
        raise rules.TimesOutOfOrder.at("/settled_date", "order", f"The last fact is of {latest}.")
    if preview_hash and preview_hash != hash_of(trade, gathered.facts):
        raise PreviewStale("A fact changed since the preview. Look at a new one.")
    done = engines.settle(engines.CURRENT, gathered.terms, gathered.facts)
    row = _store(trade, actor, day, gathered, done)
    credit.close(trade, actor, f"settle:{row.pk}")
    trade.status, trade.settled_at = Trade.Status.SETTLED, clock.now()
    trade.save()
    deadlines.close(trade, Deadline.Kind.ADVANCE, Deadline.Kind.BALANCE)
    performance.report_settled(trade, actor, day, gathered, done)
    emit(_settled(trade, row))
    return trade


def _latest(facts: f.Facts) -> date:
    """The day of the last invoice, movement, weighing or payment."""
    days = [
        *(day for row in facts.dispatches for day in (row.dispatched_date, row.invoice_date) if day),
        *(row.delivered_date for row in facts.deliveries),
        *(row.paid_date for row in facts.payments),
    ]
    return max(days, default=date.min)


def require_uninvolved(trade: Trade, actor: Actor) -> None:
    """Raise SelfApproval for who made, changed, approved or awarded anything of the trade."""
    if actor.pk is None:
        return
    requests = [trade.pk, *Amendment.objects.filter(trade=trade).values_list("pk", flat=True)]
    if (
        actor.pk in involved(trade)
        or Approval.objects.filter(trade=trade, created_by_id=actor.pk).exists()
        or ApprovalDecision.objects.filter(request__subject_id__in=requests, decider_id=actor.pk).exists()
        or QualityResult.objects.filter(trade=trade, source="AWARD", created_by_id=actor.pk).exists()
    ):
        raise SelfApproval(
            "You created, changed, acknowledged, approved or awarded in this trade, so another person must settle it."
        )


def require_open_date(trade: Trade, actor: Actor, day: date, pointer: str) -> None:
    """Require a business date up to today in an open financial year. Raises DateInFuture, FinancialYear…"""
    today = clock.today()
    if day > today:
        raise rules.DateInFuture(
            errors=[FieldError(pointer, "future", f"The date must not be after today, {today}.")]
        )
    year = FinancialYear.objects.filter(organization=trade.organization_id).on(day).first()
    require_writable(year, actor, day)


def _open_dispute(trade: Trade) -> bool:
    return Dispute.objects.filter(trade=trade, status=Dispute.Status.OPEN).exists()


def _open_amendment(trade: Trade) -> bool:
    return Amendment.objects.filter(trade=trade, status__in=("PROPOSED", "ACCEPTED")).exists()


def _coming_back(trade: Trade) -> bool:
    """Whether rejected goods are on their way to the seller."""
    rows = Dispatch.objects.filter(trade=trade, voided_at=None, direction=f.Movement.RETURN, delivery=None)
    return bool(rows.exists())


def _store(trade: Trade, actor: Actor, day: date, gathered: Gathered, done: s.Settlement) -> Settlement:
    """Number, store and post a settlement; positions and series are locked until the commit."""
    last = Settlement.objects.filter(trade=trade).order_by("-revision").first()
    totals = done.totals
    debtor = {"SELLER": trade.seller_id, "BUYER": trade.buyer_id}.get(totals.net_debtor)
    row = Settlement(
        trade=trade,
        organization=trade.organization,
        revision=1 if last is None else last.revision + 1,
        settled_date=day,
        engine_version=done.engine_version,
        terms_version=trade.terms_version,
        facts=records.to_json(gathered.facts),
        obligations=records.to_json(done.obligations),
        position_moves=records.to_json(done.position_moves),
        lines_hash=done.lines_hash,
        currency=totals.currency,
        taxable=totals.taxable,
        tax=totals.tax,
        round_off=totals.round_off,
        invoice_total=totals.invoice_total,
        tds=totals.tds,
        claim=totals.claim,
        carrying=totals.carrying,
        brokerage=totals.brokerage,
        washout=totals.washout,
        net_due=totals.net_due,
        net_debtor_id=debtor,
        open_after_notes=totals.open_after_notes,
        on_account=totals.on_account,
        reverses=last,
        created_by_id=actor.pk,
    )
    row.number = _number(trade, actor, DocumentType.SETTLEMENT_STATEMENT, day, row.pk)
    notes = {note.key: number_note(trade, actor, day, row.pk, note.key) for note in papers.notes_of(done)}
    row.documents = [
        {**records.to_json(document), "number": notes.get(document.key, document.number)}
        for document in done.documents
    ]
    row.save()
    kinds = _kinds(done)
    Line.objects.bulk_create(Line(settlement=row, **_line_fields(line, kinds)) for line in done.lines)
    ledger.post(trade, actor, done.postings, lines=done.lines, settlement=row)
    move_positions(trade, actor, gathered, done, settlement=row)
    return row


def _number(trade: Trade, actor: Actor, kind: str, day: date, reference: UUID) -> str:
    allocated = series.allocate_number(
        trade.organization,
        actor=actor,
        type=kind,
        document_date=day,
        reference_type=f"trade.{kind}",
        reference_id=reference,
    )
    return str(allocated.document_number)


def number_note(trade: Trade, actor: Actor, day: date, owner: UUID, key: str) -> str:
    """The number of a credit or debit note; the same note of the same owner has one number."""
    return _number(trade, actor, DocumentType.CLAIM, day, uuid5(owner, key))


_LINE: Final = (
    "line_no", "document", "document_key", "name", "subject", "rule", "rule_version", "inputs", "numerator",
    "denominator", "amount", "places", "unit", "rounding",
)  # fmt: skip


def _line_fields(line: s.Line, kinds: Mapping[str, str]) -> dict[str, Any]:
    """The columns of a stored line, by name."""
    values = (
        line.line_no, kinds.get(line.document, ""), line.document, line.name, line.subject, line.rule,
        line.rule_version, dict(line.inputs), str(line.unrounded.numerator), str(line.unrounded.denominator),
        line.amount, line.places, line.unit, line.rounding,
    )  # fmt: skip
    return dict(zip(_LINE, values, strict=True))


def _kinds(done: s.Settlement) -> dict[str, str]:
    """The kind of each document, by its key."""
    return {document.key: document.kind for document in done.documents}


def move_positions(
    trade: Trade,
    actor: Actor,
    gathered: Gathered,
    done: s.Settlement,
    *,
    settlement: Settlement | None = None,
    only: str | None = None,
) -> None:
    """Add what the documents moved to the locked positions; ``only``: those of one document."""
    for each in done.position_moves:
        if only is not None and each.document != only:
            continue
        key = positions.PositionKey(each.kind, UUID(each.deductor), UUID(each.deductee), each.financial_year)
        positions.move(
            gathered.positions[key],
            actor,
            trade=trade,
            counted=each.counted,
            taxed=each.taxed,
            certificates=each.certificates,
            document=each.document,
            settlement=settlement,
        )


def _settled(trade: Trade, row: Settlement) -> events.TradeSettled:
    roles = {None: None, trade.seller_id: "SELLER", trade.buyer_id: "BUYER"}
    return events.TradeSettled(
        **rules.head(trade),
        settlement_id=row.pk,
        revision=row.revision,
        taxable=row.taxable,
        tax=row.tax,
        round_off=row.round_off,
        invoice_total=row.invoice_total,
        tds=row.tds,
        claim=row.claim,
        carrying=row.carrying,
        brokerage=row.brokerage,
        net_due=row.net_due,
        net_debtor_role=roles[row.net_debtor_id],
        engine_version=row.engine_version,
        lines_hash=row.lines_hash,
    )


# What other services of the module do with a settlement, in their own transaction


def current(trade: Trade) -> Settlement | None:
    """The settlement in force, none before the first and after its reversal."""
    row: Settlement | None = Settlement.objects.filter(trade=trade).order_by("-revision").first()
    return row if row is not None and trade.status == Trade.Status.SETTLED else None


def reverse(trade: Trade, actor: Actor) -> Settlement:
    """Reverse entries and positions of the current settlement; the trade is DELIVERED again."""
    row = current(trade)
    if row is None:
        raise ValueError(f"{trade} is not settled")
    # What an advance that bounced since has left with the invoice goes too: the next settlement counts it anew.
    undone = Q(settlement=row) | Q(payment__in=trade.payments.exclude(reversed_by=None).values("pk"))
    positions.reverse(PositionEntry.objects.filter(undone, trade=trade), actor)
    ledger.reverse(ledger.standing(LedgerEntry.objects.filter(undone, trade=trade).order_by("pk")), actor)
    trade.status, trade.settled_at = Trade.Status.DELIVERED, None
    return row


def post_award(trade: Trade, actor: Actor, dispute: Dispute) -> str:
    """Post the award of a settled trade's dispute as a note of its own; the settlement stays. Returns its number."""
    row = current(trade)
    if row is None:
        raise ValueError(f"{trade} is not settled")
    day = clock.today()
    gathered, done, key = award_note(row, dispute, day, lock=True)
    number = number_note(trade, actor, day, dispute.pk, key)
    ledger.post(trade, actor, [each for each in done.postings if each.document == key], lines=done.lines)
    move_positions(trade, actor, gathered, done, only=key)
    return number


def award_note(
    row: Settlement, dispute: Dispute, day: date, *, lock: bool
) -> tuple[Gathered, s.Settlement, str]:
    """The settlement with an award beside it, and the key of the award's note."""
    terms = terms_behind(row)[0]
    stored = records.from_json(f.Facts, row.facts)
    award = facts_of.award_of(dispute, None if dispute.lot is None else dispute.lot.lot_no)
    known = {(rule.code, rule.version) for rule in stored.tax_rows}
    later = [
        rule
        for rule in gathering.tax_rows(row.trade, terms, day)
        if (rule.code, rule.version) not in known and rule.kind is f.RowKind.NOTE_LIMIT
    ]
    keys = [
        positions.PositionKey(each.kind, UUID(each.deductor), UUID(each.deductee), each.financial_year)
        for each in stored.positions
    ]
    found = positions.find(keys, lock=lock)
    facts = replace(
        stored,
        as_of=day,
        awards=(*stored.awards, award),
        tax_rows=(*stored.tax_rows, *later),
        positions=tuple(positions.as_fact(each, found[each]) for each in sorted(found)),
    )
    done = engines.preview(row.engine_version, terms, facts)
    key = next(each.key for each in done.documents if each.key.endswith(f"{gathering.AWARD}{dispute.pk}"))
    return Gathered(terms, facts, found), done, key


def close_undelivered(
    trade: Trade, actor: Actor, *, washout: f.Washout | None, day: date
) -> tuple[dict[str, Any], s.Settlement]:
    """Post washout and refund of what was not delivered; returns what it was computed from, and the result.

    Raises FactsMissing, SnapshotDamaged.
    """
    gathered = gathering.gather(trade, as_of=day, lock=True, washout=washout)
    done = engines.cancel(engines.CURRENT, gathered.terms, gathered.facts)
    ledger.post(trade, actor, done.postings, lines=done.lines)
    move_positions(trade, actor, gathered, done)
    return records.to_json(gathered.facts), done


# The check


def terms_behind(row: Settlement) -> tuple[t.Terms, Terms]:
    """The terms that a settlement was computed from, and their row. Raises SnapshotDamaged."""
    stored = Terms.objects.get(trade=row.trade_id, terms_version=row.terms_version)
    return t.thaw(stored.body, stored.hash), stored


def recompute(row: Settlement) -> s.Settlement:
    """A settlement computed anew from its stored terms, facts and version of the engine."""
    return engines.settle(row.engine_version, terms_behind(row)[0], records.from_json(f.Facts, row.facts))


def export(row: Settlement) -> dict[str, Any]:
    """Everything that somebody needs to recompute a settlement: ``python -m apps.trades.engine FILE``."""
    _, stored = terms_behind(row)
    facts = records.from_json(f.Facts, row.facts)
    return engines.export("settle", stored.body, stored.hash, facts, recompute(row))


class Stored(NamedTuple):
    """What ``verify`` compares with: the terms with their hash, the lines, entries and moves that were stored."""

    terms: tuple[Any, str] | None
    lines: list[dict[str, Any]]
    entries: list[list[Any]]
    moves: list[list[Any]]


def read_stored(rows: Collection[Settlement]) -> dict[UUID, Stored]:
    """Read what ``verify`` compares with, of many settlements in as few statements as of one."""
    terms = {
        (trade_id, version): (body, digest)
        for trade_id, version, body, digest in Terms.objects.filter(
            trade__in={row.trade_id for row in rows}
        ).values_list("trade_id", "terms_version", "body", "hash")
    }
    found = {
        row.pk: Stored(terms.get((row.trade_id, row.terms_version)), lines=[], entries=[], moves=[])
        for row in rows
    }
    of_rows = {"settlement__in": list(found)}
    for line in Line.objects.filter(**of_rows).order_by("line_no").values("settlement_id", *_LINE):
        found[line.pop("settlement_id")].lines.append(_comparable(line))
    entries = LedgerEntry.objects.filter(**of_rows, reverses=None).order_by("pk")
    for key, kind, debtor, creditor, amount, document in entries.values_list(
        "settlement_id", "kind", "debtor_id", "creditor_id", "amount", "document"
    ):
        found[key].entries.append([kind, str(debtor), str(creditor), str(amount), document])
    moves = PositionEntry.objects.filter(**of_rows, reverses=None).order_by("pk")
    for key, document, *amounts in moves.values_list("settlement_id", "document", "counted", "taxed"):
        found[key].moves.append([document, *map(str, amounts)])
    return found


def verify(row: Settlement, stored: Stored | None = None) -> list[tuple[str, Any, Any]]:
    """Where stored figures, entries and moves differ from those computed anew: pointer, stored, computed.

    ``stored``: what ``read_stored`` has read of the row. Raises SnapshotDamaged.
    """
    stored = stored or read_stored([row])[row.pk]
    if stored.terms is None:
        raise errors.SnapshotDamaged
    done = engines.settle(row.engine_version, t.thaw(*stored.terms), records.from_json(f.Facts, row.facts))
    kinds = _kinds(done)
    computed = [_comparable(_line_fields(line, kinds)) for line in done.lines]
    found = records.differences(stored.lines, computed, "/lines")
    notes = {note.key for note in papers.notes_of(done)}
    documents = [{**each, "number": ""} if each["key"] in notes else each for each in row.documents]
    found += records.differences(documents, records.to_json(done.documents), "/documents")
    found += records.differences(row.obligations, records.to_json(done.obligations), "/obligations")
    found += records.differences(row.position_moves, records.to_json(done.position_moves), "/position_moves")
    found += records.differences(_totals(row), records.to_json(done.totals), "/totals")
    found += records.differences(row.lines_hash, done.lines_hash, "/lines_hash")
    found += records.differences(stored.entries, _posted(done.postings), "/ledger")
    expected = [[each.document, f"{each.counted:.2f}", f"{each.taxed:.2f}"] for each in done.position_moves]
    return found + records.differences(stored.moves, expected, "/position_entries")


def _comparable(fields: dict[str, Any]) -> dict[str, Any]:
    amount = f"{fields['amount']:.{fields['places']}f}"
    return {**records.to_json(fields), "amount": amount}


def _totals(row: Settlement) -> dict[str, Any]:
    names = [name for name in s.Totals.__dataclass_fields__ if name != "net_debtor"]
    roles = {None: "", row.trade.seller_id: "SELLER", row.trade.buyer_id: "BUYER"}
    figures = {name: records.to_json(getattr(row, name)) for name in names}
    return {**figures, "net_debtor": roles[row.net_debtor_id]}


def _posted(postings: Iterable[s.Posting]) -> list[Any]:
    return [[each.kind, each.debtor, each.creditor, f"{each.amount:.2f}", each.document] for each in postings]


def net_of(trade: Trade) -> Decimal:
    """What the buyer owes the seller by the ledger of the trade."""
    return ledger.balance(trade.buyer_id, trade.seller_id, trade.currency, trade)
