"""The entry point: finds commands by file name, and lets no traceback reach a user."""

import gc
import importlib
import io
import os
import pkgutil
import sys

import click

from surgery_dsl.cli import commands, interrupts

# pydantic looks for plug-ins of other packages at start-up; none has business here, and looking costs 15 ms.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

EXIT_INTERNAL = 2
EXIT_INTERRUPTED = 130


class Commands(click.Group):
    """A group whose members are the files of :mod:`surgery_dsl.cli.commands`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(module.name for module in pkgutil.iter_modules(commands.__path__))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"surgery_dsl.cli.commands.{cmd_name}")
        command: click.Command = module.command
        return command


def _version(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"surgery-dsl {version('surgery-dsl')}")
        context.exit()


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Show the version.")
def group() -> None:
    """Operate on trained neural networks by plans: proved before, transactional while, certified after.

    Exit codes: 0 fine; 1 findings; 2 usage or our own defect; 3 undecided; 4 drift or tamper; 130 interrupted.
    """


def main() -> None:
    """Run the command line and exit."""
    interrupts.install()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that cannot show a character shows its number
    gc.disable()  # imports alone would set off a dozen collections; commands that run long turn it on again
    try:
        code = group.main(standalone_mode=False)
    except click.exceptions.Abort as error:
        cause = error.__cause__  # click takes the end of a file, wherever it is met, for an interruption
        code = _defect(cause) if isinstance(cause, EOFError) else _interrupted(str(cause or ""))
    except KeyboardInterrupt as interruption:
        code = _interrupted(str(interruption))
    except click.ClickException as error:
        error.show()
        code = EXIT_INTERNAL
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - the reader of our output is gone
        code = 1
    except OSError as error:
        code = _unprinted(error) if _was_printing(error) else _defect(error)
    except Exception as error:  # noqa: BLE001 - the last resort: no traceback reaches a user
        code = _interrupted() if interrupts.came() else _defect(error)
    sys.exit(code)


def program() -> None:
    """Run the command line as the whole process: its end need not take apart what it built.

    Freeing a large network's interface object by object costs a tenth of a check; the system frees it at once. Where
    torch is loaded its threads and memory are left to Python.
    """
    try:
        main()
    except SystemExit as leaving:
        if "torch" in sys.modules or not isinstance(leaving.code, int):
            raise
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except OSError:  # the reader is gone, or the disk is full: let Python tell as it does
            raise leaving from None
        os._exit(leaving.code)


def _interrupted(left: str = "") -> int:
    interrupts.ignore()
    click.echo(f"interrupted: {left or 'nothing half-done is left behind'}", err=True)
    return EXIT_INTERRUPTED


def _was_printing(error: OSError) -> bool:
    """Whether an error came of what was printed; every other file names itself or is written under ``run.written``."""
    frame = error.__traceback__
    while frame is not None and frame.tb_frame.f_globals.get("__name__") != click.echo.__module__:
        frame = frame.tb_next
    return frame is not None


def _unprinted(error: OSError) -> int:
    from surgery_dsl.cli.output import report
    from surgery_dsl.diagnostics.codes import runs
    from surgery_dsl.diagnostics.diagnostic import Diagnostic

    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - what is left of the output has no place
    message = f"what the command prints could not be written: {error.strerror}"
    help_text = "make room where the output goes, or send it elsewhere"
    report(Diagnostic(runs.NOT_WRITTEN, message, facts={"error": error.errno}, help=help_text))
    return EXIT_INTERNAL


def _defect(error: Exception) -> int:
    from surgery_dsl.cli.output import report_defect

    report_defect(error)
    return EXIT_INTERNAL
