"""Two at once: one wins, and nobody waits for ever."""

import os
import threading
import time
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any, ClassVar
from uuid import uuid4

import pytest
from django.db import connection

from apps.availability.models import Availability, Reservation
from apps.availability.services import decisions as listings
from apps.availability.services import stock
from apps.matching.models import Match
from apps.matching.services import deals, deciding
from apps.negotiations import tasks
from apps.negotiations.models import Negotiation, Offer
from apps.negotiations.services import decisions, offers
from apps.negotiations.tests.factories import Table, again, proposed
from apps.partners.models import Partner
from apps.partners.services import exposure
from apps.requirement.models import Requirement
from apps.requirement.services import decisions as requirement_decisions
from apps.requirement.services import ledger
from erp import clock
from erp.access import SYSTEM
from erp.errors import DomainError
from erp.services import unit_of_work
from erp.testing import at_once

pytestmark = pytest.mark.django_db(transaction=True)


def codes(results):
    """How often each problem was the answer; a row counts as done."""
    return Counter(getattr(result, "code", "done") for result in results)


@pytest.mark.slow
def test_many_accept_one_offer_and_one_succeeds(sides, emitted):
    """§8.1: one ACCEPTED, one reservation, one event; all others 409."""
    table = sides()
    row = table.start()
    table.bid(row)
    made = again(row).standing_offer_id
    results = codes(
        at_once(*[lambda: decisions.accept(row, actor=table.seller, offer_id=made)] * 50)
    )  # fmt: skip
    assert results == {"done": 1, "negotiation.not_open": 49}
    assert len(emitted("negotiation.accepted")) == len(emitted("match.approved")) == 1
    assert Reservation.objects.filter(bound_negotiation_id=row.pk).count() == 1


def test_accepting_while_the_other_side_leaves_has_one_winner(sides, emitted):
    """§8.1: accept against withdraw; §8.2: two offers at once get one round number."""
    table = sides()
    row = table.start()
    done = codes(at_once(*[lambda: table.bid(row)] * 4))
    assert done == {"done": 1, "negotiation.not_your_turn": 3}
    assert Offer.objects.get().round == 1
    made = again(row).standing_offer_id
    results = codes(
        at_once(
            lambda: decisions.accept(row, actor=table.seller, offer_id=made),
            lambda: decisions.withdraw(row, actor=table.buyer, reason="TIMING"),
            lambda: decisions.reject(row, actor=table.seller, reason="PRICE"),
            lambda: offers.offer(row, actor=table.seller, price=Decimal(53_500)),
        )
    )
    ended = again(row).status
    events = [len(emitted(f"negotiation.{name}")) for name in ("accepted", "withdrawn", "rejected")]
    assert sum(events) == (ended != "OPEN")
    assert results["done"] == sum(events) + len(emitted("negotiation.offer_made")) - 1
    assert Availability.objects.get(pk=table.match.availability_id).available_quantity == (
        0 if ended in ("ACCEPTED", "OPEN") else 100
    )


def test_a_match_is_negotiated_once_though_both_sides_start(sides):
    table = sides()
    results = codes(at_once(table.start, lambda: table.start(by=table.seller), table.start))
    assert results == {"done": 1, "negotiation.already_open": 2}


# Deadlocks


class Nothing(Exception):
    """There is nothing to move."""


class Market:
    """Two matches that share their requirement, their goods and their firms, and every verb that moves one of them."""

    def __init__(self, table: Table, other: Table, manager: Any) -> None:
        self.tables, self.manager = (table, other), manager
        self.lock = threading.Lock()

    OFTEN: ClassVar = {"do_start": 4, "do_offer": 12, "do_accept": 8, "do_trade": 4}

    def one(self, random: Random) -> str:
        """Run a verb at random with rows as they are now; say how it went."""
        verbs = [name for name in dir(self) if name.startswith("do_")]
        weights = [self.OFTEN.get(name, 1) for name in verbs]
        (verb,) = random.choices(verbs, weights)
        try:
            getattr(self, verb)(random.choice(self.tables), random)
        except (DomainError, Nothing) as refusal:
            return f"{verb}: {type(refusal).__name__}"
        return verb

    def _negotiation(self, table: Table) -> Negotiation:
        rows = Negotiation.objects.filter(availability=table.match.availability_id)
        return self._first(rows.order_by("-created_at"))

    def _first(self, rows: Any) -> Any:
        row = rows.first()
        if row is None:
            raise Nothing
        return row

    def _match(self, table: Table) -> Match:
        row = Match.objects.filter(availability=table.match.availability_id).order_by("-created_at").first()
        assert row is not None
        return row

    def do_start(self, table: Table, random: Random) -> Any:
        with self.lock:  # a new match where the last one has ended
            match = self._match(table)
            if not match.is_live:
                match = proposed(again(match.requirement), again(match.availability), 10)
        return offers.start(actor=random.choice((table.buyer, table.seller)), match=match)

    def do_offer(self, table: Table, random: Random) -> Any:
        row = self._negotiation(table)
        by = table.buyer if row.turn == "BUYER" else table.seller
        quantity = {"value": Decimal(random.randint(1, 10)), "unit": "BALE"}
        return offers.offer(row, actor=by, price=Decimal(random.randint(45_000, 55_000)), quantity=quantity)

    def do_accept(self, table: Table, random: Random) -> Any:
        row = self._negotiation(table)
        if row.standing_offer is None:
            raise Nothing
        by = table.seller if row.standing_offer.side == "BUYER" else table.buyer
        return decisions.accept(row, actor=by, offer_id=row.standing_offer_id)

    def do_withdraw(self, table: Table, random: Random) -> Any:
        return decisions.withdraw(self._negotiation(table), actor=table.buyer, reason="TIMING")

    def do_approve_match(self, table: Table, random: Random) -> Any:
        by = random.choice((table.buyer, table.seller))
        return deciding.approve(self._match(table), actor=by)

    def do_reject_match(self, table: Table, random: Random) -> Any:
        by = random.choice((table.buyer, table.seller))
        return deciding.reject(self._match(table), actor=by, reason="PRICE")

    def do_end_matches(self, table: Table, random: Random) -> Any:
        return deciding.end_for_listing(
            actor=SYSTEM, status="EXPIRED", availability_id=table.match.availability_id
        )

    def do_expire(self, table: Table, random: Random) -> Any:
        return tasks.expire_negotiations()

    def do_close(self, table: Table, random: Random) -> Any:
        return tasks.close_negotiations()

    def do_reserve(self, table: Table, random: Random) -> Any:
        holder = Partner.objects.get(pk=table.buyer.partner_id)
        return stock.reserve(
            table.listing, actor=SYSTEM, holder_partner=holder, quantity=Decimal(random.randint(1, 5))
        )

    def do_release(self, table: Table, random: Random) -> Any:
        held = self._first(
            Reservation.objects.filter(
                availability=table.match.availability_id, status="HELD", bound_negotiation_id=None
            )
        )
        return stock.release(
            table.listing, actor=self.manager, reservation_id=held.pk, reason="The deadlock test."
        )

    def do_expire_reservations(self, table: Table, random: Random) -> Any:
        return stock.expire_reservations(table.listing, actor=SYSTEM)

    def do_release_for_requirement(self, table: Table, random: Random) -> Any:
        return stock.release_for_requirement(
            table.listing, actor=SYSTEM, requirement_id=table.match.requirement_id
        )

    def do_trade(self, table: Table, random: Random) -> Any:
        """What trades does when a contract is made, in the documented order."""
        row = self._first(
            Negotiation.objects.filter(
                availability=table.match.availability_id, status="ACCEPTED", trade_id=None
            )
        )
        trade = uuid4()
        with unit_of_work(SYSTEM):
            row = decisions.link_trade(row, actor=SYSTEM, trade_id=trade)
            match = Match.objects.locked().get(pk=row.match_id)
            wanted = Requirement.objects.get(pk=row.requirement_id)
            made = row.accepted_offer
            ledger.commit(wanted, actor=SYSTEM, trade_id=trade, quantity=made.quantity, negotiation_id=row.pk)
            stock.commit(
                row.availability, actor=SYSTEM, reservation_id=row.reservation_id, trade_id=trade,
                unit_price=made.price, negotiation_id=row.pk,
            )  # fmt: skip
            return deals.convert(match, actor=SYSTEM, trade_id=trade, reservation_id=row.reservation_id)

    def do_credit(self, table: Table, random: Random) -> Any:
        source = exposure.Source("reservation", uuid4())
        shared = {
            "actor": SYSTEM,
            "partner": Partner.objects.get(pk=table.buyer.partner_id),
            "source": source,
        }
        with unit_of_work(SYSTEM):
            exposure.take_hold(
                **shared,
                amount=Decimal(1),
                entry_key=str(uuid4()),
                expires_at=clock.now() + timedelta(hours=1),
            )
            return exposure.release_hold(**shared, entry_key=str(uuid4()), amount=None)

    def do_suspend(self, table: Table, random: Random) -> Any:
        with suppress(DomainError):
            listings.suspend(table.listing, actor=self.manager, reason="The deadlock test.")
        return listings.reactivate(table.listing, actor=self.manager)

    def do_price(self, table: Table, random: Random) -> Any:
        row = again(table.match.requirement)
        with suppress(DomainError):
            requirement_decisions.suspend(row, actor=self.manager, reason="The deadlock test.")
        return requirement_decisions.reactivate(again(row), actor=self.manager)


def test_verbs_of_the_whole_market_never_deadlock(sides, offer, requirement, user):
    """Verbs of match, negotiation, requirement, offer, reservation and credit against each other.

    Three seconds in the suite; ``DEADLOCK_SECONDS=60`` for longer.
    """
    seconds = float(os.environ.get("DEADLOCK_SECONDS", "3"))
    cheap = {
        "max_quantity": Decimal(3_000),
        "ceiling_price": Decimal(5_000),
    }  # a value that needs no approval
    table = sides(credit=500_000_000, quantity=5_000, wanted=cheap)
    listing = offer(seller=table.seller, commodity=table.listing.commodity, quantity=5_000, advance=0)
    second = Table(proposed(again(table.match.requirement), listing, 10), table.buyer, table.seller)
    market = Market(table, second, user("INTERNAL_MANAGER"))
    done: Counter[str] = Counter()
    failures: list[Exception] = []
    end = time.monotonic() + seconds

    def work(seed: int) -> None:
        random = Random(seed)
        try:
            while time.monotonic() < end:
                done[market.one(random)] += 1
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + 60)
    assert failures == []  # a deadlock is an OperationalError
    # On a busy machine three seconds are few: that the verbs run at all is enough.
    assert sum(number for verb, number in done.items() if ":" not in verb) >= 5, done
