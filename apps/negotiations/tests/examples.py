"""One successful request per endpoint of the negotiations module."""

from apps.accounts.models import User
from apps.matching.models import Match
from apps.negotiations.models import Negotiation
from apps.negotiations.tests.factories import Table, proposed
from apps.requirement.tests.factories import cotton
from erp.api.examples import Example


def match(world):
    goods = cotton(world.commodity)
    return proposed(world.requirement(goods=goods), world.offer(commodity=goods))


def table(row):
    """The people of a match."""
    people = (row.requirement.created_by_id, row.availability.created_by_id)
    return Table(row, *(User.objects.get(pk=key) for key in people))


def opened(world):
    return table(match(world)).start()


def bidden(world):
    made = table(match(world))
    return made.bid(made.start())


def waiting(world):
    """A match that nobody negotiates yet: the same for the request and for who sends it."""
    found = Match.objects.exclude(pk__in=Negotiation.objects.values("match_id"))
    return found.order_by("-created_at").first() or match(world)


def buyer(world, target):
    return User.objects.get(pk=(target.match if target else waiting(world)).requirement.created_by_id)


def seller(world, target):
    return User.objects.get(pk=target.availability.created_by_id) if target else world.user("SELLER")


def whole(world):
    """The negotiation whose offers are listed."""
    return Negotiation.objects.order_by("created_at").first() or bidden(world)


def add_offer(world, viewer):
    row = whole(world)
    people = table(row.match)
    (people.ask if row.turn == "SELLER" else people.bid)(row, 53_000 + row.round * 50)


WHOLES = {"/api/v1/negotiations/<uuid:pk>/": whole}
LISTS = {
    "/api/v1/negotiations": ("INTERNAL_MANAGER", lambda world, viewer: opened(world)),
    "/api/v1/negotiations/<uuid:pk>/offers": ("INTERNAL_MANAGER", add_offer),
}
EXAMPLES = {
    "start": Example(buyer, {"match_id": lambda world, target: str(waiting(world).pk)}),
    "offer": Example(
        buyer,
        {
            "price": "53000",
            "quantity": {"value": "100", "unit": "BALE"},
            "window": {"from_date": "2026-12-01", "until_date": "2099-12-31"},
            "message": "Ready to lift within ten days.",
        },
        opened,
    ),
    "accept": Example(seller, {"offer_id": lambda world, target: str(target.standing_offer_id)}, bidden),
    "reject": Example(seller, {"reason": "PRICE"}, bidden),
    "withdraw": Example(buyer, {"reason": "TIMING"}, opened),
}
