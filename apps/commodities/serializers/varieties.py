"""Shapes of varieties."""

from apps.commodities.models import Variety
from erp.api.serializers import Input


class VarietyFields(Input):
    """What rows of a table hold of a variety."""

    class Meta:
        model = Variety
        fields = ("name", "aliases", "is_standard", "presets")
