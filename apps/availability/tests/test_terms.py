"""What an offer says: lots, quality, price and places; edits, approval against the approved terms, and firmness."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.approvals.models import ApprovalRequest
from apps.availability import tasks
from apps.availability.models import Availability, Lot
from apps.availability.services import decisions, offers, rules, stock
from apps.availability.services.offers import REPORT_PURPOSE
from apps.availability.services.warnings import warnings_of
from apps.availability.tests import factories
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.parameters import QualityParameter
from apps.commodities.models.pricing import PricingUnit
from apps.locations.services import tree
from apps.partners.models import Partner
from erp import clock
from erp.access import SYSTEM
from erp.errors import PreconditionFailed, SelfApproval
from erp.files import PDF, Upload
from erp.models import unguarded_writes
from erp.uploads import services as uploads

pytestmark = pytest.mark.django_db
OFFERS = "/api/v1/availabilities"
LOT = {"lot_no": "SSG-27", "press_mark": "ssg ", "pr_from": 1201, "pr_to": 1300, "bales": 100}
QUALITY = {
    "staple_length": "29.2",
    "micronaire": "3.9",
    "strength": "28.6",
    "trash": "3.2",
    "moisture": "8.4",
}


def pointers(caught):
    return [(fault.pointer, fault.code) for fault in caught.value.errors]


def parameter(commodity, code, **fields):
    numbers = {"unit": "%", "precision": 1} if fields.get("data_type", "DECIMAL") == "DECIMAL" else {}
    values = {
        "data_type": "DECIMAL",
        "methods": ["HVI"],
        "default_method": "HVI",
        "direction": "NONE",
        **numbers,
        **fields,
    }
    with unguarded_writes():
        row = QualityParameter(commodity=commodity, code=code, name=code, name_key=code, **values)
        row.save()
    return row


@pytest.fixture
def cotton(commodity):
    """Cotton with the parameters of the trade."""
    goods = commodity(season_start_month=10)
    limits = {"possible_min": 18, "possible_max": 42}
    parameter(
        goods,
        "staple_length",
        methods=["UHML_HVI", "SL25_HVI"],
        default_method="UHML_HVI",
        is_mandatory=True,
        **limits,
    )
    parameter(goods, "micronaire", precision=2, is_mandatory=True, possible_min=2, possible_max=7)
    parameter(goods, "strength", is_mandatory=True)
    parameter(goods, "trash", is_mandatory=True)
    parameter(goods, "moisture", is_mandatory=True)
    parameter(
        goods, "colour_grade", data_type="ENUM",
        choices=[{"code": code, "label": code, "rank": rank} for rank, code in enumerate(("31-3", "41-1"), 1)],
    )  # fmt: skip
    return goods


@pytest.fixture
def posted(offer, cotton, user):
    """An offer of cotton as in the journey, of one seller."""
    seller = user("SELLER")

    def make(**fields):
        quality = [{"parameter": code, "value": value} for code, value in QUALITY.items()]
        return offer(
            **{"seller": seller, "commodity": cotton, "crop_year": "2025-26", "quality": quality, **fields}
        )

    make.seller = seller
    return make


def edit(offer, seller, **fields):
    quality = [{"parameter": code, "value": value} for code, value in QUALITY.items()]
    content = factories.content(**{"crop_year": "2025-26", "quality": quality, **fields})
    return offers.update(Availability.objects.get(pk=offer.pk), actor=seller, content=content)


def test_the_offer_of_the_journey_has_its_value_and_is_approved_by_version(posted, user, client_for):
    """Lot SSG-27, PR 1201–1300, 100 bales posted with submit: value 2,557,505.20; approved with version 1, once."""
    pending = posted(live=False, submit=True, lots=[LOT])
    assert (pending.status, pending.version, pending.estimated_value) == (
        "PENDING_APPROVAL", 1, Decimal("2557505.20"),
    )  # fmt: skip
    assert pending.price_per_kg == Decimal("150.44148248")
    manager = user("INTERNAL_MANAGER")
    assert decisions.approve(pending, actor=manager, if_version=1).status == "ACTIVE"
    with pytest.raises(PreconditionFailed):
        decisions.approve(pending, actor=manager, if_version=1)


def test_a_new_definition_of_the_candy_never_changes_an_offer(posted, user):
    live = posted()
    with unguarded_writes():
        candy = PricingUnit.objects.get(code="INR/CANDY").unit
        candy.definitions.update(valid_to=clock.today() - timedelta(days=1))
        from apps.commodities.models.units import UnitDefinition

        UnitDefinition(
            unit=candy, unit_version=2, numerator=8889, denominator=25, source="Exchange", status="PUBLISHED",
            valid_from=clock.today(),
        ).save()  # fmt: skip
    same = edit(live, posted.seller, notes="Ask first.")
    assert (same.pricing_unit_version, same.estimated_value) == (1, Decimal("2557505.20"))


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([{"parameter": "colour", "value": "1"}], ("/quality/0/parameter", "unknown_parameter")),
        ([{"parameter": "staple_length", "value": "17.9"}], ("/quality/0/value", "out_of_limits")),
        ([{"parameter": "staple_length", "value": "29.25"}], ("/quality/0/value", "too_precise")),
        ([{"parameter": "staple_length", "value": "29", "method": "CLASSER"}],
         ("/quality/0/method", "method_not_allowed")),
        ([{"parameter": "colour_grade", "value": "99-9"}], ("/quality/0/value", "not_a_choice")),
        ([{"parameter": "strength", "value": "NaN"}], ("/quality/0/value", "not_a_number")),
        ([{"parameter": "strength", "value": "1"}, {"parameter": "strength", "value": "2"}],
         ("/quality/1/parameter", "duplicate")),
        ([{"parameter": "strength", "value": "1", "lot_no": "X"}], ("/quality/0/lot_no", "unknown_lot")),
    ],
)  # fmt: skip
def test_a_wrong_quality_value_is_refused_with_its_place(posted, rows, fault):
    """Unknown parameter, value outside limits, method of another parameter: 422 with pointers."""
    with pytest.raises(rules.QualityInvalid) as caught:
        posted(live=False, quality=rows)
    assert pointers(caught) == [fault]


def test_a_colour_grade_is_stored_as_its_code(posted):
    draft = posted(live=False, quality=[{"parameter": "colour_grade", "value": "31-3"}])
    assert [(v.shown, v.value_number) for v in draft.quality.all()] == [("31-3", None)]


def test_of_several_results_the_chosen_then_the_best_proved_one_governs(posted):
    draft = posted(live=False)
    with unguarded_writes():
        declared = draft.quality.get(parameter__code="micronaire")
    report = add_report(draft, posted.seller, "4.2", governing=False)
    governing = draft.quality.get(parameter__code="micronaire", governing=True)
    assert (governing.test_report, governing.shown) == (report, "4.2"), (
        "a laboratory goes before a declaration"
    )
    decisions.verify_test_report(report, actor=SYSTEM)
    other = add_report(draft, posted.seller, "4.3", number="R-2", governing=False)
    assert draft.quality.get(parameter__code="micronaire", governing=True).test_report == report, (
        "verified goes first"
    )
    add_report(draft, posted.seller, "4.4", number="R-3", governing=True)
    assert draft.quality.get(parameter__code="micronaire", governing=True).shown == "4.4"
    assert other.pk != report.pk
    assert draft.quality.filter(pk=declared.pk, governing=False).exists()


def add_report(offer, seller, micronaire, number="R-1", **fields):
    file = uploads.create(
        actor=seller, file=Upload("r.pdf", PDF, f"%PDF-1.4 {number}".encode()), purpose=REPORT_PURPOSE
    )
    return offers.add_test_report(
        offer, actor=seller, upload=file, lab_name="Rajkot Laboratory", report_no=number, sample_no="S-1", method="HVI",
        tested_date=clock.today(), values=[{"parameter": "micronaire", "value": micronaire}], **fields,
    )  # fmt: skip


def test_a_report_beyond_the_tolerance_sends_the_offer_back_and_comes_once(posted, emitted):
    live = posted()
    add_report(live, posted.seller, "4.0")
    assert Availability.objects.get(pk=live.pk).status == "ACTIVE", "within 0.15"
    add_report(live, posted.seller, "4.6", number="R-2")
    assert Availability.objects.get(pk=live.pk).status == "PENDING_APPROVAL"
    assert emitted("availability.submitted")[-1].payload["thresholds"] == ["quality"]
    with pytest.raises(rules.DatesInvalid):
        offers.add_test_report(
            live, actor=posted.seller, upload=live.test_reports.first().file, lab_name="L", report_no="R",
            sample_no="S",
            method="HVI", tested_date=clock.today() + timedelta(days=1), values=[],
        )  # fmt: skip


def test_passing_terms_with_a_test_need_a_report_at_approval(posted, user):
    with unguarded_writes():
        term = factories.terms()["passing_term"]
        term.requires_quality_test = True
        term.save()
    pending = posted(live=False, submit=True)
    with pytest.raises(rules.TestReportMissing):
        decisions.approve(pending, actor=user("INTERNAL_MANAGER"))
    report = add_report(pending, posted.seller, "3.9")
    decisions.approve(pending, actor=user("INTERNAL_MANAGER"), verified_report_ids=[report.pk])
    report.refresh_from_db()
    assert report.verified_at is not None


@pytest.mark.parametrize(
    ("lot", "fault"),
    [
        ({"pr_to": None}, ("/lots/0/pr_to", "incomplete")),
        ({"pr_to": 1200}, ("/lots/0/pr_to", "before_from")),
        ({"bales": 101}, ("/lots/0/bales", "beyond_range")),
        ({"press_mark": ""}, ("/lots/0/press_mark", "required")),
        (
            {"gross_kg": Decimal(10), "tare_kg": Decimal(1), "net_kg": Decimal(8)},
            ("/lots/0/net_kg", "contradicts"),
        ),
    ],
)
def test_a_wrong_lot_is_refused_with_its_place(posted, lot, fault):
    with pytest.raises(rules.LotsMismatch) as caught:
        posted(live=False, lots=[{**LOT, **lot}])
    assert pointers(caught) == [fault]


def test_lots_add_up_to_the_quantity_and_the_weight(posted):
    with pytest.raises(rules.LotsMismatch):
        posted(live=False, submit=True, lots=[{**LOT, "bales": 99}])
    weighed = {"weight_basis": "WEIGHED", "lots": [{**LOT, "net_kg": Decimal("16999.999")}]}
    with pytest.raises(rules.LotsMismatch):
        posted(live=False, submit=True, **weighed)
    weighed["lots"][0]["net_kg"] = Decimal(17000)
    assert posted(live=False, submit=True, **weighed).lots.get().press_mark == "SSG"


def test_a_range_of_numbers_is_offered_once_by_a_seller_and_free_after_cancelling(posted, offer, cotton):
    """One PR range in two live offers of a seller is refused, and free after cancel; another seller gets a warning."""
    first = posted(live=False, submit=True, lots=[LOT])
    again = posted(live=False, lots=[{**LOT, "pr_from": 1300, "pr_to": 1400}])
    other = offer(
        live=False, submit=True, commodity=cotton, crop_year="2025-26", lots=[LOT],
        quality=[{"parameter": code, "value": value} for code, value in QUALITY.items()],
    )  # fmt: skip
    assert Availability.objects.get(pk=other.pk).warnings == ["lot_offered_elsewhere"]
    offers.cancel(first, actor=posted.seller, reason_code="MISTAKE")
    assert offers.submit(again, actor=posted.seller).status == "PENDING_APPROVAL"


@pytest.mark.django_db(transaction=True)
def test_two_threads_cannot_offer_one_range_of_numbers(posted):
    drafts = [posted(live=False, lots=[LOT]) for _ in range(2)]

    def submit(draft):
        try:
            return offers.submit(draft, actor=posted.seller).status
        except rules.LotAlreadyOffered:
            return "offered"
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(submit, drafts)) == ["PENDING_APPROVAL", "offered"]
    assert Lot.objects.filter(is_live=True).count() == 1


def test_lots_stay_taken_until_the_sale_is_closed(posted, partner):
    live = posted(lots=[LOT])
    held = stock.reserve(live, actor=SYSTEM, holder_partner=partner(), quantity=Decimal(100))
    trade = live.pk
    stock.commit(live, actor=SYSTEM, reservation_id=held.pk, trade_id=trade, unit_price=Decimal(1))
    stock.mark_sold(live, actor=SYSTEM, reservation_id=held.pk, trade_id=trade)
    assert live.lots.get().is_live
    stock.close_sale(live, actor=SYSTEM, reservation_id=held.pk, trade_id=trade)
    assert not live.lots.get().is_live


def test_two_equal_parcels_without_numbers_both_stand_with_a_warning(posted):
    first, second = posted(), posted()
    assert [Availability.objects.get(pk=row.pk).warnings for row in (first, second)] == [[], ["look_alike"]]


def test_what_is_missing_at_submission_is_named_place_by_place(offer, cotton):
    with pytest.raises(rules.Incomplete) as caught:
        offer(live=False, submit=True, commodity=cotton, unit_price=None, payment_term=None)
    assert {pointer for pointer, _ in pointers(caught)} == {
        "/crop_year", "/unit_price", "/payment_term_id", "/quality/staple_length", "/quality/micronaire",
        "/quality/strength", "/quality/trash", "/quality/moisture",
    }  # fmt: skip


def test_a_region_name_makes_nobody_an_exporter_and_export_needs_the_permission(posted, partner):
    """FOB without the export permission: the seller isn't eligible; the country is the place's code."""
    draft = posted(live=False, place={"address": "Gondal", "country": "IN", "state_code": "Gujarat"})
    assert (draft.country, draft.state_code) == ("IN", "24")
    term = factories.terms()["delivery_term"]
    with unguarded_writes():
        type(term).objects.filter(pk=term.pk).update(basis="FOB")
    term.refresh_from_db()
    with pytest.raises(rules.SellerNotEligible) as caught:
        posted(live=False, submit=True, delivery_term=term)
    assert caught.value.members["reasons"] == ["permission_missing"]
    with pytest.raises(rules.PlaceInvalid):
        posted(live=False, place={"address": "Gondal", "country": "IN", "state_code": "Atlantis"})


def test_a_price_and_its_steps_are_checked(posted):
    with pytest.raises(rules.StepsInvalid) as caught:
        posted(live=False, price_steps=[{"min_quantity": Decimal(50), "unit_price": Decimal(1)}] * 2)
    assert pointers(caught) == [("/price_steps/1/min_quantity", "not_rising")]
    with pytest.raises(rules.PriceInvalid) as caught:
        posted(live=False, price_basis="CIF")
    assert pointers(caught) == [("/price_basis", "contradicts")]
    with pytest.raises(rules.PriceInvalid) as caught:
        posted(live=False, price_type="ON_CALL", price_terms={"exchange": "ICE", "days": 3})
    assert ("/price_terms/days", "not_allowed") in pointers(caught)
    stepped = posted(live=False, price_steps=[{"min_quantity": Decimal(100), "unit_price": Decimal(53000)}])
    assert stepped.estimated_value == Decimal("2533603.28")
    assert (stepped.price_for(Decimal(99)), stepped.price_for(Decimal(100))) == (53500, 53000)


# Edits


def test_small_steps_of_the_price_cannot_creep_past_the_threshold(posted, user, emitted):
    """Price up by 1 % of the approved price each time: the sixth needs approval."""
    live = posted()
    for step in range(1, 7):
        with unguarded_writes():
            Availability.objects.filter(pk=live.pk).update(price_changes=0)
        row = edit(live, posted.seller, unit_price=Decimal(53500 + 535 * step))
        assert row.status == ("ACTIVE" if step < 6 else "PENDING_APPROVAL"), step
    assert emitted("availability.submitted")[-1].payload["cause"] == "reapproval"
    assert len(emitted("availability.price_changed")) == 6
    manager = user("INTERNAL_MANAGER")
    approved = decisions.approve(row, actor=manager)
    assert approved.approved_terms["unit_price"] == "56710"


def test_a_price_changes_four_times_a_trading_day_copies_included(posted):
    live = posted()
    for step in range(1, 5):
        edit(live, posted.seller, unit_price=Decimal(53500 + step))
    with pytest.raises(rules.PriceChangesUsedUp):
        edit(live, posted.seller, unit_price=Decimal(53500))
    offers.cancel(live, actor=posted.seller, reason_code="PRICE")
    copy = posted(copy_of=Availability.objects.get(pk=live.pk))
    with pytest.raises(rules.PriceChangesUsedUp):
        edit(copy, posted.seller, unit_price=Decimal(53400))


def on_call(points):
    terms = {
        "exchange": "MCX", "month": "2026-12", "points": Decimal(points), "call_side": "BUYER",
        "fixation_deadline": clock.today(),
    }  # fmt: skip
    return {"price_type": "ON_CALL", "price_terms": terms}


@pytest.mark.parametrize(
    "priced",
    [
        on_call,
        lambda price: {"price_steps": [{"min_quantity": Decimal(50), "unit_price": Decimal(price) + 50000}]},
    ],
)
def test_points_and_steps_are_part_of_the_price_for_time_priority_and_the_number_of_changes(posted, priced):
    live = posted(**priced(1000))
    listed = live.listed_at
    for number in range(1, 5):
        row = edit(live, posted.seller, **priced(1000 + number))
        assert (row.status, row.listed_at > listed) == ("ACTIVE", True)
        listed = row.listed_at
    with pytest.raises(rules.PriceChangesUsedUp):
        edit(live, posted.seller, **priced(1000))


def test_an_approved_change_of_points_loses_time_priority(posted, user):
    live = posted(**on_call(1000))
    pending = edit(live, posted.seller, **on_call(1500))
    assert decisions.approve(pending, actor=user("INTERNAL_MANAGER")).listed_at > live.listed_at


def test_only_an_own_ended_offer_is_repeated(posted, offer):
    live = posted()
    with pytest.raises(rules.CopyInvalid):
        posted(live=False, copy_of=live)


@pytest.mark.parametrize(
    ("fields", "thresholds"),
    [
        ({"total_weight_kg": Decimal(17001)}, None),
        ({"total_weight_kg": Decimal(15300)}, None),
        ({"total_weight_kg": Decimal(15299)}, ["quantity"]),
        ({"total_weight_kg": Decimal(18701)}, ["quantity"]),
        ({"quantity": 110}, None),
        ({"quantity": 111}, ["quantity"]),
        ({"quantity": 60}, None),
        ({"allow_partial": False}, ["terms"]),
        ({"advance": 50}, ["terms"]),
        ({"lots": [LOT]}, ["lots"]),
        ({"notes": "x", "tags": ["y"]}, None),
        ({"price_type": "NEGOTIABLE"}, ["price"]),
        (
            {
                "quality": [
                    {"parameter": c, "value": "4.2" if c == "micronaire" else v} for c, v in QUALITY.items()
                ]
            },
            ["quality"],
        ),
        (
            {
                "quality": [
                    {"parameter": c, "value": "4" if c == "micronaire" else v} for c, v in QUALITY.items()
                ]
            },
            None,
        ),
    ],
)
def test_a_change_above_a_threshold_goes_back_to_approval_and_others_apply_at_once(
    posted, emitted, fields, thresholds
):
    live = posted()
    fields = dict(fields)
    quantity = fields.pop("quantity", 100)
    row = edit(live, posted.seller, quantity=quantity, **fields)
    assert row.status == ("PENDING_APPROVAL" if thresholds else "ACTIVE")
    if thresholds:
        assert emitted("availability.submitted")[-1].payload["thresholds"] == thresholds
    assert len(emitted("availability.created")) == 1


def test_the_same_values_change_nothing(posted, emitted):
    live = posted()
    before = len(emitted())
    assert edit(live, posted.seller).version == live.version
    assert len(emitted()) == before


def test_time_priority_is_lost_with_the_price_and_kept_with_an_extension(posted):
    live = posted()
    with unguarded_writes():
        Availability.objects.filter(pk=live.pk).update(listed_at=clock.now() - timedelta(days=3))
    listed = Availability.objects.get(pk=live.pk).listed_at
    longer = live.available_until_date + timedelta(days=5)
    extended = offers.extend(live, actor=posted.seller, available_until_date=longer, valid_until_date=longer)
    assert extended.listed_at == listed
    assert edit(live, posted.seller, unit_price=Decimal(53600)).listed_at > listed


def test_a_total_below_what_is_reserved_is_refused_and_above_it_the_difference_becomes_free(posted, partner):
    """Total below reserved and sold: 409; above: available grows by the difference."""
    live = posted()
    stock.reserve(live, actor=SYSTEM, holder_partner=partner(), quantity=Decimal(60))
    with pytest.raises(rules.BelowCommitted):
        edit(live, posted.seller, quantity=59)
    assert edit(live, posted.seller, quantity=105).available_quantity == 45


def test_an_edit_while_pending_voids_the_old_request_and_a_hold_that_ends_does_not(posted, user, partner):
    """An edit while pending: old If-Match 412, old request void; a hold that ends meanwhile doesn't void it."""
    live, manager = posted(), user("INTERNAL_MANAGER")
    held = stock.reserve(live, actor=SYSTEM, holder_partner=partner(), quantity=Decimal(10))
    pending = edit(live, posted.seller, unit_price=Decimal(60000))
    first = ApprovalRequest.objects.get(subject_id=live.pk, status="pending")
    changed = edit(live, posted.seller, unit_price=Decimal(61000))
    first.refresh_from_db()
    assert first.status == "stale"
    with pytest.raises(PreconditionFailed):
        decisions.approve(changed, actor=manager, if_version=pending.version)
    stock.release(changed, actor=SYSTEM, reservation_id=held.pk)
    assert decisions.approve(changed, actor=manager).status == "ACTIVE"


def test_the_request_of_an_offer_that_sells_out_or_is_taken_back_while_pending_is_withdrawn(posted, partner):
    def pending():
        live = posted()
        held = stock.reserve(live, actor=SYSTEM, holder_partner=partner(), quantity=Decimal(60))
        stock.commit(live, actor=SYSTEM, reservation_id=held.pk, trade_id=live.pk, unit_price=Decimal(1))
        return edit(live, posted.seller, unit_price=Decimal(60000)), held

    row, held = pending()
    stock.mark_sold(row, actor=SYSTEM, reservation_id=held.pk, trade_id=row.pk)
    sold_out = edit(row, posted.seller, quantity=60, unit_price=Decimal(60000))
    other, held = pending()
    smaller = edit(other, posted.seller, quantity=60, unit_price=Decimal(60000))
    stock.return_stock(smaller, actor=SYSTEM, reservation_id=held.pk, trade_id=other.pk, withdraw=True)
    assert (sold_out.status, Availability.objects.get(pk=other.pk).status) == ("SOLD_OUT", "CANCELLED")
    assert not ApprovalRequest.objects.filter(subject_id__in=(row.pk, other.pk), status="pending").exists()


def test_the_number_of_queries_for_warnings_does_not_grow_with_the_lots(posted):
    lots = [
        {**LOT, "lot_no": f"SSG-{n}", "pr_from": 1 + 100 * n, "pr_to": 100 + 100 * n, "bales": 25}
        for n in range(4)
    ]
    counts = []
    for parcel in ([LOT], lots):
        draft = posted(live=False, crop_year="2025-26", lots=parcel)
        with CaptureQueriesContext(connection) as queries:
            warnings_of(draft)
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_whoever_edited_since_the_last_decision_cannot_approve(posted, user):
    pending, boss = posted(live=False, submit=True), user()
    edited = edit(pending, boss, unit_price=Decimal(53600))
    other = edit(edited, posted.seller, unit_price=Decimal(53700))
    with pytest.raises(SelfApproval):
        decisions.approve(other, actor=boss)
    with pytest.raises(SelfApproval):
        decisions.reject(other, actor=boss, reason_code="PRICE", reason="Above the market.")


def test_place_variety_and_crop_year_are_fixed_once_submitted(posted):
    live = posted()
    with pytest.raises(rules.FieldFixed) as caught:
        edit(live, posted.seller, crop_year="2024-25")
    assert pointers(caught) == [("/crop_year", "fixed")]


def test_a_rejected_offer_is_a_draft_again_when_edited_unless_it_has_sales(posted, user, partner):
    pending = posted(live=False, submit=True)
    rejected = decisions.reject(
        pending, actor=user("INTERNAL_MANAGER"), reason_code="PRICE", reason="Above the market."
    )
    assert rejected.status == "REJECTED"
    assert edit(rejected, posted.seller, unit_price=Decimal(52000)).status == "DRAFT"
    live = posted()
    held = stock.reserve(live, actor=SYSTEM, holder_partner=partner(), quantity=Decimal(10))
    stock.commit(live, actor=SYSTEM, reservation_id=held.pk, trade_id=live.pk, unit_price=Decimal(1))
    again = edit(live, posted.seller, unit_price=Decimal(60000))
    decisions.reject(again, actor=user("INTERNAL_MANAGER"), reason_code="PRICE", reason="Above the market.")
    assert edit(live, posted.seller, unit_price=Decimal(53000)).status == "PENDING_APPROVAL"


def test_approval_revives_no_ended_offer(posted, user):
    for status in ("SOLD_OUT", "EXPIRED", "CANCELLED", "REJECTED"):
        row = posted(live=False)
        with unguarded_writes():
            figures = {"available_quantity": 0, "sold_quantity": 100}
            Availability.objects.filter(pk=row.pk).update(status=status, **figures)
        with pytest.raises(rules.InvalidState):
            decisions.approve(row, actor=user("INTERNAL_MANAGER"))


@pytest.mark.parametrize(
    "field", ["status", "seller_partner_id", "available_quantity", "risk_status", "commodity_id", "unit"]
)
def test_an_edit_of_what_only_the_system_sets_is_an_unknown_field(posted, client_for, field):
    """A PUT of status, seller, ledger or risk: 400."""
    draft = posted(live=False)
    answer = client_for(posted.seller).write(
        f"{OFFERS}/{draft.pk}", {field: "x"}, method="put", **{"If-Match": f'"{draft.version}"'}
    )
    assert answer.status_code == 400
    assert (f"/{field}", "unknown_field") in {(e["pointer"], e["code"]) for e in answer.json()["errors"]}


# Firm offers, cancelling, suspension


def test_a_firm_offer_is_not_made_worse_or_cancelled_before_its_time(posted, user):
    live = posted(is_firm=True, firm_until_at=clock.now() + timedelta(days=2))
    firm = {"is_firm": True, "firm_until_at": live.firm_until_at}
    for worse in (
        {"unit_price": Decimal(53501)},
        {"quantity": 99},
        {"total_weight_kg": Decimal(16999)},
        {"is_firm": False, "firm_until_at": None},
    ):
        with pytest.raises(rules.OfferFirm):
            edit(live, posted.seller, **{**firm, **worse})
    with pytest.raises(rules.OfferFirm):
        offers.cancel(live, actor=posted.seller, reason_code="PRICE")
    assert edit(live, posted.seller, unit_price=Decimal(53400), **firm).unit_price == 53400
    assert offers.cancel(live, actor=user("INTERNAL_MANAGER"), reason_code="MISTAKE").status == "CANCELLED"


def test_a_firm_offer_is_not_made_worse_by_its_steps_or_while_it_waits_or_is_suspended(posted):
    firm = {"is_firm": True, "firm_until_at": clock.now() + timedelta(days=2)}

    def steps(price):
        return {"price_steps": [{"min_quantity": Decimal(50), "unit_price": Decimal(price)}]}

    live = posted(**firm, **steps(53000))
    for worse in (steps(53001), {}, {"price_type": "NEGOTIABLE", **steps(53000)}):
        with pytest.raises(rules.OfferFirm):
            edit(live, posted.seller, **firm, **worse)
    assert edit(live, posted.seller, **firm, **steps(52900)).status == "ACTIVE"
    pending = edit(live, posted.seller, **firm, **steps(45000))
    assert pending.status == "PENDING_APPROVAL"
    with pytest.raises(rules.OfferFirm):
        edit(pending, posted.seller, **firm, **steps(45001))
    decisions.suspend(pending, actor=SYSTEM, reason="Doubts about the lot.")
    with pytest.raises(rules.OfferFirm):
        edit(pending, posted.seller, **firm, **steps(45001))


def test_an_offer_with_reservations_is_cancelled_by_staff_only(posted, user, partner, emitted):
    live, manager = posted(), user("INTERNAL_MANAGER")
    held = stock.reserve(live, actor=SYSTEM, holder_partner=partner(), quantity=Decimal(10))
    with pytest.raises(rules.HoldsOpen) as caught:
        offers.cancel(live, actor=posted.seller, reason_code="PRICE")
    assert caught.value.members["count"] == 1
    with pytest.raises(rules.StaffOnly):
        offers.cancel(live, actor=posted.seller, reason_code="PRICE", release_holds=True)
    with pytest.raises(rules.Incomplete):
        offers.cancel(live, actor=manager, reason_code="OTHER")
    ended = offers.cancel(live, actor=manager, reason_code="PRICE", release_holds=True)
    assert (ended.status, ended.withdrawn_quantity) == ("CANCELLED", 100)
    assert emitted("availability.released")[-1].payload["reason"] == "offer_ended"
    held.refresh_from_db()
    assert held.status == "RELEASED"


def test_offers_and_lots_follow_a_place_that_is_merged(posted, place, deliver, emitted):
    gin, warehouse = place(type="GIN"), place(type="WAREHOUSE")
    entered_twice, winner = (
        place("Gondal"),
        place("Gondal APMC", latitude=Decimal("21.961"), longitude=Decimal("70.79")),
    )
    at = {"place": None, "location": entered_twice}
    lots = [{**LOT, "gin_location": gin, "godown_location": warehouse}]
    moved, other = posted(lots=lots, **at), posted()
    before = moved.approved_terms
    tree.merge(entered_twice, actor=SYSTEM, into=winner, reason="Entered twice.")
    tree.merge(
        warehouse, actor=SYSTEM, into=(other_warehouse := place(type="WAREHOUSE")), reason="The same shed."
    )
    deliver()
    version = Availability.objects.get(pk=other.pk).version
    assert tasks.follow_places() == 1
    assert tasks.follow_places() == 0
    row, lot = Availability.objects.get(pk=moved.pk), moved.lots.get()
    assert (row.location, row.latitude, row.longitude) == (winner, Decimal("21.961"), Decimal("70.79"))
    assert (lot.gin_location, lot.godown_location) == (gin, other_warehouse)
    assert row.terms_version == moved.terms_version, "it is the same place"
    assert row.approved_terms == {
        **before, "location_id": str(winner.pk), "latitude": "21.961", "longitude": "70.79",
    }  # fmt: skip
    assert emitted("availability.updated", aggregate_id=row.pk)[-1].payload["changed"] == ["lots", "terms"]
    assert edit(row, posted.seller, **at | {"location": winner}, lots=lots, notes="Ready.").status == "ACTIVE"
    assert Availability.objects.get(pk=other.pk).version == version


def test_an_approval_of_another_place_does_not_follow_a_merge(posted, place):
    offer, other, winner = posted(place=None, location=place("Gondal")), place("Amreli"), place("Amreli APMC")
    with unguarded_writes():  # as a rejected offer is changed and submitted again
        Availability.objects.filter(pk=offer.pk).update(location=other)
    tree.merge(other, actor=SYSTEM, into=winner, reason="Entered twice.")
    assert tasks.follow_places() == 1
    row = Availability.objects.get(pk=offer.pk)
    assert (row.location, row.approved_terms, row.version) == (
        winner,
        offer.approved_terms,
        offer.version + 1,
    )


def test_a_suspended_seller_takes_its_offers_off_and_reservations_with_it(
    posted, offer, user, partner, deliver
):
    """Seller suspended: its offers suspended, what is held released, what is in trade kept."""
    from apps.partners.services import standing

    live, buyer = posted(), partner()
    held = stock.reserve(live, actor=SYSTEM, holder_partner=buyer, quantity=Decimal(10))
    deal = stock.reserve(live, actor=SYSTEM, holder_partner=buyer, quantity=Decimal(20))
    stock.commit(live, actor=SYSTEM, reservation_id=deal.pk, trade_id=live.pk, unit_price=Decimal(1))
    elsewhere = offer()
    own = stock.reserve(elsewhere, actor=SYSTEM, holder_partner=live.seller_partner, quantity=Decimal(5))
    deliver()
    seller = Partner.objects.get(pk=live.seller_partner_id)
    standing.suspend(seller, actor=SYSTEM, reason_code="other", reason="Doubts about papers.")
    deliver()
    assert Availability.objects.get(pk=live.pk).status == "ACTIVE", "the sweep does it, offer by offer"
    assert tasks.follow_partners() == 2
    row = Availability.objects.get(pk=live.pk)
    assert (row.status, row.suspended_for, row.available_quantity, row.reserved_quantity) == (
        "SUSPENDED",
        ["partner"],
        80,
        20,
    )
    for reservation, status in ((held, "RELEASED"), (deal, "IN_TRADE"), (own, "RELEASED")):
        reservation.refresh_from_db()
        assert reservation.status == status
    standing.reactivate(
        Partner.objects.get(pk=live.seller_partner_id), actor=SYSTEM, reason="Papers are fine."
    )
    deliver()
    assert tasks.follow_partners() == 1
    assert Availability.objects.get(pk=live.pk).status == "ACTIVE"
    assert tasks.follow_partners() == 0


def held_on(live, partner, *, bound=False):
    """A reservation on the offer, perhaps bound to a negotiation."""
    held = stock.reserve(live, actor=SYSTEM, holder_partner=partner(), quantity=Decimal(10))
    if bound:
        stock.bind(
            live, actor=SYSTEM, reservation_id=held.pk, negotiation_id=uuid4(), unit_price=Decimal(53500),
            until=clock.now() + timedelta(hours=20),
        )  # fmt: skip
    return held


def suspend_seller(live):
    with unguarded_writes():
        Partner.objects.filter(pk=live.seller_partner_id).update(status="suspended")


def test_a_suspended_seller_keeps_no_reservation_on_an_offer_suspended_for_another_cause(posted, partner):
    """What backs a deal too: the trade could not be made."""
    live = posted()
    bound = held_on(live, partner, bound=True)
    decisions.suspend(live, actor=SYSTEM, reason="Doubts about the lot.")
    decisions.suspend(live, actor=SYSTEM, reason="The seller is suspended.", cause="partner")
    bound.refresh_from_db()
    assert (bound.status, Availability.objects.get(pk=live.pk).suspended_for) == (
        "RELEASED",
        ["staff", "partner"],
    )


@pytest.mark.parametrize("status", ["REJECTED", "EXPIRED"])
def test_a_suspended_seller_keeps_no_reservation_on_an_offer_that_has_ended(posted, partner, status):
    live = posted()
    bound = held_on(live, partner, bound=True)
    with unguarded_writes():
        Availability.objects.filter(pk=live.pk).update(
            status=status, available_quantity=0, withdrawn_quantity=90
        )
    suspend_seller(live)
    tasks.follow_partners()
    bound.refresh_from_db()
    assert (bound.status, Availability.objects.get(pk=live.pk).status) == ("RELEASED", status)


def test_an_offer_that_cannot_be_suspended_keeps_no_other_on_the_market(posted, monkeypatch):
    """Each offer has its own transaction, and any error concerns its own offer alone."""
    first, second = sorted((posted(), posted(total_weight_kg=Decimal(16999))), key=lambda row: row.pk)
    suspend_seller(first)
    suspend = decisions.suspend

    def broken(offer, **arguments):
        if offer.pk == first.pk:
            raise RuntimeError
        return suspend(offer, **arguments)

    monkeypatch.setattr(decisions, "suspend", broken)
    tasks.follow_partners()
    assert [Availability.objects.get(pk=row.pk).status for row in (first, second)] == ["ACTIVE", "SUSPENDED"]
    monkeypatch.undo()
    tasks.follow_partners()
    assert Availability.objects.get(pk=first.pk).status == "SUSPENDED", "the next run makes it good"


def test_a_suspension_lasts_until_every_cause_is_gone(posted, user):
    live = posted()
    decisions.suspend(live, actor=user("INTERNAL_MANAGER"), reason="Doubts about the lot.")
    decisions.record_risk(live, actor=SYSTEM, risk_status="FAIL")
    row = Availability.objects.get(pk=live.pk)
    assert row.suspended_for == ["staff", "risk"]
    assert decisions.reactivate(row, actor=SYSTEM).status == "SUSPENDED"
    assert decisions.record_risk(row, actor=SYSTEM, risk_status="PASS").status == "ACTIVE"


def test_below_the_limit_the_system_approves_unless_something_is_suspicious(posted, settings, emitted):
    settings.AVAILABILITY_AUTO_APPROVE_LIMIT = Decimal(26_00_000)
    assert posted(live=False, submit=True).status == "ACTIVE"
    assert emitted("availability.approved")[-1].payload["approval_id"] is None
    settings.AVAILABILITY_AUTO_APPROVE_LIMIT = Decimal(25_00_000)
    assert posted(live=False, submit=True).status == "PENDING_APPROVAL"


def test_what_others_ask_is_the_reference_and_the_least_that_credit_is_held_for(
    offer, user, partner, commodity, tax_rate
):
    """Below five offers of three others there is none; then a price far from it is flagged for the approver."""
    tax_rate("5201", 0)
    goods = commodity()
    firms = [user("SELLER") for _ in range(3)]

    def post(seller, price=None, **fields):
        priced = {"unit_price": price and Decimal(price), "pricing_unit": factories.per_candy(), **fields}
        kind = {} if price else {"price_type": "NEGOTIABLE"}
        return offer(commodity=goods, seller=seller, advance=0, **kind, **priced)

    for number in range(4):
        post(firms[number % 3], 50000 + number)
    own = user("SELLER")
    assert post(own, 90000, visibility="RESTRICTED", invited_partners=[partner()]).reference_price is None
    post(firms[0], 50004)
    for price, flag in ((42502, None), (42501, "LOW"), (57502, None), (57503, "HIGH")):
        row = Availability.objects.get(pk=post(own, price, visibility="INTERNAL").pk)
        assert (row.reference_count, row.price_flag) == (5, flag), price
        assert round(row.reference_price, 2) == 50002
    unpriced = post(own)
    held = stock.reserve(
        unpriced, actor=user("BUYER", of=factories.with_credit(partner(), 100_00_000)), quantity=Decimal(100),
        hold_hours=20, unit_price=Decimal("0.01"),
    )  # fmt: skip
    assert held.credit_amount > 23_00_000
    assert held.expires_at > clock.now() + timedelta(hours=19)


def test_a_gst_rate_with_conditions_needs_one(offer, commodity, tax_rate):
    goods = commodity(hsn_code="1207", quantity_mode="WEIGHT", package_unit=None, trade_unit="KG")
    tax_rate("1207", 0, "SEED_QUALITY")
    tax_rate("1207", 5, "NOT_SEED_QUALITY")
    with pytest.raises(rules.Incomplete) as caught:
        offer(live=False, submit=True, commodity=goods, total_weight_kg=None)
    assert pointers(caught) == [("/tax_condition", "required")]
    row = offer(
        live=False,
        submit=True,
        commodity=goods,
        total_weight_kg=None,
        tax_condition="NOT_SEED_QUALITY",
        tax_basis="INCLUSIVE",
    )
    assert row.price_per_kg == Decimal("143.27760236")
    assert Commodity.objects.get(pk=goods.pk).trade_unit == row.unit == "KG"
