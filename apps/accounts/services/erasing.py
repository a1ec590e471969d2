"""Erasure of a user's personal data; ID and history remain."""

from django.db.models import Q

from apps.accounts import secrets
from apps.accounts.models import OneTimeToken, OtpChallenge, PasswordHistory, RecoveryCode, Session, User
from apps.accounts.services import one_time
from apps.accounts.services.second_factor import remove
from apps.accounts.services.sessions import end_all
from erp import clock
from erp.access import SYSTEM

ERASED_NAME = "Erased person"


def erase_data(user: User) -> None:
    """Remove what identifies the user, whose row is locked. The caller emits the event."""
    now = clock.now()
    end_all(user, Session.EndReason.ERASED, by=SYSTEM)
    Session.objects.filter(user=user).update(ip=None, device_label="", device_hash="")
    remove(user)
    RecoveryCode.objects.filter(user=user).delete()
    PasswordHistory.objects.filter(user=user).delete()
    one_time.void(user.pk, *OneTimeToken.Purpose)
    OneTimeToken.objects.filter(user=user).exclude(new_password="").update(new_password="")
    codes = Q(user=user)
    if user.mobile is not None:
        # A challenge to verify a number has no user.
        codes |= Q(mobile_hash=secrets.address_hash(user.mobile))
    OtpChallenge.objects.filter(codes).update(mobile="", voided_at=now, updated_at=now)
    user.full_name, user.email, user.mobile = ERASED_NAME, None, None
    user.pending_email = user.former_email = None
    user.email_verified_at = user.mobile_verified_at = None
    user.set_password(None)
    user.status, user.erased_at = User.Status.ERASED, now
    user.rights_version += 1  # pending proposals for the user become stale
    user.save()
