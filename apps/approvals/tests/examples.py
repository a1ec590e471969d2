"""One successful request for each endpoint of the approvals module."""

from apps.approvals import services
from apps.approvals.tests.kinds import RULE
from erp.access import SYSTEM
from erp.api.examples import Example


def make_request(world, kind=RULE, **fields):
    """An approval request of an internal user."""
    return services.request(
        actor=SYSTEM,
        **{
            "kind": kind,
            "maker": world.user("INTERNAL"),
            "subject_id": world.user("SELLER").pk,
            "subject_version": 3,
            "reason": "The present figure is out of date.",
            "diff": [("percentage", "5.00", "6.50")],
            **fields,
        },
    )


def decider(world, target):
    return world.user("INTERNAL_COMPLIANCE")


EXAMPLES = {
    "approve": Example(decider, {"subject_version": 3, "note": "Seen."}, make_request),
    "reject": Example(
        decider,
        {
            "subject_version": 3,
            "reason_code": "not_justified",
            "note": "The figure of last year still holds.",
        },
        make_request,
    ),
}

LISTS = {"/api/v1/approvals": ("INTERNAL_COMPLIANCE", lambda world, viewer: make_request(world))}
