"""Taking a person's data away; id and history stay."""

from django.db.models import Q

from apps.accounts import secrets
from apps.accounts.models import OneTimeToken, OtpChallenge, PasswordHistory, RecoveryCode, Session, User
from apps.accounts.services import one_time
from apps.accounts.services.second_factor import forget
from apps.accounts.services.sessions import end_all
from erp import clock
from erp.access import SYSTEM

ERASED_NAME = "Erased person"


def erase_data(user: User) -> None:
    """Remove what identifies the person, whose row is locked; the caller tells the event."""
    now = clock.now()
    end_all(user, Session.EndReason.ERASED, by=SYSTEM)
    Session.objects.filter(user=user).update(ip=None, device_label="", device_hash="")
    forget(user)
    RecoveryCode.objects.filter(user=user).delete()
    PasswordHistory.objects.filter(user=user).delete()
    one_time.void(user.pk, *OneTimeToken.Purpose)
    OneTimeToken.objects.filter(user=user).exclude(new_password="").update(new_password="")
    codes = Q(user=user)
    if user.mobile is not None:
        codes |= Q(mobile_hash=secrets.address_hash(user.mobile))  # those that proved the number name nobody
    OtpChallenge.objects.filter(codes).update(mobile="", voided_at=now, updated_at=now)
    user.full_name, user.email, user.mobile = ERASED_NAME, None, None
    user.pending_email = user.former_email = None
    user.email_verified_at = user.mobile_verified_at = None
    user.set_password(None)
    user.status, user.erased_at = User.Status.ERASED, now
    user.rights_version += 1  # whatever was proposed for the person can't be applied any more
    user.save()
