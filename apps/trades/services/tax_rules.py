"""Tax rules, approval bands and openings of TDS positions: dated rows, each published by a second person."""

from calendar import monthrange
from datetime import date
from pathlib import Path
from typing import Any, Final

from django.db.models import Q

from apps.approvals.services.drafts import DraftErrors, DraftProcedure
from apps.commodities.models.tax import TaxRate
from apps.organization.models import Organization
from apps.trades import capabilities, tax_events
from apps.trades.engine import records
from apps.trades.engine.errors import BadInput
from apps.trades.engine.facts import Certificate, RowKind, TaxRow
from apps.trades.models import ApprovalBand, PositionOpening, TaxRule
from apps.trades.services import positions
from erp.access import Actor
from erp.errors import Conflict, FieldError, Invalid
from erp.reference_data import ReferenceTable
from erp.services import service

_NO_LEAP_YEAR: Final = 2001
FILES: Final = Path(__file__).parents[1] / "reference"
_TDS: Final = frozenset({"rate_percent", "no_pan_percent", "threshold", "threshold_mode", "section"})
# What a row of each kind says.
FIGURES: Final[dict[str, frozenset[str]]] = {
    TaxRule.Kind.REVERSE_CHARGE: frozenset(),
    TaxRule.Kind.TDS_GOODS: _TDS,
    TaxRule.Kind.TDS_BROKERAGE: _TDS,
    TaxRule.Kind.TCS: frozenset({"rate_percent", "threshold"}),
    TaxRule.Kind.DUTY: frozenset({"rate_percent"}),
    TaxRule.Kind.NOTE_LIMIT: frozenset({"month", "day"}),
    TaxRule.Kind.MSME: frozenset({"days", "multiple"}),
    TaxRule.Kind.BANK_RATE: frozenset({"rate_percent"}),
    TaxRule.Kind.EWAY: frozenset({"limit"}),
}
APPLIES: Final = frozenset({"hsn", "supplier_status", "direction", "organization_id", "state_code", "note"})
# Bands of an organization that has none: one approval, two above 25 lakh (trades §7).
FIRST_BANDS: Final = (("0.00", 1), ("2500000.00", 2))


class IllegalTransition(Conflict):
    """The row's status doesn't allow this."""


class RowsOverlap(Conflict):
    """Another row is effective on the same day."""

    constraints = ("tax_rule_no_overlap", "approval_band_no_overlap", "position_opening_no_overlap")


class DatesInverted(Invalid):
    """The row ends before it begins."""


ERRORS: Final = DraftErrors(IllegalTransition, RowsOverlap, DatesInverted)


def _invalid(pointer: str, words: str) -> Invalid:
    return Invalid(errors=[FieldError(pointer, "invalid", words)])


def as_row(rule: TaxRule) -> TaxRow:
    """The rule as the engine reads it. Raises BadInput with pointers."""
    applies = {name: rule.applies[name] for name in ("hsn", "supplier_status") if name in rule.applies}
    if rule.kind not in {kind.value for kind in RowKind}:
        raise records.reject("/kind", f"{rule.kind} is not used in a settlement")
    head = {
        "kind": rule.kind,
        "code": rule.code,
        "version": rule.rule_version,
        "valid_from": rule.valid_from.isoformat(),
        "valid_to": rule.valid_to and rule.valid_to.isoformat(),
        "source": rule.source,
    }
    return records.from_json(TaxRow, {**head, **applies, **rule.figures})


def _check_rule(rule: TaxRule) -> None:
    """Require the figures of the rule's kind, as the engine reads them."""
    if not isinstance(rule.figures, dict) or rule.figures.keys() != FIGURES[rule.kind]:
        names = ", ".join(sorted(FIGURES[rule.kind])) or "nothing"
        raise _invalid("/figures", f"A rule of this kind has {names}.")
    if not isinstance(rule.applies, dict) or not rule.applies.keys() <= APPLIES:
        raise _invalid("/applies", f"It applies by {', '.join(sorted(APPLIES))}.")
    if not all(isinstance(value, str) for value in rule.applies.values()):
        raise _invalid("/applies", "All values are texts.")
    if rule.kind == TaxRule.Kind.REVERSE_CHARGE and "supplier_status" not in rule.applies:
        raise _invalid("/applies", "Name the supplier_status that it applies to.")
    if rule.kind in {kind.value for kind in RowKind}:
        probe = TaxRule(
            kind=rule.kind,
            code=rule.code,
            rule_version=rule.rule_version or 1,
            applies=rule.applies,
            figures=rule.figures,
            source=rule.source,
            valid_from=rule.valid_from,
            valid_to=rule.valid_to,
        )
        try:
            as_row(probe)
        except BadInput as fault:
            raise _invalid("/figures", fault.detail) from None
    if rule.kind == TaxRule.Kind.NOTE_LIMIT:
        month, day = rule.figures["month"], rule.figures["day"]
        if not (1 <= month <= 12 and 1 <= day <= monthrange(_NO_LEAP_YEAR, month)[1]):
            raise _invalid("/figures", "Name a day that every year has.")


def _link_predecessor(rule: TaxRule) -> None:
    """Name the row that this one replaces: the last published one of its code."""
    free = Q(superseded_by=None) | Q(superseded_by=rule)
    published = rule.same_key().filter(free, status__in=rule.PUBLIC)
    rule.supersedes = published.order_by("-rule_version").first()


TAX_RULE = DraftProcedure(
    TaxRule,
    title="Tax rule",
    requires=capabilities.CONFIGURE,
    events=tax_events.TAX_RULE,
    errors=ERRORS,
    prepare=_check_rule,
    check=_link_predecessor,
)
draft_tax_rule, edit_tax_rule = TAX_RULE.draft, TAX_RULE.edit
submit_tax_rule, withdraw_tax_rule = TAX_RULE.submit, TAX_RULE.withdraw

APPROVAL_BAND = DraftProcedure(
    ApprovalBand,
    title="Approval band of trades",
    requires=capabilities.CONFIGURE,
    events=tax_events.APPROVAL_BAND,
    errors=ERRORS,
)
draft_approval_band, edit_approval_band = APPROVAL_BAND.draft, APPROVAL_BAND.edit
submit_approval_band, withdraw_approval_band = APPROVAL_BAND.submit, APPROVAL_BAND.withdraw


def _check_opening(opening: PositionOpening) -> None:
    if opening.deductor_id == opening.deductee_id:
        raise _invalid("/deductee", "Nobody deducts tax from itself.")
    try:
        for each in opening.certificates:
            records.from_json(Certificate, each)
    except BadInput as fault:
        raise _invalid("/certificates", fault.detail) from None


POSITION_OPENING = DraftProcedure(
    PositionOpening,
    title="Opening of a TDS position",
    requires=capabilities.CONFIGURE,
    events=tax_events.POSITION_OPENING,
    errors=ERRORS,
    prepare=_check_opening,
    after_save=lambda opening: _apply(opening),
)
draft_position_opening, edit_position_opening = POSITION_OPENING.draft, POSITION_OPENING.edit
submit_position_opening, withdraw_position_opening = POSITION_OPENING.submit, POSITION_OPENING.withdraw


def _apply(opening: PositionOpening) -> None:
    """A published opening is that of its position; a withdrawn one only ends the row."""
    if opening.status == PositionOpening.Status.PUBLISHED:
        positions.open_position(opening)


# Reference data


def _publish_rule(*, actor: Actor, **values: Any) -> TaxRule:
    rule = TaxRule(**values)
    last = rule.same_key().order_by("-rule_version").first()
    rule.rule_version = 1 if last is None else last.rule_version + 1
    _check_rule(rule)
    _link_predecessor(rule)
    TAX_RULE.release(rule, actor)
    return rule


RULES: Final = ReferenceTable(
    model=TaxRule, rows=FILES / "tax_rules.csv", create=_publish_rule, key=("code", "valid_from")
)


@service(requires=capabilities.CONFIGURE, emits=[tax_events.TAX_RULE.published])
def load_tax_rules(*, actor: Actor) -> int:
    """Publish missing tax rules; returns how many are new. What exists or overlaps stays as it is."""
    return len(RULES.load(actor))


@service(requires=capabilities.CONFIGURE, emits=[tax_events.APPROVAL_BAND.published])
def load_approval_bands(*, actor: Actor) -> int:
    """Give every organization without approval bands the first ones; returns how many bands are new."""
    added = 0
    for organization in Organization.objects.exclude(pk__in=ApprovalBand.objects.values("organization")):
        for above, approvals in FIRST_BANDS:
            band = ApprovalBand(
                organization=organization,
                above_value=above,
                approvals=approvals,
                valid_from=date(2000, 4, 1),
                source="Default of the product.",
            )
            APPROVAL_BAND.release(band, actor)
            added += 1
    return added


# What a settlement uses


def rows_for(
    organization: Organization, *, codes: set[str], condition: str | None, since: date, until: date
) -> tuple[TaxRow, ...]:
    """The rows effective at some time between two days: GST of these HSN and SAC codes, and all other rules."""
    rules = TaxRule.objects.active().filter(
        Q(valid_to=None) | Q(valid_to__gte=since), valid_from__lte=until, kind__in=[k.value for k in RowKind]
    )
    own = str(organization.pk)
    used = [
        rule
        for rule in rules.order_by("code", "rule_version")
        if rule.applies.get("organization_id", own) == own
    ]
    return (*_gst_rows(codes, condition, since, until), *map(as_row, used))


def _gst_rows(codes: set[str], condition: str | None, since: date, until: date) -> list[TaxRow]:
    wanted = condition or TaxRate.Condition.ANY
    rates = TaxRate.objects.for_codes(codes).order_by("hsn", "condition", "valid_from")
    by_key: dict[str, dict[str, list[TaxRate]]] = {}
    for rate in rates:
        by_key.setdefault(rate.hsn, {}).setdefault(rate.condition, []).append(rate)
    found = []
    for hsn, by_condition in by_key.items():
        # Without the condition that a code asks for its rows contradict each other, and the engine refuses them.
        chosen = by_condition.get(wanted) or by_condition.get(TaxRate.Condition.ANY)
        groups = [chosen] if chosen else list(by_condition.values())
        for group in groups:
            found += [
                TaxRow(
                    kind=RowKind.GST,
                    code=f"GST-{hsn}",
                    version=number,
                    valid_from=rate.valid_from,
                    valid_to=rate.valid_to,
                    source=rate.source,
                    hsn=hsn,
                    rate_percent=rate.rate_percent,
                )
                for number, rate in enumerate(group, 1)
                if rate.valid_from <= until and (rate.valid_to is None or rate.valid_to >= since)
            ]
    return found
