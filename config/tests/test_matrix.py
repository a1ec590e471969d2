"""Every write × every role × own and foreign rows: the answer that the register of writes and the matrix promise."""

from typing import Any
from uuid import uuid4

import pytest
from django.contrib import admin
from django.db import transaction
from django.urls import reverse

from apps.accounts.models import User
from apps.approvals.capabilities import DECIDE
from apps.partners.models import Partner
from config.tests.test_contract import Played, writes
from config.tests.test_register import REGISTER
from erp.access import SYSTEM_ROLE
from erp.api.examples import example_of

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
ROLES = sorted(
    {role for right in REGISTER.rights.values() for role in (*right.everywhere, *right.own)} - {SYSTEM_ROLE}
)

# Everybody's right, on rows of one's own.
OWN_ROWS = {"account.manage_sessions", "job.cancel"}
# Writes whose row is in the body: the module's tests say what an own right reaches there.
IN_BODY = {f"risk.assess_{what}" for what in ("requirement", "availability", "partner", "trade")}


def people(world: Any, actor: User) -> list[tuple[str, str, User]]:
    """Somebody of each role: staff of the actor's company; of a partner one of the actor's firm and one of another."""
    found = []
    for role in ROLES:
        if role.startswith("INTERNAL") or role == "AUDITOR":
            mine = {"organization_id": actor.organization_id} if actor.organization_id else {}
            found.append((role, "staff", world.user(role, **mine)))
        elif role == "APPLICANT":
            found.append((role, "foreign", world.user(role)))
        else:
            found.append((role, "foreign", world.user(role)))
            if actor.partner_id is not None:
                found.append((role, "own", world.user(role, of=Partner(pk=actor.partner_id))))
    return found


def promised(name: str, role: str, target: Any, person: User) -> bool:
    """Whether the matrix gives the person the capability on the row."""
    right, roles = REGISTER.rights[name], {role, "INTERNAL"} if role.startswith("INTERNAL") else {role}
    if roles & set(right.everywhere):
        return name not in OWN_ROWS or target is None or target.belongs_to(person)
    return bool(roles & set(right.own)) and (target is None or target.belongs_to(person))


@pytest.mark.parametrize(
    ("path", "method", "endpoint"), [write for write in writes() if not write.values[2].anonymous]
)
def test_each_role_may_do_what_the_matrix_says(world, client_for, path, method, endpoint):
    played = Played(path, method, endpoint, world, client_for)
    names = [str(endpoint.capability), *([played.target.capability] if endpoint.capability is DECIDE else [])]
    row = played.target if "<" in path else None  # a route without a row is about the caller's own
    wrong = []
    in_body = endpoint.service is not None and endpoint.service.name in IN_BODY
    for role, whose, person in people(world, played.actor):
        if in_body and role in REGISTER.rights[names[0]].own:
            continue
        expected = all(promised(name, role, row, person) for name in names)
        with transaction.atomic():
            answer = played.send(client_for(person))
            transaction.set_rollback(True)
        code = answer.json().get("code", "") if answer.status_code >= 400 else ""
        refused = answer.status_code == 404 or code == "capability.missing"
        if refused == expected:
            wrong.append((role, whose, answer.status_code, code))
    assert not wrong


def portal_writes() -> list[Any]:
    """Each service that a page of the portal runs, with the page and the name of its address."""
    found = []
    for page in admin.site._registry.values():
        verbs = [
            ("add", page.creates),
            ("change", page.updates),
            *(("run", service) for service in page.runs),
        ]
        verbs += [*(("start", service) for service in page.starts), *(("run_many", s) for s in page.bulk)]
        found += [
            pytest.param(page, name, service, id=f"{page.opts.label_lower} {name} {service.name}")
            for name, service in verbs
            if service is not None
        ]
    return found


@pytest.mark.parametrize(("page", "name", "service"), portal_writes())
def test_in_the_portal_too_each_role_may_do_what_the_matrix_says(
    world, staff_client_for, page, name, service
):
    example, of_row = example_of(service), name in ("change", "run")
    row = example.target(world) if of_row and example and example.target else None
    key = uuid4() if row is None else row.pk  # of no row: whoever holds the capability is told so
    parts = [*([key] if of_row else []), *([service.__name__] if name not in ("add", "change") else [])]
    path = reverse(f"admin:{page.opts.app_label}_{page.opts.model_name}_{name}", args=parts)
    names = [str(service.requires), *([row.capability] if row and service.requires is DECIDE else [])]
    actor = example.actor(world, row) if row else None
    organization_id = getattr(actor, "organization_id", None)
    sent = {"_key": uuid4().hex, **({"_version": str(row.version)} if hasattr(row, "version") else {})}
    if row is not None:
        sent |= {
            field: value
            for field, value in example.for_rows(world, row).items()
            if isinstance(value, str | int)
        }
    wrong = []
    for role in ROLES:
        staff = role.startswith("INTERNAL") or role == "AUDITOR"
        mine = {"organization_id": organization_id} if staff and organization_id else {}
        person = world.user(role, **mine)
        looks = name == "add" or any(promised(view.name, role, row, person) for view in page._views)
        expected = staff and looks and all(promised(each, role, row, person) for each in names)
        with transaction.atomic():
            answer = staff_client_for(person).post(path, sent)
            transaction.set_rollback(True)
        page_of_form = answer.content.decode() if hasattr(answer, "context_data") else ""
        by_rule = "errornote" in page_of_form and "You need the capability" not in page_of_form
        refused = answer.status_code in ((403,) if row is None else (403, 404)) and not by_rule
        refused |= answer.get("Location", "").startswith("/admin/login/")
        if refused == expected:
            wrong.append((role, answer.status_code))
    assert not wrong
