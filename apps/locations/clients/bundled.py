"""The bundled gazetteer as a provider: it always answers, and only of India."""

from decimal import Decimal
from typing import ClassVar

from apps.locations.clients.questions import Near, Question
from apps.locations.details import Details
from apps.locations.earth import tenth
from apps.locations.gazetteer import Entry, gazetteer


class Bundled:
    """Places from the files that the product brings along."""

    name: ClassVar[str] = "gazetteer"

    def search(self, question: Question) -> list[Details]:
        """Names that begin as asked, then those that resemble."""
        if question.country != "IN":
            return []
        near = question.near
        found = gazetteer().search(
            question.query,
            types=question.types,
            state=question.state,
            near=None if near is None else (float(near[0]), float(near[1])),
            limit=question.limit,
        )
        return [_details(entry) for entry in found]

    def details(self, provider_id: str, session_token: str = "") -> Details | None:
        """The entry with that id."""
        entry = gazetteer().details(provider_id)
        return None if entry is None else _details(entry)

    def reverse(self, latitude: Decimal, longitude: Decimal, radius_km: int) -> list[Near]:
        """Entries around a point."""
        found = gazetteer().nearest(float(latitude), float(longitude), radius_km)
        return [Near(_details(entry), tenth(km)) for entry, km in found]


def _details(entry: Entry) -> Details:
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
