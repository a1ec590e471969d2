"""Schedules of premiums and discounts: published by two people, and only where every value has one effect."""

from copy import deepcopy
from datetime import date
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from apps.approvals import services as approvals
from apps.approvals.models import ApprovalRequest
from apps.commodities.differences import Mode, Outcome, Result, evaluate
from apps.commodities.events import schedules as events
from apps.commodities.models.pricing import PricingUnit
from apps.commodities.models.schedules import QualitySchedule, ScheduleLine, words_of
from apps.commodities.services import parameters, rules, schedules, units
from apps.commodities.tests.examples import DEMO_LINES, measured, schedule
from erp.access import SYSTEM
from erp.errors import RuleBroken, SelfApproval
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db
PATH = "/api/v1/quality-schedules"
WHY = "The exchange has changed its table."
D = Decimal


@pytest.fixture
def cotton(commodity):
    made = commodity()
    measured(made)
    return made


@pytest.fixture
def author(user):
    return user("INTERNAL_MASTERDATA")


@pytest.fixture
def manager(user):
    return user("INTERNAL_MANAGER")


@pytest.fixture
def publish(cotton, author, manager, deliver):
    """Bring a schedule all the way."""

    def bring(**fields):
        row = schedule(cotton, actor=author, **fields)
        schedules.submit_quality_schedule(row, actor=author, reason=WHY)
        asked = ApprovalRequest.objects.get(subject_id=row.pk)
        approvals.approve(asked, actor=manager, subject_version=asked.subject_version)
        deliver()
        return again(row)

    return bring


def again(row):
    return QualitySchedule.objects.get(pk=row.pk)


def changed(place, **fields):
    """The lines of the demo, one of them with other values."""
    lines = deepcopy(DEMO_LINES)
    lines[place] |= fields
    return lines


def edit(row, by, **fields):
    names = ("contract_form", "title", "mode", "source", "valid_from", "valid_to", "cap_percent")
    current = {name: getattr(row, name) for name in names}
    return schedules.edit_quality_schedule(row, actor=by, **{**current, "lines": DEMO_LINES, **fields})


def test_one_person_drafts_and_another_publishes(publish, assert_emitted):
    row = publish()
    assert (row.status, row.schedule_version, row.valid_to) == ("PUBLISHED", 1, None)
    assert_emitted(
        events.QUALITY_SCHEDULE.published,
        quality_schedule_id=str(row.pk),
        code="DEMO",
        schedule_version=1,
        valid_from="2026-01-01",
        valid_to=None,
    )


def test_author_and_editors_are_no_approvers(cotton, user):
    author, editor = user("INTERNAL_MANAGER"), user("INTERNAL_MANAGER")
    row = schedule(cotton, actor=author)
    edit(row, editor, title="Other")
    schedules.submit_quality_schedule(again(row), actor=author, reason=WHY)
    asked = ApprovalRequest.objects.get(subject_id=row.pk)
    assert "line 1" in {entry["field"] for entry in asked.diff}
    for person in (author, editor):
        with pytest.raises(SelfApproval):
            approvals.approve(asked, actor=person, subject_version=asked.subject_version)


def test_an_edit_of_a_line_after_submission_makes_the_approval_stale(cotton, author, assert_emitted):
    row = schedule(cotton, actor=author)
    schedules.submit_quality_schedule(row, actor=author, reason=WHY)
    before = again(row).version
    assert edit(again(row), author).version == before  # equal lines are no change
    edit(again(row), author, lines=changed(2, rate=D(2)))
    assert (again(row).status, again(row).version) == ("DRAFT", before + 1)
    assert ApprovalRequest.objects.get(subject_id=row.pk).status == ApprovalRequest.Status.STALE
    assert_emitted(events.QUALITY_SCHEDULE.edited, version=before + 1)


def test_a_new_version_ends_the_one_before_and_changes_nothing_of_it(publish):
    first = publish()
    lines, terms = first.lines, schedules.terms_of(first, day=date(2026, 2, 1))
    second = publish(valid_from=date(2026, 10, 1), lines=changed(2, rate=D(2)))
    assert (second.schedule_version, again(first).valid_to) == (2, date(2026, 9, 30))
    assert again(first).lines == lines
    assert schedules.terms_of(again(first), day=date(2026, 2, 1)) == terms


def test_a_published_schedule_cannot_be_edited(publish, author):
    row = publish()
    with pytest.raises(rules.IllegalTransition):
        edit(row, author, lines=changed(2, rate=D(2)))
    line = row.line_rows.first()
    for change in (
        lambda: ScheduleLine.objects.filter(pk=line.pk).update(rate=D(3)),
        lambda: ScheduleLine.objects.filter(pk=line.pk).delete(),
        lambda: ScheduleLine.objects.bulk_create(
            [ScheduleLine(schedule=row, order=9, parameter=line.parameter)]
        ),
        lambda: QualitySchedule.objects.filter(pk=row.pk).update(title="Other"),
    ):
        with pytest.raises(IntegrityError), transaction.atomic(), unguarded_writes():
            change()


def bands(*rows):
    return [
        {"from": start and D(start), "to": end and D(end), "effect": D(effect)} for start, end, effect in rows
    ]


LADDER = {
    "form": "LADDER",
    "rate": None,
    "base_low": D("3.0"),
    "steps": [{"up_to": D("0.5"), "effect": D(-1)}, {"up_to": D("1.5"), "effect": D(-2)}],
}


@pytest.mark.parametrize(
    ("lines", "code", "pointer"),
    [
        ([], "fields_contradict", "/lines"),
        (changed(0, method="HVI"), "fields_contradict", "/lines/0/method"),
        (changed(0, weight_rule=None), "fields_contradict", "/lines/0/weight_rule"),
        (changed(0, effect="PERCENT"), "fields_contradict", "/lines/0/effect"),
        (changed(0, side=None), "fields_contradict", "/lines/0/side"),
        (changed(0, base_low=D(100), weight_rule="DRY_MATTER"), "fields_contradict", "/lines/0/base_low"),
        (changed(0, side="BOTH", weight_rule="DRY_MATTER"), "fields_contradict", "/lines/0/side"),
        (changed(1, bands=[]), "fields_contradict", "/lines/1/bands"),
        (changed(1, effect="MONEY"), "fields_contradict", "/lines/1/effect"),
        (changed(1, tolerance=D(1)), "fields_contradict", "/lines/1/tolerance"),
        (changed(2, rate=None), "fields_contradict", "/lines/2/rate"),
        (changed(2, rate=D(-1)), "fields_contradict", "/lines/2/rate"),
        (changed(2, base_low=None), "fields_contradict", "/lines/2/base_low"),
        (changed(2, side="BOTH", reciprocal=True), "fields_contradict", "/lines/2/reciprocal"),
        (changed(2, line_cap=D(1)), "fields_contradict", "/lines/2/line_cap"),
        (changed(3, second_parameter="rd"), "fields_contradict", "/lines/3/second_parameter"),
        (changed(2, base_low=D(3), base_high=D(2)), "limits_inverted", "/lines/2/base_high"),
        (changed(3, reject_above=D(27)), "limits_inverted", "/lines/3/reject_above"),
        (
            changed(1, bands=bands(("73", "74", "0"), ("75", None, "0"))),
            "bands_not_contiguous",
            "/lines/1/bands",
        ),
        (
            changed(1, bands=bands(("73", "76", "0"), ("75", None, "0"))),
            "bands_not_contiguous",
            "/lines/1/bands",
        ),
        (changed(1, bands=bands(("73", "85", "0"))), "bands_not_contiguous", "/lines/1/bands"),
        (changed(1, bands=bands(("73.1", None, "0"))), "bands_not_contiguous", "/lines/1/bands"),
        (changed(1, bands=bands(("74", "73", "0"))), "bands_not_contiguous", "/lines/1/bands"),
        (changed(1, reject_below=None), "bands_not_contiguous", "/lines/1/bands"),
        (changed(1, reject_mode="BUYER_OPTION"), "bands_not_contiguous", "/lines/1/bands"),
        (changed(2, **LADDER | {"reject_above": D("4.6")}), "bands_not_contiguous", "/lines/2/steps"),
        (changed(2, **{**LADDER, "steps": LADDER["steps"][::-1]}), "bands_not_contiguous", "/lines/2/steps"),
        (
            changed(2, **LADDER | {"side": "BOTH"}),
            "bands_not_contiguous",
            "/lines/2/steps",
        ),
    ],
)
def test_an_inconsistent_schedule_is_not_published(cotton, author, lines, code, pointer):
    row = schedule(cotton, actor=author, lines=lines)
    with pytest.raises(RuleBroken) as caught:
        schedules.submit_quality_schedule(row, actor=author, reason=WHY)
    assert caught.value.code == f"commodity.{code}"
    assert pointer in [fault.pointer for fault in caught.value.errors]
    assert again(row).status == "DRAFT"


MATRIX = {
    "form": "MATRIX",
    "rate": None,
    "base_low": None,
    "side": None,
    "reject_above": None,
    "second_parameter": "tinge",
    "cells": [{"first": "2.5", "second": "light", "effect": D(-1)}],
}


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ({"first": "2.50"}, "no result 2.50"),
        ({"first": "light"}, "no result light"),
        ({"second": "dark"}, "no result dark"),
        ({}, "twice"),
    ],
)
def test_cells_name_values_that_occur_once(cotton, author, publish, cell, words):
    parameters.create_parameter(
        actor=SYSTEM,
        commodity=cotton,
        code="tinge",
        name="Tinge",
        data_type="ENUM",
        methods=["GRAVIMETRIC"],
        direction="NONE",
        choices=[{"code": code, "label": code, "rank": 1} for code in ("none", "light")],
    )
    assert publish(code="SOUND", lines=changed(2, **MATRIX)).status == "PUBLISHED"
    doubled = [*MATRIX["cells"], {**MATRIX["cells"][0], **cell}]
    row = schedule(cotton, actor=author, lines=changed(2, **{**MATRIX, "cells": doubled}))
    with pytest.raises(rules.FieldsContradict) as caught:
        schedules.submit_quality_schedule(row, actor=author, reason=WHY)
    assert words in caught.value.errors[0].detail


def test_a_ladder_that_reaches_the_limits_is_sound(publish):
    assert publish(lines=changed(2, **LADDER)).status == "PUBLISHED"


def test_a_parameter_of_another_commodity_is_refused(cotton, commodity, author):
    with pytest.raises(rules.FieldsContradict) as caught:
        schedule(commodity(), actor=author)
    assert {fault.code for fault in caught.value.errors} == {"does_not_exist"}
    row = schedule(cotton, actor=author)
    foreign = commodity()
    measured(foreign)
    with unguarded_writes():
        row.line_rows.update(parameter=foreign.quality_parameters.get(code="trash"))
    with pytest.raises(rules.OtherCommodity):
        schedules.submit_quality_schedule(row, actor=author, reason=WHY)


def test_an_order_comes_once(cotton, author):
    with pytest.raises(rules.FieldsContradict) as caught:
        schedule(cotton, actor=author, lines=changed(1, order=1))
    assert [fault.pointer for fault in caught.value.errors] == ["/lines/1/order"]


def test_points_are_of_cents(cotton, author):
    unit = units.create_unit(actor=SYSTEM, code="LB", dimension="MASS", symbol="lb", name="Pound")
    rupees, cents = (
        PricingUnit(code=code, currency=currency, divisor=divisor, unit=unit, places=2)
        for code, currency, divisor in (("INR/LB", "INR", 1), ("USC/LB", "USD", 100))
    )
    with unguarded_writes():
        rupees.save()
        cents.save()
    points = changed(1, effect="POINTS")
    row = schedule(cotton, actor=author, lines=points, pricing_unit=rupees)
    with pytest.raises(rules.FieldsContradict):
        schedules.submit_quality_schedule(row, actor=author, reason=WHY)
    sound = schedule(cotton, code="CENTS", actor=author, lines=points, pricing_unit=cents)
    schedules.submit_quality_schedule(sound, actor=author, reason=WHY)


def test_a_stored_schedule_prices_as_it_is_written(publish):
    terms = schedules.terms_of(publish(cap_percent=D(50)), day=date(2026, 2, 1))
    assert (terms.mode, terms.cap_percent) == (Mode.ADDITIVE, 50)
    lot = {"moisture": "8.9", "rd": "75.1", "trash": "3.8", "staple_length": "29.2"}
    results = [Result(line.parameter, line.method, D(lot[line.parameter])) for line in terms.lines]
    done = evaluate(terms, results, rate=D(53500), net_weight=D("16938.500"))
    assert (done.outcome, done.adjusted_rate, done.accounted_weight) == (
        Outcome.ACCEPTED,
        D("52269.500000"),
        D("16870.746"),
    )


def test_partners_read_what_was_published_and_its_lines(publish, cotton, user, client_for):
    row = publish()
    draft = schedule(cotton, code="NEXT")
    buyer = client_for(user("BUYER"))
    for path in (PATH, f"/api/v1/commodities/{cotton.pk}/quality-schedules"):
        assert [found["id"] for found in buyer.read(path).json()["results"]] == [str(row.pk)]
    shown = buyer.read(f"{PATH}/{row.pk}").json()
    assert [line["parameter"] for line in shown["lines"]] == ["moisture", "rd", "trash", "staple_length"]
    assert shown["lines"][1]["bands"][1] == {"from": "75.500000", "to": None, "effect": "0.000000"}
    assert buyer.read(f"{PATH}/{draft.pk}").status_code == 404
    assert [found["id"] for found in buyer.read(f"{PATH}?on_date=2025-12-31").json()["results"]] == []
    assert len(client_for(user("INTERNAL")).read(PATH).json()["results"]) == 2


def test_staff_draft_edit_and_submit_on_pages(cotton, author, staff_client_for):
    staff = staff_client_for(author)
    typed = {
        "commodity": str(cotton.pk),
        "code": "PAGE",
        "contract_form": "CAI",
        "title": "On a page",
        "mode": "ADDITIVE",
        "lines.0.order": "1",
        "lines.0.parameter": "staple_length",
        "lines.0.method": "CLASSER",
        "lines.0.form": "NO_LIMIT",
        "source": "By-law 52",
        "valid_from": "2026-01-01",
    }
    answer = staff.fill("/admin/commodity/qualityschedule/add/", **typed)
    assert answer.status_code == 302, answer.content.decode()
    row = QualitySchedule.objects.get(code="PAGE")
    page = f"/admin/commodity/qualityschedule/{row.pk}/change/"
    assert "staple_length" in staff.get(page).content.decode()
    assert staff.fill(page).status_code == 302  # the lines shown on the page, unchanged
    assert again(row).version == row.version
    assert staff.fill(page, title="Another").status_code == 302
    assert again(row).title == "Another"


def test_a_line_is_described_in_words():
    bands = [{"to": "74", "from": "73", "effect": "-3.5"}, {"to": None, "from": "77.1", "effect": "1"}]
    text = words_of({"effect": "PERCENT", "bands": bands})
    assert text == "effect PERCENT, bands from 73 to 74 effect -3.5; from 77.1 effect 1"
