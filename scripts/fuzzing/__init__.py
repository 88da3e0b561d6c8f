"""Odd, damaged and hostile image files, and the processes that try them.

Used by ``scripts/fuzz.py`` and by the tests; not part of the package.
"""
