"""The six lists of terms as staff keep them."""

from typing import ClassVar

from django.contrib import admin

from apps.commodities import capabilities, services
from apps.commodities.models import (
    BargainType,
    DeliveryTerms,
    PassingTerms,
    PaymentTerms,
    TradeType,
    WeighmentTerms,
)
from erp.admin import ServiceAdmin

MACHINE = ("status", "version", "created_at", "updated_at")


class TermsAdmin(ServiceAdmin):
    """A list of terms."""

    views = capabilities.VIEW
    list_display: ClassVar = ["code", "name", "sort_order", "status", "updated_at"]
    list_filter: ClassVar = ["status"]
    search_fields: ClassVar = ["code", "name"]
    ordering: ClassVar = ["sort_order", "code"]


@admin.register(TradeType)
class TradeTypeAdmin(TermsAdmin):
    """What kind of deal a trade is."""

    creates, updates = services.create_trade_type, services.update_trade_type
    details: ClassVar = [*TradeType.said(), *MACHINE]


@admin.register(BargainType)
class BargainTypeAdmin(TermsAdmin):
    """How a bargain is struck and its price found."""

    creates, updates = services.create_bargain_type, services.update_bargain_type
    details: ClassVar = [*BargainType.said(), *MACHINE]


@admin.register(PassingTerms)
class PassingTermsAdmin(TermsAdmin):
    """Where and by whom the quality is passed."""

    creates, updates = services.create_passing_terms, services.update_passing_terms
    details: ClassVar = [*PassingTerms.said(), *MACHINE]


@admin.register(WeighmentTerms)
class WeighmentTermsAdmin(TermsAdmin):
    """Whose weight is final, and what is taken off it."""

    creates, updates = services.create_weighment_terms, services.update_weighment_terms
    details: ClassVar = [*WeighmentTerms.said(), *MACHINE]


@admin.register(DeliveryTerms)
class DeliveryTermsAdmin(TermsAdmin):
    """Where the goods change hands, and what the price holds until there."""

    creates, updates = services.create_delivery_terms, services.update_delivery_terms
    details: ClassVar = [*DeliveryTerms.said(), *MACHINE]


@admin.register(PaymentTerms)
class PaymentTermsAdmin(TermsAdmin):
    """When, how and against what is paid."""

    creates, updates = services.create_payment_terms, services.update_payment_terms
    details: ClassVar = [*PaymentTerms.said(), "over_msme_limit", *MACHINE]
