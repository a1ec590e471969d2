"""What offers reserve, acceptance takes, and an end gives back."""

from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.core.cache import cache

from apps.availability.models import Availability
from apps.availability.services import decisions as listings
from apps.availability.services import rules as of_offers
from apps.availability.services import stock
from apps.availability.tests.factories import terms
from apps.matching.models import Match
from apps.negotiations import tasks
from apps.negotiations.models import Offer
from apps.negotiations.services import decisions, rules
from apps.negotiations.tests.factories import again
from apps.negotiations.tests.factories import table as make_table
from apps.negotiations.tests.test_turns import refuses
from apps.notifications.models import Message
from apps.partners.models import CreditAccount, Partner
from apps.requirement.services import requirements
from apps.risk.models import ScreeningHit
from apps.risk.services import rates
from apps.risk.tests.factories import sanctions
from erp import clock
from erp.access import SYSTEM
from erp.models import unguarded_writes
from erp.services import Refusal

pytestmark = pytest.mark.django_db


def available(table):
    return table.listing.available_quantity


def holds_of(buyer):
    return CreditAccount.objects.get(partner=buyer.partner_id).holds


@pytest.fixture
def follow(deliver):
    """Hand events to their handlers, then run the sweep that they start."""
    return lambda: (deliver(), tasks.close_negotiations())


def test_only_the_buyers_offer_holds_goods_and_credit(sides):
    """§8.8: a seller's offer never touches a buyer's credit; §5.2: later ones extend, cut or replace the hold."""
    table = sides(credit=5_000_000)
    row = table.start(by=table.seller)
    table.ask(row, 53_500, quantity=50)
    assert (again(row).reservation_id, available(table), holds_of(table.buyer)) == (None, 100, 0)
    table.bid(row, 53_000, quantity=50)
    first = table.hold(row)
    made = again(row).standing_offer
    assert (first.quantity, first.expires_at) == (50, made.valid_until + timedelta(hours=1))
    assert (first.requirement_id, first.negotiation_id) == (table.match.requirement_id, row.pk)
    assert holds_of(table.buyer) == first.credit_amount > 0
    table.ask(row, 53_400)
    assert holds_of(table.buyer) == first.credit_amount
    table.bid(row, 53_050, quantity=30, valid_until=clock.now() + timedelta(hours=60))
    cut = table.hold(row)
    assert (cut.pk, cut.open_quantity, available(table)) == (first.pk, 30, 70)
    assert cut.expires_at == again(row).standing_offer.valid_until + timedelta(hours=1)
    table.ask(row, 53_350)
    table.bid(row, 53_100, quantity=80)
    larger = table.hold(row)
    assert (larger.pk != first.pk, larger.open_quantity, available(table)) == (True, 80, 20)
    assert again(first).status == "RELEASED"
    table.accept(row, table.seller)
    bound = table.hold(row)
    assert (bound.pk, bound.bound_negotiation_id, bound.unit_price) == (larger.pk, row.pk, 53_100)
    assert holds_of(table.buyer) == bound.credit_amount


def test_an_offer_far_below_the_ask_holds_nothing_until_the_seller_answers(sides):
    table = sides()
    row = table.start()
    table.bid(row, 42_799)
    assert (again(row).reservation_id, available(table)) == (None, 100)
    table.ask(row)
    table.bid(row, 42_799)  # countered: now it is taken for serious
    assert available(table) == 0
    other = sides()
    low = other.start()
    other.bid(low, 42_799)
    other.accept(low, other.seller)
    assert (other.hold(low).bound_negotiation_id, available(other)) == (low.pk, 0)
    exact = sides()
    at_floor = exact.start()
    exact.bid(at_floor, 42_800)
    assert available(exact) == 0


def test_several_negotiations_hold_no_more_than_the_credit(sides, offer):
    """§8.8: N negotiations of one buyer never hold more than the limit; the seller learns nothing of it (X10)."""
    table = sides(credit=3_000_000)  # 100 bales need 2,557,504 and GST
    row = table.start()
    table.bid(row)
    more = make_other(table, offer)
    second = more.start()
    refused = more.bid(second)
    assert refused.problem.code == "risk.blocked"
    assert refused.problem.members["reasons"]
    assert holds_of(table.buyer) <= 3_000_000
    third = make_other(table, offer)
    asked = third.start(by=third.seller)
    third.ask(asked)
    third.bid(asked, 30_000)  # holds nothing, but isn't affordable either
    told = third.accept(asked, third.seller).problem
    assert (told.code, told.members) == ("negotiation.counterpart_not_ready", {})
    assert again(asked).status == "OPEN"


def make_other(table, offer):
    """Another match of the same buyer and goods."""
    advance = table.listing.payment_term.advance_percent
    listing = offer(commodity=table.listing.commodity, advance=int(advance))
    world = SimpleNamespace(requirement=lambda **fields: again(table.match.requirement))
    return make_table(world, buyer=table.buyer, listing=listing)


def test_the_credit_follows_the_agreed_payment_terms(sides, offer):
    """§8.8: not those of the listing: N negotiations on credit hold no more than the limit, and advance holds none."""
    table = sides(credit=3_000_000)  # 100 bales on credit need 2,557,504 and GST
    on_credit, in_advance = table.listing.payment_term, terms(100)["payment_term"]
    row = table.start()
    table.bid(row)
    full = holds_of(table.buyer)
    table.ask(row)
    table.bid(row, payment_term=in_advance)  # the same quantity
    assert full > 2_500_000
    assert (holds_of(table.buyer), table.hold(row).payment_term) == (0, in_advance)

    def listed_in_advance():
        listing = offer(commodity=table.listing.commodity, advance=100)
        world = SimpleNamespace(requirement=lambda **fields: again(table.match.requirement))
        return make_table(world, buyer=table.buyer, listing=listing)

    second, third, fourth = (listed_in_advance() for _ in range(3))
    bidding, refused, asked = second.start(), third.start(), fourth.start(by=fourth.seller)
    second.bid(bidding, payment_term=on_credit)
    assert (holds_of(table.buyer), second.hold(bidding).payment_term) == (full, on_credit)
    assert third.bid(refused, payment_term=on_credit).problem.code == "risk.blocked"
    fourth.ask(asked, 53_000, payment_term=on_credit)
    assert fourth.accept(asked, fourth.buyer).problem.code == "risk.blocked"
    second.accept(bidding, second.seller)
    assert (holds_of(table.buyer), second.hold(bidding).payment_term) == (full, on_credit)


def test_credit_in_another_currency_is_held_at_the_rate_of_the_day(sides):
    table = sides(credit=40_000)
    with unguarded_writes():
        CreditAccount.objects.filter(partner=table.buyer.partner_id).update(currency="USD")
    rates.record_rate(actor=SYSTEM, currency="USD", date=clock.today(), rate=Decimal("88.5"), source="RBI")
    row = table.start()
    table.bid(row)
    held = holds_of(table.buyer)
    assert 28_000 < held < 31_000  # 2,557,504 and GST in INR
    table.accept(row, table.seller)
    assert holds_of(table.buyer) == held


def test_a_hit_found_by_the_judgement_stays_with_its_refusal(sides):
    table = sides()
    row = table.start()
    sanctions(("R1", "ENTITY", Partner.objects.get(pk=table.buyer.partner_id).legal_name, "IN"))
    assert isinstance(table.bid(row), Refusal)
    assert (ScreeningHit.objects.count(), again(row).round) == (1, 0)


def test_larger_offers_reserve_no_longer_than_72_hours_together(sides, set_clock):
    """X7: a reservation that replaces another lives no longer; after that only acceptance reserves."""
    table = sides(quantity=200)
    row = table.start()
    table.bid(row, quantity=50, valid_until=clock.now() + timedelta(hours=70))
    first = table.hold(row)
    set_clock(first.created_at + timedelta(hours=60))
    table.ask(row)
    table.bid(row, quantity=60)
    larger = table.hold(row)
    assert (larger.quantity, larger.expires_at) == (60, first.created_at + timedelta(hours=72))
    set_clock(first.created_at + timedelta(hours=73))
    table.ask(row)
    table.bid(row, quantity=70)
    assert (again(row).reservation_id, available(table)) == (None, 140)  # the one past its time isn't swept
    table.accept(row, table.seller)
    assert (table.hold(row).quantity, available(table)) == (70, 130)


def test_a_lost_hold_is_noted_and_acceptance_takes_the_goods_anew(sides, user, follow, emitted):
    """§8.6: hold lost and stock gone: 409, still open; a failed acceptance leaves nothing behind."""
    table = sides()
    row = table.start()
    table.bid(row)
    lost = table.hold(row)
    follow()
    manager = user("INTERNAL_MANAGER")
    stock.release(table.listing, actor=manager, reservation_id=lost.pk, reason="Sold by telephone.")
    follow()
    assert (again(row).status, again(row).reservation_id) == ("OPEN", None)
    assert len(emitted("negotiation.hold_lost")) == 1
    other = stock.reserve(table.listing, actor=user("BUYER"), quantity=Decimal(60))
    refuses(of_offers.QuantityExceeded, table.accept, row, table.seller)
    assert (again(row).status, again(table.match).status) == ("OPEN", "PROPOSED")
    assert not emitted("negotiation.accepted")
    stock.release(table.listing, actor=SYSTEM, reservation_id=other.pk)
    table.accept(row, table.seller)
    assert (table.hold(row).open_quantity, again(row).status) == (100, "ACCEPTED")


def test_a_hold_past_its_deadline_is_worth_nothing_before_any_sweep(sides, set_clock, emitted):
    table = sides()
    row = table.start()
    table.bid(row, valid_until=clock.now() + timedelta(minutes=30))
    first = table.hold(row)
    set_clock(first.expires_at)
    assert again(row).standing_offer.has_lapsed(clock.now())
    table.ask(row)
    assert (again(row).reservation_id, len(emitted("negotiation.hold_lost"))) == (None, 1)
    table.accept(row, table.buyer)
    assert (table.hold(row).pk != first.pk, table.hold(row).expires_at) == (
        True, again(row).accepted_at + timedelta(hours=24),
    )  # fmt: skip


def test_an_accepted_hold_serves_its_trade_only(sides, user):
    """§8.9: neither a party nor another negotiation, match or trade uses or releases it."""
    table = sides()
    row = table.start()
    table.bid(row)
    table.accept(row, table.seller)
    bound, listing = table.hold(row), table.listing
    refuses(of_offers.ReservationBound, stock.release, listing, actor=table.buyer, reservation_id=bound.pk)
    key = {"reservation_id": bound.pk, "unit_price": Decimal(53_000)}
    for other in (None, uuid4()):
        refuses(
            of_offers.ReservationBound,
            stock.commit,
            listing,
            actor=SYSTEM,
            trade_id=uuid4(),
            negotiation_id=other,
            **key,
        )
    refuses(
        of_offers.ReservationBound, stock.bind, listing, actor=SYSTEM, negotiation_id=uuid4(),
        until=clock.now() + timedelta(hours=1), **key,
    )  # fmt: skip
    # Neither the end of the requirement nor that of the offer gives it back (X5, X6).
    refuses(
        Exception,
        requirements.cancel,
        again(table.match.requirement),
        actor=table.buyer,
        reason_code="NOT_NEEDED",
    )
    listings.suspend(listing, actor=user("INTERNAL_MANAGER"), reason="A complaint.")
    assert again(bound).status == "HELD"
    stock.commit(table.listing, actor=SYSTEM, trade_id=uuid4(), negotiation_id=row.pk, **key)
    assert again(bound).status == "IN_TRADE"


def test_acceptance_asks_what_the_buyer_still_needs(sides, offer, requirement):
    """X12: what other deals hold counts, one's own reservation doesn't."""
    table = sides()
    row = table.start()
    table.bid(row)
    other = make_other(table, offer)
    second = other.start()
    other.bid(second)
    other.accept(second, other.seller)  # 100 of 105
    refuses(rules.WantExhausted, table.accept, row, table.seller)
    assert again(row).status == "OPEN"


def test_an_approved_match_brings_its_hold(sides):
    """§5.2, §5.4: it is used and cut at acceptance; without a deal it stays with the match."""

    def approved():
        table = sides()
        held = stock.reserve(
            table.listing, actor=SYSTEM, holder_partner=Partner.objects.get(pk=table.buyer.partner_id),
            quantity=Decimal(100), match_id=table.match.pk, requirement_id=table.match.requirement_id,
        )  # fmt: skip
        with unguarded_writes():
            Match.objects.filter(pk=table.match.pk).update(
                status="APPROVED", reservation_id=held.pk, buyer_decision="APPROVED", seller_decision="APPROVED",
                buyer_quantity=100,
            )  # fmt: skip
        return table, held

    table, held = approved()
    row = table.start()
    assert (row.reservation_id, row.own_hold) == (held.pk, False)
    table.bid(row, quantity=40)
    assert again(held).open_quantity == 100
    table.accept(row, table.seller)
    assert (again(held).open_quantity, again(held).bound_negotiation_id) == (40, row.pk)
    assert again(table.match).buyer_quantity == 40
    table, held = approved()
    row = table.start()
    table.bid(row)
    decisions.withdraw(row, actor=table.buyer, reason="TIMING")
    assert (again(held).status, again(table.match).status) == ("HELD", "APPROVED")


def test_what_the_match_reserved_meanwhile_is_used_or_released(sides):
    """Both sides approve the match while they negotiate: acceptance binds one reservation and leaves no other."""
    for bids_first in (True, False):
        table = sides(quantity=200)
        row = table.start(by=table.buyer if bids_first else table.seller)
        if bids_first:
            table.bid(row, quantity=50)
        else:
            table.ask(row, quantity=50)
        held = stock.reserve(
            table.listing, actor=SYSTEM, holder_partner=Partner.objects.get(pk=table.buyer.partner_id),
            quantity=Decimal(50), match_id=table.match.pk, requirement_id=table.match.requirement_id,
        )  # fmt: skip
        with unguarded_writes():
            Match.objects.filter(pk=table.match.pk).update(status="APPROVED", reservation_id=held.pk)
        table.accept(row, table.seller if bids_first else table.buyer)
        assert (again(held).status, available(table)) == ("RELEASED" if bids_first else "HELD", 150)
        assert again(row).reservation_id == again(table.match).reservation_id == table.hold(row).pk


def test_an_end_without_a_deal_gives_the_hold_back_once(sides, set_clock, emitted):
    """§8.11: reject, withdraw and expiry."""
    for act in (
        lambda table, row: decisions.reject(row, actor=table.seller, reason="PRICE"),
        lambda table, row: decisions.withdraw(row, actor=table.buyer, reason="TIMING"),
    ):
        table = sides()
        row = table.start()
        table.bid(row)
        released = len(emitted("availability.released"))
        act(table, row)
        assert (available(table), again(row).reservation_id) == (100, None)
        assert len(emitted("availability.released")) == released + 1
    assert [made.status for made in Offer.objects.order_by("created_at")] == ["REJECTED", "WITHDRAWN"]
    table = sides()
    row = table.start()
    table.bid(row, valid_until=clock.now() + timedelta(hours=48))
    set_clock(again(row).expires_at)
    assert [tasks.expire_negotiations(), tasks.expire_negotiations()] == [1, 0]
    assert (available(table), again(row).status, again(row).closed_by) == (100, "EXPIRED", "SYSTEM")


def test_rows_that_fail_hold_up_no_others_and_many_events_start_one_run(sides, monkeypatch, deliver):
    tables = [sides() for _ in range(3)]
    rows = sorted((each.start() for each in tables), key=lambda row: row.pk)
    with unguarded_writes():
        Match.objects.all().update(status="SUPERSEDED")
    monkeypatch.setattr(tasks, "CHUNK", 1)
    real = decisions.close

    def close(row, *, actor):
        if row.pk == rows[0].pk:
            raise RuntimeError("It always fails.")
        return real(row, actor=actor)

    monkeypatch.setattr(decisions, "close", close)
    assert tasks.close_negotiations() == 2
    assert [again(row).status for row in rows] == ["OPEN", "WITHDRAWN", "WITHDRAWN"]
    started = []
    monkeypatch.setattr(tasks.close_negotiations, "apply_async", lambda **options: started.append(options))
    cache.clear()
    for _ in range(2):
        tasks._wake()
    assert [options["expires"] for options in started] == [60]


def test_what_cant_go_on_is_closed_by_the_system(sides, follow, emitted, user):
    """§8.11, X1, X33: a suspended partner's, those of ended listings and of matches that became a trade elsewhere."""
    suspended, cancelled, converted, run_out = sides(), sides(), sides(), sides()
    rows = {each: each.start() for each in (suspended, cancelled, converted, run_out)}
    for each, row in rows.items():
        each.bid(row)
    follow()
    with unguarded_writes():
        Partner.objects.filter(pk=suspended.seller.partner_id).update(status=Partner.Status.SUSPENDED)
        Match.objects.filter(pk=converted.match.pk).update(
            status="CONVERTED", trade_id=uuid4(), reservation_id=uuid4(),
        )  # fmt: skip
        Availability.objects.filter(pk=run_out.listing.pk).update(
            expires_at=clock.now() - timedelta(seconds=1)
        )
    requirements.cancel(again(cancelled.match.requirement), actor=cancelled.buyer, reason_code="NOT_NEEDED")
    listings.expire(run_out.listing, actor=SYSTEM)
    follow()
    ends = {
        each: (again(row).status, again(row).closed_by, again(row).close_reason) for each, row in rows.items()
    }
    assert [ends[each] for each in (suspended, cancelled, converted)] == [
        ("WITHDRAWN", "SYSTEM", reason) for reason in ("PARTNER_SUSPENDED", "LISTING_ENDED", "MATCH_ENDED")
    ]
    told = [event.payload["reason"] for event in emitted("negotiation.withdrawn")]
    assert sorted(told) == ["LISTING_ENDED", "MATCH_ENDED", "MATCH_ENDED"]  # nothing of the suspension
    hidden = again(rows[suspended])
    assert (hidden.shown_reason, hidden.badge_of("SELLER")["verified"]) == ("MATCH_ENDED", True)
    assert (available(cancelled), available(converted)) == (100, 100)
    # The goods of the fourth are still held: no new offer, but the current one can be accepted.
    assert (run_out.listing.status, ends[run_out][0]) == ("EXPIRED", "OPEN")
    refuses(rules.ListingNotLive, run_out.ask, rows[run_out])
    run_out.accept(rows[run_out], run_out.seller)
    assert again(rows[run_out]).status == "ACCEPTED"


def test_a_trade_is_linked_once(sides):
    """X35: a cancelled trade frees the negotiation for no other."""
    from erp.services import unit_of_work

    def link(row, trade):
        with unit_of_work(SYSTEM):
            return decisions.link_trade(again(row), actor=SYSTEM, trade_id=trade)

    table = sides()
    row = table.start()
    table.bid(row)
    trade = uuid4()
    refuses(rules.TradeLinked, link, row, trade)
    table.accept(row, table.seller)
    assert link(row, trade).trade_id == link(row, trade).trade_id == trade
    refuses(rules.TradeLinked, link, row, uuid4())


def test_the_other_side_is_notified_without_a_word_about_the_mover(sides, user, deliver):
    table = sides()
    seller = Partner.objects.get(pk=table.seller.partner_id)
    colleague, clerk = user("SELLER", of=seller), user("PARTNER_ADMIN", of=seller)
    row = table.start()
    table.bid(row)
    deliver()
    told = Message.objects.filter(code="negotiation_offer")
    assert set(told.values_list("user_id", flat=True)) == {table.seller.pk, colleague.pk}
    assert clerk.pk not in told.values_list("user_id", flat=True)
    decisions.withdraw(row, actor=table.seller, reason="PRICE")
    deliver()
    assert set(Message.objects.filter(code="negotiation_ended").values_list("user_id", flat=True)) == {
        table.buyer.pk
    }
    from apps.negotiations import notices

    message = told.first()
    assert notices.OFFER.values(message) is None  # answered by now: nothing is sent
    assert set(notices.ENDED.values(Message.objects.get(code="negotiation_ended"))) == {"status", "link"}
    assert str(table.buyer.partner_id) not in str(message.context)
