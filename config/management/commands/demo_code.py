"""``demo_code``: the authenticator's code of a demo user, so that nobody needs a phone to try the product."""

from argparse import ArgumentParser
from typing import Any

import pyotp
from django.conf import settings
from django.core.management.base import CommandError

from apps.accounts.models import TotpDevice
from apps.accounts.services.second_factor import STEP_SECONDS
from erp import clock, commands


class Command(commands.Command):
    """Compute the current code from the stored secret."""

    help = "Print the current sign-in code of a person's authenticator. Refused in production."
    examples = ("manager@demo.example",)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", metavar="EMAIL", help="address with which the person signs in")
        self.add_json(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.PRODUCTION:
            raise CommandError("Sign-in codes are not printed in production.", returncode=commands.USAGE)
        email = options["email"].strip()
        device = TotpDevice.objects.select_related("user").filter(user__email__iexact=email).first()
        if device is None or not device.seed:
            raise CommandError(f"{email} has no authenticator; staff of `make run` have one.")
        moment = int(clock.now().timestamp())
        # Each code works once: after a sign-in it is the next half-minute's, which is accepted one step early.
        step = max(moment // STEP_SECONDS, device.last_step + 1)
        code, wait = pyotp.TOTP(device.seed).generate_otp(step), max(0, (step - 1) * STEP_SECONDS - moment)
        commands.finish(
            self,
            {"email": device.user.email, "code": code, "wait_seconds": wait},
            [code + (f"  (works in {wait} s, because newer codes were used)" if wait else "")],
            as_json=options["json"],
        )
