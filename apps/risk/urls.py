"""Routes of the risk module."""

from erp.api.routers import Router

router = Router()
urlpatterns = router.urls
