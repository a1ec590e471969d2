"""Saving and removing one's own views of lists."""

from typing import Final

from erp.access import Actor
from erp.errors import Conflict, FieldError, Invalid
from erp.saved_views.models import SavedView
from erp.services import service

OWN: Final = "a person's own views; what they show is checked when they are opened"
ROWS: Final = "bookmarks of one person, no business rows"
MOST: Final = 20  # of a person in one list


class TooManyViews(Conflict):
    """You have saved as many views of this list as there can be."""

    code = "saved_view.too_many"


@service(public=OWN, machinery=ROWS, raises=[TooManyViews])
def save_view(*, actor: Actor, list: str, name: str, query: str) -> SavedView:
    """Save a view of a list. One of the same name is replaced."""
    name = " ".join(name.split())
    if not 1 <= len(name) <= 60:
        raise Invalid(errors=[FieldError("/name", "length", "Enter a name of 1 to 60 characters.")])
    if len(query) > 1000:
        raise Invalid(
            errors=[FieldError("/query", "too_long", "The search and filters are too long to save.")]
        )
    mine = SavedView.objects.filter(owner_id=actor.pk, list=list)
    view = mine.filter(name=name).first() or SavedView(owner_id=actor.pk, list=list, name=name)
    if view._state.adding and mine.count() >= MOST:
        raise TooManyViews(f"Remove one of your {MOST} views first.")
    view.query = query
    view.save()
    return view


@service(public=OWN, machinery=ROWS)
def remove_view(*, actor: Actor, list: str, name: str) -> None:
    """Remove one of one's own views of a list."""
    SavedView.objects.filter(owner_id=actor.pk, list=list, name=name).delete()
