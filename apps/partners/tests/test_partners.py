"""Partners are registered by staff and visible to their own users."""

import pytest

from apps.partners import services
from apps.partners.serializers import RegisterInput
from erp.errors import CapabilityMissing

pytestmark = pytest.mark.django_db
PATH = "/api/v1/partners"


def test_staff_register_a_firm_and_its_event_carries_no_name(user, emitted):
    firm = services.register(
        actor=user("INTERNAL"), legal_name="Kovai Spinners", legal_form="private_limited"
    )
    event = emitted("partner.registered", aggregate_id=firm.pk)[0]
    assert event.payload == {
        "partner_id": str(firm.pk),
        "legal_form": "private_limited",
        "country": "IN",
        "status": "active",
    }


def test_a_partners_own_administrator_cannot_register_firms(user):
    with pytest.raises(services.StaffOnly):
        services.register(actor=user("PARTNER_ADMIN"), legal_name="Another", legal_form="trust")
    with pytest.raises(CapabilityMissing):
        services.register(actor=user("AUDITOR"), legal_name="Another", legal_form="trust")


def test_a_user_sees_only_its_own_partner(user, partner, client_for):
    other = partner()
    buyer = user("BUYER")
    client = client_for(buyer)
    assert [row["id"] for row in client.read(PATH).json()["results"]] == [str(buyer.partner_id)]
    assert client.read(f"{PATH}/{other.pk}").status_code == 404
    assert client_for(user("AUDITOR")).read(f"{PATH}/{other.pk}").status_code == 200


@pytest.mark.parametrize("field", ["legal_name", "trade_name"])
def test_a_partners_name_cannot_be_a_web_address(field):
    for name in ("Kapas at www.kapas.example", "kapas.in", "http://kapas.example"):
        form = RegisterInput(data={field: name})
        assert not form.is_valid()
        assert [error.code for error in form.errors[field]] == ["web_address"]
