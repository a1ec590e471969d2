"""Query strings and rates of the admin: only declared parameters are accepted, others give 400; limits give 429."""

import re
from html import unescape
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.contrib import admin
from django.db.models import UUIDField
from django.http import QueryDict
from django.test import Client, override_settings
from django.urls import reverse

from erp.admin import ServiceAdmin, related
from erp.admin.queries import check_list, lookups_of
from erp.errors import Malformed
from erp.idempotency.models import Record
from erp.outbox.models import EventOutbox

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_letters")]
KINDS = (
    "",
    "__startswith",
    "__regex",
    "__contains",
    "__gte",
    "__lt",
    "__in",
    "__isnull",
    "__length",
    "__range",
)


def address(page, name="changelist", *args) -> str:
    meta = page.model._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_{name}", args=args)


@pytest.fixture
def staff(user, staff_client_for):
    return staff_client_for(user("AUDITOR"))


@pytest.fixture
def boss(user, staff_client_for):
    return staff_client_for(user())


def drill_downs_of(page) -> list[str]:
    return [*page.drill_downs, *related.drill_downs(page.model)]


def hidden_lookups(page) -> set[str]:
    """Lookups of the model's columns, and of those one relation away, that the page doesn't declare by name."""
    paths = {"pk"}
    for field in page.model._meta.get_fields():
        paths.add(field.name)
        if field.is_relation and field.related_model is not None:
            paths |= {f"{field.name}__{other.name}" for other in field.related_model._meta.get_fields()}
    declared = {item if isinstance(item, str) else item.parameter_name for item in page.list_filter}
    declared |= {*drill_downs_of(page), *(name for queue in page.queues for name in queue.filters)}
    own = re.compile(
        f"({'|'.join(map(re.escape, sorted(declared))) or '$'})(__(id__)?exact|__isnull|__gte|__lt)?"
    )
    return {f"{path}{kind}" for path in paths for kind in KINDS if own.fullmatch(f"{path}{kind}") is None}


def test_no_registered_page_lets_a_hidden_lookup_through(rf):
    assert len(admin.site._registry) > 30
    for model, page in admin.site._registry.items():
        lookups = hidden_lookups(page)
        assert len(lookups) > 20, model
        allowed = [lookup for lookup in lookups if page.lookup_allowed(lookup, "a", rf.get("/"))]
        assert not allowed, (model, allowed)


def test_every_list_answers_400_to_a_hidden_lookup(boss):
    for model, page in admin.site._registry.items():
        columns = [f.name for f in model._meta.concrete_fields if f.name not in page.list_filter]
        for query in (f"{columns[-1]}__regex=.", "pk__startswith=0", "nothing_such=1"):
            answer = boss.get(f"{address(page)}?{query}")
            assert (answer.status_code, "Location" in answer) == (400, False), (model, query)


@pytest.mark.parametrize(
    "query",
    [
        "password__startswith=a",
        "password=",
        "groups__user__password__startswith=a",
        "totp__secret__startswith=a",
        "last_login__isnull=True",
        "_popup=1",
        "_to_field=password",
        "_to_field=id",
        "_facets=True",
        "all=",
        "e=1",
    ],
)
def test_an_auditor_reads_no_hash_off_the_list_of_users(staff, query):
    answer = staff.get(f"/admin/account/user/?{query}")
    assert answer.status_code == 400
    page = answer.content.decode()
    assert "<h1>" in page
    assert 'href="/admin/account/user/"' in page
    assert "password" not in page or "filtered by password" in page or "filtered by groups" in page


def test_neighbours_in_a_list_are_no_way_around(staff, user, monkeypatch):
    page = next(p for m, p in admin.site._registry.items() if m.__name__ == "ApprovalRequest")
    request = SimpleNamespace(
        GET=QueryDict("_changelist_filters=reason__startswith%3Da"), user=user("AUDITOR")
    )
    with pytest.raises(Malformed):
        page.neighbours(request, page.model(pk=uuid4()))


@pytest.mark.slow
def test_the_links_of_every_list_open(boss, offer):
    offer()
    for model, page in admin.site._registry.items():
        drawn = boss.get(address(page)).content.decode()
        links = {unescape(link) for link in re.findall(r'href="(\?[^"]*)"', drawn)}
        names = {link.split("=")[0] for link in links}
        for name in sorted(names):
            link = next(link for link in sorted(links) if link.split("=")[0] == name)
            assert boss.get(f"{address(page)}{link}").status_code == 200, (model, link)


@pytest.mark.slow
def test_queues_and_drill_downs_open(boss, user):
    for page in admin.site._registry.values():
        for queue in page.queues:
            assert boss.get(address(page), queue.filters).status_code == 200, queue.title
        for name in drill_downs_of(page):
            field = page.model._meta.get_field(name.split("__")[0])
            field = field.target_field if field.is_relation else field
            codes = {"code": "KG", "gst_code": "24"}
            value = str(uuid4()) if isinstance(field, UUIDField) else codes.get(field.name, "1")
            assert boss.get(address(page), {name: value}).status_code == 200, (page, name)


def test_a_list_is_searched_sorted_and_paged(boss):
    path = address(admin.site._registry[EventOutbox])
    for query in ("q=", f"q={'a' * 100}", "o=1.-2", "o=", "p=1", "status=failed", "status__exact=failed"):
        assert boss.get(f"{path}?{query}").status_code == 200, query


UNUSABLE = [
    "p=abc", "p=0", "p=-1", "p=1&p=2", "p=99999999999999999999", "p=%D9%A3", "page=abc",
    "o=abc", "o=99", "o=-", "o=1..2", "o=--1", f"o={'9' * 5000}", "o=1&o=2",
    f"q={'a' * 101}", "q=%00", "q=a&q=b", "status=%00", "%00=1", "status__regex=(", "age=1", "stream=x",
    "aggregate_id=abc", "aggregate_id=%00", "aggregate_type=" + "a" * 500,
    "created_at__gte=99999-01-01", "created_at__year=99999", "resolution__isnull=perhaps",
]  # fmt: skip


@pytest.mark.parametrize("query", UNUSABLE)
def test_what_a_list_cannot_use_is_400(boss, query):
    answer = boss.get(f"{address(admin.site._registry[EventOutbox])}?{query}")
    assert (answer.status_code, "Location" in answer) == (400, False)


@pytest.mark.parametrize(
    "path",
    [
        "/admin/account/user/?groups__id__exact=99999999999999999999",
        "/admin/account/user/?groups__id__exact=abc",
        "/admin/account/session/?user__id__exact=abc",
        "/admin/organization/organization/?lacks_year=perhaps",
        "/admin/approval/approvalrequest/?for_me=perhaps",
        "/admin/idempotency/record/?secret__exact=perhaps",
        "/admin/partner/partner/choose/?page=abc",
        "/admin/partner/partner/choose/?term=%00",
        f"/admin/partner/partner/choose/?term={'a' * 101}",
        "/admin/search/?s=a&page=abc",
        "/admin/search/?s=offer&page=7",
        f"/admin/search/?s={'a' * 101}",
        "/admin/partner/partner/%00/change/",
        "/admin/partner/partner/?" + "&".join(["status=active"] * 1001),
    ],
)
def test_what_any_page_cannot_use_is_400(boss, path):
    assert boss.get(path).status_code == 400


@pytest.mark.slow
def test_any_search_text_of_a_list_is_answered(boss):
    for page in admin.site._registry.values():
        if page.search_fields:
            for text in ("abc", "99999999999999999999999999", "'\"\\", "(", "ā\ufeff"):
                assert boss.get(address(page), {"q": text}).status_code == 200, (page, text)


def test_a_drill_down_by_date_takes_days_that_exist():
    class Page(ServiceAdmin):
        views = "trail.view"
        date_hierarchy = "created_at"

    page = Page(Record, admin.site)
    lookups = page._lookups(None)
    assert {"created_at__year", "created_at__month", "created_at__day"} <= lookups.keys()
    assert not page.lookup_allowed("body__startswith", "a")
    for query, usable in (
        ("created_at__year=2026&created_at__month=2&created_at__day=28", True),
        ("created_at__year=99999", False),
        ("created_at__year=9999", False),
        ("created_at__month=13", False),
        ("created_at__year=abc", False),
    ):
        if usable:
            check_list(QueryDict(query), lookups)
        else:
            with pytest.raises(Malformed):
                check_list(QueryDict(query), lookups)


def test_a_date_filter_and_a_relation_declare_what_their_links_use():
    found = lookups_of(EventOutbox, ["created_at", ("status", object)], None, [])
    assert set(found) == {
        "created_at__gte", "created_at__lt", "created_at__isnull", "status", "status__exact", "status__isnull",
    }  # fmt: skip


def test_djangos_own_autocomplete_is_absent(boss):
    query = {"app_label": "account", "model_name": "session", "field_name": "user", "term": "a"}
    assert boss.get("/admin/autocomplete/", query).status_code == 404


limited = override_settings(THROTTLE_LIMITS={"read": (3, 60), "write": (2, 60)})


@pytest.mark.parametrize("path", ["/admin/", "/admin/login/", "/admin/account/user/", "/admin/nothing/"])
def test_an_address_that_asks_too_often_waits(db, path):
    client = Client(REMOTE_ADDR=f"2001:db8:{uuid4().hex[:4]}:{uuid4().hex[:4]}::1")
    with limited:
        answers = [client.get(path) for _ in range(4)]
    assert [a.status_code for a in answers[:3]] == [answers[0].status_code] * 3
    assert answers[0].status_code != 429
    assert (answers[3].status_code, answers[3]["Content-Type"]) == (429, "text/html; charset=utf-8")
    assert 1 <= int(answers[3]["Retry-After"]) <= 60


def test_staff_have_limits_of_their_own_for_reads_and_writes(user, staff_client_for):
    one, other = staff_client_for(user("AUDITOR")), staff_client_for(user("AUDITOR"))
    path = address(admin.site._registry[Record])
    with limited:
        assert [one.get(path).status_code for _ in range(4)] == [200, 200, 200, 429]
        assert [one.post(path).status_code for _ in range(3)] == [200, 200, 429]
        assert other.get(path).status_code == 200
