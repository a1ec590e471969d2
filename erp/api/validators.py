"""Checks of single values that several inputs share."""

import re
import unicodedata
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


# What programs for mail and chat turn into a link: a scheme, www., or a host of a common top-level domain.
_DOMAINS = (
    "com|net|org|info|biz|in|io|co|me|app|dev|xyz|top|site|online|shop|store|club|live|link|click|cloud|page|"
    "web|work|win|vip|icu|pro|name|mobi|ai|ru|cn|uk|us|eu|de|tk|ml|ga|cf|gq|pw|cc|tv|ws|ly|to|gl|gd|su|id"
)
_WEB_ADDRESS = re.compile(
    rf"[a-z][a-z0-9+.-]*:\s*/|\bwww\d?\.|[^\W_][\w-]*[^\W_]\.(?:{_DOMAINS})(?!\w)|\w\.(?:com|net|org)(?!\w)|\w\.[a-z]{{2,}}[:/?]",
    re.IGNORECASE,
)


def refuse_web_address(value: str) -> None:
    """Refuse a name of a person or organization that holds a web address. Raises DRF's ``ValidationError``."""
    text = unicodedata.normalize("NFKC", value).replace("\u3002", ".")
    if _WEB_ADDRESS.search(text):
        raise ValidationError("A name can't contain a web address.", "web_address")
