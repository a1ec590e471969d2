"""Pages, searches and sign-in cost the same with ten thousand users as with ten."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts import staff_site
from apps.accounts.models import CapabilityChange, CapabilityGrant, RoleMembership, User
from config.testing import PASSWORD
from erp.admin import navigation
from erp.ids import uuid7
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db
MANY = 10_000
MOST_QUERIES = 25


def crowd(number: int, grants: int) -> User:
    """Create buyers, the first ones with a grant; return the one to search for."""
    with unguarded_writes():
        people = User.objects.bulk_create(
            [
                User(
                    email=f"person{n}@crowd.example",
                    full_name=f"Person {n:05d}",
                    user_type="EXTERNAL",
                    partner_id=uuid4(),
                    status="active",
                    password="!",
                )
                for n in range(number)
            ]
        )
        buyer = Group.objects.get(name="BUYER")
        RoleMembership.objects.bulk_create([RoleMembership(user=person, role=buyer) for person in people])
        changes = CapabilityChange.objects.bulk_create(
            [
                CapabilityChange(
                    kind="single_grant",
                    user=person,
                    capability="availability.view_all",
                    operation="add",
                    reason="Helps out this season.",
                    base_version=1,
                    status="applied",
                    proposed_by=people[0],
                )
                for person in people[:grants]
            ]
        )
        CapabilityGrant.objects.bulk_create(
            [
                CapabilityGrant(
                    id=uuid7(),
                    user=change.user,
                    capability=change.capability,
                    expires_at=timezone.now() + timedelta(days=30),
                    reason=change.reason,
                    change=change,
                )
                for change in changes
            ]
        )
    return people[grants - 1]


@pytest.mark.slow
def test_pages_on_people_and_grants_cost_the_same_for_ten_thousand(user, staff_client_for, monkeypatch):
    # On a busy machine a page may be the first after these seconds, and count more.
    monkeypatch.setattr(navigation, "BADGE_SECONDS", 3600)
    monkeypatch.setattr(staff_site, "SEEN_SECONDS", 3600)
    boss = user("INTERNAL_COMPLIANCE", full_name="Chief of Rights")
    staff = staff_client_for(boss)
    paths = [
        "/admin/account/user/",
        "/admin/account/user/?q=Person+00",
        "/admin/account/user/?groups__id__exact=1",
        "/admin/account/user/choose/?term=Person+0000",
        "/admin/account/capabilitygrant/",
        "/admin/account/capabilitygrant/?q=availability.view_all",
        "/admin/account/accesspolicy/who/availability.view_all/",
    ]

    def costs() -> dict[str, int]:
        found = {}
        for path in paths:
            staff.get(path)
            with CaptureQueriesContext(connection) as seen:
                assert staff.get(path).status_code == 200, path
            found[path] = len(seen)
        return found

    crowd(60, grants=55)  # more than a page of each
    few = costs()
    with unguarded_writes():
        CapabilityGrant.objects.all().delete()
        CapabilityChange.objects.all().delete()
        RoleMembership.objects.filter(user__email__endswith="@crowd.example").delete()
        User.objects.filter(email__endswith="@crowd.example").delete()
    last = crowd(MANY, grants=1_000)
    assert costs() == few
    assert max(few.values()) <= MOST_QUERIES
    found = staff.get(f"/admin/account/capabilitygrant/?q={last.email}").context["cl"].result_list
    assert [grant.user_id for grant in found] == [last.pk]


@pytest.mark.slow
def test_signing_in_makes_the_same_queries_among_ten_thousand_users(user, client_for):
    person = user("BUYER")
    body = {"email": person.email, "password": PASSWORD}

    def cost() -> int:
        with CaptureQueriesContext(connection) as seen:
            assert client_for(None).write("/api/v1/auth/login", body).status_code == 200
        return len(seen)

    cost()
    few = cost()
    crowd(MANY, grants=1_000)
    assert cost() == few
