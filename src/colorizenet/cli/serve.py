"""``colorizenet serve``: run the web page and the HTTP API."""

import dataclasses
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import cyclopts
from cyclopts import Parameter

from colorizenet.cli.app import SERVING, Flag, app, require_extra
from colorizenet.errors import ConfigError, quote

if TYPE_CHECKING:
    pass


@app.command
def serve(
    *,
    host: str = "127.0.0.1",
    port: Annotated[int, Parameter(validator=cyclopts.validators.Number(gte=0, lte=65535))] = 8000,
    model: tuple[str, ...] = ("default",),
    provider: str = "cpu",
    ui: Annotated[bool, Parameter(negative="--no-ui", show_default=False)] = True,
    token: Annotated[str | None, Parameter(env_var="COLORIZENET_TOKEN", show_default=False)] = None,
    insecure: Flag = False,
    origin: tuple[str, ...] = (),
    max_bytes: Annotated[int, Parameter(validator=cyclopts.validators.Number(gte=1))] = 100_000_000,
    max_pixels: Annotated[
        int, Parameter(validator=cyclopts.validators.Number(gte=1))
    ] = 100_000_000,
    concurrency: Annotated[
        int | None, Parameter(validator=cyclopts.validators.Number(gte=2))
    ] = None,
    queue: Annotated[int, Parameter(validator=cyclopts.validators.Number(gte=0))] = 32,
    seconds: Annotated[float, Parameter(validator=cyclopts.validators.Number(gt=0))] = 120.0,
) -> None:
    """Serve people a page and programs an API, until it is stopped; what was accepted is finished.

    On this machine only, unless there is a token. See docs/serving.md.

    Parameters
    ----------
    host
        Address to listen on; one that other machines reach needs --token or --insecure.
    port
        Port to listen on; 0 takes a free one.
    model
        A model inside the package or an .onnx file of ours; may be given several times, and the first is
        what clients get who name none.
    provider
        Where the networks run: cpu, or what your onnxruntime offers, such as cuda.
    ui
        The page; without it there is the API only, and Gradio is not needed.
    token
        What clients must send, as `Authorization: Bearer TOKEN` or as a password of any user. Better given in the
        environment as COLORIZENET_TOKEN, because a command line can be seen by others.
    insecure
        Listen where other machines reach it although there is no token.
    origin
        An origin such as https://photos.example whose pages may use the API (CORS); may be given several times.
    max_bytes
        Largest file taken.
    max_pixels
        Largest picture decoded.
    concurrency
        Pictures worked on at once, each by one thread (default: one more than there are cores).
    queue
        Pictures that may wait, and as many of over 8 million pixels; past it clients are told to try again.
    seconds
        How long a picture may take to arrive, and then to be colored.
    """
    require_extra("serve", "serving", SERVING if ui else SERVING[:-1])
    from colorizenet.colorizer import Colorizer
    from colorizenet.serving import http as server
    from colorizenet.serving.jobs import Limits

    if not (server.is_loopback(host) or token or insecure):
        raise ConfigError(
            f"{quote(host)} is reached by other machines and there is no token; give one in COLORIZENET_TOKEN, "
            "or say --insecure"
        )
    names = [Path(name).stem if name.endswith(".onnx") else name for name in model]
    if len(set(names)) < len(names):
        raise ConfigError("two models would have the same name; rename a file")
    limits = Limits(max_bytes=max_bytes, max_pixels=max_pixels, queue=queue, seconds=seconds)
    if concurrency:
        limits = dataclasses.replace(limits, concurrency=concurrency)
    hosts = None if token or insecure else frozenset({"localhost", "127.0.0.1", "::1", host})
    logging.basicConfig(level=logging.WARNING, format="colorizenet: %(message)s", stream=sys.stderr)
    server.serve(
        {
            name: Colorizer(each, device=provider, threads=1)
            for name, each in zip(names, model, strict=True)
        },
        limits=limits,
        access=server.Access(token=token, hosts=hosts, origins=frozenset(origin)),
        host=host,
        port=port,
        with_page=ui,
        told=lambda url: print(
            f"{'the page and the API' if ui else 'the API'}: {url}", file=sys.stderr, flush=True
        ),
    )
