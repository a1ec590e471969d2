"""Periodic work on partners: checks with registries, dates, and what other modules tell."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import structlog
from celery import shared_task
from django.conf import settings
from django.db.models import Count, Min, Q
from prometheus_client.core import GaugeMetricFamily, Metric

from apps.accounts.events import InvitationAccepted
from apps.notifications import services as notifications
from apps.notifications.models import Channel, Notice
from apps.partners import events, notices
from apps.partners.clients import REGISTRIES, is_sandbox, registry_for
from apps.partners.models import (
    Amendment,
    KycCheck,
    KycNotice,
    OnboardingRound,
    Partner,
    PartnerBankAccount,
    PartnerDocument,
    PartnerEmployee,
    PartyLink,
    TaxRegistration,
    TradePermission,
)
from apps.partners.services import (
    amendments,
    checks,
    decisions,
    exposure,
    kyc,
    links,
    overrides,
    papers,
    parts,
    people,
    submission,
)
from erp import clock, doctor, metrics, sweeps
from erp.access import SYSTEM
from erp.clients import RemoteUnavailable
from erp.errors import DomainError
from erp.events import Event
from erp.outbox.subscriber import handles
from erp.outbox.wire import Envelope
from erp.services import Refusal

CHUNK = 200  # rows of one sweep
ALARM_MINUTES = 15  # after a hold should have ended

log = structlog.get_logger(__name__)


@shared_task
def run_check(check_id: str) -> str:
    """Ask the registry of one pending check, outside a transaction, and record what it says; returns the status."""
    check = KycCheck.objects.filter(pk=check_id, status=KycCheck.Status.PENDING).first()
    question = checks.inputs_of(check) if check is not None else None
    if check is None or question is None:
        return ""
    asked = check.input_hash
    registry = registry_for(check.kind)
    error_code = "unavailable"
    try:
        answer = registry.ask(question)
        recorded = checks.record_check(
            check, actor=SYSTEM, input_hash=asked, provider=registry.name, answer=answer
        )
    except Exception as error:
        if not isinstance(error, RemoteUnavailable):  # an answer that no rule can read counts as none
            log.exception("check_not_recorded", check_id=check_id)
            error_code = "unreadable"
        recorded = checks.record_check(
            check, actor=SYSTEM, input_hash=asked, provider=registry.name, error_code=error_code
        )
    return str(recorded.status)


@shared_task
def run_checks() -> int:
    """Ask about every check that is due, one after the other; return how many were answered."""
    due = KycCheck.objects.due(clock.now()).order_by("next_attempt_at", "id").values_list("pk", flat=True)
    answered = 0
    for pk in list(due[:CHUNK]):
        answered += run_check(str(pk)) not in ("", KycCheck.Status.PENDING)
    late = clock.now() - timedelta(hours=checks.HOURS_TO_WAIT)
    waiting = OnboardingRound.objects.filter(status=OnboardingRound.Status.VERIFICATION_PENDING)
    for round in waiting.filter(submitted_at__lte=late).order_by("submitted_at")[:CHUNK]:
        checks.assess_overdue(round, actor=SYSTEM)
    return answered


@shared_task
def keep_dates() -> int:
    """End what ran out (drafts, invitations, accounts, papers, overrides), apply amendments; return how many."""
    now, today = clock.now(), clock.today()

    def every(
        rows: Any,
    ) -> Any:  # not the first so many: those that fail each night would keep the others waiting
        return rows.order_by("id").iterator(chunk_size=CHUNK)

    rounds = OnboardingRound.objects.filter(status__in=OnboardingRound.EDITABLE, expires_at__lte=now)
    ended = sweeps.each(every(rounds), lambda row: not submission.expire_round(row, actor=SYSTEM).is_open)
    invited = PartnerEmployee.objects.filter(
        status=PartnerEmployee.Status.INVITED, invited_at__lt=now - timedelta(days=people.INVITATION_DAYS)
    )
    ended += sweeps.each(
        every(invited),
        lambda row: people.lapse_employee(row, actor=SYSTEM).status == PartnerEmployee.Status.LAPSED,
    )
    accounts = PartnerBankAccount.objects.filter(
        status=PartnerBankAccount.Status.PENDING, created_at__lt=now - timedelta(days=parts.LAPSE_DAYS)
    )
    ended += sweeps.each(
        every(accounts),
        lambda row: parts.lapse_bank_account(row, actor=SYSTEM).status == PartnerBankAccount.Status.LAPSED,
    )
    expired = PartnerDocument.objects.filter(status=PartnerDocument.Status.VERIFIED, expiry_date__lt=today)
    ended += sweeps.each(
        every(expired),
        lambda row: papers.expire_document(row, actor=SYSTEM).status == PartnerDocument.Status.EXPIRED,
    )
    ended += sweeps.each(
        every(PartyLink.objects.clearance_over(today)),
        lambda row: links.end_clearance(row, actor=SYSTEM).status == PartyLink.Status.SUSPECTED,
    )
    over = TradePermission.objects.filter(source=TradePermission.Source.OVERRIDE, valid_to__lt=today)
    ended += sweeps.each(
        every(Partner.objects.filter(pk__in=over.values("partner"))),
        lambda row: bool(overrides.end_overridden(row, actor=SYSTEM)),
    )
    due = Amendment.objects.filter(status__in=Amendment.OPEN).filter(
        Q(status=Amendment.Status.APPROVED, effective_date__lte=today)
        | Q(status=Amendment.Status.PENDING, expires_at__lte=now)
    )
    # It fails such as for a closing while there is exposure: somebody withdraws it.
    return ended + sweeps.each(
        every(due), lambda row: amendments.keep_amendment(row, actor=SYSTEM).status not in Amendment.OPEN
    )


@shared_task
def approve_automatically() -> int:
    """Approve applications of the automatic route whose papers are verified, where that is switched on."""
    if not settings.PARTNER_AUTO_APPROVAL:
        return 0
    approved = 0
    files = OnboardingRound.objects.filter(
        status=OnboardingRound.Status.UNDER_REVIEW,
        route=OnboardingRound.Route.AUTO,
        kind=OnboardingRound.Kind.ONBOARDING,
    )
    linked = PartyLink.objects.effective()
    files = files.exclude(partner__in=linked.values("low")).exclude(partner__in=linked.values("high"))
    for round in files.select_related("partner").order_by("submitted_at")[:CHUNK]:
        try:
            decided = decisions.approve(round.partner, actor=SYSTEM)
        except DomainError as error:  # a paper or a check is open: a person decides, or a later turn does
            log.info("partner_not_approved_automatically", round_id=str(round.pk), code=error.code)
        else:
            approved += not isinstance(decided, Refusal)  # a related party was found
    return approved


@shared_task
def keep_kyc_calendar() -> int:
    """Remind, expire and lapse KYC by its dates; catches up after downtime. Returns how many partners were seen."""
    horizon = clock.today() + timedelta(days=kyc.THRESHOLDS[0])
    soon = PartnerDocument.objects.filter(
        status=PartnerDocument.Status.VERIFIED, expiry_date__range=(clock.today(), horizon)
    )
    due = Partner.objects.filter(status__in=["active", "suspended"]).filter(
        Q(kyc_expiry_date__lte=horizon) | Q(pk__in=soon.values("partner_id"))
    )
    partners = due.order_by("id").iterator(chunk_size=500)
    return sweeps.each(partners, lambda row: bool(kyc.keep_calendar(row, actor=SYSTEM)))


@shared_task
def recheck_registrations() -> int:
    """Ask the GST registry about every registration in use, once a month; catches up. Returns how many it asks."""
    due = TaxRegistration.objects.in_use().checked_before(checks.month_start()).order_by("id")
    return sweeps.each(
        due.iterator(chunk_size=500), lambda row: bool(checks.recheck_registration(row, actor=SYSTEM))
    )


@shared_task
def rescore_partners() -> int:
    """Score every partner anew, once a month; catches up after downtime. Returns how many scores changed."""
    trading = Partner.objects.filter(status__in=["active", "suspended"])
    done = KycNotice.objects.filter(threshold=kyc.MONTH, expiry_date=clock.today().replace(day=1))
    partners = trading.exclude(pk__in=done.values("partner")).order_by("id").iterator(chunk_size=500)
    return sweeps.each(partners, lambda row: kyc.rescore(row, actor=SYSTEM).trust_score != row.trust_score)


@handles(InvitationAccepted)
def activate_employee(event: InvitationAccepted, *, meta: Envelope) -> None:
    """Note that an invited person of a partner accepted."""
    for employee in PartnerEmployee.objects.filter(user=event.user_id):
        people.activate_employee(employee, actor=SYSTEM)


@handles(
    events.AmendmentApplied,
    events.DocumentUploaded,
    events.EmployeeInvited,
    events.PartnerBankAccountAdded,
    events.PartnerLocationAdded,
)
def find_links(event: events.OfPartner, *, meta: Envelope) -> None:
    """Look for related parties after something by which they are found has changed."""
    links.find_links(Partner.objects.get(pk=event.partner_id), actor=SYSTEM)


@handles(events.RelatedPartyDetected, events.RelatedPartyDecided)
def reassess_linked(event: events.RelatedPartyDetected, *, meta: Envelope) -> None:
    """Score the files of both partners anew: a blocking link asks for a director."""
    _reassess(PartyLink.objects.filter(pk=event.link_id))


@handles(events.OnboardingExpired, events.OnboardingWithdrawn, events.PartnerClosed, events.PartnerRejected)
def reassess_after_end(event: events.OfPartner, *, meta: Envelope) -> None:
    """Score the files of linked partners anew: a link to an ended one doesn't count any more."""
    _reassess(PartyLink.objects.of(event.partner_id))


def _reassess(linked: Iterable[PartyLink]) -> None:
    partners = {pk for link in linked for pk in link.partner_ids}
    for round in OnboardingRound.objects.open().filter(partner__in=partners).order_by("id"):
        checks.reassess(round, actor=SYSTEM)


_NOTICES: dict[type[Event], tuple[Notice, tuple[str, ...]]] = {
    events.InfoRequested: (notices.INFO_REQUESTED, ("partner_id", "round_id")),
    events.PartnerApproved: (notices.APPROVED, ("partner_id",)),
    events.PartnerRejected: (notices.REJECTED, ("partner_id", "round_id")),
    events.DocumentRejected: (notices.DOCUMENT_REJECTED, ("partner_id", "document_id")),
    events.KycReminded: (notices.EXPIRY, ("partner_id", "subject_type", "subject_id", "expiry_date")),
    events.PartnerSuspended: (notices.SUSPENDED, ("partner_id",)),
    events.PartnerBankAccountAdded: (notices.BANK_ACCOUNT, ("partner_id", "bank_account_id")),
    events.PartnerBankAccountVerified: (notices.BANK_ACCOUNT, ("partner_id", "bank_account_id")),
    events.PrimaryAccountChanged: (notices.BANK_ACCOUNT, ("partner_id", "bank_account_id")),
    events.AmendmentApplied: (notices.CONTACT, ("partner_id", "amendment_id")),
}
# Where money could be led astray, the contact of before is told too.
_WARNED = (notices.BANK_ACCOUNT, notices.CONTACT)


@handles(*_NOTICES)
def notify_partner(event: events.OfPartner, *, meta: Envelope) -> None:
    """Notify the applicant, or the administrators of the partner; of accounts and contacts also the former contact."""
    notice, facts = _NOTICES[type(event)]
    channels = [Channel.MAIL.value]
    if isinstance(event, events.AmendmentApplied):
        changed = {"partner.contact_email", "partner.contact_phone"} & set(event.fields)
        if not changed:
            return
        channels += [Channel.SMS.value] if "partner.contact_phone" in changed else []
    context = {fact: str(getattr(event, fact)) for fact in facts}
    notify = partial(
        notifications.notify, actor=SYSTEM, notice=notice, event_id=meta.event_id, context=context
    )
    for person in people.administrators(event.partner_id):
        notify(user=person)
    trades = Partner.objects.filter(pk=event.partner_id, status__in=["active", "suspended"])
    if notice in _WARNED and trades.exists():
        for channel in channels:
            notify(recipient_id=event.partner_id, channel=channel)


def partner_queues() -> Iterator[Metric]:
    """Open files by status, age of the oldest under review, unanswered checks, and overdue holds."""
    now = clock.now()
    queue = GaugeMetricFamily(
        "erp_partner_rounds", "Files of partners that aren't decided.", labels=["status"]
    )
    open_rounds = OnboardingRound.objects.open().values("status").order_by("status")
    oldest = None
    for line in open_rounds.annotate(number=Count("pk"), since=Min("submitted_at")):
        queue.add_metric([line["status"]], line["number"])
        if line["status"] == OnboardingRound.Status.UNDER_REVIEW:
            oldest = line["since"]
    yield queue
    age = (now - oldest).total_seconds() if oldest is not None else 0
    yield GaugeMetricFamily(
        "erp_partner_review_age_seconds", "Age of the oldest file under review.", value=age
    )
    waiting = GaugeMetricFamily("erp_partner_checks_pending", "Checks without an answer.", labels=["kind"])
    pending = KycCheck.objects.filter(status=KycCheck.Status.PENDING).values("kind").order_by("kind")
    for line in pending.annotate(number=Count("pk")):
        waiting.add_metric([line["kind"]], line["number"])
    yield waiting
    overdue = exposure.overdue_holds(now - timedelta(minutes=ALARM_MINUTES)).count()
    yield GaugeMetricFamily(
        "erp_partner_holds_overdue", "Holds of credit that should be over.", value=overdue
    )


metrics.of_modules.append(partner_queues)


def _check_registries() -> str:
    """Fail in production while a registry is played by the sandbox."""
    played = [kind for kind in REGISTRIES if is_sandbox(kind)]
    if played and settings.PRODUCTION:
        raise doctor.CheckFailed(
            f"answered by the sandbox: {', '.join(played)}", "set the addresses of the registries"
        )
    return "sandbox" if played else "configured"


doctor.module_checks.append(
    doctor.HealthCheck(
        "registries", _check_registries, "set the addresses of the registries", after="migrations"
    )
)
