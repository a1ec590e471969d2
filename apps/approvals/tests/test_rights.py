"""A change of rights has no effect before the second person, and full effect at the next request after."""

import pytest
from django.contrib.auth.models import Group

from apps.accounts import services as accounts
from apps.accounts.models import CapabilityChange, PolicyDeviation, User
from apps.approvals import services
from apps.approvals.models import ApprovalRequest
from erp import access
from erp.access import SYSTEM
from erp.errors import SelfApproval
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db
WHY = "The desk in Rajkot needs it."


@pytest.fixture
def compliance(user):
    return lambda: user("INTERNAL_COMPLIANCE")


@pytest.fixture
def proposed(compliance, deliver):
    """A role proposed for somebody, and the request that asks for it."""

    def make(person, role="INTERNAL_MANAGER", by=None):
        change = accounts.propose_role(
            person, actor=by or compliance(), role=role, operation="add", reason=WHY
        )
        deliver()
        return change, ApprovalRequest.objects.get(subject_id=change.pk)

    return make


def approve(request, who):
    return services.approve(request, actor=who, subject_version=request.subject_version)


def again(row):
    return type(row).objects.get(pk=row.pk)


def test_a_role_counts_after_the_second_person_and_not_before(user, compliance, proposed, deliver, emitted):
    person = user("INTERNAL")
    change, request = proposed(person)
    assert (request.kind, request.maker, request.reason) == ("capability.change", change.proposed_by, WHY)
    assert {line["field"]: line["new"] for line in request.diff}["role"] == "INTERNAL_MANAGER"
    assert not access.holds_everywhere(User.objects.get(pk=person.pk), "availability.approve")
    approve(request, compliance())
    assert not access.holds_everywhere(User.objects.get(pk=person.pk), "availability.approve")
    deliver()
    assert access.holds_everywhere(User.objects.get(pk=person.pk), "availability.approve")
    assert (again(change).status, again(change).approval_id) == ("applied", request.pk)
    assert again(request).outcome == "applied"
    assert len(emitted("capability.changed")) == 1


def test_neither_maker_nor_who_gains_decides_superusers_included(user, compliance, proposed):
    maker, gains = user(), compliance()
    _, request = proposed(gains, role="INTERNAL_MASTERDATA", by=maker)
    assert set(request.excluded) == {maker.pk, gains.pk}
    for person in (maker, gains):
        with pytest.raises(SelfApproval):
            approve(request, person)
    assert approve(request, compliance()).status == "granted"


def test_members_of_a_role_do_not_decide_on_its_rights_and_a_deviation_survives(
    user, compliance, deliver, emitted
):
    change = accounts.propose_matrix_change(
        actor=user(), role="INTERNAL_COMPLIANCE", capability="job.cancel"
        if "job.cancel" in access.registry.capabilities else "availability.approve",
        scope="everywhere", operation="add", reason=WHY,
    )  # fmt: skip
    deliver()
    request = ApprovalRequest.objects.get(subject_id=change.pk)
    with pytest.raises(SelfApproval):
        approve(request, compliance())
    approve(request, user())
    deliver()
    assert again(change).status == "applied"
    assert PolicyDeviation.objects.get().role == "INTERNAL_COMPLIANCE"
    access.sync()
    role = Group.objects.get(name="INTERNAL_COMPLIANCE")
    assert role.permissions.filter(codename=change.capability.split(".")[1]).exists()


def test_of_two_changes_on_one_base_the_second_turns_stale(user, compliance, proposed, deliver, emitted):
    person = user("INTERNAL")
    first, asked_first = proposed(person, role="INTERNAL_MANAGER")
    second, asked_second = proposed(person, role="INTERNAL_MASTERDATA")
    third, asked_third = proposed(person, role="INTERNAL_DIRECTOR")
    approve(asked_first, compliance())
    approve(asked_second, compliance())  # granted as well, before the first was applied
    deliver()
    assert [again(row).status for row in (first, second, third)] == ["applied", "stale", "stale"]
    assert (again(asked_first).outcome, again(asked_second).outcome) == ("applied", "stale")
    assert again(asked_third).status == "stale"
    roles = set(person.groups.values_list("name", flat=True))
    assert roles == {"INTERNAL", "INTERNAL_MANAGER"}
    assert len(emitted("capability.changed")) == 1


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_a_base_that_moved_before_the_decision_is_told_and_leaves_it_stale(
    user, compliance, proposed, deliver, client_for, emitted, verb
):
    person, decider = user("INTERNAL"), compliance()
    change, request = proposed(person)
    with unguarded_writes():
        User.objects.filter(pk=person.pk).update(rights_version=person.rights_version + 1)
    body = {"subject_version": request.subject_version}
    if verb == "reject":
        body |= {"reason_code": "not_justified", "note": "Nobody asked for it."}
    client = client_for(decider)
    answer = client.write(f"/api/v1/approvals/{request.pk}/{verb}", body, if_match=request.version)
    assert (answer.status_code, answer.json()["code"]) == (409, "approval.stale")
    assert (again(request).status, again(request).decisions.count()) == ("stale", 0)
    assert [event.payload["approval_id"] for event in emitted("approval.staled")] == [str(request.pk)]
    deliver()
    assert again(change).status == "stale"
    assert not person.groups.filter(name="INTERNAL_MANAGER").exists()


def test_a_matrix_that_moved_before_the_decision_is_stale_too(user, compliance, deliver):
    maker = user()
    first, second = (
        accounts.propose_matrix_change(
            actor=maker, role="BROKER", capability=name, scope="own", operation="add", reason=WHY
        )
        for name in ("availability.create", "availability.release")
    )
    deliver()
    accounts.apply_capability_change(first, actor=SYSTEM)
    request = ApprovalRequest.objects.get(subject_id=second.pk)
    outcome = approve(request, compliance())
    assert isinstance(outcome.problem, services.Stale)
    assert again(request).status == "stale"


def test_a_base_that_moved_after_the_grant_leaves_the_outcome_stale(user, compliance, proposed, deliver):
    person = user("INTERNAL")
    change, request = proposed(person)
    approve(request, compliance())
    with unguarded_writes():
        User.objects.filter(pk=person.pk).update(rights_version=person.rights_version + 1)
    deliver()
    assert (again(change).status, again(request).outcome) == ("stale", "stale")
    assert not person.groups.filter(name="INTERNAL_MANAGER").exists()


def test_what_stands_against_it_by_then_leaves_it_stale(user, compliance, proposed, deliver):
    person = user("INTERNAL")
    change, request = proposed(person)
    approve(request, compliance())
    with unguarded_writes():
        User.objects.filter(pk=person.pk).update(
            user_type="SUPER_ADMIN", is_superuser=True, organization_id=None
        )
    deliver()
    assert (again(change).status, again(request).outcome) == ("stale", "stale")


@pytest.mark.parametrize(
    ("end", "status"),
    [("refuse", "refused"), ("expire", "expired"), ("withdraw", "withdrawn"), ("take back", "withdrawn")],
)
def test_however_a_request_ends_the_proposal_ends_with_it(user, compliance, proposed, deliver, end, status):
    change, request = proposed(user("INTERNAL"))
    if end == "refuse":
        services.reject(
            request,
            actor=compliance(),
            subject_version=request.subject_version,
            reason_code="not_justified",
            note="Nobody asked for it.",
        )
    elif end == "expire":
        with unguarded_writes():
            ApprovalRequest.objects.filter(pk=request.pk).update(expires_at=request.created_at)
        services.expire(request, actor=SYSTEM)
    elif end == "withdraw":
        services.withdraw(request, actor=change.proposed_by)
    else:
        accounts.withdraw_capability_change(change, actor=change.proposed_by)
    deliver()
    assert again(change).status == status
    assert again(request).status == status
    assert CapabilityChange.objects.filter(status="proposed").count() == 0


def test_a_grant_that_is_handled_again_is_applied_once(user, compliance, proposed, deliver, emitted):
    """As when a worker is killed after the grant: the event comes again."""
    from apps.approvals import events, tasks

    person = user("INTERNAL")
    change, request = proposed(person)
    approve(request, compliance())
    deliver()
    [row] = emitted("approval.granted")
    from erp.services import unit_of_work

    for _ in range(2):
        with unit_of_work(SYSTEM):
            tasks.apply_rights(events.ApprovalGranted.model_validate(row.payload), meta=None)
    assert len(emitted("capability.changed")) == len(emitted("approval.applied")) == 1
    assert again(change).status == "applied"
