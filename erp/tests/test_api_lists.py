"""Lists: pages that neither repeat nor skip, filters that mean what they say, and nothing undeclared."""

import base64
import random
import re
import zlib
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import UUID, uuid4

import django_filters
import pytest
from django.db import connection, models
from django.db.models import Value
from django.db.models.functions import Coalesce
from django.test import Client
from django.urls import path
from rest_framework.mixins import ListModelMixin
from rest_framework.viewsets import GenericViewSet

from erp.api import fields
from erp.api.pagination import paginate
from erp.api.serializers import LookupOutput
from erp.errors import Invalid
from erp.ids import uuid7

START = datetime(2026, 2, 3, 4, 5, 6, 789_012, UTC)


class Mill(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7)
    name = models.CharField(max_length=20)

    class Meta:
        app_label = "erp_tests_lists"


class Lot(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7)
    number = models.CharField(max_length=20)
    status = models.CharField(max_length=10, choices=[("OPEN", "Open"), ("SOLD", "Sold")], default="OPEN")
    grade = models.IntegerField(null=True)
    price = models.DecimalField(max_digits=10, decimal_places=2, default=1)
    sealed = models.BooleanField(default=False)
    pressed_date = models.DateField(default=date(2026, 1, 1))
    mill = models.ForeignKey(Mill, models.PROTECT, null=True)
    created_at = models.DateTimeField(default=START)
    updated_at = models.DateTimeField(default=START)

    class Meta:
        app_label = "erp_tests_lists"


class LotAnswer(LookupOutput):
    id = fields.UUIDField()
    number = fields.CharField()


class OddFilters(django_filters.FilterSet):
    graded = django_filters.BooleanFilter(field_name="grade", lookup_expr="isnull", exclude=True)
    cheaper_than = django_filters.NumberFilter(field_name="price", lookup_expr="lt")


class LotViewSet(ListModelMixin, GenericViewSet):
    authentication_classes: ClassVar[list[Any]] = []
    queryset = Lot.objects.all()
    serializer_class = LotAnswer
    filters: ClassVar = {
        "number": ["exact", "in"],
        "status": ["exact", "in"],
        "grade": ["exact", "gte", "lte", "isnull", "in"],
        "price": ["exact", "gte", "lte"],
        "sealed": ["exact"],
        "pressed_date": ["gte", "lte"],
        "created_at": ["gte", "lte"],
        "mill": ["exact", "in", "isnull"],
        "mill__name": ["exact"],
    }
    filterset_class = OddFilters
    search_fields: ClassVar = ["number", "mill__name"]
    ordering_fields: ClassVar = ["created_at", "number", "grade", "price", "mill__name"]
    query_parameters: ClassVar = ("fields",)
    count_exact = True


class BareViewSet(ListModelMixin, GenericViewSet):
    authentication_classes: ClassVar[list[Any]] = []
    queryset = Mill.objects.all()
    serializer_class = LotAnswer


urlpatterns = [
    path("api/v1/lots", LotViewSet.as_view({"get": "list"})),
    path("api/v1/sold", LotViewSet.as_view({"get": "list"})),
    path("api/v1/mills", BareViewSet.as_view({"get": "list"})),
]
pytestmark = pytest.mark.urls(__name__)


@pytest.fixture(autouse=True)
def tables(db: None) -> None:
    with connection.schema_editor() as editor:
        editor.create_model(Mill)
        editor.create_model(Lot)


def make(*rows: dict[str, Any]) -> list[Lot]:
    return Lot.objects.bulk_create([Lot(**{"number": f"L{place}", **row}) for place, row in enumerate(rows)])


def ask(query: str = "", route: str = "/api/v1/lots") -> Any:
    return Client().get(f"{route}?{query}")


def numbers(query: str = "") -> list[str]:
    response = ask(query)
    assert response.status_code == 200, response.content
    return [row["number"] for row in response.json()["results"]]


def refused(query: str, route: str = "/api/v1/lots") -> list[tuple[str, str]]:
    response = ask(query, route)
    assert response.status_code == 400, response.content
    assert response["Content-Type"] == "application/problem+json"
    return [(fault["pointer"], fault["code"]) for fault in response.json()["errors"]]


def scatter(seed: int, rows: int) -> None:
    """Rows with many ties and gaps in every field that a list can be ordered by."""
    chance = random.Random(seed)
    mills = Mill.objects.bulk_create([Mill(name=name) for name in ("Ahmedabad", "Bhuj", "Bhuj")])
    make(
        *(
            {
                "grade": chance.choice([None, 1, 2]),
                "price": Decimal(chance.choice(["1.00", "1.10", "2.00"])),
                "mill": chance.choice([None, *mills]),
                "created_at": START + timedelta(microseconds=chance.randrange(3)),
            }
            for _ in range(rows)
        )
    )


ORDERS = [
    [],
    ["created_at"],
    ["-created_at"],
    ["grade"],
    ["-grade"],
    ["mill__name", "-price"],
    ["-mill__name", "grade", "price"],
    ["mill", "-id"],
    ["-pk"],
    ["-sealed", "-grade"],
]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("limit", [1, 7])
def test_pages_forth_and_back_are_the_whole_list_in_order(order, limit):
    scatter(seed=len(order) + limit, rows=31)
    queryset = Lot.objects.select_related("mill").order_by(*order)
    pages = [paginate(queryset, limit=limit)]
    while pages[-1].next:
        pages.append(paginate(queryset, limit=limit, cursor=pages[-1].next))
    there = [row.pk for page in pages for row in page.rows]
    assert sorted(there) == sorted(Lot.objects.values_list("pk", flat=True))

    assert pages[0].previous is None
    back = [pages[-1]]
    while back[-1].previous:
        back.append(paginate(queryset, limit=limit, cursor=back[-1].previous))
    assert [row.pk for page in reversed(back) for row in page.rows] == there
    forth = paginate(queryset, limit=limit, cursor=back[1].next)
    assert (forth.rows, forth.next) == (back[0].rows, None)


@pytest.mark.parametrize("order", ORDERS)
def test_the_order_is_the_database_s_own(order):
    scatter(seed=3, rows=25)
    names = [term.lstrip("-") for term in order]
    plain = Lot.objects.order_by(*order).values_list(*names, "pk")
    pages = [paginate(Lot.objects.order_by(*order), limit=9)]
    while pages[-1].next:
        pages.append(paginate(Lot.objects.order_by(*order), limit=9, cursor=pages[-1].next))
    rows = {values[-1]: values[:-1] for values in plain}
    assert [rows[row.pk] for page in pages for row in page.rows] == [values[:-1] for values in plain]


@pytest.mark.parametrize("seed", range(5))
def test_rows_that_come_and_go_never_repeat_or_skip_others(seed):
    scatter(seed, rows=60)
    chance = random.Random(seed)
    order = chance.choice(ORDERS)
    queryset = Lot.objects.select_related("mill").order_by(*order)
    stayed = set(Lot.objects.values_list("pk", flat=True))
    seen: list[UUID] = []
    page = paginate(queryset, limit=5)
    while True:
        seen += [row.pk for row in page.rows]
        gone = chance.sample(sorted(stayed), 2) if len(stayed) > 20 else []
        Lot.objects.filter(pk__in=gone).delete()
        stayed -= set(gone)
        make(
            {
                "grade": chance.choice([None, 1, 2]),
                "created_at": START + timedelta(microseconds=chance.randrange(3)),
            }
        )
        if not page.next or len(seen) > 300:
            break
        page = paginate(queryset, limit=5, cursor=page.next)
    assert len(seen) == len(set(seen))
    assert stayed <= set(seen)


def test_an_emptied_page_leads_back_to_what_is_left():
    make(*({} for _ in range(6)))
    queryset = Lot.objects.order_by("number")
    first = paginate(queryset, limit=2)
    second = paginate(queryset, limit=2, cursor=first.next)
    Lot.objects.filter(number__gte="L2").delete()
    empty = paginate(queryset, limit=2, cursor=first.next)
    assert (empty.rows, empty.next) == ([], None)
    last = paginate(queryset, limit=2, cursor=empty.previous)
    assert ([row.number for row in last.rows], last.next, last.previous) == (["L0", "L1"], None, None)
    Lot.objects.filter(number__lt="L2").delete()
    make({"number": "L9"})
    empty = paginate(queryset, limit=2, cursor=second.previous)
    assert (empty.rows, empty.previous) == ([], None)
    assert [row.number for row in paginate(queryset, limit=2, cursor=empty.next).rows] == ["L9"]


def test_an_annotation_can_order_too():
    make({"grade": 3}, {"grade": None}, {"grade": 1})
    queryset = Lot.objects.annotate(rank=Coalesce("grade", Value(2))).order_by("-rank")
    first = paginate(queryset, limit=1)
    second = paginate(queryset, limit=1, cursor=first.next)
    assert [first.rows[0].number, second.rows[0].number] == ["L0", "L1"]


def test_the_envelope_and_its_links():
    make(*({"created_at": START + timedelta(seconds=second)} for second in range(5)))
    response = ask("limit=2&status=OPEN")
    body = response.json()
    assert [row["number"] for row in body["results"]] == ["L4", "L3"]
    assert set(body) == {"results", "next", "previous"}
    assert body["previous"] is None
    assert body["next"].startswith("http://testserver/api/v1/lots?")
    assert response["Link"] == f'<{body["next"]}>; rel="next"'
    parts = parse_qs(urlsplit(body["next"]).query)
    assert (parts["limit"], parts["status"]) == (["2"], ["OPEN"])
    second = Client().get(body["next"])
    assert [row["number"] for row in second.json()["results"]] == ["L2", "L1"]
    assert (
        second["Link"] == f'<{second.json()["next"]}>; rel="next", <{second.json()["previous"]}>; rel="prev"'
    )
    first = Client().get(second.json()["previous"]).json()
    assert (first["results"], first["previous"]) == (body["results"], None)


@pytest.mark.parametrize("text", ["ગોંડલ", "é ç", 'a<b>"c"', "50%, more"])
def test_links_are_uris_whatever_the_filter_holds(text):
    make(*({"number": f"{text} {place}"} for place in range(3)))
    response = ask(urlencode({"limit": 1, "search": text}))
    url = response.json()["next"]
    assert re.fullmatch(r"http://testserver/api/v1/lots\?[A-Za-z0-9%&=+._~:-]+", url)
    assert response["Link"] == f'<{url}>; rel="next"'
    assert len(Client().get(url).json()["results"]) == 1


def test_a_list_without_more_has_no_links():
    assert "Link" not in ask().headers


def test_a_page_costs_one_query_whatever_its_size(django_assert_num_queries):
    make(*({} for _ in range(250)))
    with django_assert_num_queries(1):
        assert len(numbers("limit=200")) == 200
    with django_assert_num_queries(2):
        assert ask("limit=1&count=exact").json()["count"] == 250


def test_the_limit_is_50_unless_asked_for():
    make(*({} for _ in range(60)))
    assert len(numbers()) == 50


@pytest.mark.parametrize(
    "limit", ["0", "201", "-1", "", "x", "1e2", "５", "50.0", "0000000000000000050", " 5"]
)
def test_a_limit_is_a_number_up_to_200(limit):
    assert refused(f"limit={limit}") == [("/query/limit", "out_of_range")]


def test_a_cursor_tells_nothing_of_the_row_that_it_stands_at():
    make(*({"created_at": START + timedelta(seconds=step)} for step in range(3)))
    cursor = paginate(Lot.objects.order_by("-created_at"), limit=1).next
    assert cursor is not None
    packed = base64.urlsafe_b64decode(cursor)
    for content in (packed, cursor.encode()):
        assert b"2026" not in content
        with pytest.raises(zlib.error):
            zlib.decompress(content)


def test_a_cursor_belongs_to_its_list_filters_and_order():
    make(*({} for _ in range(5)))
    cursor = parse_qs(urlsplit(ask("limit=2&status=OPEN&ordering=number").json()["next"]).query)["cursor"][0]
    same = f"cursor={cursor}&ordering=number&status=OPEN"
    assert numbers(same) == ["L2", "L3", "L4"]
    assert numbers(f"{same}&limit=1&count=exact&fields=id") == ["L2"]
    for other in (
        f"cursor={cursor}&ordering=number",
        f"cursor={cursor}&ordering=-number&status=OPEN",
        f"cursor={cursor}&status=OPEN",
        f"{same}&grade__isnull=true",
        f"cursor={cursor[:30]}{'A' if cursor[30] != 'A' else 'B'}{cursor[31:]}&ordering=number&status=OPEN",
        f"cursor={cursor[1:]}&ordering=number&status=OPEN",
        "cursor=",
        "cursor=x",
        "cursor=%00",
        "cursor=%F0%9F",
    ):
        assert refused(other) == [("/query/cursor", "invalid")], other
    assert refused(same, "/api/v1/sold") == [("/query/cursor", "invalid")]


def test_a_link_stays_short_however_long_the_filter_is():
    mill = Mill.objects.create(name="Bhuj")
    make(*({"created_at": START + timedelta(seconds=second), "mill": mill} for second in range(5)))
    wanted = ",".join(map(str, [mill.pk, *(uuid4() for _ in range(99))]))
    asked = f"limit=2&count=exact&fields=id&status=OPEN&mill__in={wanted}"
    first = ask(asked)
    assert len(first.json()["next"]) < len(asked)
    parts = parse_qs(urlsplit(first.json()["next"]).query)
    assert parts.keys() == {"limit", "count", "fields", "cursor"}
    second = Client().get(first.json()["next"]).json()
    third = Client().get(second["next"]).json()
    assert [[row["number"] for row in page["results"]] for page in (first.json(), second, third)] == [
        ["L4", "L3"],
        ["L2", "L1"],
        ["L0"],
    ]
    assert (second["count"], third["next"]) == (5, None)
    assert Client().get(third["previous"]).json()["results"] == second["results"]
    cursor = parts["cursor"][0]
    assert numbers(f"cursor={cursor}&status=OPEN&mill__in={wanted}") == ["L2", "L1", "L0"]
    for other in ("&status=SOLD", "&ordering=number", f"&mill__in={wanted}"):
        assert refused(f"cursor={cursor}{other}") == [("/query/cursor", "invalid")]
    assert refused(f"cursor={cursor}", "/api/v1/sold") == [("/query/cursor", "invalid")]
    assert refused(f"cursor={cursor}&cursor={cursor}") == [("/query/cursor", "doubled")]


def test_a_search_by_post_names_its_own_pointer():
    with pytest.raises(Invalid) as caught:
        paginate(Lot.objects.order_by("number"), cursor="x", pointer="/cursor")
    assert caught.value.errors[0].pointer == "/cursor"


def test_count_is_offered_only_where_the_list_declares_it():
    assert refused("count=all") == [("/query/count", "not_a_choice")]
    assert refused("count=exact", "/api/v1/mills") == [("/query/count", "unknown_field")]


def test_filters_narrow_by_name_and_join_by_and():
    mill = Mill.objects.create(name="Bhuj")
    make(
        {"grade": 1, "price": Decimal("1.50"), "mill": mill},
        {"grade": 2, "price": Decimal("2.50"), "sealed": True},
        {"grade": None, "status": "SOLD", "pressed_date": date(2026, 3, 1)},
    )
    for query, found in {
        "grade=1": ["L0"],
        "grade__gte=1&grade__lte=1": ["L0"],
        "grade__isnull=true": ["L2"],
        "grade__isnull=false&sealed=true": ["L1"],
        "grade__in=1,2&ordering=number": ["L0", "L1"],
        "price__gte=1.50&price__lte=2.00": ["L0"],
        "status=SOLD": ["L2"],
        "number__in=L2,L1&ordering=-number": ["L2", "L1"],
        "pressed_date__gte=2026-02-01": ["L2"],
        f"mill={mill.pk}": ["L0"],
        f"mill={uuid4()}": [],
        "mill__name=Bhuj": ["L0"],
        "mill__isnull=true&grade=2": ["L1"],
        "created_at__gte=2026-02-03T04:05:06.789012Z&grade=1": ["L0"],
        "created_at__gte=2026-02-03T09:35:06.789013%2B05:30": [],
        "graded=true&cheaper_than=2": ["L0"],
    }.items():
        assert numbers(query) == found, query


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("grade=x", ("/query/grade", "invalid")),
        ("grade=01", ("/query/grade", "invalid")),
        ("grade=", ("/query/grade", "invalid")),
        ("grade=９", ("/query/grade", "invalid")),
        ("grade__in=1,,2", ("/query/grade__in", "invalid")),
        ("grade__isnull=1", ("/query/grade__isnull", "invalid")),
        ("sealed=True", ("/query/sealed", "invalid")),
        ("price=1e2", ("/query/price", "not_a_decimal_string")),
        ("price=1.001", ("/query/price", "too_many_decimals")),
        ("price=999999999999", ("/query/price", "out_of_range")),
        ("status=open", ("/query/status", "not_a_choice")),
        ("status__in=OPEN,GONE", ("/query/status__in", "not_a_choice")),
        ("pressed_date__gte=20260203", ("/query/pressed_date__gte", "invalid")),
        ("created_at__gte=2026-02-03T04:05:06", ("/query/created_at__gte", "invalid")),
        ("mill=5", ("/query/mill", "invalid")),
        ("number=%00", ("/query/number", "control_character")),
        ("number=" + "x" * 21, ("/query/number", "too_long")),
        ("number__in=" + ",".join("x" * 101), ("/query/number__in", "too_long")),
        ("cheaper_than=x", ("/query/cheaper_than", "invalid")),
        ("colour=red", ("/query/colour", "unknown_field")),
        ("number__gte=1", ("/query/number__gte", "unknown_field")),
        ("a/b~c=1", ("/query/a~1b~0c", "unknown_field")),
        ("format=json", ("/query/format", "unknown_field")),
        ("grade=1&grade=2", ("/query/grade", "doubled")),
        ("limit=1&limit=1", ("/query/limit", "doubled")),
        ("ordering=colour", ("/query/ordering", "not_a_choice")),
        ("ordering=", ("/query/ordering", "not_a_choice")),
        ("ordering=--number", ("/query/ordering", "not_a_choice")),
        ("ordering=number,-number", ("/query/ordering", "doubled")),
        ("ordering=number, grade", ("/query/ordering", "not_a_choice")),
        ("search=x", ("/query/search", "too_short")),
        ("search=%20x%20", ("/query/search", "too_short")),
        ("search=" + "x" * 101, ("/query/search", "too_long")),
        ("updated_after=yesterday", ("/query/updated_after", "invalid")),
        ("updated_after=2026-02-03T04:05:06Z&ordering=number", ("/query/ordering", "invalid")),
    ],
)
def test_what_is_not_declared_or_does_not_fit_is_refused(query, fault):
    assert refused(query) == [fault]


def test_all_errors_of_a_query_are_reported_at_once():
    assert refused("grade=x&price=y&status=z") == [
        ("/query/grade", "invalid"),
        ("/query/price", "not_a_decimal_string"),
        ("/query/status", "not_a_choice"),
    ]


def test_only_unknown_parameters_have_the_code_that_says_so():
    assert ask("colour=red").json()["code"] == "request.unknown_field"
    assert ask("colour=red&grade=1&grade=2").json()["code"] == "request.invalid"


def test_what_a_view_does_not_declare_it_does_not_take():
    for query in ("search=abc", "ordering=name", "updated_after=2026-02-03T04:05:06Z", "name=Bhuj"):
        name = query.split("=")[0]
        assert refused(query, "/api/v1/mills") == [(f"/query/{name}", "unknown_field")]
    assert ask("", "/api/v1/mills").status_code == 200


def test_a_search_wants_every_word_in_whatever_case_and_field():
    mill = Mill.objects.create(name="Śrī 100% Bhuj")
    make({"number": "GJ-12", "mill": mill}, {"number": "GJ-13"}, {"number": "MH-1", "mill": mill})
    assert numbers("search=gj-1&ordering=number") == ["GJ-12", "GJ-13"]
    assert numbers("search=BHUJ%20gj") == ["GJ-12"]
    assert numbers("search=bhuj%20nowhere") == []
    assert sorted(numbers("search=100%25")) == ["GJ-12", "MH-1"]
    assert numbers("search=__") == []


def test_lists_come_newest_first_or_as_asked():
    make({"created_at": START, "grade": 1}, {"created_at": START + timedelta(seconds=1), "grade": 1})
    assert numbers() == ["L1", "L0"]
    assert numbers("ordering=grade,number") == ["L0", "L1"]
    assert numbers("ordering=-grade,-number") == ["L1", "L0"]


def test_rows_of_one_moment_come_in_the_direction_of_the_list():
    ids = [row.pk for row in make({}, {}, {})]
    assert [row.pk for row in paginate(Lot.objects.order_by("-created_at")).rows] == sorted(ids, reverse=True)
    assert [row.pk for row in paginate(Lot.objects.order_by("created_at")).rows] == sorted(ids)


def test_updated_after_excludes_its_moment_and_orders_by_change():
    make(*({"updated_at": START + timedelta(microseconds=step)} for step in (0, 2, 1, 2)))
    moment = START.isoformat().replace("+00:00", "Z")
    found = numbers(f"updated_after={moment}")
    assert found[0] == "L2"
    assert sorted(found[1:]) == ["L1", "L3"]
    assert numbers(f"updated_after={moment}&limit=2") == found[:2]


def test_a_declaration_that_can_not_work_fails_when_it_is_first_read():
    from django.core.exceptions import ImproperlyConfigured

    from erp.api.filters import _offered

    class Wrong:
        filters: ClassVar = {"number": ["regex"]}

    with pytest.raises(ImproperlyConfigured):
        _offered(Wrong, Lot)
