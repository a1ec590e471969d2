"""Preview and export of imports."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from apps.commodities import capabilities
from apps.commodities.services.imports import IMPORT_TARGETS
from erp.access import Actor
from erp.files import Upload
from erp.jobs import tables


def bulk_validate(*, actor: Actor, file: Upload, kind: str) -> dict[str, Any]:
    """Preview an import. Lists what it would do with each row, and every error.

    A preview takes at most 1 MB and 2,000 rows. Upload a larger file in mode `check`: a job then checks it.
    """
    rows = tables.preview(IMPORT_TARGETS[kind].job, actor=actor, file=file)
    words = Counter(row.foreseen for row in rows)
    return {
        "kind": kind,
        "file_sha256": file.sha256,
        "total": len(rows),
        **{word: words[word] for word in ("create", "update", "unchanged", "refused")},
        "rows": rows,
    }


def exported(kind: str, columns: Sequence[str], *, actor: Actor) -> Iterator[list[Any]]:
    """Return the rows of a kind that the actor can see, by code, as lines of a file that can be imported again."""
    rows = IMPORT_TARGETS[kind].rows.visible_to(actor).permitted(actor, capabilities.VIEW)
    for row in rows.iterator(chunk_size=500):
        values = (getattr(row, column) for column in columns)
        yield [getattr(value, "code", value) for value in values]
