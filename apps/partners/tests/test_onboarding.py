"""Applications: what is refused, who decides, and what never happens (partners §8)."""

from datetime import timedelta

import pytest

from apps.accounts.models import User
from apps.partners.models import (
    KycCheck,
    OnboardingRound,
    Partner,
    PartnerBankAccount,
    PartnerDocument,
    TaxRegistration,
    TradePermission,
)
from apps.partners.services import (
    amendments,
    checks,
    corrections,
    decisions,
    onboarding,
    papers,
    parts,
    submission,
)
from apps.partners.services.permissions import wanted_permissions
from apps.partners.tasks import approve_automatically
from apps.partners.tests import factories
from erp import clock
from erp.access import SYSTEM
from erp.clients.sandbox import TIMEOUT
from erp.errors import CapabilityMissing, Invalid, SelfApproval
from erp.models import unguarded_writes
from erp.services import Refusal
from erp.testing import at_once

pytestmark = pytest.mark.django_db
SUBMIT = {"declaration": True, "terms_version": "1", "notice_version": "1", "consent_purposes": ["essential"]}


def start(actor=SYSTEM, **fields):
    file = onboarding.start_onboarding(actor=actor, profile=factories.profile(**fields))
    if actor is not SYSTEM:
        actor.refresh_from_db()  # it applies for the partner now
    return file


def refused(error, **fields):
    with pytest.raises(error) as caught:
        start(**fields)
    return [item.pointer for item in caught.value.errors]


def test_rules_between_fields_are_named_at_their_field():
    number = factories.pan()
    other = factories.gstin(factories.pan())
    assert refused(onboarding.PanMismatch, number=number, gstin=other) == ["/gstin"]
    assert refused(onboarding.HolderClassMismatch, legal_form="private_limited") == ["/pan"]
    assert refused(onboarding.PinStateMismatch, address={**factories.ADDRESS, "postal_code": "641004"}) == [
        "/address/postal_code"
    ]
    assert refused(onboarding.RolesConflict, roles=["seller", "trader"]) == ["/roles"]
    assert refused(onboarding.GstRequired, gstin=None) == ["/gstin"]
    assert refused(
        onboarding.CountryBlocked, country="IR", foreign_tax_id_type="OTHER", foreign_tax_id="1"
    ) == ["/country"]
    owners = [
        {"name": "A Patel", "kind": "partner", "share_percent": 60},
        {"name": "B", "kind": "partner", "share_percent": 41},
    ]
    assert refused(onboarding.OwnerShareExceeded, owners=owners) == ["/owners"]
    assert refused(onboarding.IecMismatch, iec=factories.pan()) == ["/iec"]
    assert refused(Invalid, roles=["service_provider"]) == ["/service_kinds"]
    assert refused(Invalid, incorporation_date=clock.today() + timedelta(days=1)) == ["/incorporation_date"]
    assert not Partner.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_starts_of_one_applicant_at_once_make_one_file(user):
    person = user("APPLICANT")
    results = at_once(*[lambda: start(person)] * 4)
    made = [each for each in results if isinstance(each, OnboardingRound)]
    assert len(made) == 1
    assert all(isinstance(each, OnboardingRound | onboarding.OnboardingOpen) for each in results), results
    assert OnboardingRound.objects.count() == Partner.objects.count() == 1


def test_who_belongs_to_a_partner_starts_none(user):
    with pytest.raises(onboarding.AlreadyLinked):
        start(user("PARTNER_ADMIN"))
    with pytest.raises(CapabilityMissing):
        start(user("AUDITOR"))


def test_an_applicant_sees_its_own_file_and_no_other(user, client_for):
    mine, other = user("APPLICANT"), user("APPLICANT")
    file, foreign = start(mine), start(other)
    client = client_for(mine)
    path = "/api/v1/partners/onboarding"
    assert [row["id"] for row in client.read(path).json()["results"]] == [str(file.pk)]
    assert client.read(f"{path}/{foreign.pk}").status_code == 404
    assert client.read(f"/api/v1/partners/{foreign.partner_id}").status_code == 404
    assert client.read(f"/api/v1/partners/{foreign.partner_id}/documents").status_code == 404
    # A partner's id isn't one of a file.
    assert client.read(f"{path}/{file.partner_id}").status_code == 404


def test_a_draft_is_saved_as_a_whole_and_equal_values_change_nothing(user, emitted):
    person = user("APPLICANT")
    profile = factories.profile()
    file = onboarding.start_onboarding(actor=person, profile=profile)
    person.refresh_from_db()
    onboarding.save_draft(file, actor=person, profile=profile)
    assert emitted("partner.onboarding.updated") == []
    onboarding.save_draft(
        file, actor=person, profile={**profile, "trade_name": "Somnath", "roles": ["seller", "buyer"]}
    )
    (told,) = emitted("partner.onboarding.updated")
    assert told.payload["changed"] == ["roles", "trade_name"]
    file.partner.refresh_from_db()
    assert file.partner.version == 3


def test_an_incomplete_file_names_each_missing_item_and_changes_nothing(emitted):
    file = start()
    for kind in factories.SELLER_PAPERS:
        papers.add_document(file, actor=SYSTEM, file=factories.paper(kind), document_type=kind)
    with pytest.raises(submission.Incomplete) as caught:
        submission.submit(file, actor=SYSTEM, **SUBMIT)
    assert [item.pointer for item in caught.value.errors] == [
        "/checklist/principal_location",
        "/checklist/bank_account",
    ]
    assert emitted("partner.onboarding.submitted") == []
    assert not TaxRegistration.objects.filter(claimed=True).exists()


def test_an_applicant_who_is_no_owner_needs_a_letter_of_authority(user):
    person = user("APPLICANT")
    file = start(person, owners=[{"name": "Somebody Else", "kind": "partner"}])
    with pytest.raises(submission.Incomplete) as caught:
        submission.submit(file, actor=person, **SUBMIT)
    assert "/checklist/authorisation_letter" in [item.pointer for item in caught.value.errors]


def test_a_claimed_registration_is_refused_without_a_name_and_the_desk_sees_both(user, emitted, client_for):
    first = factories.submitted()
    number = first.partner.pan
    second = factories.complete(start(number=number, gstin=TaxRegistration.objects.get().gstin))
    answer = submission.submit(second, actor=SYSTEM, **SUBMIT)
    assert isinstance(answer, Refusal)
    assert str(first.partner_id) not in str(answer.problem.members) + answer.problem.detail
    (told,) = emitted("partner.duplicate_detected")
    assert told.payload["other_partner_id"] == str(first.partner_id)
    second.refresh_from_db()
    assert (second.status, TaxRegistration.objects.filter(claimed=True).count()) == ("draft", 1)
    # A withdrawal frees the registration.
    submission.withdraw(first, actor=SYSTEM)
    assert Partner.objects.get(pk=first.partner_id).status == "closed"
    assert isinstance(submission.submit(second, actor=SYSTEM, **SUBMIT), OnboardingRound)


@pytest.mark.django_db(transaction=True)
def test_of_two_files_with_one_registration_submitted_at_once_one_is_taken():
    first = factories.complete(start())
    number, gstin = first.partner.pan, TaxRegistration.objects.get().gstin
    second = factories.complete(start(number=number, gstin=gstin))
    results = at_once(*(lambda f=f: submission.submit(f, actor=SYSTEM, **SUBMIT) for f in (first, second)))
    assert sorted(type(each).__name__ for each in results) == ["OnboardingRound", "Refusal"]
    assert TaxRegistration.objects.filter(claimed=True).count() == 1


def test_no_file_is_approved_without_verified_papers_and_passed_checks(user):
    manager = user("INTERNAL_MANAGER")
    file = factories.submitted()
    with pytest.raises(decisions.InvalidState):
        decisions.approve(file.partner, actor=manager)
    factories.pass_checks(file)
    with pytest.raises(decisions.DocumentsOpen) as caught:
        decisions.approve(Partner.objects.get(), actor=manager)
    assert len(caught.value.errors) == 4
    ready = factories.file_of("under_review")
    with unguarded_writes():
        KycCheck.objects.filter(partner=ready.partner).update(status="review")
    with pytest.raises(decisions.ChecksOpen):
        decisions.approve(ready.partner, actor=manager)
    with unguarded_writes():
        KycCheck.objects.filter(partner=ready.partner).update(status="passed")
        PartnerDocument.objects.filter(partner=ready.partner, document_type="trade_license").update(
            expiry_date=clock.today() - timedelta(days=1)
        )
    with pytest.raises(decisions.DocumentsOpen):
        decisions.approve(ready.partner, actor=manager)


def test_nobody_who_made_or_edited_a_file_decides_on_it(user):
    manager = user("INTERNAL_MANAGER")
    boss = user()
    for person in (manager, boss):
        file = factories.file_of("under_review")
        with unguarded_writes():
            file.editors.create(user=person)
        for decide in (
            lambda f=file, p=person: decisions.approve(f.partner, actor=p),
            lambda f=file, p=person: decisions.reject(
                f.partner, actor=p, reason_code="other", reason="Not for us."
            ),
        ):
            with pytest.raises(SelfApproval):
                decide()
        file.partner.refresh_from_db()
        assert file.partner.status == "pending"


def test_a_directors_file_is_not_a_managers(user):
    file = factories.file_of("under_review")
    with unguarded_writes():
        file.route = "director"
        file.save()
    with pytest.raises(decisions.RouteNotAllowed):
        decisions.approve(file.partner, actor=user("INTERNAL_MANAGER"))
    assert decisions.approve(file.partner, actor=user("INTERNAL_DIRECTOR")).status == "active"


@pytest.mark.django_db(transaction=True)
def test_twenty_approvals_a_rejection_and_a_withdrawal_at_once_have_one_winner(user, emitted):
    file = factories.file_of("under_review")
    managers = [user("INTERNAL_MANAGER") for _ in range(3)]
    acts = [lambda n=n: decisions.approve(file.partner, actor=managers[n % 3]) for n in range(8)]
    acts.append(
        lambda: decisions.reject(file.partner, actor=managers[0], reason_code="other", reason="Not for us.")
    )
    acts.append(lambda: submission.withdraw(file, actor=SYSTEM))
    results = at_once(*acts)
    assert sum(not isinstance(each, Exception) for each in results) == 1, results
    told = [emitted(f"partner.{each}") for each in ("approved", "rejected", "onboarding.withdrawn")]
    assert sum(map(len, told)) == 1


def test_a_rejection_frees_the_registration_and_bars_the_firm_until_its_day(user):
    person = user("APPLICANT")
    file = factories.file_of("under_review", applicant=person)
    later = clock.today() + timedelta(days=30)
    decisions.reject(
        file.partner, actor=user("INTERNAL_MANAGER"), reason_code="incomplete", reason="The licence is old.",
        reapply_date=later,
    )  # fmt: skip
    assert not TaxRegistration.objects.filter(claimed=True).exists()
    partner = Partner.objects.get(pk=file.partner_id)
    profile = factories.profile(number=partner.pan)
    with pytest.raises(onboarding.ReapplyBlocked):
        onboarding.start_onboarding(actor=person, profile=profile, partner=partner)
    with unguarded_writes():
        Partner.objects.filter(pk=partner.pk).update(reapply_date=clock.today())
    again = onboarding.start_onboarding(actor=person, profile=profile, partner=partner)
    assert (again.partner_id, again.number) == (partner.pk, 2)
    with unguarded_writes():
        Partner.objects.filter(pk=partner.pk).update(status="rejected")
        OnboardingRound.objects.filter(pk=again.pk).update(status="rejected", reason_code="document_forged")
    with pytest.raises(onboarding.ReapplyBlocked):
        onboarding.start_onboarding(actor=person, profile=profile, partner=partner)


def test_the_desk_asks_and_only_changed_inputs_are_asked_again(user):
    person, manager = user("APPLICANT"), user("INTERNAL_MANAGER")
    file = factories.submitted(person)
    factories.pass_checks(file)
    file.refresh_from_db()
    onboarding.request_info(file, actor=manager, items=[{"text": "Which year is the licence of?"}])
    file.refresh_from_db()
    with pytest.raises(onboarding.AnswersMissing):
        submission.respond(file, actor=person, answers=[])
    answers = [{"item_id": item.pk, "text": "2025-26."} for item in file.items.all()]
    submission.respond(file, actor=person, answers=answers)
    file.refresh_from_db()
    assert (file.status, KycCheck.objects.filter(status="pending").count()) == ("under_review", 0)
    onboarding.request_info(file, actor=manager, items=[{"text": "Is the name spelled so?"}])
    file.refresh_from_db()
    gstin = TaxRegistration.objects.get().gstin
    changed = {
        **factories.profile(number=file.partner.pan, gstin=gstin),
        "legal_name": "Another Name Ginning",
    }
    answers = [{"item_id": item.pk, "text": "Now it is."} for item in file.items.filter(answered_at=None)]
    submission.respond(file, actor=person, answers=answers, profile=changed)
    file.refresh_from_db()
    pending = set(KycCheck.objects.filter(status="pending").values_list("kind", flat=True))
    assert (file.status, pending) == ("verification_pending", {"gst", "pan"})


def test_a_late_answer_for_a_changed_input_and_a_second_answer_are_dropped(emitted):
    file = factories.submitted()
    check = KycCheck.objects.get(kind="pan")
    good = {"valid": True, "operative": True, "name": file.partner.legal_name}
    dropped = checks.record_check(check, actor=SYSTEM, input_hash="another", answer=good)
    assert dropped.status == "pending"
    checks.record_check(check, actor=SYSTEM, input_hash=check.input_hash, answer=good)
    bad = {"valid": False}
    assert (
        checks.record_check(check, actor=SYSTEM, input_hash=check.input_hash, answer=bad).status == "passed"
    )
    assert len(emitted("partner.check.recorded")) == 1


@pytest.mark.parametrize(
    ("declared", "answered", "fits"),
    [
        ("Shree Somnath Ginning & Pressing", "SHREE SOMNATH GINNING AND PRESSING", True),
        ("Kovai Spinners Pvt Ltd", "KOVAI SPINNERS PRIVATE LIMITED", True),
        ("Mahalaxmi Ginning Factory", "Mahavir Ginning Factory", False),
        ("Shree Somnath Ginning", "Somebody Else Altogether", False),
        ("Cotton Traders", "Cotton Traders", True),
    ],
)
def test_names_fit_as_a_whole_and_without_the_words_of_the_trade(declared, answered, fits):
    assert checks.names_fit(declared, answered)[1] is fits


@pytest.mark.parametrize(
    ("gstin", "outcome"),
    [
        ("24ZZZCT9003H1ZT", TIMEOUT),
        ("24ZZZCT9001H1ZV", (503, {})),
        ("24ZZZCT9005H1ZR", (429, {})),
        ("24ZZZCT9004H1ZS", "suspended"),
        ("24ZZZCT9899H1ZX", "cancelled"),
        ("24ZZZCT9006H1ZQ", "not_found"),
        ("24ZZZCT9007H1ZP", "active"),
        ("24ZZZFS1001A1ZK", "active"),
    ],
)
def test_the_sandbox_answers_by_the_check_character(gstin, outcome):
    from apps.partners.clients.sandbox import PLAY

    answer = PLAY["/taxpayers"]("/taxpayers", {"gstin": gstin, "name": "Firm"})
    assert (answer if isinstance(outcome, tuple) or outcome == TIMEOUT else answer[1]["status"]) == outcome


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"status": "active", "legal_name": "SAME"}, "passed"),
        ({"status": "active", "legal_name": "Somebody Else Altogether"}, "review"),
        ({"status": "suspended", "legal_name": "SAME"}, "failed"),
        ({"status": "not_found"}, "failed"),
    ],
)
def test_a_registrys_answer_passes_fails_or_needs_a_look(answer, status):
    file = factories.submitted()
    check = KycCheck.objects.get(kind="gst")
    answer = {**answer, "legal_name": answer.get("legal_name", "").replace("SAME", file.partner.legal_name)}
    checks.record_check(check, actor=SYSTEM, input_hash=check.input_hash, answer=answer)
    check.refresh_from_db()
    assert check.status == status


def test_the_parts_of_a_score_add_up_and_a_missing_answer_is_never_good():
    file = factories.submitted(legal_form="llp")
    parts = checks.score_parts(file.partner, list(file.checks.all()), clock.today())
    assert (parts["age"], parts["legal_form"], parts["open_checks"]) == (-15, 10, -20)
    assert "laboratory" not in parts
    factories.pass_checks(file)
    file.refresh_from_db()
    assert file.trust_score == max(0, min(100, 50 + sum(file.score_parts.values())))
    assert (checks.category_of(70), checks.category_of(40), checks.category_of(20), checks.category_of(19)) == (
        "low", "medium", "high", "critical",
    )  # fmt: skip


def test_a_firm_with_a_known_pan_goes_to_the_director():
    known = factories.ready_partner()
    file = factories.submitted(number=known.pan)
    factories.pass_checks(file)
    file.refresh_from_db()
    assert file.route == "director"


def test_no_answer_to_the_applicant_holds_score_or_route(user, client_for):
    person = user("APPLICANT")
    file = factories.file_of("under_review", applicant=person)
    mine = client_for(person).read(f"/api/v1/partners/onboarding/{file.pk}").json()
    assert (mine["trust_score"], mine["risk_category"], mine["route"]) == (None, None, None)
    desk = client_for(user("INTERNAL_MANAGER")).read(f"/api/v1/partners/onboarding/{file.pk}").json()
    assert (desk["trust_score"], desk["route"]) == (60, "manager")


def test_masks_hide_numbers_from_other_staff_and_show_them_to_the_own_admin(user, client_for):
    firm = factories.ready_partner(contact_email="office@firm.example", contact_phone="+919876543210")
    path = f"/api/v1/partners/{firm.pk}"
    desk = client_for(user("INTERNAL")).read(path).json()
    assert (desk["pan"], desk["contact_phone"]) == ("XXXXXX" + firm.pan[-4:], "XXXXXXXXX3210")
    assert client_for(user("INTERNAL_COMPLIANCE")).read(path).json()["pan"] == firm.pan
    assert client_for(user("PARTNER_ADMIN", of=firm)).read(path).json()["pan"] == firm.pan
    assert client_for(user("SELLER", of=firm)).read(path).json()["pan"] != firm.pan


def test_a_firm_is_found_by_its_whole_number_only(user, client_for):
    firm = factories.ready_partner()
    desk = client_for(user("INTERNAL"))

    def found(text):
        rows = desk.read("/api/v1/partners", {"identifier": text}).json()["results"]
        return [row["id"] for row in rows]

    assert found(firm.pan) == [str(firm.pk)]
    assert found(firm.pan[:9]) == found("ZZZ") == []


def test_permissions_follow_papers_and_end_with_them():
    partner = factories.approved()
    held = set(TradePermission.objects.filter(partner=partner).values_list("name", flat=True))
    assert held == {"domestic_sell_india"}
    assert partner.reasons_against_business("sell") == []
    assert partner.reasons_against_business("buy") == ["role_not_usable", "permission_missing"]
    paper = PartnerDocument.objects.get(partner=partner, document_type="gst_certificate")
    with unguarded_writes():
        PartnerDocument.objects.filter(pk=paper.pk).update(expiry_date=clock.today() - timedelta(days=1))
    papers.expire_document(paper, actor=SYSTEM)
    assert not TradePermission.objects.filter(partner=partner).exists()
    assert partner.reasons_against_business("sell") == ["role_not_usable", "permission_missing"]


@pytest.mark.parametrize(
    ("indian", "roles", "papers_held", "names"),
    [
        (True, ["trader"], ["gst_certificate", "pan_card"], {"domestic_buy_india", "domestic_sell_india"}),
        (True, ["seller"], ["gst_certificate", "pan_card", "iec"], {"domestic_sell_india", "export_allowed"}),
        (True, ["seller"], ["iec"], set()),
        (True, ["broker"], ["gst_certificate", "pan_card", "iec"], set()),
        (
            False,
            ["trader"],
            ["tax_id_certificate"],
            {"domestic_buy_home_country", "domestic_sell_home_country"},
        ),
        (
            False,
            ["buyer"],
            ["tax_id_certificate", "foreign_import_license"],
            {"domestic_buy_home_country", "import_allowed"},
        ),
        (False, ["seller"], ["gst_certificate", "pan_card"], set()),
    ],
)
def test_what_papers_permit(indian, roles, papers_held, names):
    partner = Partner(country="IN" if indian else "AE")
    from apps.partners.models import PartnerRole

    held = {paper: clock.today() for paper in papers_held}
    found = wanted_permissions(partner, [PartnerRole(role=role) for role in roles], held, registered=True)
    assert set(found) == names


def test_kyc_is_read_from_dates():
    firm = factories.ready_partner(kyc_expiry_date=clock.today())
    day = clock.today()
    assert [firm.kyc_on(day + timedelta(days=n)) for n in (0, 1, 30, 31)] == [
        "valid",
        "grace",
        "grace",
        "lapsed",
    ]
    assert firm.reasons_against_business("sell", day) == []
    assert firm.reasons_against_business("sell", day + timedelta(days=1)) == ["kyc_expired"]


def test_the_applicant_becomes_administrator_and_only_an_applicant_can(user):
    person = user("APPLICANT")
    file = factories.file_of("under_review", applicant=person)
    decisions.approve(file.partner, actor=user("INTERNAL_MANAGER"))
    person = User.objects.get(pk=person.pk)
    assert (person.user_type, person.partner_id, person.role_names) == (
        "EXTERNAL", file.partner_id, ["PARTNER_ADMIN", "SELLER"],
    )  # fmt: skip


def test_low_risk_is_approved_automatically_only_where_that_is_switched_on(settings):
    file = factories.file_of("under_review")
    open_paper = factories.file_of("under_review")
    with unguarded_writes():
        OnboardingRound.objects.update(route="auto", trust_score=80, risk_category="low")
        PartnerDocument.objects.filter(partner=open_paper.partner, document_type="pan_card").update(
            status="uploaded"
        )
    assert approve_automatically() == 0
    settings.PARTNER_AUTO_APPROVAL = True
    assert approve_automatically() == 1
    states = Partner.objects.in_bulk([file.partner_id, open_paper.partner_id])
    assert [states[key].status for key in (file.partner_id, open_paper.partner_id)] == ["active", "pending"]


def test_who_settled_a_check_by_hand_does_not_approve(user):
    manager = user("INTERNAL_MANAGER")
    file = factories.file_of("under_review")
    with unguarded_writes():
        KycCheck.objects.filter(round=file).update(status="review")
    checks.settle_check(
        KycCheck.objects.get(round=file), actor=manager, reason="Seen on the portal of the registry."
    )
    with pytest.raises(SelfApproval):
        decisions.approve(file.partner, actor=manager)
    assert (
        decisions.approve(Partner.objects.get(pk=file.partner_id), actor=user("INTERNAL_MANAGER")).status
        == "active"
    )


def test_a_barred_applicant_does_not_start_another_file(user):
    person = user("APPLICANT")
    file = factories.file_of("under_review", applicant=person)
    decisions.reject(
        file.partner,
        actor=user("INTERNAL_MANAGER"),
        reason_code="document_forged",
        reason="The licence is forged.",
    )
    with pytest.raises(onboarding.ReapplyBlocked):
        start(person)


def test_a_paper_of_an_owner_is_none_of_the_firm(user):
    file = factories.file_of("under_review")
    with unguarded_writes():
        PartnerDocument.objects.filter(partner=file.partner, document_type="pan_card").update(
            target_type="owner"
        )
    with pytest.raises(decisions.DocumentsOpen):
        decisions.approve(file.partner, actor=user("INTERNAL_MANAGER"))


def test_a_cancelled_registration_ends_what_it_gave():
    partner = factories.approved()
    registration = TaxRegistration.objects.get(partner=partner)
    check = KycCheck(
        partner=partner, kind="gst", subject_id=registration.pk, input_hash="x", next_attempt_at=clock.now()
    )
    with unguarded_writes():
        check.save()
    checks.record_check(check, actor=SYSTEM, input_hash="x", answer={"status": "cancelled"})
    assert not TradePermission.objects.filter(partner=partner).exists()


def test_a_refused_registration_with_a_new_profile_is_a_refusal_and_no_failure(user, client_for, emitted):
    taken = factories.submitted()
    person = user("APPLICANT")
    number = taken.partner.pan
    file = factories.complete(start(person), person)
    profile = factories.profile(number=number, gstin=TaxRegistration.objects.get(partner=taken.partner).gstin)
    answer = client_for(person).write(
        f"/api/v1/partners/onboarding/{file.pk}/submit", {**SUBMIT, "profile": profile}
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "partner.duplicate_registration")
    assert len(emitted("partner.duplicate_detected")) == 1


def test_a_mistaken_part_is_taken_out_of_a_draft_with_its_papers():
    round = factories.file_of("draft")
    partner = round.partner
    branch = parts.add_location(
        partner, actor=SYSTEM, code="BR", name="Branch", kind="branch_different_state",
        gstin=factories.gstin(partner.pan, "27"),
        address={**factories.ADDRESS, "state_code": "27", "postal_code": "400002"},
    )  # fmt: skip
    proof = factories.document_of(round, "other", target_type="location", target_id=branch.pk)
    corrections.remove_part(round, actor=SYSTEM, target="location", target_id=branch.pk)
    assert not partner.locations.filter(pk=branch.pk).exists()
    assert partner.tax_registrations.get().is_main
    proof.refresh_from_db()
    assert proof.status == "superseded"
    account = PartnerBankAccount.objects.get(partner=partner)
    corrections.remove_part(round, actor=SYSTEM, target="bank_account", target_id=account.pk)
    with pytest.raises(submission.Incomplete):
        submission.submit(OnboardingRound.objects.get(pk=round.pk), actor=SYSTEM, **SUBMIT)


def test_parts_stay_in_a_file_that_is_decided_and_of_others(user):
    pending, other = factories.file_of("under_review"), factories.file_of("draft")
    place = pending.partner.locations.get()
    with pytest.raises(corrections.InvalidState):
        corrections.remove_part(pending, actor=SYSTEM, target="location", target_id=place.pk)
    with pytest.raises(Invalid):
        corrections.remove_part(other, actor=SYSTEM, target="location", target_id=place.pk)
    account = PartnerBankAccount.objects.get(partner=other.partner)
    with pytest.raises(CapabilityMissing):
        corrections.remove_part(other, actor=user("INTERNAL"), target="bank_account", target_id=account.pk)
    with unguarded_writes():
        account.status, account.verified_by, account.verified_at = "verified", user("INTERNAL"), clock.now()
        account.payable_from = clock.now()
        account.save()
    with pytest.raises(corrections.InvalidState):
        corrections.remove_part(other, actor=SYSTEM, target="bank_account", target_id=account.pk)


def test_whoever_entered_what_is_checked_after_the_approval_does_not_settle_it(user):
    firm = factories.ready_partner()
    compliance, other = user("INTERNAL_COMPLIANCE"), user("INTERNAL_COMPLIANCE")
    amendment = amendments.request_amendment(
        firm, actor=compliance, reason="The deed of partnership was changed.",
        changes=[{"target": "partner", "target_id": None, "field": "legal_name", "value": "Another Firm"}],
        effective_date=None,
    )  # fmt: skip
    amendments.approve_amendment(amendment, actor=user("INTERNAL_DIRECTOR"))
    own = KycCheck.objects.get(partner=firm, kind="pan", round=None)
    account = parts.add_bank_account(
        firm, actor=SYSTEM, holder="Firm", bank_name="Demo Bank", number="000098765432",
        number_again="000098765432", account_type="current", purpose="both", ifsc="ZZZB0000261",
    )  # fmt: skip
    with unguarded_writes():
        PartnerBankAccount.objects.filter(pk=account.pk).update(created_by=compliance)
    bank = KycCheck.objects.get(subject_id=account.pk)
    for check in (own, bank):
        with pytest.raises(SelfApproval):
            checks.settle_check(check, actor=compliance, reason="Seen on the portal of the registry.")
        settled = checks.settle_check(check, actor=other, reason="Seen on the portal of the registry.")
        assert settled.status == "passed"
