"""Suggestions as a Django app."""

from django.apps import AppConfig


class AiConfig(AppConfig):
    """Prompts, budgets, and the record of questions to a remote model."""

    name = "erp.ai"
    label = "ai"
    verbose_name = "AI"
