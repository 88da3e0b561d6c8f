"""How fast each device of this machine runs the network, and whether the results agree.

    python benchmarks/devices.py [PHOTO] [--model default] [--device NAME]...
                                 [--batches 1,8,32] [--repeats 5]

Without `--device`, every device of the installed ONNX Runtime is measured. For each
device: the time to load the model, the time of the first photo, which includes what a
device compiles, and the median time of one photo of 1 megapixel after it. Then the time
of the network alone per picture of its preferred size, in batches: a device gains from
batches where it falls. The last column is the largest difference of any channel from
the result of the CPU, in levels of 255.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

from colorizenet import Colorizer, read_image
from colorizenet.imaging.resampling import resize
from colorizenet.modelfile import list_devices, load_model

SAMPLE = Path(__file__).parents[1] / "samples" / "sheep-1888.jpg"
SHAPE = 1000, 1000


def measure_seconds(run: Callable[[], object], repeats: int) -> float:
    """The median time of some runs."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photo", type=Path, nargs="?", default=SAMPLE)
    parser.add_argument("--model", default="default")
    parser.add_argument("--device", action="append", default=[])
    parser.add_argument("--batches", default="1,8,32")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    batches = [int(each) for each in options.batches.split(",")]

    pixels = read_image(options.photo).pixels
    pixels = pixels if pixels.ndim == 2 else pixels[..., :3]  # without alpha
    photo = np.ascontiguousarray(resize(pixels, *SHAPE))
    reference = Colorizer(options.model)(photo).astype(int)
    columns = "".join(f"{f'batch {each}':>12s}" for each in batches)
    print(f"{'device':12s}{'load':>9s}{'first':>9s}{'photo':>9s}{columns}{'difference':>12s}")
    for device in options.device or list_devices():
        started = time.perf_counter()
        colorizer = Colorizer(options.model, device=device)
        loaded = time.perf_counter() - started
        first = measure_seconds(partial(colorizer, photo), 1)
        usual = measure_seconds(partial(colorizer, photo), options.repeats)
        model = load_model(options.model, device=device)
        side = model.card.size
        times = []
        for batch in batches:
            planes = {
                each.name: np.zeros((batch, each.channels, side, side), np.float32)
                for each in model.card.inputs
            }
            run = partial(model.session.run, ["ab"], planes)
            run()
            seconds = measure_seconds(run, options.repeats)
            times.append(f"{seconds / batch * 1e3:9.1f} ms")
        difference = np.abs(colorizer(photo).astype(int) - reference).max()
        print(
            f"{device:12s}{loaded:7.2f} s{first:7.2f} s{usual:7.2f} s{''.join(times)}"
            f"{difference:12d}",
            flush=True,
        )


if __name__ == "__main__":
    main()
