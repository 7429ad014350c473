"""Arguments, config file, and what is decided from the environment before anything heavy is imported."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tui import __version__, cli, commands, config, remapping, terminal, toml
from tui.config import Options


def test_defaults() -> None:
    assert cli.options([]) == Options()


def test_every_option() -> None:
    text = "gpt2 --device cuda:1 --dtype bfloat16 --weights raw --bos off --threads 3 --color 256 --theme nord"
    given = cli.options([*text.split(), "--prompt", "a b", "--prompts", "f.txt", "--no-mouse", "--log", "x.log"])
    computing = ("cuda:1", "bfloat16", "raw", "off", 3)
    assert given == Options("gpt2", "a b", "f.txt", *computing, "256", "nord", False, "x.log")
    assert cli.options(["--weights-only"]).weights_only
    assert cli.options(["--stream"]).stream
    given = cli.options(["--prompts", "f.csv", "--fields", "prompt=text,answer=label"])
    assert given == Options(prompts="f.csv", fields="prompt=text,answer=label")


def test_empty_prompt_is_a_prompt() -> None:
    assert cli.options(["--prompt", ""]).prompt == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--device", "gpu"], "auto, cpu, cuda, cuda:N or mps"),
        (["--device", "cuda:x"], "cuda:N"),
        (["--dtype", "float64"], "float32"),
        (["--weights", "folded"], "processed, raw"),
        (["--bos", "yes"], "auto, on, off"),
        (["--weights-only", "--stream"], "leave one of them out"),
        (["--threads", "0"], "whole number"),
        (["--threads", "many"], "whole number"),
        (["--threads", "²"], "whole number"),
        (["--color", "8"], "truecolor"),
        (["--theme", ""], "text"),
        ([""], "must be text"),
        (["--prompt"], "expected one argument"),
        (["--fields", "prompt=text"], "--fields is for --prompts"),
        (["--prompts", "f.csv", "--fields", "text"], "prompt=text,answer=label"),
        (["--prompts", "f.csv", "--fields", ""], "must be text"),
        (["--nonsense"], "--nonsense"),
        (["demo", "gpt2"], "gpt2"),
    ],
)
def test_refused(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.options(arguments)
    out, err = capsys.readouterr()
    assert (ended.value.code, out, err.count("\n")) == (2, "", 1)
    assert words in err
    assert "circuit-tui --help" in err


def test_version_and_help_are_light(record_property) -> None:
    """At most 0.2 s more than ``python -c pass``; three times that before it fails."""

    def seconds(*arguments: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        return time.perf_counter() - start

    for flag in ("--version", "--help"):
        pairs = [(seconds("-m", "tui", flag), seconds("-c", "pass")) for _ in range(5)]
        more = statistics.median(ours - bare for ours, bare in pairs)
        record_property(f"{flag} over bare Python, s", round(more, 3))
        assert more < 3 * 0.2


def test_version() -> None:
    out = subprocess.run([sys.executable, "-m", "tui", "--version"], capture_output=True, text=True, check=True).stdout
    assert out == f"circuit-tui {__version__}\n"


class TestConfig:
    @pytest.fixture
    def file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
        path = config.config_file()
        path.parent.mkdir()
        return path

    def test_values_and_keys(self, file: Path) -> None:
        file.write_text('theme = "nord"\nweights = "raw"\nthreads = 2\nmouse = false\n[keys]\nnext_head = "n"\n')
        options = config.load()
        assert (options.theme, options.weights, options.threads, options.mouse) == ("nord", "raw", 2, False)
        assert options.keys == {"next_head": "n"}
        assert options.notice == ""

    def test_command_line_wins(self, file: Path) -> None:
        file.write_text('model = "gpt2"\nweights = "raw"\n')
        options = cli.options(["demo"])
        assert (options.model, options.weights) == ("demo", "raw")

    @pytest.mark.parametrize(
        "text",
        [
            "theme = ", "wieghts = 'raw'", "weights = 'folded'", "threads = true", "keys = 3", "mouse = 'no'",
            "[keys]\nquit = 3", "notice = 'x'", "\0", "model = ''",
        ],
    )  # fmt: skip
    def test_broken_file_gives_defaults_and_a_sentence(self, file: Path, text: str) -> None:
        file.write_text(text)
        options = config.load()
        assert options == Options(notice=options.notice)
        assert str(file) in options.notice

    def test_every_error_has_its_line_and_the_rest_holds(self, file: Path) -> None:
        file.write_text('theme = "nord"\nwieghts = "raw"\nthreads = 0\nx = \n[keys]\nquit = 3\nhelp = "f1"\n')
        found = config.read()
        lines = [problem.removeprefix(f"{file}:").partition(": ")[0] for problem in found.problems]
        assert lines == ["2", "3", "4", "6"]
        assert "the nearest is weights" in found.problems[0]
        assert "1 to 1024, not 0" in found.problems[1]
        assert "not valid TOML (Invalid value, column 5)" in found.problems[2]
        assert 'quit = "f2", not 3' in found.problems[3]
        assert (found.options.theme, dict(found.options.keys)) == ("nord", {"help": "f1"})
        assert found.options.origins == {
            "theme": f"{file}:1", "keys": f"{file}:5", "keys.help": f"{file}:7",
        }  # fmt: skip
        assert config.load().notice == f"{found.problems[0]} 3 more: circuit-tui doctor lists them."

    def test_what_a_file_holds_is_obeyed_by_no_terminal(self, file: Path) -> None:
        file.write_text('"\\u001b[31m" = 1\ntheme = 3\n"a\\u202eb" = "x"\n', "utf-8")
        assert all(problem.isprintable() for problem in config.read().problems)

    def test_file_that_is_no_text(self, file: Path) -> None:
        file.write_bytes(b"theme = 'nord'\n\xff\xfe")
        assert f"{file}:2: this is not UTF-8" in config.load().notice

    def test_file_that_is_a_directory(self, file: Path) -> None:
        file.mkdir()
        assert "could not be read" in config.load().notice

    def test_relative_directories_are_ignored(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", "here")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert config.log_file() == tmp_path / ".local" / "state" / "circuit-tui" / "circuit-tui.log"

    def test_history(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        assert config.read_history() == []
        prompts = ["one", "two\nlines", "\x1b[31m é 🎉 \ud800"]
        assert not config.write_history(prompts)
        assert config.read_history() == prompts
        assert not config.write_history([str(number) for number in range(600)])
        assert config.read_history()[0] == "100"
        with (tmp_path / "circuit-tui" / "prompts.jsonl").open("a") as file:
            file.write("not json\n3\n")
        assert config.read_history()[-1] == "599"

    def test_history_that_cannot_be_written(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
        assert "make room there" in config.write_history(["x"])
        assert config.read_history() == []


class TestPrint:
    """``circuit-tui config --print``."""

    @pytest.fixture
    def file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
        for name, value in (("TERM", "xterm"), ("NO_COLOR", ""), ("COLORTERM", ""), ("TERM_PROGRAM", "")):
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("TMUX", raising=False)
        path = config.config_file()
        path.parent.mkdir()
        return path

    @staticmethod
    def printed(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tui", "config", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)

    def test_each_value_with_where_it_comes_from(self, file: Path) -> None:
        file.write_text('theme = "nord"\n[keys]\nhead_next = "f2"\nbogus = "x"\n')
        done = self.printed("--print", "--weights", "raw", "gpt2", "--prompt", "a\x1b[31m\"b")
        lines = {line.split(" = ")[0]: line for line in done.stdout.splitlines()}
        assert lines["theme"].endswith(f"# {file}:1")
        assert lines["weights"].startswith('weights = "raw" ')
        assert lines["weights"].endswith("# option")
        assert lines["model"].startswith('model = "gpt2"')
        assert lines["prompt"].startswith('prompt = "a\\u001b[31m\\"b"')
        assert lines["# dtype"].endswith("# default")
        assert lines["# color"].endswith("# default; environment: TERM=xterm, so 256")
        assert lines["head_next"].endswith(f"# head +; {file}:3")
        assert lines["# quit"].endswith("# quit; default")
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert f"{file}:4: there is no command 'bogus'" in done.stderr

    def test_saved_it_holds_the_same_and_every_comment_is_a_setting(self, file: Path) -> None:
        first = self.printed("--weights", "raw", "--no-mouse", "--threads", "3", "--prompt", "é \"x\" \\ 🎉")
        assert first.returncode == 0
        file.write_text(first.stdout)
        found = config.read()
        assert found.problems == ()
        assert found.options == Options(prompt="é \"x\" \\ 🎉", weights="raw", threads=3, mouse=False)
        again = self.printed()
        assert [line.split("#")[0] for line in again.stdout.splitlines()[2:] if line[:1] != "#"] == [
            line.split("#")[0] for line in first.stdout.splitlines()[2:] if line[:1] != "#"
        ]
        keys = first.stdout.partition("[keys]\n")[2].replace("\n# ", "\n").removeprefix("# ")
        asked = remapping.checked(toml.read(f"[keys]\n{keys}").values["keys"])
        assert (asked.wrong, asked.remarks) == ({}, {})
        assert asked.keys == {command.id: command.keys for command in commands.every()}

    def test_path(self, file: Path) -> None:
        assert self.printed("--path").stdout == f"{file}\n"

    def test_wrong_option(self, file: Path) -> None:
        done = self.printed("--dtype", "float64")
        assert (done.returncode, done.stdout) == (2, "")
        assert "circuit-tui config --help" in done.stderr


class TestTerminal:
    @pytest.mark.parametrize(
        ("wish", "environ", "expected"),
        [
            ("auto", {"TERM": "xterm-256color", "COLORTERM": "truecolor"}, "truecolor"),
            ("auto", {"TERM": "xterm-256color", "COLORTERM": "24bit"}, "truecolor"),
            ("auto", {"TERM": "xterm-256color"}, "256"),
            ("auto", {"TERM": "xterm"}, "256"),
            ("auto", {"TERM": "alacritty"}, "truecolor"),
            ("auto", {"TERM": "xterm-ghostty"}, "truecolor"),
            ("auto", {"TERM": "xterm-kitty"}, "truecolor"),
            ("auto", {"TERM": "foot"}, "truecolor"),
            ("auto", {"TERM": "foot-extra"}, "truecolor"),
            ("auto", {"TERM": "wezterm"}, "truecolor"),
            ("auto", {"TERM": "xterm-direct"}, "truecolor"),
            ("auto", {"TERM": "tmux"}, "256"),
            ("auto", {"TERM": "tmux-256color"}, "256"),
            ("auto", {"TERM": "tmux-256color", "COLORTERM": "truecolor"}, "truecolor"),
            ("auto", {"TERM": "screen"}, "256"),
            ("auto", {"TERM": "screen.xterm-256color", "STY": "1", "COLORTERM": "truecolor"}, "256"),
            ("auto", {"TERM": "screen-256color", "TERM_PROGRAM": "iTerm.app"}, "256"),
            ("auto", {"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "truecolor"),
            ("auto", {"TERM": "rxvt-unicode"}, "256"),
            ("auto", {"TERM": "xterm-16color"}, "16"),
            ("auto", {"TERM": "linux"}, "16"),
            ("auto", {"TERM": "stranger"}, "16"),
            ("auto", {"TERM": "vt220"}, "none"),
            ("auto", {"TERM": "xterm", "NO_COLOR": "1", "COLORTERM": "truecolor"}, "none"),
            ("auto", {"TERM": "xterm", "NO_COLOR": ""}, "256"),
            ("auto", {"TERM": "xterm", "TEXTUAL_COLOR_SYSTEM": "standard"}, "16"),
            ("16", {"TERM": "xterm", "COLORTERM": "truecolor"}, "16"),
            ("truecolor", {"TERM": "linux", "NO_COLOR": "1"}, "truecolor"),
            ("none", {"TERM": "xterm", "COLORTERM": "truecolor"}, "none"),
        ],
    )
    def test_colors(self, wish: str, environ: dict[str, str], expected: str) -> None:
        assert terminal.colors(wish, environ) == expected
        variables = terminal.environment(Options(color=wish), environ)
        assert variables["NO_COLOR"] == ("1" if expected == "none" else None)
        systems = {"truecolor": "truecolor", "256": "256", "16": "standard", "none": "standard"}
        assert variables["TEXTUAL_COLOR_SYSTEM"] == systems[expected]

    def test_textual_and_rich_know_the_systems(self) -> None:
        from rich.console import Console

        for system in ("truecolor", "256", "standard"):
            assert Console(color_system=system, force_terminal=True).color_system == system

    def test_over_ssh_fewer_frames(self) -> None:
        here = terminal.environment(Options(), {"TERM": "xterm"})
        assert int(here["TEXTUAL_FPS"] or 0) > 60
        there = terminal.environment(Options(), {"TERM": "xterm", "SSH_CONNECTION": "1.2.3.4 1 5.6.7.8 22"})
        assert 15 <= int(there["TEXTUAL_FPS"] or 0) <= 20
        assert there["TEXTUAL_ANIMATIONS"] == "none"
        wished = terminal.environment(Options(), {"TERM": "xterm", "SSH_CONNECTION": "x", "TEXTUAL_FPS": "5"})
        assert "TEXTUAL_FPS" not in wished

    def test_libraries_are_quiet_unless_asked(self) -> None:
        variables = terminal.environment(Options(), {"TERM": "xterm", "TRANSFORMERS_VERBOSITY": "info"})
        assert variables["TQDM_DISABLE"] == "1"
        assert "TRANSFORMERS_VERBOSITY" not in variables


@pytest.mark.parametrize(("arguments", "model"), [
    ((), "demo"), (("gpt2",), "gpt2"), (("--model", "gpt2"), "gpt2"), (("--model", "gpt2", "--bos", "on"), "gpt2"),
    (("gpt2", "--model", "gpt2"), "gpt2"),
])  # fmt: skip
def test_a_model_may_be_named_in_either_way(arguments: tuple[str, ...], model: str) -> None:
    assert cli.options(arguments).model == model


@pytest.mark.parametrize(("arguments", "says"), [
    (("demo", "--model", "gpt2"), "Two models are named, demo (MODEL) and gpt2 (--model): leave one out."),
    (("verify", "demo", "--model", "gpt2"), "Two models are named, demo (MODEL) and gpt2 (--model): leave one out."),
    (("demo", "gpt2"), "`circuit-tui gpt2` opens it, `circuit-tui --model gpt2` names it here."),
    (("export", "gpt2"), "`circuit-tui gpt2` opens it, `circuit-tui export VIEW --model gpt2` names it here."),
    (("export", "svd", "gpt2"), "svd reads no file of its own; a model is named here by --model gpt2"),
])  # fmt: skip
def test_the_error_of_one_form_names_the_other(
    arguments: tuple[str, ...], says: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli.process, "leave", lambda code: (_ for _ in ()).throw(SystemExit(code)))
    with pytest.raises(SystemExit) as left:
        cli.main(arguments)
    assert left.value.code == 2
    assert says in capfd.readouterr().err
