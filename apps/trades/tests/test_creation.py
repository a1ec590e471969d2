"""Making, acknowledging and approving trades."""

import pytest

from apps.trades.tests.deals import D, Deals


@pytest.fixture
def deals(world):
    return Deals(world)


def test_a_trade_binds_stock_demand_and_credit(deals):
    trade = deals.approved()
    assert trade.status == "APPROVED"
    assert trade.contract_value == D("2557505.20")
