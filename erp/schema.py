"""The database's schema as text, to compare a database with the one that the code's migrations make."""

import difflib
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

# Names and definitions as PostgreSQL prints them, from the catalog: nothing of versions, owners or order of columns.
_CATALOG: Final = """
WITH own AS (
    SELECT c.oid, c.relname, c.relkind, c.reloptions FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                      AND d.deptype IN ('e', 'i'))
)
SELECT extname AS owner, 0 AS rank, '' AS name, 'extension ' || extname AS line
FROM pg_extension WHERE extname <> 'plpgsql'
UNION ALL
SELECT proname, 1, p.oid::regprocedure::text, pg_get_functiondef(p.oid) FROM pg_proc p
WHERE pronamespace = current_schema()::regnamespace AND prokind IN ('f', 'p')
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                  AND d.deptype = 'e')
UNION ALL
SELECT relname, 2, '', format('sequence %s %s from %s by %s', relname, seqtypid::regtype, seqstart, seqincrement)
FROM own JOIN pg_sequence ON seqrelid = oid
UNION ALL
SELECT relname, 3, '', concat_ws(' ', CASE WHEN relkind IN ('v', 'm') THEN 'view' ELSE 'table' END, relname,
    '(' || (SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(reloptions) o) || ')',
    CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(oid) END)
FROM own WHERE relkind <> 'S'
UNION ALL
SELECT relname, 4, attname, concat_ws(' ', '   ', attname, format_type(atttypid, atttypmod),
    'collate ' || NULLIF(attcollation, typcollation)::regcollation,
    CASE WHEN attnotnull THEN 'not null' END,
    CASE attidentity WHEN 'd' THEN 'identity by default' WHEN 'a' THEN 'identity always' END,
    CASE WHEN attgenerated = '' THEN 'default ' ELSE 'generated ' END || pg_get_expr(adbin, adrelid))
FROM own JOIN pg_attribute a ON attrelid = own.oid JOIN pg_type t ON t.oid = atttypid
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE relkind <> 'S' AND attnum > 0 AND NOT attisdropped
UNION ALL
SELECT relname, 5, conname, format('    constraint %s %s', conname, pg_get_constraintdef(o.oid))
FROM own JOIN pg_constraint o ON conrelid = own.oid WHERE contype NOT IN ('n', 't')
UNION ALL
SELECT relname, 6, indexrelid::regclass::text, '    ' || pg_get_indexdef(indexrelid)
FROM own JOIN pg_index ON indrelid = own.oid
WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = own.oid AND conindid = indexrelid)
UNION ALL
SELECT relname, 7, tgname, concat_ws(' ', '   ', pg_get_triggerdef(t.oid), CASE tgenabled WHEN 'D' THEN 'disabled' END)
FROM own JOIN pg_trigger t ON tgrelid = own.oid WHERE NOT tgisinternal
    AND tgname NOT LIKE 'trail\\_%'  -- attached after each migration, and checked, by erp.trail.triggers
"""


def path() -> Path:
    """The committed description of the schema that the migrations make."""
    return Path(settings.BASE_DIR) / "docs" / "schema.txt"


def describe() -> str:
    """Describe the connected database: extensions, functions, sequences, tables with all that belongs to them."""
    with connection.cursor() as cursor:
        cursor.execute(_CATALOG)
        rows = sorted(cursor.fetchall(), key=lambda row: (min(row[1], 3), *row[:3]))
    return "".join(f"{line.rstrip()}\n" for *_, line in rows)


def differences() -> list[str]:
    """Lines in which the connected database differs from ``docs/schema.txt``: ``+`` it has more, ``-`` it lacks.

    Further extensions don't count: administrators add their own.
    """
    expected = path().read_text().splitlines()
    actual = [
        line for line in describe().splitlines() if not line.startswith("extension ") or line in expected
    ]
    found = difflib.unified_diff(expected, actual, n=0, lineterm="")
    return [line for line in found if line[0] != "@" and line[:3] not in ("---", "+++")]


def fault() -> str:
    """Why this code's migrations can't have made the database; empty where they can, also where some still wait."""
    executor = MigrationExecutor(connection)
    loader = executor.loader
    unknown = sorted(
        f"{app}.{name}"
        for app, name in loader.applied_migrations
        if app in loader.migrated_apps and (app, name) not in loader.disk_migrations
    )
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        return f"The database was made by other migrations than this code's: {unknown[0]}{more}."
    if executor.migration_plan(loader.graph.leaf_nodes()):
        return ""
    found = differences()
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        first = " ".join(found[0].split())
        return f"The database differs from docs/schema.txt, which `manage.py write_schema` writes: {first}{more}."
    return ""


def remedy() -> str:
    """What to do about a ``fault()``."""
    if settings.PRODUCTION:
        return "Deploy the release that made it, see docs/runbooks/migration-rollback.md."
    with connection.cursor() as cursor:
        # No row for users who may not see it: not the embedded server's.
        cursor.execute("SELECT setting FROM pg_settings WHERE name = 'data_directory'")
        row = cursor.fetchone()
    folder = Path(settings.DATA_DIR).resolve()
    is_embedded = row is not None and Path(row[0]).resolve().is_relative_to(folder)
    if is_embedded:
        return f"Stop the servers and remove {folder}; its data is lost."
    return "Drop the database and create it anew; its data is lost."
