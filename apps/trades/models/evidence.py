"""The files of a trade: what proves an agreement, a test, a weighing, a claim or a default."""

from uuid import UUID

from django.db.models import F, Func, UUIDField, Value

from apps.trades.models.execution import Dispute, QualityResult, Weighment
from apps.trades.models.trade import Acknowledgement, Amendment, Trade
from erp.access import Actor


def evidence_of(trade: Trade, actor: Actor) -> dict[UUID, str]:
    """What each file proves, by its id: to staff and the two sides.

    Only staff see what proves a default, as its note is internal, and the declarations of other partners.
    """
    sees_all = actor.is_system or actor.is_superuser or actor.is_staff
    if not sees_all and trade.side_of(actor) is None:
        return {}
    trades, parties = Trade.objects.filter(pk=trade.pk), trade.parties.all()
    if not sees_all:
        trades, parties = trades.none(), parties.filter(partner=actor.partner_id)
    kinds = (
        ("Acknowledgement on behalf", Acknowledgement, "evidence"),
        ("Proposal of an amendment", Amendment, "proposal_evidence"),
        ("Decision on an amendment", Amendment, "evidence"),
        ("Quality result", QualityResult, "report"),
        ("Weighing slip", Weighment, "slip"),
    )
    parts = [
        rows.filter(**{f"{name}__isnull": False}).order_by().values_list(name, Value(kind))
        for kind, rows, name in (
            ("Cancellation", trades, "cancel_evidence"),
            ("Declaration of an agriculturist", parties, "declaration"),
            *((kind, model.objects.filter(trade=trade), name) for kind, model, name in kinds),
        )
    ]
    claims = Dispute.objects.filter(trade=trade).order_by()
    file = Func(F("evidence_ids"), function="unnest", output_field=UUIDField())
    return dict(parts[0].union(*parts[1:], claims.values_list(file, Value("Dispute")), all=True))
