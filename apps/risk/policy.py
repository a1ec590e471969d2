"""The body of a risk policy: thresholds, points and windows, each with the range that it may have (risk §7)."""

from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

Percent = Annotated[Decimal, Field(ge=0, le=100, max_digits=5, decimal_places=2)]
Points = Annotated[int, Field(ge=0, le=100)]
Days = Annotated[int, Field(ge=1, le=730)]
Step = Annotated[Decimal, Field(gt=0, max_digits=12, decimal_places=4)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Points3(_Part):
    """Points for the worst, the middle and the best of three thresholds."""

    worst: Points = 25
    bad: Points = 15
    weak: Points = 8

    @model_validator(mode="after")
    def _falls(self) -> "Points3":
        if not self.worst >= self.bad >= self.weak:
            raise ValueError("Worse figures must cost as many points or more.")
        return self


class Points2(_Part):
    """Points for the worse and the better of two thresholds."""

    worst: Points
    bad: Points

    @model_validator(mode="after")
    def _falls(self) -> "Points2":
        if self.worst < self.bad:
            raise ValueError("Worse figures must cost as many points or more.")
        return self


class PolicyBody(_Part):
    """What a policy says. Thresholds of the score itself are fixed; its points are not."""

    thin_headroom_percent: Annotated[Decimal, Field(ge=5, le=50, max_digits=5, decimal_places=2)] = Decimal(
        20
    )
    thin_utilisation_percent: Annotated[Decimal, Field(ge=50, le=95, max_digits=5, decimal_places=2)] = (
        Decimal(75)
    )
    warn_below: Points = 60
    utilisation_points: Points2 = Points2(worst=25, bad=15)
    rating_points: Points3 = Points3()
    performance_points: Points3 = Points3()
    dispute_points: Points2 = Points2(worst=15, bad=8)
    experience_points: Points2 = Points2(worst=10, bad=5)
    pair_block_below: Percent = Decimal(30)
    pair_weak_to: Percent = Decimal(50)
    least_trades: Annotated[int, Field(ge=1, le=50)] = 3
    facts_months: Annotated[int, Field(ge=1, le=60)] = 24
    valid_hours: Annotated[int, Field(ge=1, le=168)] = 24
    partner_valid_days: Annotated[int, Field(ge=1, le=30)] = 7
    reversal_days: Days = 7
    reversal_quantity_percent: Percent = Decimal(10)
    reversal_price_percent: Percent = Decimal(1)
    reversal_repeat_days: Days = 90
    wash_block_days: Days = 90
    ring_days: Days = 30
    ring_length: Annotated[int, Field(ge=3, le=5)] = 5
    price_band_percent: Percent = Decimal(10)
    price_trades: Annotated[int, Field(ge=2, le=100)] = 5
    price_sellers: Annotated[int, Field(ge=2, le=100)] = 3
    price_days: Days = 7
    layering_listings: Annotated[int, Field(ge=2, le=1000)] = 10
    layering_minutes: Annotated[int, Field(ge=1, le=1440)] = 60
    layering_live_minutes: Annotated[int, Field(ge=1, le=1440)] = 15
    linked_days: Days = 365
    bucket_steps: dict[str, Step] = {"staple_length": Decimal("0.5"), "micronaire": Decimal("0.2")}
    similarity: Annotated[Decimal, Field(ge=Decimal("0.6"), le=Decimal("0.99"), decimal_places=4)] = Decimal(
        "0.82"
    )
    list_days: Annotated[int, Field(ge=1, le=30)] = 7
    bureau_above: Annotated[Decimal, Field(ge=0, max_digits=20, decimal_places=2)] = Decimal(5_000_000)
    bureau_days: Days = 90
    overdue_above: Annotated[Decimal, Field(ge=0, max_digits=20, decimal_places=2)] = Decimal(10_000)
    overdue_review_days: Days = 7
    overdue_fail_days: Days = 30

    @model_validator(mode="after")
    def _in_order(self) -> "PolicyBody":
        if self.pair_block_below > self.pair_weak_to:
            raise ValueError("The pair is blocked below a figure that is at least weak.")
        if self.overdue_review_days > self.overdue_fail_days:
            raise ValueError("An amount fails no earlier than it is reviewed.")
        if len(self.bucket_steps) > 10:
            raise ValueError("At most ten parameters make a bucket.")
        return self

    def stored(self) -> dict[str, Any]:
        """The whole body as a policy stores it."""
        return self.model_dump(mode="json")
