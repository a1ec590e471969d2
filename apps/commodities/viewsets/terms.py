"""The six lists of terms over HTTP."""

from typing import ClassVar

from apps.commodities import services
from apps.commodities.models import (
    BargainType,
    DeliveryTerms,
    PassingTerms,
    PaymentTerms,
    TradeType,
    WeighmentTerms,
)
from apps.commodities.serializers import (
    BARGAIN_TYPE,
    DELIVERY_TERMS,
    PASSING_TERMS,
    PAYMENT_TERMS,
    TRADE_TYPE,
    WEIGHMENT_TERMS,
)
from apps.commodities.viewsets.base import ReferenceViewSet
from erp.api.endpoints import endpoint


class TermsViewSet(ReferenceViewSet):
    """A list of terms."""

    filters: ClassVar = {"code": ["exact", "in"], "status": ["exact", "in"]}
    search_fields: ClassVar = ["code", "name"]
    ordering_fields: ClassVar = ["created_at", "updated_at", "sort_order", "code", "name"]


class TradeTypeViewSet(TermsViewSet):
    """Trade types: what kind of deal a trade is."""

    queryset = TradeType.objects.all()
    serializer_class = TRADE_TYPE.output
    create = endpoint(services.create_trade_type, TRADE_TYPE.create)
    update = endpoint(services.update_trade_type, TRADE_TYPE.update, if_match="required")


class BargainTypeViewSet(TermsViewSet):
    """Bargain types: how a bargain is struck and its price found."""

    queryset = BargainType.objects.all()
    serializer_class = BARGAIN_TYPE.output
    create = endpoint(services.create_bargain_type, BARGAIN_TYPE.create)
    update = endpoint(services.update_bargain_type, BARGAIN_TYPE.update, if_match="required")


class PassingTermsViewSet(TermsViewSet):
    """Passing terms: where and by whom the quality is passed."""

    queryset = PassingTerms.objects.all()
    serializer_class = PASSING_TERMS.output
    create = endpoint(services.create_passing_terms, PASSING_TERMS.create)
    update = endpoint(services.update_passing_terms, PASSING_TERMS.update, if_match="required")


class WeighmentTermsViewSet(TermsViewSet):
    """Weighment terms: whose weight is final, and what is taken off it."""

    queryset = WeighmentTerms.objects.all()
    serializer_class = WEIGHMENT_TERMS.output
    create = endpoint(services.create_weighment_terms, WEIGHMENT_TERMS.create)
    update = endpoint(services.update_weighment_terms, WEIGHMENT_TERMS.update, if_match="required")


class DeliveryTermsViewSet(TermsViewSet):
    """Delivery terms: where the goods change hands, and what the price holds until there."""

    queryset = DeliveryTerms.objects.all()
    serializer_class = DELIVERY_TERMS.output
    create = endpoint(services.create_delivery_terms, DELIVERY_TERMS.create)
    update = endpoint(services.update_delivery_terms, DELIVERY_TERMS.update, if_match="required")


class PaymentTermsViewSet(TermsViewSet):
    """Payment terms: when, how and against what is paid."""

    queryset = PaymentTerms.objects.all()
    serializer_class = PAYMENT_TERMS.output
    create = endpoint(services.create_payment_terms, PAYMENT_TERMS.create)
    update = endpoint(services.update_payment_terms, PAYMENT_TERMS.update, if_match="required")
