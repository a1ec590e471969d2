from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "apps.accounts"
    label = "account"
    register_name = "auth"  # its name in the register of endpoints
