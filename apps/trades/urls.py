"""Routes of the trades module."""

from erp.api.routers import Router

router = Router()
urlpatterns = router.urls
