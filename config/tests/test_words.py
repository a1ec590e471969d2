"""Every field has words for people: a label in the trade's spelling, and a description where it is filled in."""

from collections.abc import Iterator

import pytest
from django.apps import apps
from django.urls import get_resolver
from django.utils.text import capfirst
from rest_framework import serializers

from erp.api.serializers import Input
from erp.api.viewsets import ViewSet
from erp.labels import SPELLINGS, UNITS

MODULES = sorted(
    config.name for config in apps.get_app_configs() if config.name.split(".")[0] in ("apps", "erp")
)


def viewsets(kind: type[ViewSet] = ViewSet) -> Iterator[type[ViewSet]]:
    for child in kind.__subclasses__():
        yield child
        yield from viewsets(child)


def walk(serializer, path=()) -> Iterator[tuple[str, serializers.Field]]:
    """Every field of an input, those of its parts too."""
    for name, field in serializer.fields.items():
        yield "/".join((*path, name)), field
        part = getattr(field, "child", field)
        if isinstance(part, serializers.Serializer):
            yield from walk(part, (*path, name))


def inputs(module: str) -> Iterator[type[Input]]:
    assert get_resolver().url_patterns
    found = {
        endpoint.input
        for viewset in viewsets()
        for endpoint in viewset.endpoints.values()
        if f"{endpoint.input.__module__}.".startswith(f"{module}.")
    }
    yield from sorted(found, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("module", MODULES)
def test_every_field_that_is_filled_in_has_a_description(module):
    missing = [
        f"{kind.__name__} {path}"
        for kind in inputs(module)
        for path, field in walk(kind())
        if not field.help_text
    ]
    assert missing == []


def misspelled(label: str) -> bool:
    """Whether a label has an acronym in another spelling than the trade's, or a bare unit at its end."""
    words = label.replace("(", " ").replace(")", " ").split()
    spelled = [(word, SPELLINGS[word.lower()]) for word in words if word.lower() in SPELLINGS]
    return any(word not in (right, capfirst(right)) for word, right in spelled) or (
        len(words) > 1 and label.split()[-1] in UNITS
    )


@pytest.mark.parametrize("label", ["Pan", "gst uqc", "Hsn code", "Weight kg"])
def test_a_label_that_is_only_the_python_name_is_found(label):
    assert misspelled(label)


@pytest.mark.parametrize("module", MODULES)
def test_labels_have_acronyms_and_units_in_the_spelling_of_the_trade(module):
    labels = [
        (model.__name__, capfirst(str(field.verbose_name)))
        for model in apps.get_models()
        if f"{model.__module__}.".startswith(f"{module}.")
        for field in model._meta.local_fields
    ]
    labels += [
        (kind.__name__, field._kwargs["label"])
        for kind in inputs(module)
        for _, field in walk(kind())
        if field._kwargs.get("label")
    ]
    assert [entry for entry in labels if misspelled(entry[1])] == []
