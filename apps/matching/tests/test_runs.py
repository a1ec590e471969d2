"""Runs: which pairs pass, what is stored, and when a match is replaced."""

from datetime import timedelta
from decimal import Decimal

import pytest

from apps.matching.models import Match, MatchRun, OfferProfile, WantProfile
from apps.matching.tests.factories import GONDAL, GOOD, again, put
from erp import clock

pytestmark = pytest.mark.django_db


def test_a_run_stores_a_match_with_its_reasons(cotton, emitted):
    want, offer = cotton.want(), cotton.offer()
    result = cotton.run(want)
    run, (match,) = result.run, result.matches
    assert (run.pool, run.rejected, run.dropped, run.kept, run.found) == (1, {}, {}, 1, 1)
    assert match.availability_id == offer.pk
    assert match.quoted == Decimal("150.44148248")
    assert match.score > Decimal("0.6")
    print(match.score, match.breakdown)
