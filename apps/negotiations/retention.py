"""What negotiations hold about people, and when their words are erased."""

from apps.negotiations.models import MESSAGES_KEPT, Negotiation, Offer
from apps.negotiations.services.decisions import erase_messages
from erp.retention import Rule, declare, register

declare(Offer, category="messages", purpose="negotiations", erased={"message": ""})
declare(Negotiation, category="notes", purpose="negotiations", erased={"close_note": ""})
register(
    Rule(
        "negotiation.messages",
        "messages and notes of negotiations that ended",
        MESSAGES_KEPT,
        "DPDP Act 2023 s.8(7): the purpose has ended",
        lambda now: Negotiation.objects.with_old_messages(now),
        erase_messages,
    )
)
