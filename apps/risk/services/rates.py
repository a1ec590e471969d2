"""Currency rates: INR per unit, the newest on or before a day and at most a week old."""

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final
from uuid import UUID

from apps.partners.models import CreditAccount
from apps.partners.services import exposure
from apps.risk import capabilities, events
from apps.risk.models import CurrencyRate
from erp import clock, locks
from erp.access import Actor
from erp.errors import FieldError, RuleBroken
from erp.services import emit, service

HOME: Final = "INR"
OLDEST: Final = timedelta(days=7)


class RateInvalid(RuleBroken):
    """The currency rate is invalid."""


def rate_on(currency: str, day: date) -> CurrencyRate | None:
    """The rate of a currency that counts on a day; None where none is recent enough."""
    found: CurrencyRate | None = CurrencyRate.objects.newest_on(currency, day).first()
    return found if found is not None and found.date >= day - OLDEST else None


def exchange(source: str, target: str, day: date) -> Fraction | None:
    """How many units of ``target`` one of ``source`` is on a day; None where a rate is missing."""
    value = Fraction(1)
    for currency, power in ((source, 1), (target, -1)) if source != target else ():
        if currency != HOME:
            rate = rate_on(currency, day)
            if rate is None:
                return None
            value *= Fraction(rate.rate) ** power
    return value


def rate_for(buyer_id: UUID, currency: str) -> exposure.Rate | None:
    """The rate of today into the currency of the buyer's credit; None where it is the same, or no rate is known."""
    account = CreditAccount.objects.filter(partner=buyer_id).only("currency").first()
    if account is None or account.currency == currency:
        return None
    day = clock.today()
    rate = exchange(currency, account.currency, day)
    return None if rate is None else exposure.Rate(Decimal(rate.numerator) / rate.denominator, day)


@service(
    requires=capabilities.CONFIGURE,
    emits=[events.RiskRateRecorded],
    raises=[RateInvalid],
    label="Record a currency rate",
)
def record_rate(*, actor: Actor, currency: str, date: date, rate: Decimal, source: str) -> CurrencyRate:
    """Record INR per unit of a currency for a day. A correction is a newer row; the same rate changes nothing."""
    if currency == HOME:
        raise RateInvalid(errors=[FieldError("/currency", "home", "Rates are in INR already.")])
    if date > clock.today():
        raise RateInvalid(errors=[FieldError("/date", "future", "The day is in the future.")])
    locks.hold(f"risk.rate:{currency}")
    of_day = CurrencyRate.objects.filter(currency=currency, date=date).order_by("-id")
    if actor.pk is None:  # what the feed repeats doesn't undo a person's correction
        of_day = of_day.filter(source=source, entered_by=None)
    known: CurrencyRate | None = of_day.first()
    if known is not None and (known.rate, known.source) == (rate, source):
        return known
    row = CurrencyRate(currency=currency, date=date, rate=rate, source=source, entered_by_id=actor.pk)
    row.save()
    emit(events.RiskRateRecorded(rate_id=row.pk, currency=currency, date=date, rate=rate, source=source))
    return row
