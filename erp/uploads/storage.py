"""The object store that holds the bytes of files beside the database, where one is configured (``FILE_STORAGE``)."""

import math
import os
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, Storage
from django.utils.module_loading import import_string

from erp.clients import Client, RemoteUnavailable, refuse_inside_transaction
from erp.clients.breakers import Open

log = structlog.get_logger(__name__)

Result = TypeVar("Result")


class DurableFolder(FileSystemStorage):
    """A folder whose files are on the disk once they are saved: the database forgets its own copy then."""

    def _save(self, name: str, content: Any) -> str:
        saved: str = super()._save(name, content)  # type: ignore[misc]
        path = Path(self.path(saved))
        for each in (path, path.parent, path.parent.parent):
            handle = os.open(each, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        return saved


class ObjectStore(Client):
    """Puts, gets and deletes objects, outside transactions and behind a breaker. A key always means the same bytes."""

    name, timeout = "files", 60.0
    retries = 0
    fallback = "queued"

    def __init__(self, storage: Storage) -> None:
        super().__init__()
        self._storage = storage

    def put(self, key: str, content: bytes) -> None:
        """Store the bytes and read them back; again where an earlier attempt left a part of them."""

        def store() -> None:
            if self._read(key) == content:
                return
            self._storage.delete(key)
            saved = self._storage.save(key, ContentFile(content))
            if saved != key:  # somebody else stored it meanwhile
                self._storage.delete(saved)
            if self._read(key) != content:
                raise OSError(f"{key} isn't what was written")

        self._call("put", store)

    def get(self, key: str) -> bytes:
        """The bytes. Raises RemoteUnavailable where the store doesn't answer, or has no such object."""

        def read() -> bytes:
            content = self._read(key)
            if content is None:
                raise FileNotFoundError(key)
            return content

        return self._call("get", read)

    def delete(self, key: str) -> None:
        """Delete the object, if it is there."""
        self._call("delete", lambda: self._storage.delete(key))

    def _read(self, key: str) -> bytes | None:
        if not self._storage.exists(key):
            return None
        with self._storage.open(key) as file:
            return bytes(file.read())

    def _call(self, operation: str, act: Callable[[], Result]) -> Result:
        refuse_inside_transaction()
        started, breaker = time.monotonic(), self.breaker(operation)
        try:
            probe = breaker.admit(lease=self.timeout + 1)
        except Open as refused:
            self.measure(started, "open")
            raise self._unavailable(refused.retry_after) from None
        try:
            result = act()
        except Exception as error:
            breaker.report(ok=isinstance(error, FileNotFoundError), probe=probe)
            log.error("file_storage_failed", operation=operation, reason=type(error).__name__)
            self.measure(started, "error")
            raise self._unavailable() from error
        breaker.report(ok=True, probe=probe)
        self.measure(started, "ok")
        return result

    def _unavailable(self, retry_after: float = 0.0) -> RemoteUnavailable:
        return RemoteUnavailable(
            "The file can't be read or stored now.", retry_after=max(1, math.ceil(retry_after))
        )


def is_configured() -> bool:
    """Whether bytes are moved out of the database."""
    return bool(settings.FILE_STORAGE)


def store() -> ObjectStore:
    """The store of the settings. Raises ImproperlyConfigured where there is none: files that were moved need theirs."""
    return _store(settings.FILE_STORAGE)


@cache
def _store(address: str) -> ObjectStore:
    parts = urlsplit(address)
    if parts.scheme == "file":
        return ObjectStore(DurableFolder(location=parts.path))
    if parts.scheme == "gs":
        bucket = import_string("storages.backends.gcloud.GoogleCloudStorage")
        location = parts.path.strip("/")
        return ObjectStore(bucket(bucket_name=parts.netloc, location=location, file_overwrite=True))
    raise ImproperlyConfigured("FILE_STORAGE is file:///folder or gs://bucket/prefix")
