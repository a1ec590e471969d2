"""Kinds that exist only in tests: one per door, and one whose amounts ask for more."""

from decimal import Decimal

from apps.accounts.capabilities import MANAGE_USERS
from erp.approvals import Band, Kind

RULE = Kind(name="test.rule", title="A rule", subject="rule", model="account.User", capability=MANAGE_USERS)
LIMIT = Kind(
    name="test.limit",
    title="A limit",
    subject="limit",
    model="account.User",
    capability=MANAGE_USERS,
    bands=(
        Band(),
        Band(above=Decimal(2_500_000), needed=2),
        Band(above=Decimal(10_000_000), needed=2, role="INTERNAL_DIRECTOR"),
    ),
    days=None,
)
OFFER = Kind(
    name="test.offer",
    title="An offer",
    subject="offer",
    model="account.User",
    capability=MANAGE_USERS,
    door="own",
)
TRADE = Kind(
    name="test.trade",
    title="A trade",
    subject="trade",
    model="account.User",
    capability=MANAGE_USERS,
    door="own",
    own_reject=False,
)
