"""What risk follows of other modules, and its periodic work: checks, screening, renewals, ends, rings."""

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from functools import partial
from itertools import chain
from typing import Any, Final
from uuid import UUID

import structlog
from celery import shared_task
from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django.db.models import Count, Min
from prometheus_client.core import GaugeMetricFamily, Metric

from apps.availability import events as offer_events
from apps.availability.services import decisions as offers
from apps.commodities.models.commodities import Commodity
from apps.partners import events as partner_events
from apps.partners.models import Partner, PartyLink
from apps.partners.services import standing
from apps.requirement import events as requirement_events
from apps.requirement.services import decisions as requirements
from apps.risk import events
from apps.risk.clients import PROVIDERS, is_sandbox, provider_for
from apps.risk.models import (
    CurrencyRate,
    PairBlock,
    ProviderCheck,
    RiskAssessment,
    RiskOverride,
    RiskStatus,
    ScreeningHit,
    ScreeningList,
    SurveillanceAlert,
    TradeFact,
)
from apps.risk.services import assessing, checks, facts, overrides, rates, screening, surveillance
from erp import clock, doctor, metrics, sweeps
from erp.access import SYSTEM
from erp.clients import RemoteUnavailable
from erp.outbox.subscriber import handles
from erp.outbox.wire import Envelope

CHUNK: Final = 500  # rows that a sweep reads at once
PAUSE: Final = 5  # seconds between two starts of a sweep by events
log = structlog.get_logger(__name__)


# Listings and partners


@handles(
    requirement_events.RequirementPublished,
    requirement_events.RequirementApproved,
    requirement_events.RequirementUpdated,
    requirement_events.RequirementReactivated,
)
def follow_requirement(event: requirement_events.Head, *, meta: Envelope) -> None:
    """Assess a requirement that was published or changed."""
    assessing.follow_requirement(actor=SYSTEM, requirement_id=event.requirement_id, cause=meta.event_id)


@handles(
    offer_events.AvailabilitySubmitted,
    offer_events.AvailabilityApproved,
    offer_events.AvailabilityUpdated,
    offer_events.AvailabilityReactivated,
)
def follow_availability(event: offer_events.Head, *, meta: Envelope) -> None:
    """Assess an offer that was approved or changed."""
    assessing.follow_availability(actor=SYSTEM, availability_id=event.availability_id, cause=meta.event_id)


@handles(
    partner_events.PartnerApproved,
    partner_events.PartnerSuspended,
    partner_events.PartnerReactivated,
    partner_events.PermissionsChanged,
    partner_events.RenewalCompleted,
    partner_events.KycExpired,
    partner_events.KycLapsed,
    partner_events.CreditLimitChanged,
    partner_events.ThresholdCrossed,
    events.RiskCheckAnswered,
    events.RiskCheckLapsed,
    events.RiskHitFound,
    events.RiskHitDecided,
)
def follow_partner(event: Any, *, meta: Envelope) -> None:
    """Assess a partner after something about it has changed; the sweep follows with its listings."""
    if not isinstance(event, events.RiskCheckAnswered) or event.changed:
        _follow([event.partner_id], meta)


@handles(partner_events.RelatedPartyDetected, partner_events.RelatedPartyDecided)
def follow_linked(event: Any, *, meta: Envelope) -> None:
    """Look at what linked partners have traded with each other."""
    for link in PartyLink.objects.filter(pk=event.link_id):
        if link.strength == PartyLink.Strength.BLOCK and link.status != PartyLink.Status.CLEARED:
            surveillance.watch_links(actor=SYSTEM, partner_id=link.low_id)


@handles(
    events.RiskOverrideGranted,
    events.RiskOverrideExpired,
    events.RiskOverrideRevoked,
    events.RiskOverrideUsed,
)
def follow_override(event: events.OverrideEvent, *, meta: Envelope) -> None:
    """Assess anew what an override covers, or covers no more."""
    override = RiskOverride.objects.get(pk=event.override_id)
    _follow(sorted({override.partner_low_id, override.partner_high_id}), meta)


def _follow(partners: Iterable[UUID], meta: Envelope) -> None:
    for partner_id in partners:
        if Partner.objects.filter(pk=partner_id).exists():
            assessing.follow_partner(actor=SYSTEM, partner_id=partner_id, cause=meta.event_id)
    _start(reassess_due)


def _start(task: Any, *arguments: str) -> None:
    """Start a task once the transaction is committed, the same one once in a few seconds.

    What gets lost, or comes too soon after another start, the next sweep finds.
    """

    def start() -> None:
        if cache.add(f"risk:started:{task.name}:{':'.join(arguments)}", "started", PAUSE):
            task.apply_async(arguments, retry=False, expires=60)

    transaction.on_commit(start, robust=True)


@handles(events.RiskPolicyChanged)
def follow_policy(event: events.RiskPolicyChanged, *, meta: Envelope) -> None:
    """Assess everything in the scope of a policy anew."""
    if event.previous_version is not None or event.commodity_id is not None:
        assessing.mark_stale(actor=SYSTEM, commodity_id=event.commodity_id)


@handles(events.RiskAssessed)
def record_on_listing(event: events.RiskAssessed, *, meta: Envelope) -> None:
    """Hand the newest word to the listing: FAIL suspends it, anything else ends that suspension."""
    rows = RiskStatus.objects.filter(assessment=event.assessment_id).select_related(
        "requirement", "availability"
    )
    for row in rows:  # none where a newer one counts
        if row.requirement is not None and row.requirement.risk_status != row.status:
            requirements.record_risk(row.requirement, actor=SYSTEM, risk_status=row.status)
        elif row.availability is not None and row.availability.risk_status != row.status:
            offers.record_risk(row.availability, actor=SYSTEM, risk_status=row.status)


@shared_task
def reassess_due() -> int:
    """Assess anew what has changed or lapses soon, each in a transaction of its own; return how many."""
    due = RiskStatus.objects.due(clock.now())
    changed, lapsing = due.filter(stale=True), due.filter(stale=False)

    def renew(row: RiskStatus) -> bool:
        still_due = RiskStatus.objects.due(clock.now()).filter(pk=row.pk).exists()  # not taken by another run
        return still_due and assessing.reassess(actor=SYSTEM, status=row) is not None

    return sweeps.each(chain(_through(changed), _through(lapsing)), renew)


def _through(rows: Any) -> Iterator[Any]:
    """All rows by key, read in chunks: many that fail each time don't keep the others from their turn."""
    chunk = list(rows.order_by("pk")[:CHUNK])
    while chunk:
        yield from chunk
        chunk = list(rows.filter(pk__gt=chunk[-1].pk).order_by("pk")[:CHUNK])


# Outside answers


@handles(events.RiskCheckRequested)
def start_check(event: events.RiskCheckRequested, *, meta: Envelope) -> None:
    """Ask the provider at once; while it doesn't answer the sweep asks again."""
    _start(run_check, str(event.check_id))


@handles(
    partner_events.PartnerApproved,
    partner_events.AmendmentApplied,
    partner_events.RenewalCompleted,
    partner_events.PartnerBankAccountAdded,
)
def screen_changed(event: partner_events.OfPartner, *, meta: Envelope) -> None:
    """Screen a partner whose names may have changed."""
    partner = Partner.objects.filter(pk=event.partner_id, status__in=["active", "suspended"]).first()
    if partner is not None:
        checks.request_check(actor=SYSTEM, partner=partner, kind=ProviderCheck.Kind.SCREENING)


@handles(events.RiskListLoaded)
def start_screening(event: events.RiskListLoaded, *, meta: Envelope) -> None:
    """Screen all partners with the lists that count now, and look again at what waited for a fresh one."""
    if event.status != ScreeningList.Status.LOADED:
        assessing.mark_stale(actor=SYSTEM, only_review=True)
        _start(screen_partners)


@handles(events.RiskHitDecided)
def suspend_matched(event: events.RiskHitDecided, *, meta: Envelope) -> None:
    """Suspend a partner that two people found on a list."""
    partner = Partner.objects.filter(pk=event.partner_id, status=Partner.Status.ACTIVE).first()
    if event.status == ScreeningHit.Status.TRUE_MATCH and partner is not None:
        standing.suspend(
            partner,
            actor=SYSTEM,
            reason_code=Partner.Suspension.SANCTIONS,
            reason="Found on a screening list; confirmed by two people.",
        )


@shared_task
def run_check(check_id: str) -> str:
    """Ask the provider of one open check, outside a transaction, and record what it says; return the status."""
    check = ProviderCheck.objects.waiting().filter(pk=check_id).select_related("partner").first()
    if check is None:
        return ""
    if check.kind == ProviderCheck.Kind.SCREENING:
        screening.screen_partner(check.partner, actor=SYSTEM)
        return str(ProviderCheck.objects.get(pk=check.pk).status)
    partner = check.partner
    question = {
        "registration": partner.pan or partner.foreign_tax_id or "",
        "day": clock.today().isoformat(),
        "reference": str(check.pk),
    }
    answer: dict[str, Any] = {}
    try:
        found = provider_for("bureau").ask(question)
        answer = {
            "grade": ProviderCheck.Grade(found["grade"]),
            "as_of": min(date.fromisoformat(found["as_of"]), clock.today()),
            "reference": str(found.get("reference") or ""),
        }
    except RemoteUnavailable:
        pass  # it stays open, and what needs it is reviewed by a person
    except ValueError:
        log.warning("check_unreadable", check_id=check_id)
    return str(checks.record_check(check, actor=SYSTEM, **answer).status)


@shared_task
def run_checks() -> int:
    """Ask about every check that is due, one after the other; return how many were answered."""
    due = ProviderCheck.objects.due(clock.now())
    waiting = ("", ProviderCheck.Status.REQUESTED)
    return sweeps.each(_through(due), lambda check: run_check(str(check.pk)) not in waiting)


@shared_task
def screen_partners() -> int:
    """Compare partners with the lists that count now, each in a transaction of its own; return how many.

    Who was compared with them already is left out, so a run goes on where the last one ended.
    """
    lists = screening.lists_now()
    if not lists.ids:
        return int(fetch_lists())  # nothing passes without one
    done = ProviderCheck.objects.filter(
        kind=ProviderCheck.Kind.SCREENING,
        status=ProviderCheck.Status.ANSWERED,
        reference__startswith=lists.key,
    )
    due = Partner.objects.filter(status__in=["active", "suspended"]).exclude(pk__in=done.values("partner"))
    return sweeps.each(_through(due), partial(screening.screen_partner, actor=SYSTEM))


@shared_task
def fetch_lists() -> int:
    """Fetch the newest screening lists, once a day; return how many snapshots were loaded."""
    today = clock.today()
    if any(clock.today(row.created_at) == today for row in ScreeningList.objects.order_by("-created_at")[:1]):
        return 0
    try:
        found = provider_for("screening").ask({"day": today.isoformat()})["lists"]
    except RemoteUnavailable:
        log.warning("screening_lists_not_fetched")
        return 0
    return sweeps.each(found, _load)


def _load(snapshot: dict[str, str]) -> None:
    screening.load_list(
        actor=SYSTEM,
        code=str(snapshot["code"])[:20],
        source=str(snapshot["source"])[:200],
        snapshot_date=date.fromisoformat(snapshot["snapshot_date"]),
        content=snapshot["content"].encode(),
    )


@shared_task
def fetch_rates() -> int:
    """Fetch the currency rates of the day; return how many there are."""
    try:
        found = provider_for("rates").ask({"day": clock.today().isoformat()})
        day = date.fromisoformat(found["date"])
        quoted = {str(code): Decimal(str(rate)) for code, rate in found["rates"].items()}
    except (RemoteUnavailable, ValueError, InvalidOperation):
        log.warning("currency_rates_not_fetched")
        return 0
    record = partial(rates.record_rate, actor=SYSTEM, date=day, source=str(found["source"])[:60])
    return sweeps.each(sorted(quoted.items()), lambda pair: record(currency=pair[0], rate=pair[1]))


# What was traded


@handles(events.RiskFactRecorded)
def follow_fact(event: events.RiskFactRecorded, *, meta: Envelope) -> None:
    """Watch a trade that was executed; compute ratings and the conduct of the pair anew."""
    fact = TradeFact.objects.filter(trade_id=event.trade_id).first()
    if fact is None:
        return
    if event.stage == TradeFact.Stage.EXECUTED and fact.settled_date is None:
        surveillance.inspect(fact, actor=SYSTEM)
    parties = sorted([fact.buyer_id, fact.seller_id])
    if fact.settled_date is not None:
        for partner in Partner.objects.filter(pk__in=parties).order_by("pk"):
            facts.rate(partner, actor=SYSTEM)
        facts.judge_pair(actor=SYSTEM, one=parties[0], other=parties[1])
    if fact.settled_date is not None or fact.overdue_amount:
        _follow(parties, meta)


@handles(partner_events.ThresholdCrossed)
def report_limit(event: partner_events.ThresholdCrossed, *, meta: Envelope) -> None:
    """Raise an alert where most of a limit is used."""
    if event.level in ("high", "critical"):
        surveillance.report_limit(
            actor=SYSTEM,
            partner_id=event.partner_id,
            level=event.level,
            utilisation=event.utilisation_percent,
        )


@handles(offer_events.AvailabilityCancelled, requirement_events.RequirementCancelled)
def watch_layering(event: Any, *, meta: Envelope) -> None:
    """Look for many listings that were cancelled soon after they went live."""
    is_offer = isinstance(event, offer_events.AvailabilityCancelled)
    surveillance.watch_layering(
        actor=SYSTEM,
        partner_id=event.seller_partner_id if is_offer else event.buyer_partner_id,
        commodity_id=event.commodity_id,
    )


@shared_task
def find_rings() -> int:
    """Look for rings in the executed trades of every commodity; return in how many commodities there are new ones."""
    traded = TradeFact.objects.executed().filter(trade_date__gte=clock.today() - timedelta(days=730))
    goods = Commodity.objects.filter(pk__in=traded.values("commodity")).order_by("pk")
    return sweeps.each(goods, lambda row: bool(surveillance.find_rings(row, actor=SYSTEM)))


@shared_task
def judge_blocked() -> int:
    """Judge anew the pairs that are blocked for their conduct, which settle no trade that would; return how many."""
    return sweeps.each(
        _through(PairBlock.objects.live().filter(cause=PairBlock.Cause.CONDUCT)),
        lambda row: facts.judge_pair(actor=SYSTEM, one=row.low_id, other=row.high_id),
    )


@shared_task
def end_dates() -> int:
    """Note the end of overrides, pair blocks and answers whose time is over; return how many."""
    now = clock.now()
    ended = sweeps.each(_through(RiskOverride.objects.ended(now)), partial(overrides.expire, actor=SYSTEM))
    ended += sweeps.each(
        _through(PairBlock.objects.over(now)), partial(surveillance.expire_block, actor=SYSTEM)
    )
    return ended + sweeps.each(
        _through(ProviderCheck.objects.over(now)), partial(checks.lapse_check, actor=SYSTEM)
    )


def risk_queues() -> Iterator[Metric]:
    """What waits for people, how long words are overdue, and how old the screening lists are."""
    now = clock.now()
    waiting = GaugeMetricFamily("erp_risk_waiting", "What waits for people, by kind.", labels=["kind"])
    review = RiskAssessment.objects.queue().aggregate(number=Count("pk"), since=Min("created_at"))
    counts = {
        "review": review["number"],
        "alert": SurveillanceAlert.objects.open().count(),
        "hit": ScreeningHit.objects.open().filter(ended=False).count(),
        "override": RiskOverride.objects.filter(status=RiskOverride.Status.PENDING).count(),
    }
    for kind, number in counts.items():
        waiting.add_metric([kind], number)
    yield waiting
    yield GaugeMetricFamily(
        "erp_risk_checks_late",
        "Questions to outside providers that have waited for more than 15 minutes.",
        value=ProviderCheck.objects.late(now).count(),
    )
    yield GaugeMetricFamily(
        "erp_risk_review_age_seconds",
        "Age of the oldest assessment that a person must look at.",
        value=0 if review["since"] is None else (now - review["since"]).total_seconds(),
    )
    lapsed = RiskStatus.objects.of_live_listings().filter(valid_until__lte=now).count()
    yield GaugeMetricFamily(
        "erp_risk_lapsed", "Live listings and partners without a valid word.", value=lapsed
    )
    oldest = screening.lists_now().oldest
    yield GaugeMetricFamily(
        "erp_risk_list_age_days",
        "Age of the oldest active screening list; -1 without any.",
        value=-1 if oldest is None else (clock.today() - oldest).days,
    )
    newest = CurrencyRate.objects.order_by("-date").values_list("date", flat=True).first()
    yield GaugeMetricFamily(
        "erp_risk_rate_age_days",
        "Age of the newest currency rate; -1 without any.",
        value=-1 if newest is None else (clock.today() - newest).days,
    )


metrics.of_modules.append(risk_queues)


def _check_providers() -> str:
    """Fail in production while a provider is played by the sandbox."""
    played = [kind for kind in PROVIDERS if is_sandbox(kind)]
    if played and settings.PRODUCTION:
        raise doctor.CheckFailed(
            f"answered by the sandbox: {', '.join(played)}", "set the addresses of the providers"
        )
    return "sandbox" if played else "configured"


doctor.module_checks.append(
    doctor.HealthCheck(
        "risk providers", _check_providers, "set the addresses of the providers", after="migrations"
    )
)
