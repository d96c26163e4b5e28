"""Signatures of checkpoints: made by an asymmetric KMS key, checked offline with its public key.

A signed checkpoint is two lines: the checkpoint, and a JSON object with the signature of the first line, its newline
included. So anybody can check it, without this program: docs/reports.md says how.
IAM actions kms:Sign and kms:GetPublicKey.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

_HASHES = {
    "ECDSA_SHA_256": "sha256",
    "RSASSA_PKCS1_V1_5_SHA_256": "sha256",
    "ECDSA_SHA_384": "sha384",
    "ECDSA_SHA_512": "sha512",
}
"""What KMS calls an algorithm → its hash. The first that a key has is used: openssl knows each without options.

https://docs.aws.amazon.com/kms/latest/developerguide/symm-asymm-choose-key-spec.html
"""

Check = Callable[[bytes], str | None]
"""The content of a checkpoint → why no signature holds; None: one does."""


class SigningKeyError(Exception):
    """The key can't sign, or a file is no public key; the text says why."""


class _Signature(NamedTuple):
    algorithm: str
    value: bytes


def signed(kms: Any, key: str, content: bytes) -> bytes:
    """The content, without a newline, as it is stored with its signature. key: ID, ARN or alias of the KMS key.

    Raises SigningKeyError, and what the SDK raises.
    """
    able = kms.get_public_key(KeyId=key).get("SigningAlgorithms") or ()
    algorithm = next((one for one in _HASHES if one in able), None)
    if algorithm is None:
        raise SigningKeyError(f"KMS key {key} is none for signatures: it needs one of {', '.join(_HASHES)}")
    line = content + b"\n"
    digest = hashlib.new(_HASHES[algorithm], line).digest()
    answer = kms.sign(KeyId=key, Message=digest, MessageType="DIGEST", SigningAlgorithm=algorithm)
    second = {
        "signature": base64.b64encode(answer["Signature"]).decode(), "algorithm": algorithm, "key": answer["KeyId"],
    }  # fmt: skip
    return line + json.dumps(second, separators=(",", ":")).encode() + b"\n"


def check_with(public_keys: Sequence[bytes]) -> Check:
    """public_keys: contents of files, PEM or DER. Any of them may have signed. Raises SigningKeyError."""
    keys = [_loaded(one) for one in public_keys]

    def check(content: bytes) -> str | None:
        line, _, rest = content.partition(b"\n")
        if not rest:
            return "it is not signed"
        found = _parsed(rest)
        if found is None:
            return "its signature can't be read"
        if any(_holds(key, found, line + b"\n") for key in keys):
            return None
        return "its signature is not of this public key, or it was altered"

    return check


def _parsed(text: bytes) -> _Signature | None:
    try:
        value = json.loads(text)
        found = _Signature(str(value["algorithm"]), base64.b64decode(value["signature"], validate=True))
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return found if found.algorithm in _HASHES else None


def _loaded(content: bytes) -> Any:
    """cryptography takes a while to load: only a check needs it. Raises SigningKeyError."""
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
        from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key
    except ImportError as error:
        raise SigningKeyError(
            "to check signatures needs the package cryptography, which the image does not hold: pip install "
            "'humangov-operator[verify]', or check them with openssl, as docs/reports.md says"
        ) from error

    load = load_pem_public_key if b"-----BEGIN" in content else load_der_public_key
    try:
        key = load(content)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SigningKeyError("it is no public key in PEM or DER") from error
    if not isinstance(key, EllipticCurvePublicKey | RSAPublicKey):
        raise SigningKeyError("its key is neither ECDSA nor RSA")
    return key


def _holds(key: Any, signature: _Signature, line: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding

    algorithm = getattr(hashes, _HASHES[signature.algorithm].upper())()
    by_curve = isinstance(key, ec.EllipticCurvePublicKey)
    if by_curve != signature.algorithm.startswith("ECDSA"):
        return False
    try:
        if by_curve:
            key.verify(signature.value, line, ec.ECDSA(algorithm))
        else:
            key.verify(signature.value, line, padding.PKCS1v15(), algorithm)
    except InvalidSignature:
        return False
    return True
