"""One successful request per endpoint of the organization module."""

from datetime import date, timedelta

from apps.approvals import services as approvals
from apps.approvals.models import ApprovalRequest
from apps.organization.models import Organization
from apps.organization.tests import factories
from erp import clock
from erp.api.examples import SAMPLE_ID, Example, Sample

PART = {"pk": lambda world, part: part.organization_id, "child_id": lambda world, part: part.pk}
IDENTITY = {
    "name": "Demo Cotton Exchange",
    "legal_name": "Demo Cotton Exchange Pvt Ltd",
    "legal_form": "private_limited",
    "pan": "ZZZCD5005E",
    "cin": "U51909MH2015PTC999001",
    "line1": "Cotton Exchange Building, Kalbadevi Road",
    "city": "Mumbai",
    "state_code": "27",
    "pin_code": "400002",
    "email": "office@demo.example",
    "phone": "+912227654321",
}
PLACE = {"line1": "Cotton Green", "city": "Mumbai", "state_code": "27", "pin_code": "400033"}


def finance(world, target):
    """Return a user who manages years, series and accounts of the organization."""
    owner = target if isinstance(target, Organization) else getattr(target, "organization", None)
    return world.user("INTERNAL_FINANCE", **({"organization_id": owner.pk} if owner else {}))


def director(world, target):
    return world.user("INTERNAL_DIRECTOR")


def organization(world):
    return world.organization()


def registration(world):
    return factories.registration(world.organization())


def active_account(world):
    """Return an approved account."""
    account = factories.account(world.organization(), by=world.user("INTERNAL_DIRECTOR"))
    request = ApprovalRequest.objects.get(pk=account.approval_id)
    decider = world.user("INTERNAL_FINANCE", organization_id=account.organization_id)
    approvals.approve(request, actor=decider, subject_version=request.subject_version)
    account.refresh_from_db()
    return account


def past_year(world):
    """Return a year that has ended."""
    start, _ = factories.year_of(clock.today())
    return factories.year(world.organization(), start.replace(year=start.year - 1))


def with_year(world):
    made = world.organization()
    factories.year(made)
    return made


def series(world):
    return factories.series(with_year(world))


def with_series(world):
    return series(world).organization


EXAMPLES = {
    "create": Example(director, IDENTITY),
    "update": Example(
        finance,
        {
            **IDENTITY,
            "name": "Demo Cotton House",
            "legal_form": "partnership",
            "pan": Sample("ZZZFD5005E", lambda world, target: target.pan),
            "status": "active",
        }
        | {"cin": None},
        organization,
    ),
    "add_gst_registration": Example(
        finance,
        {
            "gstin": Sample("27ZZZCD5005E1ZF", lambda world, target: factories.gstin(target)),
            **PLACE,
            "branch_code": "MUM",
            "valid_from": "2024-04-01",
        },
        organization,
    ),
    "update_gst_registration": Example(
        finance,
        {
            **PLACE,
            "trade_name": "Demo Cotton",
            "branch_code": "MUM",
            "is_primary": True,
            "valid_from": "2024-04-01",
            "status": "active",
        },
        registration,
        PART,
    ),
    "add_bank_account": Example(
        finance,
        {
            "holder": "Demo Cotton Exchange Pvt Ltd",
            "bank_name": "Zeta Bank",
            "branch_name": "Kalbadevi",
            "number": "50100234567891",
            "number_again": "5010 0234 5678 91",
            "ifsc": "ZZZB0000001",
            "account_type": "current",
            "is_default": True,
        },
        organization,
    ),
    "update_bank_account": Example(
        finance,
        {"branch_name": "Fort", "purpose": "collections", "is_default": True, "status": "active"},
        active_account,
        PART,
    ),
    "add_financial_year": Example(
        finance, {"start_date": "2026-04-01", "end_date": "2027-03-31"}, organization
    ),
    "update_financial_year": Example(
        finance,
        {
            "start_date": Sample("2025-04-01", lambda world, target: target.start_date.isoformat()),
            "end_date": Sample("2026-03-31", lambda world, target: target.end_date.isoformat()),
            "status": "soft_closed",
        },
        past_year,
        PART,
    ),
    "add_document_series": Example(
        finance,
        {
            "financial_year_id": lambda world, target: str(target.financial_years.get().pk),
            "document_type": "trade",
            "template": "TRD-{FY}-{N:6}",
            "start_number": 1,
        },
        with_year,
    ),
    "update_document_series": Example(
        finance,
        {
            "prefix": "MUM",
            "template": "{PREFIX}/{FY}/{N:5}",
            "start_number": 100,
            "date_ordered": True,
            "status": "active",
        },
        series,
        PART,
    ),
    "allocate_number": Example(
        finance,
        {
            "document_date": Sample("2026-01-12", lambda world, target: clock.today().isoformat()),
            "reference_type": "paper",
            "reference_id": SAMPLE_ID,
        },
        with_series,
        {"type": "trade"},
    ),
}


def company(world):
    """Return the organization whose parts a test lists."""
    return Organization.objects.order_by("created_at").first() or world.organization()


def add_registration(world, viewer):
    owner = company(world)
    entity = "123456789ABCDEF"[owner.gst_registrations.count()]
    factories.registration(owner, entity)


def add_account(world, viewer):
    factories.account(company(world), by=world.user("INTERNAL_FINANCE"))


def add_year(world, viewer):
    owner = company(world)
    last = owner.financial_years.order_by("end_date").last()
    start = last.end_date + timedelta(days=1) if last else date(2020, 4, 1)
    factories.year(owner, start, copy_series=False)


def add_series(world, viewer):
    owner = company(world)
    add_year(world, viewer)
    factories.series(owner)


def add_number(world, viewer):
    owner = company(world)
    if not owner.document_series.exists():
        factories.year(owner)
        factories.series(owner)
    factories.number(owner)


_PARTS = "/api/v1/organizations/<uuid:pk>/"
LISTS = {
    "/api/v1/organizations": ("INTERNAL_DIRECTOR", lambda world, viewer: world.organization()),
    f"{_PARTS}gst-registrations": ("INTERNAL_DIRECTOR", add_registration),
    f"{_PARTS}bank-accounts": ("INTERNAL_DIRECTOR", add_account),
    f"{_PARTS}financial-years": ("INTERNAL_DIRECTOR", add_year),
    f"{_PARTS}document-series": ("INTERNAL_DIRECTOR", add_series),
    f"{_PARTS}document-numbers": ("INTERNAL_DIRECTOR", add_number),
}
WHOLES = {_PARTS: company}
