"""Pictures of an offer: others see copies that tell nothing of camera, place or time, once staff cleared them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from apps.availability import capabilities, events
from apps.availability.models import Availability, Media
from apps.availability.services import rules
from apps.availability.services.rules import head
from erp.access import Actor
from erp.files import JPEG, PNG, Upload
from erp.services import emit, service
from erp.uploads import services as uploads

PURPOSE: Final = "availability.media"
_USED_BY: Final = "availability.media"


def write_media(offer: Availability, submitted: Sequence[Mapping[str, Any]], actor: Actor) -> bool:
    """Let the offer have these pictures, in this order; return whether anything changed. Raises MediaInvalid."""
    stored = {media.pk: media for media in offer.media.all()}
    rows = []
    for place, values in enumerate(submitted):
        upload, key = values.get("upload"), values.get("id")
        media = stored.pop(key, None) if key is not None else None
        if (upload is None) == (media is None):
            words = "Name either a new upload or a picture of this offer."
            raise rules.MediaInvalid.at(f"/media/{place}", "unknown", words)
        if media is None:
            assert upload is not None
            if upload.media_type not in (JPEG, PNG):
                raise rules.MediaInvalid.at(f"/media/{place}/upload_id", "not_a_picture", "Send JPEG or PNG.")
            file = uploads.use(upload, actor=actor, purpose=PURPOSE, used_by=_USED_BY)
            media = Media(availability=offer, file=file)
        caption = values.get("caption") or ""
        if caption != media.caption:
            media.caption, media.cleared = caption, False  # others read it
        media.position = place + 1
        rows.append(media)
    changed = bool(stored) or any(media.is_new or media.changed_fields() for media in rows)
    for media in rows:
        media.save()
    for media in stored.values():
        erase(media, actor)
    return changed


def erase(media: Media, actor: Actor) -> None:
    """Delete a picture with its copy."""
    files = [file for file in (media.file, media.copy) if file is not None]
    media.delete()
    for file in files:
        uploads.erase(file, actor=actor)


@service(
    requires=capabilities.APPROVE,
    emits=[events.AvailabilityMediaPrepared],
    lock_via="availability",
    label="Store the copy of a picture",
)
def store_copy(media: Media, *, actor: Actor, content: bytes | None) -> Media:
    """Store the copy that others see; without content the picture couldn't be read, and is shown to nobody."""
    if media.copy is None and not media.is_refused:
        if content is None:
            media.is_refused = True
        else:
            file = Upload("photo.jpg", JPEG, content)
            media.copy = uploads.create(actor=actor, file=file, purpose=PURPOSE, used_by=_USED_BY)
        media.save()
        emit(
            events.AvailabilityMediaPrepared(
                **head(media.availability), media_id=media.pk, readable=not media.is_refused
            )
        )
    return media


@service(
    requires=capabilities.APPROVE,
    emits=[events.AvailabilityMediaCleared],
    lock_via="availability",
    label="Clear picture",
)
def clear_media(media: Media, *, actor: Actor) -> Media:
    """Let matched buyers see a picture: it and its caption name nobody."""
    if not media.cleared:
        media.cleared = True
        media.save()
        emit(events.AvailabilityMediaCleared(**head(media.availability), media_id=media.pk))
    return media
