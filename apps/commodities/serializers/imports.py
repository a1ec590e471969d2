"""Inputs and outputs of imports: rows of commodities and varieties, uploads and previews."""

from typing import Any, ClassVar

from django.http import QueryDict
from rest_framework.exceptions import ValidationError

from apps.commodities.models.base import Simple
from apps.commodities.models.commodities import Commodity
from apps.commodities.models.pricing import PricingUnit
from apps.commodities.serializers.base import CODE
from apps.commodities.serializers.commodities import CommodityCreateInput
from apps.commodities.serializers.varieties import VarietyFields
from apps.commodities.services import imports as services
from erp.api import fields
from erp.api.files import FileField
from erp.api.serializers import Input, LookupOutput, faults_from, invalid
from erp.api.validators import matches
from erp.files import CSV, XLSX
from erp.jobs.models import Job

SHA256 = matches("[0-9a-f]{64}", "Use a SHA-256 in lower-case hexadecimal.")


def version_field() -> Any:
    """The version of a row that an import updates."""
    return fields.IntegerField(
        min_value=1,
        required=False,
        help_text="Version at the time of the export. If the row was changed since, it is refused. Empty: no check.",
    )


class CommodityRow(CommodityCreateInput):
    """A row of an import of commodities."""

    columns: ClassVar = (
        "code",
        "name",
        "category",
        "aliases",
        "base_unit",
        "trade_unit",
        "quantity_mode",
        "package_unit",
        "pricing_unit",
        "hsn_code",
        "season_start_month",
        "description",
        "status",
        "version",
    )
    origin_country = quantity_tolerance_percent = pricing_unit_id = None
    pricing_unit = fields.NamedField(
        PricingUnit,
        validators=[CODE],
        required=False,
        allow_null=True,
        help_text="Code of the unit in which prices are quoted, such as INR/CANDY.",
    )
    status = fields.ChoiceField(choices=Commodity.Status.choices, required=False)
    version = version_field()


class VarietyRow(VarietyFields):
    """A row of an import of varieties."""

    columns: ClassVar = ("commodity", "code", "name", "aliases", "is_standard", "status", "version")
    presets = None
    commodity = fields.NamedField(
        Commodity, validators=[CODE], help_text="Code of the commodity, such as COTTON."
    )
    code = fields.CharField(validators=[CODE])
    status = fields.ChoiceField(choices=Simple.Status.choices, required=False)
    version = version_field()


ROWS: dict[str, type[CommodityRow] | type[VarietyRow]] = {
    "COMMODITIES": CommodityRow,
    "VARIETIES": VarietyRow,
}


def parse_kind(query: QueryDict) -> str:
    """Parse the kind of rows from a query; the default is ``COMMODITIES``. Raises Invalid."""
    try:
        kind = fields.from_text(fields.ChoiceField(choices=list(ROWS)), query.get("kind", "COMMODITIES"))
    except ValidationError as error:
        raise invalid(faults_from(error.detail, "/query/kind")) from None
    return str(kind)


class BulkValidateInput(Input):
    file = FileField(accepts=(CSV, XLSX), help_text="CSV or XLSX file with the columns of the template.")
    kind = fields.ChoiceField(
        choices=list(services.IMPORT_TARGETS), help_text="Whether the file has commodities or varieties."
    )


class BulkUploadInput(BulkValidateInput):
    mode = fields.ChoiceField(
        choices=Job.Mode.choices,
        required=False,
        help_text="Atomic: all rows or none. Partial: all rows without errors. Check: change nothing.",
    )
    expected_sha256 = fields.CharField(
        required=False,
        validators=[SHA256],
        help_text="SHA-256 of the file that was previewed. Another file is refused.",
    )


class FaultOutput(LookupOutput):
    pointer = fields.CharField()
    code = fields.CharField()
    detail = fields.CharField()


class ForeseenOutput(LookupOutput):
    """The effect that the import would have on one row."""

    row = fields.IntegerField(source="number")
    action = fields.ChoiceField(source="foreseen", choices=["create", "update", "unchanged", "refused"])
    changes = fields.DictField(source="done.changes")
    faults = FaultOutput(many=True)


class BulkValidateOutput(LookupOutput):
    kind = fields.CharField()
    file_sha256 = fields.CharField()
    total = fields.IntegerField()
    create = fields.IntegerField()  # type: ignore[assignment]
    update = fields.IntegerField()  # type: ignore[assignment]
    unchanged = fields.IntegerField()
    refused = fields.IntegerField()
    rows = ForeseenOutput(many=True)
