"""The options of a machine: on the command line, in the config file, and what cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from tui import cli, config, host
from tui.config import Options


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path


def test_the_machine_and_the_model_there() -> None:
    made = cli.options(["--remote", "me@box:gpt2", "--linger", "30", "--remote-command", "srun circuit-tui serve"])
    assert (made.remote, made.model, made.linger) == ("me@box", "gpt2", 30.0)
    assert made.remote_command == "srun circuit-tui serve"


def test_the_model_may_be_named_as_ever() -> None:
    assert cli.options(["gpt2", "--remote", "box"]).model == "gpt2"
    assert cli.options(["gpt2", "--remote", "box:gpt2"]).model == "gpt2"
    assert cli.options(["--remote", "box"]).model == "demo"


def test_no_machine() -> None:
    made = cli.options([])
    assert (made.remote, made.remote_command, made.linger) == (None, host.COMMAND, host.LINGER)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gpt2", "--remote", "box:gpt2-medium"], "Two models are named, gpt2 (MODEL) and gpt2-medium (--remote)"),
        (["--remote", "-oProxyCommand=x"], "Argument --remote: expected one argument"),
        (["--remote=-oProxyCommand=x"], "--remote takes a machine as ssh has it"),
        (["--remote", ""], "--remote takes a machine"),
        (["--remote", "box", "--linger", "long"], "Linger must be minutes, from 0 to 1440"),
        (["--remote", "box", "--linger", "-1"], "Linger must be minutes"),
        (["--remote", "box", "--linger", "nan"], "Linger must be minutes"),
        (["--remote", "box", "--remote-command", ""], "Remote_command must be text"),
    ],
)
def test_what_cannot_be(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        cli.options(arguments)
    assert raised.value.code == cli.USAGE
    assert words in capsys.readouterr().err


def test_the_config_file(home: Path) -> None:
    file = home / "circuit-tui/config.toml"
    file.parent.mkdir()
    file.write_text('remote = "box:gpt2"\nlinger = 5\nremote_command = "~/venv/bin/circuit-tui serve"\n')
    made = cli.options([])
    assert (made.remote, made.model, made.linger) == ("box", "gpt2", 5)
    assert cli.options(["pythia", "--remote", "other"]).remote == "other"
    assert cli.options(["pythia"]).model == "pythia", "the command line has the last word"
    file.write_text('remote = "two words"\n')
    broken = config.load()
    assert broken.remote is None
    assert "--remote takes a machine" in broken.notice
    assert isinstance(broken, Options)
