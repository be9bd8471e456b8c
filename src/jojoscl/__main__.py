"""``python -m jojoscl`` is the command `jojoscl`."""

from jojoscl.runner.cli import main

if __name__ == "__main__":
    main()
