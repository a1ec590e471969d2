"""What an upload would do."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from apps.commodities.services import SORTS
from erp.files import Upload
from erp.jobs import tables

MOST_SHOWN: Final = 2_000  # rows of one answer


def bulk_validate(*, actor: Any, file: Upload, kind: str) -> dict[str, Any]:
    """Preview an import. Lists what it would do with each row, and every error.

    The whole file is looked at; of more than 2,000 rows those that would be refused are shown first of all.
    """
    words: Counter[str] = Counter()
    refused: list[tables.Foreseen] = []
    others: list[tables.Foreseen] = []
    for row in tables.preview(SORTS[kind].job, actor=actor, file=file):
        words[row.word] += 1
        shown = refused if row.word == "refused" else others
        if len(shown) < MOST_SHOWN:
            shown.append(row)
    rows = refused + others[: MOST_SHOWN - len(refused)]
    return {
        "kind": kind,
        "file_sha256": file.sha256,
        "total": words.total(),
        **{word: words[word] for word in ("create", "update", "unchanged", "refused")},
        "rows": sorted(rows, key=lambda row: row.number),
    }


def exported(kind: str, columns: Sequence[str], *, actor: Any) -> Iterator[list[Any]]:
    """The rows of a sort that the actor can see, by code, as lines of a table that can be uploaded again."""
    for row in SORTS[kind].rows.visible_to(actor).iterator(chunk_size=500):
        values = (getattr(row, column) for column in columns)
        yield [getattr(value, "code", value) for value in values]
