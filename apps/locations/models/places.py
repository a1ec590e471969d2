"""Places as a tree, their ids at providers, and the distances between them."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any, ClassVar, Final, Self
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import connection, models
from django.db.models import F, FloatField, Q
from django.db.models.functions import ACos, Cast, Cos, Least, Radians, Sin, Upper
from django.db.models.lookups import LessThanOrEqual

from apps.locations.earth import EARTH_KM
from apps.locations.models.states import State
from erp.access import Actor
from erp.errors import Gone
from erp.models import Guarded, Model, QuerySet
from erp.text import name_key

LEVELS: Final = 5
MOST_ALIASES: Final = 20
LONGEST_ALIAS: Final = 100
KM_PER_DEGREE: Final = (
    111.0  # of latitude, rounded down, so that the box includes every place within the radius
)


class Merged(Gone):
    """The place was merged into another."""

    # Declared with the model because ``Location.gone`` returns it.


def km_from(latitude: Decimal, longitude: Decimal) -> Any:
    """The great-circle distance in km from a point to the columns ``latitude`` and ``longitude``."""
    place, meridian = Radians(Cast("latitude", FloatField())), Radians(Cast("longitude", FloatField()))
    here = Radians(models.Value(float(latitude), FloatField()))
    cosine = Sin(here) * Sin(place) + Cos(here) * Cos(place) * Cos(
        meridian - Radians(models.Value(float(longitude), FloatField()))
    )
    return ACos(Least(cosine, models.Value(1.0, FloatField()))) * EARTH_KM


def latitudes_within(latitude: Decimal, radius_km: Decimal) -> tuple[Decimal, Decimal]:
    """The latitudes between which every place within the radius lies, for an index."""
    span = Decimal(str(float(radius_km) / KM_PER_DEGREE))
    return latitude - span, latitude + span


class LocationQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Every place: the registry is open to all users."""
        return self

    def selectable(self) -> Self:
        """Places that may be chosen for something new."""
        return self.filter(status=Location.Status.ACTIVE)

    def merged(self) -> Self:
        """Places that were merged into others."""
        return self.filter(status=Location.Status.MERGED)

    def resolve(self, pk: UUID) -> "Location":
        """Return the place with that id, or the one it was merged into. Raises Location.DoesNotExist."""
        row: Location = self.select_related("merged_into").get(pk=pk)
        return row.merged_into or row

    def near(self, latitude: Decimal, longitude: Decimal, radius_km: Decimal) -> Self:
        """Places within ``radius_km`` of a point, along the great circle."""
        box = self.filter(latitude__range=latitudes_within(latitude, radius_km))
        return box.filter(LessThanOrEqual(km_from(latitude, longitude), float(radius_km)))

    def below(self, pk: UUID) -> dict[UUID, int]:
        """Return the ids of the row and of all places below it, with their level under it."""
        with connection.cursor() as cursor:
            cursor.execute(_BELOW, [pk, 2 * LEVELS])
            return dict(cursor.fetchall())


_BELOW = """
SELECT id, level FROM (
    WITH RECURSIVE below(id, level) AS (
        SELECT id, 0 FROM location_location WHERE id = %s
        UNION ALL
        SELECT child.id, below.level + 1 FROM location_location child JOIN below ON child.parent_id = below.id
        WHERE below.level < %s
    ) SELECT id, level FROM below
) tree
"""


class Location(Model):
    """A place that offers, partners and trades share."""

    class Type(models.TextChoices):
        STATE = "STATE"
        DISTRICT = "DISTRICT"
        CITY = "CITY"
        MANDI = "MANDI"
        STATION = "STATION"
        GIN = "GIN"
        MILL = "MILL"
        WAREHOUSE = "WAREHOUSE"
        LAB = "LAB"
        PORT = "PORT"
        ICD = "ICD", "ICD"
        OTHER = "OTHER"

    class Status(models.TextChoices):
        ACTIVE = "ACTIVE"
        ARCHIVED = "ARCHIVED"
        MERGED = "MERGED"

    # Types of place that each type may be located in.
    PARENT_TYPES: ClassVar = {
        Type.STATE: frozenset[str](),
        Type.DISTRICT: frozenset({Type.STATE}),
        **dict.fromkeys(
            (Type.CITY, Type.MANDI, Type.STATION, Type.PORT, Type.ICD), frozenset({Type.STATE, Type.DISTRICT})
        ),
        **dict.fromkeys((Type.GIN, Type.MILL, Type.WAREHOUSE, Type.LAB, Type.OTHER), frozenset(Type)),
    }
    VERBS: ClassVar = {
        Status.ACTIVE: {"update", "parent", "reparent", "merge", "confirm", "set_distance"},
        Status.ARCHIVED: {"update"},
    }

    existed = False  # not a column: whether a request to add the place found it already registered

    type = models.CharField(
        max_length=9, choices=Type, help_text="Kind of place, such as station, gin, warehouse or port."
    )
    name = models.CharField(max_length=200, help_text="Name in common use, 2 to 200 characters.")
    name_key = models.CharField(max_length=400, editable=False)
    aliases = ArrayField(
        models.CharField(max_length=200),
        default=list,
        blank=True,
        help_text=f"Other names and spellings: at most {MOST_ALIASES}, each of 2 to {LONGEST_ALIAS} characters.",
    )
    search_key = models.TextField(editable=False)  # name and aliases as they are compared, one a line
    parent = models.ForeignKey(
        "self",
        models.PROTECT,
        verbose_name="located in",
        null=True,
        blank=True,
        related_name="children",
        help_text="The place that it is located in. Empty in India: its state.",
    )
    country = models.CharField(
        max_length=2, default="IN", help_text="Two-letter ISO 3166-1 code, such as IN. Default IN."
    )
    state = models.ForeignKey(
        State,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="locations",
        help_text="State in India, by GST code, letters or name: 24, GJ or Gujarat.",
    )
    district = models.CharField(
        max_length=100,
        null=True,  # noqa: DJ001 - not known
        blank=True,
        help_text="District within the state.",
    )
    address = models.CharField(
        max_length=500,
        null=True,  # noqa: DJ001 - not known
        blank=True,
        help_text="Street address, up to 500 characters.",
    )
    pincode = models.CharField(
        "PIN code",
        max_length=12,
        null=True,  # noqa: DJ001 - not known
        blank=True,
        help_text="In India six digits that belong to the state; abroad the postal code.",
    )
    latitude = models.DecimalField(
        max_digits=9,
        decimal_places=6,
        null=True,
        blank=True,
        help_text="Degrees north, -90 to 90, up to six decimals. Enter it together with the longitude.",
    )
    longitude = models.DecimalField(
        max_digits=9,
        decimal_places=6,
        null=True,
        blank=True,
        help_text="Degrees east, -180 to 180, up to six decimals. Enter it together with the latitude.",
    )
    timezone = models.CharField(
        "time zone",
        max_length=64,
        default="Asia/Kolkata",
        help_text="IANA time zone, such as Asia/Kolkata. Default Asia/Kolkata.",
    )
    unlocode = models.CharField(
        "UN/LOCODE",
        max_length=5,
        null=True,  # noqa: DJ001 - ports only
        blank=True,
        help_text="Five characters, such as INMUN. Only for ports and inland container depots.",
    )
    customs_code = models.CharField(
        max_length=6,
        null=True,  # noqa: DJ001 - ports only
        blank=True,
        help_text="Six characters of Indian customs, such as INMUN1. Only for ports and inland container depots.",
    )
    wdra_code = models.CharField(
        "WDRA code",
        max_length=30,
        null=True,  # noqa: DJ001 - warehouses
        blank=True,
        help_text="Registration with the Warehousing Development and Regulatory Authority. Only for warehouses.",
    )
    is_verified = models.BooleanField(
        "verified", default=False, help_text="Whether a provider or staff confirmed the details."
    )
    verified_by = models.CharField(
        max_length=30,
        null=True,  # noqa: DJ001 - not yet
        blank=True,
        help_text="Who confirmed the details: a provider, or staff.",
    )
    status = models.CharField(
        max_length=8,
        choices=Status,
        default=Status.ACTIVE,
        help_text="Archived places can't be chosen for anything new. They can be made active again.",
    )
    merged_into = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        editable=False,
        related_name="merged",
        help_text="The place that replaces this one.",
    )
    merge_reason = models.CharField(
        max_length=500, default="", editable=False, help_text="Why it was merged, 3 to 500 characters."
    )

    objects: ClassVar[Any] = LocationQuerySet.as_manager()

    class Meta(Model.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["type", "parent", "name_key"],
                condition=Q(status="ACTIVE"),
                nulls_distinct=False,
                name="location_once",
            ),
            models.CheckConstraint(
                name="location_state_in_india",
                condition=Q(country="IN", state__isnull=False) | (~Q(country="IN") & Q(state=None)),
            ),
            models.CheckConstraint(
                name="location_coordinates_whole",
                condition=Q(latitude=None, longitude=None)
                | Q(
                    latitude__isnull=False,
                    longitude__isnull=False,
                    latitude__range=(-90, 90),
                    longitude__range=(-180, 180),
                ),
            ),
            models.CheckConstraint(
                name="location_merged_has_successor",
                condition=Q(status="MERGED", merged_into__isnull=False)
                | (~Q(status="MERGED") & Q(merged_into=None)),
            ),
            models.CheckConstraint(
                name="location_not_its_own",
                condition=(Q(merged_into=None) | ~Q(merged_into=F("id")))
                & (Q(parent=None) | ~Q(parent=F("id"))),
            ),
        ]
        indexes: ClassVar = [
            GinIndex(OpClass(Upper("search_key"), name="gin_trgm_ops"), name="location_search"),
            models.Index(fields=["pincode"], name="location_pincode"),
            models.Index(fields=["type", "status"], name="location_type_status"),
            models.Index(fields=["latitude"], name="location_latitude"),
        ]

    def __str__(self) -> str:
        return self.name

    def set_names(self, name: str, aliases: Sequence[str]) -> None:
        """Set the name and the aliases, with the keys that searches compare."""
        self.name, self.aliases = name, list(aliases)
        self.name_key = name_key(name)
        self.search_key = "\n".join(dict.fromkeys([self.name_key, *map(name_key, self.aliases)]))

    def gone(self) -> Merged | None:
        if self.status != self.Status.MERGED:
            return None
        successor = str(self.merged_into_id)
        return Merged(successor=successor, links={"successor": f"/api/v1/locations/{successor}"})

    def open_verbs(self) -> frozenset[str]:
        if self.type == self.Type.STATE and self.country == "IN":
            return frozenset()
        return frozenset(self.VERBS.get(self.Status(self.status), ()))

    @property
    def ancestors(self) -> "list[Location]":
        """The places that it is located in, from the outermost to the nearest."""
        ancestors: list[Location] = []
        above = self.parent
        while above is not None and len(ancestors) < 2 * LEVELS:
            ancestors.append(above)
            above = above.parent
        return ancestors[::-1]


class ProviderRef(Guarded):
    """The id of a place at a provider; reported by the events of the place."""

    machinery = True

    id = models.BigAutoField(primary_key=True)
    location = models.ForeignKey(Location, models.PROTECT, related_name="provider_refs")
    provider = models.CharField(max_length=30, help_text="Provider of places, such as gazetteer.")
    provider_id = models.CharField(
        "ID at the provider", max_length=255, help_text="The provider's ID of the place."
    )
    fetched_at = models.DateTimeField(help_text="When the details were read from the provider.")

    class Meta(Guarded.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["provider", "provider_id"], name="provider_ref_once")
        ]

    def __str__(self) -> str:
        return f"{self.provider}:{self.provider_id}"


class DistanceQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Every distance: the registry is open to all users."""
        return self

    def between(self, origin: Location, destination: Location, mode: str, day: date) -> "Distance | None":
        """Return the distance effective on ``day``: the newest row of this direction, else of the other, else None."""
        ways = Q(origin=origin, destination=destination) | Q(origin=destination, destination=origin)
        effective = self.filter(ways, mode=mode, valid_from__lte=day)
        this_direction_first = models.Case(models.When(origin=origin, then=0), default=1)
        distance: Distance | None = effective.order_by(this_direction_first, "-valid_from").first()
        return distance


class Distance(Guarded):
    """Distance by road or rail between two places; for the way back too, unless that has a row of its own."""

    class Mode(models.TextChoices):
        ROAD = "ROAD"
        RAIL = "RAIL"

    id = models.BigAutoField(primary_key=True)
    origin = models.ForeignKey(Location, models.PROTECT, related_name="distances_from")
    destination = models.ForeignKey(Location, models.PROTECT, related_name="distances_to")
    mode = models.CharField("by", max_length=4, choices=Mode, help_text="By road or by rail.")
    km = models.DecimalField(
        "distance (km)", max_digits=7, decimal_places=1, help_text="Kilometres, more than 0, one decimal."
    )
    transit_days = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Usual days in transit, 0 to 60."
    )
    source = models.CharField(
        max_length=200, help_text="Where the distance comes from, such as the transporter's rate list."
    )
    valid_from = models.DateField("effective from", help_text="First day on which the distance applies.")

    objects: ClassVar[Any] = DistanceQuerySet.as_manager()

    class Meta(Guarded.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["origin", "destination", "mode", "valid_from"], name="distance_once"
            ),
            models.CheckConstraint(name="distance_between_two", condition=~Q(origin=F("destination"))),
            models.CheckConstraint(name="distance_positive", condition=Q(km__gt=0)),
            models.CheckConstraint(
                name="distance_days", condition=Q(transit_days=None) | Q(transit_days__range=(0, 60))
            ),
        ]

    def __str__(self) -> str:
        return f"{self.origin} – {self.destination}, {self.mode.lower()}"
