"""What people are told of their accounts. Secrets are computed here, when a message is sent, and kept nowhere."""

from apps.notifications.models import Category, Message, Notice, Values


def nothing_more(message: Message) -> Values:
    """For notices whose text says all."""
    return {}


NEW_SIGN_IN = Notice(
    code="new_sign_in",
    title="Sign-in from a new device",
    category=Category.SECURITY,
    values=nothing_more,
)
ACCOUNT_LOCKED = Notice(
    code="account_locked",
    title="Sign-in locked for a while",
    category=Category.SECURITY,
    values=nothing_more,
)
SESSION_REUSE = Notice(
    code="session_reuse",
    title="A session was ended for safety",
    category=Category.SECURITY,
    values=nothing_more,
)
