"""What makes the next run necessary, and periodic work on matches."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

import structlog
from celery import shared_task
from django.db import transaction
from django.db.models import Count, Min
from prometheus_client.core import GaugeMetricFamily, Metric

from apps.accounts.models import User
from apps.availability import events as offer_events
from apps.availability.models import Availability
from apps.commodities.events.tax import TAX_RATE
from apps.commodities.events.units import UNIT_DEFINITION
from apps.matching import events
from apps.matching.models import Match, MatchNotice, MatchRun, RematchMark
from apps.matching.notices import DIGEST
from apps.matching.services import batches, deciding, marks, notices, rule_sets, runs
from apps.notifications import services as notifications
from apps.partners import events as partner_events
from apps.requirement import events as want_events
from apps.requirement.models import Requirement
from apps.risk import events as risk_events
from apps.risk.models import RiskOverride
from erp import clock, metrics, sweeps
from erp.access import SYSTEM, Actor
from erp.errors import DomainError
from erp.jobs.kinds import JobKind, RowResult, WorkRow
from erp.jobs.models import Job
from erp.outbox.subscriber import handles
from erp.outbox.wire import Envelope
from erp.services import unit_of_work

CHUNK: Final = 500  # rows of one sweep
LOST: Final = timedelta(seconds=60)  # that a due mark waits before the sweep takes it up
STUCK: Final = 8  # failed runs of a mark, before somebody must look

log = structlog.get_logger(__name__)
_Subject, _Ended = RematchMark.Subject, Match.Status.EXPIRED
_Kind = MatchRun.Kind


def marks_waiting() -> Iterator[Metric]:
    """How long the first dirty mark has been due, and how many marks have failed too often."""
    now = clock.now()
    due = RematchMark.objects.due(now).aggregate(number=Count("pk"), since=Min("due_at"))
    yield GaugeMetricFamily(
        "erp_rematch_overdue_seconds",
        "How long the first listing that changed has waited to be matched.",
        value=0 if due["since"] is None else (now - due["since"]).total_seconds(),
    )
    yield GaugeMetricFamily(
        "erp_rematch_stuck",
        "Listings whose matching has failed eight times in a row.",
        value=RematchMark.objects.dirty().filter(attempts__gte=STUCK).count(),
    )


metrics.of_modules.append(marks_waiting)


# Marks


@handles(
    offer_events.AvailabilityApproved, offer_events.AvailabilityReactivated, offer_events.AvailabilityUpdated,
    offer_events.AvailabilityPriceChanged, offer_events.AvailabilityQuantityChanged,
    offer_events.AvailabilityVisibilityChanged, offer_events.AvailabilityExtended,
    offer_events.AvailabilityReserved, offer_events.AvailabilityReleased, offer_events.AvailabilityReturned,
)  # fmt: skip
def mark_offer(event: offer_events.Head, *, meta: Envelope) -> None:
    """Have an offer matched again."""
    marks.mark_offers(actor=SYSTEM, subject_ids=[event.availability_id], cause=event.__event__.name)


@handles(offer_events.AvailabilityTestReportAdded, offer_events.AvailabilityTestReportVerified)
def mark_tested_offer(event: offer_events.Head, *, meta: Envelope) -> None:
    """Have an offer with other results matched again; its version may be the same."""
    rule_sets.forget_profiles(actor=SYSTEM, offer_ids=[event.availability_id])
    marks.mark_offers(actor=SYSTEM, subject_ids=[event.availability_id], cause=event.__event__.name)


@handles(
    want_events.RequirementPublished, want_events.RequirementApproved, want_events.RequirementReactivated,
    want_events.RequirementUpdated, want_events.RequirementFulfillmentUpdated,
)  # fmt: skip
def mark_requirement(event: want_events.Head, *, meta: Envelope) -> None:
    """Have a requirement matched again."""
    marks.mark_requirements(actor=SYSTEM, subject_ids=[event.requirement_id], cause=event.__event__.name)


@handles(
    offer_events.AvailabilityCancelled, offer_events.AvailabilityExpired, offer_events.AvailabilitySuspended,
    offer_events.AvailabilitySubmitted, offer_events.AvailabilitySold,
)  # fmt: skip
def end_matches_of_offer(event: offer_events.Head, *, meta: Envelope) -> None:
    """End the matches of an offer that has ended, is sold out, or is off the market for now.

    A late event of an offer that is back on the market ends nothing.
    """
    if (
        Availability.objects.filter(pk=event.availability_id)
        .exclude(status=Availability.Status.ACTIVE)
        .exists()
    ):
        deciding.end_for_listing(
            actor=SYSTEM, availability_id=event.availability_id, status=_end_status(event)
        )


@handles(
    want_events.RequirementCancelled, want_events.RequirementExpired, want_events.RequirementSuspended,
    want_events.RequirementSubmitted, want_events.RequirementFulfilled,
)  # fmt: skip
def end_matches_of_requirement(event: want_events.Head, *, meta: Envelope) -> None:
    """End the matches of a requirement that has ended, or is off the market for now."""
    if Requirement.objects.filter(pk=event.requirement_id).exclude(status__in=Requirement.LIVE).exists():
        deciding.end_for_listing(actor=SYSTEM, requirement_id=event.requirement_id, status=_end_status(event))


def _end_status(event: Any) -> str:
    paused = event.__event__.name.endswith((".submitted", ".suspended"))
    return str(Match.Status.SUPERSEDED if paused else _Ended)


@handles(offer_events.AvailabilityReleased)
def follow_release(event: offer_events.AvailabilityReleased, *, meta: Envelope) -> None:
    """End the approved match whose reservation has ended without a trade."""
    if event.open_quantity.value == 0:
        for match in Match.objects.filter(reservation_id=event.reservation_id, status=Match.Status.APPROVED):
            deciding.follow_release(match, actor=SYSTEM, reservation_id=event.reservation_id)


@handles(risk_events.RiskAssessed)
def follow_risk(event: risk_events.RiskAssessed, *, meta: Envelope) -> None:
    """Match again what risk judges otherwise than before."""
    if event.trade_id is not None or event.status == event.previous_status:
        return
    cause = event.__event__.name
    if event.subject_type == "REQUIREMENT" and event.requirement_id is not None:
        marks.mark_requirements(
            actor=SYSTEM, subject_ids=[event.requirement_id], cause=cause, priority="HIGH"
        )
    elif event.subject_type == "AVAILABILITY" and event.availability_id is not None:
        marks.mark_offers(actor=SYSTEM, subject_ids=[event.availability_id], cause=cause, priority="HIGH")
    elif event.partner_id is not None:
        marks.mark_partners([event.partner_id], actor=SYSTEM, cause=cause)


@handles(
    partner_events.PartnerSuspended, partner_events.PartnerReactivated, partner_events.PermissionsChanged,
    partner_events.CreditLimitChanged, partner_events.KycExpired, partner_events.RenewalCompleted,
    partner_events.RelatedPartyDetected, partner_events.RelatedPartyDecided,
)  # fmt: skip
def follow_partner(event: partner_events.OfPartner, *, meta: Envelope) -> None:
    """Match the listings of a partner again whose standing, rights, papers, links or credit limit has changed."""
    marks.mark_partners([event.partner_id], actor=SYSTEM, cause=event.__event__.name)


@handles(risk_events.RiskPairBlocked, risk_events.RiskPairFreed, risk_events.RiskOverrideGranted)
def follow_pair(event: Any, *, meta: Envelope) -> None:
    """Match the listings of two partners again that may no longer, or may again, trade with each other."""
    marks.mark_partners(event.partner_ids, actor=SYSTEM, cause=event.__event__.name)


@handles(risk_events.RiskOverrideExpired, risk_events.RiskOverrideRevoked)
def follow_override(event: risk_events.OverrideEvent, *, meta: Envelope) -> None:
    """Match the listings of two partners again whose override has ended."""
    override = RiskOverride.objects.get(pk=event.override_id)
    pair = [override.partner_low_id, override.partner_high_id]
    marks.mark_partners(pair, actor=SYSTEM, cause=event.__event__.name)


@handles(TAX_RATE.published, UNIT_DEFINITION.published, risk_events.RiskRateRecorded)
def follow_figures(event: Any, *, meta: Envelope) -> None:
    """Have prices computed again after a change of a tax rate, a unit's definition or a currency rate."""
    live: Any = Availability.objects.filter(status=Availability.Status.ACTIVE)
    wants: Any = Requirement.objects.live()
    if isinstance(event, risk_events.RiskRateRecorded):
        live, wants = live.filter(currency=event.currency), wants.filter(currency=event.currency)
    elif hasattr(event, "hsn"):
        live, wants = (rows.filter(commodity__hsn_code__startswith=event.hsn) for rows in (live, wants))
    else:
        live, wants = (rows.filter(pricing_unit__unit=event.code) for rows in (live, wants))
    goods = {*live.values_list("commodity", flat=True), *wants.values_list("commodity", flat=True)}
    if goods:
        rule_sets.forget_profiles(actor=SYSTEM, commodity_ids=sorted(goods))


@handles(events.RematchRequested)
def start_matching(event: events.RematchRequested, *, meta: Envelope) -> None:
    """Have a worker match the listing once the burst of changes is over."""
    mark = RematchMark.objects.filter(subject_type=event.subject_type, subject_id=event.subject_id).first()
    if mark is not None:
        wait = max((mark.due_at - clock.now()).total_seconds(), 0)
        transaction.on_commit(
            lambda: rematch.apply_async((str(mark.pk),), countdown=wait, retry=False), robust=True
        )


@shared_task
def rematch(mark_id: str, kind: str = _Kind.TRIGGERED) -> str:
    """Match a listing that changed; what changes meanwhile is matched after it."""
    row = marks.take(actor=SYSTEM, mark_id=UUID(mark_id))
    if row is None:
        return ""
    wanted = row.wanted
    listing = marks.MODELS[row.subject_type].objects.filter(pk=row.subject_id).first()
    subject = {row.subject_type.lower(): listing}
    rules = "" if listing is None else marks.rules_key(listing)
    try:
        run = None if listing is None else runs.match_subject(actor=SYSTEM, kind=kind, **subject)
    except Exception as error:
        code = error.code if isinstance(error, DomainError) else type(error).__name__
        log.exception("rematch_failed", subject_type=row.subject_type, subject=str(row.subject_id), code=code)
        with unit_of_work(SYSTEM):
            runs.record_failure(actor=SYSTEM, kind=kind, reason=code, **subject)
            marks.put_off(row, actor=SYSTEM, error=code)
        return "failed"
    seen = 0 if listing is None else listing.version
    row = marks.settle(row, actor=SYSTEM, matched=wanted, seen_version=seen, rules=rules)
    if row.matched < row.wanted:
        rematch.apply_async((mark_id, kind), retry=False)
    return "matched" if run is not None else "not_live"


@shared_task
def sweep_marks() -> int:
    """Take up marks that were lost, and listings that changed without one; start what a change of rules asks for."""
    found = marks.overdue(clock.now(), LOST, CHUNK)
    for mark_id in found:
        rematch.apply_async((str(mark_id), _Kind.SWEEP), retry=False)
    count = len(found)
    for subject in _Subject:
        keys = marks.unmarked(subject, CHUNK)
        if keys:
            marks.mark(actor=SYSTEM, subject_type=subject, subject_ids=keys, cause="sweep", priority="LOW")
        count += len(keys)
    return count + start_batches()


def start_batches() -> int:
    """Start a batch for each commodity that was matched by other rules than the active ones."""
    started = 0
    for commodity in batches.out_of_date(CHUNK):
        if not batches.running(commodity.pk):
            started += sweeps.each(
                [commodity], lambda row: batches.start_batch(actor=SYSTEM, commodity=row) is not None
            )
    return started


@handles(events.RulesChanged)
def follow_rules(event: events.RulesChanged, *, meta: Envelope) -> None:
    """Start the batch that new rules ask for; what doesn't start now the sweep starts."""
    transaction.on_commit(lambda: sweep_marks.apply_async(retry=False), robust=True)


class MatchBatch(JobKind):
    """Requirements of a commodity, one a row."""

    name, title = batches.KIND, "Match a commodity"
    _looks: Mapping[UUID, batches.Looked]

    def rows(self, job: Job, content: bytes) -> Iterator[WorkRow]:
        """The requirements that the batch began with."""
        for number, key in enumerate(content.decode().split(), 1):
            yield WorkRow(number, {"requirement_id": key})

    def begin(self, rows: Sequence[WorkRow], *, job: Job) -> None:
        """Look at the requirements of a chunk; what is written for them is locked together."""
        self._looks = {}  # those of the chunk before need not wait in memory
        run = MatchRun.objects.get(pk=job.parameters["run_id"])
        self._looks = batches.look_at_chunk(run, [UUID(row.values["requirement_id"]) for row in rows])

    def apply(self, row: WorkRow, *, job: Job, actor: Actor) -> RowResult:
        """Match one requirement."""
        run, key = MatchRun.objects.get(pk=job.parameters["run_id"]), UUID(row.values["requirement_id"])
        return RowResult(
            "matched" if batches.match_row(run, key, SYSTEM, self._looks.get(key)) else "skipped"
        )

    def finish(self, job: Job) -> None:
        """Add up, and divide contested stock."""
        run = MatchRun.objects.get(pk=job.parameters["run_id"])
        batches.finish_batch(run, actor=SYSTEM, job=job)


@shared_task
def expire_matches() -> int:
    """End proposed matches past their time; returns how many."""
    due = Match.objects.due(clock.now()).order_by("expires_at", "pk")[:CHUNK]
    return sweeps.each(due, partial(deciding.expire, actor=SYSTEM))


# Digests


@handles(events.MatchFound)
def note_match(event: events.MatchFound, *, meta: Envelope) -> None:
    """Note a new match for the users of both sides."""
    match = Match.objects.select_related("requirement").get(pk=event.match_id)
    old = event.replaces_match_id
    replaced = None if old is None else Match.objects.filter(pk=old).first()
    notices.note_match(actor=SYSTEM, match=match, replaced=replaced)


@shared_task
def send_digests() -> int:
    """Send digests to users whose matches are due, each in a transaction of its own; returns how many."""
    due = MatchNotice.objects.filter(told_at=None, due_at__lte=clock.now())
    people = list(due.order_by("user_id").values_list("user_id", flat=True).distinct()[:CHUNK])
    return sweeps.each(people, lambda key: notices.send_digest(actor=SYSTEM, user_id=key) > 0)


@handles(events.DigestDue)
def notify_of_matches(event: events.DigestDue, *, meta: Envelope) -> None:
    """Notify a user of new matches, by the channel that the person has chosen."""
    user = User.objects.filter(pk=event.user_id).first()
    if user is not None:
        context = {"count": len(event.match_ids), "more": event.more}
        notifications.notify(actor=SYSTEM, notice=DIGEST, event_id=meta.event_id, user=user, context=context)
