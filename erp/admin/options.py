"""``ServiceAdmin``: the pages of a model and the services that staff may run on it.

Read-only until given services. Saving, actions and confirm pages call services only; nothing here writes a
row, so capability, rules, event, history and key are enforced as in the API.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.text import capfirst
from unfold.forms import AdminForm

from erp.access import actor_of
from erp.admin import acts, forms, history
from erp.admin.display import shown
from erp.admin.saving import SavingAdmin, as_answer
from erp.errors import DomainError, InProgress, Malformed
from erp.services import Refusal, Service, dry_run

MOST_AT_ONCE: Final = 200  # rows of one run from a list
PREVIEW: Final = "_preview"  # the button that shows the effect


class ResultLine(NamedTuple):
    """The result for one row of a run."""

    row: str
    url: str
    text: str
    done: bool
    again: bool = False


class ServiceAdmin(SavingAdmin):
    """Base of every admin page; see ``ReadOnlyAdmin`` for what a page declares."""

    confirm_template = "admin/service/confirm.html"

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        one, many = self.admin_site.admin_view(self.run_view), self.admin_site.admin_view(self.run_many_view)
        start = self.admin_site.admin_view(self.start_view)
        return [
            path("start/<slug:verb>/", start, name=f"{name}_start"),
            path("run/<slug:verb>/", many, name=f"{name}_run_many"),
            path("<path:object_id>/run/<slug:verb>/", one, name=f"{name}_run"),
            *super().get_urls(),
        ]

    def get_actions(self, request: HttpRequest) -> dict[str, tuple[Callable[..., Any], str, str]]:
        """The services that run on several rows, for those who hold them."""
        if self.admin_site.reads_only(request):
            return {}
        return {
            service.__name__: (_on_list(service), service.__name__, f"{service.label} …")
            for service in self.bulk
            if self._may(request, service)
        }

    def start_view(self, request: HttpRequest, verb: str) -> HttpResponse:
        """Show the form of a service without a target row, then run it."""
        service = self._verb(request, verb, self.starts)
        if (shut := self._reauthentication_needed(request, service)) is not None:
            return shut
        if request.method != "POST":
            return self._confirm_page(request, service, [], self._form(request, service, None))
        form = self._form(request, service, None, data=True)
        try:
            done = acts.carry_out(
                request,
                route=self._route(service),
                run=lambda: self._run(request, service, form, None, None),
            )
        except DomainError as error:
            return self._confirm_page(request, service, [], form, error)
        acts.announce(request, done)
        return HttpResponseRedirect(done.outcome.location)

    def run_view(self, request: HttpRequest, object_id: str, verb: str) -> HttpResponse:
        """Confirm and run a service on one row."""
        service = self._verb(request, verb, self.runs)
        row = self._row(request, object_id)
        if (shut := self._reauthentication_needed(request, service, row)) is not None:
            return shut
        if request.method != "POST":
            return self._confirm_page(request, service, [row], self._form(request, service, row))
        if not self._may(request, service, row):
            raise PermissionDenied
        form = self._form(request, service, row, data=True)
        try:
            if PREVIEW in request.POST:
                with acts.as_domain_errors():
                    form.keywords()
                return self._confirm_page(request, service, [row], form)
            version = self._version_shown(request, row)
            done = acts.carry_out(
                request,
                route=self._route(service),
                parameters=(("pk", str(row.pk)),),
                run=lambda: self._run(request, service, form, row, version),
            )
        except DomainError as error:
            if isinstance(error, InProgress):
                return self._busy_page(request, error)
            row = self._row(request, object_id)
            return self._confirm_page(request, service, [row], form, error)
        acts.announce(request, done)
        return HttpResponseRedirect(done.outcome.location)

    def run_many_view(self, request: HttpRequest, verb: str) -> HttpResponse:
        """Run a service on the rows that the confirm page showed, each in its own transaction."""
        service = self._verb(request, verb, self.bulk)
        if request.method != "POST":
            return HttpResponseRedirect(self._url("changelist"))
        try:
            chosen = _chosen(self.opts.pk, request.POST.getlist(acts.CHOSEN))
        except DomainError as error:
            messages.error(request, forms.text_of_error(error))
            return HttpResponseRedirect(self._url("changelist"))
        found = {str(row.pk): row for row in self.get_queryset(request).filter(pk__in=list(chosen))}
        form = self._form(request, service, None, data=True)
        try:
            form.keywords()
            # The key belongs to this choice of rows: with another choice nothing is done, not even in part.
            acts.carry_out(request, route=f"{self._route(service)}/rows", run=lambda: acts.Outcome("", ""))
        except Exception as failure:
            problem = acts.problem_of(failure)
            if isinstance(problem, InProgress):
                return self._busy_page(request, problem)
            return self._confirm_page(request, service, list(found.values()), form, problem, chosen)
        try:
            lines = [
                self._line(request, service, form, pk, found.get(pk), version)
                for pk, version in chosen.items()
            ]
        except InProgress as busy:
            return self._busy_page(request, busy)
        context = {
            **self.admin_site.each_context(request),
            "title": f"{service.label}: result",
            "opts": self.opts,
            "lines": lines,
            "done": sum(line.done for line in lines),
        }
        return TemplateResponse(request, "admin/service/result.html", context)

    def _line(
        self,
        request: HttpRequest,
        service: Service,
        form: forms.ServiceForm,
        pk: str,
        row: Any,
        version: int | None,
    ) -> ResultLine:
        if row is None:
            return ResultLine(
                pk, "", "This row does not exist, or you may not see it. (resource.not_found)", False
            )
        try:
            done = acts.carry_out(
                request,
                route=self._route(service),
                parameters=(("pk", pk),),
                run=lambda: self._run(request, service, form, row, version),
            )
        except InProgress:
            raise
        except DomainError as error:
            faults = "".join(f" {fault.detail}" for fault in error.errors)
            return ResultLine(str(row), self._url("change", pk), forms.text_of_error(error) + faults, False)
        return ResultLine(str(row), self._url("change", pk), str(done), True, done.replayed)

    def confirm_many(self, request: HttpRequest, service: Service, rows: Any) -> HttpResponse | None:
        """The confirm page for rows chosen on the list."""
        found = list(rows[: MOST_AT_ONCE + 1])
        if len(found) > MOST_AT_ONCE:
            messages.error(request, f"Choose at most {MOST_AT_ONCE} rows at a time.")
            return None
        return self._confirm_page(request, service, found, self._form(request, service, None), many=True)

    def _verb(self, request: HttpRequest, verb: str, among: Iterable[Service]) -> Service:
        service = next((service for service in among if service.__name__ == verb), None)
        if service is None:
            raise Http404
        if not self.has_view_permission(request) or not self._may(request, service):
            raise PermissionDenied
        return service

    def _confirm_page(
        self,
        request: HttpRequest,
        service: Service,
        rows: list[Any],
        form: forms.ServiceForm,
        error: DomainError | None = None,
        chosen: Mapping[str, int | None] | None = None,
        *,
        many: bool = False,
    ) -> HttpResponse:
        many = many or chosen is not None
        row = None if many or not rows else rows[0]
        if error is not None:
            form.add_problem(error)
        versions = dict(chosen or {str(each.pk): getattr(each, "version", None) for each in rows})
        names = [slot.name for slot in form.slots]
        # What would happen is asked of the service itself; where it needs input first, that isn't known yet.
        needs_input = any(slot.field.required for slot in form.slots)
        previews = PREVIEW in request.POST and error is None and not many
        knows, typed = previews or not needs_input, form if previews else None
        effects = [
            (each, self._url("change", each.pk), self._effect(request, service, each, typed) if knows else [])
            for each in rows
        ]
        context = {
            **self.admin_site.each_context(request),
            "title": service.label,
            "opts": self.opts,
            "original": row,
            "service": service,
            "explanation": service.description,
            "adminform": AdminForm(
                form, [(None, {"fields": names})] if names else [], {}, [], model_admin=self
            ),
            "errors": form.errors,
            "media": self.media + form.media,
            "effects": effects,
            "knows_effects": knows,
            "offers_preview": needs_input and row is not None,
            "many": many,
            "chosen": [f"{pk}:{'' if version is None else version}" for pk, version in versions.items()],
            "action": self._url("run_many", verb=service.__name__) if many else "",
            "back": self._url("changelist") if row is None else self._url("change", row.pk),
            "key": acts.new_key(),
            "version": "" if row is None else self._version_to_send(request, row, error),
            **self.confirm_context(request, service),
        }
        return as_answer(TemplateResponse(request, self.confirm_template, context), error)

    def confirm_context(self, request: HttpRequest, service: Service) -> dict[str, Any]:
        """What else the page of a service shows."""
        return {}

    def _effect(
        self, request: HttpRequest, service: Service, row: Any, form: forms.ServiceForm | None = None
    ) -> list[str]:
        """What the service would change, with the values of the form: it is run and rolled back."""
        actor = actor_of(request)
        try:
            keywords = {} if form is None else form.keywords()
            version = None if form is None else self._version_shown(request, row)
            with dry_run(actor, timeout=settings.TRANSACTION_TIMEOUT):
                result = service(row, actor=actor, if_version=version, **keywords)
                after = self.model._default_manager.filter(pk=row.pk).first()
        except Exception as failure:
            return [forms.text_of_error(acts.problem_of(failure))]
        if isinstance(result, Refusal):
            return [forms.text_of_error(result.problem)]
        changes = [
            f"{label}: {shown(field, before)} → {shown(field, now)}"
            for field in history.shown_columns(row, self._shown_names(request, row))
            if field.remote_field is None
            and not isinstance(field, models.DateTimeField)
            and (before := getattr(row, field.attname)) != (now := getattr(after, field.attname))
            and (label := capfirst(str(field.verbose_name)))
        ]
        if isinstance(result, models.Model) and not isinstance(result, self.model):
            changes.append(f"{capfirst(str(result._meta.verbose_name))}: {result}")
        return changes


def _on_list(service: Service) -> Callable[..., Any]:
    def confirm(admin: ServiceAdmin, request: HttpRequest, rows: Any) -> HttpResponse | None:
        return admin.confirm_many(request, service, rows)

    confirm.__name__ = service.__name__
    return confirm


def _chosen(key: Any, parts: list[str]) -> dict[str, int | None]:
    """Return the selected rows and the versions shown. Raises Malformed for an invalid selection."""
    chosen: dict[str, int | None] = {}
    for part in parts:
        text, colon, version = part.rpartition(":")
        try:
            pk = str(key.to_python(text)) if colon and text else ""
        except ValidationError:
            pk = ""
        if not pk or pk in chosen:
            raise Malformed("The selection of rows is malformed.")
        chosen[pk] = acts.version_of(version) if version else None
    if not 0 < len(chosen) <= MOST_AT_ONCE:
        raise Malformed(f"Choose 1 to {MOST_AT_ONCE} rows.")
    return chosen
