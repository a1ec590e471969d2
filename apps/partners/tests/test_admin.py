"""Partners in the staff portal: pages open, staff decide, numbers are masked."""

import pytest
from django.apps import apps
from django.contrib import admin
from django.urls import reverse

from apps.accounts.services import viewing
from apps.approvals.models import ApprovalRequest
from apps.partners.models import (
    CreditAccount,
    CreditLimit,
    KycCheck,
    OnboardingRound,
    Partner,
    PartnerBankAccount,
    PartnerDocument,
    PartyLink,
    PermissionOverride,
    TaxRegistration,
)
from apps.partners.services import links
from apps.partners.tests import factories
from erp import clock
from erp.access import SYSTEM
from erp.models import unguarded_writes
from erp.trail.models import ClearRead, Entry
from erp.uploads.models import StoredFile

pytestmark = pytest.mark.django_db
PAGES = [model for model in apps.get_app_config("partner").get_models() if admin.site.is_registered(model)]


def page(row, name="change"):
    return reverse(f"admin:partner_{row._meta.model_name}_{name}", args=[row.pk])


def verb(row, name):
    return reverse(f"admin:partner_{row._meta.model_name}_run", args=[row.pk, name])


def test_every_page_of_a_file_opens(user, staff_client_for):
    file = factories.file_of("under_review")
    factories.ready_partner()
    staff = staff_client_for(user())
    opened = set()
    for model in PAGES:
        assert staff.get(reverse(f"admin:partner_{model._meta.model_name}_changelist")).status_code == 200, (
            model
        )
        row = model._default_manager.first()
        if row is not None:
            assert staff.get(page(row)).status_code == 200, model
            opened.add(model)
    assert {OnboardingRound, Partner, PartnerDocument, PartnerBankAccount, CreditAccount} <= opened
    drawn = staff.get(page(file)).content.decode()
    assert "Trade licence" in drawn
    assert "Files of partners to review" in staff.get("/admin/").content.decode()


def test_the_desk_verifies_a_paper_and_approves_the_file(user, staff_client_for):
    file = factories.file_of("under_review")
    paper = factories.document_of(file, "itr")
    desk = staff_client_for(user("INTERNAL_COMPLIANCE"))
    assert desk.fill(verb(paper, "verify_document")).status_code == 302
    manager = staff_client_for(user("INTERNAL_MANAGER"))
    assert manager.fill(verb(file.partner, "approve"), notes="Complete.").status_code == 302
    file.partner.refresh_from_db()
    assert file.partner.status == "active"
    assert CreditAccount.objects.filter(partner=file.partner).exists()


def test_staff_start_a_file_on_behalf_of_a_firm(user, staff_client_for):
    number = factories.pan()
    form = {
        "roles": "seller", "legal_name": "Firm of Two", "legal_form": "partnership", "pan": number,
        "gstin": factories.gstin(number), "address.line1": "Station Road", "address.city": "Gondal",
        "address.state_code": "24", "address.postal_code": "360311", "contact.name": "Asha Patel",
        "contact.email": "office@two.example", "contact.phone": "+919876543210",
    }  # fmt: skip
    staff = staff_client_for(user("INTERNAL"))
    answer = staff.fill(reverse("admin:partner_onboardinground_add"), **form)
    assert answer.status_code == 302, answer.context["errors"]
    file = OnboardingRound.objects.get(partner__legal_name="Firm of Two")
    assert (file.partner.applicant, file.partner.pan) == (None, number)
    wrong = staff.fill(
        reverse("admin:partner_onboardinground_add"), **{**form, "address.postal_code": "641004"}
    )
    assert (wrong.status_code, wrong.context["errors"]["address.postal_code"]) == (
        422, ["This PIN code isn't of this state."],
    )  # fmt: skip


def test_numbers_are_clear_for_who_may_see_them_and_masked_for_others(user, staff_client_for):
    file = factories.file_of("under_review")
    number, gstin = file.partner.pan, TaxRegistration.objects.get(partner=file.partner).gstin
    for role, clear in (("INTERNAL", False), ("INTERNAL_COMPLIANCE", True)):
        staff = staff_client_for(user(role))
        drawn = staff.get(page(file.partner)).content.decode()
        assert (number in drawn) is clear
        assert ("office@firm.example" in drawn) is clear
        registration = staff.get(page(TaxRegistration.objects.get(partner=file.partner))).content.decode()
        assert (gstin in registration) is clear
        account = staff.get(page(PartnerBankAccount.objects.get(partner=file.partner))).content.decode()
        assert "000012341234" not in account


def test_a_check_that_waits_is_settled_by_hand(user, staff_client_for):
    file = factories.file_of("verification_pending")
    from erp.models import unguarded_writes

    with unguarded_writes():
        check = KycCheck(
            partner=file.partner, round=file, kind="gst", subject_id=file.partner_id, mandatory=True
        )
        check.save()
    staff = staff_client_for(user("INTERNAL_COMPLIANCE"))
    done = staff.fill(verb(check, "settle_check"), reason="Seen on the portal of the registry.")
    assert done.status_code == 302
    check.refresh_from_db()
    file.refresh_from_db()
    assert (check.status, file.status) == ("passed", "under_review")


def test_finance_sets_a_credit_limit(user, staff_client_for):
    account = CreditAccount.objects.get(partner=factories.ready_partner())
    staff = staff_client_for(user("INTERNAL_FINANCE"))
    from erp import clock

    done = staff.fill(
        verb(account, "set_credit_limit"), amount="20,00,000", currency="INR",
        valid_from=clock.today().strftime("%d/%m/%Y"), reason="Good payer for three years.",
    )  # fmt: skip
    assert done.status_code == 302, done.context["errors"]
    assert CreditLimit.objects.get().amount == 2_000_000
    assert "20,00,000" in staff.get(reverse("admin:partner_creditaccount_changelist")).content.decode()


def test_a_paper_is_downloaded_by_who_may_see_it_once_the_scan_is_done(user, staff_client_for):
    paper = factories.document_of(factories.file_of("under_review"), "itr")
    assert (
        staff_client_for(user("INTERNAL")).get(page(paper).replace("/change/", "/file/")).status_code == 404
    )
    staff = staff_client_for(user("INTERNAL_COMPLIANCE"))
    answer = staff.get(page(paper).replace("/change/", "/file/"))
    assert (answer.status_code, answer["X-Content-Type-Options"]) == (200, "nosniff")
    from erp.models import unguarded_writes

    with unguarded_writes():
        paper.file.scan_status = "refused"
        paper.file.save()
    assert staff.get(page(paper).replace("/change/", "/file/")).status_code == 404


def test_the_kyc_register_is_downloaded_by_who_may_print_it(user, staff_client_for):
    firm = factories.ready_partner()
    page = f"/admin/partner/partner/{firm.pk}"
    manager, desk = staff_client_for(user("INTERNAL_MANAGER")), staff_client_for(user("INTERNAL"))
    assert "kyc-register" in manager.get(f"{page}/change/").content.decode()
    assert manager.get(f"{page}/kyc-register/").content.startswith(b"%PDF")
    assert "kyc-register" not in desk.get(f"{page}/change/").content.decode()
    assert desk.get(f"{page}/kyc-register/").status_code == 403


def test_a_clear_read_by_staff_leaves_a_line_without_values(user, staff_client_for, caplog):
    caplog.set_level("INFO")
    firm = factories.file_of("under_review").partner
    reader = user("INTERNAL_COMPLIANCE")
    staff_client_for(user("INTERNAL")).get(page(firm))
    assert "sensitive_read" not in caplog.text
    staff_client_for(reader).get(page(firm))
    assert "sensitive_read" in caplog.text
    assert str(reader.pk) in caplog.text
    assert firm.pan not in caplog.text


def test_a_clear_read_is_a_line_of_the_history_and_of_the_trail(user, staff_client_for):
    firm, reader = factories.file_of("under_review").partner, user("INTERNAL_COMPLIANCE")
    staff_client_for(user("INTERNAL")).get(page(firm))
    assert not ClearRead.objects.exists()
    staff = staff_client_for(reader)
    staff.get(page(firm))
    (read,) = ClearRead.objects.all()
    assert (read.actor_id, read.row) == (reader.pk, str(firm.pk))
    assert {"pan", "contact_email", "contact_phone"} <= set(read.fields)
    (entry,) = Entry.objects.filter(table="trail_clearread")
    assert (entry.actor_id, entry.channel) == (reader.pk, "admin")
    tables = staff.get(page(firm, "history")).context["tables"]
    (line,) = next(table.rows for table in tables if table.title == "Read in full")
    assert line[1] == reader
    assert "PAN" in line[2]


def test_papers_are_shown_beside_the_declared_data_and_never_as_active_content(user, staff_client_for):
    file = factories.file_of("under_review")
    paper = factories.document_of(file, "itr")
    staff, other = staff_client_for(user("INTERNAL_COMPLIANCE")), staff_client_for(user("INTERNAL"))
    shown = {each.url: each for each in staff.get(page(file)).context["previews"]}
    address = page(paper).replace("/change/", "/file/") + "?inline"
    assert shown[address].media_type == paper.media_type
    assert f'src="{address}"' in staff.get(page(paper)).content.decode()
    assert other.get(page(file)).context["previews"] == []
    assert not ClearRead.objects.filter(row=str(paper.pk)).exists()
    answer = staff.get(address)
    assert answer["Content-Disposition"].startswith("inline")
    assert answer["Content-Type"] == paper.media_type
    assert "default-src 'none'" in answer["Content-Security-Policy"]
    assert answer["X-Frame-Options"] == "SAMEORIGIN"
    assert ClearRead.objects.get(row=str(paper.pk)).fields == ["file"]
    with unguarded_writes():
        StoredFile.objects.filter(pk=paper.file_id).update(media_type="text/html")
    assert staff.get(address)["Content-Type"] == "application/octet-stream"
    assert staff.get(address)["Content-Disposition"].startswith("attachment")


def test_staff_decide_on_related_parties_in_the_portal(user, staff_client_for):
    """A queue item with both files; the decision waits for a second person at the approvals."""
    pan, pair = factories.pan(), [factories.ready_partner(legal_name=name) for name in ("One", "Two")]
    with unguarded_writes():
        for firm in pair:
            firm.pan = pan
            firm.save()
    for firm in pair:
        links.find_links(Partner.objects.get(pk=firm.pk), actor=SYSTEM)
    link = PartyLink.objects.get(kind="pan")
    compliance = staff_client_for(user("INTERNAL_COMPLIANCE"))
    shown = compliance.get(page(link)).content.decode()
    assert "One" in shown
    assert "Two" in shown
    assert pan not in shown
    assert "Related parties to decide" in compliance.get("/admin/").content.decode()
    reason = "The deeds of both firms were seen."
    assert compliance.fill(verb(link, "decide_link"), status="cleared", reason=reason).status_code == 302
    link.refresh_from_db()
    assert (link.status, link.proposed_status) == ("suspected", "cleared")
    manager = staff_client_for(user("INTERNAL_MANAGER"))
    assert manager.get(verb(link, "decide_link")).status_code == 403
    assert manager.get(reverse("admin:partner_partylink_changelist")).status_code == 200


def test_staff_waive_a_check_and_give_a_permission_in_the_portal(user, staff_client_for):
    compliance = staff_client_for(user("INTERNAL_COMPLIANCE"))
    check = KycCheck.objects.get(round=factories.submitted(), kind="gst")
    assert "Waive" in compliance.get(page(check)).content.decode()
    reason = "The registry is down for a week."
    assert compliance.fill(verb(check, "waive_check"), reason=reason).status_code == 302
    firm = factories.ready_partner()
    assert "Give trade permission" in compliance.get(page(firm)).content.decode()
    form = {"name": "export_allowed", "valid_to": str(clock.today()), "reason": reason}
    assert compliance.fill(verb(firm, "override_permission"), **form).status_code == 302
    kinds = ApprovalRequest.objects.filter(status="pending").values_list("kind", flat=True)
    assert sorted(kinds) == ["partner.check_waiver", "partner.permission_override"]
    assert compliance.get(page(PermissionOverride.objects.get())).status_code == 200


def test_the_portal_offers_what_a_row_s_status_allows(user, staff_client_for):
    staff = staff_client_for(user("INTERNAL_DIRECTOR"))
    firm = factories.file_of("approved").partner
    with unguarded_writes():
        CreditAccount(id=firm.pk, partner=firm).save()
    for row, label in (
        (firm, "Renew KYC"),
        (CreditAccount.objects.get(partner=firm), "Set credit limit"),
        (KycCheck.objects.get(round=factories.submitted(), kind="pan"), "Settle by hand"),
    ):
        assert label in staff.get(page(row)).content.decode(), label


def test_a_view_as_a_partner_unmasks_only_what_who_views_sees_in_full(user, staff_client_for, caplog):
    caplog.set_level("INFO")
    firm = factories.file_of("under_review").partner
    paper = factories.document_of(firm.rounds.get(), "itr")
    user("PARTNER_ADMIN", of=firm)
    seen = {}
    for role in ("INTERNAL_MANAGER", "INTERNAL_COMPLIANCE"):
        viewer = user(role)
        viewing.start_view_as(actor=viewer, partner_id=firm.pk, reason="They ask what their file says.")
        staff = staff_client_for(viewer)
        caplog.clear()
        shown = staff.get(page(firm)).content.decode()
        file = staff.get(page(paper).replace("/change/", "/file/"))
        seen[role] = (firm.pan in shown, firm.contact_email in shown, file.status_code)
        assert (str(viewer.pk) in caplog.text) is (file.status_code == 200)
    assert seen == {"INTERNAL_MANAGER": (False, False, 404), "INTERNAL_COMPLIANCE": (True, True, 200)}
    assert ClearRead.objects.get().actor_id == viewer.pk
