"""One successful request per endpoint of the locations module."""

from datetime import date
from decimal import Decimal

from apps.locations.services import distances
from erp.access import SYSTEM
from erp.api.examples import Example
from erp.files import CSV, Upload


def staff(world, target):
    return world.user("INTERNAL")


def keeper(world, target):
    return world.user("INTERNAL_MASTERDATA")


def buyer(world, target):
    return world.user("BUYER")


def place(world):
    return world.place()


def state(code):
    """Return the id of the place of a state."""
    return lambda world, target: str(world.state(code).pk)


EXAMPLES = {
    "create": Example(
        staff,
        {
            "type": "MANDI",
            "name": "Gondal Mandi",
            "aliases": ["Gondal APMC"],
            "state": "Gujarat",
            "district": "Rajkot",
            "pincode": "360311",
            "latitude": "21.961100",
            "longitude": "70.802800",
            "parent_id": state("24"),
        },
    ),
    "bulk_import": Example(
        staff,
        {
            "file": Upload(
                "places.csv",
                CSV,
                b"type,name,state,ref,parent_ref,district,pincode,aliases\n"
                b"DISTRICT,Rajkot,Gujarat,rajkot,,,,\n"
                b"MANDI,Gondal,Gujarat,,rajkot,Rajkot,360311,Gondal APMC;Gondal Yard\n",
            ),
            "mode": "partial",
        },
    ),
    "update": Example(
        keeper,
        {
            "name": "Gondal Market Yard",
            "aliases": ["Gondal Mandi"],
            "district": "Rajkot",
            "address": "National Highway 27",
            "pincode": "360311",
            "latitude": "21.961100",
            "longitude": "70.802800",
            "timezone": "Asia/Kolkata",
            "status": "ACTIVE",
        },
        place,
    ),
    "reparent": Example(keeper, {"parent_id": state("27")}, place),
    "search": Example(buyer, {"query": "Gond", "types": ["STATION"], "state": "GJ", "limit": 5}),
    "fetch_details": Example(buyer, {"provider": "gazetteer", "provider_id": "station-24-gondal"}),
    "reverse_geocode": Example(buyer, {"latitude": "21.961100", "longitude": "70.802800", "radius_km": 10}),
    "merge": Example(
        keeper,
        {"into_id": lambda world, target: str(world.place().pk), "reason": "Entered twice."},
        place,
    ),
}


def gujarat(world):
    return world.state("24")


def add_distance(world, viewer):
    distances.set_distance(
        gujarat(world),
        actor=SYSTEM,
        to=world.place(),
        mode="ROAD",
        km=Decimal(100),
        source="Survey",
        valid_from=date(2026, 1, 1),
    )


LISTS = {
    "/api/v1/locations": (
        "BUYER",
        lambda world, viewer: world.place(latitude=Decimal(22), longitude=Decimal(71)),
    ),
    "/api/v1/locations/<uuid:pk>/children": ("BUYER", lambda world, viewer: world.place()),
    "/api/v1/locations/<uuid:pk>/history": ("AUDITOR", add_distance),
    "/api/v1/states": ("BUYER", lambda world, viewer: world.state("24")),
    "/api/v1/states/<str:pk>/pin-prefixes": ("BUYER", lambda world, viewer: world.state("24")),
}
WHOLES = {
    "/api/v1/locations/<uuid:pk>/": gujarat,
    "/api/v1/states/<str:pk>/": lambda world: world.state("24").state,
}
