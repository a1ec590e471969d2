"""One successful request per endpoint of the availability module."""

from datetime import timedelta
from decimal import Decimal
from uuid import UUID, uuid4

from apps.accounts.models import User
from apps.availability.models import Availability, Lot, Media, QualityValue, Reservation, TestReport
from apps.availability.services import offers, stock
from apps.availability.services.offers import REPORT_PURPOSE
from apps.availability.tests import factories
from erp import clock
from erp.access import SYSTEM
from erp.api.examples import Example, Sample
from erp.files import CSV, PDF, Upload
from erp.models import unguarded_writes
from erp.services import caused_by
from erp.uploads import services as uploads

TRADE = UUID("01890a5d-ac96-774b-bcce-b302099a80a4")


def draft(world):
    return world.offer(live=False)


def pending(world):
    return world.offer(live=False, submit=True)


def live(world):
    return world.offer()


def seller(world, target):
    return User.objects.get(pk=target.created_by_id) if target else world.user("SELLER")


def manager(world, target):
    return world.user("INTERNAL_MANAGER")


def buyer(world, target):
    return world.user("BUYER")


def held(world):
    offer = world.offer()
    stock.reserve(offer, actor=world.user("BUYER"), quantity=Decimal(10))
    return offer


def in_trade(world):
    offer = held(world)
    reservation = offer.reservations.get()
    stock.commit(
        offer, actor=SYSTEM, reservation_id=reservation.pk, trade_id=TRADE, unit_price=Decimal(53500)
    )
    return offer


def holder(world, target):
    return User.objects.get(pk=target.reservations.get().reserved_by_id)


def reservation_of(world, target):
    return str(target.reservations.get().pk)


def terms(name):
    return lambda world, target: str(factories.terms()[name].pk)


def report(world, target):
    return uploads.create(
        actor=seller(world, target),
        file=Upload("report.pdf", PDF, b"%PDF-1.4 report"),
        purpose=REPORT_PURPOSE,
    )


def tested(world, **fields):
    """A draft of a commodity with a parameter to test."""
    from config.testing import make_ready

    commodity = world.commodity()
    make_ready(commodity)
    return world.offer(live=False, commodity=commodity, **fields)


CONTENT = {
    "total_quantity": "100",
    "total_weight_kg": "17000.000",
    "place": {"address": "Station Road, Gondal", "country": "IN", "state_code": "GJ"},
    "unit_price": "53500",
    "pricing_unit_id": lambda world, target: str(factories.per_candy().pk),
    **{
        f"{name}_id": terms(name)
        for name in ("delivery_term", "payment_term", "passing_term", "weighment_term")
    },
    "available_from_date": "2026-01-12",
    "available_until_date": "2099-12-31",
    "valid_until_date": Sample("2026-02-12", lambda world, target: str(clock.today() + timedelta(days=30))),
    "lots": [{"lot_no": "SSG-27", "bales": 100, "press_mark": "SSG"}],
    "price_steps": [{"min_quantity": "50", "unit_price": "53400"}],
}

TABLE = Upload(
    "offers.csv",
    CSV,
    b"commodity,total_quantity,address,state_code,available_from_date,available_until_date,lot_1_lot_no,lot_1_bales\n"
    b"COTTON,100,Gondal,GJ,2026-01-12,2026-02-12,SSG-27,100\n",
)
EXAMPLES = {
    "post": Example(
        seller, {"commodity_id": lambda world, target: str(world.commodity().pk), "unit": "BALE", **CONTENT}
    ),
    "update": Example(seller, CONTENT, draft),
    "submit": Example(seller, {}, draft),
    "approve": Example(manager, {"note": "Seen."}, pending),
    "reject": Example(manager, {"reason_code": "PRICE", "reason": "The price is above the market."}, pending),
    "reserve": Example(buyer, {"quantity": "60", "hold_hours": 24}, live),
    "release": Example(holder, {"reservation_id": reservation_of, "quantity": "5"}, held),
    "mark_sold": Example(
        lambda world, target: world.user("INTERNAL_DIRECTOR"),
        {"reservation_id": reservation_of, "trade_id": str(TRADE)},
        in_trade,
    ),
    "cancel": Example(seller, {"reason_code": "SOLD_ELSEWHERE"}, live),
    "extend": Example(
        seller,
        {
            "available_until_date": Sample(
                "2026-03-12", lambda world, target: str(target.available_until_date + timedelta(days=5))
            ),
            "valid_until_date": Sample(
                "2026-03-12", lambda world, target: str(target.valid_until_date + timedelta(days=5))
            ),
        },
        live,
    ),
    "add_test_report": Example(
        seller,
        {
            "upload_id": lambda world, target: str(report(world, target).pk),
            "lab_name": "Rajkot Fibre Laboratory",
            "report_no": "RFL-2701",
            "sample_no": "S-1",
            "method": "OVEN",
            "tested_date": Sample("2026-01-10", lambda world, target: str(clock.today())),
            "values": [{"parameter": "moisture", "value": "8.4"}],
        },
        tested,
    ),
    "search": Example(
        lambda world, target: world.user("INTERNAL"),
        {
            "commodity_id": lambda world, target: str(world.offer().commodity_id),
            "state_codes": ["24"],
            "sort": "price",
            "limit": 20,
        },
    ),
    "bulk_upload": Example(
        lambda world, target: world.user("SELLER"),
        {"file": TABLE, "mode": "partial"},
    ),
    "bulk_validate": Example(lambda world, target: world.user("SELLER"), {"file": TABLE}),
    "set_visibility": Example(seller, {"visibility": "MATCHED_ONLY", "price_public": False}, live),
}


def _whole(world):
    """The offer whose parts are listed, with a parameter to test; the same one as long as a test runs."""
    found = Availability.objects.filter(internal_reference="The whole").first()
    return found or tested(world, internal_reference="The whole")


def _number(model):
    return model.objects.count() + 1


def _lot(world, viewer):
    offer, number = _whole(world), _number(Lot)
    with unguarded_writes():
        Lot(
            availability=offer,
            position=number,
            lot_no=f"L-{number}",
            bales=10,
            seller_partner=offer.seller_partner,
        ).save()


def _value(world, viewer):
    offer, number = _whole(world), _number(QualityValue)
    parameter = offer.commodity.quality_parameters.get()
    with unguarded_writes():
        QualityValue(
            availability=offer, parameter=parameter, value_number=number, method="OVEN", source="DECLARED",
            sample_no=f"S-{number}",
        ).save()  # fmt: skip


def _report(world, viewer):
    offer, number = _whole(world), _number(TestReport)
    with unguarded_writes():
        file = report(world, offer)
        TestReport(
            availability=offer, lab_name="Laboratory", report_no=f"R-{number}", sample_no="S", method="OVEN",
            tested_date=clock.today(), file=file, sha256=file.sha256,
        ).save()  # fmt: skip


def _media(world, viewer):
    offer, number = _whole(world), _number(Media)
    with unguarded_writes():
        file = report(world, offer)
        Media(availability=offer, position=number, file=file, copy=file, caption=f"Bales {number}").save()


def _change(world, viewer):
    """A change by a request of its own, as the timeline tells requests apart."""
    offer = _whole(world)
    with caused_by(str(uuid4())):
        offers.set_visibility(
            offer, actor=SYSTEM, visibility=offer.visibility, price_public=not offer.price_public
        )


def _held_of_whole(world, viewer):
    offer = _whole(world)
    with unguarded_writes():
        Reservation(
            availability=offer, holder_partner=world.partner(), quantity=1, weight_kg=170, reserved_weight_kg=170,
            terms_version=1, expires_at=clock.now() + timedelta(hours=_number(Reservation)),
        ).save()  # fmt: skip


_OF = "/api/v1/availabilities/<uuid:pk>"
WHOLES = {_OF: _whole}
LISTS = {
    f"{_OF}/history": ("INTERNAL_MANAGER", _change),
    "/api/v1/availabilities/media": ("INTERNAL_MANAGER", _media),
    "/api/v1/availabilities/reservations": ("INTERNAL_MANAGER", _held_of_whole),
    "/api/v1/availabilities/test-reports": ("INTERNAL_MANAGER", _report),
    f"{_OF}/lots": ("INTERNAL_MANAGER", _lot),
    f"{_OF}/quality": ("INTERNAL_MANAGER", _value),
    f"{_OF}/test-reports": ("INTERNAL_MANAGER", _report),
    f"{_OF}/reservations": ("INTERNAL_MANAGER", _held_of_whole),
}
