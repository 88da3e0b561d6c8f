"""C2PA: signed statements about the origin of a result, inside its file.

The manifest of a result names the original with its hash, the model, the options, and
the digital source type of the IPTC for pictures that a trained algorithm has changed.
A manifest of the original is kept. See the C2PA Technical Specification 2.2, actions
``c2pa.opened`` and ``c2pa.color_adjustments``.

Needs c2pa-python, from the extra ``provenance``.
"""

import contextlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from colorizenet import __version__
from colorizenet.errors import ConfigError, ImageError, quote
from colorizenet.files import open_for_reading
from colorizenet.hintfiles import describe_options
from colorizenet.imaging.formats import detect_format
from colorizenet.imaging.image import Image
from colorizenet.imaging.writing import encode_image
from colorizenet.imaging.xmpscan import TRAINED
from colorizenet.options import Options

__all__ = ["Manifest", "SigningKey", "describe_origin", "read_manifest"]

_NAMESPACE = "org.colorizenet"
_ORIGINAL = "original"
"""Name of the ingredient, inside the manifest."""
_LONGEST_PEM = 1 << 20
"""Bytes of a certificate or key file at most."""
_NO_THUMBNAILS = {"builder": {"thumbnail": {"enabled": False}}}


@dataclass(frozen=True)
class SigningKey:
    """A certificate and the private key that belongs to it.

    Holds the paths only: the key is read when a file is signed, and never kept.
    """

    certificate: Path
    """PEM file of the certificate of the signer, followed by those of its issuers."""
    key: Path
    """PEM file of the private key, not encrypted."""
    timestamp_url: str | None = None
    """URL of a time-stamping authority (RFC 3161); None: no time stamp."""

    def check(self) -> None:
        """Sign a small picture. Raises ``ConfigError`` for files that cannot be used,
        and where the time-stamping authority does not answer."""
        gray = encode_image(Image(np.full((8, 8), 128, np.uint8)), "png")
        unsigned, original, signed = io.BytesIO(gray), io.BytesIO(gray), io.BytesIO()
        try:
            self.sign(unsigned, signed, "png", describe_origin(Options()), original, "a picture")
        except ImageError as error:
            timed = (
                f", and a time-stamping authority that answers at {quote(self.timestamp_url)}"
                if self.timestamp_url
                else ""
            )
            raise ConfigError(
                f"{quote(self.certificate)} and {quote(self.key)} cannot be used ({error}); give "
                "the certificate with those of its issuers, and the private key that belongs "
                f"to it, as PEM files{timed}"
            ) from error

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate of the signer in hexadecimal."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes

        try:
            certificate = x509.load_pem_x509_certificate(_read_pem(self.certificate))
        except ValueError as error:
            raise ConfigError(
                f"{quote(self.certificate)} holds no certificate; give a PEM file"
            ) from error
        return certificate.fingerprint(hashes.SHA256()).hex()

    def sign(
        self,
        unsigned: BinaryIO,
        signed: BinaryIO,
        format: str,
        origin: Mapping[str, Any],
        original: BinaryIO,
        name: str,
    ) -> None:
        """Write the result ``unsigned`` with a manifest to the empty file ``signed``.

        ``origin`` is that of ``describe_origin``. ``original`` is the photo that was
        colorized and ``name`` its name. Raises ``ImageError``, and ``ConfigError`` for
        files that hold no certificate or key.
        """
        import c2pa

        certificates = _read_pem(self.certificate)
        private = _read_pem(self.key)
        software = {"name": "ColorizeNet", "version": __version__}
        opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": [_ORIGINAL]}}
        colored = {
            "action": "c2pa.color_adjustments",
            "description": "Colors reconstructed by a neural network",
            "digitalSourceType": TRAINED,
            "softwareAgent": software,
            "parameters": dict(origin),
        }
        manifest = {
            "claim_generator_info": [software],
            "title": quote(name),
            "assertions": [
                {
                    "label": "c2pa.actions.v2",
                    "data": {"actions": [opened, colored]},
                }
            ],
        }
        try:
            info = c2pa.C2paSignerInfo(
                _name_algorithm(private, self.key),
                certificates,
                private,
                self.timestamp_url.encode() if self.timestamp_url else None,
            )
            context = c2pa.Context(c2pa.Settings.from_dict(_NO_THUMBNAILS))
            with (
                contextlib.closing(c2pa.Signer.from_info(info)) as signer,
                contextlib.closing(c2pa.Builder(manifest, context)) as builder,
            ):
                kind = _name_kind(original.read(64))
                original.seek(0)
                ingredient = {
                    "title": quote(name),
                    "relationship": "parentOf",
                    "instance_id": _ORIGINAL,
                    "label": _ORIGINAL,
                }
                builder.add_ingredient(ingredient, kind, original)
                builder.sign(signer, f"image/{format}", unsigned, signed)
        except c2pa.C2paError as error:
            raise ImageError(f"{quote(name)} cannot be signed: {quote(error)}") from error


def describe_origin(
    options: Options, *, model: str = "", model_sha256: str = "", source_sha256: str = ""
) -> dict[str, Any]:
    """What a manifest says of a result: the photo, the model and the options."""
    return {
        f"{_NAMESPACE}.source": {"sha256": source_sha256},
        f"{_NAMESPACE}.model": {"name": model, "sha256": model_sha256},
        f"{_NAMESPACE}.options": describe_options(options),
    }


@dataclass(frozen=True)
class Manifest:
    """What the C2PA manifest of a file says, and whether it verifies."""

    verifies: bool
    """Whether nothing in the file was changed since it was signed."""
    trusted: bool
    """Whether the certificate is on the trust list of the library."""
    signer: str
    """Whom the certificate was issued to."""
    time: str | None
    """When the file was signed, according to a time stamp; or None."""
    generator: str
    """The software that made the claim."""
    problems: tuple[str, ...]
    """Codes of what does not verify, such as ``assertion.dataHash.mismatch``."""
    actions: tuple[dict[str, Any], ...]
    """What was done to the picture."""
    ingredients: tuple[str, ...]
    """Titles of the files that it was made from."""


def read_manifest(path: str | os.PathLike[str]) -> Manifest | None:
    """The active C2PA manifest of a file, or None where it has none.

    Raises ``ConfigError`` where the extra is not installed or the manifest is damaged.
    """
    try:
        import c2pa
    except ImportError as error:
        raise ConfigError(
            "reading a C2PA manifest needs the extra `provenance`; "
            "pip install 'colorizenet[provenance]'"
        ) from error

    with open_for_reading(path) as file:
        kind = _name_kind(file.read(64) or b"")
        file.seek(0)
        try:
            reader = c2pa.Reader.try_create(kind, file)
        except c2pa.C2paError as error:
            # An attribute that c2pa sets at run time.
            unsupported = c2pa.C2paError.NotSupported  # pyright: ignore[reportAttributeAccessIssue]
            if isinstance(error, unsupported):
                return None
            raise ConfigError(
                f"the C2PA manifest of {quote(path)} cannot be read: {quote(error)}"
            ) from error
        if reader is None:
            return None
        with contextlib.closing(reader):
            store = json.loads(reader.json())
            state = reader.get_validation_state()
    active = store["manifests"][store["active_manifest"]]
    signature = active.get("signature_info", {})
    codes = [each["code"] for each in store.get("validation_status", [])]
    assertions = {each["label"]: each["data"] for each in active.get("assertions", [])}
    actions = assertions.get("c2pa.actions.v2") or assertions.get("c2pa.actions") or {}
    generator = active.get("claim_generator_info") or [{"name": active.get("claim_generator", "")}]
    names = [signature.get("common_name"), signature.get("issuer")]
    return Manifest(
        verifies=state in ("Valid", "Trusted"),
        trusted=state == "Trusted",
        signer=", ".join(name for name in names if name),
        time=signature.get("time"),
        generator=f"{generator[0].get('name', '')} {generator[0].get('version', '')}".strip(),
        problems=tuple(code for code in codes if code != "signingCredential.untrusted"),
        actions=tuple(actions.get("actions", [])),
        ingredients=tuple(each.get("title", "") for each in active.get("ingredients", [])),
    )


def _name_kind(start: bytes) -> str:
    """The media type of a file from its first bytes; an unknown one for formats that
    hold no manifest."""
    format = detect_format(start)
    bare = start.startswith(b"\xff\x0a")  # a codestream of JPEG XL without a container
    return f"image/{'x-unknown' if format is None or bare else format}"


def _name_algorithm(private: bytes, path: Path) -> bytes:
    """The name that C2PA has for the algorithm of a private key."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(private, None)
    except TypeError as error:
        raise ConfigError(
            f"the private key {quote(path)} is encrypted; decrypt it into a file that only you "
            "can read"
        ) from error
    except ValueError as error:
        raise ConfigError(f"{quote(path)} holds no private key; give a PEM file") from error
    curves = {"secp256r1": b"es256", "secp384r1": b"es384", "secp521r1": b"es512"}
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in curves:
        return curves[key.curve.name]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return b"ed25519"
    if isinstance(key, rsa.RSAPrivateKey):
        return b"ps256"
    raise ConfigError(
        f"the private key {quote(path)} is of a kind that C2PA has no name for; give one of "
        "RSA, Ed25519, or of the curves P-256, P-384 and P-521"
    )


def _read_pem(path: Path) -> bytes:
    try:
        with open_for_reading(path) as file:
            content = file.read(_LONGEST_PEM + 1) or b""
    except OSError as error:
        raise ConfigError(f"{quote(path)} cannot be read: {error.strerror}") from error
    if len(content) > _LONGEST_PEM or b"-----BEGIN" not in content:
        raise ConfigError(f"{quote(path)} is no PEM file; give one with -----BEGIN in it")
    return content
