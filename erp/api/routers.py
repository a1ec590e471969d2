"""Routes of viewsets, and from them the one address of each row, whichever viewset shows it."""

from typing import Any

from django.db import models
from django.urls import reverse
from rest_framework.routers import SimpleRouter

# Model → name of the route to one of its rows, and the relation of a part to its whole.
_addresses: dict[type[models.Model], tuple[str, str]] = {}


class Router(SimpleRouter):
    """A module's routes. A viewset that shows single rows gives the rows of its model their address."""

    def __init__(self) -> None:
        super().__init__(trailing_slash=False, use_regex_path=False)

    def register(self, prefix: str, viewset: Any, basename: str | None = None) -> None:
        """Add the routes of a viewset below ``prefix``."""
        super().register(prefix, viewset, basename)
        if hasattr(viewset, "retrieve"):
            _addresses[viewset.queryset.model] = (f"{basename}-detail", getattr(viewset, "part_of", ""))


def address_of(row: models.Model) -> str:
    """The path of a row: ``/api/v1/varieties/<id>``."""
    name, part_of = _addresses[type(row)]
    keys = {"pk": getattr(row, f"{part_of}_id"), "child_id": row.pk} if part_of else {"pk": row.pk}
    return reverse(name, kwargs=keys)
