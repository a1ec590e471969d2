"""Migrations from nothing (the test database) to the committed schema and back; databases that others made."""

import re
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django.apps import apps
from django.conf import settings as configured
from django.core.management import CommandError, call_command
from django.core.management.commands import migrate
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder

from config.run import manage
from config.tests.test_commands import empty_database
from erp import schema
from erp.commands import DOWN
from erp.embedded.process import CannotStart

__all__ = ["empty_database"]

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
OF_DJANGO = re.compile("(auth|django)_")


def test_a_fresh_database_has_the_committed_schema() -> None:
    assert schema.differences() == [], "run `make schema` if the migrations are right"
    assert schema.describe() == schema.path().read_text()


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TRIGGER approval_voice_stays ON approval_approvaldecision",
        "ALTER TABLE approval_approvaldecision DISABLE TRIGGER approval_voice_stays",
        "ALTER TABLE approval_approvalrequest DROP CONSTRAINT approval_maker_is_excluded",
        "CREATE OR REPLACE FUNCTION commodity_published_stays() RETURNS trigger LANGUAGE plpgsql"
        " AS $$ BEGIN RETURN NEW; END $$",
        "DROP SEQUENCE availability_number",
        "ALTER TABLE event_outbox ALTER COLUMN position DROP IDENTITY",
        "ALTER TABLE event_outbox ALTER COLUMN created_at DROP DEFAULT",
        "ALTER TABLE event_stream RESET (fillfactor)",
        "ALTER TABLE account_user ALTER COLUMN full_name TYPE text",
        "ALTER TABLE account_user ALTER COLUMN full_name DROP NOT NULL",
        "DROP INDEX location_search",
        "DROP EXTENSION pg_trgm CASCADE",
        "CREATE TABLE foreign_table (id int)",
        "CREATE VIEW foreign_view AS SELECT 1 AS one",
    ],
)
def test_a_change_past_the_migrations_is_seen(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
    assert "differs from docs/schema.txt" in schema.fault()


def test_further_extensions_are_no_difference() -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE EXTENSION citext")
    assert schema.fault() == ""


def test_migrations_lead_back_to_nothing_and_to_the_schema_again() -> None:
    own = [app.label for app in apps.get_app_configs() if app.name.startswith(("erp.", "apps."))]
    MigrationExecutor(connection).migrate([(label, None) for label in own])
    left = [line.split("(")[0].split() for line in schema.describe().splitlines() if line[0] != " "]
    assert [words for words in left if words[0] != "extension" and not OF_DJANGO.match(words[-1])] == []
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())
    assert schema.differences() == []


def test_migrate_refuses_a_database_with_migrations_that_the_code_does_not_know(settings: Any) -> None:
    MigrationRecorder(connection).record_applied("commodity", "0009_name_keys")
    MigrationRecorder(connection).record_applied("approval", "0002_database_side")
    with pytest.raises(
        CommandError, match=r"other migrations .*: approval\.0002_database_side and 1"
    ) as refused:
        call_command("migrate", verbosity=0)
    assert refused.value.returncode == DOWN
    settings.PRODUCTION = True  # a former release after a rollback
    call_command("migrate", verbosity=0)


def test_migrate_refuses_a_database_that_an_edited_migration_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def apply(*_: Any, **__: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("DROP SEQUENCE availability_number")

    monkeypatch.setattr(migrate.Command, "handle", apply)
    with (
        transaction.atomic(),
        pytest.raises(CommandError, match=r"- ?sequence availability_number") as refused,
    ):
        call_command("migrate", verbosity=0)
    assert refused.value.returncode == DOWN


def test_migrations_that_wait_are_no_fault() -> None:
    MigrationRecorder(connection).record_unapplied("availability", "0001_initial")
    with connection.cursor() as cursor:
        cursor.execute("DROP SEQUENCE availability_number")
    assert schema.fault() == ""


def test_run_says_in_one_line_how_to_replace_a_database_of_other_migrations(empty_database: str) -> None:
    with psycopg.connect(empty_database) as database:
        database.execute("CREATE TABLE django_migrations (id int, app text, name text, applied timestamptz)")
        database.execute("INSERT INTO django_migrations VALUES (1, 'outbox', '0001_initial', now())")
        database.execute("INSERT INTO django_migrations VALUES (2, 'outbox', '0003_dead_letter', now())")
    stack: Any = SimpleNamespace(urls={"DATABASE_URL": empty_database}, data_dir=configured.DATA_DIR)
    with pytest.raises(CannotStart) as refused:
        manage(stack, "migrate", "--no-input")
    assert refused.value.exit_code == DOWN
    (line,) = str(refused.value).splitlines()
    assert line.startswith(
        "The database was made by other migrations than this code's: outbox.0003_dead_letter."
    )
    assert f"remove {configured.DATA_DIR}" in line or "Drop the database and create it anew" in line
