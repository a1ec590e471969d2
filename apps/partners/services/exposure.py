"""The ledger of exposure: holds, contracts, deliveries and payments, under the lock of one account (partners §5.8).

Modules above call these services inside their own transaction, after locking their own rows; several accounts are
locked by id. Every operation is idempotent on ``entry_key``: the same amount returns the first entry, another is
refused.
"""

from collections.abc import Iterable
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final, NamedTuple
from uuid import UUID

from apps.partners import capabilities, events
from apps.partners.models import CreditAccount, EmptyOperation, ExposureEntry, OpenExposure, Partner
from apps.partners.models.credit import PAISA, SUMS, WARN_PERCENT, Bucket, Level, Operation
from erp import clock
from erp.access import Actor
from erp.errors import Conflict
from erp.events import Event
from erp.services import emit, service

BUY, SELL = "buy", "sell"
_NOTHING: Final = Decimal("0.00")


class CreditLimitMissing(Conflict):
    """The partner has no credit limit."""


class CreditExceeded(Conflict):
    """The credit limit doesn't suffice."""


class EntryKeyReused(Conflict):
    """The key was used for another amount."""


class HoldGone(Conflict):
    """The hold has ended."""


class SourceTooSmall(Conflict):
    """The source holds less than that."""


class Source(NamedTuple):
    """What exposure is about: a reservation or a trade."""

    type: str
    id: UUID


class Rate(NamedTuple):
    """Rate of exchange that the caller converted with, and its day."""

    rate: Decimal
    day: date


class _Line(NamedTuple):
    source: Source
    side: str
    bucket: str
    amount: Decimal
    expires_at: datetime | None = None


def locked_account(partner: Partner | UUID) -> CreditAccount:
    """The partner's account, locked. Raises CreditLimitMissing where it has none."""
    key = partner.pk if isinstance(partner, Partner) else partner
    account: CreditAccount | None = CreditAccount.objects.locked().filter(pk=key).first()
    if account is None:
        raise CreditLimitMissing
    # Suspension changes the status before it asks for this lock: what is read now is the newest.
    account.partner = Partner.objects.get(pk=account.partner_id)
    return account


def lock_accounts(partners: Iterable[UUID]) -> dict[UUID, CreditAccount]:
    """Lock the accounts of several partners by id, before the first of them is used; return them by partner."""
    rows = CreditAccount.objects.locked().filter(pk__in=set(partners)).order_by("pk")
    return {account.pk: account for account in rows}


def _repeated(
    account: CreditAccount, key: str, asked: Decimal, kind: str, source: Source
) -> list[ExposureEntry] | None:
    """Entries that the key wrote before, none where there was nothing to book; None for a new key.

    Raises EntryKeyReused for another amount, operation or source.
    """
    entries = list(ExposureEntry.objects.filter(account=account, entry_key=key).order_by("line"))
    first = entries[0] if entries else EmptyOperation.objects.filter(account=account, entry_key=key).first()
    if first is None:
        return None
    same = (first.asked_amount, first.kind, first.source_type, first.source_id)
    if same != (asked, kind, source.type, source.id):
        raise EntryKeyReused
    return entries


def _paise(amount: Decimal, *, least: Decimal = _NOTHING) -> Decimal:
    """The amount in whole paise, half up. Raises ValueError below ``least``: the caller's defect."""
    rounded = amount.quantize(PAISA, ROUND_HALF_UP)
    if rounded < least:
        raise ValueError("an amount of exposure can't be negative")
    return rounded


def _book(
    account: CreditAccount,
    actor: Actor,
    kind: str,
    key: str,
    asked: Decimal,
    source: Source,
    lines: Iterable[_Line],
    rate: Rate | None = None,
    limit: Decimal | None = None,
) -> list[ExposureEntry]:
    """Append lines, move the open exposure of their sources and the account's sums; tell of a crossed level.

    Where there is nothing to book the key is stored alone, so that it can't book anything later.
    """
    if limit is None:
        limit = account.limit
    before = account.level(limit)
    entries = []
    for number, line in enumerate(line for line in lines if line.amount):
        entry = _entry(account, actor, kind, key, asked, line, number, rate)
        entry.save()
        entries.append(entry)
        _move(account, line)
    if not entries:
        EmptyOperation(
            account=account,
            entry_key=key,
            kind=kind,
            asked_amount=asked,
            source_type=source.type,
            source_id=source.id,
        ).save()
        return []
    _store_sums(account)
    _tell_level(account, limit, before)
    return entries


def _entry(
    account: CreditAccount,
    actor: Actor,
    kind: str,
    key: str,
    asked: Decimal,
    line: _Line,
    number: int,
    rate: Rate | None = None,
) -> ExposureEntry:
    return ExposureEntry(
        partner_id=account.partner_id,
        account=account,
        side=line.side,
        bucket=line.bucket,
        kind=kind,
        amount=line.amount,
        asked_amount=asked,
        source_type=line.source.type,
        source_id=line.source.id,
        entry_key=key,
        line=number,
        rate=rate and rate.rate,
        rate_date=rate and rate.day,
        expires_at=line.expires_at,
        actor_id=actor.pk,
    )


def _store_sums(account: CreditAccount) -> None:
    """Store the account's sums; its version, which counts changes of the limit, stays."""
    changed = {column: getattr(account, column) for column in SUMS.values()}
    CreditAccount.objects.filter(pk=account.pk).update(**changed)


def _move(account: CreditAccount, line: _Line) -> None:
    row = _open_row(account, line.source, line.bucket)
    if row is None:
        row = OpenExposure(
            account=account,
            source_type=line.source.type,
            source_id=line.source.id,
            side=line.side,
            bucket=line.bucket,
            amount=_NOTHING,
        )
    if row.amount + line.amount < 0:
        raise SourceTooSmall(open_amount=str(row.amount))
    row.amount += line.amount
    row.expires_at = line.expires_at or row.expires_at
    row.save()
    if line.side == BUY or line.bucket == Bucket.ADVANCE:  # contracts to sell are a memo
        column = SUMS[line.bucket]
        setattr(account, column, getattr(account, column) + line.amount)


def _open_row(account: CreditAccount, source: Source, bucket: str) -> OpenExposure | None:
    found: OpenExposure | None = OpenExposure.objects.filter(
        account=account, source_type=source.type, source_id=source.id, bucket=bucket
    ).first()
    return found


def open_amount(account: CreditAccount, source: Source, bucket: str) -> Decimal:
    """What a source holds of a bucket now."""
    row = _open_row(account, source, bucket)
    return _NOTHING if row is None else row.amount


def _tell_level(account: CreditAccount, limit: Decimal, before: Level) -> None:
    after = account.level(limit)
    if after != before:
        emit(
            events.ThresholdCrossed(
                partner_id=account.partner_id,
                level=after,
                previous_level=before,
                utilisation_percent=account.utilisation(limit),
            )
        )


def _head(
    account: CreditAccount, entries: list[ExposureEntry], source: Source, bucket: str
) -> dict[str, Any]:
    return {
        "partner_id": account.partner_id,
        "entry_ids": [entry.pk for entry in entries],
        "source_type": source.type,
        "source_id": source.id,
        "bucket": bucket,
        "amount": sum((entry.amount for entry in entries if entry.bucket == bucket), _NOTHING),
        "currency": account.currency,
    }


def _ledger(*told: type[Event], raises: Iterable[type[Conflict]] = ()) -> dict[str, Any]:
    """What all services of the ledger declare: they join their caller's transaction."""
    return {
        "requires": capabilities.BOOK_EXPOSURE,
        "emits": [*told, events.ThresholdCrossed],
        "raises": [CreditLimitMissing, EntryKeyReused, SourceTooSmall, *raises],
        "requires_transaction": True,
    }


@service(**_ledger(events.ExposureHeld, raises=[CreditExceeded]))
def take_hold(
    *,
    actor: Actor,
    partner: Partner,
    amount: Decimal,
    source: Source,
    entry_key: str,
    expires_at: datetime | None = None,
    rate: Rate | None = None,
) -> list[ExposureEntry]:
    """Hold credit for a buyer. ``amount`` in the account's currency, tax included; for 0 nothing is held.

    The limit and the sums are read under the account's lock, so that two holds never share the same headroom.
    """
    amount = _paise(amount)
    if not amount and not CreditAccount.objects.filter(pk=partner.pk).exists():
        return []
    account = locked_account(partner)
    entries = _repeated(account, entry_key, amount, Operation.TAKE, source)
    if entries is not None:
        return entries
    limit = account.limit
    if amount and not limit:
        raise CreditLimitMissing
    headroom = limit - account.exposure
    if amount and amount > headroom:
        raise CreditExceeded(
            headroom=str(max(headroom, _NOTHING)), asked=str(amount), currency=account.currency
        )
    entries = _book(
        account, actor, Operation.TAKE, entry_key, amount, source,
        [_Line(source, BUY, Bucket.HOLD, amount, expires_at)], rate, limit,
    )  # fmt: skip
    if not entries:
        return []
    warn = account.exposure * 100 >= limit * WARN_PERCENT
    emit(events.ExposureHeld(**_head(account, entries, source, Bucket.HOLD), warn=warn))
    return entries


@service(**_ledger(events.ExposureReleased))
def release_hold(
    *, actor: Actor, partner: Partner, source: Source, entry_key: str, amount: Decimal | None = None
) -> list[ExposureEntry]:
    """Release a hold, all of it by default. What was released before is no error."""
    account = locked_account(partner)
    held = open_amount(account, source, Bucket.HOLD)
    asked = _NOTHING if amount is None else _paise(amount)
    entries = _repeated(account, entry_key, asked, Operation.RELEASE, source)
    if entries is not None:
        return entries
    free = held if amount is None else min(asked, held)
    entries = _book(
        account, actor, Operation.RELEASE, entry_key, asked, source, [_Line(source, BUY, Bucket.HOLD, -free)]
    )
    if entries:
        emit(events.ExposureReleased(**_head(account, entries, source, Bucket.HOLD)))
    return entries


@service(**_ledger(events.ExposureMoved, raises=[HoldGone]))
def move_hold(
    *,
    actor: Actor,
    partner: Partner,
    source: Source,
    target: Source,
    entry_key: str,
    amount: Decimal | None = None,
) -> list[ExposureEntry]:
    """Move a hold from a reservation to its trade, without a moment in which it is free."""
    account = locked_account(partner)
    asked = _NOTHING if amount is None else _paise(amount)
    entries = _repeated(account, entry_key, asked, Operation.MOVE, source)
    if entries is not None:
        return entries
    held = open_amount(account, source, Bucket.HOLD)
    moved = held if amount is None else asked
    if not held or moved > held:
        raise HoldGone
    lines = [_Line(source, BUY, Bucket.HOLD, -moved), _Line(target, BUY, Bucket.HOLD, moved)]
    entries = _book(account, actor, Operation.MOVE, entry_key, asked, source, lines)
    if entries:
        emit(events.ExposureMoved(**{**_head(account, entries, target, Bucket.HOLD), "amount": moved}))
    return entries


def _shift(
    actor: Actor,
    partner: Partner,
    source: Source,
    key: str,
    amount: Decimal,
    kind: str,
    start: str,
    end: str,
    side: str,
) -> tuple[CreditAccount, list[ExposureEntry], bool]:
    """Move an amount of a source from one bucket to the next; what the first lacks comes new."""
    account, amount = locked_account(partner), _paise(amount)
    entries = _repeated(account, key, amount, kind, source)
    if entries is not None:
        return account, entries, False
    taken = min(amount, open_amount(account, source, start))
    lines = [_Line(source, side, start, -taken), _Line(source, side, end, amount)]
    return account, _book(account, actor, kind, key, amount, source, lines), True


@service(**_ledger(events.ExposureConverted))
def contract(
    *, actor: Actor, partner: Partner, source: Source, amount: Decimal, entry_key: str, side: str = BUY
) -> list[ExposureEntry]:
    """Turn the hold of a trade into a contract. A seller's contract is only a memo."""
    account, entries, new = _shift(
        actor, partner, source, entry_key, amount, Operation.CONTRACT, Bucket.HOLD, Bucket.CONTRACTED, side
    )
    if new and entries:
        emit(events.ExposureConverted(**_head(account, entries, source, Bucket.CONTRACTED)))
    return entries


@service(**_ledger(events.ExposureConverted))
def deliver(
    *, actor: Actor, partner: Partner, source: Source, amount: Decimal, entry_key: str
) -> list[ExposureEntry]:
    """Turn contracted goods into goods that are delivered and not paid."""
    account, entries, new = _shift(
        actor,
        partner,
        source,
        entry_key,
        amount,
        Operation.DELIVER,
        Bucket.CONTRACTED,
        Bucket.DELIVERED_UNPAID,
        BUY,
    )
    if new and entries:
        emit(events.ExposureConverted(**_head(account, entries, source, Bucket.DELIVERED_UNPAID)))
    return entries


@service(**_ledger(events.ExposureSettled))
def pay(
    *, actor: Actor, partner: Partner, source: Source, amount: Decimal, entry_key: str
) -> list[ExposureEntry]:
    """Take a payment off what is delivered and unpaid; at most what the source holds."""
    account, amount = locked_account(partner), _paise(amount)
    entries = _repeated(account, entry_key, amount, Operation.PAY, source)
    if entries is not None:
        return entries
    paid = min(amount, open_amount(account, source, Bucket.DELIVERED_UNPAID))
    entries = _book(
        account,
        actor,
        Operation.PAY,
        entry_key,
        amount,
        source,
        [_Line(source, BUY, Bucket.DELIVERED_UNPAID, -paid)],
    )
    if entries:
        emit(events.ExposureSettled(**_head(account, entries, source, Bucket.DELIVERED_UNPAID)))
    return entries


@service(**_ledger(events.ExposureSettled))
def reverse_payment(
    *, actor: Actor, partner: Partner, source: Source, amount: Decimal, entry_key: str
) -> list[ExposureEntry]:
    """Put back what a bounced payment had taken off, whatever the headroom."""
    account, amount = locked_account(partner), _paise(amount)
    entries = _repeated(account, entry_key, amount, Operation.REVERSE, source)
    if entries is not None:
        return entries
    entries = _book(
        account,
        actor,
        Operation.REVERSE,
        entry_key,
        amount,
        source,
        [_Line(source, BUY, Bucket.DELIVERED_UNPAID, amount)],
    )
    if entries:
        emit(events.ExposureSettled(**_head(account, entries, source, Bucket.DELIVERED_UNPAID)))
    return entries


@service(**_ledger(events.ExposureSettled))
def advance(
    *, actor: Actor, partner: Partner, source: Source, amount: Decimal, entry_key: str
) -> list[ExposureEntry]:
    """Add an advance paid to a seller, or take one off (negative)."""
    account, amount = locked_account(partner), _paise(amount, least=Decimal("-Infinity"))
    entries = _repeated(account, entry_key, amount, Operation.ADVANCE, source)
    if entries is not None:
        return entries
    entries = _book(
        account,
        actor,
        Operation.ADVANCE,
        entry_key,
        amount,
        source,
        [_Line(source, SELL, Bucket.ADVANCE, amount)],
    )
    if entries:
        emit(events.ExposureSettled(**_head(account, entries, source, Bucket.ADVANCE)))
    return entries


def _set(
    actor: Actor, partner: Partner, source: Source, key: str, amount: Decimal, kind: str, bucket: str
) -> tuple[CreditAccount, list[ExposureEntry], bool]:
    """Bring a source's bucket to an amount."""
    account, amount = locked_account(partner), _paise(amount)
    entries = _repeated(account, key, amount, kind, source)
    if entries is not None:
        return account, entries, False
    line = _Line(source, BUY, bucket, amount - open_amount(account, source, bucket))
    return account, _book(account, actor, kind, key, amount, source, [line]), True


@service(**_ledger(events.ExposureMarked))
def mark(
    *, actor: Actor, partner: Partner, source: Source, amount: Decimal, entry_key: str
) -> list[ExposureEntry]:
    """Set by how much an undelivered contract's goods have risen over its price, at least 0."""
    account, entries, new = _set(actor, partner, source, entry_key, amount, Operation.MARK, Bucket.MARK)
    if new and entries:
        emit(events.ExposureMarked(**_head(account, entries, source, Bucket.MARK)))
    return entries


@service(**_ledger(events.MarginChanged))
def set_margin(
    *, actor: Actor, partner: Partner, source: Source, amount: Decimal, entry_key: str
) -> list[ExposureEntry]:
    """Set the margin received for a source, which lowers the exposure."""
    account, entries, new = _set(actor, partner, source, entry_key, amount, Operation.MARGIN, Bucket.MARGIN)
    if new and entries:
        emit(events.MarginChanged(**_head(account, entries, source, Bucket.MARGIN)))
    return entries


@service(**_ledger(events.ExposureReleased))
def cancel_source(*, actor: Actor, partner: Partner, source: Source, entry_key: str) -> list[ExposureEntry]:
    """Take everything of a source out of the ledger's sums: the trade was cancelled."""
    account = locked_account(partner)
    entries = _repeated(account, entry_key, _NOTHING, Operation.CANCEL, source)
    if entries is not None:
        return entries
    rows = OpenExposure.objects.filter(
        account=account, source_type=source.type, source_id=source.id, amount__gt=0
    ).order_by("bucket")
    lines = [_Line(source, row.side, row.bucket, -row.amount) for row in rows]
    entries = _book(account, actor, Operation.CANCEL, entry_key, _NOTHING, source, lines)
    if entries:
        emit(events.ExposureReleased(**_head(account, entries, source, lines[0].bucket)))
    return entries


@service(**_ledger(events.ExposureHeld))
def extend_hold(*, actor: Actor, partner: Partner, source: Source, expires_at: datetime) -> None:
    """Let a hold live until another moment. No line of the ledger: no amount changes."""
    account = locked_account(partner)
    row = _open_row(account, source, Bucket.HOLD)
    if row is not None and row.amount:
        row.expires_at = expires_at
        row.save()


def release_all_holds(partner: Partner, actor: Actor) -> int:
    """Release every hold of a partner inside the service that suspends it; return how many."""
    account: CreditAccount | None = CreditAccount.objects.locked().filter(pk=partner.pk).first()
    if account is None:
        return 0
    account.partner = partner
    limit, before = account.limit, account.level(account.limit)
    holds = OpenExposure.objects.filter(account=account, bucket=Bucket.HOLD, amount__gt=0)
    key = f"suspend:{clock.now().isoformat()}"
    entries = []
    for number, row in enumerate(holds.order_by("id")):
        line = _Line(Source(row.source_type, row.source_id), row.side, Bucket.HOLD, -row.amount)
        entries.append(_entry(account, actor, Operation.SUSPEND, f"{key}:{number}", row.amount, line, 0))
        account.holds += line.amount
    # At once, since a partner can have thousands and the account is locked meanwhile.
    ExposureEntry.objects.bulk_create(entries, batch_size=1000)
    holds.update(amount=_NOTHING)
    _store_sums(account)
    _tell_level(account, limit, before)
    for entry in entries:
        source = Source(entry.source_type, entry.source_id)
        emit(events.ExposureReleased(**_head(account, [entry], source, Bucket.HOLD)))
    return len(entries)


def overdue_holds(moment: datetime) -> Any:
    """Holds that should have ended before the moment: an alarm, never a blind release."""
    return OpenExposure.objects.filter(bucket=Bucket.HOLD, amount__gt=0, expires_at__lt=moment)
