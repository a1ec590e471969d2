"""What the trail itself records: the anchor of a day, and that entries or lists were exported."""

import datetime
from collections.abc import Collection, Mapping
from typing import Any, Final
from uuid import UUID

from erp import clock, logs
from erp.access import Actor
from erp.capabilities import EXPORT_TRAIL
from erp.services import emit, service
from erp.trail.events import TrailSealed
from erp.trail.models import Anchor, ClearRead, Export, Seal

TRAIL_ID: Final = UUID("01890000-0000-7000-8000-000000000002")  # there is one trail
ROWS: Final = "anchors, exports and clear reads are rows of the trail itself"


@service(public="a task of the product runs it", emits=[TrailSealed])
def publish_anchor(*, actor: Actor, day: datetime.date) -> Anchor | None:
    """Publish the last hash of the chain as the anchor of a day; None where there is one, or nothing is sealed."""
    last = Seal.objects.order_by("-number").first()
    if last is None or Anchor.objects.filter(day=day).exists():
        return None
    anchor = Anchor(day=day, number=last.number, hash=bytes(last.hash).hex())
    anchor.save()
    emit(TrailSealed(trail_id=TRAIL_ID, day=day, number=anchor.number, hash=anchor.hash))
    return anchor


@service(requires=EXPORT_TRAIL, machinery=ROWS)
def record_export(*, actor: Actor, year: str, filters: dict[str, Any], lines: int) -> Export:
    """Record that entries were exported."""
    export = Export(year=year, filters=filters, lines=lines)
    export.save()
    return export


@service(public="who sees a list may take it along: the file shows no more than the screen", machinery=ROWS)
def record_list_export(*, actor: Actor, list: str, query: dict[str, str], lines: int) -> Export:
    """Record that the rows of a list were downloaded: which list, by which search and filters, how many."""
    masked = {name: logs.mask_text(value) for name, value in query.items()}
    today = clock.today()
    start = today.year - (today.month < 4)
    export = Export(year=f"{start}-{(start + 1) % 100:02}", filters={"list": list, **masked}, lines=lines)
    export.save()
    return export


@service(public="who sees a value in full leaves a line, whatever lets them see it", machinery=ROWS)
def record_clear_reads(*, actor: Actor, reads: Mapping[tuple[str, str], Collection[str]]) -> None:
    """Record which fields of which rows (table and key) a person read in full."""
    for (table, row), fields in reads.items():
        ClearRead(actor_id=actor.pk, table=table, row=row, fields=sorted(fields)).save()
