"""What dates bring: reminders, expiry, renewal, suspension; and who is told."""

from datetime import time, timedelta
from decimal import Decimal

import pytest

from apps.notifications import services as notifications
from apps.notifications.models import Message
from apps.partners import tasks
from apps.partners.models import (
    KycCheck,
    KycNotice,
    OnboardingRound,
    Partner,
    PartnerBankAccount,
    PartnerDocument,
    PartnerEmployee,
    PartnerRole,
    Vehicle,
)
from apps.partners.services import (
    amendments,
    checks,
    corrections,
    decisions,
    kyc,
    onboarding,
    parts,
    people,
    standing,
    submission,
)
from apps.partners.services.checklist import checklist
from apps.partners.tasks import keep_dates, keep_kyc_calendar, partner_queues
from apps.partners.tests import factories
from erp import clock
from erp.access import SYSTEM
from erp.errors import CapabilityMissing, SelfApproval
from erp.models import unguarded_writes
from erp.testing import at_once

pytestmark = pytest.mark.django_db


def test_after_an_outage_only_the_nearest_reminder_is_sent_once(emitted):
    firm = factories.ready_partner(kyc_expiry_date=clock.today() + timedelta(days=7))
    keep_kyc_calendar()
    keep_kyc_calendar()
    (told,) = emitted("partner.kyc.reminded", aggregate_id=firm.pk)
    assert told.payload["days_left"] == 7
    assert KycNotice.objects.filter(partner=firm).count() == 1


def test_kyc_expires_and_lapses_by_its_dates_and_suspends_only_where_it_is_set(emitted, settings):
    firm = factories.ready_partner(kyc_expiry_date=clock.today() - timedelta(days=31))
    keep_kyc_calendar()
    keep_kyc_calendar()
    assert [len(emitted(f"partner.kyc.{each}")) for each in ("reminded", "expired", "lapsed")] == [0, 1, 1]
    firm.refresh_from_db()
    assert firm.status == "active"
    settings.KYC_AUTO_SUSPEND = True
    other = factories.ready_partner(kyc_expiry_date=clock.today() - timedelta(days=31))
    keep_kyc_calendar()
    other.refresh_from_db()
    assert (other.status, other.suspension_code) == ("suspended", "kyc_lapsed")


def test_a_renewal_in_time_keeps_the_anniversary(user):
    firm = factories.file_of("under_review", kind="kyc_annual").partner
    old = clock.today() + timedelta(days=10)
    with unguarded_writes():
        Partner.objects.filter(pk=firm.pk).update(kyc_expiry_date=old)
    round = OnboardingRound.objects.get(partner=firm)
    done = kyc.complete_renewal(
        Partner.objects.get(pk=firm.pk), actor=user("INTERNAL_MANAGER"), round_id=round.pk
    )
    assert done.kyc_expiry_date == old + timedelta(days=365)
    assert OnboardingRound.objects.get(pk=round.pk).status == "approved"


def test_a_renewal_is_not_started_early_nor_beside_an_open_file(user):
    firm = factories.ready_partner()
    with pytest.raises(kyc.RenewalTooEarly):
        kyc.renew_kyc(firm, actor=user("PARTNER_ADMIN", of=firm))
    with pytest.raises(kyc.StaffOnly):
        kyc.renew_kyc(firm, actor=user("PARTNER_ADMIN", of=firm), kind="ad_hoc", reason="Because.")
    kyc.renew_kyc(firm, actor=user("INTERNAL"), kind="ad_hoc", reason="The address has changed.")
    with pytest.raises(kyc.OnboardingOpen):
        kyc.renew_kyc(firm, actor=user("INTERNAL"), kind="ad_hoc", reason="Again, for the test.")


def test_who_started_a_renewal_does_not_complete_it(user):
    manager = user("INTERNAL_MANAGER")
    round = factories.file_of("under_review", kind="kyc_adhoc", started_by=manager)
    with pytest.raises(SelfApproval):
        kyc.complete_renewal(round.partner, actor=manager, round_id=round.pk)


def test_a_renewal_changes_low_fields_only(user):
    firm = factories.ready_partner(kyc_expiry_date=clock.today() + timedelta(days=10))
    round = kyc.renew_kyc(firm, actor=user("INTERNAL"))
    from apps.partners.services import onboarding

    profile = factories.profile(number=firm.pan)
    with pytest.raises(onboarding.NeedsAmendment) as caught:
        onboarding.save_draft(round, actor=SYSTEM, profile=profile)
    assert "/legal_name" in [item.pointer for item in caught.value.errors]


def test_a_renewal_asks_for_old_and_ending_papers_only_and_takes_its_own(user):
    """Papers that end within 90 days, or were uploaded more than 12 months ago (partners §4.2)."""
    file = factories.file_of("approved")
    firm, today = file.partner, clock.today()
    papers = {paper.document_type: paper for paper in file.documents.all()}
    with unguarded_writes():
        Partner.objects.filter(pk=firm.pk).update(kyc_expiry_date=today + timedelta(days=20))
        file.documents.filter(pk=papers["trade_license"].pk).update(expiry_date=today + timedelta(days=90))
        file.documents.filter(pk=papers["gst_certificate"].pk).update(expiry_date=today + timedelta(days=91))
        old = clock.now() - timedelta(days=366)
        file.documents.filter(pk=papers["pan_card"].pk).update(created_at=old)
    round = kyc.renew_kyc(Partner.objects.get(pk=firm.pk), actor=user("INTERNAL"))
    missing = [item.item for item in checklist(round, today) if not item.done]
    assert sorted(missing) == ["pan_card", "trade_license"]
    assert all(item.done for item in checklist(file, today))  # an application takes them as they are
    factories.document_of(round, "pan_card")
    ends_soon = {"expiry_date": today + timedelta(days=30), "replaces": papers["trade_license"]}
    factories.document_of(round, "trade_license", **ends_soon)
    assert all(item.done for item in checklist(round, today))


def test_a_renewal_checks_gst_pan_and_accounts_in_use_again(user):
    firm = factories.file_of("approved").partner
    with unguarded_writes():
        Partner.objects.filter(pk=firm.pk).update(kyc_expiry_date=clock.today() + timedelta(days=20))
        account = PartnerBankAccount.objects.get(partner=firm)
        account.status, account.payable_from, account.verified_by = "verified", clock.now(), user("INTERNAL")
        account.save()
    round = kyc.renew_kyc(Partner.objects.get(pk=firm.pk), actor=user("INTERNAL"))
    submission.submit(
        round,
        actor=SYSTEM,
        declaration=True,
        terms_version="1",
        notice_version="1",
        consent_purposes=["essential"],
    )
    assert sorted(round.checks.values_list("kind", flat=True)) == ["bank", "gst", "pan"]


def test_accounts_and_contacts_warn_administrators_and_the_former_contact(user, deliver):
    """A fraudster who has taken over an account first changes whom we would ask (rulings §5)."""
    notifications.load_templates(actor=SYSTEM)
    firm = factories.file_of("approved").partner
    admins = {user("PARTNER_ADMIN", of=firm).email for _ in range(2)}
    made = amendments.request_amendment(
        firm,
        actor=SYSTEM,
        changes=[
            {"target": "partner", "field": "contact_email", "value": "thief@firm.example"},
            {"target": "partner", "field": "contact_phone", "value": "+919800000000"},
        ],
        reason="The office has moved to another town.",
    )
    amendments.approve_amendment(made, actor=user("INTERNAL_MANAGER"))
    deliver()
    sent = [message.render() for message in Message.objects.filter(code="partner_contact_changed")]
    assert {each.address for each in sent} == {*admins, "office@firm.example", "+919876543210"}
    parts.add_bank_account(
        firm, actor=SYSTEM, holder="Firm", bank_name="Demo Bank", number="000098765432",
        number_again="000098765432", account_type="current", purpose="both", ifsc="ZZZB0000261",
    )  # fmt: skip
    deliver()
    sent = [message.render() for message in Message.objects.filter(code="partner_bank_account")]
    assert {each.address for each in sent} == {*admins, "thief@firm.example"}


def test_other_amendments_warn_nobody(user, deliver):
    firm = factories.ready_partner()
    user("PARTNER_ADMIN", of=firm)
    change = {"target": "partner", "field": "trade_name", "value": "New"}
    amendments.request_amendment(firm, actor=SYSTEM, changes=[change], reason="A new name in daily business.")
    deliver()
    assert not Message.objects.filter(code="partner_contact_changed").exists()


def test_suspension_twice_is_refused_and_a_grave_one_needs_another_person(user):
    director, other = user("INTERNAL_DIRECTOR"), user("INTERNAL_DIRECTOR")
    firm = factories.ready_partner()
    standing.suspend(firm, actor=director, reason_code="fraud_suspected", reason="Two buyers complained.")
    with pytest.raises(standing.InvalidState):
        standing.suspend(firm, actor=director, reason_code="other", reason="For the second time.")
    with pytest.raises(SelfApproval):
        standing.reactivate(firm, actor=director, reason="It was cleared up.")
    with unguarded_writes():
        Partner.objects.filter(pk=firm.pk).update(kyc_expiry_date=clock.today() - timedelta(days=1))
    with pytest.raises(standing.KycExpired):
        standing.reactivate(firm, actor=other, reason="It was cleared up.")
    with unguarded_writes():
        Partner.objects.filter(pk=firm.pk).update(kyc_expiry_date=clock.today())
    assert standing.reactivate(firm, actor=other, reason="It was cleared up.").status == "active"


def test_a_row_that_fails_holds_up_no_other(monkeypatch):
    rounds = [factories.file_of("draft") for _ in range(3)]
    with unguarded_writes():
        OnboardingRound.objects.update(expires_at=clock.now() - timedelta(days=1))
    end_round = submission.end_round

    def fail_once(round, status):
        if round.pk == min(each.pk for each in rounds):
            raise RuntimeError("broken row")
        end_round(round, status)

    monkeypatch.setattr(submission, "end_round", fail_once)
    assert keep_dates() == 2
    assert sorted(OnboardingRound.objects.values_list("status", flat=True)) == ["draft", "expired", "expired"]


def test_rows_that_fail_each_night_keep_no_later_ones_waiting(monkeypatch):
    """More of them than are read at once; the sweep goes on to the next."""
    rounds = [factories.file_of("draft") for _ in range(3)]
    with unguarded_writes():
        OnboardingRound.objects.update(expires_at=clock.now() - timedelta(days=1))
    monkeypatch.setattr(tasks, "CHUNK", 2)
    broken, end_round = sorted(row.pk for row in rounds)[:2], submission.end_round

    def fail(round, status):
        if round.pk in broken:
            raise RuntimeError("broken row")
        end_round(round, status)

    monkeypatch.setattr(submission, "end_round", fail)
    assert keep_dates() == 1


def test_a_file_is_assigned_to_staff_and_found_by_whom(user, client_for, emitted):
    round, compliance = factories.file_of("under_review"), user("INTERNAL_COMPLIANCE")
    onboarding.assign(round, actor=compliance, assigned_to=compliance)
    onboarding.assign(round, actor=compliance, assigned_to=compliance)
    (event,) = emitted("partner.onboarding.assigned")
    assert event.payload["assigned_to"] == str(compliance.pk)
    path = f"/api/v1/partners/onboarding?assigned_to={compliance.pk}"
    assert [row["id"] for row in client_for(compliance).read(path).json()["results"]] == [str(round.pk)]
    applicant = user("PARTNER_ADMIN", of=round.partner)
    assert client_for(applicant).read(path).json()["results"] == []
    with pytest.raises(CapabilityMissing):
        onboarding.assign(round, actor=user("INTERNAL"), assigned_to=None)
    assert onboarding.assign(round, actor=compliance).assigned_to is None


def test_a_cheque_of_a_removed_account_proves_no_other_one(user):
    """An account that is put in place of another needs a paper of its own."""
    finance, round = user("INTERNAL_FINANCE"), factories.file_of("info_requested")
    partner = round.partner
    old = PartnerBankAccount.objects.get(partner=partner)
    cheque = PartnerDocument.objects.get(partner=partner, document_type="cancelled_cheque")
    own = factories.document_of(
        round, "bank_proof", status="verified", target_type="bank_account", target_id=old.pk
    )
    corrections.remove_part(round, actor=SYSTEM, target="bank_account", target_id=old.pk)
    own.refresh_from_db()
    assert own.status == "superseded"
    new = parts.add_bank_account(
        partner, actor=SYSTEM, holder="Firm", bank_name="Demo Bank", number="000098765432",
        number_again="000098765432", account_type="current", purpose="both", ifsc="ZZZB0000261",
    )  # fmt: skip
    with pytest.raises(parts.ProofRequired):
        parts.verify_bank_account(new, actor=finance, method="cheque", document=cheque)
    with unguarded_writes():
        cheque.number = "0000-9876 5432"
        cheque.save()
    assert parts.verify_bank_account(new, actor=finance, method="cheque", document=cheque).is_primary


def test_a_cheque_verified_beside_two_accounts_proves_neither(user):
    firm = factories.file_of("approved").partner
    account = PartnerBankAccount.objects.get(partner=firm)
    parts.add_bank_account(
        firm, actor=SYSTEM, holder="Firm", bank_name="Demo Bank", number="000098765432",
        number_again="000098765432", account_type="current", purpose="both", ifsc="ZZZB0000261",
    )  # fmt: skip
    cheque = factories.document_of(firm.rounds.get(), "bank_proof", status="verified")
    with pytest.raises(parts.ProofRequired):
        parts.verify_bank_account(account, actor=user("INTERNAL_FINANCE"), method="cheque", document=cheque)


def test_the_reason_of_a_renewal_is_for_staff_only(user, client_for):
    firm = factories.file_of("approved").partner
    round = kyc.renew_kyc(firm, actor=user("INTERNAL"), kind="ad_hoc", reason="A competitor complained.")
    path = f"/api/v1/partners/onboarding/{round.pk}"
    assert client_for(user("INTERNAL")).read(path).json()["reason"] == "A competitor complained."
    own = client_for(user("PARTNER_ADMIN", of=firm))
    assert own.read(path).json()["reason"] is None
    with unguarded_writes():
        OnboardingRound.objects.filter(pk=round.pk).update(status="rejected")
    assert own.read(path).json()["reason"] == "A competitor complained."


def test_an_own_bank_account_is_not_verified_and_a_further_one_needs_a_call(user):
    finance, other = user("INTERNAL_FINANCE"), user("INTERNAL_FINANCE")
    firm = factories.file_of("approved").partner
    first = PartnerBankAccount.objects.get(partner=firm)
    with pytest.raises(parts.BankCheckPending):
        parts.verify_bank_account(first, actor=finance, method="penny_drop")
    cheque = factories.document_of(firm.rounds.get(), "bank_proof", status="verified")
    done = parts.verify_bank_account(first, actor=finance, method="cheque", document=cheque)
    assert (done.is_primary, done.payable_from > clock.now() + timedelta(hours=71)) == (True, True)
    second = parts.add_bank_account(
        firm, actor=finance, holder="Firm", bank_name="Demo Bank", number="000098765432",
        number_again="000098765432", account_type="current", purpose="both", ifsc="ZZZB0000261",
    )  # fmt: skip
    with pytest.raises(SelfApproval):
        parts.verify_bank_account(second, actor=finance, method="cheque", document=cheque)
    with pytest.raises(parts.ProofRequired):  # the cheque of the first account
        parts.verify_bank_account(
            second, actor=other, method="cheque", document=cheque, call_back_note="Called."
        )
    cheque = factories.document_of(
        firm.rounds.get(), "bank_proof", status="verified", target_type="bank_account", target_id=second.pk
    )
    with pytest.raises(parts.CallBackRequired):
        parts.verify_bank_account(second, actor=other, method="cheque", document=cheque)
    foreign = factories.document_of(factories.file_of("approved"), "bank_proof", status="verified")
    called = {"call_back_phone": firm.contact_phone, "call_back_note": "Called."}
    with pytest.raises(parts.ProofRequired):
        parts.verify_bank_account(second, actor=other, method="cheque", document=foreign, **called)
    for days in (None, 29):  # not on file at all, or too short a time
        if days is not None:
            factories.on_file(firm, firm.contact_phone, days)
        with pytest.raises(parts.CallBackPhoneNew):
            parts.verify_bank_account(second, actor=other, method="cheque", document=cheque, **called)
    factories.on_file(firm, firm.contact_phone, 31)
    with pytest.raises(parts.CallBackPhoneNew):
        parts.verify_bank_account(
            second,
            actor=other,
            method="cheque",
            document=cheque,
            **{**called, "call_back_phone": "+919800000000"},
        )
    parts.verify_bank_account(second, actor=other, method="cheque", document=cheque, **called)
    second.refresh_from_db()
    assert second.is_primary is False


def test_a_vehicle_is_roadworthy_with_four_valid_papers_and_unique_while_in_use():
    round = factories.file_of("approved")
    firm = round.partner
    with unguarded_writes():
        PartnerRole(
            partner=firm,
            role="service_provider",
            service_kind="transporter",
            transporter_kind="lorry_owner",
            live=True,
        ).save()
    truck = parts.add_vehicle(
        firm, actor=SYSTEM, number="GJ03BT4321", category="truck", owner_name="Firm", capacity_tonnes=16
    )
    papers_of = {"target_type": "vehicle", "target_id": truck.pk, "status": "verified"}
    for kind in ("vehicle_rc", "vehicle_insurance", "vehicle_fitness"):
        factories.document_of(round, kind, **papers_of)
    day = clock.today()
    assert not Vehicle.objects.roadworthy(day).exists()
    factories.document_of(round, "vehicle_permit", expiry_date=day, **papers_of)
    assert Vehicle.objects.roadworthy(day).exists()
    assert not Vehicle.objects.roadworthy(day + timedelta(days=1)).exists()
    with pytest.raises(parts.VehicleTaken):
        parts.add_vehicle(
            firm, actor=SYSTEM, number="GJ03BT4321", category="truck", owner_name="Firm", capacity_tonnes=16
        )


@pytest.mark.django_db(transaction=True)
def test_two_administrators_who_deactivate_each_other_leave_one(user):
    firm = factories.ready_partner()
    pair = [user("PARTNER_ADMIN", of=firm) for _ in range(2)]
    with unguarded_writes():
        rows = [
            PartnerEmployee(
                partner=firm,
                user=person,
                name="A",
                email=person.email,
                phone="+919876543211",
                roles=["PARTNER_ADMIN"],
                status="active",
            )
            for person in pair
        ]
        for row in rows:
            row.save()
    at_once(
        lambda: people.deactivate_employee(rows[1], actor=pair[0]),
        lambda: people.deactivate_employee(rows[0], actor=pair[1]),
    )
    assert PartnerEmployee.objects.filter(status="active").count() == 1


def test_another_firms_person_gives_one_answer(user):
    firm, taken = factories.ready_partner(), user("SELLER")
    person = {"name": "Meena Shah", "email": taken.email, "phone": "+919876543211", "roles": ["SELLER"]}
    with pytest.raises(people.EmployeeUnavailable):
        people.invite_employee(firm, actor=user("PARTNER_ADMIN", of=firm), **person)
    with pytest.raises(people.RolesNotHeld):
        people.invite_employee(
            firm, actor=SYSTEM, **{**person, "email": "new@firm.example", "roles": ["BROKER"]}
        )


def test_what_ran_out_ends(set_clock):
    draft = factories.file_of("draft")
    paper = factories.document_of(
        factories.file_of("approved"), "itr", status="verified", expiry_date=clock.today() + timedelta(days=1)
    )
    set_clock(clock.now() + timedelta(days=31))
    assert keep_dates() >= 2
    draft.refresh_from_db()
    paper.refresh_from_db()
    assert (draft.status, paper.status) == ("expired", "expired")
    assert Partner.objects.get(pk=draft.partner_id).status == "closed"


def test_the_applicant_is_told_in_its_language(user, deliver):
    notifications.load_templates(actor=SYSTEM)
    for locale, subject in (("en-IN", "is approved"), ("hi-IN", "स्वीकृति"), ("gu-IN", "મંજૂર")):
        person = user("APPLICANT", locale=locale)
        file = factories.file_of("under_review", applicant=person)
        decisions.approve(file.partner, actor=user("INTERNAL_MANAGER"))
        deliver()
        message = Message.objects.get(user=person, code="partner_approved")
        rendered = message.render()
        assert subject in rendered.subject
        assert str(file.partner) in rendered.body


def test_every_notice_of_partners_has_texts_and_values(user, deliver):
    notifications.load_templates(actor=SYSTEM)
    firm = factories.ready_partner(kyc_expiry_date=clock.today() + timedelta(days=7))
    user("PARTNER_ADMIN", of=firm)
    keep_kyc_calendar()
    standing.suspend(firm, actor=user("INTERNAL_DIRECTOR"), reason_code="other", reason="For this test only.")
    deliver()
    found = {
        message.code: message.render().body for message in Message.objects.filter(code__startswith="partner_")
    }
    assert found.keys() == {"partner_expiry", "partner_suspended"}
    assert "KYC" in found["partner_expiry"]


def test_figures_of_the_queue_are_measured():
    factories.file_of("under_review")
    names = {metric.name for metric in partner_queues()}
    assert names == {
        "erp_partner_rounds", "erp_partner_review_age_seconds", "erp_partner_checks_pending",
        "erp_partner_holds_overdue",
    }  # fmt: skip


def test_registrations_in_use_are_checked_again_once_a_month_also_after_downtime(set_clock):
    firm, draft = factories.file_of("approved").partner, factories.file_of("draft").partner
    registration, now = firm.tax_registrations.get(), clock.now()
    with unguarded_writes():
        firm.tax_registrations.update(checked_at=now, registry_status="active")
    first = clock.instant(clock.today().replace(day=1) + timedelta(days=32), time(6), clock.KOLKATA)
    set_clock(first.replace(day=1) - timedelta(days=2))
    assert tasks.recheck_registrations() == 0
    set_clock(first.replace(day=9))  # it didn't run on the first
    tasks.recheck_registrations()
    check = KycCheck.objects.get(kind="gst", subject_id=registration.pk)
    assert (check.status, check.round, check.mandatory) == ("pending", None, True)
    tasks.recheck_registrations()
    assert KycCheck.objects.filter(kind="gst").count() == 1
    checks.record_check(
        check, actor=SYSTEM, input_hash=check.input_hash, answer={"status": "cancelled", "legal_name": "Firm"}
    )
    registration.refresh_from_db()
    assert registration.registry_status == "cancelled"
    assert tasks.recheck_registrations() == 0
    set_clock(first.replace(day=9) + timedelta(days=31))
    assert tasks.recheck_registrations() == 1
    check.refresh_from_db()
    assert (check.status, check.answered_at) == ("pending", None)
    assert not KycCheck.objects.filter(partner=draft, kind="gst").exists()


def test_a_monthly_score_counts_where_it_moves_far_or_into_another_category(set_clock, emitted):
    firm = factories.ready_partner(trust_score=55, risk_category="medium")  # its facts give 40
    near = factories.ready_partner(trust_score=45, risk_category="medium")
    fell = factories.ready_partner(trust_score=41, risk_category="high")
    assert tasks.rescore_partners() == 2
    rows = {row.pk: row for row in Partner.objects.all()}
    assert [rows[each.pk].trust_score for each in (firm, near, fell)] == [40, 45, 40]
    (told,) = emitted("partner.trust_score_changed", aggregate_id=firm.pk)
    assert (told.payload["old"], told.payload["new"]) == (55, 40)
    with unguarded_writes():
        Partner.objects.filter(pk=firm.pk).update(trust_score=90)
    assert tasks.rescore_partners() == 0
    following = (clock.today().replace(day=1) + timedelta(days=33)).replace(day=3)
    set_clock(clock.instant(following, time(6), clock.KOLKATA))
    assert tasks.rescore_partners() == 1
    assert Partner.objects.get(pk=firm.pk).trust_score == 40


def test_a_registry_that_is_down_lowers_no_score():
    firm = factories.ready_partner(trust_score=40, risk_category="medium")
    with unguarded_writes():
        KycCheck(partner=firm, kind="pan", subject_id=firm.pk, mandatory=True).save()
    assert tasks.rescore_partners() == 0


def test_only_a_new_band_is_told(emitted):
    firm = factories.ready_partner()
    counts = {"trades": 4, "paid_in_time": 4, "delivered_in_time": 4, "quality_accepted": 3, "disputed": 0}
    for rating, band in ((Decimal("4.60"), "A"), (Decimal("4.70"), "A"), (Decimal("4.10"), "B")):
        kyc.record_rating(firm, actor=SYSTEM, **counts, rating=rating, band=band)
    told = [event.payload for event in emitted("partner.rated", aggregate_id=firm.pk)]
    assert [(each["previous_band"], each["band"]) for each in told] == [(None, "A"), ("A", "B")]
    assert firm.scorecard.rating == Decimal("4.10")
