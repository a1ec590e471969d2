"""Tax rules, bands and openings: dated rows by two people, complete from the first day, none of them in code."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from apps.approvals import services as approvals
from apps.approvals.models import ApprovalRequest
from apps.trades.engine.facts import RowKind
from apps.trades.models import ApprovalBand, PositionOpening, TaxPosition, TaxRule
from apps.trades.services import tax_rules
from erp.access import SYSTEM
from erp.errors import Invalid, SelfApproval
from erp.models import unguarded_writes

TDS = {
    "rate_percent": "0.2", "no_pan_percent": "5", "threshold": "6000000.00", "threshold_mode": "EXCESS",
    "section": "1031",
}  # fmt: skip


@pytest.fixture
def people(user):
    return user("INTERNAL_FINANCE"), user("INTERNAL_DIRECTOR")


def grant(row, who):
    request = ApprovalRequest.objects.get(subject_id=row.pk, status="pending")
    return approvals.approve(request, actor=who, subject_version=request.subject_version)


def test_reference_rows_cover_every_day_and_are_loaded_once(db):
    """practice §12.5 and §8.14: TDS from 2025-04-01 without gap or overlap; each day takes its own row."""
    assert tax_rules.load_tax_rules(actor=SYSTEM) == 15
    assert tax_rules.load_tax_rules(actor=SYSTEM) == 0
    for code in ("TDS-GOODS", "TDS-BROKERAGE", "GST-NOTE-LIMIT", "MSME-45", "RCM-RAW-COTTON"):
        day = date(2025, 4, 1)
        while day < date(2027, 4, 1):
            assert TaxRule.objects.active().filter(code=code).on(day).count() == 1, (code, day)
            day += timedelta(days=30)
    for day, section in ((date(2026, 3, 31), "194Q"), (date(2026, 4, 1), "1031")):
        row = TaxRule.objects.get(code="TDS-GOODS", pk__in=TaxRule.objects.on(day))
        assert tax_rules.as_row(row).section == section
    first, second = TaxRule.objects.filter(code="TDS-GOODS").order_by("rule_version")
    assert (second.supersedes, first.supersedes) == (first, None)


def test_a_rule_is_drafted_by_one_and_published_by_another(people, organization):
    """§2: new rows only, by two people; §8.14: a row starts on its day."""
    tax_rules.load_tax_rules(actor=SYSTEM)
    finance, director = people
    row = tax_rules.draft_tax_rule(
        actor=finance, code="TDS-GOODS", kind="TDS_GOODS", figures=TDS, source="Finance Act 2027",
        valid_from=date(2027, 4, 1),
    )  # fmt: skip
    tax_rules.submit_tax_rule(row, actor=finance, reason="The rate changes.")
    with pytest.raises(SelfApproval):
        grant(row, finance)
    grant(row, director)
    row.refresh_from_db()
    assert (row.status, row.rule_version, row.supersedes.rule_version) == ("PUBLISHED", 3, 2)
    house = organization()
    for day, rate in ((date(2027, 3, 31), "0.1"), (date(2027, 4, 1), "0.2")):
        rows = tax_rules.rows_for(house, codes={"5201"}, condition=None, since=day, until=day)
        (found,) = [each for each in rows if each.kind is RowKind.TDS_GOODS]
        assert found.rate_percent == Decimal(rate)


def test_figures_that_the_engine_cannot_read_are_refused(people):
    """§8.24: what is wrong with a row is refused when it is written, not when a trade settles."""
    finance, _ = people
    good = {"code": "X", "kind": "TDS_GOODS", "figures": TDS, "source": "Act", "valid_from": date(2027, 4, 1)}
    faults = [
        {"figures": {**TDS, "rate_percent": "1e3"}},
        {"figures": {**TDS, "rate_percent": 0.1}},
        {"figures": {**TDS, "rate_percent": "101"}},
        {"figures": {"rate_percent": "1"}},
        {"figures": {**TDS, "threshold_mode": "SOMETIMES"}},
        {"applies": {"planet": "Mars"}},
        {"applies": {"hsn": 5201}},
        {"kind": "REVERSE_CHARGE", "figures": {}},
        {"kind": "NOTE_LIMIT", "figures": {"month": 13, "day": 30}},
        {"valid_to": date(2027, 3, 1)},
    ]
    for fault in faults:
        with pytest.raises(Invalid):
            tax_rules.draft_tax_rule(actor=finance, **{**good, **fault})
    assert not TaxRule.objects.exists()


def test_a_switch_extends_reverse_charge_for_one_organization(organization):
    """§5.8: a row of the organization, with its note, and no other."""
    own, other = organization(), organization()
    with unguarded_writes():
        TaxRule(
            code="RCM-UNREGISTERED", rule_version=1, kind="REVERSE_CHARGE", status="PUBLISHED", figures={},
            applies={"hsn": "5201", "supplier_status": "UNREGISTERED", "organization_id": str(own.pk)},
            source="Note of the board", valid_from=date(2025, 4, 1),
        ).save()  # fmt: skip
    day = {"since": date(2026, 1, 1), "until": date(2026, 1, 1)}
    found = [tax_rules.rows_for(house, codes={"5201"}, condition=None, **day) for house in (own, other)]
    assert [len(rows) for rows in found] == [1, 0]


def test_bands_and_openings_are_published_by_a_second_person(people, organization, partner, deliver):
    """§5.3 and §2: bands per organization, and an opening that keeps what was counted since."""
    finance, director = people
    house, buyer, seller = organization(), partner(), partner()
    deliver()
    assert ApprovalBand.objects.filter(organization=house).count() == 2, (
        "a new organization has the first bands"
    )
    assert tax_rules.load_approval_bands(actor=SYSTEM) == 0
    band = tax_rules.draft_approval_band(
        actor=finance, organization=house, above_value=Decimal("1000000.00"), approvals=2, source="Board",
        valid_from=date(2027, 4, 1),
    )  # fmt: skip
    tax_rules.submit_approval_band(band, actor=finance, reason="Larger trades.")
    grant(band, director)
    assert ApprovalBand.objects.active().count() == 3
    opening = {
        "kind": "TDS_GOODS", "deductor": buyer, "deductee": seller, "financial_year": "2025-26", "liable": True,
        "source": "Ledger of 2025-26", "valid_from": date(2026, 1, 1),
    }  # fmt: skip
    for amount, start in (("3200000.00", date(2026, 1, 1)), ("3300000.00", date(2026, 2, 1))):
        row = tax_rules.draft_position_opening(
            actor=finance, **{**opening, "opening_amount": Decimal(amount), "valid_from": start}
        )
        tax_rules.submit_position_opening(row, actor=finance, reason="Opening of the books.")
        grant(row, director)
        position = TaxPosition.objects.get()
        assert (position.opening_amount, position.liable) == (Decimal(amount), True)
        with unguarded_writes():
            position.counted += 100
            position.save()
    assert TaxPosition.objects.get().counted == 200
    assert PositionOpening.objects.active().count() == 2
