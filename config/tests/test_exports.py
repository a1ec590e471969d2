"""Exports of lists: at once or by a job, with the filters and masks of the list, and a line in the trail for each."""

import csv
from io import BytesIO, StringIO
from typing import Any

import openpyxl
import pytest
from django.contrib.auth.models import Group
from django.urls import reverse

from apps.partners.models import Partner
from apps.partners.tests import factories
from erp.access import SYSTEM
from erp.admin import exports as portal
from erp.files import XLSX
from erp.jobs import exporting, services
from erp.jobs.models import Job, JobResult
from erp.jobs.tasks import purge, work
from erp.models import unguarded_writes
from erp.trail.models import Export

pytestmark = pytest.mark.django_db
PATH = "/api/v1/partners/export"


def rows_of(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(content.decode("utf-8-sig"))))


def read(response: Any) -> list[dict[str, str]]:
    assert response.status_code == 200, response.content
    return rows_of(response.getvalue())


@pytest.fixture
def by_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists of more than one row are the work of a job, which nobody hands over at the commit."""
    monkeypatch.setattr(exporting, "AT_ONCE", 1)
    monkeypatch.setattr(portal, "MOST", 1)


def test_an_export_has_the_rows_the_filters_the_order_and_the_masks_of_the_list(
    client_for: Any, user: Any
) -> None:
    firms = [factories.ready_partner(name, status=status) for name, status in (
        ("Beta Cotton", "active"), ("=1+1", "active"), ("Alpha Cotton", "active"), ("Gone", "suspended"),
    )]  # fmt: skip
    for role, clear in (("INTERNAL_MANAGER", False), ("INTERNAL_COMPLIANCE", True)):
        client = client_for(user(role))
        query = {"status": "active", "ordering": "-legal_name"}
        rows = read(client.read(PATH, query))
        listed = client.read("/api/v1/partners", query).json()["results"]
        assert [row["id"] for row in rows] == [row["id"] for row in listed]
        assert [row["legal_name"] for row in rows] == ["Beta Cotton", "Alpha Cotton", "'=1+1"]
        assert [row["pan"] for row in rows] == [row["pan"] for row in listed]
        assert (rows[0]["pan"] == firms[0].pan) is clear
    record = Export.objects.order_by("-recorded_at")[0]
    assert (record.filters["list"], record.filters["status"], record.lines) == ("partners", "active", 3)
    assert Export.objects.count() == 2


def test_a_workbook_is_one_and_holds_no_formula(client_for: Any, user: Any) -> None:
    factories.ready_partner("=1+1", trade_name="\tcmd")
    response = client_for(user("AUDITOR")).read(PATH, {"format": "xlsx"})
    assert response["Content-Type"] == XLSX
    assert response["Content-Disposition"] == 'attachment; filename="partners.xlsx"'
    sheet = openpyxl.load_workbook(BytesIO(response.content)).active
    header, row = list(sheet.iter_rows())
    cells = dict(zip([cell.value for cell in header], row, strict=True))
    assert (cells["legal_name"].value, cells["legal_name"].data_type) == ("'=1+1", "s")
    assert (cells["trade_name"].value, cells["trade_name"].data_type) == ("'\tcmd", "s")


def test_an_export_needs_its_capability_and_declared_parameters(client_for: Any, user: Any) -> None:
    firm = factories.ready_partner()
    for person in (user("INTERNAL"), user("PARTNER_ADMIN", of=firm)):
        answer = client_for(person).read(PATH)
        assert (answer.status_code, answer.json()["capability"]) == (403, "partner.export")
    client = client_for(user("INTERNAL_MANAGER"))
    for query in ("format=pdf", "limit=5", "cursor=x", "surprise=1", "format=csv&format=xlsx", "status=odd"):
        answer = client.read(f"{PATH}?{query}")
        name = query.partition("=")[0]
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, f"/query/{name}"), query
    assert not Export.objects.exists()


def test_more_rows_are_the_work_of_a_job_whose_file_is_the_owners(
    client_for: Any, user: Any, by_job: None
) -> None:
    firms = [factories.ready_partner() for _ in range(3)]
    owner = user("INTERNAL_COMPLIANCE")
    client = client_for(owner)
    accepted = client.read(PATH, {"format": "csv", "ordering": "created_at", "identifier": firms[1].pan})
    assert accepted.status_code == 200  # one row comes at once
    accepted = client.read(PATH, {"ordering": "created_at", "status__in": "active,suspended"})
    assert accepted.status_code == 202
    job = Job.objects.get()
    assert accepted["Location"] == f"/api/v1/jobs/{job.pk}" == accepted.json()["links"]["self"]
    assert "active" not in str(job.parameters)
    assert Export.objects.count() == 1
    again = client.read(PATH, {"status__in": "active,suspended", "ordering": "created_at"})
    other = client.read(PATH, {"status__in": "active"})
    assert (again["Location"] == accepted["Location"], other["Location"] == accepted["Location"]) == (
        True,
        False,
    )
    assert Job.objects.count() == 2  # the same file isn't made twice

    assert work(str(job.pk)) == Job.Status.SUCCEEDED
    job.refresh_from_db()
    assert (job.processed, job.total, job.accepted) == (3, 3, 3)
    result = f"{accepted['Location']}/result"
    rows = rows_of(client.read(result).content)
    assert [row["id"] for row in rows] == [str(firm.pk) for firm in firms]
    assert rows[0]["pan"] == firms[0].pan
    assert firms[0].pan.encode() not in bytes(JobResult.objects.get().content_encrypted)
    record = Export.objects.order_by("-recorded_at")[0]
    assert (record.lines, record.filters["status__in"]) == (3, "active,suspended")
    # Who reads every job finds it, and not what is in its file.
    auditor = client_for(user("AUDITOR"))
    assert auditor.read(accepted["Location"]).status_code == 200
    assert auditor.read(result).status_code == 404
    # A lost right counts for a file that was already made: to export, and to see what it shows in full.
    for roles in (["INTERNAL", "INTERNAL_MANAGER"], ["INTERNAL"]):
        with unguarded_writes():
            owner.groups.set(Group.objects.filter(name__in=roles))
        answer = client_for(owner).read(result)
        assert (answer.status_code, answer.json()["code"]) == (403, "capability.missing"), roles


def test_a_search_for_a_number_stands_in_clear_neither_in_the_job_nor_in_the_trail(
    client_for: Any, user: Any, by_job: None
) -> None:
    number = factories.pan()
    for _ in range(2):
        firm = factories.ready_partner()
        with unguarded_writes():
            firm = Partner.objects.get(pk=firm.pk)
            firm.pan = number
            firm.save()
    client_for(user("INTERNAL_MANAGER")).read(PATH, {"identifier": number})
    job = Job.objects.get()
    assert work(str(job.pk)) == Job.Status.SUCCEEDED
    assert JobResult.objects.get().content
    assert number not in str(job.parameters)
    assert number not in str(Export.objects.get().filters)


def test_a_cancelled_export_leaves_no_file_and_one_too_long_is_refused(
    client_for: Any, user: Any, by_job: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        factories.ready_partner()
    owner = user("INTERNAL_MANAGER")
    client = client_for(owner)
    assert client.read(PATH).status_code == 202
    job = Job.objects.get()
    services.cancel(job, actor=owner)
    assert work(str(job.pk)) == Job.Status.CANCELLED
    assert not JobResult.objects.exists()
    assert not Export.objects.exists()
    monkeypatch.setattr(exporting, "MOST", 2)
    refused = client.read(PATH)
    assert (refused.status_code, refused.json()["code"]) == (422, "job.too_many_rows")


def test_an_export_that_a_worker_left_is_made_anew_and_rows_that_went_are_left_out(
    client_for: Any, user: Any, by_job: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "BATCH", 1)
    firms = [factories.ready_partner() for _ in range(3)]
    client = client_for(user("INTERNAL_MANAGER"))
    client.read(PATH, {"ordering": "created_at"})
    job = Job.objects.get()
    claimed = services.claim(job, actor=SYSTEM)
    services.advance(claimed, actor=SYSTEM, lease=claimed.lease_token, processed=2, total=3)
    services.release(claimed, actor=SYSTEM, lease=claimed.lease_token)
    lines = exporting.Export.batches

    def batches(export: Any) -> Any:
        for number, batch in enumerate(lines(export)):
            if number == 0:
                with unguarded_writes():
                    Partner.objects.filter(pk=firms[2].pk).update(status="draft")
            yield batch if number < 2 else []

    monkeypatch.setattr(exporting.Export, "batches", batches)
    assert work(str(job.pk)) == Job.Status.SUCCEEDED
    job.refresh_from_db()
    assert (job.processed, job.total) == (2, 2)
    assert len(rows_of(bytes(JobResult.objects.get().content))) == 2


def test_files_are_deleted_after_their_time(client_for: Any, user: Any, by_job: None, settings: Any) -> None:
    for _ in range(2):
        factories.ready_partner()
    client_for(user("INTERNAL_MANAGER")).read(PATH)
    job = Job.objects.get()
    work(str(job.pk))
    assert purge() == 0
    settings.JOB_RETENTION_DAYS = -1
    assert purge() == 1
    assert not JobResult.objects.exists()
    assert Job.objects.filter(pk=job.pk).exists()


def test_a_long_list_of_the_portal_is_exported_by_a_job(
    user: Any, staff_client_for: Any, by_job: None
) -> None:
    names = sorted(f"Firm {letter}" for letter in "cab")
    for name in names:
        factories.ready_partner(name)
    factories.ready_partner("Other")
    person = user("INTERNAL")
    staff = staff_client_for(person)
    sent = staff.get(reverse("admin:partner_partner_export"), {"q": "Firm"})
    job = Job.objects.get()
    page = reverse("admin:job_job_change", args=[job.pk])
    assert (sent.status_code, sent["Location"]) == (302, page)
    assert work(str(job.pk)) == Job.Status.SUCCEEDED
    assert reverse("admin:job_job_result", args=[job.pk]) in staff.get(page).content.decode()
    rows = rows_of(staff.get(reverse("admin:job_job_result", args=[job.pk])).content)
    assert [row["Legal name"] for row in rows] == names
    record = Export.objects.get()
    assert (record.filters, record.lines) == ({"list": "partner.Partner", "q": "Firm"}, 3)
    other = staff_client_for(user("AUDITOR"))
    assert other.get(reverse("admin:job_job_result", args=[job.pk])).status_code == 404
