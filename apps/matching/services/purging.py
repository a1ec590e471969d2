"""Removal of runs, matches and allocations that nothing needs any more (400 days)."""

from apps.matching import capabilities, events
from apps.matching.models import Allocation, Match, MatchRun
from apps.matching.services.deals import head
from erp import clock
from erp.access import Actor
from erp.services import emit, service


@service(requires=capabilities.EXECUTE, emits=[events.MatchPurged], label="Delete an old match")
def purge_match(match: Match, *, actor: Actor) -> None:
    """Delete a match that ended long ago, with its notices; one that something refers to stays."""
    if Match.objects.to_purge(clock.now()).filter(pk=match.pk).exists():
        emit(events.MatchPurged(**head(match)))
        Match.objects.filter(superseded_by=match).update(superseded_by=None)
        match.delete()


@service(requires=capabilities.EXECUTE, emits=[events.RunPurged], label="Delete an old run")
def purge_run(run: MatchRun, *, actor: Actor) -> None:
    """Delete a run of long ago whose matches are gone."""
    if MatchRun.objects.to_purge(clock.now()).filter(pk=run.pk).exists():
        emit(events.RunPurged(run_id=run.pk))
        run.delete()


@service(requires=capabilities.EXECUTE, emits=[events.AllocationPurged], label="Delete an old allocation")
def purge_allocation(allocation: Allocation, *, actor: Actor) -> None:
    """Delete an allocation of long ago that binds no live match."""
    if Allocation.objects.to_purge(clock.now()).filter(pk=allocation.pk).exists():
        emit(events.AllocationPurged(allocation_id=allocation.pk))
        allocation.matches.update(allocation=None, allocated_quantity=None, allocated_kg=None)
        allocation.parts.all().delete()
        allocation.delete()
