"""Checks of single values that several inputs share."""

from zoneinfo import available_timezones

from django.core.validators import RegexValidator
from rest_framework.exceptions import ValidationError


def matches(pattern: str, message: str) -> RegexValidator:
    """The whole text must fit ``pattern``; else the fault ``format`` with ``message``."""
    return RegexValidator(rf"\A(?:{pattern})\Z", message, code="format")


COUNTRY = matches("[A-Z]{2}", "Send an ISO 3166-1 country code of two letters, such as IN.")

CURRENCY = matches("[A-Z]{3}", "Send an ISO 4217 code of three letters, such as INR.")


def time_zone(value: str) -> None:
    """An IANA time zone; else the fault ``unknown_time_zone``."""
    if value not in available_timezones():
        raise ValidationError("Send an IANA time zone, such as Asia/Kolkata.", code="unknown_time_zone")
