"""``changepassword`` leads nowhere: passwords change by services."""

from erp.management.commands.createsuperuser import Command as Refused


class Command(Refused):
    """In place of Django's command, which would write past the services."""

    help = "Refused: a password is changed by its owner, or reset by mail."
