"""View as a partner: started with a reason, limited to 30 minutes, recorded in events."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings

from apps.accounts import capabilities, events
from apps.accounts.models import User, ViewAs, ViewAsQuerySet
from apps.accounts.services.references import PARTNER, check_exists
from erp import clock
from erp.access import Actor
from erp.errors import Conflict, FieldError, Forbidden, RuleBroken
from erp.services import emit, service

AT_ONCE = 200


class AlreadyViewing(Conflict):
    """You already view as a partner. End that view first."""

    constraints = ("view_as_one_at_a_time",)


class NobodyToViewAs(RuleBroken):
    """This partner has no active users."""


class NotViewer(Forbidden):
    """Only the person who started a view can end it."""


@service(
    label="View as a partner",
    requires=capabilities.VIEW_AS,
    emits=[events.ViewAsStarted, events.ViewAsEnded],
    raises=[AlreadyViewing, NobodyToViewAs],
)
def start_view_as(*, actor: Actor, partner_id: UUID, reason: str) -> ViewAs:
    """View the staff portal as the users of a partner see it, read-only, for 30 minutes.

    Raises AlreadyViewing, Invalid (no such partner), NobodyToViewAs.
    """
    now = clock.now()
    check_exists(PARTNER, partner_id, pointer="/partner_id")
    people = User.objects.filter(partner_id=partner_id, status=User.Status.ACTIVE)
    if not people.exists():
        raise NobodyToViewAs(
            errors=[FieldError("/partner_id", "nobody", "Choose a partner with active users.")]
        )
    _end_expired(ViewAs.objects.filter(user_id=actor.pk))
    if ViewAs.objects.live().filter(user_id=actor.pk).exists():
        raise AlreadyViewing
    view = ViewAs(
        user_id=actor.pk,
        partner_id=partner_id,
        reason=reason,
        created_at=now,
        ends_at=now + timedelta(minutes=settings.VIEW_AS_MINUTES),
    )
    view.save()
    emit(events.ViewAsStarted(user_id=actor.pk, view_as_id=view.pk, partner_id=partner_id))
    return view


@service(label="End view", requires=capabilities.VIEW_AS, emits=[events.ViewAsEnded], raises=[NotViewer])
def end_view_as(view: ViewAs, *, actor: Actor) -> ViewAs:
    """End the view as a partner.

    Raises NotViewer.
    """
    if view.user_id != actor.pk:
        raise NotViewer
    if view.ended_at is None:
        _end(view, at=min(view.ends_at, clock.now()))
    return view


@service(requires=capabilities.VIEW_AS, emits=[events.ViewAsEnded])
def expire_views_as(*, actor: Actor) -> int:
    """End views whose time is over; return how many. They have no effect from that time on anyway."""
    return _end_expired(ViewAs.objects.all())


def _end_expired(views: ViewAsQuerySet) -> int:
    expired = list(views.over().locked().order_by("pk")[:AT_ONCE])
    for view in expired:
        _end(view, at=view.ends_at)
    return len(expired)


def _end(view: ViewAs, *, at: Any) -> None:
    view.ended_at = at
    view.save()
    emit(events.ViewAsEnded(user_id=view.user_id, view_as_id=view.pk, partner_id=view.partner_id))
