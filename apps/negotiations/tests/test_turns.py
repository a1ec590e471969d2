"""Turns, time and terms of offers."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from apps.availability.models import Availability
from apps.availability.services import rules as of_offers
from apps.matching.models import Match
from apps.negotiations import events, tasks
from apps.negotiations.contact import MOST_PAIRS
from apps.negotiations.models import Negotiation, Offer
from apps.negotiations.services import decisions, offers, rules
from apps.negotiations.tests.factories import again, proposed
from apps.partners.models import Partner
from apps.requirement.models import Requirement
from erp import clock
from erp.access import SYSTEM
from erp.errors import CapabilityMissing
from erp.models import unguarded_writes
from erp.testing import at_once

pytestmark = pytest.mark.django_db


def refuses(problem, act, *arguments, **fields):
    """Assert that the act is refused; return the problem."""
    with pytest.raises(problem) as refusal:
        act(*arguments, **fields)
    return refusal.value


def test_buyer_and_seller_bid_in_turn_until_one_accepts(sides, assert_emitted):
    """§8.5: bid 53,000, counter 53,500, accepted: 100 bales reserved, match approved, trade at 53,500."""
    table = sides()
    row = table.start()
    table.bid(row)
    held = table.hold(row)
    assert (held.quantity, held.holder_partner_id) == (100, table.buyer.partner_id)
    table.ask(row)
    table.accept(row, table.buyer)
    row, match = again(row), again(table.match)
    assert (row.status, row.closed_by, row.round) == ("ACCEPTED", "BUYER", 2)
    assert (match.status, match.buyer_decision, match.seller_decision) == ("APPROVED", "APPROVED", "APPROVED")
    assert match.reservation_id == row.reservation_id == held.pk
    held.refresh_from_db()
    assert (held.bound_negotiation_id, held.unit_price, held.status) == (row.pk, 53_500, "HELD")
    assert [made.status for made in row.offers.order_by("round")] == ["COUNTERED", "ACCEPTED"]
    accepted = assert_emitted(events.NegotiationAccepted, side="BUYER", price="53500.000000")
    assert accepted.payload["requirement_id"] == str(match.requirement_id)
    assert accepted.payload["quantity"] == {"value": "100.000", "unit": "BALE"}
    # X1: the match doesn't end by itself, X35: nor is there a second negotiation.
    assert not Match.objects.filter(pk=match.pk).unprotected()
    refuses(rules.AlreadyOpen, table.start)


def test_a_negotiation_starts_from_a_live_match_of_ones_own(sides, user, partner):
    table = sides()
    refuses(CapabilityMissing, table.start, by=user("BUYER"))
    for staff in (user("INTERNAL_MANAGER"), user(), SYSTEM):
        refuses(CapabilityMissing, table.start, by=staff)
    with unguarded_writes():
        Match.objects.filter(pk=table.match.pk).update(expires_at=clock.now() - timedelta(seconds=1))
    refuses(rules.MatchNotLive, table.start)
    with unguarded_writes():
        Match.objects.filter(pk=table.match.pk).update(expires_at=clock.now() + timedelta(hours=1))
        Requirement.objects.filter(pk=table.match.requirement_id).update(status="SUSPENDED")
    refuses(rules.MatchNotLive, table.start)
    with unguarded_writes():
        Requirement.objects.filter(pk=table.match.requirement_id).update(status="ACTIVE")
    # Own reasons are named, those of the other side aren't (X10).
    seller = table.listing.seller_partner
    with unguarded_writes():
        seller.kyc_expiry_date = clock.today() - timedelta(days=1)
        seller.save()
    assert refuses(rules.NotEligible, table.start, by=table.seller).members["reasons"]
    assert not refuses(rules.CounterpartNotReady, table.start, by=table.buyer).members
    with unguarded_writes():
        seller.kyc_expiry_date = clock.today() + timedelta(days=1)
        seller.save()
    row = table.start(by=table.seller)
    assert (row.opened_by, row.turn, row.max_rounds) == ("SELLER", "SELLER", 10)
    assert (row.expires_at - row.created_at, row.hard_expires_at - row.created_at) == (
        timedelta(hours=48), timedelta(days=7),
    )  # fmt: skip


def test_nobody_moves_out_of_turn_or_answers_an_own_offer(sides, user):
    """§8.3."""
    table = sides()
    row = table.start()
    refuses(rules.NotYourTurn, table.ask, row)
    refuses(rules.NoStandingOffer, decisions.reject, row, actor=table.seller, reason="PRICE")
    refuses(rules.NoStandingOffer, decisions.accept, row, actor=table.seller, offer_id=row.pk)
    table.bid(row)
    first = again(row).standing_offer_id
    refuses(rules.NotYourTurn, table.bid, row)
    refuses(rules.OwnOffer, table.accept, row, table.buyer)
    refuses(rules.OwnOffer, decisions.reject, row, actor=table.buyer, reason="PRICE")
    for stranger in (user("BUYER"), user("INTERNAL_MANAGER"), user(), SYSTEM):
        refuses(CapabilityMissing, table.make, row, stranger, 53_000)
        refuses(CapabilityMissing, table.accept, row, stranger)
    for number in range(2, 11):
        (table.ask if number % 2 == 0 else table.bid)(row, 53_000 + number * 50)
    assert again(row).round == 10
    refuses(rules.RoundsUsedUp, table.bid, row)
    refuses(rules.OfferChanged, decisions.accept, row, actor=table.buyer, offer_id=first)
    decisions.reject(row, actor=table.buyer, reason="PRICE")
    assert refuses(rules.NotOpen, table.bid, row).members == {"status_now": "REJECTED"}
    refuses(rules.NotOpen, decisions.withdraw, row, actor=table.seller, reason="PRICE")
    match = again(table.match)
    assert (match.status, match.buyer_decision, match.buyer_reason) == ("REJECTED", "REJECTED", "PRICE")


def test_the_database_holds_the_turns_too(sides):
    """§8.2: a repeated round or a wrong side fails in raw SQL; an offer stays as it was made."""
    table = sides()
    row = table.start()
    table.bid(row)
    made = again(row).standing_offer
    values = {
        field.attname: getattr(made, field.attname)
        for field in Offer._meta.concrete_fields
        if field.name != "id"
    } | {"status": "COUNTERED"}
    wrong = (
        {"round": 1}, {"round": 2, "side": "BUYER"}, {"round": 3, "side": "BUYER"},
        {"round": 2, "side": "SELLER", "opened_by": "SELLER"}, {"round": 2, "side": "SELLER", "price": 0},
    )  # fmt: skip
    for fields in wrong:
        with unguarded_writes(), pytest.raises(IntegrityError), transaction.atomic():
            Offer(**values | fields).save(force_insert=True)
    for change in ("price = 1", "side = 'SELLER'", "valid_until = now()", "message = 'Other words.'"):
        with (
            pytest.raises(IntegrityError),
            transaction.atomic(),
            transaction.get_connection().cursor() as cursor,
        ):
            cursor.execute(f"UPDATE negotiation_offer SET {change}")
    with unguarded_writes(), pytest.raises(IntegrityError), transaction.atomic():
        Offer(**values | {"round": 2, "side": "SELLER", "status": "STANDING"}).save(force_insert=True)
    with unguarded_writes(), pytest.raises(IntegrityError), transaction.atomic():
        Offer.objects.all().delete()
    with unguarded_writes(), transaction.atomic():  # what the constraints allow
        Offer(**values | {"round": 2, "side": "SELLER"}).save(force_insert=True)


def test_an_offer_ends_by_time_whether_or_not_a_sweep_runs(sides, set_clock, emitted):
    """§8.4: one second past its validity it can't be accepted; the sweep lapses it once; the turn stays."""
    table = sides()
    row = table.start()
    table.bid(row)
    made = again(row).standing_offer
    set_clock(made.valid_until)
    refuses(rules.OfferLapsed, table.accept, row, table.seller)
    refuses(rules.NoStandingOffer, decisions.reject, row, actor=table.seller, reason="PRICE")
    tasks.expire_negotiations()
    tasks.expire_negotiations()
    assert (again(row).standing_offer, again(row).turn, again(made).status) == (None, "SELLER", "LAPSED")
    assert len(emitted("negotiation.offer_lapsed")) == 1
    refuses(rules.OfferLapsed, decisions.accept, row, actor=table.seller, offer_id=made.pk)
    table.ask(row)  # until the negotiation itself is over
    last = again(row).standing_offer
    assert last.valid_until == again(row).expires_at
    set_clock(again(row).expires_at)
    assert refuses(rules.NotOpen, table.bid, row).members == {"status_now": "EXPIRED"}
    assert tasks.expire_negotiations() == 1
    assert (again(row).status, again(last).status, again(table.match).status) == (
        "EXPIRED",
        "LAPSED",
        "PROPOSED",
    )
    assert len(emitted("negotiation.expired")) == 1


def test_four_sweepers_lapse_an_offer_once(sides, set_clock, emitted, transactional_db):
    table = sides()
    row = table.start()
    table.bid(row)
    set_clock(again(row).standing_offer.valid_until)
    at_once(*[tasks.expire_negotiations] * 4)
    assert len(emitted("negotiation.offer_lapsed")) == 1


def test_an_offer_is_valid_between_15_minutes_and_71_hours(sides, set_clock):
    table = sides()
    row = table.start()
    now = clock.now()
    for until in (timedelta(minutes=14), timedelta(hours=71, minutes=1), timedelta(hours=-1)):
        refuses(rules.ValidityOutOfRange, table.bid, row, valid_until=now + until)
    table.bid(row, valid_until=now + timedelta(hours=70))
    assert again(row).expires_at == now + timedelta(hours=70)
    set_clock(now + timedelta(hours=69))
    table.ask(row, valid_until=now + timedelta(hours=138))
    set_clock(now + timedelta(hours=137))
    refuses(rules.ValidityOutOfRange, table.bid, row, valid_until=row.hard_expires_at + timedelta(minutes=1))
    table.bid(row, valid_until=row.hard_expires_at)
    assert again(row).expires_at == row.hard_expires_at


def test_quantity_and_terms_stay_within_what_both_sides_have(sides, user):
    table = sides(offered={"min_order_quantity": Decimal(20)}, wanted={"max_quantity": Decimal(80)})
    row = table.start()
    refuses(of_offers.QuantityNotWhole, table.bid, row, quantity="50.5")
    refuses(of_offers.BelowMinimum, table.bid, row, quantity=10)
    refuses(rules.QuantityOutOfRange, table.bid, row, quantity=101)  # more than is offered
    refuses(rules.QuantityOutOfRange, table.bid, row, quantity=85)  # more than is wanted, tolerance included
    refuses(rules.QuantityOutOfRange, offers.offer, row, actor=table.buyer, price=Decimal(1),
            quantity={"value": Decimal(50), "unit": "KG"})  # fmt: skip
    today = clock.today()
    for window in (
        (today, today - timedelta(days=1)),
        (today - timedelta(days=9), today - timedelta(days=8)),
    ):
        refuses(
            rules.TermsNotAllowed, table.bid, row, quantity=50,
            window={"from_date": window[0], "until_date": window[1]},
        )  # fmt: skip
    delivery = table.listing.delivery_term
    with unguarded_writes():
        other = type(delivery).objects.create(
            code="FOR_MILL", name="FOR mill", name_key="for mill", basis="FOR_MILL", price_group="DELIVERED",
            risk_passes_at="DESTINATION",
        )  # fmt: skip
        old = type(delivery).objects.create(
            code="OLD", name="Old", name_key="old", basis="EX_GIN", price_group="EX", risk_passes_at="GIN",
            status="ARCHIVED",
        )  # fmt: skip
    for term in (other, old):
        refuses(rules.TermsNotAllowed, table.bid, row, quantity=50, delivery_term=term)
    table.bid(row, quantity=50, message="Ready to lift in 3 days.")
    made = again(row).standing_offer
    listing = table.listing
    assert (made.quantity, made.weight_kg, made.delivery_term, made.payment_term_id) == (
        50, 50 * 170, delivery, listing.payment_term_id,
    )  # fmt: skip
    assert (made.window_from_date, made.window_until_date) == (
        listing.available_from_date, listing.available_until_date,
    )  # fmt: skip
    refuses(rules.SameAsStanding, table.ask, row, 53_000)
    refuses(rules.ContactInMessage, table.ask, row, message="Call 98765 43210")
    table.ask(row, 53_500)
    assert again(row).standing_offer.quantity == 50  # as in the last one


def test_messages_name_no_firm_and_confirm_no_guess(sides, partner):
    """A guess at the other side is refused like the name of any firm."""

    def check(text, own):
        rules.check_message(text, own)
        rules.check_names(text)

    buyer, stranger = partner("Kaveri Spinners Pvt Ltd"), partner("Mahalaxmi Ginning Factory")
    for text in (
        "This is Kaveri calling",
        "Greetings from KAVERI  spinners",
        "We know Mahalaxmi Ginning Factory",
    ):
        refuses(rules.ContactInMessage, check, text, buyer)
    check("Good cotton from the ginning factory, 29 mm", buyer)
    check("This is Kaveri", stranger)  # one word of another firm names nobody
    refuses(rules.ContactInMessage, check, "from Kaveri Spinners", stranger)
    # Nobody takes words away from all others by calling a firm so.
    partner("Sagar Fibres", trade_name="Price Bales")
    partner("Tungabhadra Fibres", trade_name="Dharwad Cotton")
    with unguarded_writes():
        Partner.objects.filter(pk=partner("Somnath Weavers").pk).update(status=Partner.Status.DRAFT)
    for text in ("Price 53,500, 100 bales", "Cotton from Dharwad", "from Somnath Weavers"):
        check(text, buyer)
    with CaptureQueriesContext(connection) as queries:
        check(" ".join(f"wo{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(100)), buyer)
    assert len(queries) == 1
    assert queries[0]["sql"].count("LIKE") == 4 * MOST_PAIRS


def test_an_offer_is_bound_to_the_listings_terms(sides, user):
    """A listing that changed since: accept says so, a new offer is due, and may say the same."""
    table = sides()
    row = table.start()
    table.bid(row)
    with unguarded_writes():
        Availability.objects.filter(pk=table.listing.pk).update(terms_version=9)
    refuses(rules.ListingChanged, table.accept, row, table.seller)
    table.ask(row, 53_000)
    table.accept(row, table.buyer)
    assert again(row).accepted_offer.availability_terms_version == 9


def test_listings_off_the_market_take_no_new_offer(sides):
    table = sides()
    row = table.start()
    with unguarded_writes():
        Availability.objects.filter(pk=table.listing.pk).update(expires_at=clock.now() - timedelta(seconds=1))
    refuses(rules.ListingNotLive, table.bid, row)
    assert not Negotiation.objects.get(pk=row.pk).round


def test_ending_needs_a_note_with_other(sides):
    table = sides()
    row = table.start()
    refuses(rules.NoteRequired, decisions.withdraw, row, actor=table.seller, reason="OTHER")
    decisions.withdraw(row, actor=table.seller, reason="OTHER", note="Sold elsewhere.")
    row = again(row)
    assert (row.status, row.closed_by, row.close_reason, row.close_note) == (
        "WITHDRAWN", "SELLER", "OTHER", "Sold elsewhere.",
    )  # fmt: skip
    assert again(table.match).seller_decision == "REJECTED"
    refuses(rules.AlreadyOpen, table.start)


def test_one_negotiation_a_match_though_another_pairs_the_same_firms(sides, offer, requirement, user):
    table = sides()
    table.start()
    second = proposed(
        requirement(buyer=table.buyer, goods=table.listing.commodity),
        offer(seller=table.seller, commodity=table.listing.commodity),
    )
    assert offers.start(actor=table.seller, match=second).match == second
