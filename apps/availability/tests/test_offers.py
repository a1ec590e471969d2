"""Offers and reservations: never oversold, approved by someone else, shown by stage."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from apps.approvals import services as approvals
from apps.approvals.models import ApprovalRequest
from apps.availability import tasks
from apps.availability.models import Availability, Reservation, band
from apps.availability.services import deadlines, decisions, offers, rules, stock
from apps.partners.models import Partner
from erp.access import SYSTEM
from erp.errors import CapabilityMissing, SelfApproval
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db
OFFERS = "/api/v1/availabilities"


def ledger(offer):
    row = Availability.objects.get(pk=offer.pk)
    return (row.available_quantity, row.reserved_quantity, row.sold_quantity, row.withdrawn_quantity)


def test_an_offer_is_posted_as_a_draft_with_a_number_of_its_year(offer, emitted):
    draft = offer(live=False)
    assert draft.status == "DRAFT"
    start = timezone.localdate().year - (timezone.localdate().month < 4)
    assert draft.number.startswith(f"AVL-{start % 100:02d}{(start + 1) % 100:02d}-")
    event = emitted("availability.created")[-1]
    assert event.payload["quantity"] == {"value": "100.000", "unit": "BALE"}
    assert event.payload["seller_partner_id"] == str(draft.seller_partner_id)


def test_posting_with_submit_is_one_save(offer, emitted):
    pending = offer(live=False, submit=True)
    assert (pending.status, pending.version) == ("PENDING_APPROVAL", 1)
    assert [e.event_type for e in emitted(aggregate_id=pending.pk)] == [
        "availability.created",
        "availability.submitted",
    ]


def test_a_creator_or_editor_cannot_approve_the_offer_not_even_a_superuser(offer, user):
    seller, boss = user("SELLER"), user()
    pending = offer(seller=seller, live=False, submit=True)
    with pytest.raises(CapabilityMissing):
        decisions.approve(pending, actor=seller)
    with unguarded_writes():
        pending.updated_by = boss
        pending.save()
    with pytest.raises(SelfApproval):
        decisions.approve(pending, actor=boss)
    assert decisions.approve(pending, actor=user("INTERNAL_DIRECTOR")).status == "ACTIVE"


def test_approval_needs_a_pending_offer_whose_window_is_open(offer, user):
    manager = user("INTERNAL_MANAGER")
    with pytest.raises(rules.InvalidState):
        decisions.approve(offer(live=False), actor=manager)
    live = offer()
    with pytest.raises(rules.InvalidState):
        decisions.approve(live, actor=manager)
    pending = offer(live=False, submit=True)
    with unguarded_writes():
        pending.available_from_date = date(2020, 1, 1)
        pending.available_until_date = date(2020, 1, 2)
        pending.save()
    with pytest.raises(rules.WindowOver):
        decisions.approve(pending, actor=manager)


def test_the_decision_on_an_offer_is_stored_with_its_request_in_one_transaction(offer, user, emitted):
    seller, manager = user("SELLER"), user("INTERNAL_MANAGER")
    pending = offer(seller=seller, live=False, submit=True)
    request = ApprovalRequest.objects.get(subject_id=pending.pk)
    assert (request.kind, request.status, request.excluded) == (
        "availability.approve",
        "pending",
        [seller.pk],
    )
    with unguarded_writes():
        Partner.objects.filter(pk=pending.seller_partner_id).update(status="suspended")
    with pytest.raises(rules.SellerNotEligible):
        decisions.approve(pending, actor=manager, note="Seen.")
    request.refresh_from_db()
    assert (request.status, request.decisions.count()) == ("pending", 0)
    with unguarded_writes():
        Partner.objects.filter(pk=pending.seller_partner_id).update(status="active")
    decisions.approve(Availability.objects.get(pk=pending.pk), actor=manager, note="Seen.")
    request.refresh_from_db()
    decision = request.decisions.get()
    assert (request.status, decision.decider, decision.note) == ("granted", manager, "Seen.")
    assert [event.payload["subject_id"] for event in emitted("approval.granted")] == [str(pending.pk)]
    assert len(emitted("availability.approved")) == 1


def test_an_offer_is_decided_at_its_own_endpoint_only_and_by_the_role_it_was_escalated_to(offer, user):
    manager, director = user("INTERNAL_MANAGER"), user("INTERNAL_DIRECTOR")
    pending = offer(live=False, submit=True)
    request = ApprovalRequest.objects.get(subject_id=pending.pk)
    with pytest.raises(approvals.DecidedElsewhere):
        approvals.approve(request, actor=director, subject_version=request.subject_version)
    approvals.escalate(request, actor=manager, role="INTERNAL_DIRECTOR", reason="A very large parcel.")
    with pytest.raises(approvals.RoleRequired):
        decisions.approve(pending, actor=manager)
    assert decisions.approve(pending, actor=director).status == "ACTIVE"


def test_the_offer_can_be_approved_after_its_request_was_withdrawn(offer, user):
    seller = user("SELLER")
    pending = offer(seller=seller, live=False, submit=True)
    approvals.withdraw(ApprovalRequest.objects.get(subject_id=pending.pk), actor=SYSTEM)
    assert decisions.approve(pending, actor=user("INTERNAL_MANAGER")).status == "ACTIVE"
    statuses = ApprovalRequest.objects.filter(subject_id=pending.pk).order_by("pk")
    assert [request.status for request in statuses] == ["withdrawn", "granted"]


@pytest.mark.django_db(transaction=True)
def test_two_concurrent_approvals_of_one_offer_count_once(offer, user, emitted):
    pending, people = offer(live=False, submit=True), [user("INTERNAL_MANAGER"), user("INTERNAL_DIRECTOR")]

    def approve(person):
        try:
            return decisions.approve(pending, actor=person).status
        except rules.InvalidState:
            return "decided"
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(approve, people)) == ["ACTIVE", "decided"]
    assert len(emitted("approval.granted")) == len(emitted("availability.approved")) == 1


def test_what_an_offer_needs_before_it_is_submitted(offer, commodity, user, partner):
    seasonal = commodity(season_start_month=10)
    with pytest.raises(rules.Incomplete) as caught:
        offer(live=False, submit=True, commodity=seasonal)
    assert [f.pointer for f in caught.value.errors] == ["/crop_year"]
    assert (
        offer(live=False, submit=True, commodity=seasonal, crop_year="2025-26").status == "PENDING_APPROVAL"
    )
    with pytest.raises(rules.CommodityNotActive):
        offer(live=False, commodity=commodity(active=False))
    asleep = partner()
    draft = offer(live=False, seller=user("SELLER", of=asleep))
    with unguarded_writes():
        Partner.objects.filter(pk=asleep.pk).update(status="suspended")
    with pytest.raises(rules.SellerNotEligible) as shut:
        offers.submit(draft, actor=SYSTEM)
    assert shut.value.members == {"reasons": ["not_active"]}


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"total_quantity": Decimal("10.5")}, rules.QuantityNotWhole),
        ({"unit": "CANDY"}, rules.UnitNotAllowed),
        ({"total_weight_kg": None}, rules.Incomplete),
        ({"unit": "KG"}, rules.UnitNotAllowed),
        ({"min_order_quantity": Decimal(101)}, rules.BelowMinimum),
        ({"available_until_date": date(2020, 1, 1)}, rules.WindowInvalid),
        ({"place": {"address": "Port", "country": "US"}}, rules.PlaceInvalid),
    ],
)
def test_an_invalid_offer_is_refused(offer, fields, problem):
    with pytest.raises(problem):
        offer(live=False, **fields)


def test_a_seller_posts_for_its_own_partner_only(user, partner, commodity, client_for):
    client, other = client_for(user("SELLER")), partner()
    body = {
        "commodity_id": str(commodity().pk),
        "total_quantity": "10",
        "total_weight_kg": "1700",
        "place": {"address": "Gondal", "country": "IN"},
        "available_from_date": "2026-01-01",
        "available_until_date": "2100-01-01",
    }
    hidden = client.write(OFFERS, {**body, "seller_partner_id": str(other.pk)})
    assert (hidden.status_code, hidden.json()["errors"][0]["code"]) == (400, "does_not_exist")
    assert client.write(OFFERS, body).status_code == 201
    for wrong, pointer in (
        ({"total_quantity": "0"}, "/total_quantity"),
        ({"total_quantity": "-1"}, "/total_quantity"),
        ({"total_quantity": "1e2"}, "/total_quantity"),
        ({"total_quantity": "1.0001"}, "/total_quantity"),
        ({"total_quantity": "9999999999999999"}, "/total_quantity"),
        ({"total_quantity": 100}, "/total_quantity"),
        ({"available_from_date": "2026-02-30"}, "/available_from_date"),
        ({"available_from_date": "20260101"}, "/available_from_date"),
        ({"max_hold_hours": 0}, "/max_hold_hours"),
        ({"max_hold_hours": 10**30}, "/max_hold_hours"),
        ({"place": {"address": "x", "country": "india"}}, "/place/country"),
        ({"place": {"address": "x", "country": "IN", "time_zone": "Mars/Base"}}, "/place/time_zone"),
        ({"crop_year": "2025-27"}, "/crop_year"),
        ({"commodity_id": "nonsense"}, "/commodity_id"),
        ({"status": "ACTIVE"}, "/status"),
        ({"reserved_quantity": "1"}, "/reserved_quantity"),
    ):
        answer = client.write(OFFERS, {**body, **wrong})
        assert answer.status_code == 400, (wrong, answer.content)
        assert [f["pointer"] for f in answer.json()["errors"]] == [pointer]
    assert Availability.objects.count() == 1


def test_reserving_moves_stock_and_releasing_moves_it_back(offer, user, assert_emitted):
    live, buyer = offer(), user("BUYER")
    reservation = stock.reserve(live, actor=buyer, quantity=Decimal(60))
    assert (reservation.status, reservation.weight_kg) == ("HELD", Decimal("10200.000"))
    assert ledger(live) == (40, 60, 0, 0)
    assert_emitted(_event("availability.reserved"), remaining={"value": "40.000", "unit": "BALE"})
    stock.release(live, actor=buyer, reservation_id=reservation.pk, quantity=Decimal(20))
    assert ledger(live) == (60, 40, 0, 0)
    assert_emitted(
        _event("availability.released"), reason="by_holder", quantity={"value": "20.000", "unit": "BALE"}
    )
    reservation = stock.release(live, actor=buyer, reservation_id=reservation.pk)
    assert (reservation.status, reservation.still_open) == ("RELEASED", 0)
    assert ledger(live) == (100, 0, 0, 0)
    with pytest.raises(rules.ReservationClosed):
        stock.release(live, actor=buyer, reservation_id=reservation.pk)


def _event(name):
    from erp.events import registry

    return registry.latest(name)


def test_reserving_more_than_is_available_is_refused_and_the_rest_shown_only_to_those_who_may_see_it(
    offer, user, client_for
):
    live = offer()
    stock.reserve(live, actor=user("BUYER"), quantity=Decimal(60))
    stranger = client_for(user("BUYER")).write(f"{OFFERS}/{live.pk}/reserve", {"quantity": "41"})
    assert (stranger.status_code, stranger.json()["code"]) == (409, "availability.quantity_exceeded")
    assert "available" not in stranger.json()
    assert "40" not in stranger.json()["detail"]
    staff = client_for(user("INTERNAL")).write(
        f"{OFFERS}/{live.pk}/reserve",
        {"quantity": "41", "holder_partner_id": str(user("BUYER").partner_id)},
    )
    assert staff.json()["available"] == "40.000"
    assert ledger(live) == (40, 60, 0, 0)


@pytest.mark.parametrize(
    ("fields", "asked", "problem"),
    [
        ({"min_order_quantity": Decimal(10)}, {"quantity": Decimal(5)}, rules.BelowMinimum),
        ({"allow_partial": False}, {"quantity": Decimal(50)}, rules.WholeLotOnly),
        ({}, {"quantity": Decimal("1.5")}, rules.QuantityNotWhole),
        ({}, {"quantity": Decimal(1), "hold_hours": 25}, rules.HoldTooLong),
    ],
)
def test_a_reservation_that_the_offer_does_not_allow_is_refused(offer, user, fields, asked, problem):
    live = offer(**fields)
    with pytest.raises(problem):
        stock.reserve(live, actor=user("BUYER"), **asked)
    assert ledger(live) == (100, 0, 0, 0)


def test_the_last_part_may_be_below_the_minimum(offer, user):
    live, buyer = offer(quantity=17, min_order_quantity=Decimal(10)), user("BUYER")
    stock.reserve(live, actor=buyer, quantity=Decimal(10))
    with pytest.raises(rules.BelowMinimum):
        stock.reserve(live, actor=buyer, quantity=Decimal(5))
    stock.reserve(live, actor=buyer, quantity=Decimal(7))
    assert ledger(live) == (0, 17, 0, 0)


def test_only_an_eligible_buyer_reserves_and_only_a_live_offer(offer, user, partner):
    with pytest.raises(rules.InvalidState):
        stock.reserve(offer(live=False), actor=user("BUYER"), quantity=Decimal(1))
    live, firm = offer(), partner()
    with unguarded_writes():
        Partner.objects.filter(pk=firm.pk).update(status="suspended")
    with pytest.raises(rules.HolderNotEligible):
        stock.reserve(live, actor=user("BUYER", of=firm), quantity=Decimal(1))
    with pytest.raises(rules.PartnerInvalid):
        stock.reserve(live, actor=user("INTERNAL"), quantity=Decimal(1))


def test_only_the_holder_and_staff_can_release_a_reservation_and_others_cannot_learn_that_it_exists(
    offer, user, client_for
):
    live = offer()
    reservation = stock.reserve(live, actor=user("BUYER"), quantity=Decimal(10))
    other = client_for(user("BUYER"))
    answers = [
        other.write(f"{OFFERS}/{live.pk}/release", {"reservation_id": key})
        for key in (str(reservation.pk), "01890a5d-ac96-774b-bcce-b302099a8057")
    ]
    bodies = [{k: v for k, v in a.json().items() if k != "request_id"} for a in answers]
    assert bodies[0] == bodies[1]
    assert bodies[0]["code"] == "availability.reservation_not_found"
    assert other.read(f"{OFFERS}/reservations/{reservation.pk}").status_code == 404
    seller = client_for(user("TRADER", of=live.seller_partner))
    assert (
        seller.write(f"{OFFERS}/{live.pk}/release", {"reservation_id": str(reservation.pk)}).status_code
        == 422
    )
    staff = client_for(user("INTERNAL"))
    assert (
        staff.write(f"{OFFERS}/{live.pk}/release", {"reservation_id": str(reservation.pk)}).status_code == 422
    )
    released = staff.write(
        f"{OFFERS}/{live.pk}/release", {"reservation_id": str(reservation.pk), "reason": "asked by phone"}
    )
    assert released.status_code == 200
    assert ledger(live) == (100, 0, 0, 0)


def _run_out(reservation):
    with unguarded_writes():
        Reservation.objects.filter(pk=reservation.pk).update(expires_at=timezone.now() - timedelta(seconds=1))


def test_an_expired_reservation_is_available_to_the_next_buyer_before_any_sweep(offer, user, emitted):
    live = offer()
    old = stock.reserve(live, actor=user("BUYER"), quantity=Decimal(100))
    _run_out(old)
    stock.reserve(live, actor=user("BUYER"), quantity=Decimal(100))
    assert Reservation.objects.get(pk=old.pk).status == "EXPIRED"
    assert ledger(live) == (0, 100, 0, 0)
    assert emitted("availability.released")[-1].payload["reason"] == "expired"


@pytest.mark.django_db(transaction=True)
def test_four_concurrent_sweeps_expire_a_reservation_once(offer, user, emitted):
    live = offer()
    _run_out(stock.reserve(live, actor=user("BUYER"), quantity=Decimal(30)))

    def sweep(_: int) -> None:
        try:
            tasks.expire_reservations()
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(sweep, range(4)))
    tasks.expire_reservations()
    assert ledger(live) == (100, 0, 0, 0)
    assert len(emitted("availability.released")) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
def test_two_hundred_threads_reserve_one_bale_each_and_a_hundred_get_it(offer, user, emitted):
    live, buyer = offer(), user("BUYER")

    def take(_: int) -> str:
        try:
            stock.reserve(live, actor=buyer, quantity=Decimal(1))
            return "held"
        except rules.QuantityExceeded:
            return "exceeded"
        finally:
            connection.close()

    with ThreadPoolExecutor(60) as pool:
        results = list(pool.map(take, range(200)))
    assert (results.count("held"), results.count("exceeded")) == (100, 100)
    assert ledger(live) == (0, 100, 0, 0)
    assert len(emitted("availability.reserved")) == 100


def test_the_database_itself_refuses_a_ledger_that_does_not_add_up(offer):
    live = offer()
    for change in ({"available_quantity": 99}, {"available_quantity": -1, "reserved_quantity": 101}):
        with pytest.raises(IntegrityError), transaction.atomic(), unguarded_writes():
            Availability.objects.filter(pk=live.pk).update(**change)


def test_buyers_see_live_public_offers_without_the_seller(offer, user, client_for):
    live, draft, inner = offer(), offer(live=False), offer(visibility="INTERNAL")
    buyer = client_for(user("BUYER"))
    rows = buyer.read(OFFERS).json()["results"]
    assert [row["id"] for row in rows] == [str(live.pk)]
    row = rows[0]
    for hidden in ("number", "seller_partner_id", "available_quantity", "total_weight_kg", "notes"):
        assert row[hidden] is None
    assert (row["quantity_band"], row["place"]["state_code"], row["place"]["address"]) == (
        "100–200",
        "24",
        None,
    )
    for other in (draft, inner):
        assert buyer.read(f"{OFFERS}/{other.pk}").status_code == 404
        assert buyer.write(f"{OFFERS}/{other.pk}/reserve", {"quantity": "1"}).status_code == 404
    assert client_for(user("SELLER")).read(OFFERS).json()["results"] == []


def test_no_two_viewers_and_no_two_offers_share_a_pseudonym(offer, user, client_for):
    seller = user("SELLER")
    offers = [offer(seller=seller), offer(seller=seller)]
    seen = [
        row["seller_ref"]
        for viewer in (user("BUYER"), user("BUYER"))
        for row in client_for(viewer).read(OFFERS).json()["results"]
    ]
    assert len(offers) == 2
    assert len(set(seen)) == 4


def test_a_buyer_with_a_reservation_sees_the_exact_quantity(offer, user, client_for):
    live, buyer = offer(), user("BUYER")
    stock.reserve(live, actor=buyer, quantity=Decimal(60))
    row = client_for(buyer).read(f"{OFFERS}/{live.pk}").json()
    assert (row["available_quantity"], row["number"]) == ("40.000", None)


def test_the_owner_and_staff_see_everything_and_what_they_may_do_now(offer, user, client_for):
    seller = user("SELLER")
    draft = offer(seller=seller, live=False)
    own = client_for(seller).read(f"{OFFERS}/{draft.pk}").json()
    assert (own["number"], own["allowed_actions"]) == (
        draft.number,
        ["update", "submit", "cancel", "set-visibility"],
    )
    staff = client_for(user("INTERNAL_MANAGER"))
    assert staff.read(f"{OFFERS}/{draft.pk}").json()["allowed_actions"] == ["cancel"]
    offers.submit(draft, actor=seller)
    assert staff.read(f"{OFFERS}/{draft.pk}").json()["allowed_actions"] == ["approve", "reject", "cancel"]


@pytest.mark.parametrize("query", ["ordering=available_quantity", "number=AVL-2627-000001", "search=gondal"])
def test_no_filter_or_order_finds_a_masked_value(user, client_for, query):
    assert client_for(user("BUYER")).read(f"{OFFERS}?{query}").status_code == 400


def test_an_unchanged_row_answers_304(offer, user, client_for):
    live = offer()
    client = client_for(user("INTERNAL"))
    first = client.read(f"{OFFERS}/{live.pk}")
    again = client.read(f"{OFFERS}/{live.pk}", **{"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
    stock.reserve(live, actor=user("BUYER"), quantity=Decimal(1))
    assert client.read(f"{OFFERS}/{live.pk}", **{"If-None-Match": first["ETag"]}).status_code == 200


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        ("0", "0"),
        ("0.5", "0–1"),
        ("1", "1–2"),
        ("7", "5–10"),
        ("100", "100–200"),
        ("199.999", "100–200"),
        ("500", "500–1000"),
    ],
)
def test_bands_are_of_the_one_two_five_series(quantity, expected):
    assert band(Decimal(quantity)) == expected


def test_the_window_ends_at_local_midnight_also_where_clocks_change(offer):
    row = offer(live=False)
    for zone, last, ends in (
        ("Asia/Kolkata", date(2026, 3, 8), "2026-03-08T18:30:00+00:00"),
        ("America/New_York", date(2026, 3, 8), "2026-03-09T04:00:00+00:00"),
        ("America/New_York", date(2026, 3, 7), "2026-03-08T05:00:00+00:00"),
        ("Europe/London", date(2026, 3, 29), "2026-03-29T23:00:00+00:00"),
    ):
        row.time_zone, row.available_until_date = zone, last
        assert deadlines.window_end(row).isoformat() == ends
