"""Overrides by two people, and policies by approval (§8.6, §8.13)."""

import threading
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction

from apps.approvals import services as approvals
from apps.approvals.models import ApprovalRequest
from apps.risk.models import RiskOverride, RiskPolicy
from apps.risk.services import assessing, overrides, policies
from apps.risk.tasks import end_dates
from apps.risk.tests import factories
from erp import clock
from erp.access import SYSTEM
from erp.errors import CapabilityMissing, Invalid, SelfApproval
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db

WHY = {"reason_code": "COMMERCIAL", "reason": "The buyer pays in advance from next week on."}
CAP = {"amount": Decimal(600_000), "currency": "INR"}


@pytest.fixture
def director(user):
    return user("INTERNAL_DIRECTOR")


@pytest.fixture
def compliance(user):
    return user("INTERNAL_COMPLIANCE")


def request_of(override):
    return ApprovalRequest.objects.get(pk=override.approval_id)


def grant(override, actor):
    request = request_of(override)
    approvals.approve(request, actor=actor, subject_version=request.subject_version)
    return RiskOverride.objects.get(pk=override.pk)


def test_an_override_takes_its_gates_out_of_the_verdict_until_it_ends(
    deal, director, compliance, user, set_clock, emitted, deliver
):
    """§8.6: nothing changes before the grant; after expiry the gate fires though no task ran; past the cap too."""
    made = deal(limit=4_000_000)
    factories.policy(warn_below=80)
    row = made.judge(10)
    assert (row.status, row.gate_codes) == ("WARN", ["score.low"])
    override = overrides.request_override(
        actor=director, assessment=row, codes=["score.low"], max_value=CAP, **WHY
    )
    assert (override.status, override.partner_low_id < override.partner_high_id) == ("PENDING", True)
    assert made.judge(10).gate_codes == ["score.low"]
    with pytest.raises(SelfApproval):
        grant(override, director)
    granted = grant(override, compliance)
    assert (granted.status, granted.decided_by) == ("GRANTED", compliance)
    covered = made.judge(10)
    assert (covered.status, covered.gate_codes) == ("PASS", [])
    assert covered.gates[0]["override_id"] == str(override.pk)
    assert covered.valid_until <= granted.expires_at
    own = assessing.assess_requirement(actor=SYSTEM, requirement=made.requirement)
    assert "score.low" in own.gate_codes  # the override is one of a trade, up to a cap
    with pytest.raises(IntegrityError), transaction.atomic(), unguarded_writes():
        RiskOverride.objects.update(expires_at=granted.starts_at + timedelta(days=31))
    assert made.judge(10, price=Decimal(200_000)).gate_codes == ["score.low"]  # past the cap
    with transaction.atomic():
        overrides.use_override(covered, actor=SYSTEM, value=overrides.worth_of(covered))
    assert RiskOverride.objects.get(pk=override.pk).used_value == Decimal("268538.05")
    again = made.judge(10)
    with pytest.raises(overrides.OverrideUsedUp), transaction.atomic():
        overrides.use_override(again, actor=SYSTEM, value=Decimal("331461.96"))
    set_clock(granted.expires_at)
    assert made.judge(10).gate_codes == ["score.low"]
    assert RiskOverride.objects.get(pk=override.pk).status_now == "EXPIRED"
    assert end_dates() == 1
    assert RiskOverride.objects.get(pk=override.pk).status == "EXPIRED"
    names = {event.event_type for event in emitted() if "override" in event.event_type}
    assert names == {f"risk.override_{what}" for what in ("requested", "granted", "used", "expired")}
    deliver()


def test_what_can_not_be_overridden_is_refused(deal, director, user):
    made = deal(limit=100_000)
    row = made.judge(10)
    asked = {"actor": director, "assessment": row, "max_value": CAP, **WHY}
    with pytest.raises(overrides.NotOverridable):
        overrides.request_override(codes=["credit.exceeded"], **asked)
    factories.policy(warn_below=80)
    with pytest.raises(overrides.AssessmentSuperseded):
        overrides.request_override(**asked, codes=[made.judge(10).gate_codes[-1]])
    asked["assessment"] = made.judge(10)
    with pytest.raises(overrides.NotOverridable):
        overrides.request_override(codes=["party.warn"], **asked)  # it didn't fire
    with pytest.raises(overrides.CapRequired):
        overrides.request_override(codes=["score.low"], **{**asked, "max_value": None})
    with pytest.raises(overrides.CapRequired):
        overrides.request_override(codes=["score.low"], **{**asked, "max_value": {**CAP, "currency": "USD"}})
    for expires_at in (clock.now(), clock.now() + timedelta(days=30, minutes=1)):
        with pytest.raises(overrides.ExpiryOutOfRange):
            overrides.request_override(codes=["score.low"], expires_at=expires_at, **asked)
    with unguarded_writes():
        made.offer.editors = [director.pk]
        made.offer.save()
    from apps.risk.models import RiskAssessment

    edited = RiskAssessment.objects.get(pk=asked["assessment"].pk)
    with pytest.raises(SelfApproval):
        overrides.request_override(codes=["score.low"], **{**asked, "assessment": edited})
    with pytest.raises(CapabilityMissing):
        overrides.request_override(codes=["score.low"], **{**asked, "actor": user("INTERNAL_MANAGER")})
    other = user("INTERNAL_DIRECTOR")
    overrides.request_override(codes=["score.low"], **{**asked, "actor": other})
    with pytest.raises(overrides.OverridePending):
        overrides.request_override(codes=["score.low"], **{**asked, "actor": other})


def test_an_override_is_stale_once_a_newer_assessment_has_other_gates(deal, director, compliance, user):
    made = deal(limit=1_000_000)
    factories.policy(warn_below=80)
    override = overrides.request_override(
        actor=director, assessment=made.judge(10), codes=["score.low"], max_value=CAP, **WHY
    )
    made.judge(10)  # the same gates: it still stands
    assert grant(override, compliance).status == "GRANTED"
    revoked = overrides.revoke(
        RiskOverride.objects.get(pk=override.pk), actor=compliance, reason="It was a mistake."
    )
    assert revoked.status == "REVOKED"
    assert made.judge(10).gate_codes == ["score.low"]
    with pytest.raises(overrides.OverrideNotEffective):
        overrides.revoke(revoked, actor=compliance, reason="Again.")
    second = overrides.request_override(
        actor=director, assessment=made.judge(10), codes=["score.low"], max_value=CAP, **WHY
    )
    made.judge(100)  # the credit doesn't suffice: other gates
    with pytest.raises(approvals.Stale):
        grant(second, compliance)
    approvals.expire(request_of(second), actor=SYSTEM)
    assert RiskOverride.objects.get(pk=second.pk).status == "STALE"
    admin = user()  # a super administrator is no exception
    third = overrides.request_override(
        actor=admin, assessment=made.judge(10), codes=["score.low"], max_value=CAP, **WHY
    )
    request = request_of(third)
    with pytest.raises(SelfApproval):
        grant(third, admin)
    approvals.reject(
        request, actor=compliance, subject_version=request.subject_version, reason_code="NO", note="No."
    )
    assert RiskOverride.objects.get(pk=third.pk).status == "REFUSED"


@pytest.mark.django_db(transaction=True)
def test_of_two_grants_at_once_one_counts(deal, user):
    """§8.6."""
    made = deal(limit=1_000_000)
    factories.policy(warn_below=80)
    override = overrides.request_override(
        actor=user("INTERNAL_DIRECTOR"), assessment=made.judge(10), codes=["score.low"], max_value=CAP, **WHY
    )
    people, outcomes, barrier = [user("INTERNAL_COMPLIANCE") for _ in range(2)], [], threading.Barrier(2)

    def decide(person):
        barrier.wait()
        try:
            grant(override, person)
            outcomes.append("granted")
        except (approvals.NotPending, approvals.Stale):
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=decide, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["granted", "refused"]


# Policies


def test_a_policy_is_changed_by_two_people_and_goes_stale_with_its_base(director, compliance, emitted):
    """§8.13."""
    reason = "Fewer warnings for good partners."
    proposed = policies.propose_policy(actor=director, body={"warn_below": 50}, reason=reason)
    assert (proposed.policy_version, proposed.base_version, proposed.status) == (2, 1, "PROPOSED")
    with pytest.raises(policies.PolicyProposalOpen):
        policies.propose_policy(actor=compliance, body={}, reason=reason)
    request = request_of(proposed)
    with pytest.raises(SelfApproval):
        approvals.approve(request, actor=director, subject_version=request.subject_version)
    approvals.approve(request, actor=compliance, subject_version=request.subject_version)
    active = RiskPolicy.objects.active().get()
    assert (active.pk, active.content.warn_below, active.content.valid_hours) == (proposed.pk, 50, 24)
    assert RiskPolicy.objects.get(policy_version=1).status == "RETIRED"
    second = policies.propose_policy(actor=director, body={"warn_below": 40}, reason=reason)
    with unguarded_writes():
        active.raise_version()
        active.save()
    request = request_of(second)
    with pytest.raises(approvals.Stale):
        approvals.approve(request, actor=compliance, subject_version=request.subject_version)
    approvals.expire(request_of(second), actor=SYSTEM)
    assert RiskPolicy.objects.get(pk=second.pk).status == "STALE"
    for body, pointer in (({"surprise": 1}, "/body/surprise"), ({"warn_below": 101}, "/body/warn_below"),
                          ({"rating_points": {"worst": "NaN"}}, "/body/rating_points/worst")):  # fmt: skip
        with pytest.raises(Invalid) as refused:
            policies.propose_policy(actor=director, body=body, reason=reason)
        assert refused.value.errors[0].pointer == pointer
    changed = [event.payload["version"] for event in emitted("risk.policy_changed")]
    assert changed == [1, 2]


def test_a_commodity_has_a_policy_of_its_own(commodity, director, compliance):
    goods = commodity()
    proposed = policies.propose_policy(
        actor=director, commodity=goods, body={"price_band_percent": 5}, reason="A calm market."
    )
    request = request_of(proposed)
    approvals.approve(request, actor=compliance, subject_version=request.subject_version)
    policies.propose_policy(actor=director, body={}, reason="Another default.")
    assert policies.policy_for(goods.pk).pk == proposed.pk
    assert policies.policy_for(commodity().pk).commodity is None
