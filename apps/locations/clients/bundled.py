"""The bundled gazetteer as a provider: always available, India only."""

from decimal import Decimal
from typing import ClassVar

from apps.locations.clients.queries import Near, SearchQuery
from apps.locations.details import Details
from apps.locations.earth import tenth
from apps.locations.gazetteer import GazetteerEntry, gazetteer


class Bundled:
    """Places from the files shipped with the product."""

    name: ClassVar[str] = "gazetteer"

    def search(self, query: SearchQuery) -> list[Details]:
        """Return names that begin with the text, then similar ones."""
        if query.country != "IN":
            return []
        near = query.near
        entries = gazetteer().search(
            query.query,
            types=query.types,
            state=query.state,
            near=None if near is None else (float(near[0]), float(near[1])),
            limit=query.limit,
        )
        return [_details(entry) for entry in entries]

    def details(self, provider_id: str, session_token: str = "") -> Details | None:
        """Return the entry with that id."""
        entry = gazetteer().details(provider_id)
        return None if entry is None else _details(entry)

    def reverse(self, latitude: Decimal, longitude: Decimal, radius_km: int) -> list[Near]:
        """Return entries around a point."""
        entries = gazetteer().nearest(float(latitude), float(longitude), radius_km)
        return [Near(_details(entry), tenth(km)) for entry, km in entries]


def _details(entry: GazetteerEntry) -> Details:
    return Details(
        provider=Bundled.name,
        provider_id=entry.id,
        type=entry.type,
        name=entry.name,
        state=entry.state,
        district=entry.district,
        pincode=entry.pincode,
        latitude=entry.latitude,
        longitude=entry.longitude,
        unlocode=entry.unlocode,
        customs_code=entry.customs_code,
    )
