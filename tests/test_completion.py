"""``circuit-tui completion``: the script is sourced by the shell itself, which then completes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tui import cli, config, pages

COMPLETE = """\
source {script}
COMP_WORDS=({words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 )); COMPREPLY=()
$(complete -p circuit-tui | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def printed(shell: str) -> str:
    command = [sys.executable, "-m", "tui", "completion", shell]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "circuit-tui.bash"
    path.write_text(printed("bash"))
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a hub cache of two models, and a few files."""
    for name in ("models--gpt2", "models--EleutherAI--pythia-70m", "datasets--openwebtext"):
        (tmp_path / "hub" / name).mkdir(parents=True)
    (tmp_path / "my-model").mkdir()
    (tmp_path / "prompts.csv").touch()
    return tmp_path


def completed(script: Path, home: Path, *words: str) -> set[str]:
    """What a tab behind the words offers, in a bash that has only the script and the machine's plain tools."""
    text = COMPLETE.format(script=script, words=" ".join(f"'{word}'" for word in ("circuit-tui", *words)))
    env = {"PATH": "/usr/bin:/bin", "HF_HOME": str(home), "HOME": str(home)}
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, cwd=home, env=env, timeout=20)
    assert (done.returncode, done.stderr) == (0, "")
    return set(done.stdout.split())


def test_commands_and_models(script: Path, home: Path) -> None:
    offered = completed(script, home, "")
    assert set(cli.COMMANDS) <= offered
    assert {"demo", "gpt2", "EleutherAI/pythia-70m", "my-model"} <= offered
    assert not any("openwebtext" in word for word in offered)
    assert completed(script, home, "ex") == {"export"}
    assert completed(script, home, "g") == {"gpt2"}


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("--model", "Ele"), {"EleutherAI/pythia-70m"}),
        (("export", "--model", "Ele"), {"EleutherAI/pythia-70m"}),
        (("verify", "--model", "my"), {"my-model"}),
        (("--prompts", "pro"), {"prompts.csv"}),
        (("--dtype", ""), set(config.CHOICES["dtype"])),
        (("config", "--weights", ""), set(config.CHOICES["weights"])),
        (("config", "--pa"), {"--path"}),
        (("doctor", "--"), {"--help", "--json"}),
        (("export", "circuit-"), {"circuit-graph"}),
        (("export", "qk", "--normalize", ""), {"none", "centered", "zscore", "softmax"}),
        (("completion", "z"), {"zsh"}),
    ],
)
def test_options_and_their_values(script: Path, home: Path, words: tuple[str, ...], offered: set[str]) -> None:
    assert completed(script, home, *words) == offered


def test_all_views_and_options_of_the_export(script: Path, home: Path) -> None:
    assert set(pages.exports()) <= completed(script, home, "export", "")
    assert {"--head", "--out", "--stack", "--prompts", "--tokens"} <= completed(script, home, "export", "lens", "--")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells(shell: str, tmp_path: Path) -> None:
    """The shell reads its script without a word, where it is installed; the commands are in it."""
    text = printed(shell)
    assert all(command in text for command in cli.COMMANDS)
    assert "_circuit_tui_models" in text
    if shutil.which(shell):
        (tmp_path / "script").write_text(text)
        done = subprocess.run([shell, "-n", tmp_path / "script"], capture_output=True, text=True, timeout=20)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_fish_completes(home: Path) -> None:
    if not shutil.which("fish"):
        pytest.skip("fish is not installed")
    (home / "script").write_text(printed("fish"))
    env = {"PATH": "/usr/bin:/bin", "HF_HOME": str(home), "HOME": str(home)}
    for line, word in (("", "export"), ("--model ", "gpt2"), ("export ", "lens"), ("--dtype ", "bfloat16")):
        command = ["fish", "-c", f"source script; complete -C 'circuit-tui {line}'"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=home, env=env, timeout=20)
        assert word in [row.split("\t")[0] for row in done.stdout.splitlines()], done.stderr


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["completion", "csh"])
    assert ended.value.code == 2
    assert "'bash', 'zsh', 'fish'" in capsys.readouterr().err
