"""Commodities and varieties from tables: previewed, taken once a row, and out again as they came."""

import io
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import openpyxl
import pytest
from django.contrib.auth.models import Group, Permission
from django.db import connection

from apps.accounts.models import RoleMembership
from apps.commodities.events import imports as events
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.pricing import PricingUnit
from apps.commodities.models.varieties import Variety
from apps.commodities.serializers.imports import ROWS
from apps.commodities.services import commodities, imports, reference_units, varieties
from apps.commodities.tests.examples import parameter
from apps.commodities.tests.examples_units import pricing_unit, unit
from config.tests.jobs_support import LARGE, finished, memory_taken, refused
from erp import locks
from erp.access import SYSTEM
from erp.files import CSV, XLSX, Upload
from erp.idempotency.models import Record
from erp.jobs import tasks
from erp.jobs.models import Job
from erp.models import unguarded_writes
from erp.outbox.models import EventOutbox

pytestmark = pytest.mark.django_db
PATH = "/api/v1/commodities/bulk"
GOODS = "code,name,category"


@pytest.fixture
def keeper(user, client_for):
    return client_for(user("INTERNAL_MASTERDATA"))


def table(*lines: str, header: str = GOODS) -> Upload:
    return Upload("rows.csv", CSV, "\n".join([header, *lines]).encode())


def workbook(*lines: list[Any]) -> Upload:
    book = openpyxl.Workbook()
    for line in lines:
        book.active.append(line)
    packed = io.BytesIO()
    book.save(packed)
    return Upload("rows.xlsx", XLSX, packed.getvalue())


def uploaded(client: Any, file: Upload, kind: str = "COMMODITIES", mode: str = "partial", **more: Any) -> Job:
    answer = client.write(f"{PATH}/upload", {"file": file, "kind": kind, "mode": mode, **more})
    assert answer.status_code == 202, answer.content
    return finished(Job.objects.get(pk=answer.json()["id"]))


def previewed(client: Any, file: Upload, kind: str = "COMMODITIES") -> dict[str, Any]:
    answer = client.write(f"{PATH}/validate", {"file": file, "kind": kind})
    assert answer.status_code == 200, answer.content
    return answer.json()


def foreseen(preview: dict[str, Any]) -> list[tuple[int, str, str]]:
    return [
        (row["row"], fault["pointer"], fault["code"]) for row in preview["rows"] for fault in row["faults"]
    ]


def exported(client: Any, kind: str = "COMMODITIES", accept: str = CSV, what: str = "export") -> Upload:
    answer = client.read(f"{PATH}/{what}", {"kind": kind}, Accept=accept)
    assert answer.status_code == 200
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return Upload("rows", accept, content)


def codes(answer: Any) -> tuple[int, str, list[str]]:
    body = answer.json()
    return answer.status_code, body["code"], [fault["code"] for fault in body.get("errors", [])]


def test_a_table_adds_commodities_and_each_row_has_its_own_events(keeper, emitted, assert_emitted):
    file = table(
        "COTTON,Raw cotton,FIBRE,Lint; Rui,KG,BALE,COUNT_AND_WEIGHT,BALE,5201,10,Ginned,ARCHIVED",
        "SEED,Cotton seed,OILSEED,,,,,,,,,",
        header=f"{GOODS},aliases,base_unit,trade_unit,quantity_mode,package_unit,hsn_code,"
        "season_start_month,description,status",
    )
    job = uploaded(keeper, file, mode="atomic")
    assert (job.status, job.tally) == ("succeeded", {"created": 2})
    cotton, seed = Commodity.objects.order_by("code")
    assert (cotton.aliases, cotton.trade_unit, cotton.season_start_month, cotton.status) == (
        ["Lint", "Rui"],
        "BALE",
        10,
        "ARCHIVED",
    )
    assert (seed.base_unit, seed.trade_unit, seed.package_unit, seed.status) == ("KG", "KG", None, "DRAFT")
    reported = EventOutbox.objects.filter(causation_id=str(job.pk)).order_by("position")
    assert [row.event_type for row in reported] == [
        "commodity.created",
        "commodity.updated",
        "commodity.created",
        "commodity.bulk_imported",
    ]
    assert_emitted(
        events.CommodityBulkImported,
        job_id=str(job.pk),
        kind="COMMODITIES",
        outcome="succeeded",
        total=2,
        created=2,
        updated=0,
        unchanged=0,
        refused=0,
        file_sha256=file.sha256,
    )


def test_a_known_code_changes_its_row_by_the_columns_that_are_there(keeper, commodity, emitted):
    row = commodity(code="COTTON", name="Cotton", aliases=["Lint"], origin_country="US", description="Old")
    job = uploaded(keeper, table("COTTON,Raw cotton,FIBRE,", header=f"{GOODS},description"))
    assert job.tally == {"updated": 1}
    row.refresh_from_db()
    # An empty cell sets the default; values without a column are unchanged.
    assert (row.name, row.description, row.aliases, row.origin_country, row.status) == (
        "Raw cotton",
        "",
        ["Lint"],
        "US",
        "ACTIVE",
    )
    assert set(emitted("commodity.updated")[-1].payload["changes"]) == {"name", "description"}
    count = EventOutbox.objects.count()
    again = uploaded(keeper, table("COTTON,Raw cotton,FIBRE,", header=f"{GOODS},description"))
    assert again.tally == {"unchanged": 1}
    kinds = EventOutbox.objects.order_by("position").values_list("event_type", flat=True)[count:]
    assert list(kinds) == ["job.queued", "commodity.bulk_imported"]


def test_a_version_in_the_file_must_be_the_rows(keeper, commodity):
    row = commodity(code="COTTON", name="Cotton", active=False)
    file = table("COTTON,Raw,FIBRE,7", "NEW,New,FIBRE,1", "COTTON,Raw,FIBRE,1", header=f"{GOODS},version")
    stale = [(1, "/version", "precondition.failed"), (2, "/version", "precondition.failed")]
    assert foreseen(previewed(keeper, file)) == stale
    job = uploaded(keeper, file)
    assert (refused(job), job.tally) == (stale, {"updated": 1})
    row.refresh_from_db()
    assert (row.name, row.version) == ("Raw", 2)


def test_a_user_who_may_only_create_cannot_update_by_import(user, client_for, commodity):
    commodity(code="COTTON", name="Cotton")
    adder = user("INTERNAL")
    with unguarded_writes():
        group = Group.objects.create(name="ADDERS")
        group.permissions.add(
            Permission.objects.get(content_type__app_label="commodity", codename="create"),
            Permission.objects.get(content_type__app_label="job", codename="view"),
        )
        RoleMembership(user=adder, role=group).save()
    client = client_for(adder)
    file = table(
        "COTTON,Raw cotton,FIBRE,", "NEW,New,FIBRE,", "OLD,Old,FIBRE,ARCHIVED", header=f"{GOODS},status"
    )
    expected = [(1, "", "capability.missing"), (3, "", "capability.missing")]
    assert foreseen(previewed(client, file)) == expected
    job = uploaded(client, file)
    assert (refused(job), job.tally) == (expected, {"created": 1})


def test_the_pricing_unit_of_a_commodity_is_named_by_its_code(keeper, commodity):
    reference_units.load_units(actor=SYSTEM)
    row = commodity(code="COTTON", name="Cotton")
    columns = f"{GOODS},quantity_mode,package_unit,trade_unit,pricing_unit"
    cells = "COTTON,Cotton,FIBRE,COUNT_AND_WEIGHT,BALE,BALE"
    assert uploaded(keeper, table(f"{cells},INR/CANDY", header=columns)).tally == {"updated": 1}
    row.refresh_from_db()
    assert row.pricing_unit.code == "INR/CANDY"
    assert b"INR/CANDY" in exported(keeper).content
    assert uploaded(keeper, exported(keeper)).tally == {"unchanged": 1}
    with unguarded_writes():
        PricingUnit.objects.filter(code="INR/QTL").update(status="ARCHIVED")
    file = table(f"{cells},INR/QTL", f"{cells},INR/MOON", f"{cells},", header=columns)
    expected = [(1, "/pricing_unit", "not_active"), (2, "/pricing_unit", "does_not_exist")]
    assert foreseen(previewed(keeper, file)) == expected
    job = uploaded(keeper, file)
    assert (refused(job), job.tally) == (expected, {"updated": 1})
    row.refresh_from_db()
    assert row.pricing_unit is None


MIXED = (
    "KNOWN,Known,FIBRE,,,,",
    "KNOWN,Changed,FIBRE,,,,",
    "KNOWN,Changed,FIBRE,,,,",
    "ARCHIVED,Archived,FIBRE,,,ARCHIVED,",
    "ARCHIVED,Other,FIBRE,,,ARCHIVED,",
    "A,Alpha,FIBRE,First;One,,,",
    "B,Beta,FIBRE,one,,,",
    "C,ALPHA,FIBRE,,,,",
    "D,Delta,NOTHING,,,,",
    "lower,Lower,FIBRE,,,,",
    "E,Epsilon,FIBRE,,BALE,,",
    "F,Phi,FIBRE,,,ACTIVE,",
    "G,Gamma,FIBRE,,,ACTIVE,5201",
    "G,Gamma,FIBRE,,,DRAFT,5201",
    "H,Known,FIBRE,,,,",
    "A,Alpha,FIBRE,,,,",
    "B,Beta,FIBRE,one,,,",
    ",,,,,,surplus",
)


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_the_preview_predicts_the_effect_of_the_upload(keeper, commodity, form):
    commodity(code="KNOWN", name="Known", quantity_mode="WEIGHT", package_unit=None, trade_unit="KG")
    row = commodity(
        code="ARCHIVED", name="Archived", quantity_mode="WEIGHT", package_unit=None, trade_unit="KG"
    )
    commodities.update(
        row, actor=SYSTEM, name="Archived", category="FIBRE", hsn_code="5201", status="ARCHIVED"
    )
    columns = f"{GOODS},aliases,package_unit,status,hsn_code"
    file = table(*MIXED, header=columns)
    if form == "xlsx":
        file = workbook(columns.split(","), *(line.split(",") for line in MIXED))
    before = (EventOutbox.objects.count(), Record.objects.count(), Job.objects.count())
    preview = previewed(keeper, file)
    assert (EventOutbox.objects.count(), Record.objects.count(), Job.objects.count()) == before
    assert preview["file_sha256"] == file.sha256
    job = uploaded(keeper, file, expected_sha256=preview["file_sha256"])
    assert foreseen(preview) == refused(job)
    words = {row.number: row.word or "refused" for row in job.rows.all()}
    done = {"create": "created", "update": "updated", "unchanged": "unchanged", "refused": "refused"}
    assert {row["row"]: done[row["action"]] for row in preview["rows"]} == words
    assert [preview[word] for word in ("total", "refused")] == [job.total, job.refused]
    assert preview["create"] == job.tally["created"]
    # None of these is empty by accident.
    assert {row["action"] for row in preview["rows"]} == set(done)
    assert {code for _, _, code in refused(job)} >= {
        "commodity.duplicate",
        "commodity.illegal_transition",
        "contradicts",
        "not_a_choice",
        "required",
        "format",
    }


def test_the_preview_shows_changes_and_writes_nothing(keeper, commodity):
    row = commodity(code="COTTON", name="Cotton")
    preview = previewed(keeper, table("COTTON,Raw cotton,FIBRE", "NEW,New,FIBRE"))
    assert preview["rows"] == [
        {
            "row": 1,
            "action": "update",
            "changes": {"name": {"old": "Cotton", "new": "Raw cotton"}},
            "faults": [],
        },
        {"row": 2, "action": "create", "changes": {}, "faults": []},
    ]
    row.refresh_from_db()
    assert (row.name, Commodity.objects.count()) == ("Cotton", 1)


def checked(job: Job) -> list[tuple[int, str]]:
    """Number and word of every row of a job that only checks."""
    return [(row.number, row.word or "refused") for row in job.rows.order_by("number")]


def test_a_job_checks_a_table_as_the_preview_does_and_changes_nothing(keeper, commodity, monkeypatch):
    commodity(code="KNOWN", name="Known", quantity_mode="WEIGHT", package_unit=None, trade_unit="KG")
    file = table(*MIXED, header=f"{GOODS},aliases,package_unit,status,hsn_code")
    preview = previewed(keeper, file)
    monkeypatch.setattr(tasks, "CHUNK", 2)
    monkeypatch.setattr(tasks, "TURN_SECONDS", -1.0)
    count = EventOutbox.objects.count()
    job = uploaded(keeper, file, mode="check")
    assert checked(job) == [(row["row"], row["action"]) for row in preview["rows"]]
    assert refused(job) == foreseen(preview)
    assert Commodity.objects.count() == 1
    kinds = EventOutbox.objects.order_by("position").values_list("event_type", flat=True)[count:]
    assert list(kinds) == ["job.queued"]


@pytest.mark.django_db(transaction=True)
def test_a_check_releases_rows_that_others_wait_for(user, commodity, monkeypatch):
    actor, row = user("INTERNAL_MASTERDATA"), commodity(code="COTTON", name="Cotton", active=False)
    file = table("COTTON,Raw cotton,FIBRE", "B,Beta,FIBRE", "C,Gamma,FIBRE")
    job = imports.bulk_upload(actor=actor, file=file, kind="COMMODITIES", mode="check")
    monkeypatch.setattr(tasks, "CHUNK", 1)
    are_awaited, edits = locks.are_awaited, []

    def edit() -> str:
        try:
            return commodities.update(row, actor=actor, name="Edited", category="FIBRE").name
        finally:
            connection.close()

    def wait_for_edit() -> bool:
        if not edits:
            edits.append(pool.submit(edit))
            late = time.monotonic() + 20
            while not are_awaited():
                assert time.monotonic() < late
        return are_awaited()

    monkeypatch.setattr(locks, "are_awaited", wait_for_edit)
    with ThreadPoolExecutor(1) as pool:
        assert tasks.work(str(job.pk)) == "running"
        assert edits[0].result(20) == "Edited"
    assert checked(job) == [(1, "update")]
    assert checked(finished(job)) == [(1, "update"), (2, "create"), (3, "create")]
    assert Commodity.objects.get().name == "Edited"


def test_checking_a_file_and_importing_it_do_not_block_each_other(keeper):
    body = {"file": table("COTTON,Cotton,FIBRE"), "kind": "COMMODITIES"}
    assert keeper.write(f"{PATH}/upload", {**body, "mode": "check"}).status_code == 202
    assert keeper.write(f"{PATH}/upload", body).status_code == 202
    assert keeper.write(f"{PATH}/upload", {**body, "mode": "check"}).status_code == 202
    assert codes(keeper.write(f"{PATH}/upload", body))[:2] == (409, "commodity.import_in_progress")


@pytest.mark.parametrize(
    ("limit", "value"),
    [("TABLE_REQUEST_BYTES", 60), ("TABLE_REQUEST_ROWS", 2), ("TABLE_REQUEST_SECONDS", -1.0)],
)
def test_a_table_beyond_the_limits_of_a_request_is_read_by_the_job(keeper, settings, limit, value):
    setattr(settings, limit, value)
    lines = [f"C{number},Name {number},{'NONE' if number == 1 else 'FIBRE'}" for number in range(3)]
    for file in (table(*lines), workbook(GOODS.split(","), *(line.split(",") for line in lines))):
        answer = keeper.write(f"{PATH}/validate", {"file": file, "kind": "COMMODITIES"})
        assert codes(answer) == (400, "request.invalid", ["too_large"])
        assert "mode check" in answer.json()["errors"][0]["detail"]
        job = uploaded(keeper, file, mode="check")
        assert checked(job) == [(1, "create"), (2, "refused"), (3, "create")]
        assert job.total == 3


def test_a_job_fails_with_the_problem_of_a_table_that_the_request_could_not_read(keeper, settings):
    settings.TABLE_REQUEST_BYTES = 10
    many = ["COTTON,Cotton,FIBRE"] * 10_001
    for file, code in (
        (table("x", header="code,colour"), "commodity.file_header"),
        (table(), "request.invalid"),
        (table(*many), "commodity.too_many_rows"),
        (table(*[""] * 30_000), "request.invalid"),
    ):
        job = uploaded(keeper, file)
        assert (job.status, job.problem_code, job.processed) == ("failed", code, 0)
    assert not Commodity.objects.exists()


def test_cells_of_a_workbook_that_are_not_text_are_refused_in_preview_and_job_alike(keeper):
    file = workbook(
        [*GOODS.split(","), "season_start_month", "hsn_code"],
        ["A", "Alpha", "FIBRE", 10, "5201"],
        ["B", "=1+1", "FIBRE", 10, None],
        [3, True, date(2026, 1, 3), "=A1", 5201],
        ["D", "#REF!", "FIBRE", date(2026, 1, 2), None],
    )
    expected = [
        (2, "/name", "formula_cell"),
        (3, "/category", "date_cell"),
        (3, "/code", "number_cell"),
        (3, "/hsn_code", "number_cell"),
        (3, "/name", "boolean_cell"),
        (3, "/season_start_month", "formula_cell"),
        (4, "/name", "error_cell"),
        (4, "/season_start_month", "date_cell"),
    ]
    assert sorted(foreseen(previewed(keeper, file))) == expected
    for mode in ("check", "partial"):
        assert sorted(refused(uploaded(keeper, file, mode=mode))) == expected
    assert [row.name for row in Commodity.objects.all()] == ["Alpha"]


def test_varieties_belong_to_a_commodity_by_its_code(keeper, commodity, emitted):
    cotton = commodity(code="COTTON", name="Cotton")
    seed = commodity(code="SEED", name="Seed")
    varieties.create_variety(actor=SYSTEM, commodity=cotton, code="J-34", name="J-34", is_standard=True)
    file = table(
        "COTTON,S-6,Shankar-6,ICS-105,,",
        "COTTON,SECOND,Second standard,,TRUE,",
        "COTTON,TWIN,shankar-6,,,",
        "SEED,S-6,Shankar-6,,true,",
        "NOTHING,X1,Of nothing,,,",
        "COTTON,J-34,J-34,ICS-202,,ARCHIVED",
        "COTTON,SECOND,Second standard,,TRUE,",
        "COTTON,D1,Draft,,,DRAFT",
        header="commodity,code,name,aliases,is_standard,status",
    )
    expected = [
        (2, "", "commodity.second_standard"),
        (3, "", "commodity.duplicate"),
        (5, "/commodity", "does_not_exist"),
        (8, "/status", "not_a_choice"),
    ]
    preview = previewed(keeper, file, "VARIETIES")
    assert foreseen(preview) == expected
    job = uploaded(keeper, file, "VARIETIES")
    assert refused(job) == expected
    assert job.tally == {"created": 3, "updated": 1}
    assert Variety.objects.get(commodity=seed).is_standard
    assert emitted("commodity.bulk_imported")[-1].payload["kind"] == "VARIETIES"
    assert len(emitted("commodity.variety.added", causation_id=str(job.pk))) == 3


def test_values_of_a_variety_without_a_column_are_unchanged(keeper, commodity):
    cotton = commodity(code="COTTON", name="Cotton")
    micronaire = parameter(SimpleNamespace(commodity=commodity), cotton)
    micronaire.refresh_from_db()
    row = varieties.create_variety(
        actor=SYSTEM,
        commodity=cotton,
        code="S-6",
        name="S-6",
        is_standard=True,
        presets=[{"parameter": micronaire, "low": Decimal("3.6"), "high": None}],
    )
    presets = row.presets
    file = table("COTTON,S-6,Shankar-6", header="commodity,code,name")
    assert previewed(keeper, file, "VARIETIES")["update"] == 1
    assert uploaded(keeper, file, "VARIETIES").tally == {"updated": 1}
    row = Variety.objects.get(pk=row.pk)
    assert (row.name, row.is_standard, row.presets) == ("Shankar-6", True, presets)


def test_a_cell_names_a_pricing_unit_by_its_code(keeper, commodity):
    row = pricing_unit()
    pricing_unit(code="INR/BAG", unit=unit("BAG"))
    known = commodity(code="KNOWN", name="Known")
    file = table(
        "KNOWN,Known,FIBRE,INR/KG",
        "NEW,New,FIBRE,INR/KG",
        "NONE,None,FIBRE,INR/STONE",
        "BAGS,Bags,FIBRE,INR/BAG",
        header=f"{GOODS},pricing_unit",
    )
    preview = previewed(keeper, file)
    assert foreseen(preview) == [(3, "/pricing_unit", "does_not_exist"), (4, "/pricing_unit", "dimension")]
    assert uploaded(keeper, file).tally == {"created": 1, "updated": 1}
    known.refresh_from_db()
    assert known.pricing_unit == Commodity.objects.get(code="NEW").pricing_unit == row


@pytest.mark.parametrize("accept", [CSV, XLSX])
def test_an_export_imports_unchanged(keeper, commodity, accept):
    cotton = commodity(
        code="COTTON",
        name="Cotton",
        aliases=["A;B", "=1+1", "Lint"],
        description='-, and "quoted"',
        season_start_month=10,
        pricing_unit=pricing_unit(),
    )
    commodity(
        code="DRAFT", name="+Draft", active=False, quantity_mode="WEIGHT", package_unit=None, trade_unit="KG"
    )
    gone = commodity(code="GONE", name="Gone")
    commodities.update(
        gone,
        actor=SYSTEM,
        name="Gone",
        category="FIBRE",
        quantity_mode="COUNT_AND_WEIGHT",
        package_unit="BALE",
        trade_unit="BALE",
        hsn_code="5201",
        status="ARCHIVED",
    )
    varieties.create_variety(
        actor=SYSTEM, commodity=cotton, code="S-6", name="S-6", aliases=["Six"], is_standard=True
    )
    count = EventOutbox.objects.exclude(event_type__in=["job.queued", "commodity.bulk_imported"]).count()
    for kind, rows in (("COMMODITIES", 3), ("VARIETIES", 1)):
        file = exported(keeper, kind, accept)
        preview = previewed(keeper, file, kind)
        assert (preview["unchanged"], preview["total"]) == (rows, rows), preview["rows"]
        assert uploaded(keeper, file, kind, mode="atomic").tally == {"unchanged": rows}
    events = EventOutbox.objects.exclude(event_type__in=["job.queued", "commodity.bulk_imported"]).count()
    assert events == count


def test_an_export_has_no_formula(keeper, commodity):
    commodity(code="COTTON", name="=HYPERLINK(1)", active=False)
    assert b"'=HYPERLINK(1)" in exported(keeper).content
    sheet = openpyxl.load_workbook(io.BytesIO(exported(keeper, accept=XLSX).content)).worksheets[0]
    assert "f" not in {cell.data_type for line in sheet.iter_rows() for cell in line}
    assert sheet["B2"].value == "'=HYPERLINK(1)"


@pytest.mark.parametrize("kind", ["COMMODITIES", "VARIETIES"])
def test_the_template_has_the_columns_of_an_upload(keeper, kind):
    assert set(ROWS[kind].columns) == set(ROWS[kind]().fields)
    lines = exported(keeper, kind, what="template").content.decode("utf-8-sig").splitlines()
    assert lines == [",".join(ROWS[kind].columns)]
    answer = keeper.read(f"{PATH}/template", Accept=XLSX)
    assert answer["Content-Type"] == XLSX
    assert answer["Content-Disposition"] == 'attachment; filename="commodities-template.xlsx"'
    wrong = keeper.read(f"{PATH}/export", {"kind": "GRADES"})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (400, "/query/kind")


def test_a_partner_exports_only_visible_rows(user, client_for, commodity):
    commodity(code="COTTON", name="Cotton")
    commodity(code="DRAFT", name="Draft", active=False)
    text = exported(client_for(user("BUYER"))).content.decode()
    assert "COTTON" in text
    assert "DRAFT" not in text


def test_a_file_of_another_format_is_refused(keeper):
    def upload_problem(file: Upload, **more: Any) -> tuple[int, str, list[str]]:
        return codes(keeper.write(f"{PATH}/upload", {"file": file, "kind": "COMMODITIES", **more}))

    file = table("COTTON,Cotton,FIBRE")
    assert upload_problem(file, expected_sha256="0" * 64) == (422, "commodity.file_differs", [])
    assert upload_problem(file, expected_sha256="xyz")[:2] == (400, "request.invalid")
    assert upload_problem(table("x", header="code,colour")) == (
        422,
        "commodity.file_header",
        ["missing_column", "missing_column", "unknown_column"],
    )
    assert upload_problem(table(*["COTTON,Cotton,FIBRE"] * 2_001))[:2] == (422, "commodity.too_many_rows")
    assert upload_problem(table(*["COTTON,Cotton,FIBRE"] * 10_001), mode="partial")[:2] == (
        422,
        "commodity.too_many_rows",
    )
    book = io.BytesIO(workbook(GOODS.split(","), ["COTTON", "Cotton", "FIBRE"]).content)
    with zipfile.ZipFile(book, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/vbaProject.bin", b"Sub")
    bomb = io.BytesIO(workbook(GOODS.split(",")).content)
    with zipfile.ZipFile(bomb, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/media/filler", b"0" * 100_000_001)
    encrypted = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 encrypted"
    for wrong in (encrypted, book.getvalue(), bomb.getvalue()):
        assert upload_problem(Upload("rows.xlsx", XLSX, wrong))[:2] == (415, "request.unsupported_media_type")
    assert not Job.objects.exists()


def test_the_same_file_is_imported_once_at_a_time(keeper):
    file = table("COTTON,Cotton,FIBRE")
    body = {"file": file, "kind": "COMMODITIES"}
    first = keeper.write(f"{PATH}/upload", body)
    assert codes(keeper.write(f"{PATH}/upload", body))[:2] == (409, "commodity.import_in_progress")
    finished(Job.objects.get(pk=first.json()["id"]))
    assert keeper.write(f"{PATH}/upload", body).status_code == 202


def test_uploads_and_previews_need_the_capability_to_create(user, client_for):
    client = client_for(user("BUYER"))
    for path in ("upload", "validate"):
        answer = client.write(f"{PATH}/{path}", {"file": table("COTTON,Cotton,FIBRE"), "kind": "COMMODITIES"})
        assert (answer.status_code, answer.json()["capability"]) == (403, "commodity.create")


@pytest.mark.large
@pytest.mark.timeout(600)
@pytest.mark.django_db(transaction=True)
def test_ten_thousand_rows_are_checked_and_imported_with_the_same_errors(user, emitted):
    actor = user("INTERNAL_MASTERDATA")

    def goods(letter, count, bad=()):
        lines = ([f"{letter}{n}", f"{letter} {n}", "NOTHING" if n in bad else "FIBRE"] for n in range(count))
        return workbook(GOODS.split(","), *lines)

    bad = range(0, LARGE, 73)
    good, file = LARGE - len(bad), goods("C", LARGE, bad)
    check = finished(imports.bulk_upload(actor=actor, file=file, kind="COMMODITIES", mode="check"))
    assert (check.tally, check.refused, check.total) == ({"create": good}, len(bad), LARGE)
    small, job = (
        imports.bulk_upload(actor=actor, file=table, kind="COMMODITIES", mode="partial")
        for table in (goods("S", LARGE // 5), file)
    )
    assert memory_taken(small, job) < 5 * LARGE
    assert (job.status, job.tally, job.refused) == ("partial", {"created": good}, len(bad))
    assert refused(job) == refused(check)
    assert len(emitted("commodity.created", causation_id=str(job.pk))) == good
    assert len(emitted("commodity.bulk_imported")) == 2
