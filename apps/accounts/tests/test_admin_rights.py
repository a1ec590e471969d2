"""Two-factor setup, reauthentication, users and rights in the staff portal."""

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.accounts.models import CapabilityChange, RecoveryCode, Session, SignInCounter, TotpDevice, User
from apps.accounts.services import rights
from config.testing import PASSWORD, totp_code
from erp.access import SYSTEM
from erp.admin.testing import StaffClient, controls
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db
SETUP, PROVE, WHY = "/admin/second-factor/", "/admin/prove/", "Needed for the season's work."


def proof(form):
    return {name: form[name] for name in ("password", "code")}


def page(person, verb=""):
    return f"/admin/account/user/{person.pk}/" + (f"run/{verb}/" if verb else "change/")


def test_staff_without_two_factor_authentication_are_redirected_to_its_setup(user):
    person = user("INTERNAL_MANAGER", factor=False)
    staff = StaffClient()
    assert staff.sign_in(person.email, PASSWORD)["Location"] == "/admin/"
    for path in ("/admin/", "/admin/commodity/commodity/", page(person), PROVE):
        assert staff.get(path)["Location"] == SETUP, path
        assert staff.post(path, {}).status_code == 302
    begin = controls(staff.get(SETUP), "start_form")
    shown = staff.post(SETUP, begin)
    assert staff.post(SETUP, begin).context["setup"] == shown.context["setup"], "two clicks show the same one"
    seed = shown.context["setup"]["secret"]
    assert seed in shown.content.decode()
    assert "<svg" in shown.content.decode()
    assert "no-store" in shown["Cache-Control"]
    for code in ("12345a", "", "1234567"):
        misspelt = staff.post(SETUP, {"step": "confirm", "code": code, "_key": shown.context["key"]})
        assert "Incorrect code" in misspelt.context["error"]
    again = staff.post(SETUP, {"step": "confirm", "code": "000000", "_key": shown.context["key"]})
    assert "Incorrect code" in again.context["error"]
    assert seed not in again.content.decode()
    done = {"step": "confirm", "code": totp_code(seed=seed), "_key": again.context["key"]}
    codes = staff.post(SETUP, done).context["codes"]
    assert len(codes) == 10
    assert staff.post(SETUP, done).context["codes"] == codes, "a second click shows the same ones"
    assert RecoveryCode.objects.filter(user=person).count() == 10
    assert staff.get("/admin/").status_code == 200


def test_replacing_an_authenticator_in_the_staff_portal_needs_password_and_code(user, staff_client_for):
    person = user("INTERNAL")
    staff = staff_client_for(person)
    begin = controls(staff.get(SETUP), "start_form")
    right = {**begin, "password": PASSWORD, "code": totp_code()}
    for lacking in ({"password": ""}, {"code": ""}, {"code": "12345a"}, {"password": "x" * 129}):
        assert staff.post(SETUP, {**right, **lacking}).context["form"].errors
    assert not SignInCounter.objects.exists(), "nothing was tried"
    tried = {**right, "password": "wrong"}
    for _ in range(2):
        assert "Incorrect password or code" in staff.post(SETUP, tried).context["error"]
    assert SignInCounter.objects.get().failures == 1, "the second click is the first"
    shown = staff.post(SETUP, {**controls(staff.get(SETUP), "start_form"), **proof(right)})
    seed = shown.context["setup"]["secret"]
    assert SignInCounter.objects.get().failures == 0
    staff.post(SETUP, {"step": "confirm", "code": totp_code(seed=seed), "_key": shown.context["key"]})
    assert TotpDevice.objects.get(user=person).seed == seed


@pytest.mark.parametrize(
    "typed", [{}, {"password": ""}, {"code": "12345a"}, {"password": "x" * 129}, {"password": "NUL\u0000"}]
)
def test_an_empty_or_malformed_reauthentication_is_not_counted(user, staff_client_for, emitted, typed):
    staff = staff_client_for(user("INTERNAL"), reauthenticated=False)
    assert staff.post(PROVE, typed).context["form"].errors
    assert not SignInCounter.objects.exists()
    assert emitted() == []


def test_changing_rights_asks_for_reauthentication_and_returns_to_the_form(user, staff_client_for):
    person, boss = user("INTERNAL"), user("INTERNAL_COMPLIANCE")
    staff = staff_client_for(boss, reauthenticated=False)
    path = page(person, "propose_role")
    asked = staff.get(path)
    assert asked["Location"].startswith(f"{PROVE}?next=")
    assert staff.post(path, {"role": "INTERNAL_DIRECTOR"}).status_code == 302
    assert not CapabilityChange.objects.exists()
    wrong = staff.post(PROVE, {"password": "wrong", "next": path})
    assert wrong.context["form"].non_field_errors()
    assert (
        staff.post(PROVE, {"password": PASSWORD, "next": "https://elsewhere.example/"})["Location"]
        == "/admin/"
    )
    assert staff.post(PROVE, {"code": totp_code(), "next": path})["Location"] == path
    answer = staff.fill(path, role="INTERNAL_DIRECTOR", operation="add", reason=WHY)
    assert answer.status_code == 302, answer.context["errors"]
    change = CapabilityChange.objects.get()
    assert (change.user_id, change.role, change.proposed_by_id) == (person.pk, "INTERNAL_DIRECTOR", boss.pk)
    with unguarded_writes():
        Session.objects.update(reauthenticated_at=timezone.now() - timedelta(minutes=10))
    assert staff.get(path).status_code == 302


def test_an_error_is_shown_beside_its_field(user, staff_client_for):
    person = user("INTERNAL_MANAGER")
    staff = staff_client_for(user("INTERNAL_COMPLIANCE"))
    answer = staff.fill(page(person, "propose_role"), role="INTERNAL_FINANCE", operation="add", reason=WHY)
    assert answer.status_code == 422
    assert "held by different people" in answer.content.decode()


@pytest.mark.parametrize(
    ("verb", "typed", "status"),
    [
        ("deactivate", {"reason_code": "left"}, "deactivated"),
        ("reset_second_factor", {"reason_code": "device_lost"}, "active"),
        ("end_sessions", {}, "active"),
        ("unlock", {"reason_code": "asked"}, "active"),
    ],
)
def test_compliance_resets_factors_and_deactivates_users(user, staff_client_for, verb, typed, status):
    person = user("INTERNAL")
    answer = staff_client_for(user("INTERNAL_COMPLIANCE")).fill(page(person, verb), **typed)
    assert answer.status_code == 302, answer.context["errors"]
    stored = User.objects.get(pk=person.pk)
    assert stored.status == status
    assert stored.has_second_factor == (verb != "reset_second_factor")


@pytest.mark.parametrize("verb", ["deactivate", "reset_second_factor", "unlock", "reactivate"])
def test_reason_codes_have_no_free_text(user, staff_client_for, emitted, verb):
    person = user("INTERNAL", status="deactivated" if verb == "reactivate" else "active")
    staff = staff_client_for(user("INTERNAL_COMPLIANCE"))
    for reason in ("", "Asha's phone fell into the well"):
        assert staff.fill(page(person, verb), reason_code=reason).status_code == 400
    assert emitted() == []
    assert staff.fill(page(person, verb), reason_code="other").status_code == 302


def test_actions_on_users_need_the_capability_and_exclude_the_own_account(user, staff_client_for):
    boss, person = user("INTERNAL_COMPLIANCE"), user("INTERNAL")
    own = staff_client_for(boss).get(page(boss)).content.decode()
    assert "Another person must do this for your account." in own
    assert "run/deactivate" not in own
    assert staff_client_for(user("INTERNAL_MANAGER")).get(page(person)).status_code == 404


def test_the_page_of_a_user_lists_capabilities_and_their_sources(user, staff_client_for):
    drawn = staff_client_for(user("INTERNAL_COMPLIANCE")).get(page(user("SELLER"))).content.decode()
    assert "availability.create" in drawn
    assert "role SELLER" in drawn


def test_the_matrix_marks_deviations_and_audited_ones_in_red(user, staff_client_for):
    boss = user("INTERNAL_COMPLIANCE")
    for role, capability, scope, operation in (
        ("BROKER", "availability.create", "own", "add"),
        ("BROKER", "commodity.create", "everywhere", "add"),
    ):
        change = rights.propose_matrix_change(
            actor=boss, role=role, capability=capability, scope=scope, operation=operation, reason=WHY
        )
        rights.apply_capability_change(change, actor=SYSTEM)
    drawn = staff_client_for(boss).get("/admin/account/accesspolicy/").content.decode()
    assert drawn.count('class="erp-alarm"') == 1
    assert drawn.count('class="erp-deviates"') == 1
    assert "Propose a change" in drawn
    seen = staff_client_for(user("AUDITOR")).get("/admin/account/accesspolicy/")
    assert seen.status_code == 200
    assert "Propose a change" not in seen.content.decode()
    assert staff_client_for(user("INTERNAL_MANAGER")).get("/admin/account/accesspolicy/").status_code == 403


def test_a_change_of_the_matrix_begins_on_its_page(user, staff_client_for):
    staff = staff_client_for(user("INTERNAL_COMPLIANCE"))
    answer = staff.fill(
        "/admin/account/capabilitychange/add/",
        role="BROKER",
        capability="availability.create",
        scope="own",
        operation="add",
        reason=WHY,
    )
    assert answer.status_code == 302, answer.context["errors"]
    change = CapabilityChange.objects.get()
    assert change.status == "proposed"
    drawn = staff.get(f"/admin/account/capabilitychange/{change.pk}/change/").content.decode()
    assert "/run/withdraw_capability_change/" in drawn


def test_the_page_lists_the_users_with_a_capability_on_a_row(user, offer, staff_client_for):
    seller = user("SELLER", full_name="Asha of the offer")
    other = user("SELLER", full_name="Another seller")
    live = offer(seller=seller)
    staff = staff_client_for(user("INTERNAL_COMPLIANCE"))
    path = "/admin/account/accesspolicy/who/availability.create/"
    everybody = staff.get(path).content.decode()
    assert seller.full_name in everybody
    assert other.full_name in everybody
    here = staff.get(path, {"type": "availability.Availability", "id": str(live.pk)}).content.decode()
    assert seller.full_name in here
    assert other.full_name not in here
    for gone in ({"type": "no.Model", "id": "x"}, {"type": "availability.Availability", "id": "x"}):
        assert "There is no record with this ID." in staff.get(path, gone).content.decode()
    assert staff.get("/admin/account/accesspolicy/who/no.such/").status_code == 404
