"""What sellers do with their offers: post, submit, edit, show, extend, prove and cancel."""

from collections.abc import Sequence
from copy import copy
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

from django.conf import settings
from django.db.models import Sum

from apps.availability import capabilities, events
from apps.availability.models import Availability, Lot, Reservation, TestReport
from apps.availability.services import content as contents
from apps.availability.services import deadlines, rules, stock, terms
from apps.availability.services.approval import request_approval, withdraw_request
from apps.availability.services.content import Content
from apps.availability.services.listing import measured
from apps.availability.services.media import write_media
from apps.availability.services.quality import checked_values, choose_governing
from apps.availability.services.rules import head
from apps.availability.services.warnings import STAFF_ONLY, warnings_of
from apps.commodities.models.commodities import Commodity
from apps.partners.models import Partner
from erp import access, clock
from erp.access import Actor
from erp.files import Upload
from erp.services import emit, service
from erp.uploads import services as uploads
from erp.uploads.models import StoredFile

MOST_PRICE_CHANGES: Final = 4  # of a parcel on one trading day
REPORT_PURPOSE: Final = "availability.test_report"
_Status = Availability.Status
_CONTENT_ERRORS: Final = (
    rules.UnitNotAllowed, rules.QuantityNotWhole, rules.LotsMismatch, rules.QualityInvalid, rules.PriceInvalid,
    rules.StepsInvalid, rules.WindowInvalid, rules.PlaceInvalid, rules.VisibilityInvalid, rules.GoodsInvalid,
    rules.BelowMinimum, rules.Incomplete, rules.LotAlreadyOffered, rules.MediaInvalid, uploads.FileUsed,
)  # fmt: skip


@service(
    requires=capabilities.CREATE,
    emits=[events.AvailabilityCreated, events.AvailabilitySubmitted, events.AvailabilityApproved],
    raises=[
        rules.SellerNotEligible,
        rules.PartnerInvalid,
        rules.CopyInvalid,
        rules.CommodityNotActive,
        *_CONTENT_ERRORS,
    ],
)
def post(
    *,
    actor: Actor,
    commodity: Commodity,
    content: Content,
    unit: str | None = None,
    seller_partner: Partner | None = None,
    copy_of: Availability | None = None,
    submit: bool = False,
) -> Availability:
    """Post an offer. It is saved as a draft unless it is submitted for approval."""
    offer = Availability(
        number=Availability.next_number(clock.now()),
        seller_partner=rules.acting_partner(actor, seller_partner, "/seller_partner_id"),
        created_by_id=actor.pk,
        updated_by_id=actor.pk,
        commodity=commodity,
    )
    access.authorize(actor, capabilities.CREATE, offer)
    if commodity.status != Commodity.Status.ACTIVE:
        words = f"{commodity.code} isn't active."
        raise rules.CommodityNotActive.at("/commodity_id", "not_active", words)
    if copy_of is not None and (
        copy_of.seller_partner_id != offer.seller_partner_id or not copy_of.has_ended
    ):
        raise rules.CopyInvalid.at("/copy_of_id", "not_ended", "Choose your own offer that has ended.")
    offer.copy_of, offer.parcel_id = copy_of, offer.pk if copy_of is None else copy_of.parcel_id
    contents.set_unit(offer, commodity, unit)
    contents.apply(offer, content)
    offer.available_quantity = offer.total_quantity
    offer.save()
    _write_parts(offer, content, actor)
    fields: dict[str, Any] = {"warnings": warnings_of(offer)}
    if submit:
        contents.require_complete(offer)
        rules.require_seller(offer)
        rules.compare_price(offer)
        compared = ("reference_price", "reference_count", "price_flag")
        fields |= {name: getattr(offer, name) for name in compared}
        fields |= {"status": _Status.PENDING_APPROVAL, "expires_at": deadlines.window_end(offer)}
    # No version rises: the offer is still being made.
    Availability.objects.filter(pk=offer.pk).update(**fields)
    offer = Availability.objects.get(pk=offer.pk)
    stock.refresh_lots(offer)
    emit(
        events.AvailabilityCreated(
            **head(offer),
            variety_id=offer.variety_id,
            crop_year=offer.crop_year,
            location_id=offer.location_id,
            state_code=offer.state_code,
            quantity=measured(offer, offer.total_quantity),
            weight_kg=offer.total_weight_kg,
            unit_price=offer.unit_price,
            currency=offer.currency,
            available_from_date=offer.available_from_date,
            available_until_date=offer.available_until_date,
            visibility=offer.visibility,
        )
    )
    if submit:
        _tell_submitted(offer, actor, "initial")
    return offer


def _write_parts(offer: Availability, content: Content, actor: Actor) -> list[str]:
    """Write lots, quality, invitations and pictures; return the groups that changed."""
    changed = {
        "lots": contents.write_lots(offer, content.get("lots") or ()),
        "quality": contents.write_quality(offer, content.get("quality") or ()),
        "visibility": contents.write_invitations(offer, content.get("invited_partners") or ()),
        "other": "media" in content and write_media(offer, content["media"], actor),
    }
    return [group for group, differs in changed.items() if differs]


def _tell_submitted(offer: Availability, actor: Actor, cause: str, thresholds: Sequence[str] = ()) -> None:
    """Ask for approval, or approve at once below the automatic limit."""
    limit, value = settings.AVAILABILITY_AUTO_APPROVE_LIMIT, offer.estimated_value
    suspicious = offer.price_flag or STAFF_ONLY & set(offer.warnings)
    is_automatic = limit is not None and value is not None and value <= limit and not suspicious
    approval = None if is_automatic else request_approval(offer, actor, f"was submitted ({cause})")
    emit(
        events.AvailabilitySubmitted(
            **head(offer),
            cause=cause,
            thresholds=list(thresholds),
            estimated_value=value,
            currency=offer.currency,
            price_flag=offer.price_flag,
            approval_id=None if approval is None else approval.pk,
        )
    )
    if is_automatic:
        activate(offer, None, None)


def activate(offer: Availability, approver: Any, approval_id: Any) -> None:
    """Put the offer on the market with its present terms as the approved ones."""
    now, before = clock.now(), offer.approved_terms
    after = terms.snapshot(offer)
    loses_priority = before is None or (
        any(before[name] != after[name] for name in terms.PRICED)
        or Decimal(after["total_quantity"]) > Decimal(before["total_quantity"])
    )
    if offer.listed_at is None or loses_priority:
        offer.listed_at, offer.carried_days = now, 0
    rules.compare_price(offer)
    if offer.is_firm and offer.firm_until_at is None:
        offer.firm_until_at = deadlines.firm_until(offer, offer.listed_at)
        after["firm_until_at"] = None
    offer.approved_terms, offer.approved_terms_version = after, offer.terms_version
    offer.approved_by_id, offer.approved_at = approver, now
    offer.status, offer.editors, offer.status_reason = _Status.ACTIVE, [], ""
    offer.expires_at = deadlines.expiry_of(offer)
    offer.save()
    emit(
        events.AvailabilityApproved(
            **head(offer),
            approval_id=approval_id,
            listed_at=offer.listed_at,
            expires_at=offer.expires_at,
            visibility=offer.visibility,
        )
    )


@service(
    requires=capabilities.CREATE,
    emits=[events.AvailabilitySubmitted, events.AvailabilityApproved],
    raises=[
        rules.InvalidState,
        rules.SellerNotEligible,
        rules.Incomplete,
        rules.WindowInvalid,
        rules.LotsMismatch,
        rules.LotAlreadyOffered,
    ],
)
def submit(offer: Availability, *, actor: Actor) -> Availability:
    """Submit an offer for approval."""
    rules.require_status(offer, _Status.DRAFT)
    contents.require_complete(offer)
    rules.require_seller(offer)
    offer.status = _Status.PENDING_APPROVAL
    offer.expires_at = deadlines.expiry_of(offer)
    offer.updated_by_id = actor.pk
    offer.warnings = warnings_of(offer)
    rules.compare_price(offer)
    offer.save()
    stock.refresh_lots(offer)
    _tell_submitted(offer, actor, "initial")
    return offer


@service(
    requires=capabilities.UPDATE,
    emits=[
        events.AvailabilityUpdated,
        events.AvailabilityPriceChanged,
        events.AvailabilityQuantityChanged,
        events.AvailabilityVisibilityChanged,
        events.AvailabilitySubmitted,
        events.AvailabilityApproved,
    ],
    raises=[
        rules.InvalidState,
        rules.BelowCommitted,
        rules.OfferFirm,
        rules.PriceChangesUsedUp,
        rules.FieldFixed,
        *_CONTENT_ERRORS,
    ],
)
def update(offer: Availability, *, actor: Actor, content: Content) -> Availability:
    """Replace what an offer says. Above a threshold against the approved terms it needs another approval.

    Reservations keep their own terms. The same values change nothing.
    """
    rules.require_status(offer, *Availability.EDITABLE)
    before = copy(offer)
    contents.apply(offer, content)
    _move_total(offer, before.total_quantity)
    if offer.is_live:
        _require_unfixed(offer)
    parts = _write_parts(offer, content, actor)
    groups = list(dict.fromkeys([*contents.changed_groups(offer), *parts]))
    if not groups:
        return offer
    _require_not_worse(offer, before)
    repriced = terms.price_changed(before, offer)
    if repriced:
        _count_price_change(offer)
    changes_terms = not contents.TERMS.isdisjoint(groups)
    _note_edit(offer, actor, changes_terms=changes_terms)
    thresholds: list[str] = []
    if offer.status == _Status.REJECTED:
        had_sales = offer.reserved_quantity or offer.sold_quantity
        offer.status = _Status.PENDING_APPROVAL if had_sales else _Status.DRAFT
        thresholds = ["rejected"] if had_sales else []
    elif offer.status == _Status.ACTIVE:
        thresholds = terms.beyond_approval(offer)
        if thresholds:
            offer.status = _Status.PENDING_APPROVAL
        elif repriced or offer.total_quantity > before.total_quantity:
            offer.listed_at, offer.carried_days = clock.now(), 0
    if offer.is_live:
        contents.require_complete(offer)
        rules.compare_price(offer)
        offer.expires_at = deadlines.expiry_of(offer)
    stock.settle_status(offer)
    offer.warnings = warnings_of(offer)
    offer.save()
    stock.refresh_lots(offer)
    emit(events.AvailabilityUpdated(**head(offer), changed=groups))
    _tell_figures(offer, before)
    if thresholds and offer.status == _Status.PENDING_APPROVAL:
        _tell_submitted(offer, actor, "reapproval", thresholds)
    elif offer.status == _Status.PENDING_APPROVAL and changes_terms:
        withdraw_request(offer, actor)
        request_approval(offer, actor, "was edited while its approval was pending")
    return offer


def _move_total(offer: Availability, before: Decimal) -> None:
    """Take a smaller total from what is available, add a larger one to it. Raises BelowCommitted."""
    offer.available_quantity += offer.total_quantity - before
    if offer.available_quantity < 0:
        committed = offer.total_quantity - offer.available_quantity
        raise rules.BelowCommitted(
            f"{committed.normalize():f} {offer.unit} are reserved, sold or withdrawn.",
            committed=f"{committed:f}",
        )


def _require_unfixed(offer: Availability) -> None:
    """Raise FieldFixed for variety, crop year or place of an offer that was submitted."""
    fixed = {
        "variety_id": "/variety_id", "crop_year": "/crop_year", "location_id": "/location_id", "address": "/place",
        "country": "/place/country", "state_code": "/place/state_code", "time_zone": "/place/time_zone",
    }  # fmt: skip
    changed = offer.changed_fields()
    for column, pointer in fixed.items():
        if column in changed:
            words = "This can't be changed once the offer was submitted. Cancel it and post a new one."
            raise rules.FieldFixed.at(pointer, "fixed", words)


def _require_not_worse(offer: Availability, before: Availability) -> None:
    """Raise OfferFirm for a worse price, smaller total or shorter window of an offer that stands firm."""
    until, listed = before.firm_until_at, before.listed_at
    if not (before.is_firm and offer.is_live and listed) or until is None or until <= clock.now():
        return
    shorter = (offer.available_until_date or date.max) < (before.available_until_date or date.max) or (
        offer.valid_until_date or date.max
    ) < (before.valid_until_date or date.max)
    loosened = not offer.is_firm or (offer.firm_until_at or until) < until
    # Fewer kilograms in a package for the same price per package, or in a parcel that is bought by weight.
    lighter = (
        offer.total_weight_kg * before.total_quantity < before.total_weight_kg * offer.total_quantity
        or offer.total_quantity < before.total_quantity
    )
    if _is_dearer(offer, before) or shorter or loosened or lighter:
        raise rules.OfferFirm(f"The offer stands firm until {clock.local(until)}.")
    if offer.firm_until_at is None:
        offer.firm_until_at = until


def _is_dearer(offer: Availability, before: Availability) -> bool:
    """Whether any quantity costs more, or the price is quoted in another way and so can't be compared."""
    if terms.requoted(before, offer) or (offer.unit_price is None) != (before.unit_price is None):
        return True
    starts = [Decimal(step["min_quantity"]) for step in (*offer.price_steps, *before.price_steps)]
    return any(
        (offer.price_for(quantity) or 0) > (before.price_for(quantity) or 0)
        for quantity in (Decimal(0), *starts)
    )


def _count_price_change(offer: Availability) -> None:
    """Count a change of price, copies of the parcel included. Raises PriceChangesUsedUp."""
    if not offer.is_live:
        return
    day = deadlines.TradingDays(offer).of(clock.now())
    same_day = Availability.objects.filter(parcel_id=offer.parcel_id, price_change_day=day)
    used = same_day.aggregate(used=Sum("price_changes"))["used"] or 0
    if used >= MOST_PRICE_CHANGES:
        raise rules.PriceChangesUsedUp(f"At most {MOST_PRICE_CHANGES} changes a trading day.")
    if offer.price_change_day != day:
        offer.price_change_day, offer.price_changes = day, 0
    offer.price_changes += 1


def _note_edit(offer: Availability, actor: Actor, *, changes_terms: bool) -> None:
    offer.updated_by_id = actor.pk
    if actor.pk is not None and actor.pk not in offer.editors:
        offer.editors = [*offer.editors, actor.pk]
    if changes_terms:
        offer.terms_version += 1
    offer.raise_version()


def _tell_figures(offer: Availability, before: Availability) -> None:
    if before.unit_price != offer.unit_price:
        old, new = before.unit_price, offer.unit_price
        percent = None if not old or new is None else ((new - old) * 100 / old).quantize(Decimal("0.01"))
        emit(
            events.AvailabilityPriceChanged(
                **head(offer), old=old, new=new, currency=offer.currency, percent=percent
            )
        )
    if before.total_quantity != offer.total_quantity:
        emit(
            events.AvailabilityQuantityChanged(
                **head(offer),
                old_total=measured(offer, before.total_quantity),
                new_total=measured(offer, offer.total_quantity),
                available=measured(offer, offer.available_quantity),
            )
        )
    if before.visibility != offer.visibility:
        _tell_visibility(offer, before.visibility)


def _tell_visibility(offer: Availability, old: str) -> None:
    emit(
        events.AvailabilityVisibilityChanged(
            **head(offer), old=old, new=offer.visibility, invited_count=offer.invitations.count()
        )
    )


@service(
    requires=capabilities.UPDATE,
    emits=[events.AvailabilityVisibilityChanged],
    raises=[rules.InvalidState, rules.VisibilityInvalid],
    label="Change visibility",
)
def set_visibility(
    offer: Availability,
    *,
    actor: Actor,
    visibility: str,
    invited_partners: Sequence[Partner] = (),
    price_public: bool = False,
) -> Availability:
    """Change who sees an offer. It needs no approval; reservations and what was disclosed stay."""
    if offer.has_ended:
        rules.require_status(offer, *Availability.EDITABLE, _Status.SOLD_OUT)
    old = offer.visibility
    offer.visibility, offer.price_public = visibility, price_public
    changed = contents.write_invitations(offer, invited_partners)
    if offer.changed_fields() or changed:
        offer.raise_version()
        offer.save()
        _tell_visibility(offer, old)
    return offer


@service(
    requires=capabilities.UPDATE,
    emits=[events.AvailabilityExtended],
    raises=[rules.InvalidState, rules.NotLater, rules.TooFar, rules.Incomplete],
)
def extend(
    offer: Availability,
    *,
    actor: Actor,
    valid_until_date: date | None = None,
    available_until_date: date | None = None,
) -> Availability:
    """Let an offer live longer. It needs no approval, and time priority stays."""
    rules.require_status(offer, *Availability.LIVE)
    dates = {"valid_until_date": valid_until_date, "available_until_date": available_until_date}
    if not any(dates.values()):
        raise rules.Incomplete.at("/valid_until_date", "required", "Enter at least one of the two dates.")
    today, old = clock.now().astimezone(offer.zone).date(), offer.expires_at
    if valid_until_date is not None and offer.eod_policy == Availability.EndOfDay.DAY:
        offer.eod_policy, offer.carry_forward_days = Availability.EndOfDay.GOOD_TILL_DATE, 0
        offer.valid_until_date = old.astimezone(offer.zone).date() if old is not None else today
    limits = {"valid_until_date": contents.VALID_DAYS, "available_until_date": contents.WINDOW_DAYS}
    for name, day in dates.items():
        if day is None:
            continue
        before = getattr(offer, name)
        if day < today or before is None or day <= before:
            raise rules.NotLater.at(f"/{name}", "not_later", "Enter a later day.")
        if day > today + timedelta(days=limits[name]):
            raise rules.TooFar.at(f"/{name}", "too_far", f"At most {limits[name]} days ahead.")
        setattr(offer, name, day)
    offer.expires_at = deadlines.expiry_of(offer)
    offer.updated_by_id = actor.pk
    offer.save()
    emit(
        events.AvailabilityExtended(
            **head(offer), old_expires_at=old, new_expires_at=offer.expires_at, cause="by_seller"
        )
    )
    return offer


@service(
    requires=capabilities.UPDATE,
    emits=[events.AvailabilityTestReportAdded, events.AvailabilitySubmitted, events.AvailabilityApproved],
    raises=[
        rules.InvalidState,
        rules.TestReportExists,
        rules.QualityInvalid,
        rules.DatesInvalid,
        rules.Incomplete,
        uploads.FileUsed,
    ],
    label="Add test report",
)
def add_test_report(
    offer: Availability,
    *,
    actor: Actor,
    lab_name: str,
    report_no: str,
    sample_no: str,
    method: str,
    tested_date: date,
    values: Sequence[dict[str, Any]],
    sampled_date: date | None = None,
    lab_accreditation: str = "",
    lot_no: str | None = None,
    governing: bool = True,
    upload: StoredFile | None = None,
    file: Upload | None = None,
) -> TestReport:
    """Add a laboratory's report with its results, with an upload or a file. It may send the offer back to approval."""
    rules.require_status(offer, *Availability.EDITABLE)
    _check_dates(tested_date, sampled_date)
    lot: Lot | None = offer.lots.filter(lot_no=lot_no).first() if lot_no else None
    if lot_no and lot is None:
        raise rules.QualityInvalid.at("/lot_no", "unknown_lot", "The offer has no such lot.")
    shared: dict[str, Any] = {"actor": actor, "purpose": REPORT_PURPOSE, "used_by": "availability.testreport"}
    if upload is not None:
        stored = uploads.use(upload, **shared)
    elif file is not None:
        stored = uploads.create(file=file, **shared)
    else:
        raise rules.Incomplete.at("/upload_id", "required", "Send the report's file.")
    report = TestReport(
        availability=offer, lab_name=lab_name, lab_accreditation=lab_accreditation, report_no=report_no,
        sample_no=sample_no, lot=lot, method=method, sampled_date=sampled_date, tested_date=tested_date,
        file=stored, sha256=stored.sha256,
    )  # fmt: skip
    tested_at = datetime.combine(tested_date, time(), UTC)
    rows = checked_values(
        offer, values, pointer="/values", lot=lot, method=method, source="LAB", sample_no=sample_no,
        tested_at=tested_at, test_report=report, chosen=governing,
    )  # fmt: skip
    report.save()
    if governing:
        chosen = offer.quality.filter(lot=lot, parameter__in=[row.parameter for row in rows], chosen=True)
        for value in chosen:
            value.chosen = False
            value.save()
    for row in rows:
        row.save()
    changed = choose_governing(offer)
    _note_edit(offer, actor, changes_terms=True)
    thresholds = terms.beyond_approval(offer) if offer.status == _Status.ACTIVE and changed else []
    if thresholds:
        offer.status = _Status.PENDING_APPROVAL
    offer.warnings = warnings_of(offer)
    offer.save()
    emit(
        events.AvailabilityTestReportAdded(
            **head(offer), report_id=report.pk, lot_no=lot_no, parameters=[row.parameter.code for row in rows],
            governing=governing,
        )
    )  # fmt: skip
    if thresholds:
        _tell_submitted(offer, actor, "reapproval", thresholds)
    elif offer.status == _Status.PENDING_APPROVAL:
        withdraw_request(offer, actor)
        request_approval(offer, actor, "has another test report")
    return report


def _check_dates(tested: date, sampled: date | None) -> None:
    today = clock.today()
    if tested > today:
        raise rules.DatesInvalid.at("/tested_date", "future", "The day of the test is in the future.")
    if tested < today - timedelta(days=2 * 365):
        raise rules.DatesInvalid.at("/tested_date", "too_old", "The test is more than two years old.")
    if sampled is not None and sampled > tested:
        raise rules.DatesInvalid.at("/sampled_date", "after_test", "Sampling can't be after the test.")


@service(
    requires=capabilities.CANCEL,
    emits=[events.AvailabilityCancelled, events.AvailabilityReleased],
    raises=[rules.InvalidState, rules.HoldsOpen, rules.OfferFirm, rules.StaffOnly, rules.Incomplete],
)
def cancel(
    offer: Availability, *, actor: Actor, reason_code: str, reason: str = "", release_holds: bool = False
) -> Availability:
    """Cancel an offer for good. What is free is withdrawn; what is in a trade goes on."""
    rules.require_status(offer, *Availability.EDITABLE)
    if reason_code == "OTHER" and len(reason) < 3:
        raise rules.Incomplete.at("/reason", "required", "Enter a reason of at least 3 characters.")
    is_staff = actor.is_staff or actor.is_system
    if release_holds and not is_staff:
        raise rules.StaffOnly("Only staff can release reservations of others.")
    until = offer.firm_until_at
    if not is_staff and offer.is_firm and until is not None and until > clock.now():
        raise rules.OfferFirm(f"The offer stands firm until {clock.local(until)}.")
    if release_holds:
        stock.release_all(offer, actor, "offer_ended", protected=True)
    count = offer.reservations.filter(status=Reservation.Status.HELD).count()
    if count:
        raise rules.HoldsOpen(f"{count} reservations are open.", count=count)
    withdrawn = offer.available_quantity
    was_pending = offer.status == _Status.PENDING_APPROVAL
    offer.status, offer.status_reason = _Status.CANCELLED, f"{reason_code} {reason}".strip()
    offer.available_quantity -= withdrawn
    offer.withdrawn_quantity += withdrawn
    offer.updated_by_id = actor.pk
    offer.save()
    stock.refresh_lots(offer)
    if was_pending:
        withdraw_request(offer, actor)
    emit(
        events.AvailabilityCancelled(
            **head(offer), reason_code=reason_code, withdrawn=measured(offer, withdrawn)
        )
    )
    return offer
