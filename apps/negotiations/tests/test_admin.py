"""Negotiations in the staff portal, and what retention erases of them."""

from datetime import timedelta

import pytest

from apps.negotiations import tasks
from apps.negotiations.models import MESSAGES_KEPT, Negotiation
from apps.negotiations.services import decisions
from apps.negotiations.tests.factories import again
from erp import clock, retention
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db
URL = "/admin/negotiation/negotiation/"


def test_staff_read_the_offers_in_order_and_can_do_nothing(sides, user, staff_client_for):
    table = sides()
    row = table.start()
    table.bid(row, 53_000, message="Ready to lift.")
    table.ask(row, 53_500)
    client = staff_client_for(user("INTERNAL_MANAGER"))
    page = client.get(f"{URL}{row.pk}/change/").content.decode()
    for text in ("Ready to lift.", "53000 INR/CANDY", "53500 INR/CANDY", "100 BALE", "Countered", "Current"):
        assert text in page, text
    assert page.index("53000 INR/CANDY") < page.index("53500 INR/CANDY")
    assert "/run/" not in page
    assert table.listing.number in client.get(URL).content.decode()
    assert client.get(f"{URL}{row.pk}/run/withdraw/").status_code in (403, 404)


def test_words_are_erased_a_year_after_the_end(sides, set_clock, emitted):
    table = sides()
    row = table.start()
    table.bid(row, message="Ready to lift.")
    made = again(row).standing_offer
    decisions.withdraw(again(row), actor=table.buyer, reason="OTHER", note="Bought elsewhere.")
    still_open = sides()
    still_open.bid(still_open.start(), message="Ready to lift.")
    with unguarded_writes():
        Negotiation.objects.update(updated_at=clock.now() - MESSAGES_KEPT - timedelta(days=1))
    found = {outcome.rule.name: outcome for outcome in retention.run()}["negotiation.messages"]
    assert (found.due, found.erased, found.failed) == (1, 1, 0)
    assert (again(row).close_note, again(made).message, again(made).price) == ("", "", made.price)
    assert len(emitted("negotiation.messages_erased")) == 1


def test_metrics_tell_how_long_the_sweep_is_late(sides, set_clock):
    row = sides().start()
    set_clock(row.expires_at + timedelta(seconds=90))
    (figure,) = tasks.negotiations_overdue()
    assert figure.samples[0].value >= 90
