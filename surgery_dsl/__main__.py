"""``python -m surgery_dsl`` is the command line."""

from surgery_dsl.cli.main import main

if __name__ == "__main__":
    main()
