from django.apps import AppConfig


class IntegrationsConfig(AppConfig):
    name = "apps.integrations"
    label = "integration"
    register_name = "integrations"  # its name in the register of endpoints
