"""A service with Nominatim's API: OpenStreetMap's own software, or a host that offers it.

Its data are under the ODbL and may be stored. The public instance forbids heavy use: point ``NOMINATIM_URL`` at one
of your own or at a host's, with ``NOMINATIM_KEY`` where it asks for a key.
"""

import re
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from apps.locations.clients.queries import Near, SearchQuery
from apps.locations.details import Details
from apps.locations.earth import great_circle_km
from apps.locations.models import code_of
from erp.clients import Client, RemoteRefused, RemoteUnavailable
from erp.identifiers import PIN_CODE

_ID: Final = re.compile(r"[NWR][0-9]{1,19}")
_TYPES: Final = {
    "state": "STATE",
    "state_district": "DISTRICT",
    "county": "DISTRICT",
    "district": "DISTRICT",
    **dict.fromkeys(("city", "town", "village", "hamlet", "suburb", "municipality"), "CITY"),
    "warehouse": "WAREHOUSE",
    "port": "PORT",
}
_TOWNS: Final = ("city", "town", "village", "hamlet", "municipality")


class Nominatim(Client):
    """Searches, details and places around a point, each with its own circuit breaker."""

    name, timeout = "nominatim", 4.0
    connect_timeout, read_timeout, retries = 1.0, 3.0, 1

    def __init__(self, base_url: str, key: str = "") -> None:
        """``key`` is the API key of the host, empty for none."""
        super().__init__(base_url)
        self._key = key

    def search(self, query: SearchQuery) -> list[Details]:
        """Return places that match the text."""
        params = {
            "q": query.query,
            "countrycodes": query.country.lower(),
            "limit": str(min(40, 2 * query.limit)),
        }
        if query.near is not None:
            latitude, longitude = query.near
            params["viewbox"] = f"{longitude - 1},{latitude + 1},{longitude + 1},{latitude - 1}"
        places = self._places("search", params)
        return [
            place
            for place in places
            if (not query.types or place.type in query.types)
            and (query.state is None or place.state == query.state)
        ][: query.limit]

    def details(self, provider_id: str, session_token: str = "") -> Details | None:
        """Return the place with an id such as N123 (node), W123 (way) or R123 (relation)."""
        if not _ID.fullmatch(provider_id):
            return None
        places = self._places("lookup", {"osm_ids": provider_id})
        return places[0] if places else None

    def reverse(self, latitude: Decimal, longitude: Decimal, radius_km: int) -> list[Near]:
        """Return the place at the point, if it is within the radius."""
        places = self._places("reverse", {"lat": str(latitude), "lon": str(longitude)})
        near = [
            Near(place, great_circle_km((latitude, longitude), (place.latitude, place.longitude)))
            for place in places
            if place.latitude is not None and place.longitude is not None
        ]
        return [place for place in near if place.km <= radius_km]

    def _places(self, operation: str, params: dict[str, str]) -> list[Details]:
        parameters = {**params, "format": "jsonv2", "addressdetails": "1", "accept-language": "en"}
        if self._key:
            parameters["key"] = self._key
        try:
            body = self.request("GET", f"/{operation}", operation=operation, params=parameters).json()
        except RemoteRefused as refused:
            # A refused key or quota is no empty result and no error of the caller.
            raise RemoteUnavailable(f"The service {self.name} refuses to answer.") from refused
        rows = body if isinstance(body, list) else [] if "error" in body else [body]
        try:
            return [_details(row) for row in rows]
        except (KeyError, TypeError, AttributeError, InvalidOperation):
            raise RemoteUnavailable(
                f"The service {self.name} answers in a form that can't be read."
            ) from None


def _details(row: dict[str, Any]) -> Details:
    address = row.get("address") or {}
    country = str(address.get("country_code") or "in").upper()
    kind = _TYPES.get(str(row.get("addresstype") or row.get("type")), "OTHER")
    town = next((address[part] for part in _TOWNS if part in address), None)
    name = str(row.get("name") or town or str(row["display_name"]).split(",")[0]).strip()
    pincode = str(address.get("postcode") or "").replace(" ", "") or None
    if country == "IN" and pincode is not None and not PIN_CODE.is_valid(pincode):
        pincode = None
    district = address.get("state_district") or address.get("county")
    return Details(
        provider=Nominatim.name,
        provider_id=f"{str(row['osm_type'])[0].upper()}{int(row['osm_id'])}",
        type=kind,
        name=name[:200],
        country=country,
        state=code_of(str(address.get("state") or "")) if country == "IN" else None,
        district=str(district).removesuffix(" District")[:100] if district else None,
        pincode=pincode[:12] if pincode else None,
        latitude=round(Decimal(str(row["lat"])), 6),
        longitude=round(Decimal(str(row["lon"])), 6),
    )
