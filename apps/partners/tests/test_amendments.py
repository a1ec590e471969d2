"""Amendments: their tier decides who, an old value is never overwritten blindly, and a day is waited for."""

from datetime import timedelta
from decimal import Decimal

import pytest

from apps.accounts.services.roles import RoleNotAllowed
from apps.partners.models import (
    Amendment,
    OpenExposure,
    Partner,
    PartnerBankAccount,
    PartnerEmployee,
    PartnerLocation,
)
from apps.partners.services import amendments
from apps.partners.tasks import keep_dates
from apps.partners.tests import factories
from erp import clock
from erp.access import SYSTEM
from erp.errors import CapabilityMissing, SelfApproval
from erp.models import unguarded_writes
from erp.testing import at_once

pytestmark = pytest.mark.django_db
REASON = "The deed of partnership was changed."


def ask(partner, actor=SYSTEM, *, target="partner", target_id=None, day=None, **values):
    changes = [
        {"target": target, "target_id": target_id, "field": field, "value": value}
        for field, value in values.items()
    ]
    return amendments.request_amendment(
        partner, actor=actor, changes=changes, reason=REASON, effective_date=day
    )


def test_a_low_change_counts_at_once_and_leaves_the_old_value(user, emitted):
    firm = factories.ready_partner(trade_name="Old")
    made = ask(firm, user("PARTNER_ADMIN", of=firm), trade_name="New")
    firm.refresh_from_db()
    assert (firm.trade_name, made.status, made.changes.get().old_value) == ("New", "applied", "Old")
    told = [emitted(f"partner.amendment.{each}") for each in ("requested", "approved", "applied")]
    assert list(map(len, told)) == [1, 1, 1]
    assert "New" not in str([event.payload for (event,) in told])


def test_the_highest_tier_decides_and_a_manager_has_not_the_directors(user):
    firm = factories.ready_partner()
    person = user("PARTNER_ADMIN", of=firm)
    made = ask(firm, person, legal_name="Another Firm", contact_email="new@firm.example")
    assert (made.tier, made.status) == ("high", "pending")
    with pytest.raises(amendments.TierNotAllowed):
        amendments.approve_amendment(made, actor=user("INTERNAL_MANAGER"))
    with pytest.raises(CapabilityMissing):
        amendments.approve_amendment(made, actor=person)
    amendments.approve_amendment(made, actor=user("INTERNAL_DIRECTOR"))
    firm.refresh_from_db()
    assert (firm.legal_name, firm.contact_email) == ("Another Firm", "new@firm.example")


def test_nobody_decides_on_an_own_request(user):
    firm, director = factories.ready_partner(), user("INTERNAL_DIRECTOR")
    made = ask(firm, director, legal_name="Another Firm")
    for decide in (
        lambda: amendments.approve_amendment(made, actor=director),
        lambda: amendments.reject_amendment(
            made, actor=director, reason_code="other", reason="Not proven at all."
        ),
    ):
        with pytest.raises(SelfApproval):
            decide()


@pytest.mark.parametrize("field", ["status", "trust_score", "kyc_expiry_date", "code", "credit", "version"])
def test_status_kyc_score_and_credit_are_never_amended(field):
    with pytest.raises(amendments.FieldNotAmendable):
        ask(factories.ready_partner(), **{field: "x"})


def test_one_field_has_one_open_change_and_equal_values_are_none():
    firm = factories.ready_partner(trade_name="Old")
    ask(firm, legal_name="First")
    with pytest.raises(amendments.AmendmentOpen):
        ask(firm, legal_name="Second")
    with pytest.raises(amendments.NoChange):
        ask(firm, trade_name="Old")


def test_a_base_that_changed_makes_an_amendment_stale(user):
    firm = factories.ready_partner()
    made = ask(firm, legal_name="First")
    with unguarded_writes():
        Partner.objects.filter(pk=firm.pk).update(legal_name="Changed meanwhile")
    with pytest.raises(amendments.AmendmentStale):
        amendments.approve_amendment(made, actor=user("INTERNAL_DIRECTOR"))


@pytest.mark.django_db(transaction=True)
def test_a_dated_amendment_is_applied_once_on_its_day(user, emitted, set_clock):
    firm = factories.ready_partner()
    made = ask(firm, day=clock.today() + timedelta(days=5), trade_name="Later")
    assert (made.status, keep_dates()) == ("approved", 0)
    set_clock(clock.now() + timedelta(days=5))
    at_once(*[lambda: amendments.keep_amendment(made, actor=SYSTEM)] * 3)
    firm.refresh_from_db()
    assert firm.trade_name == "Later"
    assert len(emitted("partner.amendment.applied")) == 1


def test_a_request_that_nobody_decides_lapses_and_frees_its_field(set_clock):
    firm = factories.ready_partner()
    made = ask(firm, legal_name="First")
    set_clock(clock.now() + timedelta(days=31))
    assert keep_dates() == 1
    made.refresh_from_db()
    assert made.status == "lapsed"
    assert ask(firm, legal_name="Second").status == "pending"


def test_a_withdrawn_amendment_frees_its_field(user):
    firm = factories.ready_partner()
    person = user("PARTNER_ADMIN", of=firm)
    made = ask(firm, person, legal_name="First")
    amendments.withdraw_amendment(made, actor=person)
    with pytest.raises(amendments.InvalidState):
        amendments.withdraw_amendment(made, actor=person)
    ask(firm, person, legal_name="Second")


def test_an_account_with_exposure_is_not_closed(user):
    firm, director = factories.ready_partner(), user("INTERNAL_DIRECTOR")
    made = ask(firm, close_account=True)
    with unguarded_writes():
        OpenExposure(
            account_id=firm.pk,
            source_type="trade",
            source_id=made.pk,
            side="buy",
            bucket="contracted",
            amount=Decimal(1),
        ).save()
    with pytest.raises(amendments.AccountInUse):
        amendments.approve_amendment(made, actor=director)
    with unguarded_writes():
        OpenExposure.objects.update(amount=0)
    amendments.approve_amendment(made, actor=director)
    firm.refresh_from_db()
    assert firm.status == "closed"


def test_parts_are_amended_and_rows_of_others_are_not(user):
    firm = factories.file_of("approved").partner
    place = PartnerLocation.objects.get(partner=firm)
    made = ask(firm, target="location", target_id=place.pk, name="Yard")
    place.refresh_from_db()
    assert (made.status, place.name) == ("applied", "Yard")
    other = PartnerLocation.objects.get(partner=factories.file_of("approved").partner)
    with pytest.raises(amendments.Invalid):
        ask(firm, target="location", target_id=other.pk, name="Yard")
    account = PartnerBankAccount.objects.get(partner=firm)
    with pytest.raises(CapabilityMissing):
        ask(firm, user("INTERNAL"), target="bank_account", target_id=account.pk, status="closed")
    closing = ask(
        firm, user("INTERNAL_FINANCE"), target="bank_account", target_id=account.pk, status="closed"
    )
    amendments.approve_amendment(closing, actor=user("INTERNAL_DIRECTOR"))
    account.refresh_from_db()
    assert account.status == "closed"


def test_roles_of_a_person_stay_within_those_of_the_partner(user):
    firm = factories.ready_partner(roles=("seller",))
    person = user("SELLER", of=firm)
    with unguarded_writes():
        employee = PartnerEmployee(
            partner=firm, user=person, name="Meena Shah", email=person.email, phone="+919876543211", roles=["SELLER"],
            status="active",
        )  # fmt: skip
        employee.save()
    for roles, error in (
        (["BUYER"], RoleNotAllowed),
        (["PARTNER_ADMIN", "SELLER"], None),
    ):
        made = ask(firm, target="employee", target_id=employee.pk, roles=roles)
        manager = user("INTERNAL_MANAGER")
        if error is None:
            amendments.approve_amendment(made, actor=manager)
        else:
            with pytest.raises(error):
                amendments.approve_amendment(made, actor=manager)
            amendments.withdraw_amendment(made, actor=SYSTEM)
    person = type(person).objects.get(pk=person.pk)
    assert person.role_names == ["PARTNER_ADMIN", "SELLER"]


def test_values_are_checked_by_the_rules_of_their_field(user, client_for):
    firm = factories.ready_partner()
    client = client_for(user("PARTNER_ADMIN", of=firm))
    changes = [
        {"target": "partner", "field": "pan", "value": "WRONG"},
        {"target": "partner", "field": "contact_email", "value": 5},
        {"target": "partner", "field": "legal_name", "value": "x" * 501},
    ]
    answer = client.write(f"/api/v1/partners/{firm.pk}/amendments", {"changes": changes, "reason": REASON})
    assert answer.status_code == 400
    assert [error["pointer"] for error in answer.json()["errors"]] == [
        f"/changes/{n}/value" for n in range(3)
    ]


def test_values_are_shown_to_who_may_see_numbers_in_full(user, client_for, caplog):
    caplog.set_level("INFO")
    firm = factories.ready_partner()
    made = ask(firm, pan=factories.pan())
    path = f"/api/v1/partners/amendments/{made.pk}"
    assert client_for(user("INTERNAL")).read(path).json()["changes"][0]["new_value"] is None
    assert "sensitive_read" not in caplog.text
    assert client_for(user("INTERNAL_COMPLIANCE")).read(path).json()["changes"][0]["old_value"] == firm.pan
    assert caplog.text.count("sensitive_read") == 1
    assert client_for(user("PARTNER_ADMIN")).read(path).status_code == 404
    assert Amendment.objects.count() == 1
