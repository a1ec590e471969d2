"""The product matches the register of endpoints and the matrix of capabilities."""

import csv
import re
from collections import Counter
from pathlib import Path

import pytest

from erp import access
from erp.audit import Product
from erp.audit.register import Register, RegisterRow
from erp.audit.rules import emitted
from erp.audit.sources import PROJECT

SHARED = PROJECT.parent / "shared" / "spec"
REGISTER = Register(PROJECT / "docs" / "register")
PRODUCT = Product(sources=[])
BUILT = {write.row.key: write for write in PRODUCT.writes if write.row is not None}

# What the audit asked for by name, with its roles.
ASKED = {
    "availability.create": {"SELLER", "TRADER"},
    "availability.approve": {"INTERNAL_MANAGER", "INTERNAL_DIRECTOR"},
    "availability.view_all": {"INTERNAL"},
    "requirement.create": {"BUYER", "TRADER"},
    "requirement.approve": {"INTERNAL_MANAGER", "INTERNAL_DIRECTOR"},
    "trade.approve": {"INTERNAL_MANAGER"},
    "trade.settle": {"INTERNAL_FINANCE"},
    "trade.cancel": {"INTERNAL_DIRECTOR"},
    "partner.approve": {"INTERNAL_MANAGER", "INTERNAL_DIRECTOR"},
    "partner.reject": {"INTERNAL_MANAGER", "INTERNAL_DIRECTOR"},
    "partner.suspend": {"INTERNAL_DIRECTOR"},
}
# How many writes of each module the audit counted; every one has a seat in the register.
COUNTED = {
    "auth": ("auth A", 3),
    "partners": ("P", 12),
    "commodities": ("C", 32),
    "locations": ("L", 8),
    "organization": ("O", 6),
    "availability": ("A", 13),
    "requirement": ("R", 11),
    "matching": ("M", 6),
    "risk": ("K", 4),
}


def lines(name: str) -> list[dict[str, str]]:
    with (PROJECT / "docs" / "register" / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", ["endpoints.csv", "capabilities.csv"])
def test_the_project_has_the_agreed_tables(name: str) -> None:
    agreed: Path = SHARED / name
    if not agreed.exists():
        pytest.skip("the agreed tables aren't on this machine")
    assert (PROJECT / "docs" / "register" / name).read_bytes() == agreed.read_bytes()


def test_the_register_names_each_write_once_in_words_that_are_known() -> None:
    assert len(REGISTER.rows) == 176
    assert [key for key, times in Counter(row.key for row in REGISTER.rows).items() if times > 1] == []
    for row in REGISTER.rows:
        assert row.method in ("POST", "PUT")
        assert re.fullmatch(r"/api/v1(/[a-z0-9-]+|/\{[a-z_]+\})+", row.path), row.path
        assert row.kind in ("change", "public", "exempt", "lookup")
        assert row.if_match in ("required", "optional", "none")
        assert bool(row.capability) == (row.kind in ("change", "lookup")), row.path
        assert bool(row.event) == (row.kind != "lookup"), row.path
        assert not row.capability or row.capability in REGISTER.rights


def test_every_seat_of_the_audit_is_in_the_register() -> None:
    seats = {(line["module"], line["audit_seat"]) for line in lines("endpoints.csv") if line["audit_seat"]}
    for module, (letter, count) in COUNTED.items():
        found = {seat for of, seat in seats if of == module and re.fullmatch(rf"{letter}\d+b?", seat)}
        assert len(found) == count, (module, found)


def test_endpoints_beyond_the_register_have_a_reason() -> None:
    for extra in REGISTER.extras.values():
        assert extra.kind in ("route", "service", "import")
        assert len(extra.reason) > 10, extra.name


@pytest.mark.parametrize("name", sorted(access.registry.capabilities))
def test_a_capability_has_the_roles_of_the_matrix(name: str) -> None:
    capability, right = access.registry.capabilities[name], REGISTER.rights[name]
    assert set(capability.everywhere) - {access.SYSTEM_ROLE} == set(right.everywhere) - {access.SYSTEM_ROLE}
    assert set(capability.own) == set(right.own)


@pytest.mark.parametrize("name", sorted(ASKED))
def test_a_capability_that_the_audit_asked_for_has_its_roles_word_for_word(name: str) -> None:
    right = REGISTER.rights[name]
    assert {*right.everywhere, *right.own} == ASKED[name]
    capability = access.registry.capabilities.get(name)
    if capability is not None:
        assert {*capability.everywhere, *capability.own} == ASKED[name]


def test_roles_of_the_matrix_are_declared() -> None:
    named = {role for right in REGISTER.rights.values() for role in (*right.everywhere, *right.own)}
    assert named <= {*access.registry.roles, access.SYSTEM_ROLE}


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=" ".join(row.key)) for row in REGISTER.rows if row.key in BUILT]
)
def test_a_built_endpoint_matches_the_register(row: RegisterRow) -> None:
    write = BUILT[row.key]
    endpoint = write.endpoint
    assert endpoint is not None
    assert (endpoint.kind, endpoint.if_match) == (row.kind, row.if_match)
    assert (endpoint.capability.name if endpoint.capability else "") == row.capability
    assert (endpoint.service is None) == (row.kind == "lookup")
    if endpoint.service is not None:
        assert row.event in emitted(endpoint.service)
