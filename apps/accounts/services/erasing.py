"""Taking a person's data away; id and history stay."""

from django.utils import timezone

from apps.accounts.models import OneTimeToken, OtpChallenge, PasswordHistory, RecoveryCode, Session, User
from apps.accounts.services.second_factor import forget
from apps.accounts.services.sessions import end_all
from erp.access import SYSTEM

ERASED_NAME = "Erased person"


def erase_data(user: User) -> None:
    """Remove what identifies the person, whose row is locked; the caller tells the event."""
    now = timezone.now()
    end_all(user, Session.EndReason.ERASED, by=SYSTEM)
    Session.objects.filter(user=user).update(ip=None, device_label="", device_hash="")
    forget(user)
    RecoveryCode.objects.filter(user=user).delete()
    PasswordHistory.objects.filter(user=user).delete()
    OneTimeToken.objects.live().filter(user=user).update(voided_at=now, updated_at=now, new_password="")
    OtpChallenge.objects.filter(user=user).update(mobile="", voided_at=now, updated_at=now)
    user.full_name, user.email, user.mobile = ERASED_NAME, None, None
    user.pending_email = user.former_email = None
    user.email_verified_at = user.mobile_verified_at = None
    user.set_password(None)
    user.status, user.erased_at = User.Status.ERASED, now
    user.save()
