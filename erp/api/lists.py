"""The API of reference lists: inputs, answers, viewsets and routes made from their declarations (erp.reference)."""

from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any
from uuid import uuid4

from django.db.models import Model
from django.utils.text import capfirst
from rest_framework.mixins import ListModelMixin

from erp import access
from erp.api.endpoints import endpoint
from erp.api.examples import Example
from erp.api.routers import Router
from erp.api.serializers import Input, Output, Shape, shape_of
from erp.api.viewsets import RowViewSet, ViewSet
from erp.reference import EQUAL, ReferenceList, lists_of


class ListReadsViewSet(ViewSet):
    """Reads of reference data.

    Partners' lists leave out archived rows; by id they are still found, since old contracts name them.
    """

    def filter_queryset(self, queryset: Any) -> Any:
        queryset = super().filter_queryset(queryset)
        actor = access.actor_of(self.request)
        hides = self.action == "list" and not (actor.is_staff or actor.is_system)
        return queryset.active() if hides and hasattr(queryset, "active") else queryset


class ReferenceListViewSet(RowViewSet, ListReadsViewSet):
    """Reference data with a list and single rows."""


class PartsViewSet(ListModelMixin, ListReadsViewSet):
    """The parts of one row: ``/commodities/{id}/grades``."""

    part_of: str
    wholes: Any

    def get_queryset(self) -> Any:
        whole = self.row_of(self.wholes, self.kwargs["pk"])
        return super().get_queryset().filter(**{self.part_of: whole})


@cache
def inputs_of(declared: ReferenceList) -> tuple[type[Input], type[Input]]:
    """What POST and PUT take."""
    changed = [name for name in declared.fields if name not in declared.fixed]
    changed += ["status"] if declared.status is not None else []
    optional = {name: {"required": False} for name in declared.optional}
    return (
        _input(declared, "Create", declared.fields, optional),
        _input(declared, "Update", changed, {"status": {"required": "status" not in declared.optional}}),
    )


def _input(
    declared: ReferenceList, verb: str, names: Sequence[str], options: Mapping[str, dict[str, Any]]
) -> type[Input]:
    meta = type("Meta", (), {"model": declared.model, "fields": names, "options": options})
    return _shape(declared, Input, f"{verb}{{}}Input", {"Meta": meta})


@cache
def output_of(declared: ReferenceList) -> type[Output]:
    """What answers hold of a row."""
    meta = type("Meta", (), {"model": declared.model, "fields": (*declared.fields, *declared.extra_output)})
    return _shape(declared, Output, "{}Output", {"Meta": meta})


def _shape(declared: ReferenceList, base: type[Shape], name: str, members: dict[str, Any]) -> type[Shape]:
    noun = declared.schema_name or declared.noun.title().replace("_", "")
    if declared.schema_name:
        members["schema_name"] = name.format(noun).removesuffix("Input").removesuffix("Output")
    return shape_of(declared.model, base, name.format(noun), members)


def viewset_of(declared: ReferenceList, **more: Any) -> type[ReferenceListViewSet]:
    """The list, its rows and the two writes; ``more`` are further members."""
    create, update = inputs_of(declared)
    members = {
        **_reads(declared),
        **more,
        "__doc__": declared.title or _title(declared.model),
        "create": endpoint(declared.create, create),
        "update": endpoint(declared.update, update, if_match="required"),
    }
    if declared.part_of:
        members["filters"] = {f"{declared.part_of[0]}_id": ["exact"], **members["filters"]}
    return type(f"{declared.model.__name__}ViewSet", (ReferenceListViewSet,), members)


def parts_viewset_of(declared: ReferenceList) -> type[PartsViewSet]:
    """The list below the rows that it is about parts of."""
    assert declared.part_of is not None
    whole: Any = declared.model._meta.get_field(declared.part_of[0]).related_model
    names = declared.model._meta.verbose_name_plural
    doc = f"{capfirst(str(names))} of one {whole._meta.verbose_name}."
    members = {**_reads(declared), "__doc__": doc, "part_of": declared.part_of[0]}
    members["wholes"] = whole._default_manager.all()
    return type(f"{whole.__name__}{declared.model.__name__}ViewSet", (PartsViewSet,), members)


def _reads(declared: ReferenceList) -> dict[str, Any]:
    status = {"status": EQUAL} if declared.status is not None else {}
    return {
        "__module__": declared.model.__module__,
        "queryset": declared.model._default_manager.all(),
        "serializer_class": output_of(declared),
        "reads": declared.views,
        "filters": {**declared.filters, **status},
        "search_fields": declared.search,
        "ordering_fields": ["created_at", "updated_at", *declared.sortable],
    }


def _title(model: type[Model]) -> str:
    names, words = str(model._meta.verbose_name_plural), (model.__doc__ or "").strip()
    return f"{capfirst(names)}: {words[:1].lower()}{words[1:]}"


def register(router: Router, label: str, **more: Mapping[str, Any]) -> None:
    """Add the routes of every list that an app declares; ``more``: noun → further members of the list's viewset."""
    for declared in lists_of(label):
        register_list(router, declared, **more.get(declared.noun, {}))


def register_list(router: Router, declared: ReferenceList, **more: Any) -> None:
    """Add the routes of one list."""
    router.register(declared.path, viewset_of(declared, **more), basename=declared.basename)
    if declared.part_of:
        relation, wholes = declared.part_of
        parts = f"{wholes}/<uuid:pk>/{declared.path}"
        router.register(parts, parts_viewset_of(declared), basename=f"{relation}-{declared.path}")


def make_row(declared: ReferenceList, body: Mapping[str, Any]) -> Any:
    """Create a row from a body of POST, with a code and a name of its own: for tests and examples."""
    mark = uuid4().hex[:8].upper()
    unique = {name: mark for name in ("code", "name") if name in declared.fields}
    serializer = inputs_of(declared)[0](data={**body, **unique}, context={"actor": access.SYSTEM})
    serializer.is_valid(raise_exception=True)
    return declared.create(actor=access.SYSTEM, **serializer.validated_data)


def examples_of(
    label: str, bodies: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Example], dict[str, tuple[str, Any]]]:
    """``EXAMPLES`` and ``LISTS`` of an app's reference lists.

    ``bodies`` hold, by the path of a list, what POST takes beside the code.
    """
    examples: dict[str, Example] = {}
    lists: dict[str, tuple[str, Any]] = {}
    for declared in lists_of(label):
        if (body := bodies.get(declared.path)) is None:
            continue
        make = partial(_made, declared, body)
        user = partial(_user, declared.requires.everywhere[0])
        status = {"status": "ACTIVE"} if "status" in declared.update.keywords else {}
        examples[declared.create.__name__] = Example(user, {"code": "USUAL", **body})
        changed = {name: value for name, value in body.items() if name not in declared.fixed}
        examples[declared.update.__name__] = Example(user, {**changed, **status}, make)
        lists[f"/api/v1/{declared.path}"] = (declared.views.everywhere[0], make)
    return examples, lists


def _user(role: str, world: Any, target: Any) -> Any:
    return world.user(role)


def _made(declared: ReferenceList, body: Mapping[str, Any], world: Any, viewer: Any = None) -> Any:
    return make_row(declared, body)
