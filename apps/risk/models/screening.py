"""Screening lists as dated snapshots, their entries, and hits of partners."""

from typing import Any, ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models import F, Q

from apps.partners.models import Partner
from apps.risk.models.base import Appended, StaffModel, StaffQuerySet, person
from erp.models import Guarded


class ScreeningListQuerySet(StaffQuerySet):
    def active(self) -> Self:
        """The snapshot of each list that counts now."""
        return self.filter(status=ScreeningList.Status.ACTIVE)


class ScreeningList(StaffModel):
    """A dated snapshot of a list of sanctioned parties; older ones stay."""

    class Status(models.TextChoices):
        LOADED = "LOADED", "Waits for a person"
        ACTIVE = "ACTIVE"
        RETIRED = "RETIRED"

    code = models.CharField(max_length=20, help_text="Which list, such as UN.")
    source = models.CharField(max_length=200, help_text="Where the snapshot is from.")
    snapshot_date = models.DateField()
    sha256 = models.CharField("SHA-256", max_length=64, help_text="SHA-256 of the file in hexadecimal.")
    entries = models.PositiveIntegerField()
    status = models.CharField(max_length=7, choices=Status, default=Status.LOADED)
    decided_by = person("Who activated it.")

    objects: ClassVar[Any] = ScreeningListQuerySet.as_manager()

    class Meta(StaffModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["code"], condition=Q(status="ACTIVE"), name="screening_list_one_active"
            ),
            models.UniqueConstraint(fields=["code", "snapshot_date", "sha256"], name="screening_list_once"),
        ]

    def __str__(self) -> str:
        return f"{self.code}, {self.snapshot_date:%d %b %Y}"

    def open_verbs(self) -> frozenset[str]:
        verbs = {self.Status.LOADED: "activate_list", self.Status.ACTIVE: "retire_list"}
        return frozenset(verb for status, verb in verbs.items() if status == self.status)


class ScreeningEntry(Appended):
    """A party on a snapshot of a list."""

    trail_exempt = "public lists in dated snapshots that never change; the list's row carries their digest"
    machinery = True

    class Kind(models.TextChoices):
        PERSON = "PERSON"
        ENTITY = "ENTITY"
        BANK = "BANK"
        VESSEL = "VESSEL"
        COUNTRY = "COUNTRY"

    snapshot = models.ForeignKey(ScreeningList, models.PROTECT, related_name="rows")
    reference = models.CharField(max_length=100, help_text="The list's own number of the entry.")
    kind = models.CharField(max_length=7, choices=Kind)
    names = ArrayField(models.CharField(max_length=500), help_text="Name and aliases.")
    names_hash = models.CharField(max_length=64)
    country = models.CharField(max_length=2, null=True)  # noqa: DJ001 - unknown
    identifier_hashes = ArrayField(models.CharField(max_length=64), default=list)

    class Meta(Appended.Meta):
        verbose_name_plural = "screening entries"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["snapshot", "reference"], name="screening_entry_once")
        ]
        indexes: ClassVar = [GinIndex(fields=["identifier_hashes"], name="screening_entry_hashes")]

    def __str__(self) -> str:
        return f"{self.reference}"


class ScreeningName(Guarded):
    """One name of an entry in normal form, so that each is found by the index."""

    trail_exempt = "derived from entries"
    machinery = True

    id = models.BigAutoField(primary_key=True)
    entry = models.ForeignKey(ScreeningEntry, models.CASCADE, related_name="forms")
    snapshot = models.ForeignKey(ScreeningList, models.PROTECT, related_name="+")
    normalised = models.CharField(max_length=500)
    sound_keys = ArrayField(
        models.CharField(max_length=100),
        default=list,
        help_text="Of its words, where they suffice to compare.",
    )

    class Meta(Guarded.Meta):
        indexes: ClassVar = [
            GinIndex(OpClass(F("normalised"), name="gin_trgm_ops"), name="screening_name_alike"),
            GinIndex(fields=["sound_keys"], name="screening_name_sound"),
        ]

    def __str__(self) -> str:
        return self.normalised


class ScreeningHitQuerySet(StaffQuerySet):
    def of(self, *partners: Any) -> Self:
        """Hits of partners."""
        return self.filter(partner__in=partners)

    def open(self) -> Self:
        """Hits that two people still have to decide."""
        return self.filter(status=ScreeningHit.Status.OPEN)


class ScreeningHit(StaffModel):
    """A name of a partner that is equal or like a name on a list. It stores no name of the partner."""

    trail_personal = ("name_hash",)

    class Status(models.TextChoices):
        OPEN = "OPEN"
        TRUE_MATCH = "TRUE_MATCH", "True match"
        FALSE_POSITIVE = "FALSE_POSITIVE", "False positive"

    class Field(models.TextChoices):
        LEGAL_NAME = "legal_name"
        TRADE_NAME = "trade_name"
        OWNER = "owner"
        BANK = "bank", "Foreign bank"
        COUNTRY = "country"
        IDENTIFIER = "identifier"

    partner = models.ForeignKey(Partner, models.PROTECT, related_name="+")
    field = models.CharField(max_length=10, choices=Field)
    entry = models.ForeignKey(ScreeningEntry, models.PROTECT, null=True, related_name="+")
    list_code = models.CharField("list", max_length=20, help_text="List that names it, such as UN.")
    entry_reference = models.CharField(
        "entry", max_length=100, help_text="Reference of the entry in the list."
    )
    names_hash = models.CharField(max_length=64, editable=False)
    name_hash = models.CharField(max_length=64, editable=False)
    similarity = models.DecimalField(max_digits=5, decimal_places=4)
    exact = models.BooleanField()
    ended = models.BooleanField(default=False, help_text="The name or the entry is no longer there.")
    status = models.CharField(max_length=14, choices=Status, default=Status.OPEN)
    proposed_status = models.CharField(max_length=14, choices=Status, null=True, editable=False)  # noqa: DJ001
    requested_by = person("Who proposed the decision.")
    decided_by = person("Who approved the decision.")
    approval_id = models.UUIDField(null=True, editable=False)

    objects: ClassVar[Any] = ScreeningHitQuerySet.as_manager()

    class Meta(StaffModel.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["partner", "list_code", "entry_reference", "names_hash", "field", "name_hash"],
                name="screening_hit_once",
            )
        ]
        indexes: ClassVar = [
            models.Index(fields=["created_at"], condition=Q(status="OPEN"), name="screening_hit_open")
        ]

    def __str__(self) -> str:
        return f"{self.list_code} {self.entry_reference}"

    def open_verbs(self) -> frozenset[str]:
        return frozenset() if self.proposed_status else frozenset({"decide_hit"})
