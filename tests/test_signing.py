"""C2PA manifests of results, read back by the library's own reader."""

import datetime
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import c2pa
import numpy as np
import PIL.Image
import pytest
import ray
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from colorizenet.batch import Worker, run_threads
from colorizenet.cli import main
from colorizenet.imaging.image import Image
from colorizenet.imaging.reading import read_image
from colorizenet.imaging.writing import encode_image, write_image
from colorizenet.planning import plan_jobs
from colorizenet.signing import SigningKey, read_manifest

PEM = serialization.Encoding.PEM


def run(arguments: list[object]) -> int:
    with pytest.raises(SystemExit) as exit:
        main([str(each) for each in arguments])
    assert isinstance(exit.value.code, int)
    return exit.value.code


def make_certificate(name, key, issuer, issuer_key, usage=None) -> x509.Certificate:
    """A certificate of the profile of C2PA; one of an issuer without ``usage``."""
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    names = [
        x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "An archive"), common])
        for common in (x509.NameAttribute(NameOID.COMMON_NAME, each) for each in (name, issuer))
    ]
    public = issuer_key.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(names[0])
        .issuer_name(names[1])
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + 300 * day)
        .add_extension(x509.BasicConstraints(ca=not usage, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=bool(usage),
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=not usage,
                crl_sign=not usage,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )
    if usage:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=True)
    return builder.sign(issuer_key, hashes.SHA256())


def write_key(folder: Path, key, encryption=None) -> SigningKey:
    """The files of a key and of its certificate."""
    authority = ec.generate_private_key(ec.SECP256R1())
    chain = [
        make_certificate(
            "The archivist", key, "Root", authority, ExtendedKeyUsageOID.EMAIL_PROTECTION
        ),
        make_certificate("Root", authority, "Root", authority),
    ]
    folder.mkdir(exist_ok=True)
    (folder / "cert.pem").write_bytes(b"".join(each.public_bytes(PEM) for each in chain))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            PEM,
            serialization.PrivateFormat.PKCS8,
            encryption or serialization.NoEncryption(),
        )
    )
    return SigningKey(folder / "cert.pem", folder / "key.pem")


@pytest.fixture(scope="module")
def key(tmp_path_factory) -> SigningKey:
    """A key of the curve P-256, with a certificate of its own authority."""
    return write_key(tmp_path_factory.mktemp("key"), ec.generate_private_key(ec.SECP256R1()))


def sign(key: SigningKey, *arguments: object) -> int:
    return run(["colorize", *arguments, "--sign", key.certificate, key.key])


@pytest.mark.parametrize("format", ["jpeg", "png", "tiff", "webp", "avif"])
def test_a_signed_result_verifies_and_a_changed_one_does_not(key, tmp_path, samples, format):
    out = tmp_path / "out"
    assert sign(key, samples[0], "--out", out, "--format", format) == 0
    [result] = out.glob("[!.]*")
    manifest = read_manifest(result)
    assert manifest and manifest.verifies and not manifest.trusted and not manifest.problems
    assert manifest.signer == "The archivist, An archive" and manifest.time is None
    assert manifest.generator.startswith("ColorizeNet ")
    assert manifest.ingredients == (samples[0].name,)
    opened, colored = manifest.actions
    assert opened["action"] == "c2pa.opened" and colored["action"] == "c2pa.color_adjustments"
    assert colored["digitalSourceType"].endswith("/compositeWithTrainedAlgorithmicMedia")
    changed = bytearray(result.read_bytes())
    changed[len(changed) // 2] ^= 1
    (tmp_path / "changed").write_bytes(changed)
    manifest = read_manifest(tmp_path / "changed")
    assert manifest and not manifest.verifies and any("mismatch" in p for p in manifest.problems)


def test_the_manifest_names_the_photo_the_model_and_the_options(key, tmp_path, samples):
    import hashlib

    hint = "0.25,0.5,#804020"
    out = tmp_path / "out"
    assert sign(key, samples[1], "--out", out, "--strength", 1.25, "--hint", hint) == 0
    manifest = read_manifest(out / samples[1].name)
    assert manifest
    said = manifest.actions[1]["parameters"]
    digest = hashlib.sha256(samples[1].read_bytes()).hexdigest()
    assert said["org.colorizenet.source"] == {"sha256": digest}
    model = Worker().colorizer
    assert said["org.colorizenet.model"] == {"name": "default", "sha256": model.sha256}
    options = said["org.colorizenet.options"]
    assert options["strength"] == 1.25 and options["hints"][0]["color"] == "#804020"


def test_pixels_and_metadata_are_those_of_an_unsigned_result(key, tmp_path, samples):
    assert sign(key, samples[2], "--out", tmp_path / "signed") == 0
    run(["colorize", samples[2], "--out", tmp_path / "plain"])
    signed, plain = (read_image(tmp_path / each / samples[2].name) for each in ("signed", "plain"))
    assert np.array_equal(signed.pixels, plain.pixels)
    assert signed.metadata.exif == plain.metadata.exif
    assert signed.metadata.xmp == plain.metadata.xmp


def test_the_manifest_of_a_signed_original_is_kept(key, tmp_path, samples):
    sign(key, samples[0], "--out", tmp_path / "first")
    first = tmp_path / "first" / samples[0].name
    sign(key, first, "--out", tmp_path / "second")
    with c2pa.Reader(str(tmp_path / "second" / samples[0].name)) as reader:
        store = json.loads(reader.json())
    assert len(store["manifests"]) == 2
    manifest = read_manifest(tmp_path / "second" / samples[0].name)
    assert manifest and manifest.verifies


def test_a_photo_in_strips_and_pages_and_other_formats_are_signed(key, tmp_path, gray):
    folder = tmp_path / "in"
    folder.mkdir()
    write_image(folder / "pages.tif", Image(np.concatenate([gray, 255 - gray]), pages=2))
    (folder / "a.pgm").write_bytes(b"P5 451 300 255\n" + gray.tobytes())
    (folder / "b.png").write_bytes(encode_image(Image(gray), "png"))
    jobs = plan_jobs([folder], tmp_path / "out")
    worker = Worker(signing=key, stream_above=1000, journal=tmp_path / "out")
    for done in run_threads(jobs, worker):
        assert done.error is None
        manifest = read_manifest(done.job.target)
        assert manifest and manifest.verifies
    assert not list((tmp_path / "out").glob(".colorizenet-*"))


def test_the_second_run_does_nothing_and_no_key_is_in_the_journal(key, tmp_path, samples):
    out = tmp_path / "out"
    sign(key, samples[0], "--out", out)
    first = (out / samples[0].name).read_bytes()
    sign(key, samples[0], "--out", out)
    assert (out / samples[0].name).read_bytes() == first
    secret = key.key.read_text().splitlines()[1]
    kept = [path.read_bytes() for path in out.rglob("*") if path.is_file()]
    assert not any(secret.encode() in each for each in kept)
    run(["colorize", samples[0], "--out", out])  # unsigned results are other results
    assert read_manifest(out / samples[0].name) is None


@pytest.mark.filterwarnings("ignore")  # Ray leaves sockets and files open
def test_results_of_several_processes_are_signed(key, tmp_path, samples, monkeypatch):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    out = tmp_path / "out"
    chosen = samples[:3]
    try:
        assert sign(key, *chosen, "--out", out, "--engine", "ray", "--concurrency", "2") == 0
    finally:
        ray.shutdown()
    for photo in chosen:
        manifest = read_manifest(out / photo.name)
        assert manifest and manifest.verifies and manifest.ingredients == (photo.name,)
    secret = key.key.read_text().splitlines()[1].encode()
    kept = [path.read_bytes() for path in out.rglob("*") if path.is_file()]
    assert kept and not any(secret in each for each in kept)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ec.generate_private_key(ec.SECP384R1()),
        lambda: rsa.generate_private_key(65537, 2048),
        ed25519.Ed25519PrivateKey.generate,
    ],
)
def test_keys_of_every_kind_sign(tmp_path, make):
    write_key(tmp_path, make()).check()


@pytest.mark.parametrize("fault", ["other", "encrypted", "text", "missing", "curve", "swapped"])
def test_a_key_that_cannot_sign_is_one_line_before_any_work(key, tmp_path, samples, capsys, fault):
    certificate, private = key.certificate, tmp_path / "key.pem"
    if fault == "other":
        private = write_key(tmp_path, ec.generate_private_key(ec.SECP256R1())).key
    elif fault == "encrypted":
        secret = serialization.BestAvailableEncryption(b"secret")
        private = write_key(tmp_path, ec.generate_private_key(ec.SECP256R1()), secret).key
    elif fault == "text":
        private.write_text("no key")
    elif fault == "curve":
        private = write_key(tmp_path, ec.generate_private_key(ec.SECP256K1())).key
    elif fault == "swapped":
        certificate, private = key.key, key.certificate
    out = tmp_path / "out"
    assert run(["colorize", samples[0], "--out", out, "--sign", certificate, private]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and str(private) in lines[0] and not out.exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--no-provenance"], "--no-provenance"),
        (["--sidecar", "only"], "--sidecar only"),
        (["--tsa", "tsa.example"], "no URL"),
        (["--tsa", "http://127.0.0.1:9/"], "answers at http://127.0.0.1:9/"),
    ],
)
def test_settings_that_contradict_are_one_line(key, tmp_path, samples, capsys, flags, message):
    assert sign(key, samples[0], "--out", tmp_path / "out", *flags) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line and not (tmp_path / "out").exists()


def test_a_time_stamp_needs_a_signature(tmp_path, samples, capsys):
    assert run(["colorize", samples[0], "--tsa", "https://tsa.example"]) == 2
    assert "--tsa is for --sign" in capsys.readouterr().err


def test_a_sidecar_of_a_signed_result_makes_the_same_pixels(key, tmp_path, samples):
    out = tmp_path / "out"
    assert sign(key, samples[0], "--out", out, "--sidecar", "also") == 0
    sidecar = out / f"{samples[0].name}.colors.json"
    assert run(["apply", samples[0], sidecar, "--out", tmp_path / "again.jpg"]) == 0
    again, signed = read_image(tmp_path / "again.jpg"), read_image(out / samples[0].name)
    assert np.array_equal(again.pixels, signed.pixels)


@pytest.fixture
def authority(tmp_path) -> Iterator[str]:
    """The URL of a time-stamping authority, which is openssl behind a local server."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    root, own = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    usage = ExtendedKeyUsageOID.TIME_STAMPING
    certificate = make_certificate("Clock", own, "Clocks", root, usage)
    (tmp_path / "tsa.pem").write_bytes(certificate.public_bytes(PEM))
    (tmp_path / "root.pem").write_bytes(
        make_certificate("Clocks", root, "Clocks", root).public_bytes(PEM)
    )
    (tmp_path / "tsa-key.pem").write_bytes(
        own.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (tmp_path / "serial").write_text("01\n")
    (tmp_path / "tsa.cnf").write_text(
        "[tsa]\ndefault_tsa = t\n[t]\n"
        f"serial = {tmp_path}/serial\nsigner_cert = {tmp_path}/tsa.pem\n"
        f"certs = {tmp_path}/root.pem\nsigner_key = {tmp_path}/tsa-key.pem\n"
        "signer_digest = sha256\ndefault_policy = 1.2.3.4\ndigests = sha256, sha384, sha512\n"
        "ess_cert_id_alg = sha256\n"
    )

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = tmp_path / "query"
            query.write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
            command = ["openssl", "ts", "-reply", "-config", tmp_path / "tsa.cnf"]
            answer = subprocess.run(
                [*command, "-queryfile", query], capture_output=True, check=True
            ).stdout
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_a_result_carries_the_time_stamp_of_an_authority(key, tmp_path, samples, authority):
    assert sign(key, samples[0], "--out", tmp_path / "out", "--tsa", authority) == 0
    manifest = read_manifest(tmp_path / "out" / samples[0].name)
    assert manifest and manifest.verifies and manifest.time
    stamped = datetime.datetime.fromisoformat(manifest.time)
    assert abs(datetime.datetime.now(datetime.UTC) - stamped).total_seconds() < 600


def test_photos_with_names_of_bytes_and_bare_codestreams_are_signed(key, tmp_path, gray):
    import pillow_jxl  # noqa: F401 (the import registers the plugin)

    folder = tmp_path / "in"
    folder.mkdir()
    (folder / os.fsdecode(b"foto-\xe4.jpg")).write_bytes(encode_image(Image(gray), "jpeg"))
    bare = folder / "bare.jxl"
    PIL.Image.fromarray(gray).save(bare, "JXL")
    assert bare.read_bytes().startswith(b"\xff\x0a")
    assert sign(key, folder, "--out", tmp_path / "out", "--format", "png") == 0
    manifests = [read_manifest(result) for result in sorted((tmp_path / "out").glob("*.png"))]
    assert len(manifests) == 2 and all(each and each.verifies for each in manifests)
    assert read_manifest(bare) is None


def test_info_prints_the_provenance_of_a_photo(key, tmp_path, samples, capsys):
    sign(key, samples[0], "--out", tmp_path / "out")
    result = tmp_path / "out" / samples[0].name
    capsys.readouterr()
    assert run(["info", result, "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert described["software"].startswith("ColorizeNet ") and described["format"] == "jpeg"
    assert described["digital_source_type"].endswith("/compositeWithTrainedAlgorithmicMedia")
    assert described["c2pa"]["verifies"] is True
    assert run(["info", result]) == 0
    text = capsys.readouterr().out
    assert "C2PA manifest: verifies" in text and "signed by The archivist" in text
    damaged = bytearray(result.read_bytes())
    damaged[-100] ^= 1
    result.write_bytes(damaged)
    assert run(["info", result]) == 0
    assert "DOES NOT VERIFY" in capsys.readouterr().out
    assert run(["info", samples[0]]) == 0
    assert "C2PA manifest: none" in capsys.readouterr().out
