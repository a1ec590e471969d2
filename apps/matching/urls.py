"""Routes of the matching module."""

from erp.api.routers import Router

router = Router()
urlpatterns = router.urls
