"""Which rules apply to which commodity."""

from collections.abc import Collection
from typing import NamedTuple
from uuid import UUID

from apps.commodities.models.commodities import Commodity
from apps.matching.engine.body import DEFAULT, PRESETS, RuleBody
from apps.matching.models import RuleSet


class Rules(NamedTuple):
    """The rules of a commodity: the active row behind them (none: built in), its version, and the typed body."""

    id: UUID | None
    version: int
    body: RuleBody

    @property
    def key(self) -> str:
        """Names the version among all: for marks and digests."""
        return str(self.id or "built-in")

    @property
    def pricing(self) -> str:
        """What of the rules the price of an offer depends on."""
        return f"{self.body.schedule_id or ''}:{self.body.tax_view}"


def rules_of(row: RuleSet) -> Rules:
    """The rules in a row."""
    return Rules(row.pk, row.version, RuleBody.model_validate(row.body))


def active_rules(commodity_ids: Collection[UUID]) -> dict[UUID, Rules]:
    """The active rules of commodities: their own, else built-in presets, else the default scope's."""
    rows = {row.commodity_id: row for row in RuleSet.objects.active()}
    default = rules_of(rows[None]) if None in rows else Rules(None, 0, DEFAULT)
    codes = dict(Commodity.objects.filter(pk__in=commodity_ids).values_list("pk", "code"))
    found = {}
    for key in commodity_ids:
        own = rows.get(key)
        preset = PRESETS.get(codes.get(key, ""))
        found[key] = rules_of(own) if own else default if preset is None else Rules(None, 0, preset)
    return found


def active_rule(commodity_id: UUID) -> Rules:
    """The active rules of one commodity."""
    return active_rules([commodity_id])[commodity_id]
