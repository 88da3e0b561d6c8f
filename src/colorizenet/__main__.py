"""``python -m colorizenet``."""

from colorizenet.cli import main

if __name__ == "__main__":
    main()
