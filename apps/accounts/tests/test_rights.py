"""Changes of rights: proposed by one user, approved by another."""

from datetime import timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone
from guardian.models import UserObjectPermission

from apps.accounts import capabilities, lookups, tasks
from apps.accounts.models import CapabilityChange, CapabilityGrant, PolicyDeviation, User
from apps.accounts.services import rights as rights_services
from apps.accounts.services import roles as roles_services
from apps.accounts.services import users
from apps.accounts.services.policy import policy_version
from apps.accounts.tests.factories import in_threads, status_and_code
from erp import access
from erp.access import SYSTEM, registry
from erp.errors import CapabilityMissing, Invalid
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db
WHY = "Needed for the season's work."


@pytest.fixture
def boss(user):
    return user("INTERNAL_COMPLIANCE")


@pytest.fixture
def propose(boss):
    """Propose a change with the given fields."""

    def make(actor=None, operation="add", **what):
        kind = "role_capability" if "scope" in what else "user_role" if "role" in what else "single_grant"
        return rights_services.propose_capability_change(
            actor=actor or boss, kind=kind, operation=operation, reason=WHY, **what
        )

    return make


def apply(change, approval_id=None):
    return rights_services.apply_capability_change(
        change, actor=SYSTEM, request=SimpleNamespace(pk=approval_id or uuid4())
    )


def end(change, status):
    request = SimpleNamespace(pk=uuid4(), status=status)
    return rights_services.end_capability_change(change, actor=SYSTEM, request=request)


def again(person):
    """The user, read again as at the next request."""
    return User.objects.get(pk=person.pk)


def test_a_role_takes_effect_with_the_applied_change_from_the_next_request(
    client_for, user, propose, boss, emitted
):
    person = user("INTERNAL")
    client = client_for(person)
    body = {"code": "JUTE", "name": "Jute", "category": "FIBRE"}
    change = propose(user=person, role="INTERNAL_MASTERDATA")
    assert (change.status, change.base_version) == ("proposed", person.version)
    proposed = emitted("capability.change_proposed")[-1]
    assert (proposed.aggregate_type, proposed.payload["by"]) == ("capability_change", str(boss.pk))
    assert status_and_code(client.write("/api/v1/commodities", body)) == (403, "capability.missing")
    approval = uuid4()
    assert apply(change, approval).status == "applied"
    assert client.write("/api/v1/commodities", body).status_code == 201
    payload = emitted("user.roles_changed")[-1].payload
    assert (payload["added"], payload["by"], payload["approval_id"]) == (
        ["INTERNAL_MASTERDATA"], str(boss.pk), str(approval),
    )  # fmt: skip
    assert again(person).version == person.version + 1
    taken = apply(propose(user=again(person), role="INTERNAL_MASTERDATA", operation="remove"))
    assert taken.status == "applied"
    key = uuid4().hex
    assert status_and_code(
        client.write("/api/v1/commodities", {**body, "code": "J2", "name": "J2"}, key=key)
    ) == (
        403,
        "capability.missing",
    )


def test_a_replay_after_the_capability_was_revoked_is_refused_too(client_for, user):
    person = user("INTERNAL_MASTERDATA")
    client, key = client_for(person), uuid4().hex
    body = {"code": "JUTE", "name": "Jute", "category": "FIBRE"}
    assert client.write("/api/v1/commodities", body, key=key).status_code == 201
    with unguarded_writes():
        person.memberships.filter(role__name="INTERNAL_MASTERDATA").delete()
    assert status_and_code(client.write("/api/v1/commodities", body, key=key)) == (403, "capability.missing")


@pytest.mark.parametrize(
    ("roles", "role", "operation", "problem"),
    [
        (["INTERNAL_MANAGER"], "AUDITOR", "add", roles_services.RoleNotAllowed),
        (["INTERNAL_MANAGER"], "INTERNAL_FINANCE", "add", roles_services.RolesIncompatible),
        (["INTERNAL_MANAGER"], "INTERNAL_COMPLIANCE", "add", roles_services.RolesIncompatible),
        (["INTERNAL"], "INTERNAL", "remove", roles_services.RoleRequired),
        (["INTERNAL"], "SELLER", "add", roles_services.RoleNotAllowed),
        (["SELLER"], "BUYER", "add", roles_services.RoleNotAllowed),
        (["SELLER"], "INTERNAL", "add", roles_services.RoleNotAllowed),
        (["INTERNAL"], "INTERNAL", "add", rights_services.ChangeWithoutEffect),
        (["INTERNAL"], "INTERNAL_MANAGER", "remove", rights_services.ChangeWithoutEffect),
    ],
)
def test_an_impossible_change_cannot_be_proposed(user, propose, roles, role, operation, problem):
    with pytest.raises(problem):
        propose(user=user(*roles), role=role, operation=operation)
    assert not CapabilityChange.objects.exists()


def test_an_auditor_holds_no_single_grants(user, propose):
    auditor, person = user("AUDITOR"), user("INTERNAL")
    with pytest.raises(roles_services.RoleNotAllowed):
        propose(user=auditor, capability="commodity.create")
    apply(propose(user=person, capability="commodity.create"))
    with pytest.raises(roles_services.RoleNotAllowed):
        propose(user=again(person), role="AUDITOR")
    apply(propose(user=again(person), capability="commodity.create", operation="remove"))
    assert apply(propose(user=again(person), role="AUDITOR")).status == "applied"


def test_a_proposal_needs_a_reason(user, boss):
    for reason in ("Too short", "x" * 1001, f"   short{' ' * 20}"):
        with pytest.raises(Invalid) as caught:
            rights_services.propose_role(
                user("INTERNAL"), actor=boss, role="INTERNAL_DIRECTOR", operation="add", reason=reason
            )
        assert [fault.pointer for fault in caught.value.errors] == ["/reason"]
    assert not CapabilityChange.objects.exists()


def test_an_auditor_has_no_other_role(user, propose):
    person = user("INTERNAL")
    apply(propose(user=person, role="AUDITOR"))
    assert again(person).role_names == ["AUDITOR"]
    with pytest.raises(roles_services.RoleNotAllowed):
        propose(user=again(person), role="INTERNAL_MANAGER")
    apply(propose(user=again(person), role="AUDITOR", operation="remove"))
    assert again(person).role_names == ["INTERNAL"]


def test_users_cannot_propose_rights_for_themselves_or_without_the_capability(user, boss, propose):
    with pytest.raises(rights_services.GrantToSelf):
        propose(user=boss, role="INTERNAL_DIRECTOR")
    root = user()
    with pytest.raises(rights_services.GrantToSelf):
        propose(actor=root, user=root, capability="availability.approve")
    with pytest.raises(CapabilityMissing):
        propose(actor=user("INTERNAL_MANAGER"), user=user("INTERNAL"), role="INTERNAL_DIRECTOR")


@pytest.mark.django_db(transaction=True)
def test_twenty_concurrent_applications_apply_a_change_once(user):
    person = user("INTERNAL")
    change = rights_services.propose_capability_change(
        actor=user("INTERNAL_COMPLIANCE"),
        kind="user_role",
        operation="add",
        user=person,
        role="INTERNAL_DIRECTOR",
        reason=WHY,
    )
    results = in_threads(lambda _: apply(change).status)
    assert (results.count("applied"), results.count(rights_services.ChangeDecided)) == (1, 19)
    change.refresh_from_db()
    assert change.status == "applied"
    assert again(person).role_names == ["INTERNAL", "INTERNAL_DIRECTOR"]


def test_the_same_change_is_pending_once(user, propose):
    person = user("INTERNAL")
    change = propose(user=person, role="INTERNAL_DIRECTOR")
    with pytest.raises(rights_services.ChangePending):
        propose(user=person, role="INTERNAL_DIRECTOR")
    with pytest.raises(IntegrityError), transaction.atomic(), unguarded_writes():
        CapabilityChange(
            kind="user_role",
            user=person,
            role="INTERNAL_DIRECTOR",
            operation="add",
            reason=WHY,
            base_version=1,
        ).save()
    end(change, "refused")
    assert propose(user=person, role="INTERNAL_DIRECTOR").status == "proposed"


def test_only_the_proposer_withdraws_a_change(user, propose, boss, emitted):
    change = propose(user=user("INTERNAL"), role="INTERNAL_DIRECTOR")
    with pytest.raises(rights_services.NotProposer):
        rights_services.withdraw_capability_change(change, actor=user("INTERNAL_COMPLIANCE"))
    rights_services.withdraw_capability_change(change, actor=boss)
    assert len(emitted("capability.change_withdrawn")) == 1
    assert end(change, "refused").status == "withdrawn"
    with pytest.raises(rights_services.ChangeDecided):
        apply(change)


@pytest.mark.parametrize(
    ("status", "event"),
    [
        ("refused", "capability.change_refused"),
        ("expired", "capability.change_refused"),
        ("stale", "capability.change_staled"),
        ("withdrawn", "capability.change_withdrawn"),
    ],
)
def test_a_change_that_nobody_agreed_to_changes_nothing(user, propose, status, event, emitted):
    person = user("INTERNAL")
    change = propose(user=person, role="INTERNAL_DIRECTOR")
    assert end(change, status).status == status
    assert again(person).role_names == ["INTERNAL"]
    assert len(emitted(event)) == 1


def test_the_matrix_changes_and_stays_changed_through_a_sync(user, propose):
    before = policy_version()
    manager, broker = user("INTERNAL_MANAGER"), user("BROKER")
    apply(
        propose(
            role="INTERNAL_MANAGER", capability="availability.approve", scope="everywhere", operation="remove"
        )
    )
    apply(propose(role="BROKER", capability="availability.create", scope="own"))
    assert policy_version() == before + 2
    assert access.sync(check=True) == []
    access.sync()
    assert not again(manager).has_perm("availability.approve")
    assert access.holds_own(again(broker), "availability.create")
    apply(propose(role="INTERNAL_MANAGER", capability="availability.approve", scope="everywhere"))
    assert again(manager).has_perm("availability.approve")
    assert PolicyDeviation.objects.count() == 1, "what is the default again is no deviation"


def test_a_role_without_members_gets_no_incompatible_capabilities_either(propose, monkeypatch):
    sides = (frozenset({"commodity.create"}), frozenset({"availability.reserve"}))
    monkeypatch.setattr(capabilities, "APART", sides)
    with pytest.raises(roles_services.RolesIncompatible):
        propose(role="INTERNAL_MASTERDATA", capability="availability.reserve", scope="everywhere")


def test_no_role_holds_incompatible_capabilities(user, propose, monkeypatch):
    apart = (frozenset({"availability.approve"}), frozenset({"commodity.create"}), *capabilities.APART)
    monkeypatch.setattr(capabilities, "APART", apart)
    with pytest.raises(roles_services.RolesIncompatible):
        propose(role="INTERNAL_COMPLIANCE", capability="availability.approve", scope="everywhere")
    user("INTERNAL_MANAGER")
    with pytest.raises(roles_services.RolesIncompatible):
        propose(role="INTERNAL", capability="account.manage_users", scope="everywhere")


@pytest.mark.parametrize(
    ("what", "pointers"),
    [
        ({"role": "NOBODY", "capability": "no.such", "scope": "own"}, ["/role", "/capability"]),
        ({"role": "BROKER", "scope": "own"}, ["/capability"]),
    ],
)
def test_a_proposal_refers_to_existing_roles_capabilities_and_rows(propose, what, pointers):
    with pytest.raises(Invalid) as caught:
        propose(**what)
    assert [fault.pointer for fault in caught.value.errors] == pointers


def test_a_grant_on_one_row_is_effective_there_only_and_until_it_is_revoked(user, offer, propose, emitted):
    person, live, other = user("INTERNAL"), offer(), offer()
    on = {"object_type": "availability.Availability", "object_id": live.pk}
    apply(propose(user=person, capability="availability.create", **on))
    assert again(person).has_perm("availability.create", live)
    assert not again(person).has_perm("availability.create", other)
    assert UserObjectPermission.objects.filter(user=person).count() == 1
    assert emitted("capability.granted")[-1].payload["object_id"] == str(live.pk)
    with pytest.raises(rights_services.ChangeWithoutEffect):
        propose(user=again(person), capability="availability.create", **on)
    apply(propose(user=again(person), capability="availability.create", operation="remove", **on))
    assert not again(person).has_perm("availability.create", live)
    assert not UserObjectPermission.objects.exists()
    assert len(emitted("capability.revoked")) == 1


def test_the_case_of_the_record_type_does_not_make_a_second_grant(user, offer, propose):
    person, live = user("INTERNAL"), offer()
    on = {"capability": "availability.create", "object_id": live.pk}
    waiting = propose(user=person, object_type="availability.availability", **on)
    assert waiting.object_type == "availability.Availability"
    with pytest.raises(rights_services.ChangePending):
        propose(user=person, object_type="availability.Availability", **on)
    apply(waiting)
    assert again(person).has_perm("availability.create", live)
    with pytest.raises(rights_services.ChangeWithoutEffect):
        propose(user=again(person), object_type="availability.AVAILABILITY", **on)


def test_a_general_grant_is_effective_on_every_row(client_for, user, offer, propose):
    person, live = user("INTERNAL"), offer()
    apply(propose(user=person, capability="commodity.create"))
    assert again(person).has_perm("commodity.create")
    assert not again(person).has_perm("availability.create", live)
    body = {"code": "JUTE", "name": "Jute", "category": "FIBRE"}
    client = client_for(person)
    assert client.write("/api/v1/commodities", body).status_code == 201
    assert "commodity.create" in client.read("/api/v1/auth/me").json()["capabilities"]["everywhere"]


def test_a_grant_ends_at_its_expiry_before_the_periodic_task_marks_it(user, offer, propose, emitted):
    person, live = user("INTERNAL"), offer()
    end = timezone.now() + timedelta(days=1)
    on = {"object_type": "availability.Availability", "object_id": live.pk}
    apply(propose(user=person, capability="availability.create", grant_expires_at=end, **on))
    apply(propose(user=again(person), capability="commodity.create", grant_expires_at=end))
    held = [("availability.create", live), ("commodity.create", None)]
    assert all(again(person).has_perm(*each) for each in held)
    with unguarded_writes():
        CapabilityGrant.objects.update(expires_at=timezone.now())
    assert UserObjectPermission.objects.exists(), "no task ran"
    assert not any(again(person).has_perm(*each) for each in held)
    assert not [right for right in lookups.rights_of(again(person)) if "grant" in right.source]
    assert person.pk not in {each.pk for each, _ in lookups.holders("commodity.create")}
    assert person.pk not in {each.pk for each, _ in lookups.holders("availability.create", live)}
    assert tasks.expire_grants() == 2
    assert not UserObjectPermission.objects.exists()
    assert len(emitted("capability.expired")) == 2
    assert tasks.expire_grants() == 0


def test_erasing_a_user_revokes_the_grants(user, offer, propose, emitted):
    person, live = user("INTERNAL"), offer()
    apply(
        propose(
            user=person,
            capability="availability.create",
            object_type="availability.Availability",
            object_id=live.pk,
        )
    )
    users.erase(again(person), actor=SYSTEM, reason_code="asked")
    assert CapabilityGrant.objects.get().status == "revoked"
    assert not UserObjectPermission.objects.filter(user_id=person.pk).exists()
    assert len(emitted("capability.revoked")) == 1


def test_a_grant_cannot_combine_incompatible_capabilities(user, propose, monkeypatch):
    apart = (frozenset({"availability.approve"}), frozenset({"account.manage_users"}))
    monkeypatch.setattr(capabilities, "APART", apart)
    with pytest.raises(roles_services.RolesIncompatible):
        propose(user=user("INTERNAL_MANAGER"), capability="account.manage_users")


@pytest.mark.parametrize(
    "what",
    [
        {"object_type": "availability.Availability"},
        {"object_type": "availability.Availability", "object_id": uuid4()},
        {"object_type": "no.Model", "object_id": uuid4()},
        {"object_type": "nonsense", "object_id": uuid4()},
        {"grant_expires_at": timezone.now() - timedelta(days=1)},
    ],
)
def test_a_grant_needs_an_existing_row_and_a_future_expiry(user, propose, what):
    with pytest.raises(Invalid):
        propose(user=user("INTERNAL"), capability="availability.create", **what)


def test_the_source_of_each_capability_is_listed(user, offer, propose):
    seller = user("SELLER")
    live, root, helper = offer(seller=seller), user(), user("INTERNAL")
    on = {"object_type": "availability.Availability", "object_id": live.pk}
    apply(propose(user=helper, capability="availability.create", **on))
    stranger = user("SELLER")
    found = {person.pk: source for person, source in lookups.holders("availability.create", live)}
    assert found[seller.pk] == "role SELLER, own rows"
    assert found[root.pk] == "super administrator"
    assert found[helper.pk] == "single grant"
    assert stranger.pk not in found
    assert stranger.pk in {person.pk for person, _ in lookups.holders("availability.create")}
    for person, _ in lookups.holders("availability.create", live):
        assert again(person).has_perm("availability.create", live)
    rights = lookups.rights_of(again(helper))
    assert ("availability.create", f"availability.Availability {live.pk}", "single grant") in rights
    assert ("account.view", "all", "role INTERNAL") in rights


def test_the_audited_capabilities_are_those_of_the_register():
    from config.tests.test_register import ASKED

    assert frozenset(ASKED) == lookups.AUDITED
    assert len(ASKED) == 11


def viewsets(of):
    for child in of.__subclasses__():
        yield child
        yield from viewsets(child)


def test_no_capability_is_without_a_role_and_none_is_unused():
    from django.contrib.admin import site

    from apps.approvals.models import kinds
    from erp.api.viewsets import ViewSet
    from erp.audit.sources import PROJECT
    from erp.services import registry as all_services

    asked = {service.requires.name for service in all_services.values() if service.requires is not None}
    read = {str(reads) for viewset in viewsets(ViewSet) if (reads := getattr(viewset, "reads", None))}
    seen = {str(views) for page in site._registry.values() if (views := getattr(page, "views", None))}
    decide = {str(kind.capability) for kind in kinds.values()}
    answered = {str(each.capability) for viewset in viewsets(ViewSet) for each in viewset.endpoints.values()}
    elsewhere = "".join(
        file.read_text()
        for file in PROJECT.glob("apps/**/*.py")
        if "tests" not in file.parts and file.stem != "capabilities"
    )
    for name, capability in registry.capabilities.items():
        assert capability.everywhere or capability.own, f"{name} is held by no role"
        constant = f"capabilities.{name.partition('.')[2].upper()}, row)"
        used = (
            name in asked | read | seen | decide | answered
            or f'may(user, "{name}")' in elsewhere
            or constant in elsewhere
        )
        assert used, f"{name} is asked for nowhere"
