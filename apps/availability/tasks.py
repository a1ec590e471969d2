"""Periodic work on offers, and what other modules' events do to them."""

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from celery import shared_task
from django.db import transaction

from apps.availability import pictures
from apps.availability.models import Availability, Media, Reservation
from apps.availability.serializers import OfferRow
from apps.availability.services import bulk, decisions, media, offers, rules, stock
from apps.commodities.models.varieties import Variety
from apps.locations.events import LocationMerged
from apps.partners.events import PartnerReactivated, PartnerSuspended
from erp import clock, sweeps
from erp.access import SYSTEM, Actor
from erp.errors import FieldError
from erp.jobs.kinds import RowResult, WorkRow
from erp.jobs.models import Job
from erp.jobs.tables import TableKind
from erp.outbox.subscriber import handles
from erp.outbox.wire import Envelope

CHUNK = 500  # rows of one run of a sweep
PICTURES = 20

log = structlog.get_logger(__name__)


@shared_task
def expire_reservations() -> int:
    """End reservations past their deadline, one offer at a time; returns the number of offers touched."""
    due = (
        Reservation.objects.overdue(clock.now())
        .order_by("expires_at", "pk")
        .values_list("availability_id", flat=True)[:CHUNK]
    )
    return sweeps.each(list(dict.fromkeys(due)), _on_offer(stock.expire_reservations))


@shared_task
def expire_offers() -> int:
    """End offers past their deadline, or carry them forward; returns how many were touched."""
    due = Availability.objects.due(clock.now()).order_by("expires_at", "pk")
    return sweeps.each(list(due.values_list("pk", flat=True)[:CHUNK]), _on_offer(decisions.expire))


@shared_task
def prepare_media() -> int:
    """Draw copies of pictures without their metadata, outside transactions; return how many were prepared."""

    def prepare(picture: Media) -> Media:
        content = pictures.without_metadata(picture.file.content)
        return media.store_copy(picture, actor=SYSTEM, content=content)  # type: ignore[no-any-return]

    # In no order: what fails each time holds up no other.
    return sweeps.each(Media.objects.unprepared().select_related("file").order_by("?")[:PICTURES], prepare)


def _on_offer(run: Callable[..., Any]) -> Callable[[UUID], Any]:
    """The service on the offer as it is when its turn comes."""
    return lambda key: run(Availability.objects.get(pk=key), actor=SYSTEM)


class UploadOffers(TableKind):
    """Offers, one a row."""

    name, row = bulk.KIND, OfferRow
    title = "Upload offers"
    accepted_by = bulk.bulk_upload
    wrong_header, too_many_rows = bulk.FileHeader, bulk.TooManyRows

    def do(self, values: dict[str, Any], *, row: WorkRow, job: Job, actor: Actor) -> RowResult:
        """Post the offer of a row, as a request would."""
        commodity, unit = values.pop("commodity"), values.pop("unit", None)
        submit, code = values.pop("submit", False), values.pop("variety", None)
        place = {
            name: values.pop(name)
            for name in ("address", "country", "state_code", "district")
            if name in values
        }
        quality = [
            {"parameter": name.removeprefix("q_"), "value": values.pop(name)}
            for name in [name for name in values if name.startswith("q_")]
        ]
        variety = None
        if code:
            variety = Variety.objects.active().filter(commodity=commodity, code=code).first()
            if variety is None:
                raise rules.GoodsInvalid.at("/variety", "unknown", "The commodity has no such variety.")
        content: Any = {
            **{name: value for name, value in values.items() if not name.startswith("lot_")},
            "variety": variety,
            "place": {"country": "IN", **place},
            "quality": quality,
            "lots": _lots_of(values),
        }
        offer = offers.post(actor=actor, commodity=commodity, unit=unit, submit=submit, content=content)
        return RowResult("created", offer.pk)

    def finish(self, job: Job) -> None:
        if job.mode != Job.Mode.CHECK:
            bulk.report_upload(actor=SYSTEM, job=job)


def _lots_of(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Lots from columns such as ``lot_1_pr_from``."""
    lots: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        if name.startswith("lot_"):
            number, _, column = name.removeprefix("lot_").partition("_")
            lots.setdefault(number, {})[column] = value
    faults = [
        FieldError(f"/lot_{number}_{column}", "required", "A lot needs its number and its packages.")
        for number, lot in sorted(lots.items())
        for column in ("lot_no", "bales")
        if lot.get(column) is None
    ]
    if faults:
        raise rules.LotsMismatch(errors=faults)
    return [lots[number] for number in sorted(lots, key=int)]


@handles(PartnerSuspended, PartnerReactivated)
def start_following(event: PartnerSuspended | PartnerReactivated, *, meta: Envelope) -> None:
    """Have the sweep follow the partner's standing at once; what it misses the next run finds."""
    transaction.on_commit(lambda: follow_partners.apply_async(retry=False), robust=True)


@handles(LocationMerged)
def start_following_places(event: LocationMerged, *, meta: Envelope) -> None:
    """Have the sweep follow the place at once."""
    transaction.on_commit(lambda: follow_places.apply_async(retry=False), robust=True)


@shared_task
def follow_places() -> int:
    """Move offers and lots from merged places to those that they became, one by one; return how many offers."""
    rows = Availability.objects.at_merged_places().order_by("pk").values_list("pk", flat=True)
    done = sweeps.each(list(rows[:CHUNK]), _on_offer(decisions.follow_places))
    if done == CHUNK:
        follow_places.apply_async(retry=False)
    return done


@shared_task
def follow_partners() -> int:
    """Take offers of suspended sellers off the market, release reservations, and put offers back, one by one.

    What there is to do follows from the standing of the partners, so that the next run makes good what failed in one.
    Returns the number of offers touched.
    """
    cause = Availability.FOR_PARTNER
    suspend = partial(decisions.suspend, reason="The seller is suspended.", cause=cause)
    held = Availability.objects.filter(pk__in=Reservation.objects.of_suspended().values("availability_id"))
    work = (
        (Availability.objects.to_suspend(), suspend),
        (held, stock.release_for_suspended),
        (Availability.objects.to_reactivate(), partial(decisions.reactivate, cause=cause)),
    )
    return sum(
        sweeps.each(list(rows.order_by("pk").values_list("pk", flat=True)[:CHUNK]), _on_offer(run))
        for rows, run in work
    )
