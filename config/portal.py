"""Which site Django's admin serves."""

from django.contrib.admin.apps import AdminConfig


class StaffPortalConfig(AdminConfig):
    """The staff's site in place of Django's own."""

    default_site = "apps.accounts.staff_site.StaffSite"
