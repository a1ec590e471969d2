"""The GST rate that applies on a date."""

from datetime import date

from apps.commodities.models.tax import TaxRate
from erp.errors import RuleBroken

ANY = TaxRate.Condition.ANY


class ConditionNeeded(RuleBroken):
    """The rate depends on a condition that is missing."""


class NoTaxRate(RuleBroken):
    """There is no GST rate for these goods on this date."""


def tax_on(hsn: str, on_date: date, condition: str | None = None) -> TaxRate:
    """Return the GST rate for goods of this code on a date. Invoices store the row's id.

    Of the effective rates those of the longest prefix count; among them the one of the condition, else the one of
    any. A rate of zero is a rate. Raises NoTaxRate, ConditionNeeded.
    """
    return choose(list(TaxRate.objects.for_codes([hsn]).on(on_date)), hsn, on_date, condition)


def choose(rates: list[TaxRate], hsn: str, on_date: date, condition: str | None = None) -> TaxRate:
    """``tax_on`` among effective rates, which may include rates of other codes."""
    found = longest(rates, hsn)
    if not found:
        raise NoTaxRate(f"There is no GST rate for {hsn} on {on_date}.")
    rate = found.get(condition or ANY) or found.get(ANY)
    if rate is None:
        raise ConditionNeeded(f"Choose one of {', '.join(sorted(found))}.", conditions=sorted(found))
    return rate


def longest(rates: list[TaxRate], hsn: str) -> dict[str, TaxRate]:
    """Select the rates with the longest prefix of the code, by condition."""
    apply = [rate for rate in rates if hsn.startswith(rate.hsn)]
    most = max((len(rate.hsn) for rate in apply), default=0)
    return {str(rate.condition): rate for rate in apply if len(rate.hsn) == most}
