"""A row has one address, whichever viewset shows it."""

import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.urls import get_resolver

from apps.availability.models import Reservation
from apps.commodities.models.varieties import Variety
from apps.locations.models import Location
from apps.organization.models import AllocatedNumber, BankAccount
from erp import services
from erp.api.endpoints import Empty, endpoint
from erp.api.routers import address_of
from erp.ids import uuid7


def test_rows_are_addressed_at_the_route_of_their_model() -> None:
    get_resolver().url_patterns  # noqa: B018 - loads the routes
    key, whole = uuid7(), uuid7()
    assert address_of(Variety(pk=key)) == f"/api/v1/varieties/{key}"
    assert address_of(Location(pk=key)) == f"/api/v1/locations/{key}"
    assert address_of(Reservation(pk=key)) == f"/api/v1/availabilities/reservations/{key}"
    base = f"/api/v1/organizations/{whole}"
    assert address_of(BankAccount(pk=key, organization_id=whole)) == f"{base}/bank-accounts/{key}"
    assert address_of(AllocatedNumber(pk=key, organization_id=whole)) == f"{base}/document-numbers/{key}"


def test_an_endpoint_names_what_it_takes_from_the_request() -> None:
    log_out = services.registry["account.log_out"]
    bound = endpoint(log_out, Empty, context={"origin": lambda request: None})
    with pytest.raises(ImproperlyConfigured, match="differ"):
        bound.bind("log_out")
    confirm = services.registry["account.confirm_mfa"]
    with pytest.raises(ImproperlyConfigured, match="differ"):
        endpoint(confirm, Empty).bind("confirm")


@pytest.mark.slow
def test_a_process_that_serves_requests_imports_no_tests() -> None:
    script = (
        "import sys, config.wsgi\n"
        "from django.urls import get_resolver\n"
        "get_resolver().url_patterns\n"
        "print([name for name in sys.modules if name.startswith(('erp.', 'apps.')) and '.tests' in name])\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)  # noqa: S603
    assert done.stdout.splitlines()[-1] == "[]"
