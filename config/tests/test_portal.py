"""The staff portal's sidebar and home page."""

import csv
import os
import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.contrib import admin
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from redis.exceptions import RedisError
from unfold.sites import UnfoldAdminSite

from apps.accounts.models import User
from apps.availability.models import Availability
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.tax import HsnCode
from apps.commodities.tests.examples import measured
from apps.notifications.models import Message
from apps.notifications.tests.examples import notify
from config.testing import make_ready
from erp import clock, heartbeat, metrics
from erp.admin import cached, related, search
from erp.admin.display import columns_of, shown
from erp.admin.navigation import sidebar
from erp.clients import breakers
from erp.jobs.models import Job
from erp.models import unguarded_writes
from erp.outbox.models import EventOutbox
from erp.saved_views import services as saved_views
from erp.saved_views.models import SavedView
from erp.trail.models import Entry, Export

HOME = reverse("admin:index")

pytestmark = pytest.mark.django_db


def groups(answer):
    return {group.get("title", ""): group["items"] for group in answer.context["sidebar_navigation"]}


def test_pages_are_grouped_by_work_and_only_those_that_the_person_may_see(user, staff_client_for):
    seen = groups(staff_client_for(user("INTERNAL", "INTERNAL_MASTERDATA")).get(HOME))
    assert list(seen)[:7] == ["", "Trading", "Risk", "Partners", "Approvals", "Master data", "Company"]
    assert "Quality schedules" in [item["title"] for item in seen["Master data"]]
    assert "Events" not in [item["title"] for item in seen["Operations"]]
    everything = groups(staff_client_for(user("AUDITOR")).get(HOME))
    assert "Events" in [item["title"] for item in everything["Operations"]]


def test_the_sidebar_marks_the_current_page_and_counts_what_waits(user, staff_client_for, offer):
    offer(live=False, submit=True)
    page = reverse("admin:availability_availability_changelist")
    (item,) = [
        item
        for item in groups(staff_client_for(user("INTERNAL_MANAGER")).get(page))["Trading"]
        if item["link"] == page
    ]
    assert (item["active"], item["badge"]) == (True, "1")


def test_the_sidebar_asks_for_its_counts_once_in_half_a_minute(user, rf, offer):
    def asking(person):
        request = rf.get(HOME)
        request.user = person
        return request

    manager = user("INTERNAL_MANAGER")
    sidebar(asking(manager))
    with CaptureQueriesContext(connection) as asked:
        sidebar(asking(manager))
    assert len(asked) == 0
    cache.clear()
    offer(live=False, submit=True)
    with CaptureQueriesContext(connection) as asked:
        sidebar(asking(manager))
    assert 0 < len(asked) <= 16


def test_home_shows_queues_as_cards_and_next_steps_until_they_are_done(
    user, staff_client_for, offer, request
):
    client = staff_client_for(user("INTERNAL_MANAGER"))
    assert "Load places" in client.get(HOME).content.decode()
    offer(live=False, submit=True)
    drawn = client.get(HOME).content.decode()
    assert re.search(r"Offers to approve</span>\s*<strong>1</strong>\s*<small>oldest", drawn)
    assert "Add an organization" in drawn or "Add the current financial year" in drawn
    request.getfixturevalue("place")()
    assert "Load places" not in client.get(HOME).content.decode()


def test_a_status_is_a_coloured_label_and_a_figure_is_grouped_and_to_the_right(offer):
    names = ["status", "quantity_tolerance_percent", "number", "allow_partial"]
    status, figure, plain, flag = columns_of(Availability, names)
    row = offer()
    assert flag(row) == "Yes", "a word, not a tick that praises"
    assert (status(row), status.label["success"]) == (("success", "Active"), "success")
    assert figure(row) == '<span class="erp-number">5</span>'
    assert (status.admin_order_field, plain) == ("status", "number")


def test_the_history_shows_who_changed_which_field_from_what_to_what(user, staff_client_for, commodity):
    first, second = user("INTERNAL", "INTERNAL_MASTERDATA"), user("INTERNAL", "INTERNAL_MASTERDATA")
    row = commodity()
    page = reverse("admin:commodity_commodity_change", args=[row.pk])
    staff_client_for(first).fill(page, description="Long staple", quantity_tolerance_percent="2.5 %")
    client = staff_client_for(second)
    client.fill(page, origin_country="US")
    address = reverse("admin:commodity_commodity_history", args=[row.pk])
    changes = client.get(address).context["changes"]
    assert changes[0].fields == [("Origin country", "IN", "US")]
    assert (changes[0].actor, changes[0].channel, changes[0].action) == (
        str(second), "Staff portal", "Update",
    )  # fmt: skip
    assert ("Quantity tolerance (%)", "5", "2.5") in changes[1].fields
    assert changes[-1].operation == "Added"
    one = client.get(address, {"by": str(first.pk), "field": "description"}).context["changes"]
    assert [change.actor for change in one] == [str(first)]
    assert client.get(address, {"by": "x", "field": "password"}).status_code == 200


def test_times_and_truth_values_in_words():
    created, active = Commodity._meta.get_field("created_at"), User._meta.get_field("is_superuser")
    moment = datetime(2026, 11, 30, 8, 35, tzinfo=UTC)
    assert shown(created, moment) == "30 Nov 2026, 14:05 IST"
    assert (shown(active, True), shown(active, False)) == ("yes", "no")


def test_a_page_names_the_group_of_the_navigation_and_its_list(user, staff_client_for, commodity):
    staff, row = staff_client_for(user("INTERNAL", "INTERNAL_MASTERDATA")), commodity()
    changelist = reverse("admin:commodity_commodity_changelist")
    page = reverse("admin:commodity_commodity_change", args=[row.pk])
    text = staff.get(page.replace("change/", "history/")).content.decode()
    way = text[text.index('aria-label="Breadcrumb"') : text.index("</h1>") + 1]
    assert re.findall(r">([^<>\s›][^<>]*)<", way) == ["Master data", "Commodities", str(row), "History"]
    assert f'href="{changelist}"' in way
    assert f'href="{page}"' in way


def test_labels_of_cells_are_in_sentence_case(user, staff_client_for, commodity):
    commodity()
    text = staff_client_for(user("INTERNAL")).get(reverse("admin:commodity_commodity_changelist")).content
    labels = re.findall(r'data-label="([^"]+)"', text.decode())
    assert labels
    assert all(label[0].isupper() or label.startswith("e-") for label in labels), labels


def test_the_history_shows_no_field_that_the_page_does_not_show(user, staff_client_for):
    person = user("INTERNAL")
    address = reverse("admin:account_user_history", args=[person.pk])
    context = staff_client_for(user("AUDITOR")).get(address).context
    shown = {label for change in context["changes"] for label, _, _ in change.fields}
    assert "Full name" in shown
    assert not {"Password", "Rights version"} & shown
    assert "password" not in dict(context["fields"])


def test_personal_columns_are_masked_in_the_history(user, staff_client_for, partner):
    row = partner("Firm of Ten")
    page = reverse("admin:partner_partner_history", args=[row.pk])
    drawn = staff_client_for(user("INTERNAL")).get(page).content.decode()
    assert "•••" in drawn
    assert "td>Firm of Ten" not in drawn


def test_a_message_names_the_row_and_links_to_it(user, staff_client_for):
    client = staff_client_for(user("INTERNAL", "INTERNAL_MASTERDATA"))
    page = reverse("admin:commodity_commodity_add")
    typed = {"code": "LINT-2", "name": "Lint <two>", "category": "FIBRE", "trade_unit": "KG"}
    answer = client.fill(page, **typed, _addanother="1")
    assert answer.url == page
    drawn = client.get(page).content.decode()
    (url,) = re.findall(r'<a class="underline" href="([^"]+)">Lint &lt;two&gt;</a> was created', drawn)
    assert client.get(url).status_code == 200


def test_an_empty_list_says_what_to_do_first(user, staff_client_for):
    staff = staff_client_for(user("INTERNAL", "INTERNAL_MASTERDATA"))
    varieties = reverse("admin:commodity_variety_changelist")
    drawn = staff.get(varieties).content.decode()
    assert "No varieties yet" in drawn
    assert f'href="{reverse("admin:commodity_variety_add")}"' in drawn
    assert "No varieties match" in staff.get(varieties, {"q": "x"}).content.decode()
    auditor = staff_client_for(user("AUDITOR"))
    assert "do not have the permission" in auditor.get(varieties).content.decode()
    reservations = reverse("admin:availability_reservation_changelist")
    assert "Open an offer" in auditor.get(reservations).content.decode()


def test_a_page_shows_the_rows_that_refer_to_its_row(user, staff_client_for, rf, commodity, offer):
    row = commodity()
    client = staff_client_for(user("INTERNAL", "INTERNAL_MASTERDATA"))
    page = reverse("admin:commodity_commodity_change", args=[row.pk])

    def tables(client):
        return {table.title: table for table in client.get(page).context["tables"]}

    measured(row)
    with CaptureQueriesContext(connection) as few:
        shown = tables(client)
    assert list(shown["Quality parameters"].headings[:2]) == ["Code", "Name"]
    codes = [re.sub("<.*?>", "", str(line[0])) for line in shown["Quality parameters"].rows]
    assert 0 < len(codes) <= related.SHOWN
    answer = client.get(shown["Quality parameters"].more)
    assert {parameter.commodity_id for parameter in answer.context["cl"].result_list} == {row.pk}
    form = client.get(shown["Varieties"].add).context["adminform"].form
    assert form.initial["commodity_id"] == str(row.pk)
    for _ in range(related.SHOWN + 1):
        offer(commodity=row)
    with CaptureQueriesContext(connection) as many:
        shown = tables(client)
    assert len(shown["Availabilities"].rows) == related.SHOWN
    assert len(few) == len(many) <= 25
    assert shown["Availabilities"].add == ""  # staff post no offers
    asked = rf.get(page)
    asked.user = user("APPLICANT")
    seen = [table.title for table in related.tables(admin.site._registry[type(row)], asked, row)]
    assert "Quality parameters" in seen
    assert "Availabilities" not in seen  # an applicant sees no offers


def test_the_search_finds_pages_and_rows_by_number_name_and_code(user, staff_client_for, offer, partner):
    live, firm = offer(), partner("Kovai Spinners")
    client = staff_client_for(user("INTERNAL", "INTERNAL_MASTERDATA"))
    address = reverse("admin:search")

    def found(client, term):
        results = client.get(address, {"s": term, "extended": "1"}).context["results"]
        return {(result.title, result.description): str(result.link) for result in results}

    assert found(client, live.number)[(live.number, "Availability")].endswith(f"{live.pk}/change/")
    assert found(client, "kovai")[(str(firm), "Partner")].endswith(f"{firm.pk}/change/")
    assert (live.commodity.name, "Commodity") in found(client, live.commodity.code)
    assert {("Varieties", "List"), ("Add variety", "Form")} <= set(found(client, "variet")) | set(
        found(client, "add vari")
    )
    assert found(client, "k") == {}
    auditor = staff_client_for(user("AUDITOR"))
    assert ("Add variety", "Form") not in found(auditor, "add vari")
    with CaptureQueriesContext(connection) as asked:
        assert len(found(client, "co")) > 5
    assert len(asked) <= 25


def test_the_search_finds_nothing_that_the_person_may_not_see(user, rf, offer):
    live = offer()
    request = rf.get(HOME)
    request.user = user("APPLICANT")
    pages = list(admin.site._registry.values())
    assert not [each for each in search.results(request, pages, live.number) if live.number in each.title]
    request.user = user("AUDITOR")
    assert [each for each in search.results(request, pages, live.number) if live.number in each.title]


def test_a_list_is_downloaded_as_it_is_shown_and_the_download_is_recorded(
    user, staff_client_for, offer, partner
):
    live = offer(seller=user("SELLER", of=partner('=HYPERLINK("x")')))
    offer(live=False)
    person = user("AUDITOR")
    client = staff_client_for(person)
    page = reverse("admin:availability_availability_changelist")
    query = {"status__exact": "ACTIVE", "o": "1"}
    link = client.get(page, query).context["file"]
    answer = client.get(link)
    header, line, *more = csv.reader(answer.content.decode("utf-8-sig").splitlines())
    columns = ["Number", "Seller", "Commodity", "Available", "Total", "Status", "Available until", "Price"]
    assert header == columns
    assert (line[0], line[1], line[3], line[5]) == (live.number, '\'=HYPERLINK("x")', "100 BALE", "Active")
    assert not more
    (record,) = Export.objects.all()
    assert record.filters == {"list": "availability.Availability", **query}
    assert record.lines == 1
    assert Entry.objects.filter(table=Export._meta.db_table, actor_id=person.pk).exists()
    assert client.get(link, {"password__startswith": "a"}).status_code == 400
    assert (
        staff_client_for(user("INTERNAL")).get(reverse("admin:outbox_eventoutbox_export")).status_code == 403
    )
    assert Export.objects.count() == 1


def test_home_draws_the_last_thirty_days_with_the_tables_behind(user, staff_client_for, offer):
    offer(live=False)
    events = EventOutbox.objects.filter(event_type="availability.created")
    now = clock.now()
    events.update(
        status="published", created_at=now - timedelta(days=2), processed_at=now - timedelta(days=1)
    )
    answer = staff_client_for(user("INTERNAL")).get(HOME)
    published, wait = (
        next(chart for chart in answer.context["charts"] if chart.title == title)
        for title in ("Events published", "Longest wait of an event")
    )
    day = timezone.localdate() - timedelta(days=2)
    assert [bar.text for bar in published.bars if bar.height] == [f"{events.count()} events"]
    assert [(bar.day, bar.text, bar.height) for bar in wait.bars if bar.height] == [(day, "86,400 s", 60)]
    assert len(published.bars) == 30
    drawn = answer.content.decode()
    assert "Events published: today 0 events, at most 1 a day" in drawn
    assert "<td>86,400 s</td>" in drawn


def test_home_names_my_jobs_and_the_approvals_that_wait(user, staff_client_for, commodity):
    person, other = user("INTERNAL", "INTERNAL_MASTERDATA"), user("INTERNAL")
    ended = {"finished_at": clock.now(), "total": 1, "processed": 1, "refused": 1}
    with unguarded_writes():
        for owner, status in ((person, "failed"), (person, "succeeded"), (other, "failed")):
            Job(
                kind="location.import",
                mode="partial",
                owner=owner,
                status=status,
                file_name=f"{status}.csv",
                **ended,
            ).save()
    seen = [(task.title, task.text) for task in staff_client_for(person).get(HOME).context["tasks"]]
    assert seen == [("Import failed.csv", "The job failed: 1 of 1 rows have errors, and no row was saved.")]


@pytest.mark.django_db(transaction=True)  # in one transaction all changes have one time
def test_the_history_shows_a_row_as_it_was_at_a_time(user, staff_client_for, commodity):
    row = commodity()
    client = staff_client_for(user("INTERNAL", "INTERNAL_MASTERDATA"))
    client.fill(reverse("admin:commodity_commodity_change", args=[row.pk]), description="Long staple")
    address = reverse("admin:commodity_commodity_history", args=[row.pk])
    before = client.get(address).context["changes"][1]
    context = client.get(address, {"at": before.at.isoformat()}).context
    assert ("Description", "On the market.", "Long staple") in context["as_of"]
    assert "Version" not in {label for label, _, _ in context["as_of"]}
    assert client.get(address, {"at": "2020-01-01T10:00"}).context["as_of"] is None
    assert client.get(address, {"at": "yesterday"}).status_code == 400
    partner_page = client.get(address, {"at": "2020-01-01T10:00"}).content.decode()
    assert "It did not exist yet." in partner_page


def test_a_value_that_cannot_be_changed_has_no_help(user, staff_client_for, commodity):
    row = commodity()
    page = reverse("admin:commodity_commodity_change", args=[row.pk])
    drawn = staff_client_for(user("INTERNAL", "INTERNAL_MASTERDATA")).get(page).content.decode()
    assert str(Commodity._meta.get_field("name").help_text) in drawn
    assert str(Commodity._meta.get_field("code").help_text) not in drawn


def test_a_person_saves_opens_and_removes_views_of_a_list(user, staff_client_for):
    person = user("INTERNAL")
    client = staff_client_for(person)
    page = reverse("admin:commodity_commodity_changelist")
    save = reverse("admin:commodity_commodity_views")
    query = "status__exact=ACTIVE&o=1"
    form = {"_key": uuid4().hex, "query": query, "name": " On  the market "}
    assert client.post(save, form).url == f"{page}?{query}"
    assert client.post(save, form).url == f"{page}?{query}"  # a second click
    (view,) = SavedView.objects.all()
    assert (view.owner_id, view.name, view.query) == (person.pk, "On the market", query)
    assert f'href="?{query.replace("&", "&amp;")}"' in client.get(page).content.decode()
    assert "On the market" not in staff_client_for(user("INTERNAL")).get(page).content.decode()
    refused = client.post(save, form | {"_key": uuid4().hex, "query": "password__startswith=a"})
    assert refused.status_code == 400
    client.post(save, form | {"_key": uuid4().hex, "name": ""})
    assert "Enter a name" in client.get(page).content.decode()
    auditor = staff_client_for(user("AUDITOR"))
    assert auditor.post(save, form | {"_key": uuid4().hex}).status_code == 403
    assert save not in auditor.get(page, {"q": "x"}).content.decode()
    client.post(save, form | {"_key": uuid4().hex, "name": view.name, "remove": "1"})
    assert not SavedView.objects.exists()


def test_a_form_asks_for_no_id_of_rows_that_nobody_can_look_up(user, staff_client_for, offer):
    page = reverse("admin:availability_availability_run", args=[offer().pk, "reserve"])
    fields = staff_client_for(user("INTERNAL")).get(page).context["adminform"].form.fields
    assert {"quantity", "holder_partner_id"} <= set(fields)
    assert not {"requirement_id", "match_id", "negotiation_id"} & set(fields)


def test_a_person_has_at_most_twenty_views_of_a_list(user):
    person = user("INTERNAL")
    for number in range(saved_views.MOST):
        saved_views.save_view(actor=person, list="a.B", name=f"View {number}", query="q=a")
    saved_views.save_view(actor=person, list="a.B", name="View 0", query="q=b")  # replaced
    with pytest.raises(saved_views.TooManyViews):
        saved_views.save_view(actor=person, list="a.B", name="One more", query="q=a")
    saved_views.save_view(actor=person, list="a.C", name="One more", query="q=a")


def test_home_shows_relays_and_dead_letters_as_last_seen(user, staff_client_for):
    client = staff_client_for(user("INTERNAL"))

    def signs():
        return {sign.title: (sign.text, sign.colour) for sign in client.get(HOME).context["health"]}

    cache.clear()
    assert signs()["Dead letters"] == ("not known", "warning")
    assert signs()["Relays"] == ("0", "danger")
    metrics.remember(metrics.DEAD_LETTERS, 2)
    assert signs()["Dead letters"] == ("2", "danger")


def test_home_shows_breakers_that_are_not_closed_and_processes_that_are_silent(
    user, staff_client_for, monkeypatch, settings, tmp_path
):
    client, settings.HEARTBEAT_DIR = staff_client_for(user("INTERNAL")), str(tmp_path)

    def signs():
        return {sign.title: (sign.text, sign.colour) for sign in client.get(HOME).context["health"]}

    since = datetime(2026, 11, 30, 8, 35, tzinfo=UTC)
    monkeypatch.setattr(breakers, "not_closed", lambda: [breakers.OpenBreaker("gst:search", "open", since)])
    assert signs()["Circuit breaker gst:search"] == ("open since 30 Nov 2026, 14:05 IST", "danger")
    monkeypatch.setattr(breakers, "not_closed", list)
    assert signs()["Circuit breakers"] == ("closed", "success")
    assert signs()["Processes"] == ("not known", "warning")
    heartbeat.touch("worker")
    assert signs()["Processes"] == ("1 alive", "success")
    os.utime(tmp_path / "worker", (1, 1))
    assert signs()["Processes"] == ("silent: worker", "danger")


def test_a_code_is_suggested_with_its_name_and_read_once(user, staff_client_for, commodity):
    make_ready(commodity())
    client = staff_client_for(user("INTERNAL", "INTERNAL_MASTERDATA"))
    with CaptureQueriesContext(connection) as asked:
        drawn = client.get(reverse("admin:commodity_commodity_add")).content.decode()
    assert '<datalist id="codes-trade_unit">' in drawn
    assert '<option value="QTL">Quintal</option>' in drawn
    reads = [query["sql"] for query in asked.captured_queries if "SELECT DISTINCT" in query["sql"]]
    assert sum('"commodity_unit"' in sql for sql in reads) == 1
    assert len(asked) <= 25


def test_home_shows_queues_in_the_order_of_the_navigation_and_quiet_ones_only_when_something_waits(
    user, staff_client_for
):
    staff = staff_client_for(user("INTERNAL_MANAGER", "INTERNAL_MASTERDATA"))
    titles = [queue.title for queue in staff.get(HOME).context["queues"]]
    assert titles[0] == "Offers to approve"
    assert titles.index("Papers to verify") < titles.index("Changes to approve")
    assert "Failed messages" not in titles
    notify(user("INTERNAL"))
    with unguarded_writes():
        Message.objects.update(status="failed")
    assert "Failed messages" in [queue.title for queue in staff.get(HOME).context["queues"]]


def test_a_page_builds_no_list_of_all_models(user, staff_client_for, monkeypatch):
    monkeypatch.setattr(UnfoldAdminSite, "get_app_list", lambda *args: pytest.fail("it asks every page"))
    assert staff_client_for(user("INTERNAL")).get(HOME).status_code == 200


def test_a_queued_row_is_claimed_shown_to_others_and_taken_over_by_a_higher_role(
    user, staff_client_for, offer
):
    cache.clear()
    waiting = offer(live=False, submit=True)
    page = reverse("admin:availability_availability_change", args=[waiting.pk])
    claim = reverse("admin:availability_availability_claim", args=[waiting.pk])
    changelist = reverse("admin:availability_availability_changelist")
    first, second = user("INTERNAL"), user("INTERNAL")
    one, other, manager = (staff_client_for(each) for each in (first, second, user("INTERNAL_MANAGER")))
    assert one.get(page).context["may_claim"]
    one.post(claim, {"claim": "1"})
    assert one.get(page).context["claim_is_mine"]
    assert [task.title for task in one.get(HOME).context["tasks"]] == [str(waiting)]
    assert f"{first} works on this." in other.get(page).content.decode()
    assert f"{first} works on it" in other.get(changelist).content.decode()
    assert list(one.get(f"{changelist}?claim=mine").context["cl"].result_list) == [waiting]
    assert not other.get(f"{changelist}?claim=free").context["cl"].result_list
    for sent in ({"claim": "1"}, {"take_over": "1"}, {"release": "1"}):
        other.post(claim, sent)
        assert one.get(page).context["claim_is_mine"], sent
    manager.post(claim, {"take_over": "1"})
    assert manager.get(page).context["claim_is_mine"]
    assert one.get(HOME).context["tasks"] == []
    manager.post(claim, {"release": "1"})
    assert other.get(page).context["claim"] is None


def test_only_rows_of_a_queue_are_claimed_and_never_by_a_reader(user, staff_client_for, offer):
    cache.clear()
    live, waiting = offer(), offer(live=False, submit=True)
    staff, auditor = staff_client_for(user("INTERNAL")), staff_client_for(user("AUDITOR"))
    assert (
        "claim_url"
        not in staff.get(reverse("admin:availability_availability_change", args=[live.pk])).context
    )
    claim = reverse("admin:availability_availability_claim", args=[waiting.pk])
    assert auditor.post(claim, {"claim": "1"}).status_code == 403
    assert staff.get(claim).status_code == 403


def test_a_row_has_its_neighbours_in_the_list_from_which_it_was_opened(user, staff_client_for, offer):
    first, second, third = (offer(live=False, submit=True) for _ in range(3))
    staff = staff_client_for(user("INTERNAL_MANAGER"))
    order = list(
        staff.get(reverse("admin:availability_availability_changelist") + "?status__exact=PENDING_APPROVAL")
        .context["cl"]
        .result_list
    )
    assert set(order) == {first, second, third}
    pages = [reverse("admin:availability_availability_change", args=[row.pk]) for row in order]
    filters = {"_changelist_filters": "status__exact=PENDING_APPROVAL"}
    with CaptureQueriesContext(connection) as queries:
        shown = staff.get(pages[1], filters).context
    assert len(queries) <= 25
    assert not [each for each in queries if "COUNT(*)" in each["sql"]]
    query = f"?{urlencode(filters)}"
    assert (shown["previous"], shown["following"]) == (pages[0] + query, pages[2] + query)
    assert "previous" not in staff.get(pages[0], filters).context


def test_a_page_asks_once_for_a_value(user, staff_client_for, offer, monkeypatch):
    asked = []
    page = admin.site._registry[Availability]
    monkeypatch.setattr(page, "details", ["probe"])
    monkeypatch.setattr(page, "probe", lambda row: asked.append(row) or "text", raising=False)
    monkeypatch.setattr(page, "get_details", lambda request, row: ["probe"])
    address = reverse("admin:availability_availability_change", args=[offer().pk])
    assert "text" in staff_client_for(user("INTERNAL")).get(address).content.decode()
    assert len(asked) == 1


def test_the_portal_goes_on_without_a_cache(user, staff_client_for, offer, monkeypatch):
    waiting = offer(live=False, submit=True)
    staff = staff_client_for(user("INTERNAL"))

    def down(*args, **kwargs):
        raise RedisError

    for name in ("get", "set", "get_many", "delete"):
        monkeypatch.setattr(cached.cache, name, down, raising=False)
    staff.post(reverse("admin:availability_availability_claim", args=[waiting.pk]), {"claim": "1"})
    page = reverse("admin:availability_availability_change", args=[waiting.pk])
    assert staff.get(page).context["claim"] is None
    assert staff.get(HOME).status_code == 200


def test_a_commodity_shows_its_tariff_code_and_the_rates_that_apply(user, staff_client_for, commodity):
    with unguarded_writes():
        for code, text in (("5201", "Cotton, not carded or combed"), ("52010020", "Other than Indian")):
            HsnCode(code=code, description=text).save()
    row = commodity(hsn_code="52010020")
    tables = staff_client_for(user("INTERNAL")).get(
        reverse("admin:commodity_commodity_change", args=[row.pk])
    ).context["tables"]  # fmt: skip
    found = {table.title: table for table in tables}
    assert ("5201", "Cotton, not carded or combed") in found["HSN code"].rows
    assert "GST rates" in found
