"""Runs: which pairs pass, what is stored, and when a match is replaced."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.availability.models import Disclosure
from apps.availability.tests.factories import with_credit
from apps.matching.models import Match, MatchRun, OfferProfile, WantProfile
from apps.matching.services import deciding, pairs, problems, runs
from apps.matching.services.rule_reading import active_rules
from apps.matching.tests.factories import GONDAL, GOOD, Cotton, again, gst, put
from apps.partners.models import GroupMember, Partner, TradePermission
from apps.requirement.tests.factories import band
from apps.risk.models import PairBlock, RiskStatus, ordered
from erp import clock
from erp.access import SYSTEM
from erp.models import unguarded_writes
from erp.testing import at_once

pytestmark = pytest.mark.django_db
_Status = Match.Status


def test_a_run_stores_a_match_with_its_reasons(cotton, emitted):
    want, offer = cotton.want(), cotton.offer()
    result = cotton.run(want)
    run, (match,) = result.run, result.matches
    assert (run.pool, run.rejected, run.dropped, run.kept, run.found) == (1, {}, {}, 1, 1)
    assert (match.requirement_id, match.availability_id) == (want.pk, offer.pk)
    assert (match.quoted, match.equalised, match.landed) == (Decimal("150.44148248"),) * 3
    assert (match.score, match.label, match.risk_status) == (Decimal("0.620614"), "ACCEPTABLE", "WARN")
    assert (match.proposed_quantity, match.proposed_count, match.proposed_kg) == (100, 100, 17_000)
    assert (match.need_count, match.need_kg, match.unit) == (10, 1_700, "BALE")
    parts = {each["code"]: each["score"] for each in match.breakdown["parameters"]}
    assert parts == {"micronaire": "0.720000", "staple_length": "0.792000", "trash": "0.900000"}
    shown = Disclosure.objects.get(source_id=match.pk)
    assert (shown.partner_id, shown.stage) == (match.buyer_partner_id, 2)
    found, done = emitted("match.found")[-1].payload, emitted("matching.run_completed")[-1].payload
    assert found["match_id"] == str(match.pk)
    assert found["quantity"] == {"value": "100.000", "unit": "BALE"}
    assert not {"target", "ceiling", "buyer_partner_id", "seller_partner_id"} & found.keys()
    assert (done["pool"], done["kept"], done["found"]) == (1, 1, 1)
    again_run = cotton.run(offer).run
    assert (again_run.kept, again_run.found, again_run.superseded) == (1, 0, 0)
    assert Match.objects.count() == 1
    assert len(emitted("match.found")) == 1


def test_an_empty_run_is_stored_and_tells_no_more_than_that(cotton, emitted):
    """§8.6."""
    run = cotton.run(cotton.want()).run
    assert (run.pool, run.kept, run.rejected, run.dropped) == (0, 0, {}, {})
    assert len(emitted("matching.run_completed")) == 1
    assert not emitted("match.found")


# Filters: each world differs from the one that passes in one thing.


def _cluster(cotton: Cotton, want: Any, offer: Any) -> None:
    with unguarded_writes():
        for partner_id in (want.buyer_partner_id, offer.seller_partner_id):
            GroupMember.objects.update_or_create(
                partner_id=partner_id, defaults={"group_id": want.buyer_partner_id}
            )


def _block(cotton: Cotton, want: Any, offer: Any) -> None:
    low, high = ordered(want.buyer_partner_id, offer.seller_partner_id)
    with unguarded_writes():
        PairBlock(low_id=low, high_id=high, cause="MANUAL", reason="Known.").save()


def _right(cotton: Cotton, want: Any, offer: Any) -> None:
    with unguarded_writes():
        TradePermission.objects.filter(partner=offer.seller_partner_id).delete()


def _fails(cotton: Cotton, want: Any, offer: Any) -> None:
    cotton.run(want)  # assesses it
    with unguarded_writes():
        RiskStatus.objects.filter(requirement=want).update(status="REVIEW")


def _other_shape(cotton: Cotton, want: Any, offer: Any) -> None:
    cotton.run(want)  # makes the profiles
    (wanted,) = WantProfile.objects.get().bands
    with unguarded_writes():
        OfferProfile.objects.update(quality={wanted["key"]: {"lo": 1, "hi": 1, "v": True}})


REJECTED: list[tuple[str, dict[str, Any], dict[str, Any], Callable[..., None] | None]] = [
    ("partner", {}, {}, _cluster),
    ("partner", {}, {}, _block),
    ("visibility", {}, {"visibility": "INTERNAL"}, None),
    ("visibility", {"visibility": "INTERNAL"}, {}, None),
    ("route", {}, {}, _right),
    ("place", {"origin_state_codes": ["MH"]}, {}, None),
    ("place", {"places": [{"latitude": Decimal("11.0168"), "longitude": Decimal("76.9558"), "state_code": "TN",
                           "max_distance_km": 1300}]}, {}, None),
    ("place", {}, {"place": {"address": "Gondal", "country": "IN", "state_code": "GJ"}}, None),
    ("window", {}, {"available_from_date": clock.today() + timedelta(days=20)}, None),
    ("quantity", {"min_quantity": Decimal(90), "single_lot": True}, {"quantity": 80}, None),
    ("quantity", {}, {"quantity": 120, "allow_partial": False}, None),
    ("quality", {}, {"quality": {**GOOD, "staple_length": "28.4"}}, None),
    ("quality", {}, {"quality": {key: value for key, value in GOOD.items() if key != "trash"}}, None),
    ("quality", {"bands": [band("colour_grade", accepted_codes=["31-3"])]}, {}, None),
    ("quality", {"bands": [band("colour_grade", accepted_codes=["31-3"])]}, {}, _other_shape),
    ("price", {}, {"unit_price": Decimal(54_050)}, None),
    ("price", {}, {"unit_price": Decimal(53_500), "currency": "USD"}, None),
    ("risk", {}, {}, _fails),
]  # fmt: skip


@pytest.mark.parametrize(("failed", "wanted", "offered", "change"), REJECTED)
def test_each_filter_rejects_under_its_own_name(cotton, failed, wanted, offered, change):
    """§8.1, §8.3, §8.19: counted at the first filter that a pair fails, and never stored."""
    if offered.get("currency") == "USD":
        offer = cotton.offer()
        offered = {}
        put(offer, currency="USD")
    else:
        offer = cotton.offer(**offered)
    want = cotton.want(**wanted)
    if change is not None:
        change(cotton, want, offer)
    for listing in (want, offer):
        run = cotton.run(listing).run
        assert (run.pool, run.rejected, run.kept) == (1, {failed: 1}, 0), listing
        assert run.pool == sum(run.rejected.values()) + sum(run.dropped.values()) + run.kept
    assert not Match.objects.live().exists()
    rules = active_rules([want.commodity_id])
    assert pairs.reason_against(want.pk, offer.pk, rules, staff=False) == failed


def test_staff_match_internal_listings_and_the_match_stays(cotton, world):
    offer, want = cotton.offer(visibility="INTERNAL"), cotton.want()
    assert cotton.run(want, actor=world.user("INTERNAL")).run.found == 1
    assert cotton.run(want).run.superseded == 0
    assert cotton.run(offer).run.kept == 1
    assert Match.objects.live().count() == 1


def test_other_goods_and_listings_that_are_not_live_are_not_in_the_pool(cotton, world):
    offer, want = cotton.offer(), cotton.want()
    Cotton(world).offer()
    put(offer, crop_year="2024-25")
    put(want, crop_years=["2025-26"])
    assert cotton.run(want).run.pool == 0
    put(want, crop_years=[])
    assert cotton.run(want).run.pool == 1
    with unguarded_writes():
        Partner.objects.filter(pk=offer.seller_partner_id).update(status="suspended")
    assert cotton.run(want).run.pool == 0
    put(want, status="SUSPENDED")
    with pytest.raises(problems.SubjectNotLive):
        cotton.run(want)
    assert runs.match_subject(actor=SYSTEM, kind="SWEEP", requirement=again(want)) is None


def test_rules_of_credit_count_the_smallest_deal(cotton, world):
    """Rulings M15: 100 bales at 54,000 a candy are 25.8 lakh, of which the smallest deal needs all."""
    buyer = world.partner()
    actor, term = world.user("BUYER", of=buyer), cotton.offer(advance=0).payment_term
    want = cotton.want(buyer=actor, payment_term_ids=[term])
    gst()
    assert cotton.run(want).run.rejected == {"risk": 1}
    with_credit(buyer, 10_000_000)
    with unguarded_writes():
        RiskStatus.objects.all().delete()
    assert cotton.run(want).run.found == 1


# Storing


def test_an_edit_supersedes_and_a_pair_that_no_longer_passes_has_no_successor(cotton, emitted):
    """§8.9."""
    match = cotton.match()
    put(match.availability, unit_price=Decimal(53_000))
    run = cotton.run(match.requirement).run
    newer = Match.objects.live().get()
    assert (run.found, run.superseded) == (1, 1)
    assert (again(match).status, again(match).superseded_by_id) == (_Status.SUPERSEDED, newer.pk)
    assert newer.score > match.score
    assert emitted("match.found")[-1].payload["replaces_match_id"] == str(match.pk)
    put(match.availability, unit_price=Decimal(60_000))
    assert cotton.run(match.availability).run.superseded == 1
    assert emitted("match.superseded")[-1].payload["successor_id"] is None
    assert not Match.objects.live().exists()
    assert not Disclosure.objects.live(clock.now()).exists()


def test_a_listing_edited_while_a_run_judges_is_left_to_its_own_mark(cotton, monkeypatch):
    """Nor is a match touched that another run stores meanwhile."""
    match, passed = cotton.match(), runs.scored
    wants = [match.requirement]

    def edited_meanwhile(rows, rules):
        found = passed(rows, rules)
        put(wants[0], urgency="URGENT")
        if len(wants) == 1:  # once, for the offer
            wants[:0] = [cotton.want(buyer=cotton.world.user("BUYER"))]
            cotton.run(wants[0])
        return found

    put(match.requirement, ceiling_price=Decimal(50_000))
    monkeypatch.setattr(runs, "scored", edited_meanwhile)
    run = cotton.run(match.availability).run
    assert (run.rejected, run.superseded, again(match).status) == ({"price": 1}, 0, _Status.PROPOSED)
    monkeypatch.setattr(runs, "scored", passed)
    assert cotton.run(match.availability).run.superseded == 1
    assert Match.objects.live().get().requirement_id == wants[0].pk


def test_inputs_of_a_match_never_change(cotton):
    from django.db import InternalError, transaction
    from django.db.utils import IntegrityError

    match = cotton.match()
    for column, value in (("score", "0.99"), ("inputs_digest", "0"), ("landed", "1")):
        with (
            pytest.raises((IntegrityError, InternalError), match="stays as it is"),
            transaction.atomic(),
            unguarded_writes(),
        ):
            Match.objects.filter(pk=match.pk).update(**{column: value})


def test_a_rejected_pair_returns_with_other_facts_and_after_its_cool_down(cotton):
    match = cotton.match()
    deciding.reject(again(match), actor=cotton.buyer, reason="PRICE")
    assert cotton.run(match.requirement).run.dropped == {"cooldown": 1}
    put(match.availability, unit_price=Decimal(53_000))
    assert cotton.run(match.requirement).run.dropped == {"cooldown": 1}
    put(match, updated_at=clock.now() - timedelta(hours=25))
    assert cotton.run(match.requirement).run.found == 1


def test_the_better_of_two_listings_of_a_parcel_is_matched_whatever_the_order(cotton, world):
    """§8.5, rulings X18, M14."""
    want = cotton.want()
    dear, cheap = cotton.offer(unit_price=Decimal(53_600)), cotton.offer(unit_price=Decimal(53_500))
    run = cotton.run(want).run
    assert (run.dropped, run.kept) == ({"duplicate": 1}, 1)
    assert Match.objects.live().get().availability_id == cheap.pk
    assert cotton.run(dear).run.dropped == {"duplicate": 1}
    assert Match.objects.live().count() == 1
    other = cotton.offer(seller=world.user("SELLER"), unit_price=Decimal(53_550))
    assert cotton.run(other).run.found == 1, "another seller's parcel is no duplicate"
    put(dear, created_at=dear.created_at - timedelta(minutes=6))
    assert cotton.run(want).run.kept == 3


def test_two_press_running_ranges_are_two_parcels(cotton):
    want = cotton.want()
    for first in (1, 101):
        lots = [{"lot_no": "1", "press_mark": "SHREE", "pr_from": first, "pr_to": first + 99, "bales": 100}]
        cotton.offer(lots=lots, crop_year="2025-26")
    assert cotton.run(want).run.kept == 2


def test_a_question_may_only_raise_the_threshold(cotton):
    """§8.7, rulings X16."""
    match = cotton.match()
    with pytest.raises(problems.ThresholdTooLow):
        cotton.run(match.requirement, min_score=Decimal("0.59"))
    result = cotton.run(match.requirement, min_score=Decimal("0.95"))
    assert (result.run.dropped, list(result.matches)) == ({"below_threshold": 1}, [])
    assert again(match).status == _Status.PROPOSED


def test_prices_only_are_counted_and_never_stored(cotton):
    want, _ = cotton.want(intent="PRICE_DISCOVERY_ONLY"), cotton.offer()
    run = cotton.run(want).run
    assert (run.kept, run.found) == (1, 0)
    assert not Match.objects.exists()


def test_unpriced_offers_and_wants_without_origin_are_matched(cotton):
    """§8.7."""
    cotton.offer(price_type="NEGOTIABLE", unit_price=None)
    want = cotton.want()
    (match,) = cotton.run(want).matches
    assert (match.quoted, match.landed, match.breakdown["price"]["score"]) == (None, None, "0.500000")
    assert match.breakdown["flags"] == ["unpriced", "warned"]


def test_profiles_are_a_cache(cotton):
    match = cotton.match()
    with unguarded_writes():
        OfferProfile.objects.all().delete()
        WantProfile.objects.all().delete()
    run = cotton.run(match.requirement).run
    assert (run.kept, run.found, run.superseded) == (1, 0, 0)
    assert OfferProfile.objects.count() == WantProfile.objects.count() == 1


def test_the_number_of_statements_does_not_depend_on_the_pool(cotton, world):
    """§8.17."""
    want = cotton.want(origin_state_codes=["MH"])
    for _ in range(2):
        cotton.offer()
    cotton.run(want)
    with CaptureQueriesContext(
        connection,
    ) as few:
        cotton.run(want)
    for _ in range(8):
        cotton.offer()
    cotton.run(want)
    with CaptureQueriesContext(connection) as many:
        run = cotton.run(want).run
    assert run.rejected == {"place": 10}
    assert len(many) == len(few)


def test_an_error_leaves_no_half_result(cotton, monkeypatch):
    """§8.6."""
    want = cotton.want()
    cotton.offer()

    def broken(*args, **more):
        raise RuntimeError("no such column")

    monkeypatch.setattr(runs, "scored", broken)
    with pytest.raises(RuntimeError):
        cotton.run(want)
    assert not MatchRun.objects.exists()
    assert not Match.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_runs_at_once_store_one_match(cotton, emitted):
    """§8.8."""
    want, offer = cotton.want(), cotton.offer()
    cotton.run(want, min_score=Decimal("0.95"))  # profiles and assessments are there
    acts = [lambda: cotton.run(want), lambda: cotton.run(offer)] * 6
    outcomes = at_once(*acts)
    assert all(isinstance(each, runs.RunResult) for each in outcomes), outcomes
    assert Match.objects.count() == 1
    assert len(emitted("match.found")) == 1


# Allocation


def test_contested_stock_is_divided_and_bounds_what_may_be_taken(cotton, world, emitted):
    """§5.8: 100 bales, wants of 60, 50 and 30; only of offers that are for matched buyers."""
    offer = cotton.offer(visibility="MATCHED_ONLY")
    buyers = [world.user("BUYER") for _ in range(3)]
    wants = [
        cotton.want(buyer=buyer, max_quantity=Decimal(most), tolerance_percent=Decimal(0))
        for buyer, most in zip(buyers, (60, 50, 30), strict=True)
    ]
    for want in wants:
        cotton.run(want)
    cotton.run(offer)
    given = {row.requirement_id: row.allocated_quantity for row in Match.objects.live()}
    assert [given[want.pk] for want in wants] == [43, 36, 21]
    (told,) = emitted("matching.stock_allocated")
    assert len(told.payload["parts"]) == 3
    cotton.run(offer)
    assert len(emitted("matching.stock_allocated")) == 1
    match = Match.objects.get(requirement=wants[0])
    from apps.matching.services.allocating import recomputed

    assert recomputed(match.allocation) == [43, 36, 21]
    with pytest.raises(problems.QuantityOutOfRange):
        deciding.approve(again(match), actor=buyers[0], quantity=Decimal(44), unit="BALE")
    put(offer, visibility="PUBLIC")
    cotton.run(offer)
    assert set(Match.objects.live().values_list("allocated_quantity", flat=True)) == {None}


# Prices


def test_tax_views_and_steps(cotton, world):
    gst()
    offer = cotton.offer(
        tax_basis="INCLUSIVE", unit_price=Decimal(56_175),
        price_steps=[{"min_quantity": Decimal(80), "unit_price": Decimal(55_650)}],
    )  # fmt: skip
    (match,) = cotton.run(cotton.want()).matches
    assert match.quoted == Decimal("149.03548732")  # 55,650 ÷ 1.05 ÷ 355.62
    profile = OfferProfile.objects.get(availability=offer)
    assert profile.quoted == [Decimal("150.44148248"), Decimal("149.03548732")]
    assert GONDAL["state_code"] == "GJ"


def test_ended_matches_and_their_runs_are_purged_after_400_days(cotton):
    from apps.matching.services import purging

    match = cotton.match()
    run = match.run
    deciding.reject(again(match), actor=cotton.buyer, reason="PRICE")
    purging.purge_match(again(match), actor=SYSTEM)
    assert Match.objects.exists(), "it has not ended long ago"
    for row in (match, run):
        put(row, updated_at=clock.now() - timedelta(days=401))
    purging.purge_run(again(run), actor=SYSTEM)
    assert MatchRun.objects.filter(pk=run.pk).exists(), "its match is still there"
    purging.purge_match(again(match), actor=SYSTEM)
    purging.purge_run(again(run), actor=SYSTEM)
    assert not Match.objects.exists()
    assert not MatchRun.objects.exists()
