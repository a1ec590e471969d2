"""Uploaded files as a Django app."""

from django.apps import AppConfig


class UploadsConfig(AppConfig):
    """Files of people, and the scan for malware."""

    name = "erp.uploads"
    label = "upload"
    verbose_name = "Uploads"
