"""Routes of the accounts module."""

from django.urls import path

from apps.accounts.viewsets import AuthViewSet, ProfileViewSet, SessionViewSet
from erp.api.routers import Router

router = Router()
router.register("auth/sessions", SessionViewSet, basename="auth_session")
router.register("auth", AuthViewSet, basename="auth")
urlpatterns = [
    path("auth/me", ProfileViewSet.as_view({"get": "retrieve", "put": "update"}), name="auth-me"),
    *router.urls,
]
