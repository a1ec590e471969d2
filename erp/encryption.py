"""Text encrypted at rest, and keyed hashes by which encrypted values can be compared.

Keys are a setting of their own (``ENCRYPTION_KEYS``: id → secret). The first encrypts and all of them decrypt,
so a new key can come in front while rows written with the older one are still read. Equality has another key
(``EQUALITY_KEY``), which can't change while hashes made with it are stored.
"""

import base64
import binascii
import hashlib
import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

_NONCE = 12  # bytes, as AES-GCM wants it


class Undecryptable(Exception):
    """The stored text can't be read: its key isn't there, it was changed, or it belongs elsewhere."""


def encrypt(text: str, *, context: str) -> str:
    """``text`` under the newest key (AES-256-GCM), as ``<key id>:<base64>``.

    ``context`` names the column and row, such as ``organization.bank_account.number:<row id>``; the same words
    are needed to read it, so a stored text moved to another place is refused.
    """
    key_id, secret = next(iter(settings.ENCRYPTION_KEYS.items()))
    nonce = secrets.token_bytes(_NONCE)
    sealed = _cipher(secret).encrypt(nonce, text.encode(), f"{key_id}:{context}".encode())
    return f"{key_id}:{base64.b64encode(nonce + sealed).decode()}"


def decrypt(stored: str, *, context: str) -> str:
    """Decrypt a text. Raises Undecryptable, which never contains the stored value."""
    key_id, _, sealed = stored.partition(":")
    secret = settings.ENCRYPTION_KEYS.get(key_id)
    if secret is None:
        raise Undecryptable(f"the key that encrypted {context} is missing")
    try:
        data = base64.b64decode(sealed, validate=True)
        plain = _cipher(secret).decrypt(data[:_NONCE], data[_NONCE:], f"{key_id}:{context}".encode())
    except (InvalidTag, binascii.Error, ValueError):
        raise Undecryptable(
            f"the encrypted value of {context} was changed or belongs to another row"
        ) from None
    return plain.decode()


def key_id(stored: str) -> str:
    """Id of the key that a stored text was encrypted with."""
    return stored.partition(":")[0]


def keyed_hash(text: str, *, context: str) -> str:
    """HMAC-SHA-256 of ``text`` in hexadecimal: the same for the same text and context, and no way back."""
    message = context.encode() + b"\0" + text.encode()
    return hmac.new(settings.EQUALITY_KEY.encode(), message, hashlib.sha256).hexdigest()


def _cipher(secret: str) -> AESGCM:
    return AESGCM(hashlib.sha256(b"encryption-at-rest" + secret.encode()).digest())
