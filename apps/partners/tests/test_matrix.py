"""Every endpoint of partners × every role × an own and a foreign row: the status that the matrix asks for.

The expectation comes from the register alone (``endpoints.csv``, ``capabilities.csv``) and from whose row it is.
"""

import os
from collections import Counter
from functools import partial
from uuid import uuid4

import pytest
from django.test import Client

from apps.partners.models import Amendment, CreditAccount, Partner, PartnerEmployee, PartnerLocation, Vehicle
from apps.partners.tests import factories
from erp import clock
from erp.audit.register import Register
from erp.audit.routes import routes
from erp.models import unguarded_writes

pytestmark = pytest.mark.django_db
OF_PARTNERS = {"APPLICANT", "PARTNER_ADMIN", "SELLER", "BUYER", "TRADER", "BROKER", "SERVICE_PROVIDER"}
# Refusals that come after the question who may: nothing of the input, or of the version sent, is right.
ALLOWED = {400, 412}
CONTENT = "/api/v1/partners/documents/{id}/content"
EXPORT = "/api/v1/partners/export"
FOR_STAFF = {"/api/v1/partners/kyc/expiring"}


def rows_of(partner_round):
    """One row of each kind of a partner, by the name that stands before its id in a path."""
    partner = partner_round.partner
    with unguarded_writes():
        employee = PartnerEmployee(
            partner=partner, name="Meena Shah", email=f"{uuid4().hex}@example.com", phone="+919876543211",
            roles=["SELLER"],
        )  # fmt: skip
        employee.save()
        amendment = Amendment(
            partner=partner, tier="high", status="pending", reason="For the matrix.", effective_date=clock.today(),
            expires_at=clock.now(),
        )  # fmt: skip
        amendment.save()
        number = f"GJ03BT{partner.pk.int % 10000:04d}"
        vehicle = Vehicle(
            partner=partner, number=number, category="truck", owner_name="Firm", capacity_tonnes=16
        )
        vehicle.save()
        CreditAccount(id=partner.pk, partner=partner).save()
    return {
        "partners": partner.pk,
        "onboarding": partner_round.pk,
        "documents": partner_round.documents.first().pk,
        "employees": employee.pk,
        "bank-accounts": partner.bank_accounts.get().pk,
        "amendments": amendment.pk,
        "locations": PartnerLocation.objects.get(partner=partner).pk,
        "vehicles": vehicle.pk,
        "credit-limits": uuid4(),
    }


def address(path, rows):
    """The path with the ids of one partner's rows; a part of a part is named by the segment before it."""
    segments = path.split("/")
    for position, segment in enumerate(segments):
        if segment.startswith("{"):
            segments[position] = str(rows[segments[position - 1]])
    return "/".join(segments)


class Right:
    """What a role may do, by the register."""

    register = Register()
    registered = {(row.method, row.path): row.capability for row in register.rows}

    def __init__(self, role):
        self.role, self.of_partner = role, role in OF_PARTNERS
        self.held = {role, "INTERNAL"} if role.startswith("INTERNAL") else {role}

    def holds(self, capability, is_own):
        right = self.register.rights[capability]
        return bool(self.held & {*right.everywhere, *(right.own if self.of_partner and is_own else ())})

    def everything(self):
        """All that distinguishes it from other roles here."""
        names = [name for name in self.register.rights if name.startswith("partner.")]
        return self.of_partner, tuple(self.holds(name, own) for name in names for own in (True, False))

    def expected(self, route, method, is_own):
        """The statuses that the endpoint may answer with."""
        capability = self.registered.get((method, route.path), str(route.viewset.reads))
        if method != "GET" and (method, route.path) not in self.registered:
            capability = str(route.endpoint(method).capability)
        if route.path == EXPORT:
            capability = str(route.viewset.exports)
        has_row = "{" in route.path
        if not self.holds(capability, True) or (self.of_partner and route.path in FOR_STAFF):
            return {403}
        if has_row and not self.holds("partner.view", is_own):
            return {404}
        if route.path == CONTENT and not any(
            self.holds(name, is_own) for name in ("partner.view_sensitive", "partner.verify_kyc")
        ):
            return {404}
        if has_row and not self.holds(capability, is_own):
            return {403}
        if method == "GET":
            return {404} if "credit-limits/{" in route.path else {200}  # there is none
        return ALLOWED


def roles():
    """Every role; in the suite one of each that hold the same, which is the same question. ``make large``: all."""
    rights = [*Right.register.rights.values()]
    found = [
        Right(role)
        for role in sorted({role for right in rights for role in (*right.everywhere, *right.own)})
        if role != "SYSTEM"
    ]
    if "LARGE_TABLE" in os.environ:
        return found
    return list({right.everything(): right for right in found}.values())


@pytest.mark.large
@pytest.mark.timeout(600)
def test_every_role_gets_what_the_matrix_says(user, client_for):
    own, foreign = (rows_of(factories.file_of("approved")) for _ in range(2))
    firm = Partner.objects.get(pk=own["partners"])
    asks = [
        (route, method)
        for route in routes()
        for method in route.methods
        if route.path.startswith("/api/v1/partners")
    ]
    wrong, asked = [], Counter()
    for right in roles():
        fields = {"partner_id": firm.pk} if right.role == "APPLICANT" else {"of": firm}
        client = client_for(user(right.role, **(fields if right.of_partner else {})))
        client.request = partial(Client.request, client)  # answers are compared with the document elsewhere
        for route, method in asks:
            for rows in (own, foreign) if right.of_partner and "{" in route.path else (own,):
                status = ask(client, route, method, rows)
                asked[status] += 1
                if status not in (expected := right.expected(route, method, rows is own)):
                    wrong.append((right.role, method, route.path, rows is own, status, expected))
    assert wrong == []
    assert {200, 403, 404, 412} <= asked.keys()
    assert asked.total() > 400


def ask(client, route, method, rows):
    """The status of a request whose input and version are never right, so that nothing happens."""
    path = address(route.path, rows)
    if method == "GET":
        return client.read(path).status_code
    body = {"file": factories.paper()} if path.endswith("/documents") else {}
    version = None if route.endpoint(method).if_match == "none" else 999
    return client.write(path, body, method=method, if_match=version).status_code
