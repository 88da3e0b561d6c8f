"""Photos on many machines, with Ray Data.

``colorize`` is a step of a pipeline of your own. ``colorizenet colorize --engine ray``
takes whole archives: see ``plan`` (which photos), ``catalog`` (what is done), ``work``
(one process) and ``engine`` (all of them). Needs the extra ``ray``.
"""

from colorizenet.ray.dataset import colorize

__all__ = ["colorize"]
