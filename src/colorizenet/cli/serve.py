"""``colorizenet serve``: run the web page and the HTTP API."""

import dataclasses
import logging
import sys
import threading
import webbrowser
from functools import partial
from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter

from colorizenet.cli.app import SERVING, Flag, app, require_extra
from colorizenet.errors import ConfigError, quote

AtLeast0 = Parameter(validator=cyclopts.validators.Number(gte=0))
AtLeast1 = Parameter(validator=cyclopts.validators.Number(gte=1))
AtLeast2 = Parameter(validator=cyclopts.validators.Number(gte=2))
Positive = Parameter(validator=cyclopts.validators.Number(gt=0))
Port = Parameter(validator=cyclopts.validators.Number(gte=0, lte=65535))


@app.command
def serve(
    *,
    host: str = "127.0.0.1",
    port: Annotated[int, Port] = 8000,
    model: tuple[str, ...] = ("default", "diverse"),
    device: str = "cpu",
    open: Flag = False,
    no_page: Flag = False,
    token: Annotated[str | None, Parameter(env_var="COLORIZENET_TOKEN", show_default=False)] = None,
    token_file: Path | None = None,
    insecure: Flag = False,
    server_name: tuple[str, ...] = (),
    origin: tuple[str, ...] = (),
    max_bytes: Annotated[int | None, AtLeast1] = None,
    max_pixels: Annotated[int | None, AtLeast1] = None,
    max_pages: Annotated[int, AtLeast1] = 20,
    concurrency: Annotated[int | None, AtLeast2] = None,
    queue: Annotated[int, AtLeast0] = 32,
    memory: Annotated[int | None, AtLeast0] = None,
    timeout: Annotated[float | None, Positive] = None,
) -> None:
    """Run the web page and the HTTP API. Ctrl-C finishes running requests, then stops.

    Only this machine can connect, unless there is a token. See docs/serving.md.

    Parameters
    ----------
    host
        Address to listen on. An address that other machines can reach requires a token
        or --insecure.
    port
        Port to listen on; 0 takes a free one.
    model
        Name of a model inside the package, or an ONNX file exported by ColorizeNet. May
        be given several times; requests that name no model use the first.
    device
        Where the networks run: cpu, or another device of your onnxruntime, such as
        cuda.
    open
        Open the page in a browser.
    no_page
        Run the API only.
    token
        Secret that clients must send, as `Authorization: Bearer TOKEN` or as the
        password of any user. Other users of this machine can read a command line, so
        prefer the environment variable COLORIZENET_TOKEN or --token-file.
    token_file
        File that holds the token.
    insecure
        Allow an address that other machines can reach without a token.
    server_name
        Name by which clients may address this server, such as photos.example. May be
        given several times. Names other than these, localhost and --host are rejected,
        except where there is a token and this is not given. IP addresses are accepted.
    origin
        Origin of another site whose pages may use the API (CORS), such as
        https://photos.example. May be given several times.
    max_bytes
        Size of the largest file that is accepted. By default 100,000,000; 4,000,000,000
        where only this machine can connect, and there is no token and no --server-name.
    max_pixels
        Number of pixels of the largest photo that is accepted. By default 100,000,000;
        2,000,000,000 where only this machine can connect, as above.
    max_pages
        Number of pages of the longest TIFF that is accepted.
    concurrency
        Photos colorized at once, each by one process: at least 2, since large photos
        leave one process to small ones. By default one more than there are cores.
    queue
        Photos that may wait for a process. Photos of more than 8 million pixels have a
        queue of the same length of their own. Further requests get status 503 and a
        time to retry.
    memory
        Bytes of memory that the processes may take together. Photos that need much wait
        until it is free, and those that need more are rejected. By default half of the
        memory of this machine or container, and at least 600 MB for each of the
        processes, of which there is one more than photos at once; 0 sets no limit.
    timeout
        Seconds that a photo may take to arrive, and then again to be colorized. A
        process that takes longer is killed and replaced. By default 120; 3600 where
        only this machine can connect, as above.
    """
    require_extra("serve", "serving", SERVING)
    from colorizenet.colorizer import Colorizer
    from colorizenet.serving import http
    from colorizenet.serving.access import Access, is_loopback, parse_origin, parse_server_name
    from colorizenet.serving.jobs import Limits

    if open and no_page:
        raise ConfigError("--open opens the page, which --no-page leaves out; use only one of them")
    if token_file is not None:
        token = _read_token(token_file, token)
    if not (is_loopback(host) or token or insecure):
        raise ConfigError(
            f"other machines can reach {quote(host)} and there is no token; "
            "set COLORIZENET_TOKEN, or use --insecure"
        )
    names = [Path(name).stem if name.endswith(".onnx") else name for name in model]
    if len(set(names)) < len(names):
        raise ConfigError(
            f"two models have the same name ({quote(', '.join(names))}); rename one of the files"
        )
    if memory is None and device != "cpu":
        memory = 0  # drivers of other devices reserve more than they use
    # With a token or a name, the server may be behind a proxy that others can reach.
    local = is_loopback(host) and not token and not server_name
    given = {
        "max_bytes": max_bytes,
        "max_pixels": max_pixels,
        "timeout": timeout,
        "concurrency": concurrency,
    }
    limits = dataclasses.replace(
        Limits.for_this_machine() if local else Limits(),
        max_pages=max_pages,
        queue=queue,
        memory=memory,
        **{name: value for name, value in given.items() if value is not None},
    )
    given_hosts = map(parse_server_name, server_name)
    hosts = frozenset({"localhost", "127.0.0.1", "::1", host.lower(), *given_hosts})
    logging.basicConfig(level=logging.WARNING, format="colorizenet: %(message)s", stream=sys.stderr)

    def announce(url: str) -> None:
        what = "the API" if no_page else "the page and the API"
        print(f"serving {what} at {url}", file=sys.stderr, flush=True)
        if open:  # some browsers block until they are closed
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()

    http.serve(
        {
            name: partial(Colorizer, each, device=device, threads=1)
            for name, each in zip(names, model, strict=True)
        },
        limits=limits,
        access=Access(
            token=token,
            hosts=None if token and not server_name else hosts,
            origins=frozenset(map(parse_origin, origin)),
        ),
        host=host,
        port=port,
        with_page=not no_page,
        announce=announce,
    )


def _read_token(file: Path, token: str | None) -> str:
    if token:
        raise ConfigError(
            f"there is a token file, {quote(file)}, and also a token in --token or "
            "COLORIZENET_TOKEN; use only one of them"
        )
    try:
        content = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(
            f"the token file {quote(file)} cannot be read: {reason}; give a readable text file"
        ) from error
    if not content:
        raise ConfigError(f"the token file {quote(file)} is empty; write the token into it")
    return content
