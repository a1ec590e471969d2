"""Six lists of terms that contracts choose from. Their figures are a contract's defaults."""

from decimal import Decimal
from typing import Any, ClassVar, Final

from django.db import models
from django.db.models import Q

from apps.commodities.models.base import CODE, Simple, SimpleQuerySet, code_field, name_field
from erp.columns import Row, RowsField, within

MSME_DAYS: Final = (
    45  # the longest agreed term: Micro, Small and Medium Enterprises Development Act 2006, s.15
)
# What the delivered price holds by an Incoterm's own rules (Incoterms 2020).
INSURED: Final = ("CIF", "CIP")
CARRIED: Final = ("CFR", "CPT", "DAP", "DPU", "DDP")
COLLECTED: Final = ("EXW", "FCA", "FAS", "FOB")


def flag() -> "models.BooleanField[Any, Any]":
    """Yes or no; no unless said."""
    return models.BooleanField(default=False)


def whole(default: int = 0) -> "models.PositiveSmallIntegerField[Any, Any]":
    """A small whole number."""
    return models.PositiveSmallIntegerField(default=default)


def percent(default: int = 0) -> "models.DecimalField[Any, Any]":
    """A percentage."""
    return models.DecimalField(max_digits=9, decimal_places=4, default=Decimal(default))


class Slab(Row):
    """So many days at so many percent a year; without days: all that follow."""

    days = models.PositiveSmallIntegerField(null=True, validators=within(1, 365))
    annual_percent = models.DecimalField(max_digits=9, decimal_places=4, validators=within(0, 60))


def limits(**ranges: tuple[int, int]) -> models.CheckConstraint:
    """Columns stay within lowest and highest value."""
    condition = Q()
    for name, both in ranges.items():
        condition &= Q(**{f"{name}__range": both})
    return models.CheckConstraint(name="%(class)s_limits", condition=condition)


def ends_open(name: str) -> models.CheckConstraint:
    """The last slab has no days."""
    last = Q(**{f"{name}__-1__days": None})
    return models.CheckConstraint(name=f"%(class)s_{name}_end", condition=Q(**{name: []}) | last)


class Terms(Simple):
    """What the six lists have in common. Each is a table of its own."""

    kind: ClassVar[str]  # the list's name, as in its address

    code = code_field()
    name = name_field()
    name_key = models.CharField(max_length=400, editable=False)
    description = models.CharField(max_length=500, default="", blank=True)
    sort_order = models.PositiveSmallIntegerField(default=100, validators=within(0, 9999))

    objects: ClassVar[Any] = SimpleQuerySet.as_manager()

    class Meta(Simple.Meta):
        abstract = True
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["code"], name="%(class)s_code_once"),
            models.UniqueConstraint(fields=["name_key"], name="%(class)s_name_once"),
            models.CheckConstraint(name="%(class)s_code_format", condition=Q(code__regex=f"^{CODE}$")),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def terms_id(self) -> Any:
        """Its id, as events of all six lists call it."""
        return self.pk


class TradeType(Terms):
    """What kind of deal a trade is."""

    kind = "trade-types"

    class Nature(models.TextChoices):
        SPOT = "SPOT"
        FORWARD = "FORWARD"
        BASIS = "BASIS"
        CONSIGNMENT = "CONSIGNMENT"
        JOB_WORK = "JOB_WORK"
        TRANSFER = "TRANSFER"

    class Market(models.TextChoices):
        DOMESTIC = "DOMESTIC"
        EXPORT = "EXPORT"
        IMPORT = "IMPORT"
        HIGH_SEA = "HIGH_SEA"

    nature = models.CharField(max_length=11, choices=Nature)
    market = models.CharField(max_length=8, choices=Market)
    needs_delivery_window = flag()

    class Meta(Terms.Meta):
        pass


class BargainType(Terms):
    """How a bargain is struck and its price found."""

    kind = "bargain-types"

    class PriceMethod(models.TextChoices):
        FLAT = "FLAT"
        ON_CALL_BUYER = "ON_CALL_BUYER"
        ON_CALL_SELLER = "ON_CALL_SELLER"
        FORMULA = "FORMULA"
        PROVISIONAL = "PROVISIONAL"

    class Firmness(models.TextChoices):
        FIRM = "FIRM"
        OPEN = "OPEN"
        INDICATIVE = "INDICATIVE"

    price_method = models.CharField(max_length=14, choices=PriceMethod)
    firmness = models.CharField(max_length=10, choices=Firmness)
    requires_approval = flag()

    class Meta(Terms.Meta):
        pass


class PassingTerms(Terms):
    """Where and by whom the quality is passed."""

    kind = "passing-terms"

    class Place(models.TextChoices):
        SELLER_STATION = "SELLER_STATION"
        BUYER_MILL = "BUYER_MILL"
        WAREHOUSE = "WAREHOUSE"
        LAB = "LAB"
        PORT = "PORT"

    class Basis(models.TextChoices):
        AS_IS = "AS_IS"
        FAQ = "FAQ"
        SAMPLE = "SAMPLE"
        SPECIFICATION = "SPECIFICATION"

    class FinalSource(models.TextChoices):
        SELLER = "SELLER"
        BUYER = "BUYER"
        LAB = "LAB"
        CONTROLLER = "CONTROLLER"

    place = models.CharField(max_length=14, choices=Place)
    basis = models.CharField(max_length=13, choices=Basis)
    final_source = models.CharField(max_length=10, choices=FinalSource)
    requires_quality_test = flag()
    bales_per_sample = whole(20)
    claim_days = whole(7)

    class Meta(Terms.Meta):
        verbose_name = verbose_name_plural = "passing terms"
        constraints: ClassVar = [
            *Terms.Meta.constraints,
            limits(bales_per_sample=(1, 100), claim_days=(0, 60)),
        ]


class WeighmentTerms(Terms):
    """Whose weight is final, and what is taken off it."""

    kind = "weighment-terms"

    class Final(models.TextChoices):
        ORIGIN = "ORIGIN"
        DESTINATION = "DESTINATION"
        AVERAGE = "AVERAGE"

    class Weighbridge(models.TextChoices):
        OWN = "OWN"
        INDEPENDENT = "INDEPENDENT"

    class Weight(models.TextChoices):
        NET = "NET"
        GROSS_FOR_NET = "GROSS_FOR_NET"

    class TareMethod(models.TextChoices):
        ACTUAL = "ACTUAL"
        PER_PACKAGE = "PER_PACKAGE"  # kg each
        PERCENT = "PERCENT"

    class FranchiseKind(models.TextChoices):
        NONE = "NONE"
        DEDUCTIBLE = "DEDUCTIBLE"
        THRESHOLD = "THRESHOLD"

    final = models.CharField(max_length=11, choices=Final)
    weighbridge = models.CharField(max_length=11, choices=Weighbridge)
    weight = models.CharField(max_length=13, choices=Weight)
    tare_method = models.CharField(max_length=11, choices=TareMethod)
    tare_value = models.DecimalField(
        max_digits=18, decimal_places=6, null=True, blank=True, validators=within(0)
    )
    deduction_percent = percent()
    franchise_kind = models.CharField(max_length=10, choices=FranchiseKind, default=FranchiseKind.NONE)
    franchise_percent = models.DecimalField(max_digits=9, decimal_places=4, null=True, blank=True)
    claim_days = whole(3)

    class Meta(Terms.Meta):
        verbose_name = verbose_name_plural = "weighment terms"
        constraints: ClassVar = [
            *Terms.Meta.constraints,
            limits(deduction_percent=(0, 100), franchise_percent=(0, 5), claim_days=(0, 60)),
            models.CheckConstraint(
                name="%(class)s_tare",
                condition=Q(tare_method="ACTUAL", tare_value=None)
                | Q(tare_method="PER_PACKAGE", tare_value__gte=0)
                | Q(tare_method="PERCENT", tare_value__range=(0, 100)),
            ),
            models.CheckConstraint(
                name="%(class)s_franchise",
                condition=Q(franchise_kind="NONE", franchise_percent=None)
                | (~Q(franchise_kind="NONE") & Q(franchise_percent__isnull=False)),
            ),
        ]


class DeliveryTerms(Terms):
    """Where the goods change hands, and what the price holds until there."""

    kind = "delivery-terms"

    class Basis(models.TextChoices):
        EX_GIN = "EX_GIN"
        EX_WAREHOUSE = "EX_WAREHOUSE"
        SPOT = "SPOT"
        FOR_STATION = "FOR_STATION"
        FOR_MILL = "FOR_MILL"
        DELIVERED = "DELIVERED"
        EXW = "EXW"
        FCA = "FCA"
        CPT = "CPT"
        CIP = "CIP"
        DAP = "DAP"
        DPU = "DPU"
        DDP = "DDP"
        FAS = "FAS"
        FOB = "FOB"
        CFR = "CFR"
        CIF = "CIF"

    class PriceGroup(models.TextChoices):
        EX = "EX"
        DELIVERED = "DELIVERED"

    class RiskPassesAt(models.TextChoices):
        GIN = "GIN"
        CARRIER = "CARRIER"
        PORT = "PORT"
        DESTINATION = "DESTINATION"

    basis = models.CharField(max_length=12, choices=Basis)
    price_group = models.CharField(max_length=9, choices=PriceGroup)
    includes_freight = flag()
    includes_insurance = flag()
    insurance_percent = percent(110)  # of the goods' value
    risk_passes_at = models.CharField(max_length=11, choices=RiskPassesAt)
    free_days = whole()
    late_slabs = RowsField(Slab)
    needs_place = flag()

    class Meta(Terms.Meta):
        verbose_name = verbose_name_plural = "delivery terms"
        constraints: ClassVar = [
            *Terms.Meta.constraints,
            limits(insurance_percent=(100, 150), free_days=(0, 120)),
            models.CheckConstraint(
                name="%(class)s_incoterm",
                condition=Q(basis__in=INSURED, includes_freight=True, includes_insurance=True)
                | Q(basis__in=CARRIED, includes_freight=True)
                | Q(basis__in=COLLECTED, includes_freight=False, includes_insurance=False)
                | ~Q(basis__in=(*INSURED, *CARRIED, *COLLECTED)),
            ),
            ends_open("late_slabs"),
        ]


class PaymentTerms(Terms):
    """When, how and against what is paid."""

    kind = "payment-terms"

    class BalanceFrom(models.TextChoices):
        INVOICE = "INVOICE"
        DELIVERY = "DELIVERY"
        DOCUMENTS = "DOCUMENTS"

    class DayKind(models.TextChoices):
        CALENDAR = "CALENDAR"
        WORKING = "WORKING"

    class Instrument(models.TextChoices):
        TRANSFER = "TRANSFER"
        CHEQUE = "CHEQUE"
        LC = "LC"
        SBLC = "SBLC"
        TT = "TT"
        CAD = "CAD"
        DP = "DP"
        DA = "DA"

    class LcKind(models.TextChoices):
        SIGHT = "SIGHT"
        USANCE = "USANCE"

    class BankChargesBy(models.TextChoices):
        BUYER = "BUYER"
        SELLER = "SELLER"
        SHARED = "SHARED"

    class CarryingTax(models.TextChoices):
        AS_GOODS = "AS_GOODS"  # interest for late payment is value of supply: CGST Act 2017, s.15(2)(d)
        NONE = "NONE"

    advance_percent = percent()
    advance_days = whole()
    balance_days = models.PositiveSmallIntegerField()
    balance_from = models.CharField(max_length=9, choices=BalanceFrom)
    day_kind = models.CharField(max_length=8, choices=DayKind)
    instrument = models.CharField(max_length=8, choices=Instrument)
    lc_kind = models.CharField(max_length=6, choices=LcKind, null=True, blank=True)  # noqa: DJ001 - no credit
    usance_days = models.PositiveSmallIntegerField(null=True, blank=True)
    bank_charges_by = models.CharField(max_length=6, choices=BankChargesBy)
    security_percent = percent()
    carrying_slabs = RowsField(Slab)
    carrying_tax = models.CharField(max_length=8, choices=CarryingTax, default=CarryingTax.AS_GOODS)

    class Meta(Terms.Meta):
        verbose_name = verbose_name_plural = "payment terms"
        constraints: ClassVar = [
            *Terms.Meta.constraints,
            limits(
                advance_percent=(0, 100),
                advance_days=(0, 90),
                balance_days=(0, 365),
                usance_days=(1, 360),
                security_percent=(0, 100),
            ),
            models.CheckConstraint(
                name="%(class)s_credit",
                condition=Q(instrument="LC", lc_kind__isnull=False)
                | Q(instrument="SBLC")
                | (~Q(instrument__in=("LC", "SBLC")) & Q(lc_kind=None)),
            ),
            models.CheckConstraint(
                name="%(class)s_usance",
                condition=Q(lc_kind="USANCE", usance_days__isnull=False)
                | (Q(usance_days=None) & (Q(lc_kind=None) | Q(lc_kind="SIGHT"))),
            ),
            ends_open("carrying_slabs"),
        ]

    @property
    def over_msme_limit(self) -> bool:
        """Whether a micro or small supplier would be paid later than the law allows to agree."""
        return max(self.balance_days, self.usance_days or 0) > MSME_DAYS


TERMS: Final[tuple[type[Terms], ...]] = tuple(Terms.__subclasses__())
