"""Places: input rules, searches and history."""

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.utils import timezone

from apps.locations import events
from apps.locations.models import Location, PinPrefix, State
from apps.locations.services import distances, places, reference
from erp.access import SYSTEM
from erp.outbox.models import EventOutbox

pytestmark = pytest.mark.django_db
PATH = "/api/v1/locations"


@pytest.fixture
def staff(user, client_for):
    return client_for(user("INTERNAL"))


@pytest.fixture
def keeper(user, client_for):
    return client_for(user("INTERNAL_MASTERDATA"))


def body(place, **changes):
    """Return the body of a PUT that changes only the given fields."""
    return {
        "name": place.name,
        "aliases": place.aliases,
        "district": place.district,
        "address": place.address,
        "pincode": place.pincode,
        "latitude": None if place.latitude is None else str(place.latitude),
        "longitude": None if place.longitude is None else str(place.longitude),
        "timezone": place.timezone,
        "unlocode": place.unlocode,
        "customs_code": place.customs_code,
        "wdra_code": place.wdra_code,
        "status": place.status,
        **changes,
    }


def codes(answer):
    problem = answer.json()
    return answer.status_code, problem["code"], [error["code"] for error in problem.get("errors", [])]


def test_a_pin_code_belongs_to_the_states_that_have_its_prefix(staff, place):
    taken = [("360311", "24"), ("396210", "24"), ("396210", "26"), ("507126", "36"), ("507126", "37")]
    taken += [("160055", "03"), ("160055", "04"), ("900056", "24")]
    for number, (pin, state) in enumerate(taken):
        answer = staff.write(PATH, {"type": "CITY", "name": f"Town {number}", "state": state, "pincode": pin})
        assert answer.status_code == 201, answer.content
    refused = staff.write(PATH, {"type": "CITY", "name": "Far", "state": "24", "pincode": "641004"})
    assert codes(refused) == (422, "location.pin_state_mismatch", ["state"])
    assert refused.json()["states"] == ["33"]
    for pin in ("3603111", "36031", "３６０３１１", "36O311", ""):
        answer = staff.write(PATH, {"type": "CITY", "name": "Odd", "state": "24", "pincode": pin})
        assert codes(answer)[:2] == (400, "request.invalid"), pin
        assert answer.json()["errors"][0]["pointer"] == "/pincode"


def test_a_state_can_be_entered_by_code_letters_or_name(staff, place):
    for number, name in enumerate(("21", "Orissa", "OR", "OD", "odisha", " ORISSA ")):
        answer = staff.write(PATH, {"type": "CITY", "name": f"Town {number}", "state": name})
        assert (answer.status_code, answer.json()["state"]) == (201, "21"), name
    assert codes(staff.write(PATH, {"type": "CITY", "name": "Nowhere", "state": "Atlantis"})) == (
        400,
        "request.invalid",
        ["unknown_state"],
    )
    assert codes(staff.write(PATH, {"type": "CITY", "name": "Nowhere", "state": "97"}))[0] == 400


def test_states_are_36_and_a_shared_prefix_is_two_rows(place, client_for, user):
    assert State.objects.count() == 36
    assert list(PinPrefix.objects.filter(prefix="507").order_by("state").values_list("state", flat=True)) == [
        "36",
        "37",
    ]
    before = EventOutbox.objects.count()
    assert reference.load_states(actor=SYSTEM) == 0
    assert EventOutbox.objects.count() == before
    client = client_for(user("BUYER"))
    delhi = client.read("/api/v1/states/07").json()
    assert (delhi["id"], delhi["region"], "NCT of Delhi" in delhi["aliases"]) == ("07", "NORTH", True)
    assert [row["prefix"] for row in client.read("/api/v1/states/07/pin-prefixes").json()["results"]] == [
        "110"
    ]
    assert client.read("/api/v1/states/99").status_code == 404


def test_a_new_place_is_located_in_its_state_and_an_event_is_emitted(place, assert_emitted):
    made = place("Gondal", pincode="360311", latitude=Decimal("21.9611"), longitude=Decimal("70.8028"))
    assert (made.parent.type, made.parent.state_id, made.is_verified) == ("STATE", "24", False)
    row = assert_emitted(events.LocationCreated, name="Gondal", state="24", source="manual", pincode="360311")
    assert row.payload["latitude"] == "21.9611"


def test_invalid_numbers_and_unknown_fields_are_refused(staff, place):
    town = {"type": "CITY", "name": "Town", "state": "24"}
    for wrong in (
        {"latitude": "NaN", "longitude": "70.0"},
        {"latitude": "1e999", "longitude": "70.0"},
        {"latitude": "91", "longitude": "70.0"},
        {"latitude": "22.0", "longitude": "-181"},
        {"latitude": 22.5, "longitude": "70.0"},
        {"name": "To\u0000wn"},
        {"surprise": 1},
        {"name": "T"},
        {"aliases": ["Same", "Same"]},
        {"provider": "gazetteer"},
        {"timezone": "Asia/Atlantis"},
        {"unlocode": "INMUN10"},
    ):
        assert staff.write(PATH, {**town, **wrong}).status_code == 400, wrong
    assert codes(staff.write(PATH, {**town, "latitude": "22.0"}))[:2] == (
        422,
        "location.coordinates_incomplete",
    )
    assert codes(staff.write(PATH, {**town, "latitude": "5.9", "longitude": "70"}))[:2] == (
        422,
        "location.outside_country",
    )
    assert codes(staff.write(PATH, {**town, "unlocode": "INMUN"}))[:2] == (
        422,
        "location.field_not_applicable",
    )
    assert codes(staff.write(PATH, {"type": "CITY", "name": "Town"}))[:2] == (422, "location.state_needed")
    assert not Location.objects.filter(name="Town").exists()


def test_the_type_of_a_parent_must_fit_and_levels_are_limited(staff, place):
    gin = place(type="GIN")
    mandi = {"type": "MANDI", "name": "Yard", "parent_id": str(gin.pk)}
    assert codes(staff.write(PATH, mandi))[:2] == (422, "location.parent_type")
    above = place(type="GIN", parent=gin)
    for _ in range(2):
        above = place(type="GIN", parent=above)
    answer = staff.write(PATH, {"type": "GIN", "name": "Too deep", "parent_id": str(above.pk)})
    assert codes(answer)[:2] == (422, "location.too_deep")
    answer = staff.write(PATH, {"type": "GIN", "name": "Else", "parent_id": str(gin.pk), "state": "27"})
    assert codes(answer)[:2] == (422, "location.state_mismatch")
    assert answer.json()["state"] == "24"
    state = {"type": "STATE", "name": "Another Gujarat", "country": "IN"}
    assert codes(staff.write(PATH, state))[:2] == (409, "location.protected")


def test_abroad_a_place_needs_neither_state_nor_parent(staff, place):
    answer = staff.write(
        PATH, {"type": "PORT", "name": "Chattogram", "country": "BD", "pincode": "4100", "unlocode": "BDCGP"}
    )
    assert answer.status_code == 201, answer.content
    assert (answer.json()["state"], answer.json()["parent_id"], answer.json()["region"]) == (None, None, None)
    wrong = staff.write(PATH, {"type": "PORT", "name": "Else", "country": "BD", "pincode": "४१००"})
    assert codes(wrong) == (400, "request.invalid", ["format"])


def test_a_duplicate_place_is_refused_with_the_id_of_the_existing_one(staff, place):
    there = place("Gondal  Mandi")
    answer = staff.write(PATH, {"type": "MANDI", "name": "GONDAL mandi", "state": "24"})
    assert codes(answer)[:2] == (409, "location.duplicate")
    assert answer.json()["location_id"] == str(there.pk)
    assert staff.write(PATH, {"type": "CITY", "name": "GONDAL mandi", "state": "24"}).status_code == 201


def test_a_provider_id_belongs_to_one_place(staff, place, emitted, keeper):
    named = {"type": "CITY", "name": "Gondal", "state": "24", "provider": "map", "provider_id": "x1"}
    first = staff.write(PATH, named)
    assert first.status_code == 201
    before = len(emitted("location.created"))
    again = staff.write(PATH, {**named, "name": "Something else", "pincode": "641004"})
    assert (again.status_code, again.json()) == (200, first.json())
    assert len(emitted("location.created")) == before
    row = Location.objects.get(pk=first.json()["id"])
    places.update(row, actor=SYSTEM, name=row.name, status="ARCHIVED")
    assert codes(staff.write(PATH, named))[:2] == (409, "location.archived")


def test_a_put_is_bound_to_the_version_that_was_read(keeper, place, assert_emitted, emitted):
    made = place("Gondal", address="Station Road")
    path = f"{PATH}/{made.pk}"
    assert codes(keeper.write(path, body(made), method="PUT"))[0] == 428
    stale = keeper.write(path, body(made), method="PUT", if_match=7)
    assert (codes(stale)[0], stale["ETag"]) == (412, '"1"')
    same = keeper.write(path, body(made), method="PUT", if_match=1)
    assert (same.status_code, same.json()["version"], emitted("location.updated")) == (200, 1, [])
    changed = body(made, name="Gondal Yard", address="Highway", aliases=["Gondal"])
    answer = keeper.write(path, changed, method="PUT", if_match=1)
    assert (answer.status_code, answer["ETag"]) == (200, '"2"')
    row = assert_emitted(events.LocationUpdated, version=2)
    assert row.payload["changes"] == {
        "name": {"old": "Gondal", "new": "Gondal Yard"},
        "aliases": {"old": [], "new": ["Gondal"]},
        "address": {"old": None, "new": None},
    }
    parent = f"{path}/parent"
    other = {"parent_id": str(Location.objects.get(type="STATE", state="27").pk)}
    assert codes(keeper.write(parent, other, method="PUT"))[0] == 428
    assert codes(keeper.write(parent, other, method="PUT", if_match=1))[0] == 412


def test_a_change_makes_a_confirmed_place_unconfirmed(place, user):
    made = places.confirm(place("Gondal", pincode="360311"), actor=user("INTERNAL_MASTERDATA"))
    assert (made.is_verified, made.verified_by) == (True, "staff")
    made = places.update(made, actor=SYSTEM, name="Gondal Yard", pincode="360311", status="ACTIVE")
    assert made.is_verified
    made = places.update(made, actor=SYSTEM, name="Gondal Yard", pincode="360312", status="ACTIVE")
    assert (made.is_verified, made.verified_by) == (False, None)


def test_an_archived_place_is_found_only_by_id_and_can_be_made_active_again(keeper, place):
    made = place("Old Yard")
    path = f"{PATH}/{made.pk}"
    answer = keeper.write(path, body(made, status="ARCHIVED"), method="PUT", if_match=1)
    assert answer.json()["status"] == "ARCHIVED"
    assert answer.json()["allowed_actions"] == ["update"]
    listed = {row["id"] for row in keeper.read(f"{PATH}?search=old+yard").json()["results"]}
    assert listed == set()
    archived = keeper.read(f"{PATH}?search=old+yard&status=ARCHIVED").json()["results"]
    assert [row["id"] for row in archived] == [str(made.pk)]
    assert keeper.read(path).json()["status"] == "ARCHIVED"
    child = keeper.write(PATH, {"type": "GIN", "name": "Gin", "parent_id": str(made.pk)})
    assert codes(child)[:2] == (409, "location.not_active")
    back = keeper.write(path, body(made), method="PUT", if_match=2)
    assert (back.status_code, back.json()["status"]) == (200, "ACTIVE")


def test_a_state_of_india_cannot_be_changed(keeper, place):
    gujarat = Location.objects.get(type="STATE", state="24")
    answer = keeper.write(f"{PATH}/{gujarat.pk}", body(gujarat, name="Gurjar"), method="PUT", if_match=1)
    assert codes(answer)[:2] == (409, "location.protected")
    into = {"into_id": str(place().pk), "reason": "No reason."}
    assert codes(keeper.write(f"{PATH}/{gujarat.pk}/merge", into))[:2] == (409, "location.protected")
    assert keeper.read(f"{PATH}/{gujarat.pk}").json()["allowed_actions"] == []


def test_every_user_finds_places_and_only_staff_add_them(user, client_for, place):
    made = place("Rajkot", aliases=["Rajkot Junction"], latitude=Decimal("22.3"), longitude=Decimal("70.8"))
    buyer = client_for(user("BUYER"))

    def names(query):
        return {row["name"] for row in buyer.read(f"{PATH}?type=MANDI&{query}").json()["results"]}

    place("Akola", state="27", pincode="444001")
    assert names("search=RAJK+junction") == {"Rajkot"}
    assert names("state=gj") == names("region=WEST&state=Gujarat") == {"Rajkot"}
    assert names("cotton_zone=CENTRAL") == {"Rajkot", "Akola"}
    assert names("pincode_prefix=444") == {"Akola"}
    assert names(f"parent={made.parent_id}") == {"Rajkot"}
    assert names("near=22.30,70.85&radius_km=10") == {"Rajkot"}
    assert names("near=22.30,71.80&radius_km=100") == set()
    assert names("near=22.30,71.80&radius_km=103") == {"Rajkot"}
    for wrong in ("near=22.3", "near=91,0", "radius_km=501&near=1,1", "state=Atlantis", "region=UP"):
        assert buyer.read(f"{PATH}?{wrong}").status_code == 400, wrong
    refused = buyer.write(PATH, {"type": "CITY", "name": "Town", "state": "24"})
    assert (refused.status_code, refused.json()["capability"]) == (403, "location.create")
    children = buyer.read(f"{PATH}/{made.parent_id}/children").json()["results"]
    assert [row["name"] for row in children] == ["Rajkot"]
    seen = buyer.read(f"{PATH}/{made.pk}").json()
    assert [above["type"] for above in seen["ancestors"]] == ["STATE"]
    assert (seen["region"], seen["allowed_actions"]) == ("WEST", [])


def test_a_distance_applies_both_ways_unless_the_way_back_has_its_own(user, client_for, place):
    rajkot = place(latitude=Decimal("22.300000"), longitude=Decimal("70.800000"))
    mundra = place(type="PORT", latitude=Decimal("22.839000"), longitude=Decimal("69.722000"))
    nowhere = place()
    client = client_for(user("BUYER"))

    def distance(origin, destination, mode=""):
        return client.read(f"{PATH}/distance?from={origin.pk}&to={destination.pk}{mode}")

    there, back = distance(rajkot, mundra).json(), distance(mundra, rajkot).json()
    assert there["great_circle_km"] == back["great_circle_km"] == "125.9"
    assert (there["km"], there["mode"]) == (None, "ROAD")
    assert distance(rajkot, rajkot).json()["great_circle_km"] == "0.0"
    assert codes(distance(rajkot, nowhere))[:2] == (422, "location.no_coordinates")
    today = timezone.localdate()
    for km, start in ((Decimal("190.0"), today - timedelta(days=400)), (Decimal("205.5"), today)):
        distances.set_distance(
            rajkot, actor=SYSTEM, to=mundra, mode="ROAD", km=km, valid_from=start, source="chart"
        )
    later = today + timedelta(days=1)
    distances.set_distance(
        rajkot, actor=SYSTEM, to=mundra, mode="ROAD", km=Decimal(1), valid_from=later, source="chart"
    )
    assert distance(rajkot, mundra).json()["km"] == distance(mundra, rajkot).json()["km"] == "205.5"
    distances.set_distance(
        mundra, actor=SYSTEM, to=rajkot, mode="ROAD", km=Decimal(211), valid_from=today, source="chart"
    )
    assert distance(mundra, rajkot).json()["km"] == "211.0"
    assert distance(rajkot, mundra, "&mode=RAIL").json()["km"] is None
    for wrong in ("", "?from=x&to=y", f"?from={rajkot.pk}&to={mundra.pk}&mode=AIR"):
        assert client.read(f"{PATH}/distance{wrong}").status_code == 400, wrong


def test_staff_see_places_and_change_them_in_the_admin(user, staff_client_for, place):
    made = place("Gondal")
    portal = staff_client_for(user("INTERNAL_MASTERDATA"))
    page = portal.get(f"/admin/location/location/{made.pk}/change/")
    assert page.status_code == 200
    assert b"Gondal" in page.content
    for path in ("location/", "state/", "distance/", f"location/{made.pk}/run/merge/"):
        assert portal.get(f"/admin/location/{path}").status_code == 200, path


def test_the_history_of_a_place_is_shown_to_auditors(staff, keeper, user, client_for, place):
    made = staff.write(PATH, {"type": "CITY", "name": "Gondal", "state": "24"}).json()
    row = Location.objects.get(pk=made["id"])
    changed = keeper.write(f"{PATH}/{row.pk}", body(row, name="Gondal City"), method="PUT", if_match=1)
    path = f"{PATH}/{row.pk}/history"
    auditor = client_for(user("AUDITOR"))
    newest, oldest = auditor.read(path).json()["results"]
    assert (newest["type"], newest["sequence"], oldest["type"], oldest["sequence"]) == (
        "location.updated",
        2,
        "location.created",
        1,
    )
    assert newest["data"]["changes"]["name"] == {"old": "Gondal", "new": "Gondal City"}
    assert newest["request_id"] == changed["X-Request-ID"]
    assert newest["actor_id"] not in (None, oldest["actor_id"])
    assert codes(auditor.read(f"{PATH}/{uuid4()}/history"))[:2] == (404, "resource.not_found")
    refused = client_for(user("BUYER")).read(path)
    assert (refused.status_code, refused.json()["capability"]) == (403, "trail.view")
