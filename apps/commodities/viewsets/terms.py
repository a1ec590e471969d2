"""The six lists of terms over HTTP."""

from typing import Any, ClassVar

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


def _adds(service: Any, shape: Any) -> Any:
    return endpoint(service, shape, problems=(services.Duplicate, services.FieldsContradict))


def _replaces(service: Any, shape: Any) -> Any:
    return endpoint(
        service, shape, if_match="required", problems=(services.Duplicate, services.FieldsContradict)
    )


class TradeTypeViewSet(TermsViewSet):
    """Trade types: what kind of deal a trade is."""

    queryset = TradeType.objects.all()
    serializer_class = TRADE_TYPE.output
    create = _adds(services.create_trade_type, TRADE_TYPE.create)
    update = _replaces(services.update_trade_type, TRADE_TYPE.update)


class BargainTypeViewSet(TermsViewSet):
    """Bargain types: how a bargain is struck and its price found."""

    queryset = BargainType.objects.all()
    serializer_class = BARGAIN_TYPE.output
    create = _adds(services.create_bargain_type, BARGAIN_TYPE.create)
    update = _replaces(services.update_bargain_type, BARGAIN_TYPE.update)


class PassingTermsViewSet(TermsViewSet):
    """Passing terms: where and by whom the quality is passed."""

    queryset = PassingTerms.objects.all()
    serializer_class = PASSING_TERMS.output
    create = _adds(services.create_passing_terms, PASSING_TERMS.create)
    update = _replaces(services.update_passing_terms, PASSING_TERMS.update)


class WeighmentTermsViewSet(TermsViewSet):
    """Weighment terms: whose weight is final, and what is taken off it."""

    queryset = WeighmentTerms.objects.all()
    serializer_class = WEIGHMENT_TERMS.output
    create = _adds(services.create_weighment_terms, WEIGHMENT_TERMS.create)
    update = _replaces(services.update_weighment_terms, WEIGHMENT_TERMS.update)


class DeliveryTermsViewSet(TermsViewSet):
    """Delivery terms: where the goods change hands, and what the price holds until there."""

    queryset = DeliveryTerms.objects.all()
    serializer_class = DELIVERY_TERMS.output
    create = _adds(services.create_delivery_terms, DELIVERY_TERMS.create)
    update = _replaces(services.update_delivery_terms, DELIVERY_TERMS.update)


class PaymentTermsViewSet(TermsViewSet):
    """Payment terms: when, how and against what is paid."""

    queryset = PaymentTerms.objects.all()
    serializer_class = PAYMENT_TERMS.output
    create = _adds(services.create_payment_terms, PAYMENT_TERMS.create)
    update = _replaces(services.update_payment_terms, PAYMENT_TERMS.update)
