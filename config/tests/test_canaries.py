"""Planted numbers of a partner come out nowhere without the right: each read, export, page, event, problem and log.

What is asked is generated from the URL conf and the portal's registry, so that a new route is asked, too.
"""

import io
import json
import logging
import re
from collections.abc import Iterator
from itertools import product
from typing import Any
from uuid import uuid4

import openpyxl
import pytest
from django.apps import apps
from django.contrib import admin
from django.urls import reverse
from pypdf import PdfReader

from apps.accounts.models import User
from apps.integrations.models import FeedEntry
from apps.partners.models import OnboardingRound, Partner, PartnerDocument
from apps.partners.services import amendments, decisions, papers, parts, people, submission
from apps.partners.tests import factories
from config.tests.test_contract import routes
from erp.access import SYSTEM
from erp.api.viewsets import ViewSet
from erp.files import CSV, PDF, XLSX
from erp.jobs import exporting
from erp.jobs.models import Job, JobResult
from erp.jobs.tasks import work
from erp.logs.formats import MaskingFormatter
from erp.outbox.models import EventOutbox
from erp.trail.models import Entry, Export
from erp.uploads import services as uploads

pytestmark = pytest.mark.django_db
PREFIX = "/api/v1/partners"
# Readers who see the partner and not its numbers, and one who sees neither.
ROLES = ("INTERNAL", "INTERNAL_MANAGER", "AUDITOR")


class Planted:
    """An approved partner with numbers that nothing else has, and everything that can hold one."""

    def __init__(self, user: Any) -> None:
        number = factories.pan()
        self.numbers = {
            "pan": number,
            "gstin": factories.gstin(number),
            "e-mail": f"canary.{uuid4().hex[:8]}@example.com",
            "phone": "+919123480765",
            "account": "918273645546",
            "place's phone": "+919123480776",
            "employee's e-mail": f"person.{uuid4().hex[:8]}@example.com",
            "employee's phone": "+919123480787",
            "number of a paper": "LIC918273645",
            "owner's PAN": factories.pan(),
            "new phone": "+919123480798",
        }
        says = self.numbers
        applicant = user("APPLICANT")
        round = factories.draft(
            applicant, pan=number, gstin=says["gstin"],
            contact={"name": "Asha Patel", "email": says["e-mail"], "phone": says["phone"]},
            owners=[{"name": applicant.full_name, "kind": "partner", "pan": says["owner's PAN"]}],
        )  # fmt: skip
        partner = round.partner
        applicant.refresh_from_db()
        papers.add_document(
            round, actor=applicant, file=factories.paper("with-a-number"), document_type="itr",
            number=says["number of a paper"],
        )  # fmt: skip
        parts.add_location(
            partner, actor=applicant, code="GODOWN", name="Godown", kind="warehouse",
            address=dict(factories.ADDRESS), contact_phone=says["place's phone"],
        )  # fmt: skip
        parts.add_bank_account(
            partner, actor=applicant, holder="Firm", bank_name="Demo Bank", number=says["account"],
            number_again=says["account"], account_type="current", purpose="both", ifsc="ZZZB0000261",
        )  # fmt: skip
        people.invite_employee(
            partner, actor=applicant, name="Meena Shah", email=says["employee's e-mail"],
            phone=says["employee's phone"], roles=["SELLER"],
        )  # fmt: skip
        round = factories.complete(OnboardingRound.objects.get(pk=round.pk), applicant)
        submission.submit(
            round, actor=applicant, declaration=True, terms_version="1", notice_version="1",
            consent_purposes=["essential"],
        )  # fmt: skip
        self.round = OnboardingRound.objects.get(pk=round.pk)
        factories.pass_checks(self.round)
        for document in PartnerDocument.objects.filter(partner=partner).order_by("id"):
            uploads.record_scan(document.file, actor=SYSTEM, clean=True)
            papers.verify_document(PartnerDocument.objects.get(pk=document.pk), actor=SYSTEM)
        self.partner = decisions.approve(Partner.objects.get(pk=partner.pk), actor=SYSTEM)
        amendments.request_amendment(
            self.partner, actor=SYSTEM, reason="The office moved to another number.",
            changes=[{"target": "partner", "field": "contact_phone", "value": says["new phone"]}],
        )  # fmt: skip
        self.applicant = User.objects.get(pk=applicant.pk)

    def keys(self, model: Any) -> list[str]:
        """Ids of some of the partner's rows of a model."""
        if model is Partner:
            return [str(self.partner.pk)]
        rows = model._default_manager.filter(partner=self.partner).order_by("pk")
        return [str(key) for key in rows.values_list("pk", flat=True)[:3]]

    def found_in(self, text: str) -> list[str]:
        """Names of the planted numbers that stand in a text, however they are written."""
        squeezed = re.sub(r"[\s\-]", "", text).lower()
        return [
            name for name, number in self.numbers.items()
            if re.sub(r"^\+91|[\s\-]", "", number).lower() in squeezed
        ]  # fmt: skip


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that is logged, from INFO on, as it leaves the process."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(MaskingFormatter(machine_readable=True))
    root, level = logging.getLogger(), logging.getLogger().level
    root.handlers.append(handler)
    root.setLevel(logging.INFO)
    yield stream
    root.setLevel(level)
    root.handlers.remove(handler)


@pytest.fixture
def planted(user: Any, log: io.StringIO) -> Planted:
    return Planted(user)


def text_of(response: Any) -> str:
    """What a person reads in an answer, packed or not."""
    content, kind = response.getvalue(), response["Content-Type"].partition(";")[0]
    if kind == PDF and content.startswith(b"%PDF") and b"%%EOF" in content:
        return "".join(page.extract_text() for page in PdfReader(io.BytesIO(content)).pages)
    if kind == XLSX:
        sheet = openpyxl.load_workbook(io.BytesIO(content)).active
        return json.dumps([[str(cell) for cell in row] for row in sheet.values], ensure_ascii=False)
    return str(content.decode("utf-8", "replace"))


def reads_of(planted: Planted) -> Iterator[str]:
    """Every GET below the prefix, with ids of the partner's rows in its places."""
    for path, view in routes():
        cls = getattr(view, "cls", None)
        known = isinstance(cls, type) and issubclass(cls, ViewSet) and "get" in view.actions
        if not (known and path.startswith(PREFIX)):
            continue
        places = re.findall(r"<\w+:\w+>", path)
        models = [getattr(rows, "model", None) for rows in (getattr(cls, "wholes", None), cls.queryset)]
        models = [model for model in models if model is not None][: len(places)]
        for keys in product(*(planted.keys(model) for model in models)):
            filled = path
            for place, key in zip(places, keys, strict=True):
                filled = filled.replace(place, key, 1)
            yield filled


@pytest.mark.slow
def test_no_read_export_or_file_of_the_api_shows_a_planted_number_without_the_right(
    planted: Planted, client_for: Any, user: Any
) -> None:
    readers = [user(role) for role in ROLES]
    readers.append(user("PARTNER_ADMIN", of=factories.ready_partner()))
    readers.append(user("SELLER", of=planted.partner))
    paths = [*reads_of(planted), f"{PREFIX}/export?format=xlsx"]
    assert len(paths) > 35
    answered = set()
    for reader in readers:
        client = client_for(reader)
        for path in paths:
            response = client.read(path)
            assert response.status_code in (200, 202, 403, 404), (path, response.status_code)
            if response.status_code == 200:
                answered.add((reader.pk, response["Content-Type"].partition(";")[0]))
            assert planted.found_in(text_of(response)) == [], (path, reader)
    kinds = {kind for _, kind in answered}
    assert {"application/json", CSV, XLSX, PDF} <= kinds


def test_whoever_holds_the_right_reads_the_numbers_so_that_the_search_proves_something(
    planted: Planted, client_for: Any, user: Any
) -> None:
    client = client_for(user("INTERNAL_COMPLIANCE"))
    shown = "".join(text_of(client.read(path)) for path in reads_of(planted) if not path.endswith("/content"))
    # Of an account everybody gets the last four digits; numbers of papers and owners are in no answer.
    assert set(planted.found_in(shown)) == set(planted.numbers) - {
        "account", "number of a paper", "owner's PAN",
    }  # fmt: skip


@pytest.mark.slow
def test_no_page_history_or_export_of_the_portal_shows_a_planted_number_without_the_right(
    planted: Planted, staff_client_for: Any, user: Any
) -> None:
    models = [
        model for model in apps.get_app_config("partner").get_models() if admin.site.is_registered(model)
    ]
    models += [Job, EventOutbox, Entry, Export]
    for role in ("INTERNAL", "AUDITOR"):
        staff = staff_client_for(user(role))
        pages = ["/admin/"]
        for model in filter(admin.site.is_registered, models):
            name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
            pages += [reverse(f"{name}_changelist"), reverse(f"{name}_export")]
            for key in model._default_manager.order_by("pk").values_list("pk", flat=True)[:4]:
                pages += [reverse(f"{name}_change", args=[key]), reverse(f"{name}_history", args=[key])]
        assert len(pages) > 80
        for page in pages:
            response = staff.get(page)
            assert response.status_code in (200, 302, 403, 404), (page, response.status_code)
            assert planted.found_in(text_of(response)) == [], (page, role)


def test_no_event_feed_trail_message_job_or_log_holds_a_planted_number(
    planted: Planted,
    client_for: Any,
    user: Any,
    log: io.StringIO,
    deliver: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exporting, "AT_ONCE", 0)
    manager = client_for(user("INTERNAL_MANAGER"))
    for query in ({"identifier": planted.numbers["pan"]}, {"search": planted.numbers["e-mail"]}):
        manager.read(f"{PREFIX}/export", query)
    for job in Job.objects.all():
        work(str(job.pk))
    assert JobResult.objects.exists()
    deliver()
    holders = {
        "events": EventOutbox.objects.values_list("payload", flat=True),
        "feed": FeedEntry.objects.values_list("data", flat=True),
        "trail": Entry.objects.values_list("before", "after", "reason"),
        "exports": Export.objects.values_list("filters", flat=True),
        "jobs": Job.objects.values_list("parameters", "file_name", "problem_detail"),
    }
    for name, values in holders.items():
        text = " ".join(str(value) for value in values)
        assert planted.found_in(text) == [], name
        assert text, name
    for result in JobResult.objects.all():
        assert planted.found_in(result.content.decode()) == []
    logged = log.getvalue()
    assert "job.ended" in logged
    assert planted.found_in(logged) == []


def test_no_problem_repeats_a_planted_number(planted: Planted, client_for: Any, user: Any) -> None:
    says = planted.numbers
    applicant = client_for(user("APPLICANT"))
    own = client_for(planted.applicant)
    key = planted.partner.pk
    account = {
        "holder": "Firm", "bank_name": "Demo Bank", "number": says["account"], "number_again": says["account"],
        "account_type": "current", "purpose": "both", "ifsc": "ZZZB0000261",
    }  # fmt: skip
    person = {
        "name": "Meena Shah", "email": says["employee's e-mail"], "phone": says["employee's phone"],
        "roles": ["SELLER"],
    }  # fmt: skip
    start, other = f"{PREFIX}/onboarding/start", factories.gstin(factories.pan())
    asked = [
        (applicant, start, factories.profile(says["pan"], gstin=other)),
        (applicant, start, factories.profile(gstin=says["gstin"])),
        (applicant, start, factories.profile(gstin=says["gstin"][:-1] + "?")),
        (applicant, start, {"pan": says["pan"], "contact": says["e-mail"], "roles": says["phone"]}),
        (own, f"{PREFIX}/{key}/bank-accounts", account),
        (own, f"{PREFIX}/{key}/bank-accounts", {**account, "number_again": "1"}),
        (own, f"{PREFIX}/{key}/bank-accounts", {**account, "ifsc": says["account"]}),
        (own, f"{PREFIX}/{key}/employees", person),
        (own, f"{PREFIX}/{key}/employees", {**person, "roles": [says["employee's phone"]]}),
    ]  # fmt: skip
    for client, path, body in asked:
        response = client.write(path, body)
        assert 400 <= response.status_code < 500, (path, response.content)
        assert planted.found_in(text_of(response)) == [], (path, response.content)
