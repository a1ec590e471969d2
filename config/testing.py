"""A pytest plugin: people, partners and goods that tests of every module need."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

PASSWORD = "a long enough passphrase"  # noqa: S105 - of people who exist only in tests


@pytest.fixture
def partner(db: None) -> Callable[..., Any]:
    """Make a partner."""
    from apps.partners import services
    from erp.access import SYSTEM

    def make(name: str = "", **fields: Any) -> Any:
        return services.register(
            actor=SYSTEM,
            **{"legal_name": name or f"Firm {uuid4().hex[:8]}", "legal_form": "partnership", **fields},
        )

    return make


@pytest.fixture
def user(db: None, partner: Callable[..., Any]) -> Callable[..., Any]:
    """Make a user that holds the roles: staff for the house's roles, a partner's user otherwise."""
    from apps.accounts import services
    from erp.access import SYSTEM

    def make(*roles: str, of: Any = None, **fields: Any) -> Any:
        house = not roles or roles[0].startswith("INTERNAL") or roles[0] == "AUDITOR"
        if house and roles and roles[0] not in ("INTERNAL", "AUDITOR"):
            roles = ("INTERNAL", *roles)
        kind = "SUPER_ADMIN" if not roles else "INTERNAL" if house else "EXTERNAL"
        owner = {
            "SUPER_ADMIN": {},
            "INTERNAL": {"organization_id": fields.pop("organization_id", uuid4())},
            "EXTERNAL": {},
        }[kind]
        if kind == "EXTERNAL":
            owner = {"partner_id": (of or partner()).pk}
        return services.add_user(
            actor=SYSTEM,
            **{
                "email": f"{uuid4().hex[:12]}@example.com",
                "full_name": "Test Person",
                "password": PASSWORD,
                "user_type": kind,
                "roles": list(roles),
                **owner,
                **fields,
            },
        )

    return make


@pytest.fixture
def commodity(db: None) -> Callable[..., Any]:
    """Make an active commodity, counted in bales and weighed in kg."""
    from apps.commodities import services
    from erp.access import SYSTEM

    def make(*, active: bool = True, **fields: Any) -> Any:
        number = uuid4().hex[:8].upper()
        values: dict[str, Any] = {
            "code": f"COTTON-{number}",
            "name": f"Cotton {number}",
            "category": "FIBRE",
            "quantity_mode": "COUNT_AND_WEIGHT",
            "package_unit": "BALE",
            "trade_unit": "BALE",
            "hsn_code": "5201",
            **fields,
        }
        made = services.create(actor=SYSTEM, **values)
        if active:
            values.pop("code")
            made = services.update(made, actor=SYSTEM, **values, status="ACTIVE")
        return made

    return make


@pytest.fixture
def offer(db: None, user: Callable[..., Any], commodity: Callable[..., Any]) -> Callable[..., Any]:
    """Make an offer of 100 bales, live unless told otherwise. ``seller``: the user that posts it."""
    from apps.availability import services

    def make(*, seller: Any = None, live: bool = True, quantity: int = 100, **fields: Any) -> Any:
        today = timezone.localdate()
        posted = services.post(
            actor=seller or user("SELLER"),
            **{
                "commodity": fields.pop("commodity", None) or commodity(),
                "total_quantity": Decimal(quantity),
                "total_weight_kg": Decimal(quantity * 170),
                "place": {"address": "Gondal", "country": "IN", "state_code": "GJ"},
                "available_from_date": today,
                "available_until_date": today + timedelta(days=30),
                "submit": live,
                **fields,
            },
        )
        return services.approve(posted, actor=user("INTERNAL_MANAGER")) if live else posted

    return make


@pytest.fixture
def client_for(db: None) -> Callable[..., Any]:
    """An API client that is signed in as the user, by real tokens; anonymous without one."""
    from erp.api.testing import ApiClient

    def make(user: Any = None) -> Any:
        client = ApiClient()
        if user is not None:
            client.sign_in(user.email, PASSWORD)
        return client

    return make


@pytest.fixture
def organization(db: None) -> Callable[..., Any]:
    """Make an organization, a partnership in Maharashtra unless told otherwise."""
    from apps.organization import services
    from apps.organization.tests.factories import pan
    from erp.access import SYSTEM

    def make(name: str = "", **fields: Any) -> Any:
        return services.create(
            actor=SYSTEM,
            **{
                "name": name or f"House {uuid4().hex[:8]}",
                "legal_name": "Cotton House",
                "legal_form": "partnership",
                "pan": pan(),
                "line1": "Kalbadevi Road",
                "city": "Mumbai",
                "state_code": "27",
                "pin_code": "400002",
                **fields,
            },
        )

    return make


@pytest.fixture
def job(db: None, user: Callable[..., Any]) -> Callable[..., Any]:
    """Make a job that waits for a worker."""
    from config.tests.jobs_support import EnterFirms
    from erp.jobs import services

    def make(*, owner: Any = None) -> Any:
        return services.queue(
            actor=owner or user("INTERNAL"), kind=EnterFirms.name, total=1, content=b'["One"]'
        )

    return make


@pytest.fixture
def world(
    user: Any, partner: Any, commodity: Any, offer: Any, organization: Any, job: Any
) -> SimpleNamespace:
    """All factories in one hand, for examples."""
    return SimpleNamespace(
        user=user, partner=partner, commodity=commodity, offer=offer, organization=organization, job=job
    )


@pytest.fixture
def desk_for(db: None) -> Callable[..., Any]:
    """The admin as a member of staff sees it, signed in by the form."""
    from erp.admin.testing import Desk

    def make(user: Any) -> Any:
        desk = Desk()
        assert desk.sign_in(user.email, PASSWORD).status_code == 302
        return desk

    return make
