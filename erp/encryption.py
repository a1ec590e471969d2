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
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.db import models

_NONCE = 12  # bytes, as AES-GCM wants it


class Undecryptable(Exception):
    """The stored text can't be read: its key isn't there, it was changed, or it belongs elsewhere."""


def encrypt(text: str, *, context: str) -> str:
    """``text`` under the newest key (AES-256-GCM), as ``<key id>:<base64>``.

    ``context`` names the column and row, such as ``organization.bank_account.number:<row id>``; the same words
    are needed to read it, so a stored text moved to another place is refused.
    """
    key_id, _, sealed = encrypt_bytes(text.encode(), context=context).partition(b":")
    return f"{key_id.decode()}:{base64.b64encode(sealed).decode()}"


def encrypt_bytes(content: bytes, *, context: str) -> bytes:
    """A file, encrypted as ``encrypt`` does with a text, without the base64."""
    key_id, secret = next(iter(settings.ENCRYPTION_KEYS.items()))
    nonce = secrets.token_bytes(_NONCE)
    sealed = _cipher(secret).encrypt(nonce, content, f"{key_id}:{context}".encode())
    return key_id.encode() + b":" + nonce + sealed


def decrypt(stored: str, *, context: str) -> str:
    """Decrypt a text. Raises Undecryptable, which never contains the stored value."""
    key_id, _, sealed = stored.partition(":")
    try:
        data = base64.b64decode(sealed, validate=True)
    except (binascii.Error, ValueError):
        data = b""  # which no key opens
    return decrypt_bytes(key_id.encode() + b":" + data, context=context).decode()


def decrypt_bytes(stored: bytes, *, context: str) -> bytes:
    """Decrypt a file. Raises Undecryptable, which never contains the stored value."""
    key_id, data = stored.partition(b":")[0].decode(), stored.partition(b":")[2]
    secret = settings.ENCRYPTION_KEYS.get(key_id)
    if secret is None:
        raise Undecryptable(f"the key that encrypted {context} is missing")
    try:
        return _cipher(secret).decrypt(data[:_NONCE], data[_NONCE:], f"{key_id}:{context}".encode())
    except (InvalidTag, ValueError):
        raise Undecryptable(
            f"the encrypted value of {context} was changed or belongs to another row"
        ) from None


def key_id(stored: str) -> str:
    """Id of the key that a stored text was encrypted with."""
    return stored.partition(":")[0]


def keyed_hash(text: str, *, context: str) -> str:
    """HMAC-SHA-256 of ``text`` in hexadecimal: the same for the same text and context, and no way back."""
    message = context.encode() + b"\0" + text.encode()
    return hmac.new(settings.EQUALITY_KEY.encode(), message, hashlib.sha256).hexdigest()


def _cipher(secret: str) -> AESGCM:
    return AESGCM(hashlib.sha256(b"encryption-at-rest" + secret.encode()).digest())


class Encrypted(property):
    """A text stored encrypted in ``<name>_encrypted``; equal texts have equal ``<name>_hash`` (``keyed_hash``).

    ``context`` of the hash is shared by columns whose values must meet, such as ``identifier.pan``. Reading decrypts,
    which raises Undecryptable; None is stored as null. Name both columns in ``trail_personal``.
    """

    def __init__(self, context: str, label: str = "") -> None:
        self.context, self.label, self.name = context, label, ""
        super().__init__(self._read, self._write)

    def contribute_to_class(self, model: type[models.Model], name: str) -> None:
        """Add the two columns, which Django calls for."""
        self.name = name
        label = self.label or name.replace("_", " ")
        encrypted = models.TextField(f"{label} (encrypted)", null=True, editable=False)
        encrypted.contribute_to_class(model, f"{name}_encrypted")
        hashed = models.CharField(f"{label} (hash)", max_length=64, null=True, editable=False)
        hashed.contribute_to_class(model, f"{name}_hash")
        setattr(model, name, self)

    def hash_of(self, text: str) -> str:
        """The hash by which rows with this text are found."""
        return keyed_hash(text, context=self.context)

    def _place(self, row: Any) -> str:
        return f"{row._meta.label_lower}.{self.name}:{row.pk}"

    def _read(self, row: Any) -> str | None:
        stored = getattr(row, f"{self.name}_encrypted")
        return None if stored is None else decrypt(stored, context=self._place(row))

    def _write(self, row: Any, text: str | None) -> None:
        hashed = None if text is None else self.hash_of(text)
        if hashed != getattr(row, f"{self.name}_hash"):  # the same text would be stored under another nonce
            stored = None if text is None else encrypt(text, context=self._place(row))
            setattr(row, f"{self.name}_encrypted", stored)
            setattr(row, f"{self.name}_hash", hashed)
