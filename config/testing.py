"""A pytest plugin: fixtures for users, partners and commodities that tests of every module need."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from erp import clock
from erp.text import name_key

PASSWORD = "a long enough passphrase"  # noqa: S105 - of people who exist only in tests
TOTP_SEED = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"  # of their authenticators
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or ""


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """One Chromium for every browser test: Playwright runs once in a process."""
    from playwright.sync_api import sync_playwright

    # Playwright runs an event loop of its own on this thread; Django's guard would take us for async code.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"],
        )
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def partner(db: None) -> Callable[..., Any]:
    """Make a partner that may do business, as onboarding would leave one."""
    from apps.partners.tests.factories import ready_partner

    return ready_partner


@pytest.fixture
def user(db: None, partner: Callable[..., Any]) -> Callable[..., Any]:
    """Make an active user that holds the roles: staff for the company's roles, with a second factor whose secret
    is ``TOTP_SEED``; an applicant; a partner's user otherwise. Without roles: a super administrator."""
    from apps.accounts.models import User

    def make(*roles: str, of: Any = None, **fields: Any) -> Any:
        if roles and roles[0].startswith("INTERNAL") and roles[0] != "INTERNAL":
            roles = ("INTERNAL", *roles)
        if not roles:
            fields |= {"user_type": User.Type.SUPER_ADMIN, "is_superuser": True}
        elif roles[0] in ("INTERNAL", "AUDITOR"):
            fields = {"user_type": User.Type.INTERNAL, "organization_id": uuid4(), **fields}
        elif roles[0] == "APPLICANT":
            fields |= {"user_type": User.Type.APPLICANT}
        else:
            fields |= {"user_type": User.Type.EXTERNAL, "partner_id": (of or partner()).pk}
        return active_user(*roles, **fields)

    return make


def active_user(*roles: str, password: str | None = PASSWORD, factor: bool = True, **fields: Any) -> Any:
    """An active user as signing up and setting up would leave one; ``factor=False``: staff without a second one."""
    from django.contrib.auth.models import Group

    from apps.accounts.models import PasswordHistory, RoleMembership, TotpDevice, User
    from erp.encryption import encrypt
    from erp.models import unguarded_writes

    now = clock.now()
    values = {
        "email": f"{uuid4().hex[:12]}@example.com",
        "full_name": "Test Person",
        "status": User.Status.ACTIVE,
        "email_verified_at": now,
        **fields,
    }
    with unguarded_writes():
        person = User(**values)
        person.set_password(password)
        person.save()
        if password is not None:
            PasswordHistory(user=person, hash=person.password).save()
        groups = {group.name: group for group in Group.objects.filter(name__in=roles)}
        RoleMembership.objects.bulk_create([RoleMembership(user=person, role=groups[role]) for role in roles])
        if person.is_staff and factor:
            secret = encrypt(TOTP_SEED, context=f"account.totp_device.secret:{person.pk}")
            TotpDevice(user=person, secret=secret, confirmed_at=now).save()
    return User.objects.get(pk=person.pk)


def totp_code(*, seed: str = TOTP_SEED, steps: int = 0) -> str:
    """What an authenticator with the secret shows now, or some steps of 30 seconds from now."""
    import pyotp

    return pyotp.TOTP(seed).at(int(time.time()), counter_offset=steps)


def begin_session(user: Any, door: str = "api") -> Any:
    """A live session of the user, as signing in would leave one."""
    from apps.accounts.models import Session
    from erp.models import unguarded_writes

    now = clock.now()
    later = now + timedelta(hours=12)
    session = Session(
        user=user,
        door=door,
        method="password",
        second_factor="totp" if user.has_second_factor else "none",
        ip="127.0.0.1",
        refreshed_at=now,
        expires_at=later,
        absolute_expires_at=later,
    )
    with unguarded_writes():
        session.save()
    return session


@pytest.fixture
def commodity(db: None) -> Callable[..., Any]:
    """Make a commodity, counted in bales and weighed in kg; active unless ``active=False``."""
    from apps.commodities.models.commodities import Commodity
    from apps.commodities.services import commodities as services
    from erp.access import SYSTEM
    from erp.models import unguarded_writes

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
            with unguarded_writes():
                Commodity.objects.filter(pk=made.pk).update(status="ACTIVE")
            values_now = {"description": "On the market.", **values}
            made = services.update(made, actor=SYSTEM, **values_now, status="ACTIVE")
        return made

    return make


def make_ready(commodity: Any) -> Any:
    """What a commodity needs to be traded: a parameter to test, its code confirmed. Returns a unit of prices."""
    from apps.commodities.models.parameters import QualityParameter
    from apps.commodities.models.pricing import PricingUnit
    from apps.commodities.models.tax import HsnMapping
    from apps.commodities.models.units import Unit
    from erp.models import unguarded_writes

    with unguarded_writes():
        QualityParameter(
            commodity=commodity,
            code="moisture",
            name="Moisture",
            name_key="moisture",
            data_type="DECIMAL",
            unit="%",
            methods=["OVEN"],
            default_method="OVEN",
            precision=1,
            direction="LOWER",
            is_mandatory=True,
        ).save()
        if commodity.hsn_code is not None:
            HsnMapping(
                name=commodity.name,
                name_key=name_key(commodity.name),
                hsn_code=commodity.hsn_code,
                confirmed_at=clock.now(),
            ).save()
        unit, _ = Unit.objects.get_or_create(
            code="QTL", defaults={"dimension": "MASS", "symbol": "q", "name": "Quintal"}
        )
        price, _ = PricingUnit.objects.get_or_create(
            code="INR/QTL", defaults={"currency": "INR", "unit": unit, "places": 2}
        )
    return price


@pytest.fixture
def offer(db: None, user: Callable[..., Any], commodity: Callable[..., Any]) -> Callable[..., Any]:
    """Make an offer of 100 bales, live unless ``live=False``. ``seller``: the user that posts it."""
    from apps.availability.services import decisions, offers
    from apps.availability.tests.factories import content

    def make(*, seller: Any = None, live: bool = True, quantity: int = 100, **fields: Any) -> Any:
        outside = {name: fields.pop(name) for name in ("unit", "seller_partner", "copy_of") if name in fields}
        posted = offers.post(
            actor=seller or user("SELLER"),
            commodity=fields.pop("commodity", None) or commodity(),
            submit=fields.pop("submit", live),
            content=content(quantity, **fields),
            **outside,
        )
        return decisions.approve(posted, actor=user("INTERNAL_MANAGER")) if live else posted

    return make


@pytest.fixture
def requirement(db: None, user: Callable[..., Any], commodity: Callable[..., Any]) -> Callable[..., Any]:
    """Make a requirement of 100 bales, live unless ``live=False``. ``buyer``: the user that creates it."""
    from apps.requirement.services import requirements
    from apps.requirement.tests.factories import content, cotton

    def make(*, buyer: Any = None, live: bool = True, goods: Any = None, **fields: Any) -> Any:
        goods = goods or cotton(commodity)
        return requirements.create(
            actor=buyer or user("BUYER"), commodity=goods, content=content(**fields), publish=live
        )

    return make


@pytest.fixture
def client_for(db: None) -> Callable[..., Any]:
    """An API client with a session of the user and an access token of it; anonymous without one."""
    return signed_in_client


def signed_in_client(user: Any = None) -> Any:
    """An API client with a session of the user and an access token of it; anonymous without one."""
    from apps.accounts import tokens
    from erp.api.testing import ApiClient
    from erp.ids import uuid7

    client = ApiClient()
    if user is not None:
        session, now = begin_session(user), clock.now()
        claims = tokens.Claims(user.pk, session.pk, uuid7())
        client.bearer = tokens.encode("access", claims, issued=now, expires=now + timedelta(hours=1))
        client.session_id = session.pk
    return client


@pytest.fixture
def organization(db: None) -> Callable[..., Any]:
    """Make an organization, a partnership in Maharashtra by default."""
    from apps.organization.services import identity
    from apps.organization.tests.factories import pan
    from erp.access import SYSTEM

    def make(name: str = "", **fields: Any) -> Any:
        return identity.create(
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
def state(db: None) -> Callable[[str], Any]:
    """Find the place that stands for a state of India; all of them are loaded."""
    from apps.locations.models import Location
    from apps.locations.services import reference
    from erp.access import SYSTEM

    reference.load_states(actor=SYSTEM)
    return lambda code: Location.objects.get(type="STATE", state=code)


@pytest.fixture
def place(state: Callable[[str], Any]) -> Callable[..., Any]:
    """Make a place, a mandi in Gujarat unless told otherwise."""
    from apps.locations.services import places
    from erp.access import SYSTEM

    def make(name: str = "", **fields: Any) -> Any:
        parent = fields.get("parent")
        return places.create(
            actor=SYSTEM,
            **{
                "name": name or f"Place {uuid4().hex[:8]}",
                "type": "MANDI",
                **({} if parent or "country" in fields else {"state": "24"}),
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


class World:
    """All factories in one hand: each is set up once it is needed."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        """Take factories from the test's fixtures."""
        self._request = request

    def __getattr__(self, name: str) -> Any:
        """The factory with that name."""
        return self._request.getfixturevalue(name)


@pytest.fixture
def world(request: pytest.FixtureRequest, db: None) -> World:
    """All factories, for examples, which are loaded with it."""
    from erp.api import examples

    examples.load()
    return World(request)


@pytest.fixture
def staff_client_for(db: None) -> Callable[..., Any]:
    """The admin as a member of staff sees it, signed in; ``reauthenticated``: with a fresh proof."""
    from apps.accounts.staff_site import SESSION
    from erp.admin.testing import StaffClient
    from erp.models import unguarded_writes

    def make(user: Any, *, reauthenticated: bool = True) -> Any:
        staff = StaffClient()
        staff.force_login(user)
        session = begin_session(user, door="admin")
        if reauthenticated:
            session.reauthenticated_at = clock.now()
            with unguarded_writes():
                session.save()
        store = staff.session
        store[SESSION], store["seen"] = str(session.pk), int(time.time())
        store.set_expiry(30 * 60)
        store.save()
        return staff

    return make
