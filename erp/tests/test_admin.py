"""The admin: every registered page writes through services or not at all."""

import re
from datetime import date, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.core.management import CommandError, call_command
from django.db import connection
from django.http import QueryDict
from django.test import RequestFactory, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from erp.admin import ServiceAdmin, Site, environment, forms, quantity
from erp.admin.looking import Verb, _button, _menu
from erp.admin.testing import controls
from erp.api import fields
from erp.api.examples import example_of
from erp.api.serializers import Input
from erp.errors import FieldError, RuleBroken
from erp.idempotency.models import Record
from erp.outbox.models import DeadLetter, EventOutbox
from erp.services import registry

pytestmark = pytest.mark.usefixtures("no_letters")
SAVEPOINT = re.compile(r'(ROLLBACK TO )?SAVEPOINT "(\w+)"')
WRITES = re.compile(r'(?:INSERT INTO|UPDATE|DELETE FROM) "(\w+)"')


def written(queries) -> set[str]:
    """Tables that the queries changed for good: what a confirm page only tries is undone."""
    tables: list[str] = []
    marks: dict[str, int] = {}
    for query in queries:
        if mark := SAVEPOINT.match(query["sql"]):
            undone, name = mark.groups()
            if undone:
                del tables[marks[name] :]
            else:
                marks[name] = len(tables)
        tables += WRITES.findall(query["sql"])
    return {*tables} - {"django_session"}


def address(model_admin, name: str, *args: object) -> str:
    meta = model_admin.model._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_{name}", args=args)


@pytest.fixture
def rows(world, offer, user, partner, client_for):
    """A row of each registered model: a live offer with a hold, made over the API, and what examples make.

    Where a module's examples make none, its own tests look at the page of a row.
    """
    live = offer()
    client = client_for(user("INTERNAL"))
    body = {"quantity": "5", "holder_partner_id": str(partner().pk)}
    assert client.write(f"/api/v1/availabilities/{live.pk}/reserve", body).status_code == 201
    DeadLetter.objects.create(subscription="cotton-erp-events-sub", key=str(uuid4()), kind="refused")
    for model in admin.site._registry:
        if not model._default_manager.exists():
            targets = [example_of(s) for s in registry.values() if s.target_model is model]
            for example in [example for example in targets if example and example.target][:1]:
                example.target(world)
    found = {model: model._default_manager.order_by("pk").first() for model in admin.site._registry}
    return {model: row for model, row in found.items() if row is not None}


def test_only_service_admins_are_registered_and_djangos_own_screens_are_absent():
    assert admin.site._registry
    assert all(isinstance(page, ServiceAdmin) for page in admin.site._registry.values())
    assert Group not in admin.site._registry
    assert Permission not in admin.site._registry
    assert LogEntry not in admin.site._registry
    names = {pattern.name for pattern in admin.site.get_urls() if hasattr(pattern, "name")}
    assert not names & {"password_change", "password_change_done"}


@pytest.mark.slow
def test_no_forged_request_writes_past_a_service(rows, user, staff_client_for):
    staff = staff_client_for(user())  # a super administrator: rights are no disabled_reason
    for model, row in rows.items():
        page = admin.site._registry[model]
        paths = [
            (address(page, "delete", row.pk), {"post": "yes"}, {403}),
            (
                address(page, "changelist"),
                {"action": "delete_selected", "_selected_action": str(row.pk)},
                {200, 302},
            ),
            (address(page, "changelist"), {"form-TOTAL_FORMS": "1", "_save": "Save"}, {200}),
            (address(page, "add"), {"_save": "Save"}, {403} if page.creates is None else {400}),
            (
                address(page, "change", row.pk),
                {"_save": "Save"},
                {403} if page.updates is None else {400, 428},
            ),
        ]
        paths += [(address(page, "run", row.pk, s.__name__), {}, {400, 428}) for s in page.runs]
        paths += [(address(page, "run_many", s.__name__), {}, {302}) for s in page.bulk]
        paths += [(address(page, "start", s.__name__), {}, {400}) for s in page.starts]
        for path, data, statuses in paths:
            with CaptureQueriesContext(connection) as caught:
                answer = staff.post(path, data)
            assert answer.status_code in statuses, (path, answer.status_code)
            assert not written(caught.captured_queries), (path, written(caught.captured_queries))


def test_djangos_ways_of_writing_are_shut(rows):
    for page in admin.site._registry.values():
        for name in (
            "save_model",
            "save_form",
            "save_related",
            "save_formset",
            "delete_model",
            "delete_queryset",
        ):
            with pytest.raises(PermissionDenied):
                getattr(page, name)(None, None, None)


@pytest.mark.slow
def test_every_page_opens_for_an_auditor_and_offers_nothing_to_do(rows, user, staff_client_for):
    staff = staff_client_for(user("AUDITOR"))
    home = staff.get("/admin/").content.decode()
    for model, row in rows.items():
        page = admin.site._registry[model]
        for path in (
            address(page, "changelist"),
            address(page, "change", row.pk),
            address(page, "history", row.pk),
        ):
            answer = staff.get(path)
            assert answer.status_code == 200, path
            drawn = answer.content.decode()
            assert "/run/" not in drawn, path
            assert "/start/" not in drawn, path
            assert "You need the capability" not in drawn, path
            assert 'name="_save"' not in drawn, path
            assert 'name="action"' not in drawn, path
        assert address(page, "changelist") in home
        assert address(page, "add") not in home


@pytest.mark.slow
def test_every_link_to_a_service_opens(rows, user, staff_client_for):
    staff = staff_client_for(user())
    opened = set()
    for model, row in rows.items():
        page = admin.site._registry[model]
        for path in (address(page, "changelist"), address(page, "change", row.pk)):
            for link in re.findall(r'href="([^"]*/(?:run|start)/[^"]*)"', staff.get(path).content.decode()):
                assert staff.get(link).status_code == 200, link
                opened.add(link.split("/")[-2])
    assert {"bulk_import", "bulk_upload"} <= opened


def test_an_auditors_forged_requests_change_nothing(rows, user, staff_client_for):
    staff = staff_client_for(user("AUDITOR"))
    for model, row in rows.items():
        page = admin.site._registry[model]
        forged = {"_key": uuid4().hex, "_version": "1", "_chosen": f"{row.pk}:1"}
        paths = [address(page, "add"), address(page, "change", row.pk), address(page, "delete", row.pk)]
        paths += [address(page, "run", row.pk, service.__name__) for service in page.runs]
        paths += [address(page, "run_many", service.__name__) for service in page.bulk]
        paths += [address(page, "start", service.__name__) for service in page.starts]
        for path in paths:
            with CaptureQueriesContext(connection) as caught:
                assert staff.post(path, forged).status_code == 403, path
            assert not written(caught.captured_queries)


def reads(caught: CaptureQueriesContext) -> int:
    """How many queries read: once a minute a request also writes that its session is in use."""
    return sum(query["sql"].startswith(("SELECT", "(SELECT", "WITH")) for query in caught.captured_queries)


@pytest.mark.slow
def test_lists_cost_the_same_for_one_row_and_for_fifty(rows, user, staff_client_for, offer, commodity):
    person = user()
    staff = staff_client_for(person)

    def cost(path: str) -> int:
        cache.delete(f"admin:waiting:{person.pk}")  # the sidebar counts anew
        with CaptureQueriesContext(connection) as caught:
            assert staff.get(path).status_code == 200
        return reads(caught)

    lists = {page: address(page, "changelist") for page in admin.site._registry.values()}
    few = {page: cost(path) for page, path in lists.items()}
    home = cost("/admin/")
    goods = commodity()
    for _ in range(12):
        offer(commodity=goods, live=False, submit=True)
    for page, path in lists.items():
        many = cost(path)
        assert many <= 25, (path, many)
        assert many <= few[page] + 1, (path, few[page], many)  # one more: the date hierarchy of nothing
    assert cost("/admin/") <= min(25, home + 1)


@pytest.mark.slow
def test_every_page_costs_few_queries(rows, user, staff_client_for):
    person = user()
    staff = staff_client_for(person)
    costs = {}
    for model, row in rows.items():
        page = admin.site._registry[model]
        paths = [address(page, name, row.pk) for name in ("change", "history")]
        paths += [address(page, "changelist"), address(page, "export"), f"{address(page, 'choose')}?term=a"]
        paths += [address(page, "add")] if page.creates else []
        paths += [address(page, "run", row.pk, service.__name__) for service in page.runs]
        paths += [address(page, "start", service.__name__) for service in page.starts]
        for path in paths:
            cache.delete(f"admin:waiting:{person.pk}")  # the sidebar counts anew
            with CaptureQueriesContext(connection) as caught:
                assert staff.get(path).status_code in (200, 302), path  # 302: the identity is to be confirmed
            costs[path] = reads(caught)
    assert len(costs) > 150
    assert not {path: cost for path, cost in costs.items() if cost > 25}


def test_nothing_writes_djangos_log(rows, user, staff_client_for):
    staff = staff_client_for(user())
    staff.fill("/admin/commodity/commodity/add/", code="HEMP", name="Hemp", category="FIBRE")
    assert EventOutbox.objects.filter(event_type="commodity.created").count() >= 1
    assert not LogEntry.objects.exists()


def test_a_search_field_offers_visible_rows_to_those_who_may_look(user, partner, staff_client_for):
    named = partner("Kapas Traders")
    partner("Another Firm")
    answer = staff_client_for(user("INTERNAL")).get("/admin/partner/partner/choose/", {"term": "kapas"})
    assert answer.json() == {
        "results": [{"id": str(named.pk), "text": str(named)}],
        "pagination": {"more": False},
    }


def test_the_outbox_shows_a_stream_in_its_sequence(rows, user, staff_client_for):
    staff = staff_client_for(user("AUDITOR"))
    event = EventOutbox.objects.filter(event_type="availability.approved").earliest("position")
    answer = staff.get(
        "/admin/outbox/eventoutbox/",
        {"aggregate_type": event.aggregate_type, "aggregate_id": str(event.aggregate_id)},
    )
    assert [row.sequence for row in answer.context["cl"].result_list] == [1, 2, 3, 4]
    found = staff.get("/admin/outbox/eventoutbox/", {"q": str(event.aggregate_id)})
    assert len(found.context["cl"].result_list) == 4
    assert len(staff.get("/admin/outbox/eventoutbox/", {"q": "nonsense"}).context["cl"].result_list) == 0


def test_an_idempotency_record_shows_what_it_caused_and_never_its_answer(rows, user, staff_client_for):
    staff = staff_client_for(user("AUDITOR"))
    record = Record.objects.get(route__contains="reserve")
    page = staff.get(f"/admin/idempotency/record/{record.pk}/change/").content.decode()
    assert "availability.reserved" in page
    for hidden in ("body", "scope", "fingerprint", "headers"):
        assert f">{hidden.capitalize()}<" not in page


def test_history_lists_the_events_of_a_row(rows, user, staff_client_for):
    event = EventOutbox.objects.filter(event_type="availability.approved").earliest("position")
    page = staff_client_for(user("INTERNAL")).get(
        f"/admin/availability/availability/{event.aggregate_id}/history/"
    )
    assert [line.event for line in page.context["lines"]] == [
        "availability.reserved v1",
        "availability.approved v1",
        "availability.submitted v1",
        "availability.created v1",
    ]


def test_a_row_that_is_not_there_is_404(user, staff_client_for):
    staff = staff_client_for(user())
    assert staff.get(f"/admin/partner/partner/{uuid4()}/change/").status_code == 404
    assert staff.get("/admin/partner/partner/nonsense/change/").status_code == 404
    assert staff.get(f"/admin/partner/partner/{uuid4()}/run/approve/").status_code == 404


@pytest.mark.parametrize("command", ["createsuperuser", "changepassword"])
def test_djangos_commands_that_write_users_are_refused(command):
    with pytest.raises(CommandError, match="Refused"):
        call_command(command)


def test_a_page_that_would_write_past_services_is_not_registered():
    site = Site()

    class Views(ServiceAdmin):
        views = "trail.view"

    class NoViews(ServiceAdmin):
        pass

    class Edits(Views):
        list_editable = ("status",)

    class Misplaced(Views):
        creates = admin.site._registry[_model("Commodity")].updates

    class Unrelated(Views):
        bulk = (admin.site._registry[_model("Commodity")].updates,)

    for wrong in (NoViews, Edits, Misplaced, Unrelated):
        with pytest.raises(ImproperlyConfigured):
            wrong(Record, site)
    plain = type("Plain", (admin.ModelAdmin,), {"__module__": "apps.somewhere.admin"})
    with pytest.raises(ImproperlyConfigured):
        site.register(Record, plain)
    with pytest.raises(ImproperlyConfigured):
        site.register(Record)
    site.register(Record, type("Theirs", (admin.ModelAdmin,), {"__module__": "somebody.admin"}))
    assert not site._registry


def _model(name: str):
    return next(model for model in admin.site._registry if model.__name__ == name)


@pytest.mark.parametrize(
    ("name", "banner"),
    [
        ("production", ["Production", ""]),
        ("test", ["Test", "info"]),
        ("development", ["Development", "warning"]),
    ],
)
def test_only_production_has_a_plain_banner(name, banner):
    with override_settings(ERP_ENV=name):
        assert environment(RequestFactory().get("/")) == banner


def test_a_quantity_carries_its_unit():
    row = SimpleNamespace(n=Decimal("12500.000"), unit="BALE", offer=SimpleNamespace(unit="BALE"))
    assert quantity("n", "unit")(row) == '<span class="erp-number">12,500 BALE</span>'
    assert quantity("n", "offer.unit")(row) == '<span class="erp-number">12,500 BALE</span>'
    assert quantity("n", "kg")(row) == '<span class="erp-number">12,500.000 kg</span>'
    row.n = Decimal("0.250")
    assert quantity("n", "unit")(row) == '<span class="erp-number">0.250 BALE</span>'


def test_a_row_shows_two_buttons_and_the_others_in_a_menu():
    buttons = [_button(Verb(name, name, "/x")) for name in ("a", "b", "c", "d")]
    assert _menu(buttons[2:]).count('class="erp-verb" href') == 2
    shut = _button(Verb("a", "Approve", "/x", "You created this."))
    assert 'tabindex="0"' in shut
    assert 'data-reason="You created this."' in shut


class Where(Input):
    city = fields.CharField(max_length=20)
    pin = fields.IntegerField(required=False)


class Everything(Input):
    name = fields.CharField(max_length=20)
    share = fields.DecimalField(max_digits=5, decimal_places=2)
    flag = fields.BooleanField(required=False)
    day = fields.DateField(required=False)
    moment = fields.DateTimeField(required=False)
    kind = fields.ChoiceField(choices=[("A", "A"), ("B", "B")], required=False)
    tags = fields.ListField(child=fields.CharField(max_length=9), required=False)
    kinds = fields.ListField(child=fields.ChoiceField(choices=["A", "B"]), required=False)
    extra = fields.DictField(required=False)
    where = Where()
    note = fields.CharField(max_length=9, required=False, allow_null=True)
    remark = fields.CharField(max_length=9, required=False, allow_blank=True)


def _form(query: str) -> forms.ServiceForm:
    input = Everything(context={})
    slots = list(forms._slots(input))
    return forms.ServiceForm(input, slots, data=QueryDict(query), model=Record, choose=lambda model: "")


def test_what_is_typed_becomes_the_values_of_a_request():
    form = _form(
        "name=Asha&share=12.50&flag=on&day=2026-02-03&moment=2026-02-03T10:30&kind=B&tags=a%0D%0Ab&kinds=A&kinds=B"
        "&extra=%7B%22x%22:%221%22%7D&where.city=Rajkot&where.pin=360001"
    )
    assert form.values() == {
        "name": "Asha",
        "share": "12.50",
        "flag": True,
        "day": "2026-02-03",
        "moment": "2026-02-03T10:30:00+05:30",
        "kind": "B",
        "tags": ["a", "b"],
        "kinds": ["A", "B"],
        "extra": {"x": "1"},
        "where": {"city": "Rajkot", "pin": 360001},
        "note": None,
        "remark": "",
    }
    keywords = form.keywords()
    assert keywords["share"] == Decimal("12.50")
    assert keywords["day"] == date(2026, 2, 3)
    assert keywords["moment"] == datetime.fromisoformat("2026-02-03T05:00:00+00:00")


def test_faults_stand_beside_the_fields_they_point_to():
    form = _form("name=&share=much")
    with pytest.raises(Exception) as caught:  # noqa: PT011 - turned into a problem next
        form.keywords()
    form.add_problem(forms_problem(caught.value))
    assert {name for name in form.errors if name != "__all__"} == {"name", "share", "where.city"}
    assert form.non_field_errors() == ["Correct the fields marked below."]
    assert form.errors["where.city"] == ["This field is required."]
    form = _form("name=Asha")
    form.add_problem(
        RuleBroken(
            errors=[FieldError("/where", "unknown", "No such place."), FieldError("/x", "odd", "Odd.")]
        )
    )
    assert form.errors["where.city"] == ["No such place."]
    assert form.non_field_errors()[1] == "X: Odd."


@pytest.mark.parametrize(
    ("field", "typed", "value"),
    [
        (fields.DecimalField(max_digits=9, decimal_places=2, help_text="In percent."), "5 %", "5"),
        (fields.DecimalField(max_digits=9, decimal_places=2), "₹1,00,000.50", "100000.50"),
        (fields.DecimalField(max_digits=9, decimal_places=2), "-1,500", "-1500"),
        (fields.DecimalField(max_digits=9, decimal_places=2), "1,5", "1,5"),
        (fields.DecimalField(max_digits=9, decimal_places=2), "12,50", "12,50"),
        (fields.DecimalField(max_digits=9, decimal_places=2), "1,234,567", "1234567"),
        (fields.DecimalField(max_digits=9, decimal_places=2), "5 %", "5 %"),
        (fields.IntegerField(), " 1,500 ", 1500),
        (fields.IntegerField(), "007", 7),
        (fields.DateField(), "30/11/2026", "2026-11-30"),
        (fields.DateField(), "30 Nov 2026", "2026-11-30"),
        (fields.DateField(), "31/11/2026", "31/11/2026"),
    ],
)
def test_numbers_and_dates_are_read_as_people_type_them(field, typed, value):
    field.field_name = "x"
    assert forms._read(field, QueryDict(f"x={quote(typed)}"), "x") == value


class Band(Input):
    upto = fields.DecimalField(max_digits=9, decimal_places=2, min_value=Decimal(1), max_value=Decimal(12))
    effect = fields.CharField()


class Line(Input):
    code = fields.CharField()
    bands = Band(many=True, required=False)


class Sheet(Input):
    lines = Line(many=True)


def _sheet(query: str = "", **initial: Any) -> forms.ServiceForm:
    input = Sheet(context={})
    data = QueryDict(query) if query else None
    slots = list(forms._slots(input))
    return forms.ServiceForm(input, slots, data=data, initial=initial, model=Record, choose=lambda model: "")


def test_rows_of_a_list_are_controls_and_lists_within_rows_as_well():
    query = "lines.0.code=A&lines.0.bands.0.upto=1,0&lines.7.code=B&lines.7.bands.2.upto=5&lines.7.bands.2.effect=x"
    form = _sheet(query.replace("1,0", "10"))
    assert form.values() == {
        "lines": [
            {"code": "A", "bands": [{"upto": "10"}]},
            {"code": "B", "bands": [{"upto": "5", "effect": "x"}]},
        ]
    }
    drawn = str(form["lines"])
    for name in (
        "lines.0.bands.0.upto",
        "lines.1.code",
        "lines.__0__.code",
        "lines.__0__.bands.__2__.effect",
    ):
        assert f'name="{name}"' in drawn
    assert str(_sheet("none=1")["lines"]).count("erp-row") >= 1


def test_stored_rows_are_shown_in_their_controls():
    row = SimpleNamespace(lines=[{"code": "A", "bands": [{"upto": Decimal("2.50"), "effect": "x"}]}])
    form = _sheet()
    shown = forms.initial_of(row, form.slots)
    assert shown == {"lines": [{"code": "A", "bands": [{"upto": "2.5", "effect": "x"}]}]}
    assert 'value="2.5"' in str(_sheet(**shown)["lines"])


def test_an_error_within_rows_names_the_row_and_speaks_of_the_form():
    form = _sheet("lines.0.code=A&lines.0.bands.0.upto=40&lines.0.bands.0.effect=x")
    with pytest.raises(Exception) as caught:  # noqa: PT011 - turned into a problem next
        form.keywords()
    form.add_problem(forms_problem(caught.value))
    assert form.errors["lines"] == ["Row 1: Bands: row 1: Upto: Enter a number from 1 to 12."]


def forms_problem(failure):
    from erp.admin.acts import problem_of

    return problem_of(failure)


def test_a_service_without_an_endpoint_is_drawn_from_its_keywords():
    def serve(*, actor, name: str, weight: Decimal | None = None, day: date, urgent: bool = False, ref: UUID):
        """Never run."""

    service = SimpleNamespace(
        function=serve,
        keywords=frozenset({"name", "weight", "day", "urgent", "ref"}),
        name="x.serve",
        __name__="serve",
    )
    drawn = forms.input_from_keywords.__wrapped__(service)().fields
    assert {name: type(field).__name__ for name, field in drawn.items()} == {
        "name": "CharField",
        "weight": "DecimalField",
        "day": "DateField",
        "urgent": "BooleanField",
        "ref": "UUIDField",
    }
    assert drawn["name"].required
    assert drawn["weight"].allow_null
    assert not drawn["urgent"].required


def test_a_page_says_what_a_service_takes_by_default(user, staff_client_for):
    held = staff_client_for(user()).form("/admin/commodity/commodity/add/")
    assert held["base_unit"] == ["KG"]
    assert held["quantity_tolerance_percent"] == ["5"]
    answer = staff_client_for(user()).get("/admin/commodity/commodity/add/")
    assert controls(answer)["_key"] != held["_key"]
