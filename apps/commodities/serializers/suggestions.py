"""Inputs and outputs of suggestions."""

from decimal import Decimal

from apps.commodities.models.commodities import Commodity
from apps.commodities.models.tax import TaxRate
from erp.ai.serializers import SuggestionAnswer
from erp.api import fields
from erp.api.serializers import Input, LookupOutput
from erp.api.validators import COUNTRY


def _name() -> fields.CharField:
    return fields.CharField(min_length=2, max_length=200, help_text="Name of the goods, 2 to 200 characters.")


class DetectCategoryInput(Input):
    name = _name()
    description = fields.CharField(
        max_length=2000,
        required=False,
        allow_blank=True,
        multiline=True,
        help_text="What the goods are, at most 2000 characters.",
    )


class SuggestHsnInput(Input):
    class Meta:
        model = Commodity

    name = _name()
    category = fields.ChoiceField(choices=Commodity.Category.choices, required=False, allow_null=True)
    origin_country = fields.CharField(required=False, validators=[COUNTRY])
    staple_mm = fields.DecimalField(
        5,
        2,
        min_value=Decimal(1),
        max_value=Decimal(100),
        required=False,
        allow_null=True,
        help_text="Staple length of cotton in mm, 1 to 100, up to two decimals.",
    )


class SuggestParametersInput(Input):
    limit = fields.IntegerField(
        min_value=1,
        max_value=50,
        required=False,
        help_text="Maximum number of suggestions, 1 to 50. Default: 20.",
    )


class CategoryAnswer(SuggestionAnswer):
    category = fields.ChoiceField(choices=Commodity.Category.choices, allow_null=True)


class BestCategoryAnswer(CategoryAnswer):
    alternatives = CategoryAnswer(many=True)


class RateAnswer(LookupOutput):
    """A GST rate that is effective today."""

    condition = fields.ChoiceField(choices=TaxRate.Condition.choices)
    rate_percent = fields.DecimalField(9, 4)
    valid_from = fields.DateField()


class CodeAnswer(SuggestionAnswer):
    hsn_code = fields.CharField()
    description = fields.CharField()
    rates = RateAnswer(many=True)


class CodesAnswer(LookupOutput):
    results = CodeAnswer(many=True)


class ParameterSuggestionAnswer(SuggestionAnswer):
    template_id = fields.UUIDField(source="template.pk")
    code = fields.CharField(source="template.code")
    name = fields.CharField(source="template.name")
    data_type = fields.CharField(source="template.data_type")
    unit = fields.CharField(source="template.unit", allow_null=True)


class ParametersAnswer(LookupOutput):
    results = ParameterSuggestionAnswer(many=True)
