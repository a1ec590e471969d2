"""The API: who sees what of a match before a trade, field by field."""

import json
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings
from django.db import connection

from apps.matching import lookups
from apps.matching.engine.body import DEFAULT
from apps.matching.models import Match, MatchRun, OfferProfile, RuleSet, Side, WantProfile
from apps.matching.services import deciding, pairs, rule_sets
from apps.matching.tests.examples import rules
from apps.matching.tests.factories import again, gst, put
from apps.partners.models import Partner
from erp import clock
from erp.errors import SelfApproval
from erp.events import ANYBODY, seen_by
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db
URL = "/api/v1/matching"
# What no seller may read of a requirement, and no buyer of an offer before it is negotiated.
SECRETS = ("ceiling", "target", "urgency", "preferred")


def test_a_seller_reads_bands_days_and_a_label_and_nothing_more_of_the_requirement(cotton, client_for):
    """§8.16: no id, target, ceiling, totals, score or distance of the other side."""
    match = cotton.match()
    seen = client_for(cotton.seller).read(f"{URL}/{match.pk}")
    body, text = seen.json(), seen.content.decode()
    assert seen.status_code == 200, text
    assert (body["side"], body["label"], body["proposed_quantity"]) == ("SELLER", "ACCEPTABLE", "100.000")
    for name in ("requirement_id", "buyer_partner_id", "seller_partner_id", "score", "distance_km", "landed", "freight",
                 "need_quantity", "run_id", "risk_status", "inputs_digest", "counterpart_rating"):  # fmt: skip
        assert body[name] is None, name
    assert not any(
        secret in text for secret in (str(match.requirement_id), str(match.buyer_partner_id), *SECRETS)
    )
    wanted = {each["code"]: each["wanted"] for each in body["breakdown"]["parameters"]}
    assert wanted["micronaire"] == {"min": "3.7", "max": "4.5", "codes": [], "required": True}
    assert body["breakdown"].keys() == {"parameters"}
    assert body["wanted"]["destination_state_code"] == "33"
    assert body["counterpart_ref"].startswith("B-")
    listed = client_for(cotton.seller).read(f"{URL}?requirement_id={match.requirement_id}").json()
    assert listed["results"] == [], "a filter would tell which requirement is behind the match"


def test_a_buyer_reads_rounded_scores_and_distances_and_no_seller(cotton, client_for):
    """§8.16, rulings M16."""
    match = cotton.match(cotton.want(price_basis="FOR_MILL", ceiling_price=Decimal(60_000)))
    seen = client_for(cotton.buyer).read(f"{URL}/{match.pk}")
    body, text = seen.json(), seen.content.decode()
    assert seen.status_code == 200, text
    assert (body["side"], body["requirement_id"]) == ("BUYER", str(match.requirement_id))
    assert body["score"] == str(match.score.quantize(Decimal("0.01")))
    assert (match.distance_m, body["distance_km"]) == (1_382_451, 1_400)
    assert (match.freight, body["freight"]) == (Decimal("5.18700000"), "5.25000000")
    assert Decimal(body["landed"]) == match.equalised + Decimal("5.25")
    assert body["breakdown"].keys() == {
        "quality",
        "price",
        "quantity",
        "window",
        "terms",
        "parameters",
        "flags",
    }
    for name in ("buyer_partner_id", "seller_partner_id", "run_id", "risk_status", "inputs_digest"):
        assert body[name] is None, name
    assert str(match.seller_partner_id) not in text
    assert str(match.distance_m) not in text
    assert str(match.score) not in text
    assert body["counterpart_verified"] is True


def test_pseudonyms_differ_between_matches_and_staff_read_names_and_exact_scores(cotton, world, client_for):
    match, other = cotton.match(), cotton.match(offer=cotton.offer(seller=world.user("SELLER")))
    seller = client_for(cotton.seller).read(f"{URL}/{match.pk}").json()
    buyer = client_for(cotton.buyer).read(f"{URL}/{match.pk}").json()
    second = client_for(cotton.buyer).read(f"{URL}/{other.pk}").json()
    assert len({seller["counterpart_ref"], buyer["counterpart_ref"], second["counterpart_ref"]}) == 3
    staff = client_for(world.user("INTERNAL")).read(f"{URL}/{match.pk}").json()
    assert (staff["score"], staff["seller_partner_id"]) == (str(match.score), str(match.seller_partner_id))
    assert staff["breakdown"]["place"]["score"] == match.breakdown["place"]["score"]
    stranger = client_for(world.user("BUYER"))
    assert stranger.read(f"{URL}/{match.pk}").status_code == 404
    assert stranger.read(URL).json()["results"] == []


def test_lists_are_filtered_and_only_staff_order_by_score(cotton, world, client_for):
    match = cotton.match()
    staff, buyer = client_for(world.user("INTERNAL")), client_for(cotton.buyer)
    assert staff.read(f"{URL}?ordering=-score").json()["results"][0]["id"] == str(match.pk)
    refused = buyer.read(f"{URL}?ordering=score")
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, "/query/ordering")
    for query, count in (("side=BUYER", 1), ("side=SELLER", 0), ("status=PROPOSED", 1), ("label=EXCELLENT", 0),
                         (f"requirement_id={match.requirement_id}", 1), (f"run_id={match.run_id}", 1),
                         (f"commodity_id={match.availability.commodity_id}", 1)):  # fmt: skip
        assert len(buyer.read(f"{URL}?{query}").json()["results"]) == count, query
    assert client_for(cotton.seller).read(f"{URL}?run_id={match.run_id}").json()["results"] == []


def test_moving_ones_own_price_tells_nothing_of_the_other_side(cotton, client_for):
    """§8.16: the seller's view of a match changes in presence and label only."""
    match = cotton.match()
    seen = set()
    for price in (53_500, 53_000, 52_000, 54_100):
        put(match.availability, unit_price=Decimal(price))
        cotton.run(match.availability)
        rows = client_for(cotton.seller).read(f"{URL}?status=PROPOSED").json()["results"]
        for row in rows:
            own = {"id", "quoted", "label", "created_at", "updated_at", "links", "expires_at", "counterpart_ref",
                   "availability_terms_version", "version"}  # fmt: skip
            seen.add(
                json.dumps({name: value for name, value in row.items() if name not in own}, sort_keys=True)
            )
    assert len(seen) == 1


def test_find_matches_over_http(cotton, world, client_for):
    """§8.19: input that is out of range is 400; another partner's listing 404, or 403 where it is published."""
    want, _ = cotton.want(visibility="PUBLIC"), cotton.offer()
    buyer = client_for(cotton.buyer)
    address = f"{URL}/requirements/{want.pk}/find-matches"
    for bad in ({"limit": 0}, {"limit": 51}, {"limit": "10"}, {"min_score": "NaN"}, {"min_score": "1e400"},
                {"min_score": "\x00"}, {"limits": 1}):  # fmt: skip
        assert buyer.write(address, bad).status_code == 400, bad
    assert buyer.write(address, {"min_score": "0.1"}).json()["code"] == "matching.threshold_too_low"
    assert MatchRun.objects.count() == 0
    found = buyer.write(address, {"limit": 1}).json()
    assert [found["run"]["pool"], len(found["matches"])] == ["few", 1]
    assert found["run"]["duration_ms"] is None
    other = client_for(world.user("TRADER"))
    assert other.write(address, {}).status_code == 403
    put(want, visibility="MATCHED_ONLY")
    assert other.write(address, {}).status_code == 404
    before = Match.objects.count(), MatchRun.objects.count()
    dry = buyer.write(f"{address}?dry_run=true", {})
    assert dry.status_code == 200
    assert (Match.objects.count(), MatchRun.objects.count()) == before


def test_approval_over_http_needs_the_version_that_was_read(cotton, client_for, emitted):
    """§8.11: stale If-Match 412, missing 428."""
    match = cotton.match()
    buyer, address = client_for(cotton.buyer), f"{URL}/{match.pk}/approve"
    assert buyer.write(address, {}).status_code == 428
    assert buyer.write(address, {}, if_match=9).status_code == 412
    body = {"quantity": {"value": "60", "unit": "BALE"}}
    answer = buyer.write(address, body, if_match=match.version)
    assert (answer.status_code, answer.json()["own_decision"]) == (200, "APPROVED"), answer.content
    (told,) = emitted("match.approved")
    assert told.payload["quantity"]["value"] == "100.000", "the seller doesn't read yet what the buyer chose"
    seller = client_for(cotton.seller)
    seen = seller.read(f"{URL}/{match.pk}").json()
    assert (seen["own_decision"], seen["counterpart_decided"], seen["buyer_decision"]) == (None, True, None)


def test_an_explanation_counts_in_bands_and_says_nothing_of_others(cotton, world, client_for):
    """§5.9."""
    want = cotton.want()
    for _ in range(2):
        cotton.offer(seller=world.user("SELLER"), unit_price=Decimal(60_000))
    hidden = cotton.offer(seller=world.user("SELLER"), visibility="INTERNAL")
    bad = cotton.offer(quality={"staple_length": "28.0", "micronaire": "3.9"})
    cotton.run(want)
    address = f"{URL}/requirements/{want.pk}/explanation"
    buyer = client_for(cotton.buyer)
    seen = buyer.read(address).json()
    assert seen["rejected"] == {"price": "few", "not_eligible": "few", "quality": "few"}
    staff = client_for(world.user("INTERNAL")).read(address).json()
    assert staff["rejected"] == {"price": "2", "visibility": "1", "quality": "1"}
    pair = buyer.read(f"{address}?availability={bad.pk}").json()["pair"]
    assert pair["reason"] == "quality"
    assert [(each["parameter"], each["missing"]) for each in pair["parameters"]] == [
        ("staple_length", False), ("trash", True),
    ]  # fmt: skip
    assert buyer.read(f"{address}?availability={hidden.pk}").status_code == 404
    assert buyer.read(f"{address}?availability=x").status_code == 400
    assert client_for(world.user("SELLER")).read(address).status_code == 404
    cotton.run(bad)
    offered = client_for(cotton.seller).read(f"{URL}/availabilities/{bad.pk}/explanation").json()
    assert offered["rejected"] == {"quality": "few"}


def test_a_seller_learns_no_end_of_the_requirement(cotton, client_for, emitted):
    end = clock.now() + timedelta(hours=1)
    match = cotton.match(put(cotton.want(), expires_at=end))
    assert match.expires_at == end
    (told,) = emitted("match.found")
    assert seen_by([ANYBODY], "match.found", 1, told.payload)["expires_at"] is None
    buyer, seller = client_for(cotton.buyer), client_for(cotton.seller)
    ends = [
        datetime.fromisoformat(user.read(f"{URL}/{match.pk}").json()["expires_at"])
        for user in (buyer, seller)
    ]
    assert ends == [end, match.created_at + timedelta(hours=72)]
    until = (end + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    for query in (f"expires_at__lte={until}", "ordering=expires_at"):
        found = [len(user.read(f"{URL}?{query}").json()["results"]) for user in (buyer, seller)]
        assert found == [1, 0], query


def test_a_price_tells_a_seller_nothing_of_a_ceiling(cotton, client_for):
    """§5.9, §8.16: dropped after scoring or above the ceiling is one answer, for a pair too."""
    want, offer = cotton.want(visibility="PUBLIC"), cotton.offer()
    match, seller, told = cotton.match(want, offer), client_for(cotton.seller), []
    address = f"{URL}/availabilities/{offer.pk}/explanation?requirement={want.pk}"
    assert seller.read(address).json()["pair"]["reason"] == "passes"
    deciding.reject(again(match), actor=cotton.buyer, reason="PRICE")
    for price, dropped in ((54_000, {"cooldown": 1}), (54_050, {})):
        put(offer, unit_price=Decimal(price))
        run = cotton.run(offer).run
        assert (run.dropped, run.kept, run.few) == (
            dropped,
            0,
            ["dropped", "pool"] if dropped else ["pool", "price"],
        )
        seen = seller.read(address).json()
        told.append((seen["pool"], seen["rejected"], seen["dropped"], seen["pair"]["reason"]))
    assert told == [("few", {"not_eligible": "few"}, {}, "not_eligible")] * 2


def test_runs_of_others_are_not_seen(cotton, client_for):
    match = cotton.match()
    address = f"{URL}/runs/{match.run_id}"
    assert client_for(cotton.buyer).read(address).json()["requirement_id"] == str(match.requirement_id)
    assert client_for(cotton.seller).read(address).status_code == 404


# Rules


def propose(client, version="0", **changes):
    body = {"commodity_id": None, "reason": "Freight has become dearer.", **rules(), **changes}
    return client.write(f"{URL}/config/rules", body, method="PUT", if_match=int(version))


def test_rules_change_by_two_people_and_old_matches_keep_their_version(
    cotton, world, client_for, deliver, emitted
):
    """§8.14."""
    from apps.approvals import services as approvals
    from apps.approvals.models import ApprovalRequest

    match, maker = cotton.match(), world.user("INTERNAL_MANAGER")
    client = client_for(maker)
    assert client.read(f"{URL}/config/rules")["ETag"] == '"0"'
    weights = {"quality": 4000, "price": 3000, "delivery": 1500, "quantity": 1499}
    assert propose(client, weights=weights).json()["code"] == "matching.weights_not_whole"
    assert propose(client, bonus=1).status_code == 400
    assert propose(client, min_score="0.96").status_code == 400
    assert (
        propose(client, schedule_id=str(match.pk), schedule_version=1).json()["code"]
        == "matching.schedule_mismatch"
    )
    assert propose(client, version="4").status_code == 412
    answer = propose(client, min_score="0.65")
    assert (answer.status_code, answer.json()["status"]) == (202, "PROPOSED"), answer.content
    assert propose(client).json()["code"] == "matching.rules_pending"
    request = ApprovalRequest.objects.get(pk=answer.json()["approval_id"])
    with pytest.raises(SelfApproval):
        approvals.approve(request, actor=maker, subject_version=1)
    assert not emitted("matching.rules_changed")
    approvals.approve(
        ApprovalRequest.objects.get(pk=request.pk), actor=world.user("INTERNAL_DIRECTOR"), subject_version=1
    )
    row = RuleSet.objects.get()
    assert (row.status, row.version) == ("ACTIVE", 1)
    assert client.read(f"{URL}/config/rules")["ETag"] == '"1"'
    assert len(emitted("matching.rules_changed")) == 1
    assert cotton.run(match.requirement).run.superseded == 1, "0.62 is below the new threshold"
    assert again(match).rule_set_id is None
    assert not Match.objects.live().exists()


def test_a_proposal_whose_base_has_moved_is_stale(world):
    """§8.14: STALE, and nothing else changes."""
    maker = world.user("INTERNAL_MANAGER")
    body = {**DEFAULT.stored(), "parameters": []}
    row = rule_sets.propose_rules(
        rule_sets.scope_of(None), actor=maker, body=body, reason="Freight has become dearer."
    )
    with unguarded_writes():
        RuleSet(
            version=7, status="ACTIVE", body=DEFAULT.stored(), base_version=0, reason="Another one."
        ).save()
    rule_sets.close_rules(again(row), actor=maker, request=None)
    assert again(row).status == "STALE"
    assert RuleSet.objects.active().get().version == 7


def test_a_simulation_equals_what_a_run_finds_and_stores_nothing(cotton, world, client_for):
    """§8.15."""
    match = cotton.match()
    with unguarded_writes():
        row = RuleSet(
            version=1,
            body={**DEFAULT.stored(), "min_score": "0.6500"},
            base_version=0,
            reason="Stricter than before.",
        )
        row.save()
    client = client_for(world.user("INTERNAL_MANAGER"))
    counts = [model.objects.count() for model in (Match, MatchRun, RuleSet)]
    seen = client.read(f"{URL}/rule-sets/{row.pk}/simulation?sample=5").json()
    assert (seen["wants"], seen["added"], seen["removed"], seen["moved"]) == (1, 0, 1, 0)
    assert seen["rows"][0]["requirement_id"] == str(match.requirement_id)
    assert [model.objects.count() for model in (Match, MatchRun, RuleSet)] == counts
    assert client.read(f"{URL}/rule-sets/{row.pk}/simulation?sample=201").status_code == 400
    with unguarded_writes():
        RuleSet.objects.update(status="ACTIVE")
    run = cotton.run(match.requirement).run
    assert (run.found, run.superseded) == (0, 1)
    assert client_for(cotton.buyer).read(f"{URL}/rule-sets").status_code == 403


def test_a_simulation_that_changes_weights_alone_filters_once_and_scores_what_there_is_time_for(
    cotton, monkeypatch
):
    first = cotton.match()
    cotton.want()
    asked, find = [], pairs.find

    def noted(scope: Any, rules: Any) -> Any:
        asked.append(scope.wants)
        return find(scope, rules)

    monkeypatch.setattr(pairs, "find", noted)
    body = {**DEFAULT.stored(), "at_ceiling": 9_000}
    with unguarded_writes():
        row = RuleSet(version=1, body=body, base_version=0, reason="Price counts less.")
        row.save()
    found = lookups.simulate(row)
    assert (found["wants"], len(asked)) == (2, 2)
    assert all(each["largest_change"] > 0 for each in found["rows"])
    assert str(first.requirement_id) in {str(each["requirement_id"]) for each in found["rows"]}
    assert lookups.simulate(row, seconds=0)["wants"] == 1


def test_a_simulation_can_write_nothing_and_ends_in_time(cotton, monkeypatch):
    """By rules that price offers otherwise profiles are computed anew, but not the stored ones."""
    cotton.match()
    seen, find = [], pairs.find
    stored = [list(model.objects.order_by("pk").values()) for model in (OfferProfile, WantProfile)]
    assert all(stored)

    def noted(scope: Any, rules: Any) -> Any:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT current_setting('transaction_read_only'), current_setting('transaction_timeout')"
            )
            seen.append(cursor.fetchone())
        return find(scope, rules)

    monkeypatch.setattr(pairs, "find", noted)
    body = {**DEFAULT.stored(), "tax_view": "INCLUDE"}
    gst()
    with unguarded_writes():
        row = RuleSet(version=1, body=body, base_version=0, reason="With tax, please.")
        row.save()
    assert lookups.simulate(row)["wants"] == 1
    assert seen == [("on", settings.TRANSACTION_TIMEOUT)] * 2
    assert [list(model.objects.order_by("pk").values()) for model in (OfferProfile, WantProfile)] == stored


def test_a_decided_match_shows_each_side_its_own(cotton, client_for):
    match = cotton.match()
    deciding.approve(again(match), actor=cotton.seller)
    deciding.approve(again(match), actor=cotton.buyer, quantity=Decimal(40), unit="BALE")
    seller, buyer = (
        client_for(who).read(f"{URL}/{match.pk}").json() for who in (cotton.seller, cotton.buyer)
    )
    assert seller["quantity"] == buyer["quantity"] == {"value": "40.000", "unit": "BALE"}
    assert (seller["reservation_id"], buyer["reservation_id"]) == (None, str(again(match).reservation_id))
    assert Partner.objects.filter(
        pk=match.side_of(cotton.buyer) == Side.BUYER and match.buyer_partner_id
    ).exists()
