"""States of India as reference data: those of ``erp.identifiers``, with older names and cotton zones."""

from typing import Any, ClassVar, Final, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models

from erp.access import Actor
from erp.identifiers import STATES
from erp.models import Guarded, Model, QuerySet

# GST codes that are no state.
NO_STATE: Final = frozenset({"96", "97", "99"})
# Older names that documents still use.
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
# Zones of the Cotton Corporation of India; OTHER where cotton grows outside them.
COTTON_ZONES: Final = {
    **dict.fromkeys(("03", "06", "08"), "NORTH"),
    **dict.fromkeys(("24", "27", "23"), "CENTRAL"),
    **dict.fromkeys(("36", "37", "29", "33"), "SOUTH"),
    "21": "OTHER",
}


def _key(text: str) -> str:
    return " ".join(text.replace("&", " and ").casefold().split())


def aliases_of(code: str) -> list[str]:
    """Return older letter codes and other names of the state with this GST code."""
    state = STATES[code]
    letters = dict.fromkeys((*state.older_iso, *state.older_plates))
    return [*letters, *OTHER_NAMES.get(code, ())]


_CODES: Final = {
    _key(name): code
    for code, state in STATES.items()
    if code not in NO_STATE
    for name in (code, state.iso, state.plate, state.name, *aliases_of(code))
}


def code_of(text: str) -> str | None:
    """Return the GST code of the state with this code, letters, name or alias, else None."""
    return _CODES.get(_key(text))


class StateQuerySet(QuerySet):
    def visible_to(self, user: Actor) -> Self:
        """Every row: states are open to all users."""
        return self


class State(Model):
    """A state or territory of India: reference data, loaded from the code and not editable."""

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
    gst_code = models.CharField(
        "GST code", max_length=2, primary_key=True, help_text="First two digits of the state's GSTINs."
    )
    iso_code = models.CharField(
        "ISO code", max_length=2, help_text="Two letters of ISO 3166-2:IN, such as GJ."
    )
    plate_codes = ArrayField(
        models.CharField(max_length=2), help_text="Letters on vehicle number plates, the current ones first."
    )
    name = models.CharField(max_length=60)
    aliases = ArrayField(
        models.CharField(max_length=60), default=list, help_text="Older names and letter codes."
    )
    region = models.CharField(max_length=9, choices=Region, help_text="Region of India.")
    cotton_zone = models.CharField(
        max_length=7,
        choices=CottonZone,
        null=True,  # noqa: DJ001 - no cotton
        help_text="Zone of the Cotton Corporation of India; empty where no cotton grows.",
    )

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
