"""Runs: find the pairs of a listing, compare them with the live matches, and store what is new."""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db.models import Q

from apps.availability.models import Availability, Stage
from apps.availability.services import decisions as offers
from apps.availability.services.listing import measured
from apps.matching import capabilities, events
from apps.matching.engine import VERSION
from apps.matching.models import Match, MatchRun
from apps.matching.services import allocating, pairs, problems, profiles
from apps.matching.services.candidates import COOLDOWN, DUPLICATE, PRICE, Candidate, choose, scored
from apps.matching.services.deals import SOURCE, conceal, head
from apps.matching.services.rule_reading import Rules, active_rule
from apps.partners.models import Partner
from apps.requirement.models import Requirement
from apps.risk.models import RiskStatus
from apps.risk.services import assessing
from erp import clock
from erp.access import SYSTEM, Actor
from erp.events import Event
from erp.ids import uuid4
from erp.services import emit, service

EMITS: Final[list[type[Event]]] = [
    events.RunCompleted, events.MatchFound, events.MatchSuperseded, events.StockAllocated,
]  # fmt: skip
MOST_SHOWN, SHOWN = 50, 10
_PAIR: Final = ("requirement_id", "availability_id")
_Status, _Kind = Match.Status, MatchRun.Kind


@dataclass(frozen=True)
class RunResult:
    """A run, and the matches that it leaves, best first."""

    run: MatchRun
    matches: Sequence[Match]

    @property
    def pk(self) -> UUID:
        """The run's id."""
        return self.run.pk


@service(
    requires=capabilities.VIEW_RESULTS,
    emits=EMITS,
    raises=[problems.SubjectNotLive, problems.ThresholdTooLow],
    lock_via=None,
    label="Find matching offers",
)
def find_for_requirement(
    requirement: Requirement, *, actor: Actor, limit: int = SHOWN, min_score: Decimal | None = None
) -> RunResult:
    """Find offers for a requirement and store new matches. A minimum score below that of the rules has no effect."""
    if not is_live(requirement):
        raise problems.SubjectNotLive.of_status(requirement)
    run = _new_run(_Kind.ASKED, actor, requirement=requirement)
    return _run(run, actor, min_score=_checked(min_score, requirement), limit=limit)


@service(
    requires=capabilities.VIEW_RESULTS,
    emits=EMITS,
    raises=[problems.SubjectNotLive, problems.ThresholdTooLow],
    lock_via=None,
    label="Find matching requirements",
)
def find_for_availability(
    offer: Availability, *, actor: Actor, limit: int = SHOWN, min_score: Decimal | None = None
) -> RunResult:
    """Find requirements for an offer and store new matches. A minimum score below that of the rules has no effect."""
    if not is_live(offer):
        raise problems.SubjectNotLive.of_status(offer)
    run = _new_run(_Kind.ASKED, actor, availability=offer)
    return _run(run, actor, min_score=_checked(min_score, offer), limit=limit)


@service(requires=capabilities.EXECUTE, emits=EMITS, label="Match a listing")
def match_subject(
    *,
    actor: Actor,
    kind: str,
    requirement: Requirement | None = None,
    availability: Availability | None = None,
    batch: MatchRun | None = None,
    states: Sequence[str] = (),
    cause_event_id: UUID | None = None,
    look: "Look | None" = None,
) -> MatchRun | None:
    """Match one listing for a trigger, the sweep or a batch, which has looked already; None where it isn't live."""
    subject = requirement or availability
    if subject is None or not is_live(subject):
        return None
    run = _new_run(
        kind, actor, requirement=requirement, availability=availability, batch=batch, states=list(states),
        cause_event_id=cause_event_id,
    )  # fmt: skip
    run.by_staff = run.by_staff or (batch is not None and batch.by_staff)
    return _run(run, actor, look=look).run


@service(requires=capabilities.EXECUTE, emits=[events.RunFailed], label="Record a failed run")
def record_failure(
    *,
    actor: Actor,
    kind: str,
    reason: str,
    requirement: Requirement | None = None,
    availability: Availability | None = None,
) -> MatchRun:
    """Record that a run failed, after its own transaction was rolled back."""
    run = _new_run(kind, actor, requirement=requirement, availability=availability)
    run.status, run.problem = MatchRun.Status.FAILED, reason[:100]
    run.save()
    emit(events.RunFailed(**run_head(run, _rules_of(run)), reason=run.problem))
    return run


def _new_run(kind: str, actor: Actor, **fields: Any) -> MatchRun:
    return MatchRun(
        kind=kind, by_staff=actor.is_staff and not actor.is_system, engine_version=VERSION, **fields
    )


def is_live(listing: Any) -> bool:
    """Whether a listing is matched: live, and not past its end by the database's time."""
    live = (
        listing.is_live if isinstance(listing, Requirement) else listing.status == Availability.Status.ACTIVE
    )
    return live and (listing.expires_at is None or listing.expires_at > clock.now())


def _checked(min_score: Decimal | None, listing: Any) -> Decimal | None:
    if min_score is not None:
        least = active_rule(listing.commodity_id).body.min_score
        if min_score < least:
            raise problems.ThresholdTooLow.at("/min_score", "too_low", f"At least {least.normalize():f}.")
    return min_score


def _rules_of(run: MatchRun) -> Rules:
    subject: Any = run.listing
    return active_rule(run.commodity_id or subject.commodity_id)


def run_head(run: MatchRun, rules: Rules) -> dict[str, Any]:
    """The fields of the run that its events carry."""
    return {
        "run_id": run.pk,
        "kind": run.kind,
        "requirement_id": run.requirement_id,
        "availability_id": run.availability_id,
        "commodity_id": run.commodity_id,
        "states": run.states,
        "mode": run.mode,
        "rule_version": rules.version,
    }


# One run


@dataclass(frozen=True)
class Look:
    """What the filters and the score say of a listing, beside the live matches that were locked before."""

    version: int  # of the listing
    rules: Mapping[UUID, Rules]
    locked: set[UUID]
    before: Mapping[tuple[UUID, UUID], Match]
    pool: int
    rejected: dict[str, int]
    dropped: dict[str, int]
    few: list[str]
    kept: list[Candidate]
    passing: set[tuple[UUID, UUID]]  # of the matches that there were before
    demand: dict[UUID, int]  # of the requirements that an offer passes with
    seconds: float


def look_at(
    subject: Any,
    *,
    states: Sequence[str] = (),
    staff: bool = False,
    min_score: Decimal | None = None,
    rules: Mapping[UUID, Rules] | None = None,
) -> Look:
    """Lock the live matches of a listing, and judge its pairs; with ``rules``, profiles are up to date already."""
    began = time.monotonic()
    by_offer = not isinstance(subject, Requirement)
    live = _live_of(subject, states)
    locked = set(live.locked().order_by("pk").values_list("pk", flat=True))
    _assess(subject)
    rules = rules or _fresh_profiles(subject)
    known = live.only("status", "inputs_digest", *_PAIR, "requirement__version", "availability__version")
    before = _by_pair(
        known.select_related(None).select_related("requirement", "availability").filter(pk__in=locked)
    )
    scope = pairs.Scope(
        wants=[] if by_offer else [subject.pk], offers=[subject.pk] if by_offer else [],
        states=states, staff=staff, by_offer=by_offer,
    )  # fmt: skip
    found = pairs.find(scope, rules)
    candidates = scored(found.rows, rules)
    choice = choose(
        candidates, by_offer=by_offer, min_score=min_score,
        refused=lambda candidates: refused_before(candidates, by_offer=by_offer),
    )  # fmt: skip
    few = _are_few(candidates, choice.kept, by_offer=by_offer)
    return Look(
        version=subject.version,
        rules=rules,
        locked=locked,
        before=before,
        pool=found.pool,
        rejected=found.rejected,
        dropped=choice.dropped,
        few=sorted([*found.few, *([pairs.DROPPED] if few else [])]),
        kept=choice.kept,
        passing=choice.passing.keys() & before.keys(),
        demand={key[0]: each.row.demand for key, each in choice.passing.items()} if by_offer else {},
        seconds=time.monotonic() - began,
    )


def _run(
    run: MatchRun,
    actor: Actor,
    *,
    min_score: Decimal | None = None,
    limit: int = 0,
    look: Look | None = None,
) -> RunResult:
    """Match the subject of a run; ``limit``: how many of the best matches are read for the answer."""
    subject: Any = run.listing
    look = look or look_at(subject, states=run.states, staff=run.by_staff, min_score=min_score)
    began = time.monotonic()
    rules = look.rules[subject.commodity_id]
    run.pool, run.rejected, run.dropped, run.kept = look.pool, look.rejected, look.dropped, len(look.kept)
    run.few, run.rule_set_id = look.few, rules.id
    run.save()
    _store(run, actor, look)
    if run.availability_id is not None:
        allocating.allocate(run, subject, rules, look.demand, look.locked)
    run.duration_ms = int((look.seconds + time.monotonic() - began) * 1000)
    run.save()
    emit(
        events.RunCompleted(
            **run_head(run, rules),
            pool=run.pool,
            kept=run.kept,
            found=run.found,
            superseded=run.superseded,
        )
    )
    return RunResult(run, _best(run, look.kept, limit))


def _fresh_profiles(subject: Any) -> dict[UUID, Rules]:
    """Bring the profiles of a listing and of what it may be matched with up to date; the rules of its goods."""
    if isinstance(subject, Requirement):
        goods = [subject.commodity_id, *subject.substitute_ids]
        return profiles.refresh_for(goods, wants=Requirement.objects.filter(pk=subject.pk))
    wants = Requirement.objects.live().filter(
        Q(commodity_id=subject.commodity_id) | Q(substitute_ids__contains=[subject.commodity_id])
    )
    own = Availability.objects.filter(pk=subject.pk)
    return profiles.refresh_for([subject.commodity_id], offers=own, wants=wants)


def _are_few(candidates: Iterable[Candidate], kept: Iterable[Candidate], *, by_offer: bool) -> bool:
    """Whether those that were dropped are of fewer partners than may be counted."""
    left = {candidate.key for candidate in kept}
    dropped = [candidate.row for candidate in candidates if candidate.key not in left]
    partners = {row.buyer_partner_id if by_offer else row.seller_partner_id for row in dropped}
    return 0 < len(partners) < pairs.FEW_PARTNERS


def _assess(subject: Any) -> None:
    """Have risk assess the run's own subject where it has no valid word."""
    is_want = isinstance(subject, Requirement)
    words = RiskStatus.objects.filter(valid_until__gt=clock.now())
    words = words.filter(requirement=subject) if is_want else words.filter(availability=subject)
    if not words.exists():
        assess = assessing.assess_requirement if is_want else assessing.assess_availability
        assess(actor=SYSTEM, **({"requirement": subject} if is_want else {"availability": subject}))


def refused_before(candidates: Sequence[Candidate], *, by_offer: bool) -> dict[tuple[UUID, UUID], str]:
    """Pairs that may not come back yet, and parcels of which a better listing is matched."""
    known = {candidate.key: candidate for candidate in candidates}
    return _cooling(known, by_offer) | (_outranked(known) if by_offer else {})


def _of_pairs(keys: Collection[tuple[UUID, UUID]], *, by_offer: bool) -> Any:
    """Matches of pairs that share a listing."""
    wants, owners = {want for want, _ in keys}, {offer for _, offer in keys}
    if by_offer:
        return Match.objects.filter(availability_id__in=owners)
    return Match.objects.filter(requirement_id__in=wants)


def _cooling(known: Mapping[tuple[UUID, UUID], Candidate], by_offer: bool) -> dict[tuple[UUID, UUID], str]:
    """A rejected pair returns with another digest only, and after its cool-down; unless it is live."""
    rows = _of_pairs(known, by_offer=by_offer)
    live = set(rows.live().values_list("requirement_id", "availability_id"))
    rejected = rows.filter(status=_Status.REJECTED).order_by(
        "requirement_id", "availability_id", "-updated_at"
    )
    away: dict[tuple[UUID, UUID], str] = {}
    columns = ("requirement_id", "availability_id", "inputs_digest", "updated_at")
    for row in rejected.distinct("requirement_id", "availability_id").only(*columns):
        key = row.requirement_id, row.availability_id
        candidate = known.get(key)
        if candidate is not None and key not in live:
            again = row.updated_at + timedelta(hours=candidate.rules.body.cooldown_hours)
            if row.inputs_digest == candidate.digest or again > clock.now():
                away[key] = COOLDOWN
    return away


def _outranked(known: Mapping[tuple[UUID, UUID], Candidate]) -> dict[tuple[UUID, UUID], str]:
    """Pairs of an offer whose parcel another listing of the seller offers better, by the requirement's live matches."""
    listed: dict[tuple[UUID, str], list[Candidate]] = {}
    for candidate in known.values():
        listed.setdefault((candidate.key[0], candidate.bucket), []).append(candidate)
    wants, buckets = ({parts[place] for parts in listed} for place in (0, 1))
    rows = (
        Match.objects.live()
        .filter(bucket__in=buckets, requirement_id__in=wants)
        .select_related("availability")
    )
    away = {}
    for row in rows:
        for candidate in listed.get((row.requirement_id, row.bucket), ()):
            key = candidate.key
            if key[1] == row.availability_id:
                continue
            landed = None if row.landed is None else int(row.landed / PRICE)
            take = int(row.proposed_quantity * candidate.row.scale)
            order = _rank(int(row.score * 10**6), landed, row.availability.listed_at, row.availability_id)
            mine = _rank(candidate.micros, candidate.landed, candidate.row.listed_at, key[1])
            if candidate.is_close(row.availability.created_at, landed, take) and order < mine:
                away[key] = DUPLICATE
    return away


def _rank(micros: int, landed: int | None, since: datetime | None, key: UUID) -> tuple[Any, ...]:
    return -micros, landed is None, landed or 0, since is None, since, key


# What is stored


def _store(run: MatchRun, actor: Actor, look: Look) -> None:
    """Compare with the live matches that the run has locked: end what no longer holds, store what is new.

    Locks: live matches (when the run begins), requirements, offers, each by id. A match that another run stored
    meanwhile, and a listing that changed since it was read, are left to the run that the change has asked for.
    """
    if _changes(run, look):
        wanted = {key[0] for key in (*look.before, *(candidate.key for candidate in look.kept))}
        versions = dict(
            Requirement.objects.filter(pk__in=wanted).locked().order_by("pk").values_list("pk", "version")
        )
        _write(run, actor, look, versions)


def _best(run: MatchRun, kept: Sequence[Candidate], limit: int) -> list[Match]:
    """The best live matches of a run, with what an answer about them names."""
    if not limit:
        return []
    live = _live_of(run.listing, run.states)
    keys = {tuple(pair): key for key, *pair in live.values_list("pk", *_PAIR)}
    best = [keys[candidate.key] for candidate in kept if candidate.key in keys][:limit]
    rows = Match.objects.with_row().in_bulk(best)
    return [rows[key] for key in best]


def _by_pair(rows: Iterable[Match]) -> dict[tuple[UUID, UUID], Match]:
    return {(row.requirement_id, row.availability_id): row for row in rows}


def _live_of(subject: Any, states: Sequence[str]) -> Any:
    """The live matches of a listing; of a requirement those with offers in the states, if any are named."""
    rows = Match.objects.live().with_row()
    if not isinstance(subject, Requirement):
        return rows.filter(availability=subject)
    rows = rows.filter(requirement=subject)
    return rows.filter(availability__state_code__in=states) if states else rows


def _changes(run: MatchRun, look: Look) -> bool:
    """Whether anything is to be written."""
    live = look.before
    new = any(each.key not in live or live[each.key].inputs_digest != each.digest for each in look.kept)
    gone = any(key not in look.passing for key, row in live.items() if row.status == _Status.PROPOSED)
    return gone or (new and _stores(run))


def _stores(run: MatchRun) -> bool:
    """Requirements that only ask for prices are counted, and nothing is stored for them."""
    want = run.requirement
    return want is None or want.intent != Requirement.Intent.PRICE_DISCOVERY_ONLY


def _write(run: MatchRun, actor: Actor, look: Look, want_versions: Mapping[UUID, int]) -> None:
    before, kept = look.before, look.kept
    keys = {key[1] for key in before} | {candidate.key[1] for candidate in kept}
    touched = Availability.objects.filter(pk__in=keys).locked().order_by("pk").select_related("match_profile")
    listings = {offer.pk: offer for offer in touched}
    live = _by_pair(_live_of(run.listing, run.states))
    protected = {row.pk for row in live.values()} - set(
        Match.objects.filter(pk__in=[row.pk for row in live.values()])
        .unprotected()
        .values_list("pk", flat=True)
    )
    wanted = {each.key: each for each in kept} if _stores(run) else {}
    for key in sorted({*live, *wanted}, key=lambda pair: (pair[1], pair[0])):
        old, candidate, seen = live.get(key), wanted.get(key), before.get(key)
        if old is not None and (seen is None or old.status != _Status.PROPOSED or old.pk in protected):
            continue
        offer = listings[key[1]]
        if candidate is not None:
            if (candidate.row.want_version, candidate.row.offer_version) != (
                want_versions[key[0]],
                offer.version,
            ):
                continue
            if old is None or old.inputs_digest != candidate.digest:
                _find(run, actor, candidate, offer, old)
        elif (
            old is not None and seen is not None and key not in look.passing and _is_judged(offer, old, seen)
        ):
            _supersede(run, actor, old, None)


def _is_judged(offer: Any, match: Match, seen: Match) -> bool:
    """Whether the filters saw the listings as they are now, or one of them is no longer live."""
    want = match.requirement
    if not (is_live(offer) and is_live(want)):
        return True
    profile, versions = getattr(offer, "match_profile", None), (want.version, offer.version)
    return (
        profile is not None
        and profile.listing_version == offer.version
        and versions == (seen.requirement.version, seen.availability.version)
    )


def _find(run: MatchRun, actor: Actor, candidate: Candidate, offer: Availability, old: Match | None) -> Match:
    """Store a match, in place of the pair's old one if there is any, and disclose the offer to the buyer."""
    row, pair = candidate.row, candidate.pair
    ends = [clock.now() + timedelta(hours=candidate.rules.body.lives_hours)]
    ends += [end for end in (row.offer_expires_at, row.want_expires_at) if end is not None]
    priced = pair.landed is not None

    def price(units: int | None) -> Decimal | None:
        return units * PRICE if priced and units is not None else None

    match = Match(
        id=uuid4(), requirement_id=row.requirement_id, availability_id=row.availability_id,
        buyer_partner_id=row.buyer_partner_id, seller_partner_id=row.seller_partner_id,
        requirement_terms_version=row.want_terms_version, availability_terms_version=row.offer_terms_version,
        rule_set_id=candidate.rules.id, engine_version=VERSION, assessment_ids=row.assessments or [],
        risk_status=Match.Risk.WARN if pair.warn else Match.Risk.PASS, quoted=price(row.quoted),
        equalised=price(row.equalised), freight=price(row.freight), tax=price(row.tax), landed=price(pair.landed),
        distance_m=row.distance_m, unit=row.unit, counted=row.counted,
        proposed_quantity=candidate.quantity(pair.take), proposed_kg=candidate.kilograms(pair.take),
        need_quantity=candidate.quantity(pair.need), need_kg=candidate.kilograms(pair.need),
        score=candidate.score, label=candidate.label, breakdown=candidate.breakdown,
        inputs_digest=candidate.digest, bucket=candidate.bucket, expires_at=min(ends), run=run,
    )  # fmt: skip
    if old is not None:
        _supersede(run, actor, old, match)
    match.save()
    offers.disclose(
        offer, actor=actor, partner=Partner(pk=row.buyer_partner_id), stage=Stage.MATCHED, source_type=SOURCE,
        source_id=match.pk, until=match.expires_at,
    )  # fmt: skip
    run.found += 1
    emit(
        events.MatchFound(
            **head(match),
            run_id=run.pk,
            commodity_id=row.commodity_id,
            requirement_terms_version=match.requirement_terms_version,
            availability_terms_version=match.availability_terms_version,
            rule_version=candidate.rules.version,
            label=match.label,
            quantity=measured(match, match.proposed_quantity),
            expires_at=match.expires_at,
            replaces_match_id=None if old is None else old.pk,
        )
    )
    return match


def _supersede(run: MatchRun, actor: Actor, match: Match, successor: Match | None) -> None:
    match.status, match.superseded_by = _Status.SUPERSEDED, successor
    match.save()
    conceal(match, actor)
    run.superseded += 1
    emit(events.MatchSuperseded(**head(match), successor_id=None if successor is None else successor.pk))
