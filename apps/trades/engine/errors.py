"""What the engine refuses. Codes are written out, since the engine also runs without Django's app registry."""

from collections.abc import Sequence
from typing import Any

from erp.errors import Conflict, FieldError, Invalid, RuleBroken


class BadInput(Invalid):
    """The terms, facts or file have the wrong shape."""

    code = "trade.bad_input"

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__(
            "; ".join(f"{error.pointer or '/'}: {error.detail}" for error in errors), errors=list(errors)
        )


class VersionUnknown(RuleBroken):
    """There is no engine of this version."""

    code = "trade.engine_version_unknown"


class SnapshotDamaged(Conflict):
    """The terms do not match their hash."""

    code = "trade.snapshot_damaged"


class FactsMissing(Conflict):
    """Facts that the settlement needs are missing."""

    code = "trade.facts_missing"

    def __init__(self, missing: Sequence[Any]) -> None:
        """``missing``: rows with code, subject and detail."""
        super().__init__(
            " ".join(fact.detail for fact in missing),
            missing=[{"code": fact.code, "subject": fact.subject} for fact in missing],
        )


class BalanceOpen(Conflict):
    """More of the invoice is unpaid than may stay open."""

    code = "trade.balance_open"


class FixationDeadlinePassed(Conflict):
    """The deadline for fixing the price has passed."""

    code = "trade.fixation_deadline_passed"


class FixationTooLarge(RuleBroken):
    """More would be fixed than the contract quantity that is open."""

    code = "trade.fixation_too_large"


class UnitMismatch(RuleBroken):
    """Unit, currency and price do not fit together."""

    code = "trade.unit_mismatch"


class PriceNotPositive(RuleBroken):
    """The price is not above zero."""

    code = "trade.price_not_positive"


class TermFixed(RuleBroken):
    """The agreed price is exclusive of tax."""

    code = "trade.term_fixed"


class TermsUnsupported(RuleBroken):
    """A term is not computed by the engine."""

    code = "trade.terms_unsupported"


class LotsMismatch(RuleBroken):
    """The lots do not add up to the trade."""

    code = "trade.lots_mismatch"


class SharesNotWhole(RuleBroken):
    """The shares of the brokers of a side do not add up to 100 %."""

    code = "trade.shares_not_whole"


class SlabsInvalid(RuleBroken):
    """The slabs are empty, or do not end in one open slab."""

    code = "trade.slabs_invalid"


class WindowInvalid(RuleBroken):
    """The delivery window ends before it starts."""

    code = "trade.window_invalid"


class ScheduleGap(RuleBroken):
    """The premium and discount schedule has no price for this lot."""

    code = "trade.schedule_gap"


class TaxRuleMissing(RuleBroken):
    """No tax rule, or more than one, is in force on the date."""

    code = "trade.tax_rule_missing"


class NetNotPositive(RuleBroken):
    """The tare is not below the gross weight."""

    code = "trade.net_not_positive"


class OverAllocated(RuleBroken):
    """More is allocated than was paid."""

    code = "trade.over_allocated"
