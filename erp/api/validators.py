"""Checks of single values that several inputs share."""

import re
import unicodedata
from zoneinfo import available_timezones

from rest_framework.exceptions import ValidationError

from erp.columns import COUNTRY as COUNTRY
from erp.columns import CURRENCY as CURRENCY
from erp.columns import matches as matches
from erp.text import INVISIBLE


def time_zone(value: str) -> None:
    """An IANA time zone; else the fault ``unknown_time_zone``."""
    if value not in available_timezones():
        raise ValidationError("Send an IANA time zone, such as Asia/Kolkata.", code="unknown_time_zone")


# What programs for mail and chat turn into a link: a scheme, www., an address, or a host of a common top-level domain.
_DOMAINS = (
    "com|net|org|info|biz|in|io|co|me|app|dev|xyz|top|site|online|shop|store|club|live|link|click|cloud|page|"
    "web|work|win|vip|icu|pro|name|mobi|ai|ru|cn|uk|us|eu|de|tk|ml|ga|cf|gq|pw|cc|tv|ws|ly|to|gl|gd|su|id|example|test|"
    # India in its scripts, its neighbours, and the largest other domains beyond Latin
    "xn--[a-z0-9-]+|भारत|भारतम्|भारोत|ભારત|ਭਾਰਤ|ভারত|ভাৰত|ଭାରତ|இந்தியா|భారత్|ಭಾರತ|ഭാരതം|بھارت|بارت|ڀارت|"
    "இலங்கை|ලංකා|বাংলা|پاکستان|संगठन|कॉम|नेट|рф|рус|онлайн|сайт|中国|公司|网络"
)
# Repetitions are bounded, so that the time for a text grows with its length and not with the square of it.
_WEB_ADDRESS = re.compile(
    r"[a-z][a-z0-9+.-]{0,30}:\s*/|\b(?:mailto|javascript)\s*:|\bhttps?\b|\bwww\d?\."
    r"|\S@\S{1,255}\.\S|(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])"
    rf"|[^\W_][\w\u0900-\u0dff-]{{1,63}}\.(?:{_DOMAINS})(?![\w\u0900-\u0dff])"
    r"|\w\.(?:com|net|org)(?!\w)|\w\.[a-z]{2,}[:/?]",
    re.IGNORECASE,
)


def refuse_web_address(value: str) -> None:
    """Refuse a name of a person or organization that holds a web address. Raises DRF's ``ValidationError``."""
    text = INVISIBLE.sub("", unicodedata.normalize("NFKC", value)).replace("\u3002", ".")
    if _WEB_ADDRESS.search(text):
        raise ValidationError("A name can't contain a web address.", "web_address")
