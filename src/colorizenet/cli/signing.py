"""The flags ``--sign`` and ``--tsa`` of ``colorizenet colorize``."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from colorizenet.cli.app import require_extra
from colorizenet.errors import ConfigError, quote

if TYPE_CHECKING:
    from colorizenet.batch import Worker

__all__ = ["add_signing"]


def add_signing(worker: "Worker", files: tuple[Path, Path] | None, tsa: str | None) -> "Worker":
    """A worker that signs its results. Raises ``ConfigError`` before any work begins
    where that cannot succeed."""
    if files is None:
        if tsa is not None:
            raise ConfigError("--tsa is for --sign; add --sign CERT.pem KEY.pem, or leave it out")
        return worker
    require_extra("provenance", "signing", ("c2pa",))
    from colorizenet.signing import SigningKey

    if not worker.output.provenance:
        raise ConfigError("--sign states what --no-provenance leaves out; use only one of them")
    if tsa is not None and not tsa.startswith(("http://", "https://")):
        raise ConfigError(f"--tsa {quote(tsa)} is no URL; give one such as https://tsa.example")
    key = SigningKey(*files, tsa)
    key.check()
    return dataclasses.replace(worker, signing=key)
