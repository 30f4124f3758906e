"""What `elva context -a service` of ELVA 0.33 says in each world.

Argument: "inside" calls the command in this process, "outside" starts the program.
"""

import contextlib
import importlib
import io
import subprocess
import sys
from pathlib import Path

import elva.cli
from elva.apps import service
from worlds import tour

COMMAND = ["context", "-a", "service"]


def inside():
    # It looks for its files when it is imported.
    importlib.reload(elva.cli)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        elva.cli.elva.main(COMMAND, standalone_mode=False)
    return read(printed.getvalue())


def outside():
    program = Path(sys.executable).with_name("elva")
    return read(subprocess.check_output([program, *COMMAND], text=True))


def read(printed):
    """It prints a dictionary; the paths in it are not literals."""
    names = {"__builtins__": {}, "PosixPath": str, "WindowsPath": str}
    context = eval(printed, names)
    for argument in service.cli.params:
        if context.get(argument.name) is None:
            context[argument.name] = argument.default
    # Without any it prints a new one each time.
    del context["identifier"]
    return context


tour({"inside": inside, "outside": outside}[sys.argv[1]])
