"""Assessments: gates in order, credit of the proposed quantity, what is stored and what each side reads."""

from decimal import Decimal

import pytest

from apps.risk.models import RiskAssessment

pytestmark = pytest.mark.django_db


def test_the_proposed_quantity_is_judged_not_the_whole_listing(deal):
    """§8.2: 10 of 1,000 bales are judged as 10."""
    made = deal(limit=1_000_000)
    row = made.judge(10)
    # 1,700 kg ÷ 355.62 × 53,500 × 1.05, half up
    assert (row.status, row.value, row.currency) == ("PASS", Decimal("268538.05"), "INR")
    assert row.gate_codes == []
    assert row.score == 74
    big = made.judge(1_000)
    assert big.status == "FAIL"
    assert "credit.exceeded" in big.gate_codes
    assert RiskAssessment.objects.newest(row.subject_key) == big
