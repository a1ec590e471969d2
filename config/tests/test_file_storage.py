"""Bytes of files outside the database: moved without loss, deleted without orphans, whenever a worker dies."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from apps.partners.tests import factories
from erp import clock, doctor
from erp.access import SYSTEM
from erp.clients import InsideTransaction, RemoteUnavailable
from erp.models import unguarded_writes
from erp.services import unit_of_work
from erp.uploads import services, storage, tasks
from erp.uploads.models import DeletedObject, FileContent, StoredFile

pytestmark = pytest.mark.django_db


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Path:
    """A folder that the files are moved to."""
    settings.FILE_STORAGE = f"file://{tmp_path}/files"
    return tmp_path / "files"


def a_file() -> StoredFile:
    """A clean file of a paper."""
    return factories.document_of(factories.file_of("under_review")).file


def only_one() -> StoredFile:
    """A file beside which there is no other."""
    stored = a_file()
    with unguarded_writes():
        StoredFile.objects.exclude(pk=stored.pk).update(scan_status="pending")
    return stored


def objects(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_doctor_writes_and_deletes_an_object(folder: Path, settings: Any) -> None:
    assert doctor._file_storage() == "file"
    assert objects(folder) == []
    settings.FILE_STORAGE = "file:///proc/none"
    with pytest.raises(RemoteUnavailable):
        doctor._file_storage()
    settings.FILE_STORAGE = ""
    assert doctor._file_storage() == "files stay in the database"


def test_bytes_move_once_and_read_the_same(folder: Path, emitted: Any, client_for: Any, user: Any) -> None:
    stored = only_one()
    paper = factories.PartnerDocument.objects.get(file=stored)
    before = stored.content
    assert tasks.move() == 1
    assert objects(folder) == [f"{stored.pk}/{stored.sha256}"]
    held = FileContent.objects.get(file=stored)
    assert (held.content, held.storage_key) == (None, stored.key)
    assert stored.content == before
    assert tasks.move() == 0
    assert len(emitted("upload.stored")) == 1
    sent = client_for(user("INTERNAL_COMPLIANCE")).read(f"/api/v1/partners/documents/{paper.pk}/content")
    assert sent.content == before


def test_files_stay_in_the_database_unless_a_store_is_set_and_they_are_clean_and_used(
    folder: Path, settings: Any
) -> None:
    stored = a_file()
    with unguarded_writes():
        StoredFile.objects.update(scan_status="pending")
    assert tasks.move() == 0
    with unguarded_writes():
        StoredFile.objects.update(scan_status="clean", used_by="")
    assert tasks.move() == 0
    settings.FILE_STORAGE = ""
    with unguarded_writes():
        StoredFile.objects.update(used_by="x")
    assert tasks.move() == 0
    assert stored.content
    assert objects(folder) == []


def test_a_worker_that_dies_after_it_wrote_the_object_loses_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = only_one()
    before = stored.content

    def die(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(tasks.services, "record_move", die)
        with pytest.raises(KeyboardInterrupt):
            tasks.move()
    assert (objects(folder), stored.content) == ([stored.key], before)
    assert FileContent.objects.get(file=stored).content is not None
    assert tasks.move() == 1
    assert (objects(folder), stored.content) == ([stored.key], before)


def test_a_part_of_an_object_that_a_dead_worker_left_is_written_anew(folder: Path) -> None:
    stored = only_one()
    before = stored.content
    path = folder / stored.key
    path.parent.mkdir(parents=True)
    path.write_bytes(before[:5])
    assert tasks.move() == 1
    assert (objects(folder), stored.content) == ([stored.key], before)


def test_a_store_that_does_not_answer_leaves_the_bytes_where_they_are(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = only_one()

    def fail(*args: Any) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(storage.DurableFolder, "_save", fail)
        assert tasks.move() == 0
    assert FileContent.objects.get(file=stored).content is not None
    assert tasks.move() == 1


def test_the_object_of_a_deleted_file_goes_an_hour_later_and_none_is_left_over(folder: Path) -> None:
    stored = only_one()
    tasks.move()
    with transaction.atomic():  # what is rolled back deletes nothing
        _erase(stored)
        transaction.set_rollback(True)
    assert (objects(folder), DeletedObject.objects.count()) == ([stored.key], 0)
    key = stored.key
    with unit_of_work(SYSTEM):
        _erase(StoredFile.objects.get(pk=stored.pk))
    assert not FileContent.objects.filter(storage_key=key).exists()
    tasks.move()
    assert objects(folder) == [key]
    with unguarded_writes():
        DeletedObject.objects.update(deleted_at=clock.now() - timedelta(hours=2))
    tasks.move()
    assert (objects(folder), DeletedObject.objects.count()) == ([], 0)


def test_a_file_that_is_deleted_while_it_is_moved_leaves_no_object(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = only_one()
    put = storage.ObjectStore.put

    def put_late(self: Any, key: str, content: bytes) -> None:
        with unit_of_work(SYSTEM):
            _erase(StoredFile.objects.get(pk=stored.pk))
        put(self, key, content)

    with monkeypatch.context() as patched:
        patched.setattr(storage.ObjectStore, "put", put_late)
        assert tasks.move() == 0
    assert len(objects(folder)) == 1
    with unguarded_writes():
        DeletedObject.objects.update(deleted_at=clock.now() - timedelta(hours=2))
    tasks.move()
    assert objects(folder) == []


def _erase(stored: StoredFile) -> None:
    with unguarded_writes():
        factories.PartnerDocument.objects.filter(file=stored).delete()
    services.erase(stored, actor=SYSTEM)


@pytest.mark.parametrize("harm", ["damaged", "missing"])
def test_an_object_that_is_not_what_was_stored_is_never_given_out(folder: Path, harm: str) -> None:
    stored = only_one()
    tasks.move()
    path = folder / stored.key
    path.unlink() if harm == "missing" else path.write_bytes(b"other bytes")
    with pytest.raises(RemoteUnavailable):
        assert stored.content


def test_the_store_is_never_asked_inside_a_transaction(folder: Path) -> None:
    with pytest.raises(InsideTransaction), transaction.atomic():
        storage.store().put("a/b", b"c")


@pytest.mark.parametrize("values", [{"content": None}, {"storage_key": "a/b"}])
def test_bytes_are_in_exactly_one_place(values: dict[str, Any]) -> None:
    stored = a_file()
    with pytest.raises(IntegrityError), transaction.atomic(), unguarded_writes():
        FileContent.objects.filter(file=stored).update(**values)


def test_a_bucket_is_addressed_by_its_name_and_prefix(settings: Any) -> None:
    settings.FILE_STORAGE = "gs://erp-files/production"
    bucket = storage.store()._storage
    assert (bucket.bucket_name, bucket.location) == ("erp-files", "production")  # type: ignore[attr-defined]
