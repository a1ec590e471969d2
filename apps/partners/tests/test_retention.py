"""Applications that led to nothing are erased when their time is over, through services, and nothing else is."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.utils.module_loading import autodiscover_modules

from apps.approvals.models import ApprovalRequest
from apps.partners.models import (
    IdentifierKey,
    InformationItem,
    KycCheck,
    OnboardingRound,
    Partner,
    PartnerBankAccount,
    PartnerDocument,
    PartnerLocation,
    PartnerOwner,
    TaxRegistration,
)
from apps.partners.services import retention as services
from apps.partners.tests import factories
from erp import clock, retention
from erp.access import SYSTEM
from erp.models import unguarded_writes
from erp.tasks import purge_personal_data
from erp.trail.models import Entry
from erp.uploads.models import FileContent, StoredFile

pytestmark = pytest.mark.django_db


def ended(status, days, user=None, **fields):
    """An application that ended so many days ago."""
    autodiscover_modules("retention")
    round = factories.file_of(status, applicant=user, **fields)
    at = clock.now() - timedelta(days=days)
    with unguarded_writes():
        OnboardingRound.objects.filter(pk=round.pk).update(updated_at=at, decided_at=at)
    return round.partner


def never_submitted(status, days):
    partner = ended(status, days)
    with unguarded_writes():
        OnboardingRound.objects.filter(partner=partner).update(submitted_at=None)
        Partner.objects.filter(pk=partner.pk).update(status="closed")
    return partner


@pytest.mark.parametrize(
    ("status", "days", "is_due"),
    [
        ("rejected", 366, True),
        ("rejected", 364, False),
        ("withdrawn", 366, True),
        ("approved", 4000, False),
        ("under_review", 4000, False),
        ("draft", 4000, False),
    ],
)
def test_a_submitted_application_is_erased_a_year_after_its_end(status, days, is_due):
    firm = ended(status, days)
    purge_personal_data()
    firm.refresh_from_db()
    assert (firm.erased_at is not None) is is_due


@pytest.mark.parametrize(
    ("status", "days", "is_due"),
    # A draft expires 30 days after its last change.
    [("expired", 61, True), ("expired", 59, False), ("withdrawn", 91, True), ("withdrawn", 89, False)],
)
def test_a_draft_that_was_never_submitted_is_erased_after_90_days(status, days, is_due):
    firm = never_submitted(status, days)
    purge_personal_data()
    firm.refresh_from_db()
    assert (firm.erased_at is not None) is is_due


def test_an_erased_application_holds_nothing_of_the_firm(user, emitted):
    firm = ended("rejected", 400, user=user("APPLICANT"))
    round = OnboardingRound.objects.get(partner=firm)
    with unguarded_writes():
        OnboardingRound.objects.filter(pk=round.pk).update(reason="The licence is forged.", note="Call them.")
        InformationItem(partner=firm, round=round, text="Which year?", due_at=clock.now()).save()
    with unguarded_writes():
        IdentifierKey(partner=firm, kind="phone", hash="0" * 64).save()
        check = KycCheck.objects.get(partner=firm, kind="pan")
        asked = ApprovalRequest(
            kind="partner.override",
            subject_type="kyc_check",
            subject_id=check.pk,
            subject_version=1,
            subject_name=firm.legal_name,
            capability="partner.override",
            reason=f"Called {firm.contact_name}.",
            diff=[{"field": "result", "old": None, "new": firm.pan}],
        )
        asked.save()
    secrets = (firm.pan, firm.legal_name, firm.contact_email, firm.contact_phone, firm.contact_name)
    files = list(StoredFile.objects.values_list("pk", flat=True))
    assert files
    services.erase_application(firm, actor=SYSTEM)
    firm = Partner.objects.get(pk=firm.pk)
    held = {str(value) for value in vars(firm).values()}
    assert not held & set(secrets)
    assert (firm.legal_name, firm.status, firm.pan_hash, firm.applicant_id) == (
        "Erased firm", "rejected", None, None,
    )  # fmt: skip
    for model in (
        PartnerDocument, PartnerLocation, PartnerBankAccount, PartnerOwner, TaxRegistration, InformationItem,
        IdentifierKey,
    ):  # fmt: skip
        assert not model.objects.filter(partner=firm).exists(), model
    assert not FileContent.objects.filter(file__in=files).exists()
    round.refresh_from_db()
    assert (round.status, round.reason, round.note) == ("rejected", None, None)
    asked.refresh_from_db()
    assert (asked.subject_name, asked.diff, asked.reason) == ("", [], "Erased")
    assert len(emitted("approval.erased")) == 1
    trail = repr(list(Entry.objects.filter(row=str(asked.pk)).values_list("before", "after")))
    assert [secret for secret in secrets if secret in trail] == []
    assert [each.payload["is_recognised"] for each in emitted("partner.erased")] == [False]
    services.erase_application(firm, actor=SYSTEM)  # again: nothing to do
    assert len(emitted("partner.erased")) == 1


def test_a_forged_application_leaves_the_hash_of_its_pan_for_eight_years():
    firm = ended("rejected", 400, reason_code="document_forged")
    number = firm.pan
    purge_personal_data()
    firm = Partner.objects.get(pk=firm.pk)
    assert firm.pan is None
    assert list(Partner.objects.identified(number)) == [firm]
    with unguarded_writes():
        OnboardingRound.objects.filter(partner=firm).update(decided_at=clock.now() - timedelta(days=2921))
    purge_personal_data()
    assert list(Partner.objects.identified(number)) == [firm]
    with unguarded_writes():
        OnboardingRound.objects.filter(partner=firm).update(decided_at=clock.now() - timedelta(days=2923))
    purge_personal_data()
    assert not Partner.objects.identified(number).exists()


def test_the_service_erases_nothing_that_is_not_due(emitted):
    for firm in (ended("rejected", 1), ended("approved", 4000)):
        services.erase_application(firm, actor=SYSTEM)
        services.forget_pan(firm, actor=SYSTEM)
        assert Partner.objects.get(pk=firm.pk).pan == firm.pan
    assert not emitted("partner.erased")


def purge(*arguments):
    out = StringIO()
    call_command("purge", *arguments, "--json", stdout=out)
    return {each["rule"]: each for each in json.loads(out.getvalue())["rules"]}


def test_the_command_counts_first_and_erases_then():
    firms = [ended("rejected", 400) for _ in range(3)]
    found = purge("--dry-run")["partner.application"]
    assert (found["due"], found["erased"], found["days"]) == (3, 0, 365)
    assert not Partner.objects.filter(erased_at__isnull=False).exists()
    found = purge()["partner.application"]
    assert (found["due"], found["erased"], found["failed"]) == (3, 3, 0)
    assert Partner.objects.filter(erased_at__isnull=False).count() == len(firms)
    assert purge()["partner.application"]["due"] == 0


def test_what_is_erased_does_not_stand_in_clear_in_the_trail(user):
    firm = ended("rejected", 400, user=user("APPLICANT"))
    with unguarded_writes():
        row = Partner.objects.get(pk=firm.pk)
        row.cin, row.tan, row.city = "U01111GJ2019PTC000001", "RKTA12345B", "Gondalpur"
        row.save()
        round = OnboardingRound.objects.get(partner=firm)
        round.reason, round.note = "The licence is forged.", "Call them."
        round.save()
    services.erase_application(firm, actor=SYSTEM)
    written = repr(
        list(Entry.objects.filter(row__in=[str(firm.pk), str(round.pk)]).values_list("before", "after"))
    )
    assert written != "[]"
    for value in (row.cin, row.tan, row.city, round.reason, round.note):
        assert value not in written


def test_a_text_in_clear_in_the_trail_cannot_be_declared_as_erased(monkeypatch):
    monkeypatch.setattr(retention, "data_map", {})
    monkeypatch.setattr(OnboardingRound, "trail_personal", ("reason",))
    with pytest.raises(ImproperlyConfigured, match="note"):
        retention.declare(OnboardingRound, category="c", purpose="p", erased={"reason": None, "note": None})


def test_every_personal_column_of_partners_is_in_the_data_map():
    autodiscover_modules("retention")
    for model in apps.get_app_config("partner").get_models():
        if getattr(model, "trail_personal", ()):
            entry = retention.data_map[model]
            assert entry.is_deleted or set(model.trail_personal) <= entry.erased.keys(), model
