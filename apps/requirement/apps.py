from django.apps import AppConfig


class RequirementConfig(AppConfig):
    name = "apps.requirement"
    label = "requirement"
