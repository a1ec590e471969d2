"""View as a partner: staff see in the staff portal what a partner's users see."""

from typing import Any, ClassVar, Self

from django.core.validators import MinLengthValidator
from django.db import models
from django.db.models import F, Q

from apps.accounts.models.users import RoleMembership, User
from erp import clock
from erp.access import Actor, holds_everywhere, simulate_roles
from erp.models import Model, QuerySet


class ViewAsQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """The user's own rows; all for those who administer users or read the trail."""
        if holds_everywhere(user, "account.manage_users") or holds_everywhere(user, "trail.view"):
            return self
        return self.filter(user_id=user.pk)

    def live(self) -> Self:
        """Views that are running."""
        return self.filter(ended_at=None, ends_at__gt=clock.now())

    def over(self) -> Self:
        """Views whose time is over and that have not been ended."""
        return self.filter(ended_at=None, ends_at__lte=clock.now())


class ViewAs(Model):
    """A view as a partner, for 30 minutes at most: the member of staff sees what the partner's users see."""

    owner_user = "user_id"

    user = models.ForeignKey(User, models.PROTECT, related_name="views_as")
    partner_id = models.UUIDField(help_text="ID of the partner, as its page shows it.")
    reason = models.CharField(
        max_length=500,
        validators=[MinLengthValidator(10)],
        help_text="Why the view is needed, in 10 to 500 characters.",
    )
    ends_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    objects: ClassVar[Any] = ViewAsQuerySet.as_manager()

    class Meta(Model.Meta):
        verbose_name, verbose_name_plural = "view as a partner", "views as a partner"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["user"], condition=Q(ended_at=None), name="view_as_one_at_a_time"
            ),
            models.CheckConstraint(name="view_as_ends_later", condition=Q(ends_at__gt=F("created_at"))),
            models.CheckConstraint(name="view_as_has_reason", condition=Q(reason__regex="^.{10,}$")),
        ]

    def __str__(self) -> str:
        return f"{self.user} as partner {self.partner_id}"

    def open_verbs(self) -> frozenset[str]:
        return frozenset({"end_view_as"} if self.ended_at is None else ())

    def simulated_user(self) -> User:
        """An unsaved user with the rights of all active users of the partner, who knows by whom it is viewed.

        For checks of rights and visible rows only; never for a service, which stores who acts.
        """
        roles = RoleMembership.objects.filter(
            user__partner_id=self.partner_id, user__status=User.Status.ACTIVE
        ).values_list("role__name", flat=True)
        person = User(
            user_type=User.Type.EXTERNAL,
            status=User.Status.ACTIVE,
            partner_id=self.partner_id,
            full_name=f"Partner {self.partner_id}",
            email=str(self.partner_id),
        )
        person.role_names = sorted(set(roles))
        person.viewed_by = self.user  # type: ignore[attr-defined]
        simulated: User = simulate_roles(person, person.role_names)
        return simulated
