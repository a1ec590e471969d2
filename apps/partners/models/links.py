"""Related parties: keyed hashes of identifiers, links between partners that share one, and groups (partners §5.6)."""

from datetime import date
from typing import Any, ClassVar, Self
from uuid import UUID

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from apps.partners.models.partners import OfPartner, Partner, optional_text
from erp import clock
from erp.access import Actor
from erp.models import Guarded, Model, QuerySet


class IdentifierKey(Guarded):
    """The keyed hash of an identifier of a partner; equal ones meet. Its age tells since when it is on file."""

    trail_exempt = "derived from rows that are in the trail"
    machinery = True

    class Kind(models.TextChoices):
        PAN = "pan", "PAN"
        GSTIN = "gstin", "GSTIN"
        PHONE = "phone"
        EMAIL_DOMAIN = "email_domain", "E-mail domain"
        BANK_ACCOUNT = "bank_account", "Bank account"
        DIN = "din", "Director or owner"
        ADDRESS = "address"
        FILE = "file", "Identical file"

    id = models.BigAutoField(primary_key=True)
    partner = models.ForeignKey(Partner, models.CASCADE, related_name="identifier_keys")
    kind = models.CharField(max_length=12, choices=Kind)
    hash = models.CharField(max_length=64)
    since = models.DateTimeField(default=clock.now)

    objects: ClassVar[Any] = QuerySet.as_manager()

    class Meta(Guarded.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["partner", "kind", "hash"], name="identifier_key_once")
        ]
        indexes: ClassVar = [models.Index(fields=["kind", "hash"], name="identifier_key_hash")]

    def __str__(self) -> str:
        return self.get_kind_display()


class PartyLinkQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Links of partners are for staff; no partner learns of one."""
        return self.permitted(user, "partner.view") if user.partner_id is None else self.none()

    def of(self, *partners: UUID) -> Self:
        """Links of which one of the partners is a side."""
        return self.filter(Q(low__in=partners) | Q(high__in=partners))

    def effective(self) -> Self:
        """Links that count against their partners.

        An ended application counts against nobody, a draft not against an approved partner, and a declared parent
        only once both are approved: nobody encumbers another firm by what he types into an application.
        """
        low, high = "low__status", "high__status"
        ended = Partner.Status.REJECTED, Partner.Status.CLOSED
        approved = Partner.Status.ACTIVE, Partner.Status.SUSPENDED
        links = self.exclude(status=PartyLink.Status.CLEARED)
        links = links.exclude(**{f"{low}__in": ended}).exclude(**{f"{high}__in": ended})
        for one, other in ((low, high), (high, low)):
            links = links.exclude(**{one: Partner.Status.DRAFT, f"{other}__in": approved})
            links = links.exclude(~Q(**{f"{one}__in": approved}), kind=PartyLink.Kind.PARENT)
        return links

    def blocking(self) -> Self:
        """Effective links that join partners into a group: suspected or confirmed ones of the block kind."""
        return self.effective().filter(strength=PartyLink.Strength.BLOCK)

    def undecided(self) -> Self:
        """Suspected links, which somebody must decide."""
        return self.filter(status=PartyLink.Status.SUSPECTED)

    def clearance_over(self, day: date) -> Self:
        """Cleared links whose clearance has ended."""
        return self.filter(status=PartyLink.Status.CLEARED, cleared_until_date__lt=day)


class PartyLink(Model):
    """Two partners that share something. Its evidence names kinds of identifiers, never their values."""

    granted_through = ("low", "high")

    class Kind(models.TextChoices):
        PAN = "pan", "Same PAN"
        GSTIN = "gstin", "Same GST registration"
        PARENT = "parent", "Parent and branch"
        SIBLING = "sibling", "Branches of one parent"
        PHONE = "phone", "Same phone"
        EMAIL_DOMAIN = "email_domain", "Same e-mail domain"
        BANK_ACCOUNT = "bank_account", "Same bank account"
        DIN = "din", "Same director or owner"
        ADDRESS = "address", "Same address"
        FILE = "file", "Identical file"

    class Strength(models.TextChoices):
        BLOCK = "block"
        WARN = "warn"

    class Source(models.TextChoices):
        DETECTED = "detected"
        DECLARED = "declared"
        STAFF = "staff"

    class Status(models.TextChoices):
        SUSPECTED = "suspected"
        CONFIRMED = "confirmed"
        CLEARED = "cleared"

    BLOCKS: ClassVar = frozenset({Kind.PAN, Kind.GSTIN, Kind.PARENT, Kind.SIBLING})

    low = models.ForeignKey(Partner, models.PROTECT, related_name="+", verbose_name="partner")
    high = models.ForeignKey(Partner, models.PROTECT, related_name="+", verbose_name="other partner")
    kind = models.CharField(max_length=12, choices=Kind)
    strength = models.CharField(max_length=5, choices=Strength)
    source = models.CharField(max_length=8, choices=Source, default=Source.DETECTED)
    evidence = models.JSONField(default=list, help_text="What the partners share: kinds, never values.")
    status = models.CharField(max_length=9, choices=Status, default=Status.SUSPECTED)
    cleared_until_date = models.DateField("cleared until", null=True)
    proposed_status = optional_text(9, "What waits for a second person.", choices=Status)
    approval_id = models.UUIDField(null=True, editable=False)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)

    objects: ClassVar[Any] = PartyLinkQuerySet.as_manager()

    class Meta(Model.Meta):
        verbose_name = "related party"
        verbose_name_plural = "related parties"
        constraints: ClassVar = [
            models.CheckConstraint(name="party_link_in_order", condition=Q(low__lt=F("high"))),
            models.UniqueConstraint(fields=["low", "high", "kind"], name="party_link_once"),
            models.CheckConstraint(
                name="party_link_clearance_ends",
                condition=Q(status="cleared", cleared_until_date__isnull=False)
                | (~Q(status="cleared") & Q(cleared_until_date=None)),
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["high"], name="party_link_high")]

    def __str__(self) -> str:
        return f"{self.low} and {self.high}: {self.get_kind_display().lower()}"

    @property
    def partner_ids(self) -> list[UUID]:
        """Both partners."""
        return [self.low_id, self.high_id]

    def open_verbs(self) -> frozenset[str]:
        """A link is decided while no decision on it waits for its second person."""
        return frozenset() if self.proposed_status else frozenset({"decide_link"})


class GroupMember(OfPartner):
    """The group of related parties that a partner belongs to.

    A row of its own: it changes under the lock of links, when others may hold the partner's row.
    """

    trail_exempt = "derived from links, which are in the trail"
    machinery = True

    partner = models.OneToOneField(Partner, models.CASCADE, related_name="membership")
    group_id = models.UUIDField(db_index=True, help_text="The group: the id of its oldest partner.")

    class Meta(OfPartner.Meta):
        verbose_name = "member of a group"

    def __str__(self) -> str:
        return str(self.group_id)


class PermissionOverride(OfPartner):
    """A trade permission that two people give without papers, until a day."""

    class Status(models.TextChoices):
        PROPOSED = "proposed"
        APPROVED = "approved"
        REFUSED = "refused"

    name = models.CharField("permission", max_length=26)
    valid_to = models.DateField("until", help_text="Last day of the permission.")
    status = models.CharField(max_length=8, choices=Status, default=Status.PROPOSED)
    reason = models.CharField(max_length=1000, help_text="Why, 10 to 1,000 characters.")
    approval_id = models.UUIDField(null=True, editable=False)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")

    class Meta(OfPartner.Meta):
        verbose_name = "override of a permission"
        verbose_name_plural = "overrides of permissions"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["partner", "name"],
                condition=Q(status="proposed"),
                name="permission_override_one_open",
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} until {self.valid_to}"
