"""Saved views on the page of a list: links to one's own, and forms that save and remove them."""

from typing import Any, Final

from django.contrib import messages
from django.contrib.admin.views.main import PAGE_VAR
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict

from erp.access import actor_of
from erp.admin import acts, queries
from erp.errors import DomainError
from erp.saved_views import services
from erp.saved_views.models import SavedView

_REMOVE: Final = "remove"


def context(page: Any, request: HttpRequest) -> dict[str, Any]:
    """The person's views of the list, and what the form saves: the query string without the page."""
    query = request.GET.copy()
    query.pop(PAGE_VAR, None)
    views = list(SavedView.objects.filter(owner_id=request.user.pk, list=page.opts.label).order_by("name"))
    return {
        "saved_views": views,
        "is_saved": any(view.query == query.urlencode() for view in views),
        "views_url": page._url("views"),
        "views_key": acts.new_key(),
        "query": query.urlencode(),
    }


def act(page: Any, request: HttpRequest) -> HttpResponse:
    """Save or remove a view, once per key; back to the list. Raises Malformed for a query that the list refuses."""
    name, query = request.POST.get("name", ""), request.POST.get("query", "")
    queries.check_list(QueryDict(query), page._lookups(request))
    back = f"{page._url('changelist')}?{query}"
    removes = _REMOVE in request.POST

    def run() -> acts.Outcome:
        keywords = {"actor": actor_of(request), "list": page.opts.label, "name": name}
        if removes:
            services.remove_view(**keywords)
        else:
            services.save_view(**keywords, query=query)
        return acts.Outcome(f"View {name} was {'removed' if removes else 'saved'}.", back)

    try:
        done = acts.carry_out(request, route=f"admin/{page.opts.label_lower}/views", run=run)
    except DomainError as error:
        messages.error(
            request, " ".join([fault.detail for fault in error.errors] or [error.title, error.detail])
        )
        return HttpResponseRedirect(back)
    acts.announce(request, done)
    return HttpResponseRedirect(back)
