"""Inputs of varieties."""

from apps.commodities.models.varieties import Variety
from erp.api.serializers import Input


class VarietyFields(Input):
    """Fields of a variety in an import."""

    class Meta:
        model = Variety
        fields = ("name", "aliases", "is_standard", "presets")
