"""Questions about matching: why a listing did not match, and what other rules would change. Nothing is stored."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Q

from apps.availability.models import Availability
from apps.matching.engine.scoring import MICRO
from apps.matching.models import Match, MatchRun, OfferProfile, RuleSet, WantProfile
from apps.matching.services import pairs, rule_sets
from apps.matching.services.candidates import choose, scored
from apps.matching.services.pairs import HIDDEN, NOT_ELIGIBLE
from apps.matching.services.rule_reading import Rules, active_rules, rules_of
from apps.requirement.models import Requirement
from erp.access import SYSTEM, Actor
from erp.errors import NotFound
from erp.services import dry_run

SAMPLE, MOST_SAMPLE = 100, 200
MOST_ROWS: Final = 50  # of a simulation that are listed one by one
SECONDS: Final = 20.0  # of a simulation; its transaction is ended after TRANSACTION_TIMEOUT
Scores = dict[UUID, int]  # of the offers that a requirement is matched with


def explained_run(actor: Actor, subject: Any, run_id: UUID | None) -> MatchRun | None:
    """The run of a listing that is explained: the last one, or a named one. Raises NotFound.

    A listing of another partner isn't explained, however much of it the actor may see.
    """
    if not (actor.is_staff or actor.is_superuser or actor.is_system or subject.belongs_to(actor)):
        raise NotFound
    rows = subject.match_runs.select_related("rule_set")
    if run_id is None:
        last: MatchRun | None = rows.order_by("-created_at", "-pk").first()
        return last
    named: MatchRun | None = rows.filter(pk=run_id).first()
    if named is None:
        raise NotFound
    return named


def explained_pair(actor: Actor, subject: Any, other: Any) -> dict[str, Any]:
    """What stops one pair: the first filter that it fails, and the bands where that is quality."""
    by_offer = isinstance(subject, Availability)
    want, offer = (other, subject) if by_offer else (subject, other)
    rules = active_rules([offer.commodity_id])
    staff = actor.is_staff or actor.is_system
    reason = pairs.reason_against(want.pk, offer.pk, rules, staff=staff)
    hidden = HIDDEN | ({"price"} if by_offer else set())
    if by_offer and not Match.objects.live().filter(requirement=want, availability=offer).exists():
        hidden |= {""}  # what passes the filters keeps below the ceiling
    return {
        "requirement_id": str(want.pk),
        "availability_id": str(offer.pk),
        "reason": (NOT_ELIGIBLE if reason in hidden and not staff else reason) or "passes",
        "parameters": _failed(want, offer) if reason == "quality" else [],
    }


def _failed(want: Requirement, offer: Availability) -> list[dict[str, Any]]:
    """The required bands that an offer doesn't keep to, with its results, which both sides may read."""
    bands = WantProfile.objects.filter(requirement=want).values_list("bands", flat=True).first() or []
    quality = OfferProfile.objects.filter(availability=offer).values_list("quality", flat=True).first() or {}
    failed = []
    for band in bands:
        got = quality.get(band["key"])
        if band["required"] and not _inside(band, got):
            shown = {
                name: None if band[name] is None else str(Decimal(band[name]) / 10_000)
                for name in ("min", "max")
            }
            failed.append(
                {"parameter": band["code"], **shown, "codes": band["codes"], "missing": got is None}
            )
    return failed


def _inside(band: Mapping[str, Any], got: Mapping[str, Any] | None) -> bool:
    if got is None:
        return False
    if band["is_code"]:
        return not band["codes"] or set(got.get("c", ())) <= set(band["codes"])
    return bool(
        "lo" in got
        and (band["min"] is None or got["lo"] >= band["min"])
        and (band["max"] is None or got["hi"] <= band["max"])
    )


# Simulation


def simulate(row: RuleSet, *, sample: int = SAMPLE, seconds: float = SECONDS) -> dict[str, Any]:
    """Score a sample of live requirements by the rules of a scope and by a proposal, in a read-only transaction.

    The sample is taken by the hash of the id, so its order is the same whenever it is taken; what isn't scored after
    ``seconds`` is left out, but for the first one.
    """
    base = rule_sets.scope_of(row.commodity_id)
    with dry_run(SYSTEM, timeout=settings.TRANSACTION_TIMEOUT):
        wants = _sample(row, sample)
        goods = {each for want in wants for each in (want.commodity_id, *want.substitute_ids)}
        rule_sets.copy_profiles(actor=SYSTEM, commodity_ids=goods, want_ids=[want.pk for want in wants])
        connection.check_constraints()  # of what the caller wrote: the checks lock rows
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
        current, proposed = (_rules(row, rules_of(each), goods) for each in (base, row))
        sides = list(_both(wants, current, proposed, seconds))
    rows = []
    for key, old, new in sorted(sides, key=lambda side: str(side[0])):
        both = old.keys() & new.keys()
        order = [[each for each in side if each in both] for side in (old, new)]
        changes = [abs(old[pair] - new[pair]) for pair in both]
        rows.append(
            {
                "requirement_id": key,
                "added": len(new.keys() - old.keys()),
                "removed": len(old.keys() - new.keys()),
                "moved": sum(one != other for one, other in zip(*order, strict=True)),
                "largest_change": Decimal(max(changes, default=0)) / MICRO,
            }
        )
    totals = {name: sum(each[name] for each in rows) for name in ("added", "removed", "moved")}
    changed = [each for each in rows if any(each[name] for name in (*totals, "largest_change"))]
    return {
        "base_version": base.version, "rule_version": row.version, "wants": len(rows), **totals,
        "rows": changed[:MOST_ROWS],
    }  # fmt: skip


def _sample(row: RuleSet, sample: int) -> list[Requirement]:
    """Live requirements in the scope of the rules."""
    wants = Requirement.objects.live()
    if row.commodity_id is not None:
        wants = wants.filter(Q(commodity=row.commodity_id) | Q(substitute_ids__contains=[row.commodity_id]))
    keys = sorted(wants.values_list("pk", flat=True), key=lambda key: sha256(key.bytes).digest())[:sample]
    found = Requirement.objects.in_bulk(keys)
    return [found[key] for key in keys]


def _rules(row: RuleSet, own: Rules, goods: Collection[UUID]) -> dict[UUID, Rules]:
    """The rules of commodities, if these were those of the scope."""
    return {key: own if _follows(row, key, each) else each for key, each in active_rules(goods).items()}


def _both(
    wants: Sequence[Requirement],
    current: Mapping[UUID, Rules],
    proposed: Mapping[UUID, Rules],
    seconds: float,
) -> Iterator[tuple[UUID, Scores, Scores]]:
    """The matches of requirements of the sample by the rules of each side, as long as there is time.

    Rules that differ in weights alone let the same pairs pass, which are found once.
    """
    began, alike = time.monotonic(), pairs.are_alike(current, proposed)
    keys = [want.pk for want in wants]
    rule_sets.refresh_profiles(actor=SYSTEM, rules=current, want_ids=keys)
    before: dict[UUID, Scores] = {}
    for key in keys:
        if before and time.monotonic() - began > seconds * (1 if alike else 0.4):
            break
        rows = pairs.find(pairs.Scope(wants=[key]), current).rows
        before[key] = _scores(rows, current)
        if alike:
            yield key, before[key], _scores(rows, proposed)
    if alike:
        return
    rule_sets.refresh_profiles(actor=SYSTEM, rules=proposed, want_ids=list(before))
    for number, (key, old) in enumerate(before.items()):
        if number and time.monotonic() - began > seconds:
            break
        yield key, old, _scores(pairs.find(pairs.Scope(wants=[key]), proposed).rows, proposed)


def _scores(rows: Sequence[pairs.Row], rules: Mapping[UUID, Rules]) -> Scores:
    """The matches among pairs that passed: offers in order, with their scores."""
    return {
        candidate.key[1]: candidate.micros for candidate in choose(scored(rows, rules), by_offer=False).kept
    }


def _follows(row: RuleSet, commodity_id: UUID, active: Rules) -> bool:
    """Whether a commodity is matched by the rules of this scope."""
    if row.commodity_id is not None:
        return commodity_id == row.commodity_id
    return active.id is None or RuleSet.objects.filter(pk=active.id, commodity=None).exists()
