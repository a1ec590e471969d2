"""Organizations in the staff portal: changed by the same services, and the full account number on demand."""

import pytest
from django.urls import reverse

from apps.organization.models import BankAccount, CalendarDay, FinancialYear, GstRegistration
from apps.organization.tests import factories
from erp.outbox.models import EventOutbox

pytestmark = pytest.mark.django_db
NUMBER = "50100777123454321"


@pytest.fixture
def company(organization):
    made = organization("Kapas House")
    factories.registration(made)
    factories.year(made)
    factories.series(made)
    return made


@pytest.fixture
def keeper(company, user):
    return user("INTERNAL_FINANCE", organization_id=company.pk)


@pytest.fixture
def finance(keeper, staff_client_for):
    return staff_client_for(keeper)


def page(row, *more):
    name = f"{row._meta.app_label}_{row._meta.model_name}"
    address = reverse(f"admin:{name}_change", args=[row.pk])
    return address if not more else address.replace("change/", f"run/{more[0]}/")


def test_the_page_of_a_firm_shows_its_parts(company, keeper, finance):
    factories.account(company, by=keeper, number=NUMBER)
    text = finance.get(page(company)).content.decode()
    for part in ("MU1", "4321", "TRD-", company.financial_years.get().code):
        assert part in text
    assert NUMBER not in text


def test_parts_are_added_and_changed_on_pages_by_the_services(company, finance):
    added = finance.fill(
        page(company, "add_gst_registration"),
        gstin=factories.gstin(company, entity="2"),
        line1="Fort",
        city="Mumbai",
        state_code="27",
        pin_code="400001",
        branch_code="FRT",
        valid_from="2024-04-01",
    )
    assert added.status_code == 302, added.content
    second = GstRegistration.objects.get(branch_code="FRT")
    assert not second.is_primary
    year = company.financial_years.get()
    made = finance.fill(
        page(company, "add_document_series"),
        financial_year_id=str(year.pk),
        gst_registration_id=str(second.pk),
        document_type="tax_invoice",
        template="F/{FY}/{N:5}",
    )
    assert made.status_code == 302, made.content
    assert company.document_series.filter(gst_registration=second).exists()
    refused = finance.fill(page(year), status="soft_closed")
    assert refused.status_code == 409
    assert "doesn&#x27;t allow" in refused.content.decode()
    assert FinancialYear.objects.get(pk=year.pk).status == "open"


def test_choices_contain_only_parts_of_this_organization(company, organization, finance):
    other = organization()
    factories.year(other)
    text = finance.get(page(company, "add_document_series")).content.decode()
    assert str(company.financial_years.get().pk) in text
    assert str(other.financial_years.get().pk) not in text


def test_the_full_number_is_shown_on_demand_with_an_event_each_time(
    company, keeper, finance, staff_client_for, user
):
    account = factories.account(company, by=keeper, number=NUMBER)
    assert NUMBER not in finance.get(page(account)).content.decode()
    assert NUMBER not in finance.get(page(account, "show_number")).content.decode()
    for _ in range(2):
        shown = finance.fill(page(account, "show_number"))
        assert shown.status_code == 200
        assert NUMBER in shown.content.decode()
        assert "no-store" in shown["Cache-Control"]
    lines = EventOutbox.objects.filter(event_type="organization.bank_account.number_shown")
    assert [line.payload["shown_to"] for line in lines] == [str(keeper.pk)] * 2
    assert finance.post(page(account, "show_number")).status_code == 400  # without a key nothing is executed
    manager = staff_client_for(user("INTERNAL_MANAGER", organization_id=company.pk))
    forged = manager.post(page(account, "show_number"))
    assert forged.status_code == 403
    assert lines.count() == 2
    assert NUMBER not in repr(list(EventOutbox.objects.values("payload")))


def test_an_account_is_proposed_in_the_admin(company, finance):
    answer = finance.fill(
        page(company, "add_bank_account"),
        holder="Cotton House",
        bank_name="Zeta Bank",
        number=NUMBER,
        number_again=NUMBER,
        ifsc="ZZZB0000001",
        account_type="current",
    )
    assert answer.status_code == 302, answer.content
    assert BankAccount.objects.get().status == "pending_approval"


def test_calendars_are_changed_in_the_admin(finance):
    url = reverse("admin:organization_calendar_add")
    filled = finance.fill(url, code="BANK", name="Banks", weekly_off=["6", "7"], closes_at="15:30")
    assert filled.status_code == 302, filled.content
    from apps.organization.models import Calendar

    calendar = Calendar.objects.get()
    assert calendar.weekly_off == [6, 7]
    day = finance.fill(page(calendar, "set_calendar_day"), day="2026-01-26", name="Republic Day", closed="on")
    assert day.status_code == 302, day.content
    assert CalendarDay.objects.get().closed
    assert "Republic Day" in finance.get(page(calendar)).content.decode()


def test_home_lists_an_organization_without_a_current_year(company, organization, staff_client_for, user):
    staff = staff_client_for(user())
    queues = {queue.title: queue for queue in staff.get("/admin/").context["queues"]}
    before = int(queues["Financial years to add"].waiting) if "Financial years to add" in queues else 0
    organization()
    queues = {queue.title: queue for queue in staff.get("/admin/").context["queues"]}
    queue = queues["Financial years to add"]
    assert int(queue.waiting) == before + 1
    assert len(staff.get(queue.url).context["cl"].result_list) == before + 1
