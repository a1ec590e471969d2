"""Screening: snapshots of lists, names of partners compared with them, hits decided by two people (risk §5.7)."""

import csv
import hashlib
import io
import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import connection

from apps.approvals import services as approvals
from apps.partners.models import IdentifierKey, Partner, PartnerBankAccount, PartnerOwner
from apps.risk import capabilities, events, names
from apps.risk.clients import is_sandbox
from apps.risk.clients.sandbox import SANDBOX_LIST
from apps.risk.models import (
    ProviderCheck,
    RiskPolicy,
    ScreeningEntry,
    ScreeningHit,
    ScreeningList,
    ScreeningName,
)
from apps.risk.policy import PolicyBody
from apps.risk.services.checks import hold_screening
from erp import clock, locks
from erp.access import Actor
from erp.approvals import ApprovalKind
from erp.encryption import keyed_hash
from erp.errors import Conflict, FieldError, RuleBroken
from erp.services import emit, service
from erp.text import company_form

LEAST_OF_BEFORE: Final = Decimal(
    "0.8"
)  # entries of a snapshot that needs no person, as a share of the active one's
VERSION: Final = 1  # of the comparison: a new one compares everybody anew
_KEY: Final = 48  # characters of a hash
LISTS: Final = "risk.lists"  # lock under which lists change
MOST_ENTRIES: Final = 200_000
_Status, _Field = ScreeningHit.Status, ScreeningHit.Field
_COLUMNS: Final = ("reference", "kind", "names", "country", "identifiers")
_REST: Final = ""  # no column has that name
_COUNTRY: Final = re.compile(r"([A-Z]{2})?")
LONGEST_KEY: Final = 100  # characters of a word by sound
_SCRIPT: Final = "script"  # reference of a hit for a name that can't be compared

_ALIKE: Final = """
WITH asked AS (
    SELECT form, keys, place FROM unnest(%(forms)s::text[], %(keys)s::text[]) WITH ORDINALITY AS q(form, keys, place)
)
SELECT n.entry_id, q.place, round(similarity(n.normalised, q.form)::numeric, 4), n.normalised = q.form, FALSE
FROM asked q JOIN risk_screeningname n ON n.normalised %% q.form AND n.snapshot_id = ANY (%(lists)s)
UNION ALL
SELECT n.entry_id, q.place, round(similarity(n.normalised, q.form)::numeric, 4), n.normalised = q.form, TRUE
FROM asked q JOIN risk_screeningname n
    ON n.sound_keys && string_to_array(q.keys, ' ')::varchar[]
    AND n.sound_keys <@ string_to_array(q.keys, ' ')::varchar[]
    AND n.sound_keys <> '{}' AND n.snapshot_id = ANY (%(lists)s)
"""


class ListInvalid(RuleBroken):
    """The screening list can't be read."""


class ListOutdated(Conflict):
    """A newer snapshot of the list is active."""


class ListNotWaiting(Conflict):
    """The snapshot doesn't wait for activation."""


class ListNotActive(Conflict):
    """The list isn't active."""


class HitDecided(Conflict):
    """A decision on the hit is pending, or it is already the current one."""


class Lists(NamedTuple):
    """What partners are compared with now: snapshots, a key of all that, the oldest, the least likeness."""

    ids: list[UUID]
    key: str
    oldest: date | None
    least: Decimal
    oldest_code: str | None


class _Subject(NamedTuple):
    field: str
    name: str
    country: str | None


def lists_now() -> Lists:
    """The active snapshots."""
    active = ScreeningList.objects.active().order_by("snapshot_date", "code")
    rows = list(active if is_sandbox("screening") else active.exclude(code=SANDBOX_LIST))
    policy = RiskPolicy.objects.active().filter(commodity=None).first()
    least = (PolicyBody() if policy is None else policy.content).similarity
    parts = [f"{VERSION}:{least.normalize()}", *sorted(f"{row.code}:{row.sha256}" for row in rows)]
    key = hashlib.sha256(" ".join(parts).encode()).hexdigest()[:_KEY]
    return Lists(
        [row.pk for row in rows],
        key,
        rows[0].snapshot_date if rows else None,
        least,
        rows[0].code if rows else None,
    )


def freshness(lists: Lists, days: int) -> dict[str, Any]:
    """Whether a list is missing or its snapshot too old to rely on."""
    too_old = lists.oldest is not None and (clock.today() - lists.oldest).days > days
    missing = lists.oldest is None and settings.SCREENING_REQUIRED
    is_stale = too_old or missing
    return {
        "stale": is_stale,
        "newest": lists.oldest and lists.oldest.isoformat(),
        "code": lists.oldest_code if is_stale else None,
    }


# Lists


def _rows_of(content: bytes) -> Iterator[dict[str, str]]:
    try:
        reader = csv.DictReader(io.StringIO(content.decode()), restval="\0", restkey=_REST)
        rows = list(reader)
    except (UnicodeDecodeError, csv.Error):
        raise ListInvalid("The file is not a CSV file in UTF-8.") from None
    if tuple(reader.fieldnames or ()) != _COLUMNS:
        raise ListInvalid(f"The columns must be {', '.join(_COLUMNS)}.")
    if not 0 < len(rows) <= MOST_ENTRIES:
        raise ListInvalid(f"A list has 1 to {MOST_ENTRIES:,} entries.")
    yield from rows


def _entry(row: dict[str, str], snapshot: ScreeningList, line: int) -> ScreeningEntry:
    written = [name.strip() for name in row["names"].split("|") if name.strip()]
    identifiers = [each.partition(":") for each in row["identifiers"].split("|") if each]
    is_sound = (
        _REST not in row and row["reference"] and row["kind"] in ScreeningEntry.Kind.values and written
        and all(kind in IdentifierKey.Kind.values and value for kind, _, value in identifiers)
        and _COUNTRY.fullmatch(row["country"]) and (row["country"] or row["kind"] != ScreeningEntry.Kind.COUNTRY)
        and len(row["reference"]) <= 100 and max(map(len, written)) <= 500
        and all(len(company_form(name)) <= 500 for name in written)
        and all(len(key) <= LONGEST_KEY for name in written for key in names.sound_keys(company_form(name)))
        and not any("\0" in text for text in row.values())
    )  # fmt: skip
    if not is_sound:
        raise ListInvalid(errors=[FieldError(f"/rows/{line}", "invalid", "The entry can't be read.")])
    forms = sorted({company_form(name) for name in written})
    return ScreeningEntry(
        snapshot=snapshot,
        reference=row["reference"],
        kind=row["kind"],
        names=written,
        names_hash=hashlib.sha256("\n".join([*forms, row["country"]]).encode()).hexdigest(),
        country=row["country"] or None,
        identifier_hashes=[keyed_hash(value, context=f"identifier.{kind}") for kind, _, value in identifiers],
    )


@service(
    requires=capabilities.CONFIGURE,
    emits=[events.RiskListLoaded],
    raises=[ListInvalid, ListOutdated],
    advisory_lock=LISTS,
    label="Load a screening list",
)
def load_list(*, actor: Actor, code: str, source: str, snapshot_date: date, content: bytes) -> ScreeningList:
    """Load a snapshot of a list from CSV. By hand, or with many entries fewer, it waits for two people.

    Columns: reference, kind, names (between bars), country, identifiers (``pan:…`` between bars). The same snapshot
    changes nothing.
    """
    digest = hashlib.sha256(content).hexdigest()
    known: ScreeningList | None = ScreeningList.objects.filter(
        code=code, snapshot_date=snapshot_date, sha256=digest
    ).first()
    if known is not None:
        return known
    if snapshot_date > clock.today():
        raise ListInvalid("The snapshot is of a day in the future.")
    active = ScreeningList.objects.active().filter(code=code).first()
    if active is not None and active.snapshot_date > snapshot_date:
        raise ListOutdated
    snapshot = ScreeningList(code=code, source=source, snapshot_date=snapshot_date, sha256=digest, entries=0)
    entries = [_entry(row, snapshot, line) for line, row in enumerate(_rows_of(content))]
    if len({entry.reference for entry in entries}) < len(entries):
        raise ListInvalid("A reference occurs twice.")
    snapshot.entries = len(entries)
    snapshot.save()
    ScreeningEntry.objects.bulk_create(entries, batch_size=2_000)
    ScreeningName.objects.bulk_create(
        [
            ScreeningName(
                entry=entry, snapshot=snapshot, normalised=form, sound_keys=names.comparable_keys(form)
            )
            for entry in entries
            if entry.kind != ScreeningEntry.Kind.COUNTRY
            for form in sorted({company_form(name) for name in entry.names} - {""})
        ],
        batch_size=2_000,
    )
    by_feed = actor.pk is None
    if by_feed and (active is None or len(entries) >= active.entries * LEAST_OF_BEFORE):
        _activate(snapshot)
    _report(snapshot)
    return snapshot


def _activate(snapshot: ScreeningList) -> None:
    for active in ScreeningList.objects.active().filter(code=snapshot.code).locked():
        active.status = ScreeningList.Status.RETIRED
        active.save()
    snapshot.status = ScreeningList.Status.ACTIVE
    snapshot.save()


def _report(snapshot: ScreeningList) -> None:
    emit(
        events.RiskListLoaded(
            list_id=snapshot.pk,
            code=snapshot.code,
            snapshot_date=snapshot.snapshot_date,
            entries=snapshot.entries,
            status=snapshot.status,
        )
    )


@service(
    requires=capabilities.CONFIGURE,
    emits=[events.RiskListProposed],
    raises=[ListNotWaiting, ListOutdated, approvals.PendingExists, approvals.ReasonMissing],
    advisory_lock=LISTS,
    label="Activate",
    description="Ask for the activation of a snapshot that waits. A second person approves.",
)
def activate_list(snapshot: ScreeningList, *, actor: Actor, reason: str) -> ScreeningList:
    """Request that a snapshot that waits becomes the active one."""
    active = _before(snapshot)
    references = set(snapshot.rows.values_list("reference", flat=True))
    known = set() if active is None else set(active.rows.values_list("reference", flat=True))
    _ask(
        snapshot,
        actor,
        reason,
        ScreeningList.Status.ACTIVE,
        added=references - known,
        removed=known - references,
    )
    return snapshot


@service(
    requires=capabilities.CONFIGURE,
    emits=[events.RiskListProposed],
    raises=[ListNotActive, approvals.PendingExists, approvals.ReasonMissing],
    advisory_lock=LISTS,
    label="Retire",
    description="Ask to end a list that is no longer kept: nobody is compared with it. A second person approves.",
)
def retire_list(snapshot: ScreeningList, *, actor: Actor, reason: str) -> ScreeningList:
    """Request the end of a list, such as one loaded under a wrong code or given up by its publisher."""
    if snapshot.status != ScreeningList.Status.ACTIVE:
        raise ListNotActive
    removed = set(snapshot.rows.values_list("reference", flat=True))
    _ask(snapshot, actor, reason, ScreeningList.Status.RETIRED, added=set(), removed=removed)
    return snapshot


def _before(snapshot: ScreeningList) -> ScreeningList | None:
    """The active snapshot that this one, which waits, would follow."""
    if snapshot.status != ScreeningList.Status.LOADED:
        raise ListNotWaiting
    active: ScreeningList | None = ScreeningList.objects.active().filter(code=snapshot.code).first()
    if active is not None and active.snapshot_date > snapshot.snapshot_date:
        raise ListOutdated
    return active


def _ask(
    snapshot: ScreeningList, actor: Actor, reason: str, status: str, *, added: set[str], removed: set[str]
) -> None:
    hits = ScreeningHit.objects.filter(list_code=snapshot.code, ended=False, entry_reference__in=removed)
    request = approvals.request(
        actor=actor,
        kind=SCREENING_LIST,
        subject_id=snapshot.pk,
        subject_version=snapshot.version,
        reason=reason,
        diff=[
            ("status", snapshot.status, status),
            ("entries_added", None, str(len(added))),
            ("entries_removed", None, str(len(removed))),
            ("hits_of_removed", None, str(hits.exclude(status=_Status.FALSE_POSITIVE).count())),
        ],
    )
    emit(
        events.RiskListProposed(
            list_id=snapshot.pk, code=snapshot.code, proposed_status=status, approval_id=request.pk
        )
    )


@service(
    requires=capabilities.CONFIGURE, emits=[events.RiskListLoaded], raises=[ListNotWaiting, ListOutdated]
)
def apply_list(snapshot: ScreeningList, *, actor: Actor, request: Any) -> ScreeningList:
    """Activate a snapshot that waits, or retire an active one, in the transaction of the approval."""
    snapshot.decided_by_id = actor.pk
    if snapshot.status == ScreeningList.Status.ACTIVE:
        snapshot.status = ScreeningList.Status.RETIRED
        snapshot.save()
    else:
        _before(snapshot)
        _activate(snapshot)
    _report(snapshot)
    return snapshot


SCREENING_LIST = ApprovalKind(
    name="risk.list",
    title="Screening list",
    subject="screening_list",
    model="risk.ScreeningList",
    capability=capabilities.CONFIGURE,
    locks=lambda list_id: locks.hold(LISTS),
    apply=apply_list,
)


# Partners


def is_screened(partner: Partner, lists: Lists) -> bool:
    """Whether the partner, as it is named now, was compared with the lists that count now."""
    checks = ProviderCheck.objects.of(partner).filter(kind=ProviderCheck.Kind.SCREENING)
    reference = _reference(partner, lists)
    done: bool = checks.filter(status=ProviderCheck.Status.ANSWERED, reference=reference).exists()
    return done


def _reference(partner: Partner, lists: Lists) -> str:
    """What was compared with what: the key of the lists, and a hash of the names and identifiers of the partner."""
    parts = [f"{subject.field}:{subject.country}:{subject.name}" for subject in _subjects(partner)]
    parts += sorted(IdentifierKey.objects.filter(partner=partner).values_list("hash", flat=True))
    asked = keyed_hash("\n".join([partner.country, *parts]), context="risk.screening.subjects")
    return f"{lists.key}:{asked[:_KEY]}"


@service(
    requires=capabilities.ASSESS,
    emits=[events.RiskHitFound, events.RiskCheckAnswered, events.RiskPolicyChanged],
    lock_via=None,
)
def screen_partner(partner: Partner, *, actor: Actor) -> Partner:
    """Compare the names and identifiers of a partner with the lists that count now; once for each set of lists."""
    compare(partner, lists_now())
    return partner


def compare(partner: Partner, lists: Lists) -> None:
    """Compare a partner with the lists unless that was done. The calling service emits the events."""
    hold_screening(partner.pk)
    if is_screened(partner, lists):
        return
    reference = _reference(partner, lists)
    found = list(_found(partner, lists)) if lists.ids else []
    known = {_key(hit): hit for hit in ScreeningHit.objects.of(partner)}
    before = {(key, hit.exact) for key, hit in known.items() if not hit.ended}
    changed = before != {(_key(hit), hit.exact) for hit in found}
    for hit in found:
        _store_hit(hit, known.pop(_key(hit), None))
    for gone in known.values():
        gone.ended = True
        gone.save()
    check = (
        ProviderCheck.objects.of(partner)
        .filter(kind=ProviderCheck.Kind.SCREENING)
        .order_by("created_at")
        .last()
    )
    check = check or ProviderCheck(partner=partner, kind=ProviderCheck.Kind.SCREENING)
    check.status, check.reference, check.as_of = ProviderCheck.Status.ANSWERED, reference, lists.oldest
    check.next_attempt_at = None
    check.save()
    emit(
        events.RiskCheckAnswered(
            check_id=check.pk,
            partner_id=partner.pk,
            kind=check.kind,
            by_hand=False,
            grade=None,
            changed=changed,
        )
    )


def _key(hit: ScreeningHit) -> tuple[str, ...]:
    return (hit.list_code, hit.entry_reference, hit.names_hash, hit.field, hit.name_hash)


def _store_hit(hit: ScreeningHit, known: ScreeningHit | None) -> None:
    if known is None:
        hit.save()
        emit(events.RiskHitFound(**_head(hit)))
        return
    known.entry, known.similarity, known.ended = hit.entry, hit.similarity, False
    known.exact = hit.exact
    known.save()


def _head(hit: ScreeningHit) -> dict[str, Any]:
    return {"hit_id": hit.pk, "partner_id": hit.partner_id, "exact": hit.exact, "status": hit.status}


def _subjects(partner: Partner) -> Iterator[_Subject]:
    yield _Subject(_Field.LEGAL_NAME, partner.legal_name, partner.country)
    if partner.trade_name:
        yield _Subject(_Field.TRADE_NAME, partner.trade_name, partner.country)
    for name in PartnerOwner.objects.filter(partner=partner).order_by("pk").values_list("name", flat=True):
        yield _Subject(_Field.OWNER, name, None)
    if partner.country != "IN":
        for name in PartnerBankAccount.objects.filter(partner=partner).order_by("pk"):
            yield _Subject(_Field.BANK, name.bank_name, None)


def _found(partner: Partner, lists: Lists) -> Iterator[ScreeningHit]:
    """Hits of a partner, each once: the best likeness of an entry to a name."""
    best: dict[tuple[str, ...], ScreeningHit] = {}
    for hit in [*_hits_by_name(partner, lists), *_hits_by_identifier(partner, lists)]:
        other = best.get(_key(hit))
        if other is None or (hit.exact, hit.similarity) > (other.exact, other.similarity):
            best[_key(hit)] = hit
    yield from best.values()


def _hit(
    partner: Partner, subject: _Subject, entry: ScreeningEntry | None, similarity: Decimal, *, exact: bool
) -> ScreeningHit:
    return ScreeningHit(
        partner=partner,
        field=subject.field,
        entry=entry,
        list_code="" if entry is None else entry.snapshot.code,
        entry_reference=_SCRIPT if entry is None else entry.reference,
        names_hash="" if entry is None else entry.names_hash,
        name_hash=keyed_hash(company_form(subject.name), context="risk.screening"),
        similarity=similarity,
        exact=exact,
    )


def _hits_by_name(partner: Partner, lists: Lists) -> Iterator[ScreeningHit]:
    subjects = list(_subjects(partner))
    forms = [company_form(subject.name) for subject in subjects]
    least = lists.least
    for subject in subjects:
        if not names.is_latin(subject.name):
            yield _hit(partner, subject, None, Decimal(0), exact=False)
    with connection.cursor() as cursor:
        # A little lower: the threshold is a float, the likeness is compared as a numeric of four places.
        cursor.execute(
            "SELECT set_config('pg_trgm.similarity_threshold', %s, true)", [str(least - Decimal("0.001"))]
        )
        keys = [" ".join(names.sound_keys(form)) for form in forms]
        cursor.execute(_ALIKE, {"forms": forms, "keys": keys, "lists": lists.ids})
        rows = cursor.fetchall()
    entries = ScreeningEntry.objects.select_related("snapshot").in_bulk([row[0] for row in rows])
    for entry_id, place, similarity, is_equal, by_sound in rows:
        subject, entry = subjects[place - 1], entries[entry_id]
        known_countries = {entry.country, subject.country} - {None}
        exact = is_equal and len(known_countries) <= 1
        if exact or by_sound or similarity >= least:
            yield _hit(partner, subject, entry, similarity, exact=exact)


def _hits_by_identifier(partner: Partner, lists: Lists) -> Iterator[ScreeningHit]:
    entries = ScreeningEntry.objects.filter(snapshot__in=lists.ids).select_related("snapshot")
    hashes = list(IdentifierKey.objects.filter(partner=partner).values_list("hash", flat=True))
    for entry in entries.filter(identifier_hashes__overlap=hashes):
        yield _hit(partner, _Subject(_Field.IDENTIFIER, "", None), entry, Decimal(1), exact=True)
    for entry in entries.filter(kind=ScreeningEntry.Kind.COUNTRY, country=partner.country):
        yield _hit(partner, _Subject(_Field.COUNTRY, "", None), entry, Decimal(1), exact=True)


# Decisions


@service(
    requires=capabilities.REVIEW,
    emits=[events.RiskHitProposed],
    raises=[HitDecided, approvals.PendingExists, approvals.ReasonMissing],
    label="Decide",
    description="Say whether the partner is the party on the list. A second person approves.",
)
def decide_hit(hit: ScreeningHit, *, actor: Actor, status: str, reason: str) -> ScreeningHit:
    """Request the decision on a hit; another holder of the capability approves it."""
    if hit.proposed_status is not None or status in (hit.status, _Status.OPEN):
        raise HitDecided
    request = approvals.request(
        actor=actor,
        kind=SCREENING_HIT,
        subject_id=hit.pk,
        subject_version=_question(hit),
        reason=reason,
        diff=[
            ("partner", None, str(hit.partner)),
            ("field", None, hit.get_field_display()),
            ("entry", None, str(hit)),
            ("similarity", None, str(hit.similarity)),
            ("status", hit.status, status),
        ],
    )
    hit.proposed_status, hit.approval_id, hit.requested_by_id = status, request.pk, actor.pk
    hit.save()
    emit(events.RiskHitProposed(**_head(hit), proposed_status=status, approval_id=request.pk))
    return hit


def _question(hit: ScreeningHit) -> int:
    """A number for what is decided: a new snapshot with the same entry raises the row's version and leaves it."""
    asked = f"{hit.names_hash}:{hit.name_hash}:{hit.exact}:{hit.status}"
    return int(hashlib.sha256(asked.encode()).hexdigest()[:7], 16)


@service(requires=capabilities.REVIEW, emits=[events.RiskHitDecided])
def apply_hit_decision(hit: ScreeningHit, *, actor: Actor, request: Any) -> ScreeningHit:
    """Decide a hit, in the transaction of the approval."""
    hit.status, hit.proposed_status = hit.proposed_status or hit.status, None
    hit.decided_by_id = actor.pk
    hit.save()
    emit(events.RiskHitDecided(**_head(hit)))
    return hit


@service(requires=capabilities.REVIEW, emits=[events.RiskHitDecided])
def end_hit_decision(hit: ScreeningHit, *, actor: Actor, request: Any) -> ScreeningHit:
    """End a proposal whose request was refused, withdrawn, expired or went stale: the hit stays as it was."""
    if hit.approval_id == request.pk and hit.proposed_status is not None:
        hit.proposed_status = None
        hit.save()
        emit(events.RiskHitDecided(**_head(hit)))
    return hit


SCREENING_HIT = ApprovalKind(
    name="risk.hit",
    title="Screening hit",
    subject="screening_hit",
    model="risk.ScreeningHit",
    capability=capabilities.REVIEW,
    version_of=_question,
    apply=apply_hit_decision,
    ended=end_hit_decision,
)
