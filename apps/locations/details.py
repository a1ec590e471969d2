"""Details of a place from a provider, and their signed form that callers send to add the place."""

from dataclasses import asdict, dataclass, fields
from decimal import Decimal
from typing import Any, Final

from django.core import signing

VALID_SECONDS: Final = 15 * 60
_SALT: Final = "apps.locations.details"


class TokenInvalid(ValueError):
    """An invalid token: ``code`` is bad_signature or expired."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """The details of one place. ``type`` and ``state`` are the module's own codes."""

    provider: str
    provider_id: str
    type: str
    name: str
    country: str = "IN"
    state: str | None = None
    district: str | None = None
    address: str | None = None
    pincode: str | None = None
    latitude: Decimal | None = None
    longitude: Decimal | None = None
    timezone: str = "Asia/Kolkata"
    unlocode: str | None = None
    customs_code: str | None = None

    def signed(self) -> str:
        """Return the details as a signed token, valid for 15 minutes."""
        plain = {
            name: str(value) if isinstance(value, Decimal) else value
            for name, value in asdict(self).items()
            if value is not None
        }
        return signing.dumps(plain, salt=_SALT, compress=True)

    @classmethod
    def read(cls, token: str) -> "Details":
        """Return the details of a token. Raises TokenInvalid."""
        try:
            plain: dict[str, Any] = signing.loads(token, salt=_SALT, max_age=VALID_SECONDS)
        except signing.SignatureExpired:
            raise TokenInvalid("expired") from None
        except signing.BadSignature:
            raise TokenInvalid("bad_signature") from None
        for name in ("latitude", "longitude"):
            if name in plain:
                plain[name] = Decimal(plain[name])
        return cls(**plain)


#: Fields whose change makes a confirmed place unconfirmed.
FACTS: Final = tuple(
    field.name
    for field in fields(Details)
    if field.name not in ("provider", "provider_id", "type", "name", "country", "state", "timezone")
)
