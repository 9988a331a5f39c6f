"""Ed25519: the installation's own key, made once, kept beside the other secrets."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from api.settings import ApiSettings

KEY_NAME = "signing.key"


def sign(settings: ApiSettings, message: bytes) -> tuple[bytes, bytes]:
    """Signature (64 bytes) and public key (32 bytes)."""
    private = Ed25519PrivateKey.from_private_bytes(settings.secret(KEY_NAME))
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return private.sign(message), public


def public_key(settings: ApiSettings) -> bytes:
    """The public key (32 bytes), to be handed out and pinned."""
    return sign(settings, b"")[1]


def holds(key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the signature is the key's for this message."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
