"""Kinds of the tests: one for each place of decision, and one with bands of amounts."""

from decimal import Decimal
from typing import Any

from apps.accounts.capabilities import MANAGE_USERS
from erp.approvals import ApprovalBand, ApprovalKind

applied: list[Any] = []  # calls of `apply` and of `ended`
ended: list[Any] = []
COMMON: dict[str, Any] = {
    "model": "account.User",
    "capability": MANAGE_USERS,
    "version_of": lambda subject: 3,
    "apply": lambda subject, *, actor, request: applied.append((subject, actor, request)),
    "ended": lambda subject, *, actor, request: ended.append((subject, request.status)),
}
RULE = ApprovalKind(name="test.rule", title="A rule", subject="rule", **COMMON)
LIMIT = ApprovalKind(
    name="test.limit",
    title="A limit",
    subject="limit",
    **COMMON,
    bands=(
        ApprovalBand(),
        ApprovalBand(above=Decimal(2_500_000), needed=2),
        ApprovalBand(above=Decimal(10_000_000), needed=2, role="INTERNAL_DIRECTOR"),
    ),
    days=None,
)
OFFER = ApprovalKind(
    name="test.offer",
    title="An offer",
    subject="offer",
    **COMMON,
    decided_at="module",
)
TRADE = ApprovalKind(
    name="test.trade",
    title="A trade",
    subject="trade",
    **COMMON,
    decided_at="module",
    own_reject=False,
)
