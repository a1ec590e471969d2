"""Rows that the product brings along are created by services, once, and never over what staff changed."""

from decimal import Decimal
from typing import Any

import pytest

from apps.commodities.models.pricing import PricingUnit
from apps.commodities.services import pricing as services
from apps.commodities.tests.examples_units import pricing_unit, unit
from erp.access import SYSTEM
from erp.errors import Invalid
from erp.reference_data import ReferenceTable
from erp.services import unit_of_work

pytestmark = pytest.mark.django_db
POUND = {"code": "USC/LB", "currency": "USD", "divisor": "100", "unit": "LB", "places": "2", "tick": "0.01"}


def loaded(*rows: dict[str, str], create: Any = services.create_pricing_unit) -> list[str]:
    table = ReferenceTable(model=PricingUnit, rows=rows, create=create)
    with unit_of_work(SYSTEM):
        return [row.code for row in table.load(SYSTEM)]


def test_text_becomes_what_the_columns_hold_and_an_empty_cell_the_default(db, emitted):
    unit("LB")
    assert loaded(POUND, {**POUND, "code": "USD/LB", "divisor": "1", "tick": ""}) == ["USC/LB", "USD/LB"]
    cents, dollars = PricingUnit.objects.order_by("code")
    assert (cents.divisor, cents.unit_id, cents.places, cents.tick) == (100, "LB", 2, Decimal("0.01"))
    assert dollars.tick is None
    assert len(emitted("pricing_unit.created")) == 2
    assert loaded(POUND) == []


def test_rows_that_are_there_stay_and_go_before_those_that_contradict_them(db, emitted):
    existing = pricing_unit(code="USC/LB", unit=unit("KG"))
    unit("LB")
    twin = {
        **POUND,
        "code": "TWIN",
        "currency": existing.currency,
        "divisor": str(existing.divisor),
        "unit": "KG",
    }
    other = {**POUND, "code": "OTHER"}
    assert loaded(POUND, twin, other) == ["OTHER"]
    assert PricingUnit.objects.get(code="USC/LB").unit_id == "KG"
    assert len(emitted("pricing_unit.created")) == 2


def test_a_row_that_names_a_missing_row_or_that_create_leaves_out_is_not_there(db):
    assert loaded(POUND) == []
    unit("LB")
    assert loaded(POUND, create=lambda **values: None) == []


def test_a_row_of_the_product_that_is_invalid_is_an_error(db):
    unit("LB")

    def refuse(**values: Any) -> None:
        raise Invalid

    with pytest.raises(Invalid):
        loaded(POUND, create=refuse)
