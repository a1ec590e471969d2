"""Inputs and outputs of uploads."""

from erp.api import fields
from erp.api.files import FileField
from erp.api.serializers import Input, Output
from erp.files import CSV, JPEG, PDF, PNG, XLSX
from erp.uploads.models import StoredFile


class UploadInput(Input):
    class Meta:
        model = StoredFile

    file = FileField(
        accepts=(PDF, JPEG, PNG, CSV, XLSX), help_text="The file: PDF, JPEG, PNG, CSV or XLSX, at most 9 MB."
    )
    purpose = fields.CharField(max_length=60)


class UploadOutput(Output):
    class Meta:
        model = StoredFile
        fields = ("media_type", "size", "sha256", "scan_status", "expires_at")
