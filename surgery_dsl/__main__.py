"""``python -m surgery_dsl`` is the command line."""

from surgery_dsl.cli.main import program

if __name__ == "__main__":
    program()
