"""Places as a tree, the ids that providers know them by, and distances between them."""

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
KM_PER_DEGREE: Final = 111.0  # of latitude, rounded down: a box so drawn leaves nothing out


class Merged(Gone):
    """The place was merged into another."""

    # Declared beside the model, since a row says by itself that it is gone.


class LocationQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Everybody sees every place."""
        return self

    def selectable(self) -> Self:
        """Places that may be chosen for something new."""
        return self.filter(status=Location.Status.ACTIVE)

    def resolve(self, pk: UUID) -> "Location":
        """The place with that id, or the one that it was merged into. Raises Location.DoesNotExist."""
        row: Location = self.select_related("merged_into").get(pk=pk)
        return row.merged_into or row

    def near(self, latitude: Decimal, longitude: Decimal, radius_km: Decimal) -> Self:
        """Places within ``radius_km`` of a point, along the great circle."""
        north, east, radius = float(latitude), float(longitude), float(radius_km)
        span = Decimal(str(radius / KM_PER_DEGREE))
        place, meridian = Radians(Cast("latitude", FloatField())), Radians(Cast("longitude", FloatField()))
        here = Radians(models.Value(north, FloatField()))
        cosine = Sin(here) * Sin(place) + Cos(here) * Cos(place) * Cos(
            meridian - Radians(models.Value(east, FloatField()))
        )
        km = ACos(Least(cosine, models.Value(1.0, FloatField()))) * EARTH_KM
        box = self.filter(latitude__range=(latitude - span, latitude + span))
        return box.filter(LessThanOrEqual(km, radius))

    def below(self, pk: UUID) -> dict[UUID, int]:
        """Ids of the row and of all below it, with their level under it."""
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

    # What a place may lie under.
    UNDER: ClassVar = {
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

    existed = False  # True on the answer to a request to add what was there already

    type = models.CharField(max_length=9, choices=Type)
    name = models.CharField(max_length=200)
    name_key = models.CharField(max_length=400, editable=False)
    aliases = ArrayField(models.CharField(max_length=200), default=list, blank=True)
    search_key = models.TextField(editable=False)  # name and aliases as they are compared, one a line
    parent = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="children")
    country = models.CharField(max_length=2, default="IN")
    state = models.ForeignKey(State, models.PROTECT, null=True, blank=True, related_name="locations")
    district = models.CharField(max_length=100, null=True, blank=True)  # noqa: DJ001 - not known
    address = models.CharField(max_length=500, null=True, blank=True)  # noqa: DJ001 - not known
    pincode = models.CharField("PIN code", max_length=12, null=True, blank=True)  # noqa: DJ001 - not known
    latitude = models.DecimalField(max_digits=9, decimal_places=6, null=True, blank=True)
    longitude = models.DecimalField(max_digits=9, decimal_places=6, null=True, blank=True)
    timezone = models.CharField(max_length=64, default="Asia/Kolkata")
    unlocode = models.CharField("UN/LOCODE", max_length=5, null=True, blank=True)  # noqa: DJ001 - ports only
    customs_code = models.CharField(max_length=6, null=True, blank=True)  # noqa: DJ001 - ports only
    wdra_code = models.CharField("WDRA code", max_length=30, null=True, blank=True)  # noqa: DJ001 - warehouses
    is_verified = models.BooleanField("verified", default=False)
    verified_by = models.CharField(max_length=30, null=True, blank=True)  # noqa: DJ001 - not yet
    status = models.CharField(max_length=8, choices=Status, default=Status.ACTIVE)
    merged_into = models.ForeignKey("self", models.PROTECT, null=True, editable=False, related_name="merged")
    merge_reason = models.CharField(max_length=500, default="", editable=False)

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

    def call(self, name: str, aliases: Sequence[str]) -> None:
        """Give the place its name and aliases, with the keys by which they are found."""
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
        """What the place lies in, from the outermost to the nearest."""
        found: list[Location] = []
        above = self.parent
        while above is not None and len(found) < 2 * LEVELS:
            found.append(above)
            above = above.parent
        return found[::-1]


class ProviderRef(Guarded):
    """The id that a provider knows a place by; the place's own events tell of it."""

    machinery = True

    id = models.BigAutoField(primary_key=True)
    location = models.ForeignKey(Location, models.PROTECT, related_name="provider_refs")
    provider = models.CharField(max_length=30)
    provider_id = models.CharField(max_length=255)
    fetched_at = models.DateTimeField()

    class Meta(Guarded.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["provider", "provider_id"], name="provider_ref_once")
        ]

    def __str__(self) -> str:
        return f"{self.provider}:{self.provider_id}"


class DistanceQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Everybody sees distances."""
        return self

    def between(self, origin: Location, destination: Location, mode: str, day: date) -> "Distance | None":
        """The distance that is known on ``day``: the newest row of that way, else of the way back; None without one."""
        ways = Q(origin=origin, destination=destination) | Q(origin=destination, destination=origin)
        known = self.filter(ways, mode=mode, valid_from__lte=day)
        own_way_first = models.Case(models.When(origin=origin, then=0), default=1)
        found: Distance | None = known.order_by(own_way_first, "-valid_from").first()
        return found


class Distance(Guarded):
    """How far it is by road or rail from one place to another; also back, unless that has a row of its own."""

    class Mode(models.TextChoices):
        ROAD = "ROAD"
        RAIL = "RAIL"

    id = models.BigAutoField(primary_key=True)
    origin = models.ForeignKey(Location, models.PROTECT, related_name="distances_from")
    destination = models.ForeignKey(Location, models.PROTECT, related_name="distances_to")
    mode = models.CharField(max_length=4, choices=Mode)
    km = models.DecimalField(max_digits=7, decimal_places=1)
    transit_days = models.PositiveSmallIntegerField(null=True, blank=True)
    source = models.CharField(max_length=200)
    valid_from = models.DateField()

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
