"""States of India as reference rows: what ``erp.identifiers`` knows, with older names and cotton zones."""

from typing import Any, ClassVar, Final, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models

from erp.access import Actor
from erp.identifiers import STATES
from erp.models import Guarded, Model, QuerySet

# Codes of taxation that are no places.
NOWHERE: Final = frozenset({"96", "97", "99"})
# Names that papers still carry beside today's.
OTHER_NAMES: Final = {
    "01": ("Jammu & Kashmir", "J&K"),
    "05": ("Uttaranchal",),
    "07": ("NCT of Delhi", "National Capital Territory of Delhi", "New Delhi"),
    "21": ("Orissa",),
    "22": ("Chattisgarh",),
    "26": (
        "The Dadra and Nagar Haveli and Daman and Diu",
        "Dadra & Nagar Haveli and Daman & Diu",
        "Dadra and Nagar Haveli",
        "Daman and Diu",
    ),
    "33": ("Tamilnadu",),
    "34": ("Pondicherry",),
    "35": ("Andaman & Nicobar Islands", "Andaman and Nicobar"),
}
# The trade's zones (Cotton Corporation of India); elsewhere in India OTHER where cotton grows.
COTTON_ZONES: Final = {
    **dict.fromkeys(("03", "06", "08"), "NORTH"),
    **dict.fromkeys(("24", "27", "23"), "CENTRAL"),
    **dict.fromkeys(("36", "37", "29", "33"), "SOUTH"),
    "21": "OTHER",
}


def _key(text: str) -> str:
    return " ".join(text.replace("&", " and ").casefold().split())


def aliases_of(code: str) -> list[str]:
    """Older letters and other names of the state with this GST code."""
    state = STATES[code]
    letters = dict.fromkeys((*state.older_iso, *state.older_plates))
    return [*letters, *OTHER_NAMES.get(code, ())]


_CODES: Final = {
    _key(name): code
    for code, state in STATES.items()
    if code not in NOWHERE
    for name in (code, state.iso, state.plate, state.name, *aliases_of(code))
}


def code_of(text: str) -> str | None:
    """GST code of the state that ``text`` names by code, letters, name or alias; None for none."""
    return _CODES.get(_key(text))


class StateQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Everybody sees the states."""
        return self


class State(Model):
    """A state or territory of India. Kept in line with the code; nobody changes one."""

    machinery = True

    class Region(models.TextChoices):
        NORTH = "NORTH"
        SOUTH = "SOUTH"
        EAST = "EAST"
        WEST = "WEST"
        CENTRAL = "CENTRAL"
        NORTHEAST = "NORTHEAST"

    class CottonZone(models.TextChoices):
        NORTH = "NORTH"
        CENTRAL = "CENTRAL"
        SOUTH = "SOUTH"
        OTHER = "OTHER"

    id = None  # type: ignore[assignment]  # its code is its key
    gst_code = models.CharField("GST code", max_length=2, primary_key=True)
    iso_code = models.CharField(max_length=2)
    plate_codes = ArrayField(models.CharField(max_length=2))
    name = models.CharField(max_length=60)
    aliases = ArrayField(models.CharField(max_length=60), default=list)
    region = models.CharField(max_length=9, choices=Region)
    cotton_zone = models.CharField(max_length=7, choices=CottonZone, null=True)  # noqa: DJ001 - no cotton

    objects: ClassVar[Any] = StateQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.name} ({self.gst_code})"


class PinPrefix(Guarded):
    """First three digits of PIN codes in a state; a prefix that two states share is two rows."""

    machinery = True

    id = models.BigAutoField(primary_key=True)
    prefix = models.CharField(max_length=3)
    state = models.ForeignKey(State, models.PROTECT, related_name="pin_prefixes")

    objects: ClassVar[Any] = StateQuerySet.as_manager()

    class Meta(Guarded.Meta):
        verbose_name_plural = "PIN prefixes"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["state", "prefix"], name="pin_prefix_once_per_state")
        ]

    def __str__(self) -> str:
        return self.prefix
