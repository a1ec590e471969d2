"""``changepassword`` leads nowhere: passwords change by services."""

from erp.management.commands.createsuperuser import Command as Refused


class Command(Refused):
    """In place of Django's command, which would write past the services."""

    help = "Refused: users change their own password or reset it by e-mail."
