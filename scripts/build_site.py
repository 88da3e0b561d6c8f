"""Build the static site: the page with the engine that colorizes in the browser.

``make site`` writes ``site/``, which any static host serves, from any folder of its
own. It holds the files of ``colorizenet/serving/page``, the sample photos and, in
``assets/``, the model ``small``, ONNX Runtime and the table of suggested colors.
"""

import argparse
import hashlib
import json
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from colorizenet import __version__
from colorizenet.colorizer import Colorizer
from colorizenet.files import write_atomically
from colorizenet.modelfile import model_path
from colorizenet.suggestions import load_table

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "src" / "colorizenet" / "serving" / "page"
SAMPLES = ROOT / "samples"
RUNTIME = ROOT / "node_modules" / "onnxruntime-web"
MODEL = "small"
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; worker-src 'self'; manifest-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'"
)
"""Of the server's page, with WebAssembly; frame-ancestors works only as a header."""
RUNTIME_FILES = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
)


def build_site(out: Path, *, page: Path = PAGE, runtime: Path = RUNTIME) -> None:
    """Write the site to a folder, which is replaced if a site is there.

    Raises ``SystemExit`` with what to do where something is missing.
    """
    if not (runtime / "dist" / RUNTIME_FILES[0]).is_file():
        sys.exit("onnxruntime-web is not installed; run: npm ci (make site does)")
    if out.exists() and not (out / "assets" / "site.json").is_file() and any(out.iterdir()):
        sys.exit(f"{out} holds something other than a site; choose another folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".site-") as folder:
        built = Path(folder) / "site"
        _copy_page(page, built)
        _write_assets(built / "assets", runtime)
        _write_index(built / "index.html")
        _write_service_worker(page / "browser" / "service-worker.js", built)
        if out.exists():
            shutil.rmtree(out)
        built.rename(out)
    out.chmod(0o755)


def _copy_page(page: Path, built: Path) -> None:
    shutil.copytree(page, built, ignore=shutil.ignore_patterns("types.d.ts"))
    shutil.copytree(SAMPLES, built / "samples")
    (built / "browser" / "service-worker.js").unlink()
    (built / "engine.js").write_text(
        "/** The engine of the page: here the browser itself. */\n"
        'export { BrowserEngine as Engine } from "./browser/engine.js";\n'
    )


def _write_assets(assets: Path, runtime: Path) -> None:
    assets.mkdir()
    for name in RUNTIME_FILES:
        shutil.copyfile(runtime / "dist" / name, assets / name)
    model = model_path(MODEL)
    shutil.copyfile(model, assets / model.name)
    table = load_table()
    content = table.colors.tobytes() + table.shares.tobytes()
    write_atomically(assets / "suggestions.bin", content)
    site = {
        "version": __version__,
        "license": "Apache-2.0",
        "runtimeBytes": (assets / RUNTIME_FILES[-1]).stat().st_size,
        "model": describe_model(model),
        "suggestions": {
            "file": "suggestions.bin",
            "shape": table.shares.shape,
            "limit": table.provenance["limit"],
        },
    }
    (assets / "site.json").write_text(json.dumps(site, indent=1) + "\n")
    version = json.loads((runtime / "package.json").read_text())["version"]
    (assets / "LICENSES.txt").write_text(
        f"ColorizeNet {__version__}: Apache-2.0. The model has terms of its own: see site.json.\n"
        f"ONNX Runtime Web {version}, Copyright (c) Microsoft Corporation: MIT.\n"
        "https://github.com/microsoft/onnxruntime/blob/main/LICENSE\n"
    )


def describe_model(model: Path) -> dict[str, Any]:
    """Describe a model as ``network.js`` needs it. Only lightness may be its input."""
    colorizer = Colorizer(model, threads=1)
    card = colorizer.card
    if [each.name for each in card.inputs] != ["lightness"]:
        sys.exit(f"the model {card.name} takes more than lightness, which the page cannot give it")
    return {
        "file": model.name,
        "sha256": colorizer.sha256,
        "bytes": model.stat().st_size,
        "name": card.name,
        "parameters": card.parameters,
        "license": card.license,
        "limitations": card.limitations,
        "size": card.size,
        "sizeMultiple": card.size_multiple,
        "lScale": card.l_scale,
        "abScale": card.ab_scale,
        "strength": card.strength,
    }


def _write_index(path: Path) -> None:
    """Add the policy, the manifest and an icon for phones."""
    added = (
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<link rel="manifest" href="browser/manifest.webmanifest">',
        '<link rel="apple-touch-icon" href="browser/icon-192.png">',
    )
    text = path.read_text()
    head = '<meta charset="utf-8">\n'
    if text.count(head) != 1:
        sys.exit(f"index.html has no line {head.strip()}, after which the policy goes")
    lines = "".join(f"    {line}\n" for line in added)
    path.write_text(text.replace(head, head + lines))


def _write_service_worker(source: Path, built: Path) -> None:
    """Write the version, which is a hash of all files, and their names."""
    files = sorted(path for path in built.rglob("*") if path.is_file())
    names = [path.relative_to(built).as_posix() for path in files]
    digest = hashlib.sha256()
    for name, path in zip(names, files, strict=True):
        digest.update(f"{name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    kept = [
        "./" if name == "index.html" else name for name in names if name != "assets/LICENSES.txt"
    ]
    text = source.read_text()
    for pattern, value in [
        ('const VERSION = "";', f"const VERSION = {json.dumps(digest.hexdigest()[:16])};"),
        (r"const FILES = \[\];", f"const FILES = {json.dumps(kept)};"),
    ]:
        text, count = re.subn(pattern, value, text)
        assert count == 1, pattern
    (built / "service-worker.js").write_text(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "site", help="folder of the site")
    out = parser.parse_args().out
    build_site(out)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"{out}: {size / 1e6:.1f} MB; any static web server serves it over HTTPS")


if __name__ == "__main__":
    main()
