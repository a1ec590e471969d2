"""Jobs: visible while running, cancellable, and applied once per row even if their worker dies."""

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from guardian.shortcuts import assign_perm

from apps.partners.models import Partner
from config.tests.jobs_support import EnterFirms, finished
from erp import locks
from erp.access import SYSTEM
from erp.audit.sources import PROJECT
from erp.errors import CapabilityMissing
from erp.jobs import leases, services, tasks
from erp.jobs.models import Job, JobFile, JobRow
from erp.models import unguarded_writes
from erp.testing import environment

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


@pytest.fixture
def start(user: Any) -> Any:
    """Queue a job that enters firms of these names."""

    def make(*names: str, actor: Any = None, **options: Any) -> Job:
        content = json.dumps(names).encode()
        actor = actor or user("INTERNAL")
        job: Job = services.queue(
            actor=actor, kind=EnterFirms.name, total=len(names), content=content, **options
        )
        return job

    return make


def numbered(count: int) -> list[str]:
    return [f"Firm {number:05}" for number in range(count)]


def test_each_row_is_done_and_counted(start: Any, emitted: Any) -> None:
    job = finished(start(*numbered(450)))
    assert (job.status, job.processed, job.accepted, job.refused) == ("succeeded", 450, 450, 0)
    assert job.tally == {"created": 450}
    assert Partner.objects.filter(legal_name__startswith="Firm 0").count() == 450
    assert len(emitted("partner.onboarding.started", causation_id=str(job.pk))) == 450
    assert [row.payload["total"] for row in emitted("job.queued")] == [450]


def test_a_refused_row_leaves_nothing_and_the_others_stay(start: Any, emitted: Any) -> None:
    job = finished(start("One", "bad", "Two", "bad"))
    assert (job.status, job.accepted, job.refused) == ("partial", 2, 2)
    assert set(
        Partner.objects.filter(legal_name__in=["One", "Two", "bad"]).values_list("legal_name", flat=True)
    ) == {
        "One",
        "Two",
    }
    assert [row.number for row in job.rows.filter(word="").order_by("number")] == [2, 4]
    assert job.rows.get(number=2).faults == [
        {"pointer": "/legal_name", "code": "invalid", "detail": "Not this."}
    ]
    assert len(emitted("partner.onboarding.started", causation_id=str(job.pk))) == 2


def test_an_atomic_job_does_all_rows_or_none_and_names_every_fault(start: Any, emitted: Any) -> None:
    job = finished(start("One", "bad", "Two", "bad", mode="atomic"))
    assert (job.status, job.accepted, job.refused) == ("failed", 0, 2)
    assert not Partner.objects.filter(legal_name__in=["One", "Two"]).exists()
    assert not emitted("partner.onboarding.started", causation_id=str(job.pk))
    job = finished(start("One", "Two", mode="atomic"))
    assert (job.status, job.accepted) == ("succeeded", 2)


def test_a_check_does_every_row_and_leaves_nothing(start: Any, emitted: Any) -> None:
    job = finished(start("One", "bad", "Two", mode="check"))
    assert (job.status, job.tally, job.refused) == ("partial", {"create": 2}, 1)
    rows = job.rows.order_by("number").values_list("number", "word", "object_id")
    assert list(rows) == [(1, "create", None), (2, "", None), (3, "create", None)]
    assert job.rows.get(number=2).faults[0]["pointer"] == "/legal_name"
    assert not Partner.objects.filter(legal_name__in=["One", "Two"]).exists()
    assert not emitted("partner.onboarding.started")


def test_a_cancelled_check_stops_before_its_next_chunk(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "CHUNK", 2)
    job = start(*numbered(5), mode="check")
    answers = iter([False, True])
    monkeypatch.setattr(tasks._Turn, "_stopping", lambda turn: next(answers))
    finished(job)
    assert (job.processed, job.tally) == (2, {"create": 2})


def test_a_check_ends_although_others_always_wait_for_its_rows(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "CHUNK", 1)
    monkeypatch.setattr(locks, "are_awaited", lambda: True)
    job = finished(start(*numbered(4), mode="check"))
    assert (job.status, job.tally) == ("succeeded", {"create": 4})


def test_a_job_of_bad_rows_only_has_failed(start: Any) -> None:
    assert finished(start("bad")).status == "failed"


def test_a_worker_does_not_continue_a_job_leased_by_another(start: Any) -> None:
    job = start(*numbered(3))
    held = services.claim(job, actor=SYSTEM)
    assert tasks.work(str(job.pk)) == ""
    assert tasks.sweep() == 0
    assert not JobRow.objects.exists()
    expire(held)
    assert tasks.sweep() == 1
    assert finished(job).accepted == 3


def test_a_worker_that_lost_its_lease_writes_nothing(start: Any) -> None:
    job = start(*numbered(3))
    first = services.claim(job, actor=SYSTEM)
    expire(first)
    services.claim(first, actor=SYSTEM)
    with pytest.raises(leases.LeaseLost):
        tasks._Turn(first).run()
    assert not Partner.objects.filter(legal_name__startswith="Firm 0").exists()
    assert not JobRow.objects.exists()


def expire(job: Job) -> None:
    with unguarded_writes():
        Job.objects.filter(pk=job.pk).update(lease_until=timezone.now() - timedelta(minutes=1))


def test_a_turn_ends_so_that_others_get_the_worker(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "TURN_SECONDS", 0.0)
    monkeypatch.setattr(tasks, "CHUNK", 2)
    job = start(*numbered(3))
    assert tasks.work(str(job.pk)) == "running"
    job.refresh_from_db()
    assert (job.processed, job.lease_until) == (2, None), "each turn does a chunk, else it would never end"
    assert tasks.work(str(job.pk)) == "succeeded"


def test_the_rights_of_who_started_it_are_asked_for_at_each_row(start: Any, user: Any) -> None:
    manager = user("INTERNAL_MANAGER")
    job = start("One", actor=manager)
    with unguarded_writes():
        manager.memberships.all().delete()
    job = finished(job)
    assert (job.status, job.rows.get().faults[0]["code"]) == ("failed", "capability.missing")


def test_a_job_of_someone_who_left_ends(start: Any, user: Any) -> None:
    leaver = user("INTERNAL")
    job = start("One", actor=leaver)
    with unguarded_writes():
        type(leaver).objects.filter(pk=leaver.pk).update(status="deactivated")
    job = finished(job)
    assert (job.status, job.problem_code) == ("failed", "job.owner_inactive")
    assert not Partner.objects.filter(legal_name="One").exists()


def test_a_job_is_seen_by_its_owner_and_by_who_reads_the_trail(
    start: Any, user: Any, client_for: Any
) -> None:
    owner = user("INTERNAL")
    job = start("One", "bad", actor=owner)
    path = f"/api/v1/jobs/{job.pk}"
    assert client_for(user("INTERNAL")).read(path).status_code == 404
    seen = client_for(user("AUDITOR")).read(path)
    assert (seen.json()["status"], seen["Retry-After"]) == ("queued", "2")
    finished(job)
    client = client_for(owner)
    seen = client.read(path)
    assert (seen.json()["status"], seen.json()["tally"], seen.get("Retry-After")) == (
        "partial",
        {"created": 1},
        None,
    )
    errors = client.read(f"{path}/errors", Accept="text/csv")
    assert errors["Content-Type"] == "text/csv; charset=utf-8"
    assert b"".join(errors.streaming_content).decode("utf-8-sig").splitlines() == [
        "row,pointer,code,detail",
        "2,/legal_name,invalid,Not this.",
    ]
    result = b"".join(client.read(f"{path}/result", Accept="text/csv").streaming_content).decode("utf-8-sig")
    assert result.splitlines()[1] == f"1,created,{Partner.objects.get(legal_name='One').pk}"


def test_a_cancelled_job_stops_before_its_next_chunk(
    start: Any, user: Any, client_for: Any, emitted: Any
) -> None:
    owner = user("INTERNAL")
    job = start(*numbered(250), actor=owner)
    lease = services.claim(job, actor=SYSTEM)
    turn = tasks._Turn(lease)
    turn._chunk(list(turn._rows())[:200])
    client = client_for(owner)
    assert client.write(f"/api/v1/jobs/{job.pk}/cancel").json()["status"] == "cancelling"
    assert client.write(f"/api/v1/jobs/{job.pk}/cancel").json()["status"] == "cancelling"
    assert turn.run().status == "cancelled"
    job.refresh_from_db()
    assert (job.processed, job.accepted, job.total) == (200, 200, 250)
    assert len(emitted("job.cancelled")) == 1
    late = client.write(f"/api/v1/jobs/{job.pk}/cancel")
    assert (late.status_code, late.json()["code"]) == (409, "job.not_cancellable")


@pytest.mark.parametrize("role", ["AUDITOR", "INTERNAL_COMPLIANCE", "INTERNAL_DIRECTOR", "SELLER"])
def test_users_cannot_cancel_the_jobs_of_others(start: Any, user: Any, role: str) -> None:
    with pytest.raises(CapabilityMissing):
        services.cancel(start("One"), actor=user(role))


def test_who_reads_the_trail_is_offered_to_stop_no_job_of_another(
    start: Any, user: Any, client_for: Any, staff_client_for: Any
) -> None:
    job, reader, granted = start("One"), user("INTERNAL_COMPLIANCE"), user("INTERNAL_COMPLIANCE")
    assert client_for(reader).read(f"/api/v1/jobs/{job.pk}").json()["allowed_actions"] == []
    assert client_for(reader).write(f"/api/v1/jobs/{job.pk}/cancel").status_code == 403
    drawn = staff_client_for(reader).get(f"/admin/job/job/{job.pk}/change/").content.decode()
    assert "the job of another person" in drawn
    assert "/run/cancel/" not in drawn
    assign_perm("job.cancel", granted, job)
    assert services.cancel(job, actor=granted).status == "cancelling"


def test_files_and_rows_are_forgotten_after_a_week(start: Any) -> None:
    old, young = finished(start("One")), finished(start("Two"))
    with unguarded_writes():
        Job.objects.filter(pk=old.pk).update(finished_at=timezone.now() - timedelta(days=8))
    assert tasks.purge() == 1
    assert list(JobFile.objects.values_list("job", flat=True)) == [young.pk]
    assert list(JobRow.objects.values_list("job", flat=True)) == [young.pk]
    assert Job.objects.filter(pk=old.pk).exists()


WORK = """
import sys, django
django.setup()
import config.tests.jobs_support
from erp.jobs.tasks import work
work(sys.argv[1])
"""


@pytest.mark.django_db(transaction=True)
def test_another_worker_goes_on_where_one_was_killed_and_repeats_nothing(
    start: Any, emitted: Any, tmp_path: Path
) -> None:
    names = [*numbered(450), "die", *(f"Late {number}" for number in range(30))]
    job = start(*names)
    flag = tmp_path / "alive"
    flag.touch()
    killed = subprocess.run(
        [sys.executable, "-c", WORK, str(job.pk)],
        cwd=PROJECT,
        env=environment(ERP_TEST_DIE_ONCE=str(flag)),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert killed.returncode == -9, killed.stderr.decode()
    job.refresh_from_db()
    assert (job.status, job.processed) == ("running", 400)
    assert Partner.objects.filter(legal_name__startswith="Firm 0").count() == 400
    assert job.lease_until is not None
    assert timedelta(0) < job.lease_until - timezone.now() <= timedelta(seconds=20)
    expire(job)
    assert tasks.sweep() == 1
    job = finished(job)
    assert (job.status, job.processed, job.accepted) == ("succeeded", 481, 481)
    registered = Partner.objects.filter(legal_name__in=names)
    assert registered.count() == len(set(registered.values_list("legal_name", flat=True))) == 481
    assert len(emitted("partner.onboarding.started", causation_id=str(job.pk))) == 481
