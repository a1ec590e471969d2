"""The audit trail: every change of a row is in it with who, how and why, and nobody can take it out again."""

import csv
import io
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import Error, connection, transaction

from apps.accounts.models import TotpDevice, User
from apps.commodities.models.commodities import Commodity
from apps.commodities.services.commodities import create, update
from apps.locations.models import Location
from erp import clock
from erp.access import SYSTEM
from erp.models import unguarded_writes
from erp.services import attempt, unit_of_work
from erp.testing import at_once, environment
from erp.trail import context, sealing, services, triggers
from erp.trail.models import Anchor, Entry, Export, Seal, year_limits

pytestmark = pytest.mark.django_db(transaction=True)
HEMP = {"code": "HEMP", "name": "Hemp", "category": "FIBRE"}
TABLE = "commodity_commodity"
COLUMNS = (
    "recorded_at, txid, by_superuser, service, capability, channel, request_id, record_id, reason, table_name,"
    " row_key, operation"
)


def entries(table: str = TABLE, **filters: Any) -> list[Entry]:
    return list(Entry.objects.filter(table=table, **filters).order_by("position"))


def run(name: str, *arguments: str) -> tuple[int, str]:
    out = io.StringIO()
    try:
        call_command(name, *arguments, stdout=out)
    except SystemExit as error:
        return int(error.code or 0), out.getvalue()
    return 0, out.getvalue()


def sql(statement: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def seal_all() -> None:
    """Seal every entry, once the transactions of other databases of the cluster that began before have ended."""
    deadline = time.monotonic() + 150
    while sealing.seal() or Seal.objects.count() < Entry.objects.count():
        assert time.monotonic() < deadline, "another transaction has been running all the time"
        time.sleep(0.02)


@pytest.fixture
def tampering() -> Iterator[Callable[[str], None]]:
    """Run SQL as somebody who may switch triggers off."""

    def change(statement: str) -> None:
        for table in ("trail_entry", "trail_seal"):
            sql(f"ALTER TABLE {table} DISABLE TRIGGER trail_stays")
        sql(statement)
        for table in ("trail_entry", "trail_seal"):
            sql(f"ALTER TABLE {table} ENABLE TRIGGER trail_stays")

    return change


def test_a_change_over_the_api_is_recorded_with_who_how_and_why(user, client_for):
    person = user("INTERNAL_MASTERDATA")
    made = client_for(person).write("/api/v1/commodities", HEMP)
    (entry,) = entries()
    assert (entry.operation, entry.actor_id, entry.channel) == ("INSERT", person.pk, "api")
    assert (entry.service, entry.capability) == ("commodity.create", "commodity.create")
    assert entry.request_id == made["X-Request-ID"]
    assert entry.row == made.json()["id"]
    assert entry.after["code"] == "HEMP"
    assert entry.before is None
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM idempotency_record WHERE id::text = %s", [entry.record_id])
        assert cursor.fetchone()


def test_an_update_records_the_changed_fields_alone():
    row = create(actor=SYSTEM, **HEMP)
    update(row, actor=SYSTEM, **{**{f: getattr(row, f) for f in update.keywords}, "description": "Bast"})
    changed = entries(operation="UPDATE")[-1]
    assert (changed.before, changed.after) == (
        {"description": "", "version": 1},
        {"description": "Bast", "version": 2},
    )


def test_bulk_updates_and_plain_sql_are_in_the_trail():
    row = create(actor=SYSTEM, **HEMP)
    with unguarded_writes():
        Commodity.objects.filter(pk=row.pk).update(description="in bulk")
    sql("UPDATE commodity_commodity SET description = 'by hand' WHERE id = %s", row.pk)
    sql("DELETE FROM commodity_commodityname")
    assert [(e.channel, e.after["description"]) for e in entries(operation="UPDATE")] == [
        ("sql", "in bulk"),
        ("sql", "by hand"),
    ]
    assert {e.channel for e in entries("commodity_commodityname", operation="DELETE")} == {"sql"}


def test_the_channel_is_that_of_the_caller(staff_page):
    from config.celery import app

    create(actor=SYSTEM, **HEMP)
    assert entries()[-1].channel == "command"

    @app.task(name="tests.create_jute")
    def create_jute() -> str:
        return str(create(actor=SYSTEM, code="JUTE", name="Jute", category="FIBRE").pk)

    create_jute()
    assert entries()[-1].channel == "task"
    staff_page()
    assert entries()[-1].channel == "admin"


@pytest.fixture
def staff_page(user, staff_client_for):
    def make() -> None:
        staff = staff_client_for(user("INTERNAL_MASTERDATA"))
        answer = staff.fill("/admin/commodity/commodity/add/", code="SISAL", name="Sisal", category="FIBRE")
        assert answer.status_code == 302, answer.context["errors"]

    return make


def test_a_rolled_back_change_leaves_no_entry():
    def fail() -> None:
        with transaction.atomic():
            create(actor=SYSTEM, **HEMP)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert entries() == []


def test_after_a_rolled_back_attempt_the_context_is_set_again(user):
    person = user("INTERNAL_MASTERDATA")

    def fail() -> None:
        with attempt():
            create(actor=person, **HEMP)
            raise ZeroDivisionError

    with unit_of_work(person):
        with pytest.raises(ZeroDivisionError):
            fail()
        create(actor=person, code="JUTE", name="Jute", category="FIBRE")
    (entry,) = entries()
    assert (entry.actor_id, entry.service) == (person.pk, "commodity.create")


def test_what_is_approved_is_done_on_behalf_of_the_requester(user):
    maker = user("INTERNAL")
    with context.on_behalf_of(maker.pk):
        create(actor=SYSTEM, **HEMP)
    assert entries()[-1].on_behalf_of == maker.pk


def test_personal_data_in_a_reason_is_masked(user):
    described = context.describe(
        user("INTERNAL"), service="x.y", capability="", reason="Asked by asha@example.com", record_id=""
    )
    assert "asha@example.com" not in described
    assert json.loads(described)["reason"].startswith("Asked by ")


def test_secret_and_personal_columns_are_stored_as_mask_and_digest(user):
    person = user("INTERNAL", email="asha.patel@example.com")
    plain = json.dumps([[e.before, e.after] for e in entries("account_user")])
    assert "asha.patel" not in plain
    assert "argon2" not in plain
    with unguarded_writes():
        User.objects.filter(pk=person.pk).update(email="other@example.com")
    (changed,) = entries("account_user", operation="UPDATE")
    assert changed.after["email"] == {"masked": True}, "without the key no digest"
    with unit_of_work(SYSTEM) as unit, unguarded_writes():
        unit.describe(create, SYSTEM, "")
        User.objects.filter(pk=person.pk).update(email="asha.patel@example.com")
        User.objects.filter(pk=person.pk).update(email="other@example.com")
        User.objects.filter(pk=person.pk).update(email="asha.patel@example.com")
    first, second, third = entries("account_user", operation="UPDATE")[1:]
    assert first.after["email"] == third.after["email"] != second.after["email"]
    assert re.fullmatch("[0-9a-f]{64}", first.after["email"]["digest"])


def test_columns_whose_changes_alone_are_no_news_write_no_entry(user):
    with unguarded_writes():
        device = TotpDevice.objects.get(user=user("INTERNAL"))
        TotpDevice.objects.filter(pk=device.pk).update(last_step=5)
        TotpDevice.objects.filter(pk=device.pk).update(last_step=6, secret="y")
    assert [e.operation for e in entries("account_totpdevice")] == ["INSERT", "UPDATE"]


def test_rights_of_groups_are_in_the_trail(user):
    group = Group.objects.get(name="BUYER")
    permission = group.permissions.first()
    group.permissions.remove(permission)
    (entry,) = entries("auth_group_permissions", operation="DELETE")
    assert entry.before["permission_id"] == permission.pk
    group.permissions.add(permission)


@pytest.mark.parametrize(
    "table", ["trail_entry", "trail_seal", "trail_anchor", "trail_export", "trail_clearread"]
)
@pytest.mark.parametrize("statement", ["UPDATE {} SET {}", "DELETE FROM {}", "TRUNCATE {}"])
def test_nobody_changes_the_trail_not_even_its_owner(table, statement):
    create(actor=SYSTEM, **HEMP)
    services.record_export(actor=SYSTEM, year="2026-27", filters={}, lines=1)
    services.record_clear_reads(actor=SYSTEM, reads={("partner_partner", "1"): {"pan"}})
    seal_all()
    services.publish_anchor(actor=SYSTEM, day=date(2026, 11, 30))
    columns = {"trail_entry": "reason = 'x'", "trail_export": "lines = 2", "trail_clearread": "row_key = '2'"}
    column = columns.get(table, "number = 900")
    before = sealing.Seal.objects.count()
    with pytest.raises(Error, match="stays"):
        sql(statement.format(table, column))
    assert Seal.objects.count() == before


def test_nobody_writes_an_entry_by_hand():
    create(actor=SYSTEM, **HEMP)
    with pytest.raises(Error, match="only changes of rows"):
        sql(f"INSERT INTO trail_entry ({COLUMNS}) SELECT {COLUMNS} FROM trail_entry LIMIT 1")


def test_a_table_without_its_trigger_is_found_and_mended():
    assert triggers.check_triggers(["default"]) == []
    sql("ALTER TABLE commodity_commodity DISABLE TRIGGER trail_record")
    sql("DROP TRIGGER trail_record ON location_location")
    sql(
        "CREATE OR REPLACE TRIGGER trail_record AFTER INSERT OR UPDATE OR DELETE ON partner_partner FOR EACH ROW"
        " WHEN (false) EXECUTE FUNCTION trail_record('id', 'legal_name,trade_name', 'updated_at')"
    )
    found = {error.msg.split()[0] for error in triggers.check_triggers(["default"])}
    assert found == {Commodity._meta.db_table, Location._meta.db_table, "partner_partner"}
    assert run("verify_audit")[0] == 1
    triggers.attach("default")
    assert triggers.check_triggers(["default"]) == []


def test_a_function_that_writes_nothing_is_found():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_get_functiondef('trail_record'::regproc)")
        (definition,) = cursor.fetchone()
    sql(
        "CREATE OR REPLACE FUNCTION trail_record() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
    )
    try:
        assert len(triggers.check_triggers(["default"])) == len(triggers.recorded_models())
    finally:
        sql(definition)
    assert triggers.check_triggers(["default"]) == []


def test_a_temporary_table_of_the_same_name_takes_no_entry():
    with transaction.atomic():
        sql("CREATE TEMP TABLE trail_entry (LIKE public.trail_entry INCLUDING ALL) ON COMMIT DROP")
        create(actor=SYSTEM, **HEMP)
    assert len(entries()) == 1


def test_an_open_end_inside_a_column_of_rows_is_recorded(db):
    from apps.commodities.models.terms import PaymentTerms

    slabs = [{"days": None, "annual_percent": "12"}]
    with unguarded_writes():
        PaymentTerms.objects.create(
            code="P1", name="P", name_key="p", balance_days=5, balance_from="INVOICE", day_kind="CALENDAR",
            instrument="CHEQUE", bank_charges_by="BUYER", carrying_slabs=slabs,
        )  # fmt: skip
    (entry,) = entries("commodity_paymentterms")
    assert entry.after["carrying_slabs"] == slabs
    assert "lc_kind" not in entry.after


def test_every_model_of_a_module_is_recorded_or_says_why_not():
    recorded = {model._meta.label for model in triggers.recorded_models()}
    assert {
        "account.User",
        "auth.Group",
        "guardian.UserObjectPermission",
        "availability.Reservation",
    } <= recorded
    assert "account.RefreshToken" not in recorded
    assert "outbox.EventOutbox" not in recorded


def test_the_chain_is_sealed_once_and_proves_itself():
    create(actor=SYSTEM, **HEMP)
    count = Entry.objects.count()
    sealing.seal(batch=2)
    seal_all()
    assert sealing.seal() == 0
    assert list(sealing.findings()) == []
    assert list(Seal.objects.order_by("number").values_list("number", flat=True)) == list(range(1, count + 1))
    assert run("verify_audit")[0] == 0


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE trail_entry SET reason = 'x' WHERE position = {}", "was changed"),
        ("UPDATE trail_entry SET after = '{{}}' WHERE position = {}", "was changed"),
        ("DELETE FROM trail_entry WHERE position = {}", "was removed"),
        ("UPDATE trail_seal SET hash = sha256('') WHERE position = {}", "was changed"),
        ("DELETE FROM trail_seal WHERE position = {}", "were removed"),
    ],
)
def test_one_entry_changed_or_removed_is_named(tampering, statement, words):
    for code in ("HEMP", "JUTE", "SISAL"):
        create(actor=SYSTEM, code=code, name=code.title(), category="FIBRE")
    seal_all()
    middle = Seal.objects.order_by("number")[1]
    tampering(statement.format(middle.position))
    code, out = run("verify_audit", "--json")
    report = json.loads(out)
    assert (code, report["passed"]) == (1, False)
    assert words in report["findings"][0]["detail"]
    assert report["findings"][0]["position"] in (middle.position, None)


def test_an_added_entry_is_named(tampering):
    create(actor=SYSTEM, **HEMP)
    seal_all()
    free = Entry.objects.order_by("position").first()
    deadline = time.monotonic() + 150
    number = 0
    while Seal.objects.order_by("-number").first().settled < free.position:
        assert time.monotonic() < deadline, "another transaction has been running all the time"
        number += 1
        create(actor=SYSTEM, code=f"C{number}", name=f"Fibre {number}", category="FIBRE")
        seal_all()
    tampering(f"UPDATE trail_seal SET position = -1 WHERE position = {free.position}")
    assert any("was added" in finding.detail for finding in sealing.findings())


def test_a_published_anchor_shows_a_chain_that_was_written_anew(tampering, assert_emitted):
    create(actor=SYSTEM, **HEMP)
    seal_all()
    anchor = services.publish_anchor(actor=SYSTEM, day=date(2026, 11, 30))
    assert services.publish_anchor(actor=SYSTEM, day=date(2026, 11, 30)) is None
    from erp.trail.events import TrailSealed

    assert_emitted(TrailSealed, number=anchor.number, hash=anchor.hash, day="2026-11-30")
    tampering("DELETE FROM trail_seal; UPDATE trail_entry SET reason = 'x'")
    seal_all()
    assert [finding.detail for finding in sealing.findings()] == [
        f"Seal {anchor.number} differs from the anchor of 2026-11-30."
    ]


def test_a_late_commit_is_sealed_after_those_that_overtook_it():
    """The first entry's transaction ends last: its position is the lowest, its seal a later one."""
    begun, over = threading.Event(), threading.Event()
    seal_all()

    def slow() -> None:
        with transaction.atomic():
            create(actor=SYSTEM, **HEMP)
            begun.set()
            assert over.wait(20)

    def fast() -> list[int]:
        assert begun.wait(20)
        create(actor=SYSTEM, code="JUTE", name="Jute", category="FIBRE")
        early = sealing.seal()
        over.set()
        return [early]

    slowly, (early,) = at_once(slow, fast)
    assert slowly is None
    assert early == 0, "below a running transaction nothing is sealed"
    seal_all()
    assert Seal.objects.count() == Entry.objects.count()
    assert list(sealing.findings()) == []


def test_an_entry_of_the_newest_running_transaction_is_sealed_when_it_commits():
    """It holds the lowest position and the highest transaction id while others commit and are sealed."""
    begun, sealed = threading.Event(), threading.Event()
    seal_all()

    def late() -> None:
        with transaction.atomic():
            create(actor=SYSTEM, **HEMP)
            begun.set()
            assert sealed.wait(30)

    def others() -> None:
        assert begun.wait(30)
        for code in ("JUTE", "SISAL", "RAMIE"):
            create(actor=SYSTEM, code=code, name=code.title(), category="FIBRE")
            sealing.seal()
        sealed.set()

    assert at_once(late, others) == [None, None]
    seal_all()
    assert list(sealing.findings()) == []


def test_a_hundred_writers_and_several_sealers_leave_no_hole():
    def write(number: int) -> Callable[[], Any]:
        return lambda: create(actor=SYSTEM, code=f"C{number}", name=f"Fibre {number}", category="FIBRE")

    results = at_once(*(write(number) for number in range(100)), *(sealing.seal for _ in range(4)))
    assert not [result for result in results if isinstance(result, Exception)]
    seal_all()
    assert Seal.objects.count() == Entry.objects.count()
    assert list(sealing.findings()) == []


def test_the_year_ends_with_march_in_india():
    assert year_limits("2025-26") == (
        datetime(2025, 3, 31, 18, 30, tzinfo=UTC),
        datetime(2026, 3, 31, 18, 30, tzinfo=UTC),
    )
    for text in ("2025", "2025-27", "25-26", "2099-01", "२०२५-२६"):
        with pytest.raises(ValueError, match="no financial year"):
            year_limits(text)
    assert year_limits("2099-00")


def test_an_export_holds_a_line_per_field_and_is_itself_recorded(user, client_for):
    person = user("INTERNAL_MASTERDATA")
    client_for(person).write("/api/v1/commodities", {**HEMP, "description": "=cmd()"})
    seal_all()
    first = clock.today().year - (clock.today().month < 4)
    year = f"{first}-{(first + 1) % 100:02}"
    code, out = run("export_audit", "--fy", year, "--table", TABLE, "--user", str(person.pk))
    lines = {line["field"]: line for line in csv.DictReader(io.StringIO(out))}
    assert code == 0
    assert lines["code"]["new"] == "HEMP"
    assert lines["code"]["user"] == str(person.pk)
    assert lines["description"]["new"] == "'=cmd()"
    assert lines["code"]["seal"].isdecimal()
    assert lines["code"]["channel"] == "api"
    assert Export.objects.get().lines == len(lines)
    assert entries("trail_export")[0].after["filters"]["table"] == TABLE
    _, out = run("export_audit", "--fy", year, "--format", "jsonl", "--table", TABLE)
    assert {json.loads(line)["object"].split()[0] for line in out.splitlines()} == {TABLE}


@pytest.mark.slow
def test_a_killed_sealer_leaves_a_whole_chain(tmp_path):
    for number in range(30):
        create(actor=SYSTEM, code=f"C{number}", name=f"Fibre {number}", category="FIBRE")
    code = (
        "import django; django.setup()\n"
        "from erp.trail import sealing\n"
        "print('ready', flush=True)\n"
        "while True: sealing.seal(batch=1)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    deadline = time.monotonic() + 20
    while not Seal.objects.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    seal_all()
    assert Seal.objects.count() == Entry.objects.count()
    assert list(sealing.findings()) == []
    assert Anchor.objects.count() == 0


def test_the_nightly_proof_is_remembered_for_the_alert(tampering):
    from erp import metrics
    from erp.trail import tasks

    create(actor=SYSTEM, **HEMP)
    seal_all()
    assert tasks.verify() == 0
    assert metrics.seen(metrics.TRAIL)[0] == 0
    tampering(
        "UPDATE trail_entry SET channel = 'api' WHERE position = (SELECT max(position) FROM trail_entry)"
    )
    assert tasks.verify() == 1
    assert metrics.seen(metrics.TRAIL)[0] == 1
