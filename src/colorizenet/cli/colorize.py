"""``colorizenet colorize``: colorize photos, folders or standard input."""

import dataclasses
import functools
import os
import sys
import time
from collections.abc import Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from colorizenet.cli import console
from colorizenet.cli.app import (
    DASH,
    Flag,
    app,
    check_target,
    expand_settings,
    explain_interruption,
)
from colorizenet.cli.hints import add_hints, add_planned_hints
from colorizenet.cli.inputs import expand_patterns, parse_input
from colorizenet.cli.ray import RayFlags, check_local, colorize_on_ray
from colorizenet.cli.signing import add_signing
from colorizenet.cli.single import colorize_stream, detect_ending, plan_file
from colorizenet.cli.variants import add_variants, check_variants_are_alone
from colorizenet.errors import ConfigError, quote
from colorizenet.options import MAX_VARIANTS, Options, Output

if TYPE_CHECKING:
    from colorizenet.batch import Done, Worker
    from colorizenet.planning import Job

_CONTACT_SHEET = 24
"""Photos that a contact sheet shows at most."""


@app.command
@expand_settings
def colorize(
    *paths: Annotated[Path | str, Parameter(converter=parse_input)],
    out: Annotated[str | None, Parameter(alias="-o")] = None,
    suffix: Annotated[str, Parameter(allow_leading_hyphen=True)] = "",
    model: str = "default",
    options: Options = Options(),
    output: Output = Output(),
    hint: Annotated[tuple[str, ...], Parameter(show_default=False)] = (),
    hints: Path | None = None,
    variants: Annotated[int, Parameter(validator=Number(gte=1, lte=MAX_VARIANTS))] = 1,
    seed: Annotated[int | None, Parameter(validator=Number(gte=0, lt=2**63))] = None,
    diversity: Annotated[float | None, Parameter(validator=Number(gte=0, lte=2))] = None,
    device: str = "cpu",
    jobs: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    engine: Literal["local", "ray"] = "local",
    ray_address: str | None = None,
    concurrency: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    num_gpus_per_worker: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
    manifest: str | None = None,
    max_pixels: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    overwrite: Flag = False,
    skip_color: Flag = False,
    dry_run: Flag = False,
    contact_sheet: Path | None = None,
    sidecar: Literal["also", "only"] | None = None,
    sign: Annotated[tuple[Path, Path] | None, Parameter(show_default=False)] = None,
    tsa: str | None = None,
    as_json: Annotated[Flag, Parameter(name="--json")] = False,
    quiet: Annotated[Flag, Parameter(alias="-q")] = False,
    verbose: Annotated[Flag, Parameter(alias="-v")] = False,
) -> None:
    """Colorize photos: files, folders of any depth, or - for standard input.

    Results have the size, lightness, bit depth and format of the photo. Folders are
    mirrored. Photos are redone only if they, the model or a setting changed; files the
    tool did not write are only replaced with --overwrite. After an interruption, the
    same command goes on.

    Parameters
    ----------
    paths
        Photos (JPEG, PNG, TIFF, WebP, AVIF, GIF, PGM, PPM, BMP, JPEG 2000; with the
        extra `formats` HEIC and JPEG XL), folders, patterns such as `*.jpg`, or - for
        one photo on standard input.
    out
        Folder for the results (default: colorized); for one photo also a file, or - for
        standard output.
    suffix
        Text that is added to the name of each result, before its extension.
    model
        A model inside the package (see `colorizenet models`) or an ONNX file exported
        by ColorizeNet.
    hint
        A color for one place of one photo: X,Y,#RRGGBB[,RADIUS], or X,Y,neutral for no
        color. X and Y are fractions of the width and height of the upright photo, and
        RADIUS of its short side (default: 0.0125). Repeat it for more, up to 128.
    hints
        Hints of one photo as a JSON file, or the folder of the files of many photos:
        1921.hints.json for 1921.jpg, in the same subfolder as its result.
    variants
        Number of colorings of each photo, up to 16: 1921-1.jpg is the model's own
        answer, and 1921-2.jpg, ... are drawn and chosen to differ. 1921-variants.jpg
        shows them side by side. The model default cannot draw: diverse, which contains
        it, takes its place.
    seed
        Seed of the variants (default: 0). Other seeds draw other colors.
    diversity
        How much variants differ, from 0 to 2 (default: 1).
    device
        Device that runs the network: cpu, or what the installed ONNX Runtime offers,
        such as cuda.
    jobs
        Photos colorized at the same time (default: number of cores plus one, at most
        8).
    engine
        `local` colorizes on this machine. `ray` does so on a cluster, or on this
        machine without one; inputs and --out can also be URLs of object stores
        (s3://, gs://, az://, ...) and tar shards. Needs the extra `ray`.
    ray_address
        Address of a Ray cluster: auto, HOST:PORT or ray://HOST:PORT (default: a
        cluster of this machine alone).
    concurrency
        Worker processes of --engine ray, each with one core and one loaded model
        (default: one for each core, or as many as the GPUs allow).
    num_gpus_per_worker
        GPUs of each worker process of --engine ray; may be a fraction.
    manifest
        A list of photos for --engine ray: a .txt file with one path or URL on each
        line, or a .csv or .parquet file with the columns source and, for other names
        of the results, target.
    max_pixels
        Refuse photos of more pixels before decoding them (default: 2 billion).
    overwrite
        Replace results that exist, also files that this tool did not write.
    skip_color
        Leave out photos that are already in color. Gray and sepia photos are colorized.
    dry_run
        Print what would be written, and write nothing.
    contact_sheet
        Also write one picture that shows up to 24 photos, gray and colorized. An
        existing file is replaced.
    sidecar
        `also` writes the colors of each result as a small file, 1921.jpg.colors.json;
        `only` writes that file and no result. `colorizenet apply` makes the colored
        picture from the photo and that file.
    sign
        Sign each result with a C2PA manifest, which names the photo, the model and the
        options: the certificate with those of its issuers and the private key, as PEM
        files. Needs the extra `provenance`.
    tsa
        URL of a time-stamping authority (RFC 3161) for --sign.
    as_json
        Print one JSON object for each photo instead of the path of its result.
    quiet
        Print errors only.
    verbose
        Print the size and the time of each photo.
    """
    # Before NumPy is imported: with one worker thread for each core, further threads
    # of BLAS would only compete.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from colorizenet import batch
    from colorizenet.imaging.formats import FORMATS
    from colorizenet.imaging.reading import MAX_PIXELS
    from colorizenet.modelfile import shipped_models
    from colorizenet.planning import LeftOut, plan_jobs
    from colorizenet.variants import choose_model

    flags = RayFlags(
        address=ray_address,
        concurrency=concurrency,
        gpus=num_gpus_per_worker,
        manifest=manifest,
    )
    local = check_local(flags, paths, out) if engine == "local" else []
    if engine == "local" and not local:
        raise ConfigError("no photo was given; name files, folders, or - for standard input")
    if Path(f"1{suffix}").name != f"1{suffix}" or "\0" in suffix:
        raise ConfigError(
            f"--suffix {quote(suffix)} is not a part of a file name; give one such as -color"
        )
    if quiet and verbose:
        raise ConfigError("--quiet and --verbose exclude each other; leave one out")
    if out == "":
        raise ConfigError("--out is empty; name a folder, or leave it out")
    style = console.Style(json=as_json, quiet=quiet, verbose=verbose)
    wanted = output.format or (detect_ending(out) if out else None)
    if output.quality is not None and wanted and not FORMATS[wanted].quality:
        lossy = ", ".join(name for name, kind in FORMATS.items() if kind.quality)
        raise ConfigError(f"--quality is for {lossy}, and {wanted} is lossless; leave it out")
    worker = batch.Worker(
        model=choose_model(model, variants, shipped_models()),
        device=device,
        options=options,
        output=output,
        max_pixels=max_pixels or MAX_PIXELS,
        overwrite=overwrite,
        skip_color=skip_color,
    )
    worker = add_variants(worker, variants, seed, diversity)
    worker = add_signing(worker, sign, tsa)
    if sign and sidecar == "only":
        raise ConfigError("--sign signs results and --sidecar only writes none; leave one out")
    if contact_sheet and sidecar == "only":
        raise ConfigError(
            "--contact-sheet shows results and --sidecar only writes none; leave one out"
        )
    if engine == "ray":
        not_on_ray = {"--jobs": jobs, "--contact-sheet": contact_sheet}
        colorize_on_ray(
            paths,
            out or "colorized",
            worker,
            flags,
            style,
            not_on_ray=[name for name, value in not_on_ray.items() if value],
            suffix=suffix,
            variants=variants,
            sidecar=sidecar,
            hint=hint,
            hints=hints,
            dry_run=dry_run,
        )
        return
    if Path(DASH) in local or out == DASH:
        check_variants_are_alone(variants, "-")
        if (
            len(local) > 1
            or as_json
            or contact_sheet
            or suffix
            or dry_run
            or skip_color
            or sidecar
            or sign
        ):
            raise ConfigError(
                "- is for one photo, without --json, --contact-sheet, --suffix, --dry-run, "
                "--skip-color, --sidecar and --sign; name a folder with --out to use them"
            )
        colorize_stream(local[0], out, add_hints(worker, hint, hints), style)
        return

    sources = expand_patterns(local)
    left_out: list[LeftOut] = []
    if out and detect_ending(out) and not Path(out).is_dir():
        check_variants_are_alone(variants, f"--out {quote(out)}")
        planned = [plan_file(sources, Path(out), worker, suffix, sidecar)]
        folder = None
    else:
        folder = Path(out or "colorized")
        planned = plan_jobs(
            sources,
            folder,
            format=output.format,
            suffix=suffix,
            variants=variants,
            sidecar=sidecar,
            max_pixels=worker.max_pixels,
            left_out=left_out,
        )
    unsearched = [each for each in left_out if each.why == "cannot be searched"]
    if not planned:
        if unsearched:
            console.print_left_out(unsearched)
        raise ConfigError(f"no photo in {quote(sources[0])}; expected {', '.join(FORMATS)}")
    if contact_sheet:
        _check_contact_sheet(contact_sheet, planned)
    worker = add_planned_hints(worker, hint, hints, planned, folder, quiet=quiet)
    cores = os.cpu_count() or 1
    # Many photos: one thread for each, and one photo more than cores, because one may
    # wait for the disk. One photo: all cores work on it.
    workers = jobs or max(1, min(8, cores + 1, len(planned)))
    worker = dataclasses.replace(worker, threads=max(1, cores // workers), journal=folder)
    loaded = worker.colorizer  # an unusable model or device is reported before any photo is read
    loaded.check_options(worker.options, variants)
    if verbose:
        console.print_message(
            f"model {loaded.card.name} (SHA-256 {loaded.sha256[:12]}…) on {device}, "
            f"{workers} photos at a time, threads for each: {worker.threads}"
        )
    if not quiet:
        console.print_formats(planned)
    if dry_run:
        console.print_left_out(unsearched if quiet else left_out)
        finished = ((job, worker.is_finished(job)) for job in planned)
        plan = (
            (job, done, () if done else [path for path in job.files if worker.keeps(path)])
            for job, done in finished
        )
        console.print_plan(plan, style=style)
        return
    results = _run(planned, worker, workers, style)
    console.print_left_out(unsearched if quiet else left_out)
    groups = [(each.job.source, *each.job.targets) for each in results if _has_result(each)]
    if contact_sheet and groups:
        from colorizenet.imaging.contact_sheet import draw_contact_sheet
        from colorizenet.imaging.writing import write_image

        sheet = draw_contact_sheet(
            groups[:_CONTACT_SHEET],
            columns=2 if variants == 1 else 1,
            threads=cores,
            max_pixels=worker.max_pixels,
        )
        write_image(contact_sheet, sheet)
    if unsearched or any(result.error for result in results):
        sys.exit(1)


def _run(
    planned: "Sequence[Job]", worker: "Worker", workers: int, style: console.Style
) -> "list[Done]":
    """Colorize photos in threads and print what becomes of each."""
    from colorizenet import batch
    from colorizenet.imaging.libvips import configure_process
    from colorizenet.journal import lock_results

    results: list[Done] = []
    started = time.perf_counter()

    def explain() -> str:
        # Photos that were being colorized at the time are finished, but not among the
        # results.
        finished = max(
            sum(_has_result(result) for result in results),
            sum(worker.is_finished(job) for job in planned),
        )
        again = "run the same command" + (" without --overwrite" if worker.overwrite else "")
        return f"{finished} of {len(planned)} photos are finished; {again} to go on"

    engine: batch.Engine = functools.partial(batch.run_threads, workers=workers)
    configure_process(worker.threads)
    with explain_interruption(explain):
        targets = [job.target for job in planned]
        lock = lock_results(worker.journal, targets) if worker.journal else nullcontext("")
        # The threads end before the folder is released, also where stdout is closed.
        with lock as warning, closing(engine(planned, worker)) as outcomes:
            if warning and not style.quiet:
                console.print_message(warning)
            console.report(outcomes, len(planned), results, style=style)
    if not style.quiet:
        console.print_summary(results, time.perf_counter() - started)
    return results


def _has_result(result: "Done") -> bool:
    return not result.error and result.skipped != "in color"


def _check_contact_sheet(path: Path, planned: "Sequence[Job]") -> None:
    from colorizenet.imaging.formats import FORMATS

    format = detect_ending(path)
    if not format or not FORMATS[format].written:
        raise ConfigError(
            f"--contact-sheet {quote(path)} has no format that can be written; "
            "end it in .png or .jpg"
        )
    check_target(path)
    used = {each.resolve() for job in planned for each in (job.source, *job.files)}
    if path.resolve() in used:
        raise ConfigError(
            f"--contact-sheet {quote(path)} is one of the photos or results; name another file"
        )
