"""The endpoints of approval requests."""

from decimal import Decimal

import pytest

from apps.approvals import services
from apps.approvals.tests.examples import make_request
from apps.approvals.tests.kinds import LIMIT, OFFER
from erp.access import SYSTEM

pytestmark = pytest.mark.django_db
SEEN = {"subject_version": 3}
REFUSAL = {**SEEN, "reason_code": "other", "note": "Ten characters."}


@pytest.fixture
def decide(client_for, user):
    def send(request, verb="approve", body=SEEN, *, who=None, version=None):
        client = client_for(who or user("INTERNAL_COMPLIANCE"))
        version = request.version if version is None else version
        return client.write(f"/api/v1/approvals/{request.pk}/{verb}", body, if_match=version)

    return send


def status_and_code(answer):
    return answer.status_code, answer.json().get("code")


def test_a_decision_returns_the_current_state_of_the_request(world, decide, user):
    request, who = make_request(world, LIMIT, needed=2), user("INTERNAL_COMPLIANCE")
    row = decide(request, who=who, body={**SEEN, "note": "Seen."}).json()
    assert (row["status"], row["given"], row["needed"]) == ("pending", 1, 2)
    assert row["diff"] == [{"field": "percentage", "old": "5.00", "new": "6.50"}]
    assert row["decisions"][0]["decider_id"] == str(who.pk)
    assert row["decisions"][0]["note"] == "Seen."
    assert row["allowed_actions"] == []


def test_each_refusal_has_its_code(world, decide, user):
    own = make_request(world, maker=user("INTERNAL_COMPLIANCE"))
    assert status_and_code(decide(own, who=own.maker)) == (403, "approval.self")
    answer = decide(make_request(world), who=user("INTERNAL_DIRECTOR"))
    assert status_and_code(answer) == (403, "capability.missing")
    assert answer.json()["capability"] == "account.manage_users"
    large = make_request(world, LIMIT, amount=Decimal(20_000_000), currency="INR")
    assert status_and_code(decide(large)) == (403, "approval.role_required")
    assert status_and_code(decide(make_request(world), body={"subject_version": 2})) == (
        409,
        "approval.stale",
    )
    assert status_and_code(decide(make_request(world, OFFER))) == (409, "approval.decided_elsewhere")
    assert status_and_code(decide(make_request(world, OFFER), "reject", REFUSAL)) == (
        409,
        "approval.decided_elsewhere",
    )
    request, who = make_request(world, LIMIT, needed=2), user("INTERNAL_COMPLIANCE")
    assert decide(request, who=who).status_code == 200
    assert status_and_code(decide(request, who=who)) == (412, "precondition.failed")
    assert status_and_code(decide(request, who=who, version=2)) == (409, "approval.already_decided")
    gone = make_request(world)
    services.withdraw(gone, actor=gone.maker)
    assert status_and_code(decide(gone)) == (412, "precondition.failed")
    assert status_and_code(decide(gone, version=2)) == (409, "approval.not_pending")
    services.mark_stale(actor=SYSTEM, row_type="limit", row_id=request.subject_id)
    assert status_and_code(decide(request, version=3)) == (409, "approval.stale")


def test_an_invisible_request_is_not_found(world, decide, user):
    assert status_and_code(decide(make_request(world), who=user("INTERNAL_FINANCE"))) == (
        404,
        "resource.not_found",
    )


def test_the_list_filters_own_requests_and_those_to_decide_oldest_first(world, client_for, user):
    me = user("INTERNAL_COMPLIANCE")
    own, first, second = make_request(world, maker=me), make_request(world), make_request(world, LIMIT)
    client = client_for(me)

    def listed(**query):
        return [row["id"] for row in client.read("/api/v1/approvals", query).json()["results"]]

    def ids(*rows):
        return [str(row.pk) for row in rows]

    assert listed() == ids(own, first, second)
    assert listed(mine="to_decide") == ids(first, second)
    assert listed(mine="made") == ids(own)
    assert listed(kind="test.limit") == ids(second)
    assert listed(subject_id=str(first.subject_id)) == ids(first)
    assert listed(status="granted") == []
    assert client.read("/api/v1/approvals", {"mine": "other"}).status_code == 400


def test_requests_are_filtered_by_a_range_of_amounts(world, client_for, user):
    small, large = (
        make_request(world, LIMIT, amount=Decimal(amount), currency="INR") for amount in (100, 5_000_000)
    )
    client = client_for(user("AUDITOR"))
    for query, found in (({"amount__gte": "101"}, large), ({"amount__lte": "100.00"}, small)):
        rows = client.read("/api/v1/approvals", query).json()["results"]
        assert [row["id"] for row in rows] == [str(found.pk)]
        assert rows[0]["allowed_actions"] == []


def test_actions_are_listed_only_for_users_who_may_take_them(world, client_for, user):
    request = make_request(world)
    for person, offered in (
        (request.maker, []),
        (user("AUDITOR"), []),
        (user("INTERNAL_COMPLIANCE"), ["approve", "reject"]),
    ):
        row = client_for(person).read(f"/api/v1/approvals/{request.pk}").json()
        assert row["allowed_actions"] == offered, person
    of_module = make_request(world, OFFER)
    row = client_for(user("INTERNAL_COMPLIANCE")).read(f"/api/v1/approvals/{of_module.pk}").json()
    assert row["allowed_actions"] == []
