"""Routes of uploads."""

from erp.api.routers import Router
from erp.uploads.viewsets import UploadViewSet

router = Router()
router.register("uploads", UploadViewSet, basename="upload")
urlpatterns = router.urls
