"""A change of rights takes effect with its approval, from the next HTTP request on."""

import pytest
from django.contrib.auth.models import Group

from apps.accounts.models import CapabilityChange, PolicyDeviation, User
from apps.accounts.services import rights
from apps.accounts.services import roles as roles_services
from apps.approvals import services, tasks
from apps.approvals.models import ApprovalRequest
from erp import access
from erp.access import SYSTEM
from erp.errors import SelfApproval
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db
WHY = "The office in Rajkot needs it."


@pytest.fixture
def compliance(user):
    return lambda: user("INTERNAL_COMPLIANCE")


@pytest.fixture
def proposed(compliance, deliver):
    """A proposed role of a user, and the approval request for it."""

    def make(person, role="INTERNAL_MANAGER", by=None):
        change = rights.propose_role(person, actor=by or compliance(), role=role, operation="add", reason=WHY)
        deliver()
        return change, ApprovalRequest.objects.get(subject_id=change.pk)

    return make


def approve(request, who):
    return services.approve(request, actor=who, subject_version=request.subject_version)


def again(row):
    return type(row).objects.get(pk=row.pk)


def test_a_role_takes_effect_with_its_approval_and_not_before(user, compliance, proposed, deliver, emitted):
    person = user("INTERNAL")
    change, request = proposed(person)
    assert (request.kind, request.maker, request.reason) == ("capability.change", change.proposed_by, WHY)
    assert {line["field"]: line["new"] for line in request.diff}["role"] == "INTERNAL_MANAGER"
    assert not access.holds_everywhere(User.objects.get(pk=person.pk), "availability.approve")
    approve(request, compliance())
    assert access.holds_everywhere(User.objects.get(pk=person.pk), "availability.approve")
    assert (again(change).status, again(change).approval_id) == ("applied", request.pk)
    assert again(request).status == "granted"
    [changed] = emitted("capability.changed")
    [granted] = emitted("approval.granted")
    assert changed.payload["by"] == granted.payload["by"] != str(change.proposed_by_id)
    deliver()
    assert len(emitted("capability.changed")) == 1


def test_neither_the_requester_nor_the_user_concerned_decides_even_as_superuser(user, compliance, proposed):
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
    change = rights.propose_matrix_change(
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
    approve(asked_first, compliance())
    with pytest.raises(services.Stale):
        approve(asked_second, compliance())
    assert tasks.expire_overdue() == 1
    assert [again(row).status for row in (first, second)] == ["applied", "stale"]
    assert [again(row).status for row in (asked_first, asked_second)] == ["granted", "stale"]
    roles = set(person.groups.values_list("name", flat=True))
    assert roles == {"INTERNAL", "INTERNAL_MANAGER"}
    assert len(emitted("capability.changed")) == 1


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_a_change_of_the_base_before_the_decision_is_reported_and_makes_the_request_stale(
    user, compliance, proposed, deliver, client_for, emitted, verb
):
    person, decider = user("INTERNAL"), compliance()
    change, request = proposed(person)
    with unguarded_writes():
        User.objects.filter(pk=person.pk).update(rights_version=person.rights_version + 1)
    body = {"subject_version": request.subject_version}
    if verb == "reject":
        body |= {"reason_code": "not_justified", "note": "There is no need for it."}
    client = client_for(decider)
    answer = client.write(f"/api/v1/approvals/{request.pk}/{verb}", body, if_match=request.version)
    assert (answer.status_code, answer.json()["code"]) == (409, "approval.stale")
    assert (again(request).status, again(request).decisions.count()) == ("pending", 0)
    assert tasks.expire_overdue() == 1
    assert [event.payload["approval_id"] for event in emitted("approval.staled")] == [str(request.pk)]
    assert again(change).status == "stale"
    assert not person.groups.filter(name="INTERNAL_MANAGER").exists()


def test_a_change_of_the_matrix_before_the_decision_makes_the_request_stale_too(user, compliance, deliver):
    maker = user()
    first, second = (
        rights.propose_matrix_change(
            actor=maker, role="BROKER", capability=name, scope="own", operation="add", reason=WHY
        )
        for name in ("availability.create", "availability.release")
    )
    deliver()
    rights.apply_capability_change(first, actor=SYSTEM)
    request = ApprovalRequest.objects.get(subject_id=second.pk)
    with pytest.raises(services.Stale):
        approve(request, compliance())
    assert tasks.expire_overdue() == 2
    assert again(second).status == "stale"


def test_the_approver_sees_why_the_change_is_refused_by_then_and_nothing_changes(user, compliance, proposed):
    person = user("INTERNAL")
    change, request = proposed(person)
    with unguarded_writes():
        User.objects.filter(pk=person.pk).update(
            user_type="SUPER_ADMIN", is_superuser=True, organization_id=None
        )
    with pytest.raises(roles_services.RoleNotAllowed):
        approve(request, compliance())
    assert (again(change).status, again(request).status) == ("proposed", "pending")


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
            note="There is no need for it.",
        )
    elif end == "expire":
        with unguarded_writes():
            ApprovalRequest.objects.filter(pk=request.pk).update(expires_at=request.created_at)
        services.expire(request, actor=SYSTEM)
    elif end == "withdraw":
        services.withdraw(request, actor=change.proposed_by)
    else:
        rights.withdraw_capability_change(change, actor=change.proposed_by)
    deliver()
    assert again(change).status == status
    assert again(request).status == status
    assert CapabilityChange.objects.filter(status="proposed").count() == 0
