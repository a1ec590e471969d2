"""Which users are to learn of a match, and digests of several."""

from datetime import timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

from apps.accounts.models import User
from apps.matching import capabilities, events
from apps.matching.models import Match, MatchNotice
from apps.requirement.models import Requirement
from erp import access, clock
from erp.access import Actor
from erp.ids import uuid7
from erp.services import emit, service

WINDOW, URGENT = timedelta(minutes=15), timedelta(minutes=1)
MOST: Final = 5  # matches of one digest
MOVED: Final = Decimal("0.1")  # that a quantity changes before a successor is told
_LABELS: Final = list(reversed(Match.Label.values))  # from below acceptable to excellent


@service(
    requires=capabilities.EXECUTE,
    machinery="says whom a digest will tell; the digest is an event of its own",
    label="Note who is to learn of a match",
)
def note_match(*, actor: Actor, match: Match, replaced: Match | None = None) -> int:
    """Note a new match for the users of both sides; a successor only where it is better or of another quantity."""
    now, urgent = clock.now(), match.requirement.urgency == Requirement.Urgency.URGENT
    sides = {match.buyer_partner_id: URGENT if urgent else WINDOW, match.seller_partner_id: WINDOW}
    people = [
        user
        for user in User.objects.filter(partner_id__in=sides, status=User.Status.ACTIVE).order_by("pk")
        if access.may(user, capabilities.VIEW, match)
    ]
    if replaced is not None and not _is_news(replaced, match):
        waiting = set(replaced.notices.filter(told_at=None).values_list("user_id", flat=True))
        people = [user for user in people if user.pk in waiting]
    if replaced is not None:
        replaced.notices.filter(told_at=None).delete()
    rows = [MatchNotice(user=user, match=match, due_at=now + sides[user.partner_id]) for user in people]
    return len(MatchNotice.objects.bulk_create(rows, ignore_conflicts=True))


def _is_news(old: Match, new: Match) -> bool:
    better = _LABELS.index(new.label) > _LABELS.index(old.label)
    moved = abs(new.proposed_quantity - old.proposed_quantity) >= old.proposed_quantity * MOVED
    return better or new.unit != old.unit or moved


@service(requires=capabilities.EXECUTE, emits=[events.DigestDue], label="Send a digest of matches")
def send_digest(*, actor: Actor, user_id: UUID) -> int:
    """Send a user the best of the matches that are due; the others wait for the next window, and none is dropped.

    Matches that have ended meanwhile are nothing new any more.
    """
    now = clock.now()
    rows = list(
        MatchNotice.objects.filter(user=user_id, told_at=None, due_at__lte=now)
        .select_for_update(of=("self",), skip_locked=True)
        .select_related("match")
        .order_by("-match__score", "match__created_at", "match_id")
    )
    live = [row for row in rows if row.match.is_live]
    told, waiting = live[:MOST], live[MOST:]
    ended = [row.pk for row in rows if not row.match.is_live]
    MatchNotice.objects.filter(pk__in=[*ended, *(row.pk for row in told)]).update(told_at=now)
    MatchNotice.objects.filter(pk__in=[row.pk for row in waiting]).update(due_at=now + WINDOW)
    if told:
        emit(
            events.DigestDue(
                digest_id=uuid7(),
                user_id=user_id,
                match_ids=[row.match_id for row in told],
                more=len(waiting),
            )
        )
    return len(told)
