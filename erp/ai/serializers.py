"""What every suggestion answers."""

from erp.api import fields
from erp.api.serializers import LookupOutput


class ReasonAnswer(LookupOutput):
    """The reason: a stable code and its facts."""

    code = fields.CharField()
    facts = fields.DictField(child=fields.CharField())


class SuggestionAnswer(LookupOutput):
    """Fields of every suggestion. A suggestion changes nothing: a person decides."""

    confidence = fields.DecimalField(4, 3)
    reasons = ReasonAnswer(many=True)
    provider = fields.CharField()
    degraded = fields.CharField(
        help_text="Why the built-in answer replaces that of a remote model, such as timeout. Else empty."
    )
    is_suggestion = fields.BooleanField()
