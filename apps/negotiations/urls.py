"""Routes of the negotiations module."""

from erp.api.routers import Router

router = Router()
urlpatterns = router.urls
