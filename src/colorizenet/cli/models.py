"""``colorizenet models`` and ``colorizenet info``: models and their cards, and the
provenance of photos."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from colorizenet.cli.app import Flag, app
from colorizenet.errors import quote


@app.command
def models() -> None:
    """List the models inside the package, with size, license and measured quality."""
    from colorizenet.modelfile import load_model, model_path, shipped_models

    for name in shipped_models():
        card = load_model(name).card
        megabytes = model_path(name).stat().st_size / 1e6
        metrics = ", ".join(f"{key} {value:g}" for key, value in card.metrics.items())
        print(f"{name}  {megabytes:.1f} MB, {card.parameters / 1e6:.1f}M parameters")
        terms = card.license.partition(". ")[0].partition(": ")[0].removesuffix(".")
        print(f"    {metrics}\n    {terms}.")
    print("`colorizenet info NAME` prints the whole card, with the photos it was trained on.")


@app.command
def info(name: str, /, *, as_json: Annotated[Flag, Parameter(name="--json")] = False) -> None:
    """Print the card of a model file, or the provenance of a photo.

    For a photo: size and format, the note that its colors are reconstructed, and its
    C2PA manifest and whether that verifies, which needs the extra `provenance`. A card
    is printed as JSON, with the SHA-256 of the file.

    Parameters
    ----------
    name
        A photo, a model inside the package (see `colorizenet models`), or an ONNX file
        exported by ColorizeNet.
    as_json
        Print the provenance of a photo as JSON.
    """
    if _is_photo(Path(name)):
        described = _describe_photo(Path(name))
        if as_json:
            print(json.dumps(described, ensure_ascii=False, indent=2))
        else:
            _print_photo(described)
        return
    from colorizenet.modelfile import load_model

    loaded = load_model(name)
    card = {"sha256": loaded.sha256} | dataclasses.asdict(loaded.card)
    card["inputs"] = [each._asdict() for each in loaded.card.inputs]
    print(json.dumps(card, ensure_ascii=False, indent=2))


def _is_photo(path: Path) -> bool:
    """Whether a file is a photo by its extension or its content."""
    from colorizenet.files import open_for_reading
    from colorizenet.imaging.formats import detect_format, find_format

    if find_format(path.suffix):  # a photo, also where it is empty, damaged or missing
        return True
    try:
        with open_for_reading(path) as file:
            return detect_format(file.read(64) or b"") is not None
    except OSError:
        return False


def _describe_photo(path: Path) -> dict[str, Any]:
    """The provenance of a photo, as a JSON object."""
    from importlib.util import find_spec

    from colorizenet.files import compute_sha256
    from colorizenet.imaging import exif, xmp
    from colorizenet.imaging.reading import open_image

    with open_image(path) as file:
        height, width = file.shape
        described: dict[str, Any] = {
            "file": str(path),
            "sha256": compute_sha256(path),
            "format": file.format,
            "width": width,
            "height": height,
            "pages": file.pages,
            "software": exif.read_software(file.metadata.exif) or None,
            "digital_source_type": xmp.read_source_type(file.metadata.xmp),
        }
    if find_spec("c2pa") is None:
        return described | {"c2pa": "not read, because the extra `provenance` is not installed"}
    from colorizenet.signing import read_manifest

    manifest = read_manifest(path)
    return described | {"c2pa": dataclasses.asdict(manifest) if manifest else None}


def _print_photo(described: dict[str, Any]) -> None:
    """Print the provenance of a photo, one fact a line."""
    pages = f", {described['pages']} pages" if described["pages"] > 1 else ""
    size = f"{described['width']} x {described['height']}"
    print(f"{quote(described['file'])}: {described['format']}, {size}{pages}")
    print(f"SHA-256: {described['sha256']}")
    print(f"Software: {quote(described['software'] or 'not named')}")
    print(f"Digital source type: {quote(described['digital_source_type'] or 'not stated')}")
    c2pa = described["c2pa"]
    if not isinstance(c2pa, dict):
        print(f"C2PA manifest: {c2pa or 'none'}")
        return
    state = "verifies" if c2pa["verifies"] else f"DOES NOT VERIFY: {', '.join(c2pa['problems'])}"
    print(f"C2PA manifest: {state}")
    trust = "on the trust list" if c2pa["trusted"] else "not on the trust list"
    print(f"  signed by {quote(c2pa['signer'])}, {trust}")
    print(f"  signed at {quote(c2pa['time'] or 'a time that nobody has stamped')}")
    print(f"  made by {quote(c2pa['generator'])}")
    for action in c2pa["actions"]:
        reason = f": {action['description']}" if action.get("description") else ""
        print(f"  action {quote(action.get('action', ''))}{quote(reason)}")
    for title in c2pa["ingredients"]:
        print(f"  made from {quote(title)}")
