"""``circuit-tui``: reads arguments, then opens the app or runs the headless export or verification.

Nothing heavy is imported before it is needed: ``--help`` and ``--version`` know neither torch nor Textual.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from . import __version__, config, glyphs, host, process, terminal
from .config import FILES_ALONE, Options

if TYPE_CHECKING:
    from .remote.reach import Reached

PROGRAM = "circuit-tui"
USAGE = 2
"""Exit code for arguments or a terminal that cannot work."""

_FORMS = ("[MODEL]", "--remote HOST[:MODEL]", "export VIEW", "verify MODEL", "describe FILE", "serve")
_EPILOG = """\
MODEL is nothing or `demo` (the embedded model), a hub name such as `gpt2`, or a local folder: Hugging Face format, a
TransformerLens checkpoint (config.json and state dicts), or a training run (folders such as checkpoint-500; the last is
opened, F7 and F8 step through them). One state dict of a checkpoint may be named instead of its folder.

`circuit-tui export VIEW …` writes the same numbers to a file or to standard output, without a screen:
see `circuit-tui export --help`. `circuit-tui verify MODEL` measures anew what has been published of the model, and says
whether it agrees. `circuit-tui describe FILE` prints the config.json that a file of weights implies. `circuit-tui
doctor` looks at terminal, devices, packages and files, and says what to do about what is missing. Defaults may be kept
in ~/.config/circuit-tui/config.toml: `circuit-tui config --print` writes one. `circuit-tui completion bash` (zsh, fish)
prints a script for the shell.
"""
COMMANDS = {
    "export": "write numbers to a file or to standard output",
    "verify": "measure what has been published of a model",
    "describe": "print the config.json that a file of weights implies",
    "doctor": "look at terminal, devices, packages and files",
    "config": "print what holds, as a config file",
    "serve": "the other end of --remote",
    "completion": "print a script for the shell",
}
"""What the first argument may be beside a model."""
Headless = tuple[Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], int]]
"""What adds the arguments of a command without a screen, and what runs it."""


class Parser(argparse.ArgumentParser):
    """One sentence instead of a usage dump."""

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments; what may be a model, with the form that takes one."""
        message = message[:1].upper() + message[1:]
        if match := re.match(r"Unrecognized arguments: ([^-]\S*)$|Argument VIEW: invalid choice: '([^']*)'", message):
            model = match[1] or match[2]
            here = f"{self.prog} VIEW" if match[2] else f"{self.prog}"
            message += f". If {model} is a model: `{PROGRAM} {model}` opens it, `{here} --model {model}` names it here"
        refuse(f"{message}{'' if message.endswith('.') else '.'} See `{self.prog} --help`.")


def refuse(sentence: str) -> NoReturn:
    """Say what is wrong and what to do, and end with the code for wrong usage."""
    sys.stderr.write(f"{PROGRAM}: {sentence}\n")
    sys.stderr.flush()
    raise SystemExit(USAGE)


def parser() -> argparse.ArgumentParser:
    """The arguments of the app. An option that is not given stays None: the config file may have it."""
    forms = ("[MODEL] [options]", "--remote HOST[:MODEL] [options]", *(f"{command} …" for command in COMMANDS))
    out = Parser(
        prog=PROGRAM,
        usage="\n       ".join(f"%(prog)s {form}" for form in forms),
        description="Transformer circuits in a terminal: QK, OV, attention patterns and the residual stream.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_model(out)
    _add_options(out)
    return out


def _add_model(out: argparse.ArgumentParser) -> None:
    out.add_argument("model", nargs="?", metavar="MODEL", help="the model to open (default: demo)")


def _add_options(out: argparse.ArgumentParser) -> None:
    out.add_argument("--model", dest="model_too", metavar="MODEL", help="the same, as export has it")
    out.add_argument("--revision", metavar="REVISION", help="branch, tag or commit of a hub name")
    out.add_argument("--prompt", metavar="TEXT", help="the prompt to start with")
    out.add_argument("--chat", action="store_const", const=True, help="prompts are user messages in the chat template")
    out.add_argument("--prompts", metavar="FILE", help="a file of prompts: one a line, JSON, CSV or TSV")
    out.add_argument("--fields", metavar="prompt=KEY,answer=KEY", help="what they are called in the file of prompts")
    out.add_argument("--session", metavar="FILE", help="open what a session's file holds (default: where you were)")
    out.add_argument("--fresh", action="store_const", const=True, help="do not go back to where you were")
    out.add_argument("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    out.add_argument("--device-map", metavar="auto|balanced|FILE", help="layers on several devices: FILE is JSON, "
                     "module to device (0, cpu, disk)")  # fmt: skip
    out.add_argument("--max-memory", metavar="0=20GB,…", help="with --device-map: what is put on each at most")
    for name, text in (
        ("dtype", "number format of the weights (default: auto)"),
        ("weights", "with LayerNorm folded in, or as they are stored (default: processed)"),
        ("bos", "begin-of-sequence token before the prompt (default: auto, as the model was trained)"),
    ):
        out.add_argument(f"--{name}", metavar="|".join(config.CHOICES[name]), help=text)
    out.add_argument("--threads", metavar="N", help="CPU threads to compute with (default: torch decides)")
    out.add_argument("--cluster", metavar="auto|HOST:PORT|local", help="run the model on a Ray cluster: that of this "
                     "node, or one started here")  # fmt: skip
    out.add_argument("--cluster-workers", metavar="N", help="copies of the model on it (default: one a GPU, or a node)")
    for flag, text in FILES_ALONE.items():
        out.add_argument(flag, action="store_const", const=True, help=text)
    out.add_argument("--color", metavar="|".join(config.CHOICES["color"]), help="colours of the terminal")
    out.add_argument("--theme", metavar="NAME", help="colour theme, such as nord or textual-light")
    out.add_argument("--no-mouse", dest="mouse", action="store_const", const=False, help="leave the mouse alone")
    out.add_argument("--remote", metavar="HOST[:MODEL]", help="open the model on another machine, over ssh")
    out.add_argument("--remote-command", metavar="COMMAND", help=f"what is started there (default: {host.COMMAND})")
    out.add_argument("--linger", metavar="MINUTES", help="how long the model is kept there while the line is cut "
                     f"(default: {host.LINGER:.0f})")  # fmt: skip
    out.add_argument("--log", metavar="FILE", help="where warnings go (default: ~/.local/state/circuit-tui)")
    out.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")


def options(arguments: Sequence[str]) -> Options:
    """Command line over config file over defaults. Ends the process on arguments that cannot be."""
    arguments_parser = parser()
    return _chosen(arguments_parser, _one_model(arguments_parser, arguments))


def _chosen(arguments_parser: argparse.ArgumentParser, parsed: argparse.Namespace) -> Options:
    given: dict[str, Any] = {
        name: value for name, value in vars(parsed).items() if value is not None and name in config.ARGUMENTS
    }
    for name in ("threads", "cluster_workers"):
        number = given.get(name, "")
        if number.isascii() and number.isdigit():
            given[name] = int(number)
    with contextlib.suppress(KeyError, ValueError):
        given["linger"] = float(given["linger"])
    for name, value in given.items():
        if problem := config.check(name, value):
            arguments_parser.error(problem.replace("cluster_workers", "--cluster-workers"))
    if given.get("weights_only") and given.get("stream"):
        arguments_parser.error("--weights-only runs no prompt and --stream runs one: leave one of them out.")
    if given.get("fresh") and given.get("session"):
        arguments_parser.error("--fresh leaves sessions alone and --session opens one: leave one of them out.")
    out = config.load()
    out = replace(
        out, **given, asked=frozenset(given), origins={**out.origins, **dict.fromkeys(given, "option")}
    )
    if "model" in given and "revision" not in given:
        out = replace(out, revision=None)  # the config file's is of its own model
    if out.weights_only and out.stream:  # the command line has the last word
        out = replace(out, weights_only="stream" not in given, stream="stream" in given)
    if config.on_cluster(out.cluster):
        if out.remote is not None:
            arguments_parser.error("--remote and --cluster are two places to compute at: leave one of them out.")
        from .cluster import joining

        if problem := joining.problem(out.cluster) or joining.missing():
            refuse(problem[:1].upper() + problem[1:])
    if "fields" in given:
        _check_fields(out, arguments_parser)
    return _with_remote(out, given, arguments_parser)


def _with_remote(opt: Options, given: Mapping[str, Any], arguments_parser: argparse.ArgumentParser) -> Options:
    """With the model that is named behind the machine, ``box:gpt2``."""
    machine, model = host.parts(opt.remote) if opt.remote is not None else (None, None)
    named = given.get("model")
    if named is not None and model not in (None, named) and "remote" in given:
        arguments_parser.error(f"two models are named, {named} (MODEL) and {model} (--remote): leave one out.")
    return replace(opt, remote=machine, model=named or model or opt.model)


def _one_model(arguments_parser: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Namespace:
    """The arguments, with the model that was named in either way."""
    given = vars(arguments_parser.parse_args(arguments))
    plain, named = given.get("model"), given.pop("model_too", None)
    if plain is not None and named is not None and plain != named:
        arguments_parser.error(f"two models are named, {plain} (MODEL) and {named} (--model): leave one out.")
    return argparse.Namespace(**given | {"model": plain if named is None else named})


def _check_fields(opt: Options, arguments_parser: argparse.ArgumentParser) -> None:
    from .prompts import PromptsError, parse_fields

    if opt.prompts is None:
        arguments_parser.error("--fields is for --prompts: it says what the keys of that file are.")
    try:
        parse_fields(opt.fields or "")
    except PromptsError as error:
        arguments_parser.error(f"{error.message} {error.hint}")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point of the console script. Does not return."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    command = arguments[0] if arguments else ""
    if command == "config":
        _config(arguments[1:])
    if command in COMMANDS:
        _headless(command, arguments[1:])
    _open(options(arguments))


def headless(command: str, arguments: Sequence[str] = ()) -> Headless:
    """A command without a screen, in the form that its arguments ask for; the others are not imported. KeyError if
    there is none."""
    if command == "export":
        from . import export, replay

        form = replay if replay.asked_for(arguments) else export
        return form.add_arguments, form.export
    if command == "serve":
        from .remote import bridge

        return bridge.add_arguments, bridge.serve
    if command == "verify":
        from . import verify

        return verify.add_arguments, verify.verify
    if command == "describe":
        from . import describe

        return describe.add_arguments, describe.describe
    if command == "doctor":
        from . import doctor

        return doctor.add_arguments, doctor.examine
    if command == "completion":
        from . import completion

        return completion.add_arguments, lambda given: completion.show(given.shell, _fill)
    raise KeyError(command)


def _fill(whole: argparse.ArgumentParser) -> None:
    """All that the program takes, as one parser, which it never parses by."""
    _add_options(whole)
    commands = whole.add_subparsers()
    for command, text in COMMANDS.items():
        one = commands.add_parser(command, help=text)
        if command == "config":
            _add_config(one)
        else:
            headless(command)[0](one)


def _add_config(out: argparse.ArgumentParser) -> None:
    from . import settings

    _add_model(out)
    _add_options(out)
    settings.add_arguments(out)


def _config(arguments: Sequence[str]) -> NoReturn:
    """What holds, with the app's own options."""
    from . import settings

    arguments_parser = Parser(prog=f"{PROGRAM} config", allow_abbrev=False)
    _add_config(arguments_parser)
    given = _one_model(arguments_parser, arguments)
    process.leave(settings.show(_chosen(arguments_parser, given), given.path))


def _headless(command: str, arguments: Sequence[str]) -> NoReturn:
    """A command without a screen, with libraries that keep quiet."""
    os.environ.update({name: value for name, value in terminal.LIBRARIES.items() if name not in os.environ})
    add_arguments, run = headless(command, arguments)
    arguments_parser = Parser(prog=f"{PROGRAM} {command}", allow_abbrev=False)
    add_arguments(arguments_parser)
    try:
        code = run(_one_model(arguments_parser, arguments))
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:  # `circuit-tui export … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = 141
    process.leave(code)


def _open(opt: Options) -> NoReturn:
    """The app, on this terminal."""
    if os.environ.get("TERM", "").strip().lower() in terminal.CANNOT_DRAW:
        refuse(
            f"This terminal cannot draw a screen (TERM={os.environ.get('TERM', '')}): "
            f"set TERM, for example to xterm-256color, or use `{PROGRAM} export`."
        )
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        refuse(f"Input and output must be a terminal: use `{PROGRAM} export` for numbers without a screen.")
    log, silent = _open_log(opt)
    opt = replace(opt, problems=(*opt.problems, silent) if silent else opt.problems)
    reached = _reach(opt)
    # Before the import of Textual, which reads them then.
    drawn = terminal.colors(opt.color, os.environ)
    for name, value in terminal.environment(opt, os.environ).items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    code = _run(replace(opt, color=drawn), log, reached)
    if code == 1:
        where = opt.log or config.log_file()
        sys.stderr.write(f"{PROGRAM}: Ended on an error; the details are at the end of {where}.\n")
    process.leave(code)


def _reach(opt: Options) -> Reached | None:
    """The machine on which the model is to be opened: before the first screen, while ssh can ask for a password."""
    if opt.remote is None:
        return None
    from .remote import reach

    machine = host.Host(opt.remote, opt.remote_command, opt.linger)
    sys.stderr.write(f"{PROGRAM}: connecting to {opt.remote} …\n")
    try:
        return reach.reach(machine, reach.by_ssh(machine, sys.stderr.write), adopts=True)
    except reach.NoLine as error:
        process.leave(process.fail(str(error), 1))
    except KeyboardInterrupt:
        process.leave(130)


def _run(opt: Options, log: int, reached: Reached | None) -> int:
    """The app until it ends; its exit code. Whatever is written meanwhile goes to the log."""
    import faulthandler
    import gc
    import logging

    from . import memory

    memory.share_free()
    # Until the app has painted (it turns this on again) next to nothing becomes garbage, and looking costs 30 ms.
    gc.disable()
    from .app import CircuitApp

    with process.quiet(log, glyphs.table(os.environ, sys.stdout.encoding)):
        faulthandler.enable(2)
        # Held before Textual replaces sys.stderr by a capture that drops what it gets.
        logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        logging.captureWarnings(True)
        app = CircuitApp(replace(opt, welcome=config.first_start()), reached=reached)
        warden = process.Warden(app.hang_up)
        warden.start()
        try:
            app.run(mouse=opt.mouse)
        except Exception:
            logging.exception("the app ended on an error")
            warden.restore_terminal()
            return 1
    with contextlib.suppress(OSError):  # the terminal may be gone
        for sentence in app.unkept:
            process.fail(sentence, 1)
    return app.return_code or 0


def _open_log(opt: Options) -> tuple[int, str]:
    """The log's descriptor, and a sentence where there is none. A default place that cannot be written to is no reason
    not to start; ``--log`` is."""
    place = Path(opt.log) if opt.log else config.log_file()
    try:
        if opt.log is None:
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return process.open_log(place), ""
    except OSError as error:
        if opt.log is not None:
            refuse(f"{opt.log} cannot be written to ({error.strerror}): choose another file with --log.")
        said = f"warnings and errors are not kept, {place} cannot be written to ({error.strerror}): choose --log FILE."
        return os.open(os.devnull, os.O_WRONLY), said
