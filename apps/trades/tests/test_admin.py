"""Trades in the staff portal: the story of a deal and its queues."""

import pytest

from apps.trades.models import Trade
from apps.trades.services import disputes
from apps.trades.tests.deals import Deals

pytestmark = pytest.mark.django_db
URL = "/admin/trade/trade/"


def test_the_page_of_a_trade_tells_its_story(world, staff_client_for):
    deals = Deals(world)
    trade = deals.acknowledged()
    client = staff_client_for(deals.managers[0])
    page = client.get(f"{URL}{trade.pk}/change/").content.decode()
    for text in (
        trade.number,
        "What is next",
        "Managers who had no part in it",
        "Acknowledged by the seller",
        "SSG-27",
    ):
        assert text in page, text
    assert trade.number in client.get(f"{URL}?status=PENDING_APPROVAL").content.decode()
    assert "Trades to approve" in client.get("/admin/").content.decode()
    assert "You have approved it" not in page
    for manager in deals.managers[:2]:
        staff_client_for(manager).fill(f"{URL}{trade.pk}/run/approve/", comment="Within the limits.")
    trade = Trade.objects.get(pk=trade.pk)
    assert trade.status == "APPROVED"
    deals.tested(trade)
    deals.weighed(trade)
    sent = deals.dispatched(trade)
    dispute = disputes.create_dispute(
        trade, actor=deals.buyers, kind="DELAY", statement="The lorry came four days late."
    )
    page = client.get(f"{URL}{trade.pk}/change/").content.decode()
    for text in ("Weighed, origin", "16,938.5", "Dispatched", "resolve a dispute", "Pass with allowance"):
        assert text in page, text
    for path in (
        f"dispatch/{sent.pk}/change/",
        f"dispute/{dispute.pk}/change/",
        "amendment/",
        "deadline/",
        "refusal/",
    ):
        assert client.get(f"/admin/trade/{path}").status_code == 200, path
