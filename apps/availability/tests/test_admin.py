"""Offers in the admin: approved by another person, singly or several at once, each with its own event."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from apps.accounts.models import PolicyDeviation
from apps.availability.models import Availability, Reservation
from apps.availability.services import stock
from apps.availability.tests import factories
from config.testing import make_ready
from erp import access
from erp.access import SYSTEM
from erp.admin.testing import controls
from erp.models import unguarded_writes

LIST = "/admin/availability/availability/"


def page(offer: Availability, verb: str = "") -> str:
    return f"{LIST}{offer.pk}/run/{verb}/" if verb else f"{LIST}{offer.pk}/change/"


@pytest.fixture
def waiting(offer):
    """Make an offer that waits for approval."""
    return lambda **fields: offer(live=False, submit=True, **fields)


@pytest.fixture
def manager(user, staff_client_for):
    return staff_client_for(user("INTERNAL_MANAGER"))


def test_the_confirm_page_shows_the_effect_of_an_approval(manager, waiting, emitted):
    offer = waiting()
    drawn = manager.get(page(offer, "approve"))
    assert drawn.context["effects"][0][2] == ["Status: Pending approval → Active"]
    offer.refresh_from_db()
    assert offer.status == "PENDING_APPROVAL"
    assert not emitted("availability.approved")
    answer = manager.post(page(offer, "approve"), {**controls(drawn), "note": "seen"})
    assert answer["Location"] == page(offer)
    offer.refresh_from_db()
    assert offer.status == "ACTIVE"
    assert len(emitted("availability.approved")) == 1


def test_a_second_click_shows_the_first_result(manager, waiting, emitted):
    offer = waiting()
    form = manager.form(page(offer, "approve"))
    manager.post(page(offer, "approve"), form)
    again = manager.post(page(offer, "approve"), form, follow=True)
    drawn = again.content.decode()
    assert f">{offer.number}</a> was approved. This was already done at " in drawn
    assert len(emitted("availability.approved")) == 1


def test_a_decision_on_a_stale_page_is_not_executed(manager, waiting, emitted):
    offer = waiting()
    answer = manager.fill(page(offer, "approve"), _version="7")
    assert answer.status_code == 412
    assert controls(answer)["_version"] == ["1"]
    assert not emitted("availability.approved")


def test_a_creator_cannot_approve_by_click_or_forged_post(user, staff_client_for, waiting, emitted):
    person = user()  # a super administrator isn't exempt
    goods = waiting().commodity
    staff = staff_client_for(person)
    seller = waiting().seller_partner
    today = timezone.localdate()
    answer = staff.fill(
        f"{LIST}add/",
        **{
            "commodity_id": str(goods.pk),
            "total_quantity": "10",
            "total_weight_kg": "1700",
            "place.address": "Plot 4",
            "place.country": "IN",
            "place.state_code": "GJ",
            "unit_price": "53500",
            "pricing_unit_id": str(factories.per_candy().pk),
            **{f"{name}_id": str(row.pk) for name, row in factories.terms().items()},
            "available_from_date": str(today),
            "available_until_date": str(today + timedelta(days=9)),
            "seller_partner_id": str(seller.pk),
            "submit": "on",
        },
    )
    assert answer.status_code == 302, answer.context["errors"]
    own = Availability.objects.get(created_by=person)
    assert own.status == "PENDING_APPROVAL"
    drawn = staff.get(page(own)).content.decode()
    assert page(own, "approve") not in drawn
    assert "You created or edited this offer, so another person must approve it." in drawn
    confirm = staff.get(page(own, "approve"))
    assert "another person must" in confirm.content.decode()
    answer = staff.post(page(own, "approve"), controls(confirm))
    assert answer.status_code == 403
    assert "another person must" in answer.content.decode()
    chosen = {"_key": "0123456789abcdef", "_chosen": f"{own.pk}:1"}
    assert "another person must" in staff.post(f"{LIST}run/approve/", chosen).content.decode()
    own.refresh_from_db()
    assert own.status == "PENDING_APPROVAL"
    assert not emitted("availability.approved")


def test_without_the_capability_the_action_is_disabled_and_a_forged_post_is_403(
    user, staff_client_for, waiting
):
    offer = waiting()
    staff = staff_client_for(user("INTERNAL"))
    drawn = staff.get(page(offer)).content.decode()
    assert "You need the capability availability.approve." in drawn
    assert page(offer, "approve") not in drawn
    assert "You need the capability availability.approve." in staff.get(LIST).content.decode()
    forged = {"_key": "0123456789abcdef", "_version": "1"}
    assert staff.get(page(offer, "approve")).status_code == 403
    assert staff.post(page(offer, "approve"), forged).status_code == 403
    assert staff.post(f"{LIST}run/approve/", {**forged, "_chosen": f"{offer.pk}:1"}).status_code == 403
    offer.refresh_from_db()
    assert offer.status == "PENDING_APPROVAL"


def test_actions_that_the_status_forbids_are_not_shown(manager, offer):
    live = offer()
    drawn = manager.get(page(live)).content.decode()
    assert page(live, "approve") not in drawn
    assert page(live, "reserve") in drawn


def test_each_of_several_offers_is_decided_separately(manager, waiting, offer, emitted):
    one, two, draft = waiting(), waiting(), offer(live=False)
    answer = manager.post(
        LIST, {"action": "approve", "_selected_action": [str(row.pk) for row in (one, two, draft)]}
    )
    form = controls(answer)
    effects = {row.pk: effect for row, _, effect in answer.context["effects"]}
    assert "status is draft" in effects[draft.pk][0]
    assert not emitted("availability.approved")
    result = manager.post(f"{LIST}run/approve/", form)
    assert result.context["done"] == 2
    lines = {line.row: line for line in result.context["lines"]}
    assert lines[draft.number].text == (
        "The offer's status doesn't allow this action. This isn't possible while the status is draft."
    )
    approved = emitted("availability.approved")
    assert {event.aggregate_id for event in approved} == {one.pk, two.pk}
    assert len({event.causation_id for event in approved}) == 2
    again = manager.post(f"{LIST}run/approve/", form)
    assert [line.again for line in again.context["lines"] if line.done] == [True, True]
    assert len(emitted("availability.approved")) == 2


def test_a_key_belongs_to_its_choice_of_rows(manager, waiting, emitted):
    one, two = waiting(), waiting()
    form = controls(manager.post(LIST, {"action": "approve", "_selected_action": [str(one.pk)]}))
    manager.post(f"{LIST}run/approve/", form)
    answer = manager.post(f"{LIST}run/approve/", {**form, "_chosen": [f"{two.pk}:1"]})
    assert answer.status_code == 422
    assert "already submitted with other values" in answer.content.decode()
    two.refresh_from_db()
    assert two.status == "PENDING_APPROVAL"
    assert len(emitted("availability.approved")) == 1


def test_rows_that_changed_since_the_confirm_page_are_left(manager, waiting):
    one, two = waiting(), waiting()
    form = controls(manager.post(LIST, {"action": "approve", "_selected_action": [str(one.pk), str(two.pk)]}))
    manager.fill(page(one, "approve"))
    result = manager.post(f"{LIST}run/approve/", form)
    results = {line.row: (line.done, line.text) for line in result.context["lines"]}
    assert results[two.number][0]
    assert not results[one.number][0]
    assert "changed this in the meantime" in results[one.number][1]


@pytest.mark.parametrize(
    "chosen", [[], ["nonsense:1"], ["nonsense"], ["::"], ["{pk}:one"], ["{pk}:1", "{pk}:1"]]
)
def test_a_malformed_choice_does_nothing(manager, waiting, chosen):
    offer = waiting()
    named = [each.format(pk=offer.pk) for each in chosen]
    answer = manager.post(f"{LIST}run/approve/", {"_key": "0123456789abcdef", "_chosen": named})
    assert answer.status_code == 302
    offer.refresh_from_db()
    assert offer.status == "PENDING_APPROVAL"


def test_staff_reserve_and_release_on_behalf(user, staff_client_for, offer, partner, emitted):
    live, buyer = offer(), partner("Kovai Spinners")
    staff = staff_client_for(user("INTERNAL"))
    typed = {"quantity": "40", "holder_partner_id": str(buyer.pk)}
    assert staff.fill(page(live, "reserve"), **typed).status_code == 302
    reservation = Reservation.objects.get()
    assert (reservation.quantity, reservation.holder_partner) == (40, buyer)
    assert "40 BALE for Kovai Spinners" in staff.get(page(live, "release")).content.decode()
    refused = staff.fill(page(live, "release"), reservation_id=str(reservation.pk))
    assert refused.status_code == 422
    assert refused.context["errors"]["reason"] == ["Enter a reason of at least 3 characters."]
    typed = {"reservation_id": str(reservation.pk), "reason": "asked by phone"}
    assert staff.fill(page(live, "release"), **typed).status_code == 302
    reservation.refresh_from_db()
    assert reservation.status == "RELEASED"
    assert len(emitted("availability.reserved")) == len(emitted("availability.released")) == 1
    assert "Kovai Spinners" in staff.get(page(live)).content.decode()


def test_too_much_is_refused_beside_the_form(user, staff_client_for, offer, partner, emitted):
    live = offer(quantity=10)
    staff = staff_client_for(user("INTERNAL"))
    answer = staff.fill(page(live, "reserve"), quantity="11", holder_partner_id=str(partner().pk))
    assert answer.status_code == 409
    assert "exceeds what is available" in answer.content.decode()
    typed = controls(answer)
    assert typed["quantity"] == ["11"]
    assert not emitted("availability.reserved")
    assert staff.post(page(live, "reserve"), {**typed, "quantity": "10"}).status_code == 302


def test_a_committed_refusal_is_shown_as_an_error_and_emitted_once(user, staff_client_for, offer, emitted):
    live = offer()
    staff = staff_client_for(user("INTERNAL"))
    form = {
        **staff.form(page(live, "reserve")),
        "quantity": "5",
        "holder_partner_id": str(live.seller_partner_id),
    }
    for _ in range(2):
        answer = staff.post(page(live, "reserve"), form)
        assert answer.status_code == 422
        assert "related parties" in answer.content.decode()
    assert len(emitted("availability.reservation_refused")) == 1


def test_staff_post_for_a_seller_only_after_the_capability_was_granted(
    user, staff_client_for, commodity, partner
):
    staff, seller = staff_client_for(user("INTERNAL")), partner()
    today = timezone.localdate()
    typed = {
        "commodity_id": str(commodity().pk),
        "total_quantity": "10",
        "total_weight_kg": "1700",
        "place.address": "Plot 4",
        "place.country": "IN",
        "available_from_date": str(today),
        "available_until_date": str(today),
        "seller_partner_id": str(seller.pk),
    }
    assert staff.get(f"{LIST}add/").status_code == 403
    assert staff.post(f"{LIST}add/", {**typed, "_key": "0123456789abcdef"}).status_code == 403
    with unguarded_writes():
        PolicyDeviation.objects.create(
            role="INTERNAL", capability="availability.create", scope="everywhere", operation="add"
        )
    access.sync()
    assert staff.fill(f"{LIST}add/", **typed).status_code == 302
    assert Availability.objects.get().seller_partner == seller


def test_the_home_page_counts_pending_offers(manager, waiting):
    waiting()
    waiting()
    queues = {queue.title: queue for queue in manager.get("/admin/").context["queues"]}
    queue = queues["Offers to approve"]
    assert queue.waiting == "2"
    assert len(manager.get(queue.url).context["cl"].result_list) == 2


def test_quantities_carry_unit_and_indian_grouping(manager, offer):
    live = offer(quantity=125000)
    assert "1,25,000 BALE" in manager.get(page(live)).content.decode()
    assert "2,12,50,000.000 kg" in manager.get(page(live)).content.decode()


def test_the_effect_of_a_reservation_is_shown_before_it_is_made(manager, offer, partner, emitted):
    live, buyer = offer(), partner("Kovai Spinners")
    address = page(live, "reserve")
    typed = {**manager.form(address), "quantity": "40", "holder_partner_id": str(buyer.pk), "_preview": "1"}
    answer = manager.post(address, typed)
    assert answer.status_code == 200
    drawn = answer.content.decode()
    assert "Reserved quantity: 0 → 40" in drawn
    assert "Reservation: " in drawn
    assert 'value="40"' in drawn
    live.refresh_from_db()
    assert (live.reserved_quantity, emitted("availability.reserved")) == (0, [])
    wrong = manager.post(address, typed | {"quantity": "many"})
    assert (wrong.status_code, "Enter a number" in wrong.content.decode()) == (400, True)
    too_many = manager.post(address, typed | {"quantity": "4000"})
    assert (too_many.status_code, "→" in too_many.content.decode()) == (200, False)
    del typed["_preview"]
    assert manager.post(address, typed).status_code == 302
    assert len(emitted("availability.reserved")) == 1


def test_the_page_of_an_offer_shows_its_ledger_lots_quality_and_price(
    user, staff_client_for, offer, commodity, partner
):
    goods = commodity()
    make_ready(goods)
    lots = [{"lot_no": "SSG-27", "press_mark": "SSG", "pr_from": 1201, "pr_to": 1300, "bales": 100}]
    quality = [{"parameter": "moisture", "value": "8.4"}]
    live = offer(commodity=goods, crop_year="2025-26", lots=lots, quality=quality)
    offer(commodity=goods, unit_price=Decimal(50000), quality=quality)
    stock.reserve(live, actor=SYSTEM, holder_partner=partner(), quantity=Decimal(40))
    drawn = staff_client_for(user("INTERNAL_MANAGER")).get(page(live)).content.decode()
    for text in (
        "free 60 BALE, reserved 40 BALE",
        "SSG-27",
        "1201–1300",
        "8.4",
        "53,500 INR/CANDY",
        "+7.0 %",
    ):
        assert text in drawn, text


def test_staff_reject_an_offer_with_its_reason(user, staff_client_for, waiting):
    row, staff = waiting(), staff_client_for(user("INTERNAL_MANAGER"))
    answer = staff.fill(page(row, "reject"), reason_code="PRICE", reason="The price is above the market.")
    assert answer.status_code == 302, answer.context["errors"]
    assert Availability.objects.get(pk=row.pk).status == "REJECTED"


def test_an_offer_is_edited_on_its_form_with_lots_as_rows(user, staff_client_for, offer):
    boss = user()
    draft = offer(live=False, lots=[{"lot_no": "A", "bales": 100}])
    staff = staff_client_for(boss)
    answer = staff.fill(page(draft), notes="Ask first.")
    assert answer.status_code == 302, answer.context["errors"]
    row = Availability.objects.get(pk=draft.pk)
    assert (row.notes, row.lots.get().lot_no) == ("Ask first.", "A")
