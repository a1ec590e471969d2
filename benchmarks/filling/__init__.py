"""Fill tables for a benchmark with copies of rows that services have made."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def without_triggers() -> Iterator[Any]:
    """A cursor whose statements start no trigger and check no foreign key; the planner learns what they wrote."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        try:
            yield cursor
        finally:
            cursor.execute("RESET session_replication_role")
        cursor.execute("ANALYZE")


def copy_of(key: str) -> str:
    """The id of the n-th copy of a row as SQL: n in place of its first digits, so that copies keep their order."""
    return f"(lpad(to_hex(n), 8, '0') || substr({key}::text, 9))::uuid"


def insert_copies(model: Any, copies: range, where: str, **columns: str) -> str:
    """The statement that copies rows ``t`` for each n, with other values in the named columns; the rest as it is.

    Ids that count up are new ones, in the order of the originals.
    """
    fields = [
        field for field in model._meta.local_concrete_fields if field.column in columns or not _counts(field)
    ]
    names = [field.column for field in fields if not field.generated]
    values = ", ".join(columns.get(name, f"t.{name}") for name in names)
    return (
        f"INSERT INTO {model._meta.db_table} ({', '.join(names)}) SELECT {values}"
        f" FROM {model._meta.db_table} t, generate_series({copies.start}, {copies.stop - 1}) AS n"
        f" WHERE {where} ORDER BY n, t.id"
    )


def _counts(field: Any) -> bool:
    return field.primary_key and field.get_internal_type() == "BigAutoField"
