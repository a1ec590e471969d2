"""Routes of the accounts module."""

from rest_framework.routers import SimpleRouter

from apps.accounts.viewsets import AuthViewSet

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("auth", AuthViewSet, basename="auth")
urlpatterns = router.urls
