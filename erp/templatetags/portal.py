"""Parts of the portal's pages that Unfold words otherwise: the way to a page, and labels of cells."""

import re
from typing import Any, Final

from django import template
from django.template import RequestContext
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst

from erp.admin import navigation

register = template.Library()

_LABEL: Final = re.compile(r'(data-label=")([a-z])')


@register.inclusion_tag("admin/service/breadcrumbs.html", takes_context=True)
def breadcrumbs(context: RequestContext) -> dict[str, Any]:
    """The group of the navigation, the list and the row that lead to this page, and the page's own title."""
    opts, original = context.get("opts"), context.get("original")
    title = str(context.get("content_title") or context.get("title") or "")
    steps: list[tuple[str, str]] = []
    if opts is not None:
        name = f"admin:{opts.app_label}_{opts.model_name}"
        steps = [(navigation.group_of(opts.app_label), "")]
        steps.append((capfirst(str(opts.verbose_name_plural)), reverse(f"{name}_changelist")))
        if "cl" in context:
            title = steps.pop()[0]
        elif original is not None and not isinstance(original, str) and title != str(original):
            steps.append((str(original), reverse(f"{name}_change", args=[original.pk])))
    return {"steps": steps, "title": title, "cl": context.get("cl")}


@register.filter
def sentence_labels(page: str) -> SafeString:
    """Labels of cells, which stand beside their values on a narrow screen, begin with a capital letter."""
    return mark_safe(_LABEL.sub(lambda found: found[1] + found[2].upper(), page))  # noqa: S308 - rendered already
