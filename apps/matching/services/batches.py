"""Batches: every requirement of a commodity at once, as a job that goes on where it stopped."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import Any, Final, NamedTuple
from uuid import UUID

import structlog
from django.db import Error as DatabaseFailure
from django.db import InterfaceError, OperationalError
from django.db.models import Exists, OuterRef, Q, Sum

from apps.availability.models import Availability
from apps.commodities.models.commodities import Commodity
from apps.matching import capabilities, events
from apps.matching.engine import VERSION
from apps.matching.models import Match, MatchRun, RematchMark
from apps.matching.services import allocating, marks, pairs, problems, rule_sets, runs
from apps.matching.services.rule_reading import active_rule, active_rules
from apps.requirement.models import Requirement
from erp import clock, locks
from erp.access import SYSTEM, Actor
from erp.errors import DomainError
from erp.jobs import services as jobs
from erp.jobs.events import JobQueued
from erp.jobs.models import Job
from erp.services import attempt, emit, service

log = structlog.get_logger(__name__)
KIND: Final = "matching.batch"
FULL, STALE = "FULL", "STALE"
_Status = MatchRun.Status


@service(
    requires=capabilities.EXECUTE,
    emits=[events.RunStarted, JobQueued],
    raises=[problems.BatchRunning],
    jobs=[runs.match_subject, marks.settle_listing],
    label="Match a commodity",
    description="Match all live requirements of a commodity. It runs as a job.",
)
def start_batch(
    *,
    actor: Actor,
    commodity: Commodity,
    states: Sequence[str] = (),
    mode: str = STALE,
    allocate: bool = True,
) -> MatchRun:
    """Start a batch: one at a time for a commodity and a state of the goods. No states: all of them."""
    locks.hold(f"matching.batch:{commodity.pk}")
    if running(commodity.pk, states):
        raise problems.BatchRunning
    keys = _wants(commodity.pk, mode)
    run = MatchRun(
        kind=MatchRun.Kind.BATCH, commodity=commodity, states=sorted(set(states)), mode=mode, allocate=allocate,
        engine_version=VERSION, status=_Status.QUEUED, by_staff=actor.is_staff and not actor.is_system,
    )  # fmt: skip
    rules = active_rule(commodity.pk)
    run.rule_set_id = rules.id
    content = "\n".join(map(str, keys)).encode()
    run.job_id = jobs.queue(
        actor=actor, kind=KIND, total=len(keys), parameters={"run_id": str(run.pk)}, content=content
    ).pk
    run.save()
    emit(events.RunStarted(**runs.run_head(run, rules)))
    return run


def running(commodity_id: UUID, states: Sequence[str] = ()) -> bool:
    """Whether a batch of the commodity runs for one of the states."""
    rows = MatchRun.objects.filter(kind=MatchRun.Kind.BATCH, commodity=commodity_id, status__in=MatchRun.OPEN)
    overlapping = Q(states=[]) | Q(states__overlap=list(states)) if states else Q()
    return bool(rows.filter(overlapping).exists())


def _wants(commodity_id: UUID, mode: str) -> list[UUID]:
    """Live requirements of the goods; of a STALE batch those not matched by the active rules."""
    rows = Requirement.objects.live().filter(
        Q(commodity=commodity_id) | Q(substitute_ids__contains=[commodity_id])
    )
    if mode == STALE:
        rows = rows.filter(~Exists(_up_to_date(active_rule(commodity_id).key)))
    return list(rows.order_by("pk").values_list("pk", flat=True))


def _up_to_date(key: str) -> Any:
    marks_of = RematchMark.objects.filter(subject_type="REQUIREMENT", subject_id=OuterRef("pk"))
    return marks_of.filter(rules=key, seen_version__gte=OuterRef("version"))


def out_of_date(limit: int) -> list[Commodity]:
    """Commodities whose live requirements were matched by other rules than the active ones."""
    found = []
    wanted = Requirement.objects.live().values("commodity")
    for commodity in Commodity.objects.filter(pk__in=wanted).order_by("pk"):
        matched = RematchMark.objects.filter(subject_type="REQUIREMENT", subject_id=OuterRef("pk"))
        other = matched.filter(seen_version__gt=0).exclude(rules=active_rule(commodity.pk).key)
        if Requirement.objects.live().filter(Exists(other), commodity=commodity).exists():
            found.append(commodity)
    return found[:limit]


class Looked(NamedTuple):
    """A look at a requirement of a chunk, and the rules of its mark before."""

    look: runs.Look
    marked: str


def match_row(run: MatchRun, want_id: UUID, actor: Actor, looked: Looked | None = None) -> bool:
    """Match one requirement of a batch, as it was looked at; False where it is no longer live."""
    want = Requirement.objects.filter(pk=want_id).first()
    part = want and runs.match_subject(
        actor=actor, kind=MatchRun.Kind.BATCH, requirement=want, batch=run, states=run.states,
        look=looked and looked.look,
    )  # fmt: skip
    if want is None or part is None:
        return False
    if looked is not None and not run.states:  # of some states only, or not looked at, it stays to be matched
        marks.settle_listing(
            actor=actor, subject_type="REQUIREMENT", subject_id=want.pk, seen_version=looked.look.version,
            rules=looked.look.rules[want.commodity_id].key, before=looked.marked,
        )  # fmt: skip
    return True


def _marked(keys: Collection[UUID]) -> dict[UUID, str]:
    """The rules by which requirements were matched last, by their marks."""
    rows = RematchMark.objects.filter(subject_type="REQUIREMENT", subject_id__in=keys)
    return dict(rows.values_list("subject_id", "rules"))


def look_at_chunk(run: MatchRun, keys: Collection[UUID]) -> dict[UUID, Looked]:
    """Look at the live requirements of a chunk, and lock what is written for them, each kind by id.

    Locks: live matches, requirements, and the offers of the matches that are stored. A requirement that can't be looked
    at is left out; its own row says why. Raises OperationalError and InterfaceError.
    """
    marked = _marked(keys)
    live = Match.objects.live().filter(requirement__in=keys).locked().order_by("pk")
    offers = set(live.values_list("availability_id", flat=True))
    wants = [want for want in Requirement.objects.filter(pk__in=keys).order_by("pk") if runs.is_live(want)]
    rules = active_rules({key for want in wants for key in (want.commodity_id, *want.substitute_ids)})
    looks: dict[UUID, Looked] = {}
    with _tried():
        rule_sets.refresh_profiles(actor=SYSTEM, rules=rules, want_ids=keys)
        for want in wants:
            with _tried():
                look = runs.look_at(want, states=run.states, staff=run.by_staff, rules=rules)
                looks[want.pk] = Looked(look, marked.get(want.pk, ""))
                offers.update(candidate.row.availability_id for candidate in look.kept)
    for rows in (Requirement.objects.filter(pk__in=keys), Availability.objects.filter(pk__in=offers)):
        list(rows.locked().order_by("pk").values_list("pk"))
    return looks


@contextmanager
def _tried() -> Iterator[None]:
    """Go on after an error that isn't the server's or the connection's; what was written is rolled back."""
    try:
        with attempt():
            yield
    except (OperationalError, InterfaceError):
        raise
    except (DomainError, DatabaseFailure) as error:
        log.warning("matching.look_failed", error=type(error).__name__)


@service(
    requires=capabilities.EXECUTE,
    emits=[events.RunCompleted, events.RunFailed, events.StockAllocated],
    label="End a batch",
)
def finish_batch(run: MatchRun, *, actor: Actor, job: Job) -> MatchRun:
    """Add up what the runs of a batch did, and divide contested stock in the order of the offers' best matches."""
    assert run.commodity_id is not None
    rules = active_rule(run.commodity_id)
    if job.status == Job.Status.FAILED:
        run.status, run.problem = _Status.FAILED, job.problem_code
        run.save()
        emit(events.RunFailed(**runs.run_head(run, rules), reason=run.problem or "refused"))
        return run
    parts = run.parts.all()
    sums = parts.aggregate(
        pool=Sum("pool"), kept=Sum("kept"), found=Sum("found"), superseded=Sum("superseded")
    )
    for name, value in sums.items():
        setattr(run, name, value or 0)
    run.rejected, run.dropped = (
        _added(parts.values_list(name, flat=True)) for name in ("rejected", "dropped")
    )
    cancelled = job.status == Job.Status.CANCELLED
    run.status = _Status.CANCELLED if cancelled else _Status.COMPLETED
    run.duration_ms = int((clock.now() - run.created_at).total_seconds() * 1000)
    run.save()
    if run.allocate and not cancelled:
        _allocate(run)
    emit(
        events.RunCompleted(
            **runs.run_head(run, rules),
            pool=run.pool,
            kept=run.kept,
            found=run.found,
            superseded=run.superseded,
        )
    )
    return run


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total)


def _allocate(run: MatchRun) -> None:
    """Divide every contested offer of the batch; a requirement shrinks by what it was given."""
    assert run.commodity_id is not None
    rows = Match.objects.proposed().filter(availability__commodity=run.commodity_id)
    rows = rows.filter(availability__visibility=Availability.Visibility.MATCHED_ONLY)
    if run.states:
        rows = rows.filter(availability__state_code__in=run.states)
    best: dict[UUID, Any] = {}
    wanted: Counter[UUID] = Counter()
    for row in rows.select_related("availability").order_by(
        "-score", "landed", "availability__listed_at", "pk"
    ):
        best.setdefault(row.availability_id, row.availability)
        wanted[row.availability_id] += row.proposed_quantity
    rules = {run.commodity_id: active_rule(run.commodity_id)}
    given: dict[UUID, Fraction] = {}
    contested = [offer for offer in best.values() if wanted[offer.pk] > offer.available_quantity]
    locked = allocating.lock([offer.pk for offer in contested])
    for offer in contested:
        found = pairs.find(pairs.Scope(offers=[offer.pk], by_offer=True, staff=run.by_staff), rules)
        demand = {each.requirement_id: each.demand for each in found.rows}
        allocating.allocate(run, offer, rules[run.commodity_id], demand, locked, given)
