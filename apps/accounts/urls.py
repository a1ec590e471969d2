"""Routes of the accounts module."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from apps.accounts.viewsets import AuthViewSet, ProfileViewSet, SessionViewSet

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("auth/sessions", SessionViewSet, basename="auth_session")
router.register("auth", AuthViewSet, basename="auth")
urlpatterns = [
    path("auth/me", ProfileViewSet.as_view({"get": "retrieve", "put": "update"}), name="auth-me"),
    *router.urls,
]
