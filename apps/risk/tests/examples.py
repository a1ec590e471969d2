"""One successful request per endpoint of the risk module."""

from decimal import Decimal

from apps.risk.models import PairBlock, ScreeningHit, SurveillanceAlert
from apps.risk.services import assessing
from apps.risk.tests import factories
from erp import clock
from erp.access import SYSTEM
from erp.api.examples import SAMPLE_ID, Example, Sample
from erp.models import unguarded_writes


def _deal(world, **fields):
    return factories.deal(
        world.user, world.partner, world.offer, world.requirement, world.commodity,
        limit=Decimal(10_000_000), advance=0, **fields,
    )  # fmt: skip


def staff(world, target):
    return world.user("INTERNAL_COMPLIANCE")


def director(world, target):
    return world.user("INTERNAL_DIRECTOR")


def _thin(world):
    """An assessment that only warns, since the limit would be nearly used."""
    deal = factories.deal(
        world.user, world.partner, world.offer, world.requirement, world.commodity,
        limit=Decimal(300_000), advance=0,
    )  # fmt: skip
    return deal.judge(10)


def assessed(world, viewer):
    assessing.assess_availability(actor=SYSTEM, availability=world.offer())


def reviewed(world, viewer):
    """An assessment that waits for a person: the buyer's exposure asks for a bureau, and none has answered."""
    made = factories.deal(
        world.user, world.partner, world.offer, world.requirement, world.commodity,
        limit=Decimal(100_000_000), advance=0,
    )  # fmt: skip
    made.judge(1_000)


def alert(world, viewer):
    number = SurveillanceAlert.objects.count()
    with unguarded_writes():
        SurveillanceAlert(
            kind="REVERSAL", severity="MEDIUM", evidence={"days_apart": 2}, fingerprint=f"{number:064d}"
        ).save()


def pair(world, viewer):
    low, high = sorted(partner.pk for partner in (world.partner(), world.partner()))
    with unguarded_writes():
        PairBlock(low_id=low, high_id=high, cause="MANUAL", reason="Complaint of a mill.").save()


def hit(world, viewer):
    partner = world.partner()
    with unguarded_writes():
        ScreeningHit(
            partner=partner, field="legal_name", list_code="UN", entry_reference="QDe.001", names_hash="",
            name_hash=str(partner.pk), similarity=Decimal("0.8500"), exact=False,
        ).save()  # fmt: skip


def policy(world, viewer):
    factories.policy()


def snapshot(world, viewer):
    factories.sanctions(("1", "ENTITY", "Somebody Else"), code=f"L{clock.now():%f}")


def override(world, viewer):
    from apps.risk.services import overrides

    overrides.request_override(
        actor=world.user("INTERNAL_DIRECTOR"), assessment=_thin(world), codes=["credit.thin"],
        reason_code="COMMERCIAL", reason="The buyer pays in advance from next week on.",
        max_value={"amount": Decimal(300_000), "currency": "INR"},
    )  # fmt: skip


LISTS = {
    "/api/v1/risk/assessments": ("INTERNAL", assessed),
    "/api/v1/risk/queue": ("INTERNAL", reviewed),
    "/api/v1/risk/overrides": ("INTERNAL", override),
    "/api/v1/risk/alerts": ("INTERNAL", alert),
    "/api/v1/risk/pair-blocks": ("INTERNAL", pair),
    "/api/v1/risk/hits": ("INTERNAL", hit),
    "/api/v1/risk/policies": ("INTERNAL", policy),
    "/api/v1/risk/lists": ("INTERNAL", snapshot),
}


def _id(row):
    return str(row.pk)


EXAMPLES = {
    "precheck": Example(staff, {}, lambda world: world.requirement()),
    "assess_requirement": Example(staff, {"requirement_id": lambda world, target: _id(world.requirement())}),
    "assess_availability": Example(staff, {"availability_id": lambda world, target: _id(world.offer())}),
    "assess_partner": Example(
        staff, {"partner_id": lambda world, target: _id(world.partner(roles=("seller",))), "side": "SELLER"}
    ),
    "assess_trade": Example(
        staff,
        {
            "requirement_id": lambda world, target: _id(world.requirement()),
            "availability_id": lambda world, target: _id(world.offer()),
            "quantity": {"value": "10", "unit": "BALE"},
            "price": Sample(
                {"amount": "53500", "currency": "INR", "pricing_unit_id": SAMPLE_ID},
                lambda world, target: {
                    "amount": "53500",
                    "currency": "INR",
                    "pricing_unit_id": _id(factories.offers.per_candy()),
                },
            ),
        },
    ),
    "request_override": Example(
        director,
        {
            "assessment_id": lambda world, target: _id(_thin(world)),
            "codes": ["credit.thin"],
            "max_value": {"amount": "300000.00", "currency": "INR"},
            "reason_code": "COMMERCIAL",
            "reason": "The buyer pays in advance from next week on.",
        },
    ),
}
