"""Inputs and outputs of places, states and distances."""

from decimal import Decimal
from typing import Any, Final

from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.fields import empty

from apps.locations.details import Details, TokenInvalid
from apps.locations.models import LONGEST_ALIAS, MOST_ALIASES, Distance, Location, PinPrefix, State, code_of
from erp.api import fields
from erp.api.files import FileField
from erp.api.serializers import Input, LookupOutput, Output
from erp.api.validators import COUNTRY, matches, time_zone
from erp.files import CSV
from erp.identifiers import CUSTOMS_PORT, PIN_CODE, UNLOCODE, IdentifierInvalid
from erp.jobs.models import Job

SESSION: Final = "Any text of up to 64 characters, the same for all requests of one entry by a user."
POSTCODE: Final = matches("[A-Za-z0-9 -]{2,12}", "Use 2 to 12 letters, digits, spaces and hyphens.")
PROVIDER: Final = matches("[a-z][a-z0-9_]{0,29}", "Use a provider's name, such as gazetteer.")
# Fields that may accompany a details_token; the token holds all others.
ALLOWED_WITH_TOKEN: Final = frozenset({"details", "name", "aliases", "type", "parent"})


class StateField(fields.CharField):
    """A state of India by GST code, letters, name or older name; validated, its GST code."""

    default_error_messages = {
        "unknown_state": "Unknown state. Use its code or name, such as 24, GJ or Gujarat."
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"max_length": 60, **kwargs})

    def to_internal_value(self, data: Any) -> str:
        code = code_of(super().to_internal_value(data))
        if code is None:
            self.fail("unknown_state")
        return code


class DetailsTokenField(fields.CharField):
    """The signed details of a look-up; validated, the details."""

    default_error_messages = {
        "bad_signature": "The token is invalid. Look the place up again.",
        "expired": "The token is older than 15 minutes. Look the place up again.",
    }

    def run_validation(self, data: Any = empty) -> Any:
        token = super().run_validation(data)
        try:
            return Details.read(token)
        except TokenInvalid as error:
            self.fail(error.code)


def provider_field(**kwargs: Any) -> fields.CharField:
    """The name of a provider."""
    words = "Name of the provider, such as gazetteer. Empty in a look-up: the default provider."
    return fields.CharField(required=False, validators=[PROVIDER], help_text=words, **kwargs)


def provider_id_field(**kwargs: Any) -> fields.CharField:
    """The id of a place at a provider."""
    return fields.CharField(max_length=255, help_text="ID of the place at the provider.", **kwargs)


def coordinate(limit: int) -> fields.DecimalField:
    """A coordinate in degrees, with up to six decimals."""
    return fields.DecimalField(
        max_digits=9,
        decimal_places=6,
        min_value=Decimal(-limit),
        max_value=Decimal(limit),
        required=False,
        allow_null=True,
    )


def check_postcode(attrs: dict[str, Any], country: str) -> None:
    """Bring a postal code into its canonical form. Raises DRF's ``ValidationError``."""
    code = attrs.get("pincode")
    if code is None:
        return
    try:
        if country == "IN":
            attrs["pincode"] = PIN_CODE.normalise(code)
        else:
            POSTCODE(code)
    except IdentifierInvalid as fault:
        raise ValidationError({"pincode": [ErrorDetail(str(fault), fault.code)]}) from None
    except Exception as fault:
        raise ValidationError({"pincode": [ErrorDetail(str(POSTCODE.message), "format")]}) from fault


def require(attrs: dict[str, Any], *names: str) -> None:
    """These fields are there, and a provider and its id come together. Raises DRF's ``ValidationError``."""
    missing = [name for name in names if name not in attrs]
    if ("provider" in attrs) != ("provider_id" in attrs):
        missing.append("provider" if "provider" not in attrs else "provider_id")
    if missing:
        raise ValidationError(
            {name: [ErrorDetail("This field is required.", "required")] for name in missing}
        )


class PlaceFacts(Input):
    class Meta:
        model = Location

    aliases = fields.ListField(
        child=fields.CharField(min_length=2, max_length=LONGEST_ALIAS),
        max_length=MOST_ALIASES,
        unique=True,
        required=False,
    )
    district = fields.CharField(max_length=100, required=False, allow_null=True)
    pincode = fields.CharField(max_length=20, required=False, allow_null=True)
    latitude = coordinate(90)
    longitude = coordinate(180)
    unlocode = fields.IdentifierField(UNLOCODE, required=False, allow_null=True)
    customs_code = fields.IdentifierField(CUSTOMS_PORT, required=False, allow_null=True)


class PlaceFields(PlaceFacts):
    address = fields.CharField(max_length=500, multiline=True, required=False, allow_null=True)
    timezone = fields.CharField(max_length=64, required=False, validators=[time_zone])
    wdra_code = fields.CharField(max_length=30, required=False, allow_null=True)


class LocationCreateInput(PlaceFields):
    details_token = DetailsTokenField(
        max_length=4000,
        required=False,
        source="details",
        help_text="Signed details from a look-up, usable for 15 minutes. They replace all fields but name, aliases, "
        "type and parent.",
    )
    type = fields.ChoiceField(choices=Location.Type.choices, required=False)
    name = fields.CharField(min_length=2, max_length=200, required=False)
    parent_id = fields.RowField(Location, source="parent", required=False, allow_null=True)
    country = fields.CharField(required=False, validators=[COUNTRY])
    state = StateField(required=False, allow_null=True)
    provider = provider_field(allow_null=True)
    provider_id = provider_id_field(required=False, allow_null=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "details" in attrs:
            renamed = {"parent": "parent_id"}
            wrong = [renamed.get(name, name) for name in attrs if name not in ALLOWED_WITH_TOKEN]
            if wrong:
                words = "This field can't be sent together with details_token."
                raise ValidationError({name: [ErrorDetail(words, "not_allowed")] for name in wrong})
            return attrs
        require(attrs, "type", "name")
        parent = attrs.get("parent")
        check_postcode(attrs, attrs.get("country") or (parent.country if parent else "IN"))
        return attrs


class ImportRow(PlaceFacts):
    """The columns of an import."""

    type = fields.ChoiceField(choices=Location.Type.choices)
    name = fields.CharField(min_length=2, max_length=200)
    state = StateField()
    ref = fields.CharField(
        max_length=100, required=False, help_text="Your own name of the row, by which later rows refer to it."
    )
    parent_ref = fields.CharField(
        max_length=100, required=False, help_text="The ref of the earlier row that the place is located in."
    )
    parent_id = fields.RowField(Location, source="parent", required=False)
    provider = provider_field()
    provider_id = provider_id_field(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "parent" in attrs and "parent_ref" in attrs:
            words = "Use either parent_id or parent_ref."
            raise ValidationError({"parent_ref": [ErrorDetail(words, "not_allowed")]})
        require(attrs)
        check_postcode(attrs, "IN")
        return attrs


class BulkImportInput(Input):
    file = FileField(accepts=(CSV,), help_text="Table of places as CSV, one place per row.")
    mode = fields.ChoiceField(
        choices=Job.Mode.choices,
        required=False,
        help_text="Atomic (default): all rows or none. Partial: all rows without errors. Check: change nothing.",
    )


class LocationUpdateInput(PlaceFields):
    name = fields.CharField(min_length=2, max_length=200)
    status = fields.ChoiceField(choices=[Location.Status.ACTIVE, Location.Status.ARCHIVED])

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        check_postcode(attrs, self.context["target"].country)
        return attrs


class ReparentInput(Input):
    class Meta:
        model = Location

    parent_id = fields.RowField(Location, source="parent", allow_null=True)


class MergeInput(Input):
    into_id = fields.RowField(
        Location, source="into", label="Merge into", help_text="The place of the same type that remains."
    )
    reason = fields.CharField(
        min_length=3, max_length=500, help_text="Why the places are merged, 3 to 500 characters."
    )


class SetDistanceInput(Input):
    class Meta:
        model = Distance

    to = fields.RowField(Location, help_text="The place at the other end.")
    mode = fields.ChoiceField(choices=Distance.Mode.choices)
    km = fields.DecimalField(max_digits=7, decimal_places=1, min_value=Decimal("0.1"))
    transit_days = fields.IntegerField(min_value=0, max_value=60, required=False, allow_null=True)
    source = fields.CharField(min_length=2, max_length=200)  # type: ignore[assignment]
    valid_from = fields.DateField()


class PointInput(Input):
    class Meta:
        model = Location

    latitude = fields.DecimalField(9, 6, min_value=Decimal(-90), max_value=Decimal(90))
    longitude = fields.DecimalField(9, 6, min_value=Decimal(-180), max_value=Decimal(180))


class NearInput(PointInput):
    def validate(self, attrs: dict[str, Any]) -> Any:
        return attrs["latitude"], attrs["longitude"]


class ProviderInput(Input):
    provider = provider_field()


class SearchInput(ProviderInput):
    class Meta:
        model = Location

    query = fields.CharField(
        min_length=2, max_length=120, help_text="Beginning of a name, or of a PIN code, 2 to 120 characters."
    )
    types = fields.ListField(
        child=fields.ChoiceField(choices=Location.Type.choices),
        unique=True,
        required=False,
        help_text="Only places of these types. Empty: all types.",
    )
    country = fields.CharField(required=False, validators=[COUNTRY])
    state = StateField(required=False, allow_null=True)
    near = NearInput(required=False, allow_null=True, help_text="A point: places near it come first.")
    limit = fields.IntegerField(
        min_value=1, max_value=20, required=False, help_text="Number of results, 1 to 20. Default 8."
    )
    session_token = fields.CharField(max_length=64, required=False, help_text=SESSION)


class FetchDetailsInput(ProviderInput):
    provider_id = provider_id_field()
    session_token = fields.CharField(max_length=64, required=False, help_text=SESSION)


class ReverseGeocodeInput(ProviderInput, PointInput):
    radius_km = fields.IntegerField(
        min_value=1,
        max_value=100,
        required=False,
        help_text="Kilometres around the point, 1 to 100. Default 25.",
    )


class AncestorOutput(LookupOutput):
    id = fields.UUIDField()
    type = fields.CharField()
    name = fields.CharField()


class ProviderRefOutput(LookupOutput):
    provider = fields.CharField()
    provider_id = fields.CharField()
    fetched_at = fields.DateTimeField()


class LocationOutput(Output):
    state = fields.CharField(source="state_id", allow_null=True)
    region = fields.CharField(source="state.region", allow_null=True, default=None)
    cotton_zone = fields.CharField(source="state.cotton_zone", allow_null=True, default=None)
    ancestors = AncestorOutput(many=True)
    provider_refs = ProviderRefOutput(many=True)

    class Meta:
        model = Location
        fields = (
            "type",
            "name",
            "aliases",
            "parent_id",
            "country",
            "district",
            "address",
            "pincode",
            "latitude",
            "longitude",
            "timezone",
            "unlocode",
            "customs_code",
            "wdra_code",
            "is_verified",
            "verified_by",
        )


class StateOutput(Output):
    id = fields.CharField(source="gst_code")  # type: ignore[assignment]

    class Meta:
        model = State
        fields = ("gst_code", "iso_code", "plate_codes", "name", "aliases", "region", "cotton_zone")


class PinPrefixOutput(LookupOutput):
    id = fields.CharField(source="prefix")
    prefix = fields.CharField()
    state = fields.CharField(source="state_id")

    class Meta:
        model = PinPrefix


class FoundOutput(LookupOutput):
    """One result of a search."""

    provider = fields.CharField(source="details.provider")
    provider_id = fields.CharField(source="details.provider_id")
    label = fields.CharField()  # type: ignore[assignment]
    type = fields.CharField(source="details.type")
    state = fields.CharField(source="details.state", allow_null=True)
    pincode = fields.CharField(source="details.pincode", allow_null=True)
    latitude = fields.DecimalField(9, 6, source="details.latitude", allow_null=True)
    longitude = fields.DecimalField(9, 6, source="details.longitude", allow_null=True)
    location_id = fields.UUIDField(allow_null=True)


class SearchOutput(LookupOutput):
    provider = fields.CharField()
    results = FoundOutput(many=True)


class NearbyOutput(FoundOutput):
    distance_km = fields.DecimalField(7, 1)
    details_token = fields.CharField()


class ReverseGeocodeOutput(LookupOutput):
    provider = fields.CharField()
    results = NearbyOutput(many=True)


class FetchDetailsOutput(FoundOutput):
    name = fields.CharField(source="details.name")
    country = fields.CharField(source="details.country")
    district = fields.CharField(source="details.district", allow_null=True)
    address = fields.CharField(source="details.address", allow_null=True)
    timezone = fields.CharField(source="details.timezone")
    unlocode = fields.CharField(source="details.unlocode", allow_null=True)
    customs_code = fields.CharField(source="details.customs_code", allow_null=True)
    details_token = fields.CharField()


class DistanceOutput(LookupOutput):
    from_id = fields.UUIDField()
    to_id = fields.UUIDField()
    mode = fields.CharField()
    great_circle_km = fields.DecimalField(max_digits=7, decimal_places=1)
    km = fields.DecimalField(max_digits=7, decimal_places=1, allow_null=True)
    transit_days = fields.IntegerField(allow_null=True)
    source = fields.CharField(allow_null=True)  # type: ignore[assignment]
    valid_from = fields.DateField(allow_null=True)
