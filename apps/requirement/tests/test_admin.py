"""Requirements in the staff portal: what staff see, decide and correct."""

from decimal import Decimal

import pytest

from apps.requirement.models import Requirement
from apps.requirement.services import decisions
from apps.requirement.tests.examples import suggest
from erp.access import SYSTEM

pytestmark = pytest.mark.django_db
URL = "/admin/requirement/requirement/"


@pytest.fixture
def manager(user):
    return user("INTERNAL_MANAGER")


@pytest.fixture
def client(manager, staff_client_for):
    return staff_client_for(manager)


@pytest.fixture
def pending(requirement, settings):
    settings.REQUIREMENT_APPROVAL_LIMIT = Decimal(1)
    return requirement()


def test_the_pages_show_bands_places_and_what_was_bought(client, requirement):
    row = suggest(requirement())
    page = client.get(f"{URL}{row.pk}/change/").content.decode()
    for text in ("Micronaire", "3.7", "4.5", "100 BALE", "2581407.12", "2000 km"):
        assert text in page, text
    for path in (URL, "/admin/requirement/fulfilment/", "/admin/requirement/suggestion/"):
        assert client.get(path).status_code == 200, path
    assert row.number in client.get(f"{URL}?q={row.number}").content.decode()


def test_a_manager_approves_on_the_page(client, pending):
    client.fill(f"{URL}{pending.pk}/run/approve/", note="The mill has the storage.")
    assert Requirement.objects.get(pk=pending.pk).status == "ACTIVE"


def test_staff_suspend_with_a_reason_and_reactivate(client, requirement):
    row = requirement()
    client.fill(f"{URL}{row.pk}/run/suspend/", reason="The buyer asked by telephone.")
    assert Requirement.objects.get(pk=row.pk).status == "SUSPENDED"
    client.fill(f"{URL}{row.pk}/run/reactivate/")
    assert Requirement.objects.get(pk=row.pk).status == "ACTIVE"
    assert decisions.expire(Requirement.objects.get(pk=row.pk), actor=SYSTEM).status == "ACTIVE"


def test_a_correction_shows_its_faults_and_then_moves_the_ledger(client, requirement):
    row = requirement()
    values = {"quantity": "200", "amount": "10", "currency": "INR", "reason": "Bought before this system."}
    page = client.fill(f"{URL}{row.pk}/run/fulfill/", **values)
    assert "105 BALE more" in page.content.decode()
    client.fill(f"{URL}{row.pk}/run/fulfill/", **{**values, "quantity": "20"})
    assert Requirement.objects.get(pk=row.pk).purchased_quantity == 20
