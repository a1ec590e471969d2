from django.apps import AppConfig


class NegotiationsConfig(AppConfig):
    name = "apps.negotiations"
    label = "negotiation"
