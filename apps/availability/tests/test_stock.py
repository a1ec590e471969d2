"""The ledger of an offer through trades: committed, sold, returned; credit that reservations hold."""

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.availability import ledgers
from apps.availability.models import Availability, Reservation
from apps.availability.services import decisions, offers, rules, stock
from apps.availability.tests import factories
from apps.commodities.models.pricing import PricingUnit
from apps.partners.models import CreditAccount, Partner, PartyLink
from apps.partners.services import exposure
from erp import clock
from erp.access import SYSTEM
from erp.errors import Conflict, RuleBroken, Throttled
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db
PRICE = Decimal(53500)
OFFERS = "/api/v1/availabilities"


def ledger(offer):
    row = Availability.objects.get(pk=offer.pk)
    return (row.available_quantity, row.reserved_quantity, row.sold_quantity, row.withdrawn_quantity)


def status(offer):
    return Availability.objects.get(pk=offer.pk).status


def reserve(offer, partner, quantity, **fields):
    return stock.reserve(offer, actor=SYSTEM, holder_partner=partner, quantity=Decimal(quantity), **fields)


def in_trade(offer, partner, quantity, trade=None):
    held, trade = reserve(offer, partner, quantity), trade or uuid4()
    stock.commit(offer, actor=SYSTEM, reservation_id=held.pk, trade_id=trade, unit_price=PRICE)
    return held, trade


def sold(offer, partner, quantity):
    held, trade = in_trade(offer, partner, quantity)
    stock.mark_sold(offer, actor=SYSTEM, reservation_id=held.pk, trade_id=trade)
    return held, trade


def run_out(reservation):
    with unguarded_writes():
        reservation.expires_at = clock.now() - timedelta(seconds=1)
        reservation.save()


def credit_of(partner):
    return CreditAccount.objects.get(partner=partner).holds


def test_the_last_sale_sells_the_offer_out(offer, partner, emitted):
    live, buyer = offer(), partner()
    sold(live, buyer, 60)
    assert (ledger(live), status(live)) == ((40, 0, 60, 0), "ACTIVE")
    sold(live, buyer, 40)
    assert (ledger(live), status(live)) == ((0, 0, 100, 0), "SOLD_OUT")
    last = emitted("availability.sold")[-1].payload
    assert (last["status"], last["remaining"]["value"], Decimal(last["price"])) == (
        "SOLD_OUT",
        "0.000",
        PRICE,
    )


def test_a_trade_cancelled_after_part_was_delivered_returns_the_rest_and_the_offer_comes_back(offer, partner):
    """A trade of 60 cancelled after 20 are delivered: exactly 40 come back, SOLD_OUT turns ACTIVE."""
    live, buyer = offer(quantity=60), partner()
    held, trade = sold(live, buyer, 60)
    stock.return_stock(live, actor=SYSTEM, reservation_id=held.pk, trade_id=trade, quantity=Decimal(40))
    assert (ledger(live), status(live)) == ((40, 0, 20, 0), "ACTIVE")


def test_stock_returned_to_an_ended_offer_or_to_be_kept_is_withdrawn(offer, partner):
    """On an expired offer, or where the seller keeps it, returned stock is withdrawn."""
    buyer = partner()
    kept, ended = offer(), offer()
    held, trade = in_trade(kept, buyer, 60)
    stock.return_stock(kept, actor=SYSTEM, reservation_id=held.pk, trade_id=trade, withdraw=True)
    assert (ledger(kept), status(kept)) == ((40, 0, 0, 60), "ACTIVE")
    held, trade = in_trade(ended, buyer, 60)
    with unguarded_writes():
        Availability.objects.filter(pk=ended.pk).update(expires_at=clock.now())
    decisions.expire(ended, actor=SYSTEM)
    stock.return_stock(ended, actor=SYSTEM, reservation_id=held.pk, trade_id=trade)
    assert (ledger(ended), status(ended)) == ((0, 0, 0, 100), "EXPIRED")


def test_the_only_sale_returned_to_be_kept_cancels_the_offer(offer, partner):
    live = offer()
    held, trade = sold(live, partner(), 100)
    stock.return_stock(live, actor=SYSTEM, reservation_id=held.pk, trade_id=trade, withdraw=True)
    assert (ledger(live), status(live)) == ((0, 0, 0, 100), "CANCELLED")


def test_a_sold_out_offer_with_other_terms_comes_back_to_approval_or_suspended(offer, partner, user):
    seller = user("SELLER")
    live = offer(seller=seller)
    held, trade = sold(live, partner(), 100)
    with unguarded_writes():
        Availability.objects.filter(pk=live.pk).update(unit_price=Decimal(60000))
    stock.return_stock(live, actor=SYSTEM, reservation_id=held.pk, trade_id=trade, quantity=Decimal(10))
    assert status(live) == "PENDING_APPROVAL"
    other = offer()
    held, trade = sold(other, partner(), 100)
    with unguarded_writes():
        Partner.objects.filter(pk=other.seller_partner_id).update(status="suspended")
    stock.return_stock(other, actor=SYSTEM, reservation_id=held.pk, trade_id=trade)
    assert status(other) == "SUSPENDED"


def test_a_reservation_is_marked_as_sold_once_and_for_its_own_trade(offer, partner):
    """Marked as sold twice, while only held, or with another trade: refused, and nothing moves."""
    live, buyer = offer(), partner()
    held = reserve(live, buyer, 10)
    with pytest.raises(rules.ReservationNotInTrade):
        stock.mark_sold(live, actor=SYSTEM, reservation_id=held.pk, trade_id=uuid4())
    done, trade = in_trade(live, buyer, 20)
    with pytest.raises(rules.TradeMismatch):
        stock.mark_sold(live, actor=SYSTEM, reservation_id=done.pk, trade_id=uuid4())
    assert ledger(live) == (70, 30, 0, 0)
    stock.mark_sold(live, actor=SYSTEM, reservation_id=done.pk, trade_id=trade)
    with pytest.raises(rules.ReservationClosed):
        stock.mark_sold(live, actor=SYSTEM, reservation_id=done.pk, trade_id=trade)
    with pytest.raises(rules.ReservationNotFound):
        stock.mark_sold(live, actor=SYSTEM, reservation_id=uuid4(), trade_id=trade)
    assert ledger(live) == (70, 10, 20, 0)


def test_one_trade_is_backed_by_one_reservation(offer, partner):
    live, buyer, trade = offer(), partner(), uuid4()
    in_trade(live, buyer, 10, trade)
    other = reserve(live, buyer, 10)
    with pytest.raises(rules.TradeMismatch):
        stock.commit(live, actor=SYSTEM, reservation_id=other.pk, trade_id=trade, unit_price=PRICE)


def test_past_its_deadline_a_reservation_is_worth_nothing_before_any_sweep(offer, partner):
    live = offer()
    held = reserve(live, partner(), 10)
    run_out(held)
    for attempt in (
        lambda: stock.commit(live, actor=SYSTEM, reservation_id=held.pk, trade_id=uuid4(), unit_price=PRICE),
        lambda: stock.extend_hold(live, actor=SYSTEM, reservation_id=held.pk, until=clock.now()),
        lambda: stock.bind(
            live,
            actor=SYSTEM,
            reservation_id=held.pk,
            negotiation_id=uuid4(),
            unit_price=PRICE,
            until=clock.now(),
        ),
    ):
        with pytest.raises(rules.ReservationExpired):
            attempt()


def test_a_bound_reservation_serves_its_negotiation_only(offer, user, partner, emitted):
    live, buyer = offer(), user("BUYER")
    deal, until = uuid4(), clock.now() + timedelta(hours=80)
    held = stock.reserve(live, actor=buyer, quantity=Decimal(10))
    stock.bind(
        live, actor=SYSTEM, reservation_id=held.pk, negotiation_id=deal, unit_price=PRICE,
        until=clock.now() + timedelta(hours=71),
    )  # fmt: skip
    with pytest.raises(rules.HoldTooLong):
        stock.bind(
            live, actor=SYSTEM, reservation_id=held.pk, negotiation_id=deal, unit_price=PRICE, until=until
        )
    with pytest.raises(rules.ReservationBound):
        stock.release(live, actor=buyer, reservation_id=held.pk)
    with pytest.raises(rules.ReservationBound):
        stock.commit(live, actor=SYSTEM, reservation_id=held.pk, trade_id=uuid4(), unit_price=PRICE)
    decisions.suspend(live, actor=SYSTEM, reason="Doubts about the lot.")
    assert Reservation.objects.get(pk=held.pk).status == "HELD", "what backs a deal stays"
    stock.commit(
        live, actor=SYSTEM, reservation_id=held.pk, trade_id=uuid4(), unit_price=PRICE, negotiation_id=deal
    )
    assert emitted("availability.committed")[-1].payload["unit_price"] == "53500"


def test_a_hold_is_extended_to_seventy_two_hours_after_it_was_made(offer, partner):
    live = offer()
    held = reserve(live, partner(), 10)
    with pytest.raises(rules.HoldTooLong):
        stock.extend_hold(
            live, actor=SYSTEM, reservation_id=held.pk, until=held.created_at + timedelta(hours=73)
        )
    until = held.created_at + timedelta(hours=72)
    stock.extend_hold(live, actor=SYSTEM, reservation_id=held.pk, until=until)
    assert Reservation.objects.get(pk=held.pk).expires_at == until
    with pytest.raises(rules.NotLater):
        stock.extend_hold(live, actor=SYSTEM, reservation_id=held.pk, until=until)


# Credit


def test_a_reservation_holds_credit_with_gst_less_the_advance_and_gives_it_back_in_proportion(
    offer, partner, tax_rate
):
    """100 bales at 53,500 a candy are worth 2,557,505.20 rupees; 85 percent are on credit."""
    tax_rate("5201", 0)
    live = offer(advance=15)
    buyer = factories.with_credit(partner(), 100_00_000)
    held = reserve(live, buyer, 100)
    assert Availability.objects.get(pk=live.pk).estimated_value == Decimal("2557505.20")
    assert credit_of(buyer) == held.credit_amount == Decimal("2173879.42")
    stock.release(live, actor=SYSTEM, reservation_id=held.pk, quantity=Decimal(40))
    assert credit_of(buyer) == Decimal("1304327.65")
    stock.release(live, actor=SYSTEM, reservation_id=held.pk)
    assert credit_of(buyer) == 0


def test_gst_is_part_of_the_credit(offer, partner, tax_rate):
    live = offer(advance=0)
    buyer = factories.with_credit(partner(), 100_00_000)
    tax_rate("5201", 5)
    assert reserve(live, buyer, 100).credit_amount == Decimal("2685380.46")


def test_credit_is_given_back_when_the_reservation_runs_out(offer, partner, tax_rate):
    tax_rate("5201", 5)
    live, buyer = offer(advance=15), factories.with_credit(partner(), 100_00_000)
    run_out(reserve(live, buyer, 50))
    assert credit_of(buyer) > 0
    stock.expire_reservations(live, actor=SYSTEM)
    assert (credit_of(buyer), ledger(live)) == (0, (100, 0, 0, 0))


def test_binding_prices_the_credit_anew(offer, partner, tax_rate):
    """100 bales at 54,000 a candy are worth 2,581,407.12 rupees."""
    tax_rate("5201", 0)
    live, buyer = offer(advance=0), factories.with_credit(partner(), 26_00_000)
    held = reserve(live, buyer, 100)
    until = clock.now() + timedelta(hours=20)

    def bind(price):
        stock.bind(
            live,
            actor=SYSTEM,
            reservation_id=held.pk,
            negotiation_id=NEGOTIATION,
            unit_price=Decimal(price),
            until=until,
        )

    bind(54000)
    assert credit_of(buyer) == Decimal("2581407.12")
    bind(53000)
    assert credit_of(buyer) == Decimal("2533603.28")
    with pytest.raises(exposure.CreditExceeded):
        bind(55000)
    assert credit_of(buyer) == Decimal("2533603.28")


def test_a_reservation_keeps_its_weight_price_unit_payment_terms_and_tax_whatever_the_offer_says_later(
    offer, user, partner, tax_rate
):
    tax_rate("5201", 5)
    seller = user("SELLER")
    live = offer(seller=seller, advance=0)
    buyer = factories.with_credit(partner(), 100_00_000)
    held = reserve(live, buyer, 50)
    first = credit_of(buyer)
    with unguarded_writes():
        quintal = PricingUnit.objects.create(
            code="INR/QTL", currency="INR", unit=factories.unit("QTL"), places=2
        )
    later = {
        "total_weight_kg": Decimal(16000),
        "advance": 50,
        "tax_basis": "INCLUSIVE",
        "pricing_unit": quintal,
    }
    offers.update(Availability.objects.get(pk=live.pk), actor=seller, content=factories.content(**later))
    stock.release(live, actor=SYSTEM, reservation_id=held.pk, quantity=Decimal(10))
    held.refresh_from_db()
    assert (held.weight_kg, held.reserved_weight_kg) == (40 * 170, 50 * 170)
    stock.bind(
        live, actor=SYSTEM, reservation_id=held.pk, negotiation_id=NEGOTIATION, unit_price=PRICE,
        until=clock.now() + timedelta(hours=20),
    )  # fmt: skip
    assert credit_of(buyer) == (first * 4 / 5).quantize(Decimal("0.01"))


def test_the_rest_of_a_part_release_has_the_price_of_its_own_step(offer, partner, tax_rate, user):
    """Reserving much and releasing most of it doesn't keep the price of much; the steps are those of the time."""
    tax_rate("5201", 0)
    seller = user("SELLER")
    steps = [{"min_quantity": Decimal(50), "unit_price": Decimal(50000)}]
    live = offer(seller=seller, advance=0, price_steps=steps)
    buyer = factories.with_credit(partner(), 100_00_000)
    held = reserve(live, buyer, 60)
    assert held.unit_price == 50000
    offers.update(Availability.objects.get(pk=live.pk), actor=seller, content=factories.content(advance=0))
    stock.release(live, actor=SYSTEM, reservation_id=held.pk, quantity=Decimal(10))
    held.refresh_from_db()
    assert held.unit_price == 50000, "50 have the price of the step still"
    stock.release(live, actor=SYSTEM, reservation_id=held.pk, quantity=Decimal(40))
    held.refresh_from_db()
    assert (held.unit_price, credit_of(buyer)) == (53500, Decimal("255750.52"))
    stock.release(live, actor=SYSTEM, reservation_id=held.pk)
    assert credit_of(buyer) == 0


def test_without_a_quotation_a_price_that_the_buyer_names_means_nothing(offer, partner):
    live = offer(advance=0, price_type="NEGOTIABLE", unit_price=None, pricing_unit=None)
    with pytest.raises(rules.PriceUnknown):
        reserve(live, partner(), 10, unit_price=PRICE)


NEGOTIATION = uuid4()


def test_without_a_limit_nothing_is_reserved_on_credit(offer, partner, tax_rate):
    tax_rate("5201", 5)
    live, buyer = offer(advance=15), partner()
    with pytest.raises(exposure.CreditLimitMissing):
        reserve(live, buyer, 10)
    assert (ledger(live), Reservation.objects.count()) == ((100, 0, 0, 0), 0)


def test_a_negotiable_offer_without_any_price_needs_one_for_the_credit(offer, partner, tax_rate):
    tax_rate("5201", 0)
    live = offer(advance=15, price_type="NEGOTIABLE", unit_price=None, pricing_unit=factories.per_candy())
    buyer = factories.with_credit(partner(), 100_00_000)
    with pytest.raises(rules.PriceUnknown):
        reserve(live, buyer, 10)
    assert reserve(live, buyer, 100, unit_price=PRICE).credit_amount == Decimal("2173879.42")


@pytest.mark.django_db(transaction=True)
def test_parallel_reservations_never_pass_the_credit_limit(offer, partner, tax_rate):
    """Parallel reserves never pass a buyer's credit limit; a refused one leaves no hold."""
    tax_rate("5201", 0)
    live, buyer = offer(advance=0), factories.with_credit(partner(), 2_60_000)

    def take(_):
        try:
            reserve(live, buyer, 1)
            return "held"
        except exposure.CreditExceeded:
            return "exceeded"
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(take, range(16)))
    assert (results.count("held"), results.count("exceeded")) == (10, 6)
    assert Reservation.objects.count() == 10
    assert credit_of(buyer) == Decimal("255750.50")


# A partner's own reservations


def test_an_own_reservation_without_credit_lives_four_hours(offer, user):
    live = offer()
    held = stock.reserve(live, actor=user("BUYER"), quantity=Decimal(10), hold_hours=24)
    assert held.expires_at <= clock.now() + timedelta(hours=4)


def test_an_own_reservation_at_a_price_that_only_its_buyer_names_lives_four_hours(
    offer, user, partner, tax_rate
):
    """A price of almost nothing holds almost no credit: such a reservation isn't secured."""
    tax_rate("5201", 0)
    live = offer(advance=0, price_type="NEGOTIABLE", unit_price=None, pricing_unit=factories.per_candy())
    buyer = user("BUYER", of=factories.with_credit(partner(), 100))
    held = stock.reserve(live, actor=buyer, quantity=Decimal(100), hold_hours=24, unit_price=Decimal("0.01"))
    assert held.credit_amount > 0
    assert held.expires_at <= clock.now() + timedelta(hours=4)


def test_the_accounts_of_all_whose_reservations_end_are_locked_at_once(offer, partner, tax_rate):
    """Two buyers who each end the other's overdue reservation would else wait for each other for ever."""
    tax_rate("5201", 0)
    live, firms = offer(advance=0), [factories.with_credit(partner(), 100_00_000) for _ in range(2)]
    for buyer, other in (firms, firms[::-1]):
        run_out(reserve(live, other, 10))
        with CaptureQueriesContext(connection) as queries:
            reserve(live, buyer, 10)
        locks = [q["sql"] for q in queries if "creditaccount" in q["sql"] and "FOR NO KEY UPDATE" in q["sql"]]
        assert all(str(firm.pk) in locks[0] or firm.pk.hex in locks[0] for firm in firms)
        assert "ORDER BY" in locks[0]


def test_after_three_own_reservations_without_a_trade_a_buyer_waits(offer, user, partner):
    live, firm = offer(), partner()
    buyer = user("BUYER", of=firm)
    for _ in range(3):
        held = stock.reserve(live, actor=buyer, quantity=Decimal(10))
        stock.release(live, actor=buyer, reservation_id=held.pk)
    with pytest.raises(rules.ReservationLimit):
        stock.reserve(live, actor=user("BUYER", of=firm), quantity=Decimal(10))
    stock.reserve(offer(), actor=buyer, quantity=Decimal(10))
    stock.reserve(live, actor=user("INTERNAL"), holder_partner=firm, quantity=Decimal(10))
    with unguarded_writes():
        Reservation.objects.filter(holder_partner=firm).update(ended_at=clock.now() - timedelta(days=8))
    stock.reserve(live, actor=buyer, quantity=Decimal(10))


def test_an_offer_for_matched_buyers_is_reserved_through_a_match_only(offer, user, partner):
    live, firm = offer(visibility="MATCHED_ONLY"), partner()
    with pytest.raises(rules.ThroughMatch):
        stock.reserve(live, actor=user("BUYER", of=firm), quantity=Decimal(10))
    held = stock.reserve(live, actor=SYSTEM, holder_partner=firm, quantity=Decimal(10), match_id=uuid4())
    assert held.status == "HELD"


def test_a_partner_names_no_match_and_no_unknown_requirement(offer, user, client_for):
    live, client = offer(), client_for(user("BUYER"))
    for name, code in (
        ("match_id", "not_allowed"),
        ("negotiation_id", "not_allowed"),
        ("requirement_id", "does_not_exist"),
    ):
        answer = client.write(f"{OFFERS}/{live.pk}/reserve", {"quantity": "1", name: str(uuid4())})
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, code)


def test_related_firms_cannot_reserve_each_others_goods(offer, partner, emitted):
    """A related party's reserve is refused once with one event."""
    live, firm = offer(), partner()
    seller = live.seller_partner
    with unguarded_writes():
        firm.parent = seller
        firm.save()
    refusal = reserve(live, firm, 10)
    assert type(refusal.problem) is rules.RelatedParty
    assert len(emitted("availability.reservation_refused")) == 1
    assert ledger(live) == (100, 0, 0, 0)


def test_a_link_that_blocks_makes_firms_related_until_it_is_cleared(offer, partner):
    live, firm = offer(), partner()
    low, high = sorted((live.seller_partner_id, firm.pk), key=str)
    with unguarded_writes():
        link = PartyLink(low_id=low, high_id=high, kind="sibling", strength="block", status="suspected")
        link.save()
    assert type(reserve(live, firm, 10).problem) is rules.RelatedParty
    with unguarded_writes():
        PartyLink.objects.filter(pk=link.pk).update(status="cleared", cleared_until_date=clock.today())
    assert reserve(live, firm, 10).status == "HELD"


def test_a_reservation_costs_a_bounded_number_of_statements(offer, partner, tax_rate):
    """Of the same number whatever was reserved before; a statement more should have a reason."""
    tax_rate("5201", 5)
    live, buyer = offer(advance=0), factories.with_credit(partner(), 100_00_000)
    counts = []
    for _ in range(3):
        with CaptureQueriesContext(connection) as queries:
            reserve(live, buyer, 1)
        counts.append(len(queries))
    assert counts[1] == counts[2] <= 26


def test_a_parts_weight_is_its_share_and_the_last_part_takes_the_rest(offer, partner):
    live, buyer = offer(quantity=3, total_weight_kg=Decimal("500.000")), partner()
    weights = [reserve(live, buyer, 1).weight_kg for _ in range(3)]
    assert weights == [Decimal("166.667"), Decimal("166.667"), Decimal("166.666")]


VERBS = ["reserve", "release", "expire", "commit", "sell", "return", "withdraw", "total"]


EXAMPLES = int(os.environ.get("LEDGER_STEPS", "250")) // 12  # of about twelve steps


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.sampled_from(VERBS), st.integers(1, 60)), max_size=25))
def test_the_ledger_adds_up_after_any_operations(offer, user, partner, operations):
    """The equation of the ledger and the sums of the reservations; 10,000 operations with ``LEDGER_STEPS=10000``."""
    seller = user("SELLER")
    live, buyer = offer(seller=seller), partner()
    for verb, number in operations:
        row = Availability.objects.get(pk=live.pk)
        rows = list(Reservation.objects.filter(availability=live).order_by("pk"))
        pick = [
            r
            for r in rows
            if r.status == {"release": "HELD", "expire": "HELD", "commit": "HELD"}.get(verb, r.status)
        ]
        chosen = pick[number % len(pick)] if pick else None
        try:
            if verb == "reserve":
                reserve(live, buyer, number)
            elif verb == "total":
                offers.update(row, actor=seller, content=factories.content(number * 3))
            elif chosen is None:
                continue
            elif verb == "release":
                stock.release(live, actor=SYSTEM, reservation_id=chosen.pk, quantity=Decimal(number))
            elif verb == "expire":
                run_out(chosen)
                stock.expire_reservations(live, actor=SYSTEM)
            elif verb == "commit":
                stock.commit(live, actor=SYSTEM, reservation_id=chosen.pk, trade_id=uuid4(), unit_price=PRICE)
            elif verb == "sell":
                stock.mark_sold(
                    live, actor=SYSTEM, reservation_id=chosen.pk, trade_id=chosen.trade_id or uuid4()
                )
            else:
                stock.return_stock(
                    live, actor=SYSTEM, reservation_id=chosen.pk, trade_id=chosen.trade_id or uuid4(),
                    quantity=min(Decimal(number), chosen.still_open) or None, withdraw=verb == "withdraw",
                )  # fmt: skip
        except (Conflict, RuleBroken, Throttled):
            pass
        row = Availability.objects.get(pk=live.pk)
        figures = (row.available_quantity, row.reserved_quantity, row.sold_quantity, row.withdrawn_quantity)
        assert sum(figures) == row.total_quantity
        assert min(figures) >= 0
        opened = {"reserved": ("HELD", "IN_TRADE"), "sold": ("SOLD",)}
        for figure, states in opened.items():
            held = Reservation.objects.filter(availability=live, status__in=states)
            assert getattr(row, f"{figure}_quantity") == sum(r.still_open for r in held)
        assert list(ledgers.find_mismatches()) == []


def test_the_ledger_check_finds_a_difference(offer, partner):
    live = offer()
    sold(live, partner(), 10)
    with unguarded_writes():
        Reservation.objects.update(released_quantity=1)
    (found,) = ledgers.find_mismatches()
    assert (found.key, found.figures["sold"]) == (str(live.pk), 9)


def test_services_for_trades_join_their_callers_transaction(offer, partner):
    live = offer()
    held, trade = in_trade(live, partner(), 10)
    with transaction.atomic():
        stock.mark_sold(live, actor=SYSTEM, reservation_id=held.pk, trade_id=trade)
        transaction.set_rollback(True)
    assert ledger(live) == (90, 10, 0, 0)
