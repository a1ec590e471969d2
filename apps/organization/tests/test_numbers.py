"""Document numbers: gapless under concurrency, unique, and allocated only in a writable year."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest
from django.db import DatabaseError, connection, transaction

from apps.organization import events
from apps.organization.models import (
    AllocatedNumber,
    DocumentSeries,
    FinancialYear,
    NumberFormat,
)
from apps.organization.services import rules, years
from apps.organization.services import series as series_services
from apps.organization.tests import factories
from erp import clock
from erp.access import SYSTEM
from erp.errors import CapabilityMissing, NotFound
from erp.models import unguarded_writes
from erp.outbox.models import EventOutbox
from erp.services import TransactionMissing

pytestmark = pytest.mark.django_db
TODAY = clock.today()


@pytest.fixture
def company(organization):
    """An organization with a registration, the current year and a series of trades."""
    made = organization()
    factories.registration(made)
    factories.year(made)
    factories.series(made)
    return made


def in_threads(count, work):
    """Run ``work(n)`` in ``count`` threads at once, each with its own connection; return the results."""
    gate = threading.Barrier(count)

    def run(n):
        try:
            gate.wait(30)
            return work(n)
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
def test_a_hundred_concurrent_callers_get_consecutive_numbers_from_one(company):
    numbers = in_threads(100, lambda n: factories.number(company).number)
    assert sorted(numbers) == list(range(1, 101))
    series = company.document_series.get()
    assert series.last_number == 100
    rows = EventOutbox.objects.filter(
        event_type="document_number.allocated", aggregate_id=series.pk
    ).order_by("sequence")
    assert [event.payload["number"] for event in rows] == list(range(1, 101))
    assert list(DocumentSeries.objects.with_gaps()) == []


@pytest.mark.django_db(transaction=True)
def test_callers_that_roll_back_leave_no_gap(company):
    class Changed(Exception):
        pass

    def take(n):
        try:
            with transaction.atomic():
                number = factories.number(company).number
                if n % 2:
                    raise Changed
        except Changed:
            return None
        return number

    numbers = [number for number in in_threads(40, take) if number is not None]
    assert sorted(numbers) == list(range(1, 21))
    assert company.document_series.get().last_number == 20
    assert EventOutbox.objects.filter(event_type="document_number.allocated").count() == 20
    assert list(DocumentSeries.objects.with_gaps()) == []


@pytest.mark.django_db(transaction=True)
def test_two_callers_with_one_document_get_one_number(company):
    reference = uuid4()
    numbers = in_threads(12, lambda n: factories.number(company, reference_id=reference))
    assert {number.pk for number in numbers} == {AllocatedNumber.objects.get().pk}
    assert sum(not number.already_allocated for number in numbers) == 1
    assert EventOutbox.objects.filter(event_type="document_number.allocated").count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_callers_with_one_document_get_one_number_even_with_different_registrations(company):
    """Their registrations have different series: still one number."""
    places = [company.gst_registrations.get(), factories.registration(company, "2")]
    for n, place in enumerate(places):
        factories.series(company, "delivery_challan", gst_registration=place, template=f"C{n}/{{FY}}/{{N:3}}")
    reference = uuid4()
    numbers = in_threads(
        8,
        lambda n: factories.number(
            company, "delivery_challan", reference_id=reference, gst_registration=places[n % 2]
        ),
    )
    assert {number.pk for number in numbers} == {AllocatedNumber.objects.get().pk}


def test_the_first_number_is_the_start_and_the_next_ones_follow(company):
    challans = factories.series(
        company,
        "delivery_challan",
        gst_registration=company.gst_registrations.get(),
        template="CH/{FY}/{N:3}",
        start_number=5,
    )
    registration = company.gst_registrations.get()
    numbers = [factories.number(company, "delivery_challan", gst_registration=registration) for _ in range(2)]
    code = company.financial_years.get().code
    assert [number.document_number for number in numbers] == [f"CH/{code}/005", f"CH/{code}/006"]
    challans.refresh_from_db()
    assert (challans.last_number, challans.version) == (6, 1)
    assert factories.number(company).document_number == f"TRD-{code}-000001"


def test_a_number_grows_beyond_its_width_up_to_the_legal_limit_of_sixteen_characters(company):
    registration = company.gst_registrations.get()
    series = factories.series(
        company, "tax_invoice", gst_registration=registration, prefix="MUM", template="{PREFIX}/{FY}/{N:5}"
    )

    def at(last):
        with unguarded_writes():
            DocumentSeries.objects.filter(pk=series.pk).update(last_number=last)
        return factories.number(company, "tax_invoice", gst_registration=registration)

    code = company.financial_years.get().code
    assert at(0).document_number == f"MUM/{code}/00001"
    assert at(99_999).document_number == f"MUM/{code}/100000"
    assert at(9_999_998).document_number == f"MUM/{code}/9999999"
    with pytest.raises(series_services.SeriesExhausted):
        at(9_999_999)
    series.refresh_from_db()
    assert (series.last_number, AllocatedNumber.objects.count()) == (9_999_999, 3)


def test_a_number_is_allocated_in_the_callers_transaction_or_not_at_all(company, monkeypatch):
    with pytest.raises(TransactionMissing):
        series_services.allocate_number(
            company,
            actor=SYSTEM,
            type="trade",
            document_date=TODAY,
            reference_type="paper",
            reference_id=uuid4(),
        )
    assert not AllocatedNumber.objects.exists()


def test_an_allocated_number_can_be_neither_changed_nor_deleted(company):
    allocation = factories.number(company)
    for statement in (
        "UPDATE organization_allocatednumber SET number = 7 WHERE id = %s",
        "DELETE FROM organization_allocatednumber WHERE id = %s",
    ):
        with pytest.raises(DatabaseError, match="stays as it is"), transaction.atomic():
            connection.cursor().execute(statement, [allocation.pk])
    assert AllocatedNumber.objects.get().number == 1


def test_a_gap_is_found(company):
    factories.number(company)
    assert list(DocumentSeries.objects.with_gaps()) == []
    with unguarded_writes():
        DocumentSeries.objects.update(last_number=3)
    assert list(DocumentSeries.objects.with_gaps()) == [company.document_series.get()]


def test_the_last_second_of_march_and_the_first_of_april_fall_into_two_years(organization):
    company = organization()
    factories.year(company, date(2024, 4, 1))
    factories.series(company)
    factories.year(company, date(2025, 4, 1))
    before = factories.number(
        company, document_date=clock.today(datetime(2025, 3, 31, 18, 29, 59, tzinfo=UTC))
    )
    after = factories.number(company, document_date=clock.today(datetime(2025, 3, 31, 18, 30, tzinfo=UTC)))
    assert (before.document_number, after.document_number) == ("TRD-2425-000001", "TRD-2526-000001")


def test_a_date_after_today_is_refused(company):
    with pytest.raises(series_services.DateInFuture):
        factories.number(company, document_date=TODAY + timedelta(days=1))
    assert factories.number(company, document_date=TODAY).number == 1


def test_only_a_series_without_date_order_accepts_an_earlier_date(company):
    registration = company.gst_registrations.get()
    factories.series(company, "tax_invoice", gst_registration=registration, template="I/{FY}/{N:5}")
    start = company.financial_years.get().start_date
    for kind, ordered in (("tax_invoice", True), ("trade", False)):
        options = {"gst_registration": registration} if ordered else {}
        factories.number(company, kind, document_date=TODAY, **options)
        factories.number(company, kind, document_date=TODAY, **options)
        if start == TODAY:
            continue
        if ordered:
            with pytest.raises(series_services.DateOutOfOrder):
                factories.number(company, kind, document_date=start, **options)
        else:
            assert factories.number(company, kind, document_date=start).number == 3


def test_no_number_is_allocated_without_a_financial_year(company):
    with pytest.raises(rules.FinancialYearMissing):
        factories.number(company, document_date=date(2001, 1, 1))


def moved(year, status):
    with unguarded_writes():
        FinancialYear.objects.filter(pk=year.pk).update(status=status)


def test_a_soft_closed_year_accepts_postings_of_users_who_manage_years(company, user):
    moved(company.financial_years.get(), "soft_closed")
    finance = user("INTERNAL_FINANCE", organization_id=company.pk)
    for actor in (SYSTEM, user("INTERNAL_MANAGER", organization_id=company.pk)):
        with pytest.raises((rules.FinancialYearSoftClosed, CapabilityMissing)):
            factories.number(company, actor=actor)
    assert factories.number(company, actor=finance).number == 1


def test_a_locked_year_accepts_no_postings(company, user):
    moved(company.financial_years.get(), "locked")
    for actor in (SYSTEM, user(), user("INTERNAL_FINANCE", organization_id=company.pk)):
        with pytest.raises(rules.FinancialYearLocked):
            factories.number(company, actor=actor)
    assert not company.financial_years.get().writable_by(user(), TODAY)


def test_other_modules_can_check_whether_a_year_is_writable(company, user):
    year = company.financial_years.get()
    assert year.writable_by(SYSTEM, TODAY)
    assert not year.writable_by(SYSTEM, year.end_date + timedelta(days=1))
    moved(year, "soft_closed")
    year.refresh_from_db()
    assert year.writable_by(user("INTERNAL_FINANCE"), TODAY)
    assert not year.writable_by(SYSTEM, TODAY)
    assert not year.writable_by(user("INTERNAL"), TODAY)


@pytest.mark.django_db(transaction=True)
def test_allocating_a_number_and_locking_its_year_wait_for_each_other(organization):
    """Locking waits for an allocation in progress; an allocation sees a lock that came first."""
    company = organization()
    year = factories.year(company, date(2024, 4, 1))
    factories.series(company)
    year = years.update_financial_year(
        year, actor=SYSTEM, start_date=year.start_date, end_date=year.end_date, status="soft_closed"
    )
    taken, waited = threading.Event(), []

    def lock():
        taken.wait(30)
        try:
            years.update_financial_year(
                year, actor=SYSTEM, start_date=year.start_date, end_date=year.end_date, status="locked"
            )
            waited.append(AllocatedNumber.objects.count())
        finally:
            connection.close()

    thread = threading.Thread(target=lock)
    thread.start()
    from apps.accounts.models import User  # a person, since SYSTEM doesn't write in a soft-closed year
    from config.testing import active_user

    keeper = User.objects.filter(is_superuser=True).first() or active_user(
        user_type="SUPER_ADMIN", is_superuser=True
    )
    with transaction.atomic():
        factories.number(company, actor=keeper, document_date=date(2025, 3, 31))
        taken.set()
        thread.join(0.5)
        assert thread.is_alive()  # it waits for the series
    thread.join(30)
    assert waited == [1]
    assert company.document_series.get().status == "closed"
    with pytest.raises(rules.FinancialYearLocked):
        factories.number(company, actor=keeper, document_date=date(2025, 3, 31))


def test_gst_documents_need_a_registration_and_others_must_not_have_one(company, organization):
    registration = company.gst_registrations.get()
    with pytest.raises(series_services.GstRegistrationRequired):
        factories.number(company, "tax_invoice")
    with pytest.raises(series_services.GstRegistrationNotAllowed):
        factories.number(company, "trade", gst_registration=registration)
    with pytest.raises(series_services.SeriesMissing):
        factories.number(company, "tax_invoice", gst_registration=registration)
    with pytest.raises(NotFound):
        factories.number(company, "poem")


def test_a_suspended_registration_allocates_no_numbers(company):
    second = factories.registration(company, "2")
    factories.series(company, "tax_invoice", gst_registration=second, template="B/{FY}/{N:5}")
    with unguarded_writes():
        type(second).objects.filter(pk=second.pk).update(status="suspended")
    second.refresh_from_db()
    with pytest.raises(series_services.GstRegistrationNotActive):
        factories.number(company, "tax_invoice", gst_registration=second)


@pytest.mark.parametrize(
    "template",
    [
        "{N:5}{N:5}",
        "{FY}{N:5}{N:5}",
        "{X}{FY}{N:5}",
        "{FY}/{n:5}",
        "{fy}/{N:5}",
        "abc/{FY}/{N:5}",
        "{FY}/{N:2}",
        "{FY}/{N:10}",
        "{N:5}/{FY}",
        "{FY}/{FY}/{N:5}",
        "{FY}",
        "{N:5}",
        "{FY}{{N:5}}",
        "{BRANCH}{FY}{N:5}",
        "A_{FY}{N:5}",
        "{FY}/{N:5}\n",
    ],
)
def test_an_invalid_template_is_refused(company, template):
    with pytest.raises(series_services.TemplateInvalid) as caught:
        factories.series(company, "claim", template=template)
    assert {fault.pointer for fault in caught.value.errors} == {"/template"}


@pytest.mark.parametrize(
    ("kind", "template", "problem"),
    [
        ("tax_invoice", "INVOICE/{FY}/{N:3}", None),
        ("tax_invoice", "INVOICE/{FY}/{N:4}", series_services.NumberTooLong),
        ("tax_invoice", "/{FY}/{N:5}", series_services.TemplateInvalid),
        ("tax_invoice", "-{FY}{N:5}", series_services.TemplateInvalid),
        ("tax_invoice", "0{FY}{N:5}", series_services.TemplateInvalid),
        ("claim", "CLAIMS/HOUSE/{FY}{N:3}", None),
        ("claim", "CLAIMS/HOUSES/{FY}{N:3}", series_services.NumberTooLong),
    ],
)
def test_the_longest_number_must_be_within_the_legal_limit(company, kind, template, problem):
    options = {"gst_registration": company.gst_registrations.get()} if kind == "tax_invoice" else {}
    if problem is None:
        assert factories.series(company, kind, template=template, **options).pk
    else:
        with pytest.raises(problem):
            factories.series(company, kind, template=template, **options)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (NumberFormat("A/", 5), NumberFormat("A/", 5), True),
        (NumberFormat("A/", 5), NumberFormat("A/", 3), True),
        (NumberFormat("A/", 5), NumberFormat("A/1", 5), True),
        (NumberFormat("A/0", 4), NumberFormat("A/", 5), True),
        (NumberFormat("A/", 5), NumberFormat("A/X", 5), False),
        (NumberFormat("A/", 5), NumberFormat("B/", 5), False),
        (NumberFormat("", 5), NumberFormat("2627", 5), True),
    ],
)
def test_two_formats_that_can_print_the_same_text_overlap(one, other, same):
    assert one.overlaps(other) is same
    assert other.overlaps(one) is same


def test_no_two_series_can_print_the_same_number_not_even_a_closed_one_and_its_successor(company):
    registration = company.gst_registrations.get()
    options = {"gst_registration": registration}
    first = factories.series(company, "tax_invoice", template="A/{FY}/{N:5}", **options)
    with pytest.raises(series_services.SeriesExists):
        factories.series(company, "tax_invoice", template="B/{FY}/{N:5}", **options)
    for template in ("A/{FY}/{N:5}", "A/{FY}/{N:3}", "A/{FY}/9{N:3}"):
        with pytest.raises(series_services.SeriesCollides):
            factories.series(company, "credit_note", template=template, **options)
    factories.number(company, "tax_invoice", **options)
    series_services.update_document_series(
        first,
        actor=SYSTEM,
        template="A/{FY}/{N:5}",
        start_number=1,
        date_ordered=True,
        status="closed",
    )
    with pytest.raises(series_services.SeriesMissing):
        factories.number(company, "tax_invoice", **options)
    with pytest.raises(series_services.SeriesCollides):
        factories.series(company, "tax_invoice", template="A/{FY}/{N:5}", **options)
    factories.series(company, "tax_invoice", template="B/{FY}/{N:5}", **options)
    factories.number(company, "tax_invoice", **options)
    texts = AllocatedNumber.objects.values_list("document_number", flat=True)
    assert len(set(texts)) == len(texts) == 2


def test_the_definition_of_a_series_in_use_cannot_change(company):
    series = company.document_series.get()
    fields = {"template": "X-{FY}-{N:6}", "start_number": 1, "date_ordered": False, "status": "active"}
    series = series_services.update_document_series(series, actor=SYSTEM, **fields)
    allocation = factories.number(company)
    assert allocation.document_number.startswith("X-")
    with pytest.raises(series_services.SeriesInUse):
        series_services.update_document_series(series, actor=SYSTEM, **{**fields, "start_number": 9})
    ordered = series_services.update_document_series(series, actor=SYSTEM, **{**fields, "date_ordered": True})
    closed = series_services.update_document_series(
        ordered, actor=SYSTEM, **{**fields, "date_ordered": True, "status": "closed"}
    )
    assert closed.version == series.version + 2
    with pytest.raises(rules.InvalidState) as caught:
        series_services.update_document_series(closed, actor=SYSTEM, **fields)
    assert caught.value.members == {"status_now": "closed", "allowed": []}


def test_the_event_of_a_number_contains_only_ids(company, assert_emitted):
    allocation = factories.number(company)
    row = assert_emitted(
        events.DocumentNumberAllocated,
        number=1,
        document_number=allocation.document_number,
        organization_id=str(company.pk),
        reference_id=str(allocation.reference_id),
    )
    assert (row.aggregate_type, row.aggregate_id) == ("document_series", allocation.series_id)
