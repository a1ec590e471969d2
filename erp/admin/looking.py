"""Read-only pages of a model: lists, details, history. The reading half of ``ServiceAdmin``."""

from collections.abc import Mapping, Sequence
from copy import copy
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any, ClassVar, Final, NamedTuple, NoReturn

from django.contrib.admin import ShowFacets, SimpleListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import quote, unquote
from django.contrib.admin.views.main import ORDER_VAR, PAGE_VAR
from django.core.exceptions import ImproperlyConfigured, PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse, QueryDict
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from unfold.admin import ModelAdmin
from unfold.views import ChangeList

from erp import access
from erp.access import Capability
from erp.admin import claims, clear_reads, exports, history, partner_view, queries, related, saving_views
from erp.admin.display import Table, columns_of
from erp.admin.previews import Preview
from erp.admin.queues import Queue
from erp.api.serializers import Input
from erp.errors import CapabilityMissing, Malformed
from erp.services import Service
from erp.text import name_key

NEIGHBOURS: Final = 1_000  # rows of a list among which a row has neighbours
COUNTED: Final = 10_000  # beyond this a list says no exact number


class CappedPaginator(Paginator):  # type: ignore[type-arg]
    """Pages over the first ``COUNTED`` rows, so that a list's cost doesn't grow; filters reach the rest."""

    @cached_property
    def count(self) -> int:
        """Rows, at most ``COUNTED``."""
        rows: Any = self.object_list
        return int(rows.order_by()[:COUNTED].count())


class Changes(ChangeList):  # type: ignore[misc]
    """A list that counts once and shows "show all" only if it is filtered."""

    def get_results(self, request: HttpRequest) -> None:
        if getattr(request, "wants_keys", False):  # of neighbours: neither a page nor a count is drawn
            self.result_count = self.full_result_count = 0
            return
        super().get_results(request)
        if not self.query and not self.has_active_filters:
            self.full_result_count = self.result_count
        if self.model_admin.queues:
            claims.attach(self.result_list)

    def get_filters(self, request: HttpRequest) -> Any:
        found = super().get_filters(request)
        for spec in found[0]:
            if isinstance(spec, SimpleListFilter) and spec.value() not in {
                None,
                *(str(value) for value, _ in spec.lookup_choices),
            }:
                raise IncorrectLookupParameters
        return found

    def get_ordering(self, request: HttpRequest, queryset: Any) -> Any:
        queries.check_order(self.params.get(ORDER_VAR, ""), len(self.list_display))
        return super().get_ordering(request, queryset)


BUTTONS: Final = 2  # of a row; the others are in its menu


class Verb(NamedTuple):
    """A service offered on a row: its URL, and why this person cannot run it."""

    name: str
    label: str
    url: str
    disabled_reason: str = ""


class ReadOnlyAdmin(ModelAdmin):  # type: ignore[misc]
    """Lists and pages of rows, and the permissions that they require.

    ``views`` is the capability to view rows, or several of which one is sufficient; ``creates`` and ``updates`` are the
    services behind the forms, ``runs`` those that act on one row, ``bulk`` those among them that may also run on
    several rows of a list; ``starts`` are services without a target row, such as an import, which the list
    offers. ``inputs`` names the input of a service where it isn't that of its endpoint. ``details`` are the read-only
    fields of a row's page (else all but those of its form). ``queues`` stand on the home page. ``drill_downs`` are
    lookups of the list that links of other pages use, beside relations and those of ``list_filter`` and
    ``date_hierarchy``.
    ``codes`` are fields in which the code of a row is typed: name → model, whose codes the form suggests.
    ``panel`` are those of ``runs`` whose forms stand beside the row, in one place, instead of pages of their own.
    ``empty`` says how rows come about where the list has no "Add" button.
    """

    views: ClassVar[Capability | tuple[Capability, ...]]
    creates: ClassVar[Service | None] = None
    updates: ClassVar[Service | None] = None
    runs: ClassVar[Sequence[Service]] = ()
    bulk: ClassVar[Sequence[Service]] = ()
    starts: ClassVar[Sequence[Service]] = ()
    panel: ClassVar[Sequence[Service]] = ()
    inputs: ClassVar[Mapping[Service, type[Input]]] = {}
    details: ClassVar[Sequence[Any]] = ()
    hidden: ClassVar[Sequence[str]] = ("id", "password")
    queues: ClassVar[Sequence[Queue]] = ()
    drill_downs: ClassVar[Sequence[str]] = ()
    empty: ClassVar[str] = ""
    codes: ClassVar[Mapping[str, type[Any]]] = {}

    empty_value_display = "–"
    list_per_page = 50
    list_max_show_all = 50
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    paginator = CappedPaginator
    list_filter_sheet = True
    compressed_fields = True
    warn_unsaved_form = True
    actions = None
    change_form_template = "admin/service/form.html"
    change_list_template = "admin/service/list.html"

    def __init__(self, *args: Any) -> None:
        """Raises ImproperlyConfigured if the page would write without a service or has no `views`."""
        super().__init__(*args)
        name = type(self).__name__
        if not hasattr(self, "views"):
            raise ImproperlyConfigured(f"{name} needs `views`, the capability to view rows")
        if self.list_editable or self.inlines or self.actions:
            raise ImproperlyConfigured(
                f"{name}: lists, inlines and actions change rows through services only"
            )
        targeted = [*([self.updates] if self.updates else []), *self.runs, *self.bulk]
        for service in [*([self.creates] if self.creates else []), *self.starts, *targeted]:
            if not isinstance(service, Service) or service.requires is None:
                raise ImproperlyConfigured(f"{name}: {service!r} is not a service with a capability")
            if (service.target is None) == (service in targeted):
                raise ImproperlyConfigured(f"{name}: {service.name} does not fit this list of services")
        if not {*self.bulk, *self.panel} <= set(self.runs):
            raise ImproperlyConfigured(f"{name}: what runs on a list or in the panel also runs on a row")

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the rows that the person may see; of technical rows without owners, all."""
        rows = super().get_queryset(request)
        if not hasattr(rows, "visible_to"):
            rows = rows if self._sees_every_row(request) else rows.none()
        else:
            rows = rows.visible_to(request.user)
            if not self._sees_every_row(request):
                permitted = hasattr(rows, "permitted")  # technical rows have no owners
                rows = (
                    reduce(or_, (rows.permitted(request.user, each) for each in self._views))
                    if permitted
                    else rows.none()
                )
        return rows

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """The row with all that its page and form name, in one query."""
        field = self.opts.pk if from_field is None else self.opts.get_field(from_field)
        try:
            value = field.to_python(object_id)
        except (ValidationError, ValueError):
            return None
        relations = [each.name for each in self.opts.concrete_fields if each.is_relation]
        rows = self.get_queryset(request).filter(**{field.name: value})
        return (rows.select_related(*relations) if relations else rows).first()

    @property
    def _views(self) -> tuple[Capability, ...]:
        return self.views if isinstance(self.views, tuple) else (self.views,)

    def _sees_every_row(self, request: HttpRequest) -> bool:
        return any(access.holds_everywhere(access.actor_of(request), each) for each in self._views)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if partner_view.is_active(request) and partner_view.viewset_of(self.model) is None:
            return False
        if obj is None:
            return any(access.may_enter(access.actor_of(request), each) for each in self._views)
        return any(access.may(access.actor_of(request), each, obj) for each in self._views)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self._may(request, self.creates)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, self.updates, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: rows are withdrawn, suspended or archived, never deleted."""
        return False

    @property
    def empty_text(self) -> str:
        """What an empty list says to a person who cannot add a row there."""
        if self.empty:
            return self.empty
        if self.creates is not None:
            return "You do not have the permission to add one. Ask an administrator."
        return "The system records them; nothing has been recorded so far."

    def _may(self, request: HttpRequest, service: Service | None, row: Any = None) -> bool:
        if service is None:
            return False
        capability = service.requires or ""
        if row is not None:
            return access.may(access.actor_of(request), capability, row)
        return (access.may_enter if service.target or service.within else access.may_create)(
            access.actor_of(request), capability
        )

    def _reauthentication_needed(
        self, request: HttpRequest, service: Service | None, row: Any = None
    ) -> HttpResponse | None:
        """Redirect to the page that confirms the identity, if the service requires it and it was not done recently."""
        if (
            service is None
            or not service.asks_reauthentication(row)
            or self.admin_site.is_reauthenticated(request)
        ):
            return None
        return HttpResponseRedirect(self.admin_site.reauthentication_url(request))

    def disabled_reason(self, request: HttpRequest, service: Service, row: Any) -> str:
        """Return why this person cannot run a service on the row despite the capability; empty if they can."""
        return ""

    def options(self, request: HttpRequest, service: Service, row: Any) -> dict[str, list[tuple[str, str]]]:
        """Choices in place of a control: name → (value, label); ``lines.lot_id`` is a control in rows."""
        return {}

    def initial_values(self, request: HttpRequest, service: Service, row: Any) -> dict[str, Any]:
        """What the form of a service starts with: name → value, of rows a list of such."""
        return {}

    def fixed_values(self, request: HttpRequest, service: Service) -> dict[str, Any]:
        """Values that the form of a service doesn't ask for: name → value, or None for none."""
        return {}

    def tables(self, request: HttpRequest, row: Any) -> list[Table]:
        """Tables that the row's page shows below, beside those of rows that refer to it (``related``)."""
        return []

    def previews(self, request: HttpRequest, row: Any) -> list[Preview]:
        """Files that the row's page shows beside the declared data."""
        return []

    def get_details(self, request: HttpRequest, row: Any) -> list[Any]:
        """What the row's page shows beside its form: names of fields, or functions of the row."""
        return list(self.details) or [f.name for f in self.opts.concrete_fields if f.name not in self.hidden]

    def verbs(self, request: HttpRequest, row: Any) -> list[Verb]:
        """Return the services that the row's status allows, each with the reason if a permission is missing."""
        if self.admin_site.reads_only(request):
            return []
        open_verbs = row.open_verbs() if hasattr(row, "open_verbs") else frozenset()
        found = []
        for service in self.runs:
            if service.__name__ not in open_verbs:
                continue
            if self._may(request, service, row):
                disabled_reason = self.disabled_reason(request, service, row)
            else:
                disabled_reason = CapabilityMissing(str(service.requires)).detail
            url = self._url("run", row.pk, verb=service.__name__)
            found.append(Verb(service.__name__, service.label, url, disabled_reason))
        return found

    def _open_update(self, request: HttpRequest, row: Any) -> Service | None:
        """Return the service behind the row's form, if status and permissions allow it."""
        open_verbs = row.open_verbs() if hasattr(row, "open_verbs") else frozenset()
        if self.updates is None or self.admin_site.reads_only(request) or "update" not in open_verbs:
            return None
        return self.updates if self._may(request, self.updates, row) else None

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The row's changes, of one person or field if asked, and its events with what became of each."""
        if partner_view.is_active(request):
            raise PermissionDenied("A partner has no such page.")
        row = self._row(request, object_id)
        names = self._shown_names(request, row)
        people, fields = history.filters_of(row, names)
        by, field = (
            value if value in dict(known) else ""
            for value, known in ((request.GET.get("by", ""), people), (request.GET.get("field", ""), fields))
        )
        at = _moment(request.GET.get("at", ""))
        context = {
            **self.admin_site.each_context(request),
            "title": "History",
            "opts": self.opts,
            "original": row,
            "changes": history.changes(row, names, by=by, field=field),
            "people": people,
            "fields": fields,
            "by": by,
            "field": field,
            "lines": history.of(row.pk)[::-1],
            "tables": [
                table
                for find in (*history.further, clear_reads.table)
                if (table := find(request, row)) is not None
            ],
            "at": at,
            "as_of": at and history.as_of(row, names, at),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/service/history.html", context)

    def _shown_names(self, request: HttpRequest, row: Any) -> set[str]:
        """Names of the fields that the row's page shows."""
        return {getattr(each, "__name__", each) for each in self.get_details(request, row)}

    def _shut(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse Django's own write views: rows change in services only."""
        raise PermissionDenied

    save_model = save_related = save_formset = delete_model = delete_queryset = _shut
    save_form = _shut

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Do nothing: events and audit trail record changes, not Django's log."""

    log_change = log_addition

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        """Nothing."""

    def get_urls(self) -> list[URLPattern]:
        name, guard = f"{self.opts.app_label}_{self.opts.model_name}", self.admin_site.admin_view
        return [
            path("choose/", guard(self.choose_view), name=f"{name}_choose"),
            path("export.csv", guard(self.export_view), name=f"{name}_export"),
            path("views/", guard(self.views_view), name=f"{name}_views"),
            path("<path:object_id>/claim/", guard(self.claim_view), name=f"{name}_claim"),
            *super().get_urls(),
        ]

    def _url(self, name: str, pk: Any = None, *, verb: str = "") -> str:
        full = f"admin:{self.opts.app_label}_{self.opts.model_name}_{name}"
        parts = [*([] if pk is None else [quote(pk)]), *([verb] if verb else [])]
        return reverse(full, args=parts, current_app=self.admin_site.name)

    def _row(self, request: HttpRequest, object_id: str) -> Any:
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        return row

    def listed_columns(self) -> list[Any]:
        """The columns of the list, without actions."""
        return columns_of(self.model, self.list_display)

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        columns = self.listed_columns()
        if not self.runs or self.admin_site.reads_only(request):
            return columns

        def actions(row: Any) -> str:
            # What is decided in the panel is decided with the record in view.
            in_panel = {service.__name__ for service in self.panel}
            buttons = [_button(verb) for verb in self.verbs(request, row) if verb.name not in in_panel]
            if claimed_by := getattr(row, "claimed_by", ""):
                buttons.append(format_html('<small class="erp-quiet">{} works on it</small>', claimed_by))
            if len(buttons) > BUTTONS + 1:  # the menu would take the place of a single button
                buttons[BUTTONS:] = [_menu(buttons[BUTTONS:])]
            return format_html_join(" ", "{}", ((button,) for button in buttons))

        actions.short_description = ""  # type: ignore[attr-defined]
        return [*columns, actions]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return Changes

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        if partner_view.is_active(request) and self.has_view_permission(request):
            return partner_view.list_page(self, request)
        shut = self.admin_site.reads_only(request)
        starts = [
            Verb(service.__name__, service.label, self._url("start", verb=service.__name__))
            for service in self.starts
            if not shut and self._may(request, service)
        ]
        file = self._url("export") + (f"?{query}" if (query := request.GET.urlencode()) else "")
        views = {} if shut else saving_views.context(self, request)
        context = {"starts": starts, "file": file, **views, **(extra_context or {})}
        return super().changelist_view(request, context)

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """Return the list for the query string. Raises Malformed for undeclared or invalid parameters."""
        self.check_query(request)
        try:
            return super().get_changelist_instance(request)
        except IncorrectLookupParameters:
            raise Malformed("The list has no such page, or the value of a filter cannot be used.") from None

    def check_query(self, request: HttpRequest) -> None:
        """Raise Malformed for undeclared or invalid parameters in the query string."""
        queries.check_list(request.GET, self._lookups(request))

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Allow only declared lookups: otherwise a viewer of the list could infer any column of its rows."""
        return lookup in self._lookups(request)

    def _lookups(self, request: HttpRequest | None) -> dict[str, queries.Check]:
        list_filter = self.list_filter if request is None else self.get_list_filter(request)
        of_queues = [name for queue in self.queues for name in queue.filters]
        drill_downs = [*self.drill_downs, *related.drill_downs(self.model), *of_queues]
        return queries.lookups_of(self.model, list_filter, self.date_hierarchy, drill_downs)

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Return the rows that match the term; columns of keys are searched by the term's key."""
        if any("search_key" in path for path in self.search_fields):
            search_term = name_key(search_term)
        found: tuple[Any, bool] = super().get_search_results(request, queryset, search_term)
        return found

    def export_view(self, request: HttpRequest) -> HttpResponse:
        """The list as CSV."""
        if not self.has_view_permission(request) or partner_view.is_active(request):
            raise PermissionDenied
        return exports.export(self, request)

    def views_view(self, request: HttpRequest) -> HttpResponse:
        """Save the list's search, filters and order under a name, or remove a saved view."""
        if (
            request.method != "POST"
            or not self.has_view_permission(request)
            or self.admin_site.reads_only(request)
        ):
            raise PermissionDenied
        return saving_views.act(self, request)

    def claim_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Claim a row of a queue, or release it."""
        if not self.queues or not self.has_view_permission(request):
            raise PermissionDenied
        return claims.act(self, request, self._row(request, object_id))

    def neighbours(self, request: HttpRequest, row: Any) -> dict[str, str]:
        """URLs of the rows before and after in the list from which the page was opened, else in its first queue."""
        if not self.queues or partner_view.is_active(request):
            return {}
        filters = request.GET.get("_changelist_filters", "")
        of_list: Any = copy(request)
        of_list.GET = QueryDict(filters or urlencode(self.queues[0].filters), mutable=True)
        of_list.GET.pop(PAGE_VAR, None)  # the list may have fewer pages by now
        of_list.wants_keys = True
        rows = self.get_changelist_instance(of_list).queryset
        keys = list(rows.values_list("pk", flat=True)[:NEIGHBOURS])
        if row.pk not in keys:
            return {"following": self._url("change", keys[0])} if keys and not filters else {}
        place = keys.index(row.pk)
        found = {"previous": keys[place - 1 : place], "following": keys[place + 1 : place + 2]}
        query = f"?{urlencode({'_changelist_filters': filters})}" if filters else ""
        return {name: self._url("change", near[0]) + query for name, near in found.items() if near}

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        """The page's filters, and that by claim where rows wait in a queue."""
        return [*super().get_list_filter(request), *([claims.ClaimFilter] if self.queues else [])]

    def choose_view(self, request: HttpRequest) -> HttpResponse:
        """Rows for a search field of another page: matches of the term, twenty at a time."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        term = queries.check_search(request.GET.get("term", ""))
        number = queries.check_page(request.GET.get("page", "1"))
        rows, _ = self.get_search_results(request, self.get_queryset(request), term)
        page = self.get_paginator(request, rows.order_by(*self.get_ordering(request), "pk"), 20).get_page(
            number
        )
        results = [{"id": str(row.pk), "text": str(row)} for row in page]
        return JsonResponse({"results": results, "pagination": {"more": page.has_next()}})


def _moment(text: str) -> datetime | None:
    """The time that a query string names. Raises Malformed."""
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Malformed("The time must be a date with a time, such as 2026-11-30T14:05.") from None
    return at if at.tzinfo else timezone.make_aware(at)


def _menu(buttons: list[str]) -> str:
    items = format_html_join("", "<li>{}</li>", ((button,) for button in buttons))
    return format_html(
        '<details class="erp-menu"><summary class="erp-verb">More</summary><ul>{}</ul></details>', items
    )


def _button(verb: Verb) -> str:
    if verb.disabled_reason:
        return format_html(
            '<span class="erp-verb erp-shut" tabindex="0" aria-disabled="true" data-reason="{}">{}</span>',
            verb.disabled_reason,
            verb.label,
        )
    return format_html('<a class="erp-verb" href="{}">{}</a>', verb.url, verb.label)
