"""Who sees and changes which rows: everything, one's own, or what was granted, on every list and page alike."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import AnonymousUser, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse
from guardian.shortcuts import assign_perm

from apps.commodities.models.schedules import QualitySchedule
from apps.commodities.services import commodities as commodities_services
from apps.commodities.services import rules, schedules, varieties
from apps.locations.services import tree
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
def test_a_grant_on_one_row_opens_that_row_alone_in_the_portal(world, staff_client_for, make):
    granted, other = make(world), make(world)
    page = admin.site._registry.get(type(granted))
    views = page._views[0]
    person = without_roles(world.user("INTERNAL"))
    assign_perm(str(views), person, granted)
    staff = staff_client_for(person)
    name = f"admin:{granted._meta.app_label}_{granted._meta.model_name}"
    shown = staff.get(reverse(f"{name}_changelist"))
    assert shown.status_code == 200
    assert str(other.pk) not in shown.content.decode()
    assert staff.get(reverse(f"{name}_change", args=[other.pk])).status_code in (302, 403, 404)


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


def test_a_grant_on_one_commodity_does_not_allow_creating_another(world):
    person = without_roles(world.user("INTERNAL"))
    assign_perm("commodity.create", person, world.commodity())
    with pytest.raises(CapabilityMissing):
        commodities_services.create(
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
    variety = varieties.create_variety(actor=person, commodity=granted, code="S6", name="Shankar 6")
    assert access.may(person, "commodity.create", variety)
    with pytest.raises(CapabilityMissing):
        varieties.create_variety(actor=person, commodity=other, code="S6", name="Shankar 6")


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
    person._single_grants = frozenset({("availability.approve", "availability.availability", "no uuid")})
    assert access.granted_keys(person, "availability.approve", model) == []
    assert list(model.objects.permitted(person, "availability.approve")) == []


def test_a_grant_of_one_capability_is_none_of_another(world):
    offer = world.offer()
    person = holder(world, "availability.approve", offer)
    assert access.granted_keys(person, "availability.approve", type(offer)) == [offer.pk]
    assert access.granted_keys(person, "availability.view", type(offer)) == []
    assert access.granted_keys(person, "availability.approve", QualitySchedule) == []


@pytest.mark.parametrize("actor", [None, AnonymousUser()])
def test_an_actor_who_is_not_signed_in_holds_nothing(actor):
    assert not access.holds_everywhere(actor, "availability.approve")
    assert not access.holds_own(actor, "availability.approve")


def test_a_guarded_read_checks_its_first_argument(world):
    offer = world.offer()
    person = holder(world, "availability.approve", offer)

    @access.require_capability("availability.approve")
    def read(row, part, *, actor):
        return part

    assert read(offer, "price", actor=person) == "price"
    with pytest.raises(CapabilityMissing):
        read(world.offer(), "price", actor=person)


def test_a_user_holds_permissions_of_the_module_of_their_capability_only(world):
    person = holder(world, "availability.approve", world.offer())
    assert person.has_module_perms("availability")
    assert not person.has_module_perms("commodity")


@pytest.mark.parametrize("name", ["one", "one.two.three", "one.", ".two"])
def test_a_capability_is_named_label_and_verb(name):
    with pytest.raises(ImproperlyConfigured, match=r"label\.verb"):
        access.Capability(name, "", "Some label")


def test_a_sync_removes_obsolete_permissions_of_its_modules_if_asked(world):
    obsolete = Permission.objects.create(
        codename="obsolete", content_type=ContentType.objects.get_for_model(QualitySchedule)
    )
    drift = access.Drift("obsolete", "commodity.obsolete", "remove")
    assert drift in access.sync()
    assert Permission.objects.filter(pk=obsolete.pk).exists()
    assert drift in access.sync(prune=True)
    assert not Permission.objects.filter(pk=obsolete.pk).exists()


def holder(world: Any, capability: str, row: Any) -> Any:
    """Staff without a role, who hold one capability on one row."""
    person = without_roles(world.user("INTERNAL"))
    assign_perm(capability, person, row)
    return person


def test_a_question_about_a_row_takes_the_right_on_that_row(world, client_for):
    granted, other = world.commodity(), world.commodity()
    person = world.user("INTERNAL")
    assign_perm("commodity.manage_specifications", person, granted)
    client = client_for(person)
    answers = [
        client.write(f"/api/v1/commodities/{row.pk}/ai/suggest-parameters", {}) for row in (granted, other)
    ]
    assert [answer.status_code for answer in answers] == [200, 403]
    assert answers[1].json()["capability"] == "commodity.manage_specifications"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/commodities/ai/suggest-hsn", {"name": "Cotton"}),
        ("/api/v1/commodities/ai/detect-category", {"name": "Cotton"}),
    ],
)
def test_a_question_about_no_row_is_not_opened_by_a_grant_on_one(world, client_for, path, body):
    client = client_for(holder(world, "commodity.create", world.commodity()))
    assert client.write(path, body).status_code == 403
    assert client_for(world.user("INTERNAL_MASTERDATA")).write(path, body).status_code == 200


def test_an_export_holds_the_rows_that_the_right_reaches(world, client_for):
    granted, other = world.commodity(), world.commodity()
    varieties.create_variety(actor=access.SYSTEM, commodity=other, code="S6", name="Shankar 6")
    client = client_for(holder(world, "commodity.view", granted))
    for kind in ("COMMODITIES", "VARIETIES"):
        answer = client.read("/api/v1/commodities/bulk/export", {"kind": kind})
        table = b"".join(answer.streaming_content if answer.streaming else [answer.content]).decode()
        assert (granted.code in table, other.code in table) == (kind == "COMMODITIES", False)


@pytest.mark.parametrize("part", ["tax", "varieties", "grades", "quality-schedules", "pack-weights"])
def test_parts_of_a_commodity_take_the_right_on_that_commodity(world, client_for, part):
    granted, other = world.commodity(), world.commodity()
    client = client_for(holder(world, "commodity.view", granted))
    assert client.read(f"/api/v1/commodities/{other.pk}/{part}").status_code == 404
    assert client.read(f"/api/v1/commodities/{granted.pk}/{part}").status_code != 404 or part == "tax"


def test_a_grant_on_one_place_gives_no_distance_to_another_and_no_merge(world, client_for):
    here = {"latitude": Decimal("23.0225"), "longitude": Decimal("72.5714")}
    granted, also, other = world.place(**here), world.place(**here), world.place(**here)
    person = holder(world, "location.view", granted)
    assign_perm("location.view", person, also)
    client = client_for(person)
    asked = {"from": str(granted.pk), "to": str(also.pk)}
    assert client.read("/api/v1/locations/distance", asked).status_code == 200
    answer = client.read("/api/v1/locations/distance", {**asked, "to": str(other.pk)})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "does_not_exist")
    assert client.read(f"/api/v1/locations/{other.pk}/children").status_code == 404

    mover = holder(world, "location.manage_hierarchy", granted)
    with pytest.raises(CapabilityMissing):
        tree.merge(granted, actor=mover, into=other, reason="The same mandi.")
    assign_perm("location.manage_hierarchy", mover, other)
    mover = type(mover).objects.get(pk=mover.pk)
    assert tree.merge(granted, actor=mover, into=other, reason="The same mandi.") == other


def test_a_schedule_of_another_commodity_gets_no_next_version(world):
    granted, other = world.commodity(), world.commodity()
    terms: dict[str, Any] = {
        "code": "MOISTURE-1",
        "contract_form": "SPOT",
        "title": "Moisture",
        "mode": next(iter(QualitySchedule.Mode)),
        "lines": [],
        "source": "Circular 1",
        "valid_from": date(2026, 1, 1),
    }
    schedules.draft_quality_schedule(actor=access.SYSTEM, commodity=other, **terms)
    person = holder(world, "commodity.manage_specifications", granted)
    with pytest.raises(rules.OtherCommodity):
        schedules.draft_quality_schedule(actor=person, commodity=granted, **terms)


def test_a_right_on_one_user_opens_neither_the_matrix_nor_who_holds_what(world, staff_client_for):
    staff = staff_client_for(holder(world, "account.manage_capabilities", world.user("INTERNAL")))
    matrix = "/admin/account/accesspolicy/"
    assert staff.get(matrix).status_code == 403
    assert staff.get(f"{matrix}who/availability.create/").status_code == 403
    staff = staff_client_for(world.user("INTERNAL_COMPLIANCE"))
    assert staff.get(matrix).status_code == 200


def test_users_with_access_to_a_row_are_listed_to_those_who_see_it(world, staff_client_for):
    ours, others = world.organization("Our House"), world.organization("Other House")
    staff = staff_client_for(world.user("INTERNAL_COMPLIANCE", organization_id=ours.pk))
    path = "/admin/account/accesspolicy/who/organization.update/"
    for row, seen in ((ours, True), (others, False)):
        page = staff.get(path, {"type": "organization.Organization", "id": str(row.pk)}).content.decode()
        assert (row.name in page, "There is no record with this ID." in page) == (seen, not seen)
    for kind in ("account.TotpDevice", "auth.Group", "sessions.Session"):
        assert (
            "There is no record with this ID." in staff.get(path, {"type": kind, "id": "1"}).content.decode()
        )


def test_people_of_a_partner_see_what_was_granted_to_them_beside_their_own(world, client_for):
    own, granted, other = world.partner(), world.partner(), world.partner()
    person = world.user("SELLER", of=own)
    assign_perm("partner.view", person, granted)
    client = client_for(person)
    assert ids_of(client.read("/api/v1/partners")) == {str(own.pk), str(granted.pk)}
    assert client.read(f"/api/v1/partners/{other.pk}").status_code == 404


def test_an_applicant_sees_the_offer_that_was_granted_alone(world, client_for):
    granted, other = world.offer(), world.offer()
    person = world.user("APPLICANT")
    assign_perm("availability.view", person, granted)
    client = client_for(person)
    assert ids_of(client.read("/api/v1/availabilities")) == {str(granted.pk)}
    assert client.read(f"/api/v1/availabilities/{other.pk}").status_code == 404
