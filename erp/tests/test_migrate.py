"""``migrate`` applies operations in groups, with the same result as one by one."""

import pytest
from django.db import connection, models
from django.db.migrations import AddConstraint, AddField, AddIndex, CreateModel, Migration, RunSQL
from django.db.migrations.state import ProjectState

from erp.management.commands.migrate import Executor, OperationGroup, group

KEY = models.BigAutoField(primary_key=True)


def ginnery() -> Migration:
    """Two tables that name each other, with all that may follow a table's creation."""

    class Made(Migration):
        operations = [
            CreateModel("Gin", [("id", KEY), ("name", models.TextField())]),
            CreateModel("Lot", [("id", KEY), ("gin", models.ForeignKey("probe.gin", models.PROTECT))]),
            AddField("gin", "last_lot", models.ForeignKey("probe.lot", models.PROTECT, null=True)),
            AddField("lot", "bales", models.IntegerField(default=0)),
            AddIndex("gin", models.Index(fields=["name"], name="probe_gin_name")),
            AddConstraint(
                "lot", models.CheckConstraint(condition=models.Q(bales__gte=0), name="probe_bales")
            ),
            AddConstraint("lot", models.UniqueConstraint(fields=["gin", "bales"], name="probe_once")),
            RunSQL("COMMENT ON TABLE probe_gin IS 'one'"),
            RunSQL("COMMENT ON TABLE probe_gin IS 'two'"),
        ]

    return Made("0001_initial", "probe")


def test_neighbours_of_one_kind_are_a_group_and_keep_their_order() -> None:
    operations = ginnery().operations
    grouped = list(group(operations))
    sizes = [len(each.operations) if isinstance(each, OperationGroup) else 0 for each in grouped]
    assert sizes == [2, 2, 1, 2, 0, 0]
    flat = [
        one for each in grouped for one in (each.operations if isinstance(each, OperationGroup) else [each])
    ]
    assert flat == operations


@pytest.mark.django_db
def test_models_are_built_once_for_each_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ProjectState, "_reload", lambda *_: pytest.fail("built one by one"))
    migration = ginnery()
    before = list(migration.operations)
    state = Executor(connection).apply_migration(ProjectState(), migration)
    assert migration.operations == before
    one_by_one = ProjectState()
    migration.mutate_state(one_by_one, preserve=False)
    assert state == one_by_one
    with connection.cursor() as cursor:
        columns = {
            table: {column.name for column in connection.introspection.get_table_description(cursor, table)}
            for table in ("probe_gin", "probe_lot")
        }
        constraints = connection.introspection.get_constraints(cursor, "probe_lot").keys()
    assert columns == {"probe_gin": {"id", "name", "last_lot_id"}, "probe_lot": {"id", "gin_id", "bales"}}
    assert {"probe_bales", "probe_once"} <= constraints
