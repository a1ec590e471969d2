"""The form of a row's page: built from a service's input, saved by the service, once per key."""

from contextlib import suppress
from functools import cache, partial, wraps
from typing import Any, Final, NamedTuple

from django import forms as django_forms
from django.apps import apps
from django.conf import settings
from django.contrib.admin.utils import label_for_field
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.html import format_html
from unfold.forms import AdminForm

from erp.access import actor_of
from erp.admin import acts, claims, clear_reads, forms, history, partner_view, related
from erp.admin.display import drawn
from erp.admin.looking import ReadOnlyAdmin, Verb
from erp.api.serializers import Input
from erp.errors import DomainError, InProgress, PreconditionFailed
from erp.labels import outcome_of
from erp.services import Refusal, Service

MOST_CHANGES: Final = 10  # shown on a stale page
MOST_CODES: Final = 200  # suggested for one field


class PanelForm(NamedTuple):
    """A service in the panel beside a row, with its form; None where the person confirms the identity first."""

    verb: Verb
    description: str
    key: str
    form: forms.ServiceForm | None


class SavingAdmin(ReadOnlyAdmin):
    """Add and change rows through services."""

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """A row's page and its form; a POST runs the service behind it once."""
        if partner_view.is_active(request) and object_id is not None:
            return partner_view.row_page(self, request, object_id)
        service = self.creates if object_id is None else self.updates
        writes = request.method == "POST"
        if (writes or object_id is None) and not self._may(request, service):
            raise PermissionDenied
        row = None if object_id is None else self._row(request, object_id)
        if (writes or row is None) and (
            shut := self._reauthentication_needed(request, service, row)
        ) is not None:
            return shut
        if not writes:
            return self._form_page(request, row)
        if service is None or not self._may(request, service, row):
            raise PermissionDenied
        form = self._form(request, service, row, data=True)
        try:
            version = self._version_shown(request, row)
            done = acts.carry_out(
                request,
                route=self._route(service),
                parameters=() if row is None else (("pk", str(row.pk)),),
                run=lambda: self._run(request, service, form, row, version),
            )
        except DomainError as error:
            row = None if object_id is None else self._row(request, object_id)
            return self._form_page(request, row, form, error)
        acts.announce(request, done)
        again = "_addanother" in request.POST and row is None
        return HttpResponseRedirect(self._url("add") if again else done.outcome.location)

    def _form(
        self, request: HttpRequest, service: Service, row: Any, *, data: bool = False
    ) -> forms.ServiceForm:
        input = self._input(service)(context={"actor": request.user, "request": request, "target": row})
        slots = forms.slots_of(input, service)
        initial = forms.initial_for(service, slots)
        initial |= forms.typed_values(slots, self.initial_values(request, service, row))
        if service is self.updates:
            initial |= forms.initial_of(row, slots)
        known = {model: cache(partial(_codes_of, model, request)) for model in self.codes.values()}
        asked = {slot.name: request.GET[slot.name] for slot in slots if slot.name in request.GET}
        return forms.ServiceForm(
            input,
            slots,
            data=request.POST if data else None,
            files=request.FILES if data else None,
            initial=initial | asked,
            row=row,
            model=self.model,
            choose=self._search_address,
            options=self.options(request, service, row),
            fixed=self.fixed_values(request, service),
            codes={name: known[model] for name, model in self.codes.items()},
        )

    def _input(self, service: Service) -> type[Input]:
        return self.inputs.get(service) or forms.input_of(service)

    def _search_address(self, model: type[models.Model]) -> str:
        admin = self.admin_site._registry.get(model)
        if not isinstance(admin, SavingAdmin) or not admin.search_fields:
            return ""
        return admin._url("choose")

    def _route(self, service: Service) -> str:
        return f"admin/{self.opts.label_lower}/{service.name}"

    def _run(
        self, request: HttpRequest, service: Service, form: forms.ServiceForm, row: Any, version: int | None
    ) -> acts.Outcome | Refusal:
        keywords = form.keywords()
        arguments = () if row is None else (row,)
        result = service(*arguments, actor=actor_of(request), if_version=version, **keywords)
        if isinstance(result, Refusal):
            return result
        if isinstance(result, self.model):
            row = result
        noun = str(self.opts.verbose_name)
        if row is None:
            page = self.admin_site._registry.get(type(result))
            is_ours = isinstance(page, SavingAdmin)
            location = page._url("change", result.pk) if is_ours else self._url("changelist")
            return acts.Outcome(outcome_of(service.__name__, noun, ""), location)
        return acts.Outcome(
            outcome_of(service.__name__, noun, str(row)), self._url("change", row.pk), str(row)
        )

    def _form_page(
        self,
        request: HttpRequest,
        row: Any,
        form: forms.ServiceForm | None = None,
        error: DomainError | None = None,
    ) -> HttpResponse:
        if isinstance(error, InProgress):
            return self._busy_page(request, error)
        service = self.creates if row is None else self._open_update(request, row)
        if form is None and service is not None:
            form = self._form(request, service, row)
        if form is not None and error is not None:
            form.add_problem(error)
        drawn = form or _Empty(self.model, row)
        names = [slot.name for slot in form.slots] if form is not None else []
        in_form = {slot.field.source.rpartition(".")[2] for slot in form.slots} if form is not None else set()
        details = [] if row is None else [d for d in self.get_details(request, row) if d not in in_form]
        details = [self._asked_once(self._linked(request, name)) for name in details]
        fieldsets: list[Any] = [(None, {"fields": names})] if names else []
        if row is not None and details:
            fieldsets.append(("Details" if names else None, {"fields": details}))
        panel = [] if row is None else self._panel(request, row)
        in_panel = {each.verb.name for each in panel}
        verbs = [] if row is None else self.verbs(request, row)
        stale = isinstance(error, PreconditionFailed) and form is not None and row is not None
        context = {
            **self.admin_site.each_context(request),
            "title": f"Add {self.opts.verbose_name}" if row is None else str(row),
            "subtitle": None,
            "adminform": AdminForm(drawn, fieldsets, {}, details, model_admin=self),
            "object_id": None if row is None else str(row.pk),
            "original": row,
            "errors": drawn.errors,
            "media": sum((each.form.media for each in panel if each.form), self.media + drawn.media),
            "inline_admin_formsets": [],
            "is_popup": False,
            "to_field": None,
            "show_save": form is not None,
            "show_save_and_continue": False,
            "show_save_and_add_another": row is None and form is not None,
            "show_close": row is not None,
            "key": acts.new_key(),
            "version": self._version_to_send(request, row, error),
            "service": service,
            "verbs": [verb for verb in verbs if verb.name not in in_panel],
            "panel": panel,
            "previews": [] if row is None else self.previews(request, row),
            **({} if row is None or not self.queues else claims.context(self, request, row)),
            **({} if row is None else self.neighbours(request, row)),
            "tables": []
            if row is None
            else [*self.tables(request, row), *related.tables(self, request, row)],
            "differences": form.differences(row) if form is not None and stale else [],
            "changes": self._changes_since(request, row) if stale else [],
        }
        response = self.render_change_form(
            request, context, add=row is None, change=row is not None, obj=row, form_url=""
        )
        if isinstance(response, TemplateResponse):
            response.add_post_render_callback(lambda drawn: clear_reads.record(request))
        return as_answer(response, error)

    def _linked(self, request: HttpRequest, name: Any) -> Any:
        """A column of the id of another module's row, as that row's name and a link to its page."""
        model = settings.PORTAL_REFERENCES.get(name) if isinstance(name, str) else None
        page = model and self.admin_site._registry.get(apps.get_model(model))
        if not page or not page.has_view_permission(request):
            return name

        def draw(row: Any) -> Any:
            key = getattr(row, name)
            other = None if key is None else page.get_queryset(request).filter(pk=key).first()
            return (
                key if other is None else format_html('<a href="{}">{}</a>', page._url("change", key), other)
            )

        return drawn(name, label_for_field(name, self.model, self), draw)

    def _asked_once(self, name: Any) -> Any:
        """A column of this page that remembers its value: Unfold asks for each several times while it draws a page."""
        column = getattr(self, name, None) if isinstance(name, str) else name
        if not callable(column):
            return name
        remembered: list[Any] = []

        @wraps(column)
        def value(row: Any) -> Any:
            if not remembered:
                remembered.append(column(row))
            return remembered[0]

        return value

    def _panel(self, request: HttpRequest, row: Any) -> list[PanelForm]:
        """The forms beside a row, for the services that its status allows."""
        services = {service.__name__: service for service in self.panel}
        panel = []
        for verb in self.verbs(request, row):
            if (service := services.get(verb.name)) is None:
                continue
            form = None
            if not verb.disabled_reason and self._reauthentication_needed(request, service, row) is None:
                form = self._form(request, service, row)
                form.auto_id = f"{verb.name}_%s"
            panel.append(PanelForm(verb, service.description, acts.new_key(), form))
        return panel

    def _version_shown(self, request: HttpRequest, row: Any) -> int | None:
        """The version that the page showed. Raises a domain error where it is missing or malformed."""
        return acts.version_of(request.POST.get(acts.VERSION)) if hasattr(row, "version") else None

    def _changes_since(self, request: HttpRequest, row: Any) -> list[history.HistoryLine]:
        """The newest events of the row: about as many as its version rose since the page was drawn."""
        with suppress(DomainError):
            rose = row.version - (self._version_shown(request, row) or 0)
            return history.of(row.pk)[-min(max(rose, 1), MOST_CHANGES) :]
        return []

    def _version_to_send(self, request: HttpRequest, row: Any, error: DomainError | None) -> Any:
        """Return the row's version; after an error the one that the page showed, to protect unseen changes."""
        if row is None:
            return ""
        if error is not None and not isinstance(error, PreconditionFailed):
            with suppress(DomainError):
                return self._version_shown(request, row)
        return getattr(row, "version", "")

    def _busy_page(self, request: HttpRequest, error: DomainError) -> HttpResponse:
        """Return a page that waits while the same action is running and then reloads."""
        context = {
            **self.admin_site.each_context(request),
            "title": "Being done",
            "opts": self.opts,
            "parts": [(name, value) for name, values in request.POST.lists() for value in values],
        }
        return as_answer(TemplateResponse(request, "admin/service/busy.html", context), error)


def _codes_of(model: Any, request: HttpRequest) -> list[tuple[str, str]]:
    """Codes of the rows that the person may see, with their names."""
    rows = model._default_manager.all().visible_to(request.user)
    names = [field.name for field in model._meta.fields if field.name in ("name", "description")]
    lines = rows.order_by("code").values_list("code", *names[:1]).distinct()[:MOST_CODES]
    return [(line[0], line[-1]) for line in lines]


class _Empty(django_forms.Form):
    """A page without controls."""

    def __init__(self, model: type[models.Model], row: Any) -> None:
        super().__init__(label_suffix="")
        self.instance = row
        self._meta = forms.read_only_meta(model)


def as_answer(response: Any, error: DomainError | None) -> HttpResponse:
    if error is not None:
        response.status_code = error.status
        if "Retry-After" in error.headers:
            response["Retry-After"] = error.headers["Retry-After"]
    answer: HttpResponse = response
    return answer
