"""Approvals of every module: judged on the subject, for list, page, decision, escalation and mail; on every channel."""

from datetime import date, timedelta
from decimal import Decimal
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.apps import apps
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.models import CapabilityChange, CapabilityGrant, Session, User
from apps.accounts.services import rights as rights_services
from apps.accounts.services import users
from apps.approvals import services
from apps.approvals.models import ApprovalRequest, PublishedByApproval
from apps.approvals.tasks import expire_overdue
from apps.commodities.services import tax as commodities
from apps.notifications.models import Message
from apps.organization.services import years
from apps.organization.tests import factories
from config.testing import PASSWORD, totp_code
from erp import access
from erp.access import SYSTEM
from erp.approvals import kinds
from erp.errors import CapabilityMissing, DomainError, Invalid, ReauthenticationRequired, SelfApproval
from erp.models import unguarded_writes
from erp.testing import at_once

pytestmark = pytest.mark.django_db
WHY = "Needed for the season's work."
REFUSAL = {"reason_code": "other", "note": "Not as it was agreed."}
LIST = "/admin/approval/approvalrequest/"


def grant(person, capability, row=None):
    """A single grant, as two people would have given it."""
    change = rights_services.propose_grant(
        person,
        actor=SYSTEM,
        capability=capability,
        operation="add",
        reason=WHY,
        **({} if row is None else {"object_type": row._meta.label, "object_id": row.pk}),
    )
    rights_services.apply_capability_change(change, actor=SYSTEM)


def bank_account(world, company):
    maker = world.user("INTERNAL_FINANCE", organization_id=company.pk)
    account = factories.account(company, by=maker)
    return account, maker, ("INTERNAL_FINANCE",), ()


def locked_year(world, company):
    """The requester may reopen by a role; approvers hold the capability on one organization only."""
    start, _ = factories.year_of(date(2024, 1, 1))
    year = factories.year(company, start)
    for status in ("soft_closed", "locked"):
        year = update_year(year, SYSTEM, status)
    maker = world.user("INTERNAL_DIRECTOR", organization_id=company.pk)
    return update_year(year, maker, "soft_closed", reason=WHY), maker, ("INTERNAL_MANAGER",), (
        "organization.reopen_financial_year",
    )  # fmt: skip


def update_year(year, actor, status, **more):
    year.refresh_from_db()
    return years.update_financial_year(
        year, actor=actor, start_date=year.start_date, end_date=year.end_date, status=status, **more
    )


SCOPED = {"bank account": bank_account, "financial year": locked_year}


@pytest.fixture
def asked(world, organization):
    """A request about a row of one organization, an approver there, and the same for another organization."""

    def make(what):
        company, other = organization(), organization()
        subject, maker, roles, granted = SCOPED[what](world, company)
        people = []
        for each in (company, other):
            person = world.user(*roles, organization_id=each.pk)
            for capability in granted:
                grant(person, capability, each)
            people.append(User.objects.get(pk=person.pk))
        request = ApprovalRequest.objects.get(subject_id=subject.pk, status="pending")
        return SimpleNamespace(request=request, maker=maker, inside=people[0], outside=people[1])

    return make


@pytest.fixture
def proposed(world, deliver):
    """A proposed role of a user, and the pending request."""

    def make(person=None, role="INTERNAL_MASTERDATA", operation="add", by=None):
        change = rights_services.propose_role(
            person or world.user("INTERNAL"),
            actor=by or world.user("INTERNAL_COMPLIANCE"),
            role=role,
            operation=operation,
            reason=WHY,
        )
        deliver()
        return change, ApprovalRequest.objects.get(subject_id=change.pk, status="pending")

    return make


@pytest.fixture
def tax_rate(world):
    def make():
        author = world.user("INTERNAL_FINANCE")
        row = commodities.draft_tax_rate(
            actor=author,
            hsn="5201",
            rate_percent=Decimal(5),
            source="A notification",
            valid_from=date(2100, 4, 1),
        )
        commodities.submit_tax_rate(row, actor=author, reason=WHY)
        return ApprovalRequest.objects.get(subject_id=row.pk)

    return make


def again(row):
    return type(row).objects.get(pk=row.pk)


def confirm(client, at=None):
    """The client's session as one whose user has just confirmed their identity."""
    with unguarded_writes():
        Session.objects.filter(pk=client.session_id).update(reauthenticated_at=at or timezone.now())


def decide(client, request, verb="approve", **more):
    body = {"subject_version": request.subject_version, **more}
    return client.write(f"/api/v1/approvals/{request.pk}/{verb}", body, if_match=again(request).version)


def seen_in_list(client):
    return [row["id"] for row in client.read("/api/v1/approvals").json()["results"]]


@pytest.mark.parametrize("what", SCOPED)
def test_people_of_another_organization_neither_see_nor_decide_a_request(asked, client_for, what):
    case = asked(what)
    outside, inside = client_for(case.outside), client_for(case.inside)
    confirm(outside)
    confirm(inside)
    path = f"/api/v1/approvals/{case.request.pk}"
    assert outside.read(path).status_code == 404
    assert seen_in_list(outside) == []
    for verb, more in (("approve", {}), ("reject", REFUSAL)):
        assert decide(outside, case.request, verb, **more).status_code == 404
        with pytest.raises(CapabilityMissing):
            getattr(services, verb)(
                case.request, actor=case.outside, subject_version=case.request.subject_version, **more
            )
    assert again(case.request).status == "pending"
    assert inside.read(path).json()["allowed_actions"] == ["approve", "reject"]
    assert seen_in_list(inside) == [str(case.request.pk)]
    assert decide(inside, case.request).json()["status"] == "granted"


@pytest.mark.parametrize("what", SCOPED)
def test_the_admin_shows_a_request_to_people_of_its_organization_only(asked, staff_client_for, what):
    case = asked(what)
    run = f"{LIST}{case.request.pk}/run/approve/"
    outside, inside = staff_client_for(case.outside), staff_client_for(case.inside)
    assert list(outside.get(LIST).context["cl"].result_list) == []
    assert outside.get(f"{LIST}{case.request.pk}/change/").status_code in (302, 404)
    form = inside.form(run)
    assert outside.post(run, form).status_code in (302, 404)
    assert again(case.request).status == "pending"
    assert list(inside.get(f"{LIST}?for_me=True").context["cl"].result_list) == [case.request]
    assert inside.post(run, form).status_code == 302
    assert again(case.request).status == "granted"


@pytest.mark.parametrize("what", SCOPED)
def test_only_people_of_the_organization_are_notified(asked, deliver, what):
    case = asked(what)
    deliver()
    notified = set(Message.objects.filter(code="approval_waiting").values_list("user_id", flat=True))
    assert case.inside.pk in notified
    assert case.outside.pk not in notified


@pytest.mark.parametrize("what", SCOPED)
def test_people_of_another_organization_do_not_escalate(asked, what):
    case = asked(what)
    with pytest.raises(CapabilityMissing):
        services.escalate(case.request, actor=case.outside, role="INTERNAL_DIRECTOR", reason=WHY)
    assert again(case.request).decider_role is None
    services.escalate(case.request, actor=case.inside, role="INTERNAL_DIRECTOR", reason=WHY)
    assert again(case.request).decider_role == "INTERNAL_DIRECTOR"


def test_requesters_see_their_own_requests_and_readers_of_the_trail_see_all(asked, user, client_for):
    case = asked("bank account")
    for person in (case.maker, user("INTERNAL_COMPLIANCE"), user("AUDITOR")):
        client = client_for(person)
        assert seen_in_list(client) == [str(case.request.pk)]
        row = client.read(f"/api/v1/approvals/{case.request.pk}").json()
        assert row["allowed_actions"] == []
    reader = client_for(user("INTERNAL_COMPLIANCE"))
    confirm(reader)
    answer = decide(reader, case.request)
    assert (answer.status_code, answer.json()["code"]) == (403, "capability.missing")


def test_a_grant_on_one_organization_opens_the_requests_about_its_rows(asked, user, client_for):
    case = asked("bank account")
    company = organizations_of(case.request)
    person = user("INTERNAL_MANAGER")
    for capability in ("organization.view", "organization.manage_bank_accounts"):
        grant(person, capability, company)
    client = client_for(person)
    confirm(client)
    assert seen_in_list(client) == [str(case.request.pk)]
    assert decide(client, case.request).status_code == 200


def organizations_of(request):
    from apps.organization.models import BankAccount

    return BankAccount.objects.get(pk=request.subject_id).organization


def test_changes_of_rights_and_drafts_are_judged_on_their_subject_too(
    proposed, tax_rate, user, client_for, deliver
):
    change, rate = proposed()[1], tax_rate()
    deliver()
    for request, decider, other in (
        (change, "INTERNAL_COMPLIANCE", "INTERNAL_FINANCE"),
        (rate, "INTERNAL_FINANCE", "INTERNAL_MANAGER"),
    ):
        stranger, client = client_for(user(other)), client_for(user(decider))
        assert str(request.pk) not in seen_in_list(stranger)
        assert decide(stranger, request).status_code == 404
        assert str(request.pk) in seen_in_list(client)


def test_a_list_of_requests_costs_the_same_queries_for_one_and_for_many(world, organization, client_for):
    company = organization()
    client = client_for(world.user("INTERNAL_FINANCE", organization_id=company.pk))
    maker = world.user("INTERNAL_FINANCE", organization_id=company.pk)

    def cost():
        with CaptureQueriesContext(connection) as queries:
            found = len(seen_in_list(client))
        return found, len(queries)

    factories.account(company, by=maker)
    cost()
    few = cost()
    for _ in range(5):
        factories.account(company, by=maker)
        factories.account(organization(), by=maker)
    many = cost()
    assert (few[0], many[0]) == (1, 6)
    assert few[1] == many[1]


@pytest.fixture
def needing_proof(asked, proposed, user):
    """Requests of the kinds that require recent reauthentication, each with an approver."""

    def make(what):
        if what == "capability change":
            return proposed()[1], user("INTERNAL_COMPLIANCE")
        case = asked(what)
        return case.request, case.inside

    return make


NEEDING = ["bank account", "capability change"]


def test_the_kinds_that_need_a_proof_are_declared():
    assert {name for name, kind in kinds.items() if kind.reauthenticate} == {
        "organization.bank_account",
        "capability.change",
    }


@pytest.mark.parametrize("what", NEEDING)
@pytest.mark.parametrize("proof", ["password", "code"])
def test_an_approval_through_the_api_needs_a_recent_proof_of_identity(
    needing_proof, client_for, emitted, what, proof
):
    request, person = needing_proof(what)
    client = client_for(person)
    answer = decide(client, request)
    assert (answer.status_code, answer.json()["code"]) == (401, "account.reauthentication_required")
    assert "insufficient_user_authentication" in answer["WWW-Authenticate"]
    assert (again(request).status, request.decisions.count()) == ("pending", 0)
    body = {proof: PASSWORD if proof == "password" else totp_code()}
    confirmed = client.write("/api/v1/auth/reauthenticate", body)
    assert confirmed.status_code == 200, confirmed.content
    assert confirmed["Cache-Control"] == "no-store"
    assert emitted("user.reauthenticated")[-1].payload["user_id"] == str(person.pk)
    assert decide(client, request).json()["status"] == "granted"


@pytest.mark.parametrize("what", NEEDING)
def test_the_proof_counts_for_ten_minutes_of_one_session(needing_proof, client_for, what):
    request, person = needing_proof(what)
    old, other, fresh = client_for(person), client_for(person), client_for(person)
    confirm(old, timezone.now() - timedelta(minutes=10, seconds=1))
    confirm(fresh)
    for client in (old, other):
        assert decide(client, request).status_code == 401
    assert decide(fresh, request).status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"password": "quite another passphrase"}, 403),
        ({"code": "000000"}, 403),
        ({}, 400),
        ({"password": PASSWORD, "code": "000000"}, 400),
    ],
)
def test_a_wrong_proof_confirms_nothing(needing_proof, client_for, body, status):
    request, person = needing_proof("bank account")
    client = client_for(person)
    assert client.write("/api/v1/auth/reauthenticate", body).status_code == status
    assert decide(client, request).status_code == 401


@pytest.mark.parametrize("what", NEEDING)
def test_the_admin_asks_for_the_proof_before_the_same_decisions(needing_proof, staff_client_for, what):
    request, person = needing_proof(what)
    run = f"{LIST}{request.pk}/run/approve/"
    staff = staff_client_for(person, reauthenticated=False)
    form = staff_client_for(person).form(run)
    for answer in (staff.get(run), staff.post(run, form)):
        assert answer.status_code == 302
        assert answer["Location"].startswith("/admin/prove/")
    assert again(request).status == "pending"
    assert staff_client_for(person).fill(run).status_code == 302
    assert again(request).status == "granted"


def test_other_decisions_need_no_proof_on_either_channel(asked, tax_rate, user, client_for, staff_client_for):
    for request, person in (
        (tax_rate(), user("INTERNAL_DIRECTOR")),
        ((case := asked("financial year")).request, case.inside),
    ):
        staff = staff_client_for(person, reauthenticated=False)
        assert staff.get(f"{LIST}{request.pk}/run/approve/").status_code == 200
        assert decide(client_for(person), request).json()["status"] == "granted"
    request, person = (case := asked("bank account")).request, case.inside
    assert decide(client_for(person), request, "reject", **REFUSAL).json()["status"] == "refused"


def test_a_user_who_may_not_decide_is_refused_before_reauthentication(asked, client_for):
    case = asked("bank account")
    answer = decide(client_for(case.maker), case.request)
    assert (answer.status_code, answer.json()["code"]) == (403, "approval.self")


def test_a_service_that_needs_a_proof_refuses_a_person_of_any_session_without_one(user, client_for):
    boss, person = user("INTERNAL_COMPLIANCE"), user("INTERNAL")
    client = client_for(boss)
    boss.current_session = Session.objects.get(pk=client.session_id)
    for service, what in (
        (rights_services.propose_grant, {"capability": "approval.view"}),
        (rights_services.propose_role, {"role": "INTERNAL_MASTERDATA"}),
    ):
        with pytest.raises(ReauthenticationRequired):
            service(person, actor=boss, operation="add", reason=WHY, **what)
    with pytest.raises(ReauthenticationRequired):
        rights_services.propose_matrix_change(
            actor=boss, role="BROKER", capability="job.cancel", scope="own", operation="add", reason=WHY
        )
    assert not CapabilityChange.objects.exists()


@pytest.mark.parametrize("what", SCOPED)
def test_the_requester_does_not_choose_who_decides(asked, staff_client_for, what):
    case = asked(what)
    with pytest.raises(SelfApproval):
        services.escalate(case.request, actor=case.maker, role="INTERNAL_DIRECTOR", reason=WHY)
    run = f"{LIST}{case.request.pk}/run/escalate/"
    staff = staff_client_for(case.maker)
    answer = staff.fill(run, role="INTERNAL_DIRECTOR", reason=WHY)
    assert (answer.status_code, "another person must" in answer.content.decode()) == (403, True)
    assert run not in staff.get(f"{LIST}{case.request.pk}/change/").content.decode()
    assert again(case.request).decider_role is None


def test_whom_a_change_of_rights_concerns_does_not_escalate_it_superusers_included(proposed, user):
    gains, maker = user("INTERNAL_COMPLIANCE"), user()
    _, request = proposed(gains, by=maker)
    for person in (gains, maker):
        with pytest.raises(SelfApproval):
            services.escalate(request, actor=person, role="INTERNAL_COMPLIANCE", reason=WHY)


def test_who_joined_a_role_after_the_request_about_it_does_not_escalate_it(user, deliver):
    change = rights_services.propose_matrix_change(
        actor=user(),
        role="INTERNAL_COMPLIANCE",
        capability="availability.approve",
        scope="everywhere",
        operation="add",
        reason=WHY,
    )
    deliver()
    request = ApprovalRequest.objects.get(subject_id=change.pk)
    newcomer = user("INTERNAL_COMPLIANCE")
    assert newcomer.pk not in request.excluded
    with pytest.raises(SelfApproval):
        services.escalate(request, actor=newcomer, role="INTERNAL_COMPLIANCE", reason=WHY)


def test_a_request_is_escalated_upwards_only(asked, user):
    request = (case := asked("bank account")).request
    director = user("INTERNAL_DIRECTOR", organization_id=case.inside.organization_id)
    with pytest.raises(services.RoleUnfit):
        services.escalate(request, actor=director, role="INTERNAL_FINANCE", reason=WHY)
    services.escalate(request, actor=case.inside, role="INTERNAL_FINANCE", reason=WHY)
    services.escalate(request, actor=case.inside, role="INTERNAL_DIRECTOR", reason=WHY)
    for person in (case.inside, director):
        with pytest.raises(services.RoleUnfit):
            services.escalate(request, actor=person, role="INTERNAL_FINANCE", reason=WHY)
    stored = again(request)
    assert (stored.decider_role, stored.escalated_by) == ("INTERNAL_DIRECTOR", case.inside)
    with pytest.raises(services.RoleRequired):
        services.approve(request, actor=case.inside, subject_version=request.subject_version)


def test_a_role_that_a_band_asks_for_is_not_lowered(asked):
    case = asked("bank account")
    with unguarded_writes():
        ApprovalRequest.objects.filter(pk=case.request.pk).update(decider_role="INTERNAL_DIRECTOR")
    with pytest.raises(services.RoleUnfit):
        services.escalate(case.request, actor=case.inside, role="INTERNAL_FINANCE", reason=WHY)


def test_every_role_of_staff_that_may_decide_has_a_rank():
    table = access.matrix()
    deciding = {role for role, rights in table.items() if "approval.decide" in rights}
    assert deciding <= access.registry.ranks.keys()


def edit_profile(client, person, name):
    body = {
        "full_name": name,
        "email": person.email,
        "locale": "gu-IN",
        "notify_email": False,
        "notify_sms": False,
        "digest": "daily",
    }
    return client.write(
        "/api/v1/auth/me", body, method="PUT", if_match=User.objects.get(pk=person.pk).version
    )


def test_editing_the_own_profile_does_not_block_the_removal_of_a_role(proposed, user, client_for, deliver):
    person = user("INTERNAL_MASTERDATA")
    change, request = proposed(person, operation="remove")
    client = client_for(person)
    assert edit_profile(client, person, "Another Name").status_code == 200
    decider = client_for(user("INTERNAL_COMPLIANCE"))
    confirm(decider)
    assert decide(decider, request).status_code == 200
    assert edit_profile(client, person, "A Third Name").status_code == 200
    deliver()
    assert again(change).status == "applied"
    assert set(person.groups.values_list("name", flat=True)) == {"INTERNAL"}


def test_neither_does_it_block_the_end_of_a_grant(user, client_for, deliver):
    person, boss = user("INTERNAL"), user("INTERNAL_COMPLIANCE")
    grant(person, "notification.manage")
    change = rights_services.propose_grant(
        again(person), actor=boss, capability="notification.manage", operation="remove", reason=WHY
    )
    assert edit_profile(client_for(person), person, "Another Name").status_code == 200
    deliver()
    request = ApprovalRequest.objects.get(subject_id=change.pk)
    services.approve(request, actor=user("INTERNAL_COMPLIANCE"), subject_version=request.subject_version)
    deliver()
    assert not access.may_enter(again(person), "notification.manage")


def test_rights_that_moved_still_make_a_proposed_change_stale(proposed, user, deliver):
    person = user("INTERNAL")
    change, request = proposed(person)
    grant(again(person), "notification.view")
    with pytest.raises(services.Stale):
        services.approve(request, actor=user("INTERNAL_COMPLIANCE"), subject_version=request.subject_version)
    erased, asked_for = proposed(someone := user("INTERNAL"))
    users.erase(again(someone), actor=SYSTEM, reason_code="request")
    with pytest.raises(services.Stale):
        services.approve(
            asked_for, actor=user("INTERNAL_COMPLIANCE"), subject_version=asked_for.subject_version
        )
    assert expire_overdue() == 2
    assert [again(each).status for each in (change, erased)] == ["stale", "stale"]


def unfit(world, what):
    rows = {
        "a row of another model": ("organization.view", world.commodity),
        "a row of the kernel": ("commodity.view", world.job),
        "a part where the whole is meant": ("commodity.update", lambda: pricing_unit(world)),
        "a row, for a capability about none": ("trail.view", world.commodity),
        "a person": ("approval.decide", lambda: world.user("INTERNAL")),
    }
    capability, make = rows[what]
    row = make()
    return capability, row._meta.label, row.pk


def pricing_unit(world):
    from apps.commodities.models.pricing import PricingUnit

    return PricingUnit(pk=uuid4())


@pytest.mark.parametrize(
    "what",
    [
        "a row of another model",
        "a row of the kernel",
        "a part where the whole is meant",
        "a row, for a capability about none",
        "a person",
    ],
)
def test_a_grant_on_a_row_of_another_class_is_refused_when_proposed(world, user, what):
    capability, label, key = unfit(world, what)
    with pytest.raises(Invalid) as caught:
        rights_services.propose_grant(
            user("INTERNAL"),
            actor=user("INTERNAL_COMPLIANCE"),
            capability=capability,
            operation="add",
            reason=WHY,
            object_type=label,
            object_id=key,
        )
    assert [(fault.pointer, fault.code) for fault in caught.value.errors] == [("/object_type", "unfit")]
    assert not CapabilityChange.objects.exists()


@pytest.mark.parametrize("key", ["nonsense", "", 17, uuid4()])
def test_a_grant_on_a_malformed_or_unknown_id_is_refused_when_proposed(user, key):
    with pytest.raises(Invalid) as caught:
        rights_services.propose_grant(
            user("INTERNAL"),
            actor=user("INTERNAL_COMPLIANCE"),
            capability="organization.view",
            operation="add",
            reason=WHY,
            object_type="organization.Organization",
            object_id=key,
        )
    assert [fault.pointer for fault in caught.value.errors] == ["/object_id"]


@pytest.mark.parametrize("what", ["the row itself", "the row that scopes it"])
def test_a_grant_on_a_row_or_on_the_row_that_scopes_it_is_applied(world, organization, user, deliver, what):
    company = organization()
    maker = world.user("INTERNAL_FINANCE", organization_id=company.pk)
    account = factories.account(company, by=maker)
    row = account if what == "the row itself" else company
    person = user("INTERNAL")
    change = rights_services.propose_grant(
        person,
        actor=user("INTERNAL_COMPLIANCE"),
        capability="organization.manage_bank_accounts",
        operation="add",
        reason=WHY,
        object_type=row._meta.label,
        object_id=row.pk,
    )
    deliver()
    request = ApprovalRequest.objects.get(subject_id=change.pk)
    services.approve(request, actor=user("INTERNAL_COMPLIANCE"), subject_version=request.subject_version)
    deliver()
    assert again(change).status == "applied"
    assert CapabilityGrant.objects.get(user=person).status == "active"
    assert access.may(again(person), "organization.manage_bank_accounts", account)


def no_deadlock(results):
    """Every act ended with a result or with a problem that a person understands."""
    return [
        result for result in results if isinstance(result, Exception) and not isinstance(result, DomainError)
    ]


def rate_draft(author, start, percent=5):
    row = commodities.draft_tax_rate(
        actor=author, hsn="5201", rate_percent=Decimal(percent), source="A notification", valid_from=start
    )
    commodities.submit_tax_rate(row, actor=author, reason=WHY)
    return row, ApprovalRequest.objects.get(subject_id=row.pk, status="pending")


def approving(request, person):
    return lambda: services.approve(request, actor=person, subject_version=request.subject_version)


RIVALS = {
    "edit": lambda row, request, people: commodities.edit_tax_rate(
        row,
        actor=people["author"],
        hsn="5201",
        rate_percent=Decimal(12),
        source="Another notification",
        valid_from=row.valid_from,
    ),
    "reject": lambda row, request, people: services.reject(
        request, actor=people["other"], subject_version=request.subject_version, **REFUSAL
    ),
    "withdraw": lambda row, request, people: services.withdraw(request, actor=people["author"]),
    "expire": lambda row, request, people: expire_overdue(),
    "escalate": lambda row, request, people: services.escalate(
        request, actor=people["other"], role="INTERNAL_DIRECTOR", reason=WHY
    ),
    "approve": lambda row, request, people: approving(request, people["other"])(),
}


@pytest.mark.parametrize("rival", RIVALS)
@pytest.mark.django_db(transaction=True)
def test_an_approval_beside_another_act_on_the_request_has_one_effect(user, emitted, rival):
    people = {"author": user("INTERNAL_FINANCE"), "other": user("INTERNAL_FINANCE")}
    decider = user("INTERNAL_DIRECTOR")
    for turn in range(4):
        row, request = rate_draft(people["author"], date(2100 + turn, 4, 1))
        results = at_once(
            approving(request, decider), lambda row=row, request=request: RIVALS[rival](row, request, people)
        )
        assert no_deadlock(results) == []
        status = {"granted": "PUBLISHED", "pending": "SUBMITTED"}.get(again(request).status, "DRAFT")
        assert again(row).status == status
    published = [event.payload["tax_rate_id"] for event in emitted("tax_rate.published")]
    granted = [event.payload["subject_id"] for event in emitted("approval.granted")]
    assert published == granted
    assert len(set(published)) == len(published)


@pytest.mark.django_db(transaction=True)
def test_a_draft_is_published_while_the_one_before_it_is_withdrawn_without_a_deadlock(user):
    author, director, other = user("INTERNAL_FINANCE"), user("INTERNAL_DIRECTOR"), user("INTERNAL_FINANCE")
    row, request = rate_draft(author, date(2100, 4, 1))
    services.approve(request, actor=director, subject_version=request.subject_version)
    for turn in range(4):
        follower, publication = rate_draft(author, date(2101 + turn, 4, 1), 6 + turn)
        commodities.withdraw_tax_rate(again(row), actor=author, reason=WHY)
        withdrawal = ApprovalRequest.objects.get(subject_id=row.pk, status="pending")
        results = at_once(approving(publication, director), approving(withdrawal, other), expire_overdue)
        assert no_deadlock(results) == []
        assert sum(isinstance(result, services.Stale | services.NotPending) for result in results[:2]) == 1
        expire_overdue()
        assert again(withdrawal).status in ("granted", "stale")
        assert again(publication).status in ("granted", "stale")
        if again(follower).status != "PUBLISHED":
            return
        row = follower


@pytest.mark.django_db(transaction=True)
def test_two_changes_of_the_same_rights_approved_at_once_are_one(user, deliver, emitted):
    person, boss = user("INTERNAL"), user("INTERNAL_COMPLIANCE")
    changes = [
        rights_services.propose_role(person, actor=boss, role=role, operation="add", reason=WHY)
        for role in ("INTERNAL_MASTERDATA", "INTERNAL_DIRECTOR")
    ]
    deliver()
    requests = [ApprovalRequest.objects.get(subject_id=change.pk) for change in changes]
    results = at_once(
        *(approving(request, user("INTERNAL_COMPLIANCE")) for request in requests),
        lambda: rights_services.withdraw_capability_change(changes[0], actor=boss),
        lambda: users.deactivate(person, actor=boss, reason_code="left"),
    )
    assert no_deadlock(results) == []
    assert len(emitted("capability.changed")) == sum(again(each).status == "applied" for each in changes)
    assert len(emitted("approval.granted")) == len(emitted("capability.changed")) <= 1


@pytest.mark.django_db(transaction=True)
def test_two_accounts_that_become_the_default_at_once_leave_one_default(world, organization, emitted):
    company = organization()
    maker, decider = (world.user("INTERNAL_FINANCE", organization_id=company.pk) for _ in range(2))
    proposed = [factories.account(company, by=maker, is_default=True) for _ in range(3)]
    requests = [ApprovalRequest.objects.get(pk=account.approval_id) for account in proposed]
    results = at_once(*(approving(request, decider) for request in requests))
    assert no_deadlock(results) == []
    assert [again(account).status for account in proposed] == ["active"] * 3
    assert sum(again(account).is_default for account in proposed) == 1


def test_the_database_protects_the_published_rows_of_every_model():
    published = [model for model in apps.get_models() if issubclass(model, PublishedByApproval)]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'commodity_published_stays'"
        )
        protected = {table for (table,) in cursor.fetchall()}
    assert published
    assert {model._meta.db_table for model in published} <= protected
