"""Masked values that a page showed in full: one row of the trail per record and page, as a line in its history.

A column notes what it shows; the page records it once it is drawn, in the person's name.
"""

from django.contrib.auth import get_user_model
from django.db import models
from django.http import HttpRequest

from erp.access import actor_of, person_of
from erp.admin.display import Table
from erp.labels import label_of
from erp.trail import context
from erp.trail import services as trail
from erp.trail.models import ClearRead

SHOWN = 20  # of a record, in its history


def note(request: HttpRequest, row: models.Model, field: str) -> bool:
    """Note that this page shows a field of the row in full; return whether it is the first time on this page."""
    noted = request.__dict__.setdefault("_clear_reads", {})
    fields = noted.setdefault((row._meta.db_table, str(row.pk)), set())
    is_new = field not in fields
    fields.add(field)
    return is_new


def record(request: HttpRequest) -> None:
    """Record what the page showed in full."""
    noted = request.__dict__.pop("_clear_reads", {})
    if noted:
        with context.through("admin"):
            trail.record_clear_reads(actor=person_of(actor_of(request)), reads=noted)


def table(request: HttpRequest, row: models.Model) -> Table | None:
    """Who read masked values of the row in full, newest first."""
    found = list(ClearRead.objects.filter(table=row._meta.db_table, row=str(row.pk)).order_by("-id")[:SHOWN])
    people = get_user_model()._default_manager.in_bulk({each.actor_id for each in found})
    lines = [
        (
            each.recorded_at,
            people.get(each.actor_id, each.actor_id),
            ", ".join(label_of(name) for name in each.fields),
        )
        for each in found
    ]
    return Table("Read in full", ["When", "Who", "Fields"], lines) if lines else None
