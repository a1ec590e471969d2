"""Many places from one table: each row is taken once or told why not, whatever happens meanwhile."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from html import unescape
from typing import Any

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from apps.locations import events
from apps.locations.models import Location, ProviderRef
from apps.locations.services import imports
from config.tests.jobs_support import LARGE, finished, memory_taken, refused
from erp.audit.sources import PROJECT
from erp.files import CSV, Upload
from erp.jobs.models import Job
from erp.jobs.tasks import CHUNK
from erp.testing import environment

pytestmark = pytest.mark.django_db
PATH = "/api/v1/locations/bulk-import"


@pytest.fixture
def staff(user, client_for, place):
    return client_for(user("INTERNAL"))


def table(*lines: str, header: str = "type,name,state") -> Upload:
    return Upload("places.csv", CSV, "\n".join([header, *lines]).encode())


def done(answer: Any) -> Job:
    assert answer.status_code == 202, answer.content
    return finished(Job.objects.get(pk=answer.json()["id"]))


def codes(answer: Any) -> tuple[int, str, list[str]]:
    document = answer.json()
    return answer.status_code, document["code"], [fault["code"] for fault in document.get("errors", [])]


def test_a_table_becomes_places_and_each_has_its_own_event(staff, emitted, assert_emitted) -> None:
    columns = (
        "type,name,state,ref,parent_ref,pincode,latitude,longitude,aliases,customs_code,provider,provider_id"
    )
    file = table(
        "DISTRICT,Rajkot,Gujarat,r,,,,,,,,",
        "MANDI,Gondal,GJ,,r,360311,21.961100,70.802800,Gondal APMC; Gondal Yard,,,",
        "PORT,Mundra,24,,,,,,,INMUN1,survey,7",
        header=columns,
    )
    answer = staff.write(PATH, {"file": file, "mode": "partial"})
    queued = answer.json()
    assert (queued["status"], queued["total"], queued["file_name"]) == ("queued", 3, "places.csv")
    assert queued["allowed_actions"] == ["cancel"]
    assert answer["Location"] == queued["links"]["self"] == f"/api/v1/jobs/{queued['id']}"
    assert [row.payload["kind"] for row in emitted("job.queued")] == ["location.import"]
    job = done(answer)
    assert (job.status, job.tally) == ("succeeded", {"created": 3})
    gondal = Location.objects.get(name="Gondal")
    assert (gondal.parent.name, gondal.pincode, gondal.aliases) == (
        "Rajkot",
        "360311",
        ["Gondal APMC", "Gondal Yard"],
    )
    assert (str(gondal.latitude), gondal.is_verified) == ("21.961100", False)
    assert ProviderRef.objects.get(provider="survey", provider_id="7").location.name == "Mundra"
    document = emitted("location.created", causation_id=str(job.pk))
    assert [row.payload["source"] for row in document] == ["import"] * 3
    assert_emitted(
        events.LocationBulkImported,
        job_id=str(job.pk),
        outcome="succeeded",
        total=3,
        created=3,
        existing=0,
        refused=0,
        file_sha256=file.sha256,
    )
    shown = staff.read(answer["Location"]).json()
    assert (shown["status"], shown["processed"], shown["accepted"]) == ("succeeded", 3, 3)
    result = b"".join(staff.read(shown["links"]["result"], Accept="text/csv").streaming_content).decode()
    assert f"2,created,{gondal.pk}" in result.splitlines()


def test_cells_are_text_and_nothing_in_them_is_evaluated(staff) -> None:
    job = done(staff.write(PATH, {"file": table("CITY,=1+1,24", 'CITY,"=HYPERLINK(""http://x"")",24')}))
    assert job.status == "succeeded"
    assert set(Location.objects.filter(type="CITY").values_list("name", flat=True)) == {
        "=1+1",
        '=HYPERLINK("http://x")',
    }


def test_a_bad_row_is_told_by_number_and_column_and_the_others_are_taken(staff, emitted) -> None:
    columns = "type,name,state,pincode,latitude,longitude,ref,parent_ref,provider,unlocode"
    lines = [
        "MANDI,Gondal,24,360311,,,a,,,",
        "MANDI,Far,24,641004,,,,,,",
        "FARM,Odd,Atlantis,36031,,,,,,",
        "",
        "CITY,North,24,,91,0,,,,",
        "CITY,Half,24,,22,,,,,",
        "CITY,Sea,24,,1,1,,,,",
        "CITY,Paired,24,,,,,,survey,",
        "CITY,Coded,24,,,,,,,INMUN",
        "GIN,Later,24,,,,,z,,",
        "GIN,Orphan,24,,,,,bad,,",
        "CITY,Twin,24,,,,a,,,",
        "CITY,Below,24,,,,,a,,",
        "CITY,Z,24,,,,,,,,surplus",
        "CITY,Zed,24,,,,z,,,",
    ]
    job = done(staff.write(PATH, {"file": table(*lines, header=columns), "mode": "partial"}))
    assert (job.status, job.total, job.accepted) == ("partial", 14, 2)
    assert refused(job) == [
        (2, "/pincode", "state"),
        (3, "/type", "not_a_choice"),
        (3, "/state", "unknown_state"),
        (5, "/latitude", "out_of_range"),
        (6, "/longitude", "required"),
        (7, "/latitude", "outside_country"),
        (8, "/provider_id", "required"),
        (9, "/unlocode", "not_applicable"),
        (10, "/parent_ref", "does_not_exist"),
        (11, "/parent_ref", "does_not_exist"),
        (12, "/ref", "doubled"),
        (13, "/parent_id", "parent_type"),
        (14, "/name", "too_short"),
        (14, "/column 11", "unknown_field"),
    ]
    assert len(emitted("location.created", causation_id=str(job.pk))) == 2


def test_all_or_nothing_is_the_way_unless_told_otherwise(staff, emitted, assert_emitted) -> None:
    job = done(staff.write(PATH, {"file": table("CITY,Good,24", "CITY,Bad,24\nCITY,Worse,99")}))
    assert (job.mode, job.status, job.processed, refused(job)) == (
        "atomic",
        "failed",
        1,
        [(3, "/state", "unknown_state")],
    )
    assert not Location.objects.filter(type="CITY").exists()
    assert not emitted("location.created", causation_id=str(job.pk))
    assert_emitted(events.LocationBulkImported, outcome="failed", total=3, created=0, refused=1)


def test_the_same_table_again_adds_nothing(staff, emitted) -> None:
    columns = "type,name,state,provider,provider_id"
    file = table("CITY,One,24,,", "CITY,Two,24,survey,2", header=columns)
    done(staff.write(PATH, {"file": file}))
    before = len(emitted("location.created"))
    again = done(staff.write(PATH, {"file": file}))
    assert (again.status, again.tally) == ("succeeded", {"existing": 2})
    # A name that is there already leaves the provider's id free.
    third = done(staff.write(PATH, {"file": table("CITY,One,24,survey,3", header=columns)}))
    assert (third.tally, ProviderRef.objects.filter(provider_id="3").exists()) == ({"existing": 1}, False)
    assert len(emitted("location.created")) == before
    assert emitted("location.bulk_imported")[-1].payload["existing"] == 1


def test_a_table_that_is_none_of_ours_is_refused_at_the_door(staff) -> None:
    def upload_problem(content: bytes, mode: str = "partial") -> tuple[int, str, list[str]]:
        return codes(staff.write(PATH, {"file": Upload("places.csv", CSV, content), "mode": mode}))

    wrong = upload_problem(b"type,name,colour\nCITY,One,red\n")
    assert wrong == (422, "location.file_header", ["missing_column", "unknown_column"])
    many = b"type,name,state\n" + b"CITY,One,24\n" * 2001
    assert upload_problem(many, "atomic") == (422, "location.too_many_rows", ["too_long"])
    many = b"type,name,state\n" + b"CITY,One,24\n" * 10_001
    assert upload_problem(many) == (422, "location.too_many_rows", ["too_long"])
    assert upload_problem(b"type,name,state\n") == (400, "request.invalid", ["empty"])
    assert upload_problem(b'type,name,state\n"CITY,One,24\n') == (400, "request.invalid", ["malformed"])
    assert upload_problem(b"type,name,state\nCITY,O\x00ne,24\n")[:2] == (
        415,
        "request.unsupported_media_type",
    )
    assert upload_problem("type,name,state\nCITY,Málaga,24\n".encode("latin-1"))[0] == 415
    assert upload_problem(b"PK\x03\x04 workbook")[0] == 415
    assert not Job.objects.exists()


def test_who_may_not_add_places_imports_none(user, client_for, place) -> None:
    answer = client_for(user("BUYER")).write(PATH, {"file": table("CITY,One,24")})
    assert (answer.status_code, answer.json()["capability"]) == (403, "location.create")


@pytest.mark.slow
def test_a_row_finds_its_parent_in_a_chunk_that_another_turn_did(staff, monkeypatch) -> None:
    from erp.jobs import tasks

    lines = ["DISTRICT,Rajkot,24,r,", *(f"CITY,Town {number:04},24,,r" for number in range(450))]
    file = table(*lines, header="type,name,state,ref,parent_ref")
    answer = staff.write(PATH, {"file": file, "mode": "partial"})
    clock = iter(range(0, 100_000, 15))
    monkeypatch.setattr(tasks.time, "monotonic", lambda: float(next(clock)))
    job = done(answer)
    assert (job.status, job.tally) == ("succeeded", {"created": 451})
    assert Location.objects.filter(parent__name="Rajkot").count() == 450


def test_rows_of_one_table_name_different_parents_by_id(staff, place) -> None:
    rajkot, surat = (place(type="DISTRICT", name=name) for name in ("Rajkot", "Surat"))
    lines = [f"CITY,Town {number},24,{above.pk}" for number, above in enumerate((rajkot, surat, rajkot))]
    job = done(staff.write(PATH, {"file": table(*lines, header="type,name,state,parent_id")}))
    assert (job.status, refused(job)) == ("succeeded", [])
    parents = Location.objects.filter(type="CITY").order_by("name").values_list("parent__name", flat=True)
    assert list(parents) == ["Rajkot", "Surat", "Rajkot"]


def test_staff_import_at_the_desk_and_are_led_to_the_job(user, place, staff_client_for) -> None:
    portal = staff_client_for(user("INTERNAL"))
    start = reverse("admin:location_location_start", args=["bulk_import"])
    assert start in portal.get(reverse("admin:location_location_changelist")).content.decode()
    assert 'enctype="multipart/form-data"' in portal.get(start).content.decode()

    def sheet(text: bytes) -> SimpleUploadedFile:
        return SimpleUploadedFile("places.csv", text, "text/csv")

    typed = portal.form(start)
    sent = portal.post(start, {**typed, "file": sheet(b"type,name,state\nCITY,Gondal,24\nCITY,Bad,99\n")})
    job = Job.objects.get()
    assert (sent.status_code, sent["Location"]) == (302, reverse("admin:job_job_change", args=[job.pk]))
    again = portal.post(start, {**typed, "file": sheet(b"type,name,state\nCITY,Gondal,24\nCITY,Bad,99\n")})
    assert (again["Location"], Job.objects.count()) == (sent["Location"], 1)
    other = portal.post(start, {**typed, "file": sheet(b"type,name,state\nCITY,Other,24\n")})
    assert (other.status_code, "already submitted" in other.content.decode()) == (422, True)
    assert (finished(job).tally, Location.objects.filter(name="Gondal").exists()) == ({"create": 1}, False)
    answer = portal.get(sent["Location"])
    page = answer.content.decode()
    assert "1 of 2 rows have errors. Nothing was changed." in page
    assert list(answer.context["tables"][0].rows) == [
        (2, "state", "Unknown state. Use its code or name, such as 24, GJ or Gujarat.")
    ]
    (run,) = re.findall(r'href="([^"]*checked[^"]*)"', page)
    template, errors = (reverse("admin:location_location_template", args=["import"]), f"{job.pk}/errors.csv")
    assert b"type,name,state" in b"".join(portal.get(template).streaming_content)
    assert b"unknown_state" in b"".join(portal.get(f"/admin/job/job/{errors}").streaming_content)
    imported = portal.post(start, portal.form(unescape(run)))
    done = finished(Job.objects.exclude(pk=job.pk).get())
    assert (done.mode, done.file_sha256, done.status) == ("partial", job.file_sha256, "partial")
    assert Location.objects.filter(name="Gondal").exists()
    assert "were left out" in portal.get(imported["Location"]).content.decode()
    gondal = reverse("admin:location_location_history", args=[Location.objects.get(name="Gondal").pk])
    (table,) = portal.get(gondal).context["tables"]
    assert (table.title, str(done) in table.rows[0][1]) == ("Jobs", True)
    stranger = staff_client_for(user("INTERNAL"))
    assert stranger.get(unescape(run)).status_code == 404
    for wrong, status, words in (
        (sheet(b"type,name\nCITY,Gondal\n"), 422, "column"),
        (sheet(b"MZ\x90\x00"), 415, "Send"),
        ("", 400, "required"),
    ):
        refused_page = portal.fill(start, file=wrong)
        assert (refused_page.status_code, words in refused_page.content.decode()) == (status, True)
    assert Job.objects.count() == 2


def test_every_service_on_a_place_is_offered_on_its_page(user, place, staff_client_for) -> None:
    portal = staff_client_for(user("INTERNAL_MASTERDATA"))
    page = portal.get(reverse("admin:location_location_change", args=[place().pk])).content.decode()
    links = set(re.findall(r'href="([^"]*/run/[^"]*)"', page))
    assert {link.split("/")[-2] for link in links} == {"confirm", "reparent", "merge", "set_distance"}
    assert {portal.get(link).status_code for link in links} == {200}


@contextmanager
def running(name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Celery process of the product; at the end it and its children are killed."""
    process = subprocess.Popen(
        [sys.executable, "celery_worker.py", name],
        cwd=PROJECT,
        env=environment(
            CELERY_BROKER_URL=settings.REDIS_URL, DJANGO_SETTINGS_MODULE="config.tests.quick_settings"
        ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def until(seconds: float, reached: Callable[[], Any]) -> Any:
    """What ``reached`` answers once that is true, within so many seconds."""
    late = time.monotonic() + seconds
    while not (found := reached()):
        assert time.monotonic() < late, "it took too long"
        time.sleep(0.1)
    return found


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_killed_worker_is_replaced_within_a_minute_and_no_row_comes_twice(
    user, client_for, place, emitted, tmp_path, monkeypatch
) -> None:
    """Leases are shorter here than in production, where what a worker left is taken within the minute, too."""
    assert settings.JOB_LEASE_SECONDS + 2 * settings.JOB_SWEEP_SECONDS < 60
    monkeypatch.setenv("HEARTBEAT_DIR", str(tmp_path))
    staff = client_for(user("INTERNAL"))
    names = [f"Town {number:05}" for number in range(5 * CHUNK)]
    file = table(*(f"CITY,{name},24" for name in names))
    where = staff.write(PATH, {"file": file, "mode": "partial"})["Location"]

    def seen(*statuses: str, processed: int = 0) -> Any:
        shown = staff.read(where).json()
        return shown["status"] in statuses and shown["processed"] >= processed and shown

    with running("beat"):
        with running("worker") as worker:
            until(60, lambda: seen("running", processed=CHUNK))
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
        killed = time.monotonic()
        left = staff.read(where).json()
        assert left["status"] == "running"
        assert left["processed"] < len(names)
        with running("worker"):
            until(60, lambda: seen("running", "succeeded", processed=left["processed"] + 1))
            assert time.monotonic() - killed < 60
            shown = until(60, lambda: seen("succeeded"))
    assert (shown["processed"], shown["tally"]) == (len(names), {"created": len(names)})
    assert sorted(Location.objects.filter(type="CITY").values_list("name", flat=True)) == names
    job = Job.objects.get(pk=shown["id"])
    assert len(emitted("location.created", causation_id=str(job.pk))) == len(names)
    assert len(emitted("location.bulk_imported")) == 1
    assert job.rows.count() == len(names)


@pytest.mark.large
@pytest.mark.timeout(600)
@pytest.mark.django_db(transaction=True)
def test_a_large_table_takes_no_memory_and_every_row_is_accounted_for(user, place, emitted) -> None:
    """One row of 100 is bad; the first towns are there already, from a small table."""
    actor = user("INTERNAL")

    def queued(count: int) -> Job:
        lines = [
            f"CITY,Town {number:05},{'24' if number % 100 else '99'},{'360311'}" for number in range(count)
        ]
        file = table(*lines, header="type,name,state,pincode")
        return imports.bulk_import(actor=actor, file=file, mode="partial")

    small, job = queued(LARGE // 5), queued(LARGE)
    assert memory_taken(small, job) < 5 * LARGE
    bad = LARGE // 100
    assert (job.status, job.processed, job.accepted, job.refused) == ("partial", LARGE, LARGE - bad, bad)
    existing = small.rows.exclude(word="").count()
    assert job.tally == {"created": LARGE - bad - existing, "existing": existing}
    assert len(emitted("location.created", causation_id=str(job.pk))) == job.tally["created"]
    assert job.rows.count() == LARGE
    assert refused(job) == [(number, "/state", "unknown_state") for number in range(1, LARGE + 1, 100)]
    assert emitted("location.bulk_imported")[-1].payload["outcome"] == "partial"


def test_a_check_foresees_places_in_places_of_the_same_file(staff, emitted) -> None:
    lines = ["CITY,Gondal,24,g,", "GIN,Shiv Gin,24,,g", "GIN,Lost Gin,24,,x"]
    file = table(*lines, header="type,name,state,ref,parent_ref")
    job = done(staff.write(PATH, {"file": file, "mode": "check"}))
    assert (job.status, job.tally) == ("partial", {"create": 2})
    assert refused(job) == [(3, "/parent_ref", "does_not_exist")]
    assert not Location.objects.filter(name="Gondal").exists()
    assert emitted("location.bulk_imported") == []
