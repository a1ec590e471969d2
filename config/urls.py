"""All routes."""

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import include, path
from django.views.decorators.http import require_safe

from apps.accounts import pages
from erp import health, metrics
from erp.api import problem_pages
from erp.api.docs import RedocView, SchemaView, SwaggerView


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Staff work in the admin."""
    return redirect("admin:index")


handler400 = "erp.pages.bad_request"
handler403 = "erp.pages.permission_denied"
handler404 = "erp.pages.not_found"
handler500 = "erp.pages.server_error"

urlpatterns = [
    path("", home),
    path("admin/", admin.site.urls),
    *pages.urlpatterns,
    path("livez", health.livez),
    path("readyz", health.readyz),
    # In production they are on the inner port alone, see erp.metrics.
    *([] if settings.PRODUCTION else [path("metrics", metrics.view)]),
    path("api/schema", SchemaView.as_view(), name="schema"),
    path("api/docs", SwaggerView.as_view(), name="docs"),
    path("api/redoc", RedocView.as_view(), name="redoc"),
    path("api/problems", problem_pages.problem_index),
    path("api/problems/<str:code>", problem_pages.problem_page),
    path("api/v1/", include("erp.jobs.urls")),
    path("api/v1/", include("erp.uploads.urls")),
    path("api/v1/", include("apps.accounts.urls")),
    path("api/v1/", include("apps.notifications.urls")),
    path("api/v1/", include("apps.approvals.urls")),
    path("api/v1/", include("apps.organization.urls")),
    path("api/v1/", include("apps.locations.urls")),
    path("api/v1/", include("apps.commodities.urls")),
    path("api/v1/", include("apps.partners.urls")),
    path("api/v1/", include("apps.requirement.urls")),
    path("api/v1/", include("apps.availability.urls")),
    path("api/v1/", include("apps.risk.urls")),
    path("api/v1/", include("apps.matching.urls")),
    path("api/v1/", include("apps.negotiations.urls")),
    path("api/v1/", include("apps.trades.urls")),
    path("api/v1/", include("apps.integrations.urls")),
]
