"""Who sees and changes which rows: everything, one's own, or what was granted, on every list and page alike."""

from typing import Any

import pytest
from django.contrib import admin
from django.urls import reverse
from guardian.shortcuts import assign_perm

from apps.commodities import services as commodities
from apps.notifications.models import Message
from config.tests.test_contract import routes
from erp import access
from erp.access import CapabilityMissing
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db

MODELS = {
    "partner": lambda world: world.partner(),
    "commodity": lambda world: world.commodity(),
    "offer": lambda world: world.offer(),
    "organization": lambda world: world.organization(),
    "place": lambda world: world.place(),
    "user": lambda world: world.user("INTERNAL"),
    "job": lambda world: world.job(),
}
each_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


def without_roles(person: Any) -> Any:
    """The person once more, holding nothing."""
    with unguarded_writes():
        person.memberships.all().delete()
    return type(person).objects.get(pk=person.pk)


def list_of(model: Any) -> tuple[str, Any]:
    """Path and viewset of the model's list."""
    return next(
        (path, view.cls)
        for path, view in routes()
        if getattr(getattr(view, "cls", None), "queryset", None) is not None
        and view.cls.queryset.model is model
        and view.actions.get("get") == "list"
        and "<" not in path
    )


def ids_of(answer: Any) -> set[str]:
    assert answer.status_code == 200, answer.content
    return {row["id"] for row in answer.json()["results"]}


@pytest.mark.parametrize("make", [make for name, make in MODELS.items() if name != "user"])
def test_a_grant_on_one_row_opens_that_row_alone(world, client_for, make):
    granted, other = make(world), make(world)
    path, viewset = list_of(type(granted))
    person = without_roles(world.user("INTERNAL"))
    assign_perm(str(viewset.reads), person, granted)
    client = client_for(person)
    assert ids_of(client.read(path)) <= {str(granted.pk)}
    assert client.read(f"{path}/{other.pk}").status_code == 404


@each_model
def test_a_grant_on_one_row_opens_that_row_alone_in_the_portal(world, desk_for, make):
    granted, other = make(world), make(world)
    page = admin.site._registry.get(type(granted))
    views = page._views[0]
    person = without_roles(world.user("INTERNAL"))
    assign_perm(str(views), person, granted)
    desk = desk_for(person)
    name = f"admin:{granted._meta.app_label}_{granted._meta.model_name}"
    shown = desk.get(reverse(f"{name}_changelist"))
    assert shown.status_code == 200
    assert str(other.pk) not in shown.content.decode()
    assert desk.get(reverse(f"{name}_change", args=[other.pk])).status_code in (302, 403, 404)


@pytest.mark.parametrize("role", ["APPLICANT", "SELLER", "BUYER", "PARTNER_ADMIN"])
def test_partners_are_seen_by_their_own_people_only(world, client_for, role):
    firm, rival = world.partner("Aarav Cotton"), world.partner("Rival Cotton")
    client = client_for(world.user(role) if role == "APPLICANT" else world.user(role, of=firm))
    own = set() if role == "APPLICANT" else {str(firm.pk)}
    assert ids_of(client.read("/api/v1/partners")) == own
    assert ids_of(client.read("/api/v1/partners", {"search": "Rival"})) == set()
    assert client.read(f"/api/v1/partners/{rival.pk}").status_code == 404


def message_to(person: Any) -> Message:
    with unguarded_writes():
        message = Message(
            user=person,
            code="x",
            channel="mail",
            category="service",
            event_id=person.pk,
            dedupe_key=str(person.pk),
        )
        message.save()
    return message


def test_a_grant_on_one_message_opens_no_other(world, client_for):
    person = without_roles(world.user("INTERNAL"))
    granted, other = message_to(world.user("SELLER")), message_to(world.user("BUYER"))
    assign_perm("notification.manage", person, granted)
    assert set(Message.objects.seen_by_staff(person)) == {granted}
    assert other not in Message.objects.visible_to(person)


def test_a_grant_on_one_commodity_lets_nobody_make_another(world):
    person = without_roles(world.user("INTERNAL"))
    assign_perm("commodity.create", person, world.commodity())
    with pytest.raises(CapabilityMissing):
        commodities.create(
            actor=person,
            code="PLANTED",
            name="Planted",
            category="FIBRE",
            quantity_mode="WEIGHT",
            trade_unit="KG",
        )


def test_a_grant_on_one_commodity_covers_its_own_parts_only(world):
    person = without_roles(world.user("INTERNAL"))
    granted, other = world.commodity(), world.commodity()
    assign_perm("commodity.create", person, granted)
    variety = commodities.create_variety(actor=person, commodity=granted, code="S6", name="Shankar 6")
    assert access.may(person, "commodity.create", variety)
    with pytest.raises(CapabilityMissing):
        commodities.create_variety(actor=person, commodity=other, code="S6", name="Shankar 6")


def test_the_three_questions_differ(world):
    person = without_roles(world.user("INTERNAL"))
    granted, other = world.offer(), world.offer()
    assign_perm("availability.approve", person, granted)
    assert access.may_enter(person, "availability.approve")
    assert not access.holds_everywhere(person, "availability.approve")
    assert not access.may_create(person, "availability.approve")
    assert access.may(person, "availability.approve", granted)
    assert not access.may(person, "availability.approve", other)
    assert not person.has_perm("availability.approve"), "Django's question without a row means every row"
    assert set(type(granted).objects.permitted(person, "availability.approve")) == {granted}


def test_a_grant_whose_key_is_no_key_of_the_model_opens_nothing(world):
    person, model = without_roles(world.user("INTERNAL")), type(world.offer())
    person._erp_grants = frozenset({("availability.approve", "availability.availability", "no uuid")})
    assert access.granted_keys(person, "availability.approve", model) == []
    assert list(model.objects.permitted(person, "availability.approve")) == []
