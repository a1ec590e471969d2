"""Who may ask what over HTTP, and what each reads of the answer (§8.9, §8.10, §8.13)."""

from decimal import Decimal
from uuid import uuid4

import pytest

from apps.risk.models import RiskAssessment, RiskStatus
from apps.risk.tests import factories
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db

BASE = "/api/v1/risk"
OWN = {"id", "outcome", "reasons", "valid_until", "links", "allowed_actions"}


def owner(user, partner, *roles):
    return user(*roles, of=partner)


def test_a_partner_reads_whether_its_own_listing_is_allowed_and_nothing_else(
    deal, client_for, user, offer, requirement
):
    """§8.10: a hidden requirement is 404, a hidden listing 400, the doors for trade and partner and reads 403."""
    made = deal(limit=0)
    client = client_for(owner(user, made.buyer, "BUYER"))
    answer = client.write(f"/api/v1/requirements/{made.requirement.pk}/risk-precheck")
    assert answer.status_code == 201
    body = answer.json()
    assert (body["outcome"], body["reasons"]) == ("allowed", [])  # any terms: full advance among them
    assert {name for name, value in body.items() if value is not None} == OWN
    with unguarded_writes():
        made.requirement.payment_term_ids = [made.offer.payment_term_id]
        made.requirement.save()
    body = client.write(f"{BASE}/assess/requirement", {"requirement_id": str(made.requirement.pk)}).json()
    assert (body["outcome"], body["reasons"], body["score"]) == ("not_allowed", ["credit.no_limit"], None)
    hidden = requirement()
    assert client.write(f"/api/v1/requirements/{hidden.pk}/risk-precheck").status_code == 404
    refused = client.write(f"{BASE}/assess/requirement", {"requirement_id": str(hidden.pk)})
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, "does_not_exist")
    public = {"availability_id": str(made.offer.pk)}  # visible, of somebody else
    assert client.write(f"{BASE}/assess/availability", public).status_code == 403
    count = RiskAssessment.objects.count()
    for path in ("partner", "trade"):
        assert client.write(f"{BASE}/assess/{path}", {"surprise": 1}).status_code == 403
    for path in ("assessments", "queue", f"partners/{made.buyer.pk}", "overrides", "alerts", "pair-blocks", "hits",
                 "policies", "lists"):  # fmt: skip
        assert client.read(f"{BASE}/{path}").status_code == 403, path
    assert RiskAssessment.objects.count() == count


def test_staff_read_assessments_the_queue_and_a_partner(deal, client_for, user):
    made = deal(limit=100_000_000)
    made.judge(10)
    row = made.judge(1_000)
    client = client_for(user("INTERNAL"))
    found = client.read(f"{BASE}/queue").json()["results"]
    assert [each["id"] for each in found] == [str(row.pk)]
    assert found[0]["outcome"] == "under_review"
    one = client.read(f"{BASE}/assessments/{row.pk}")
    assert one.json()["gates"][0]["code"] == "provider.missing"
    assert one["ETag"] == f'"{row.pk}"'
    for query, number in {"gate=provider.missing": 1, "current=true": 1, "current=false": 2, "status=PASS": 1,
                          "policy_version=1": 2, f"partner_id={made.buyer.pk}": 2, "gate=party.block": 0,
                          f"requirement_id={made.requirement.pk}": 2}.items():  # fmt: skip
        assert len(client.read(f"{BASE}/assessments?{query}").json()["results"]) == number, query
    assert client.write(
        f"{BASE}/assess/partner", {"partner_id": str(made.buyer.pk), "side": "BUYER"}
    ).status_code == 201  # fmt: skip
    body = client.read(f"{BASE}/partners/{made.buyer.pk}").json()
    assert body["sides"][0]["score"] == 74
    assert body["limit"] == "100000000.00"
    assert [check["kind"] for check in body["checks"]] == ["CREDIT_BUREAU"]
    assert client.read(f"{BASE}/partners/{uuid4()}").status_code == 404
    held = client.write(f"{BASE}/assess/partner", {"partner_id": str(made.buyer.pk), "side": "SELLER"})
    assert (held.status_code, held.json()["code"]) == (422, "risk.side_not_held")


def test_a_proposed_trade_is_checked_before_it_is_judged(deal, client_for, user, offer):
    """§8.13: 1e9, NaN, negative, another dimension and NUL store nothing."""
    made = deal()
    client = client_for(user("INTERNAL"))
    body = {
        "requirement_id": str(made.requirement.pk), "availability_id": str(made.offer.pk),
        "quantity": {"value": "10", "unit": "BALE"},
        "price": {"amount": "53500", "currency": "INR", "pricing_unit_id": str(made.offer.pricing_unit_id)},
    }  # fmt: skip
    answer = client.write(f"{BASE}/assess/trade", body)
    assert (answer.status_code, answer.json()["value"]) == (201, "268538.05")
    assert answer["Location"] == f"{BASE}/assessments/{answer.json()['id']}"
    by_weight = client.write(f"{BASE}/assess/trade", {**body, "quantity": {"value": "1700", "unit": "KG"}})
    assert by_weight.json()["value"] == "268538.05"
    count = RiskAssessment.objects.count()
    for change, status in (
        ({"quantity": {"value": "1e9", "unit": "BALE"}}, 400),
        ({"quantity": {"value": "NaN", "unit": "BALE"}}, 400),
        ({"quantity": {"value": "-1", "unit": "BALE"}}, 400),
        ({"quantity": {"value": "1", "unit": "B\0LE"}}, 400),
        ({"quantity": {"value": "1", "unit": "METRE"}}, 422),
        ({"price": {**body["price"], "currency": "USD"}}, 422),
        ({"reservation_id": str(uuid4())}, 422),
        ({"availability_id": str(uuid4())}, 400),
    ):
        refused = client.write(f"{BASE}/assess/trade", {**body, **change})
        assert refused.status_code == status, (change, refused.content)
    assert RiskAssessment.objects.count() == count
    with unguarded_writes():
        made.requirement.status, made.requirement.expires_at = "CANCELLED", None
        made.requirement.save()
    assert client.write(f"{BASE}/assess/trade", body).json()["code"] == "risk.subject_closed"


def test_an_override_is_requested_over_http_and_granted_by_a_second_person(deal, client_for, user):
    made = deal(limit=1_000_000)
    factories.policy(warn_below=80)
    row = made.judge(10)
    maker, other = user("INTERNAL_DIRECTOR"), user("INTERNAL_COMPLIANCE")
    body = {
        "assessment_id": str(row.pk), "codes": ["score.low"], "max_value": {"amount": "500000.00", "currency": "INR"},
        "reason_code": "COMMERCIAL", "reason": "The buyer pays in advance from next week on.",
    }  # fmt: skip
    key = uuid4().hex
    answer = client_for(maker).write(f"{BASE}/overrides", body, key=key)
    assert (answer.status_code, answer.json()["status"]) == (202, "PENDING")
    again = client_for(maker).write(f"{BASE}/overrides", body, key=key)
    assert again["Idempotency-Replayed"] == "true"
    assert again.json() == answer.json()
    path = f"/api/v1/approvals/{answer.json()['approval_id']}"
    seen = client_for(other).read(path).json()
    decision = {"subject_version": seen["subject_version"]}
    own = client_for(maker).write(f"{path}/approve", decision, if_match=seen["version"])
    assert (own.status_code, own.json()["code"]) == (403, "approval.self")
    assert client_for(other).write(f"{path}/approve", decision, if_match=seen["version"]).status_code == 200
    granted = client_for(maker).read(f"{BASE}/overrides/{answer.json()['id']}").json()
    assert (granted["status"], granted["used_value"]) == ("GRANTED", "0.00")
    refused = client_for(maker).write(f"{BASE}/overrides", {**body, "codes": ["party.block"]})
    assert (refused.status_code, refused.json()["code"]) == (422, "risk.not_overridable")


def test_a_committed_refusal_of_a_module_above_leaves_the_assessment_and_its_event(deal, emitted):
    """§8.9: assessment and event stay, the deal's rows don't; after the cause is gone the same call succeeds."""
    from django.db import transaction

    from apps.partners.services import exposure
    from erp.access import SYSTEM
    from erp.services import unit_of_work

    made = deal(limit=100_000)

    def trade():
        with transaction.atomic(), unit_of_work(SYSTEM):
            row = made.judge(10)
            if row.is_blocking:
                return row.status  # the caller returns its refusal, which commits
            exposure.take_hold(
                actor=SYSTEM, partner=made.buyer, amount=row.value, entry_key=str(uuid4()),
                source=exposure.Source("reservation", uuid4()),
            )  # fmt: skip
            return "traded"

    assert trade() == "FAIL"
    assert RiskAssessment.objects.count() == 1
    assert len(emitted("risk.assessed")) == 1
    assert not emitted("partner.exposure.held")
    with unguarded_writes():
        from apps.partners.models import CreditLimit

        CreditLimit.objects.filter(partner=made.buyer).update(amount=Decimal(2_000_000))
    assert trade() == "traded"
    assert not RiskStatus.objects.filter(subject_type="TRADE").exists()
