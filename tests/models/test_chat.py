"""A prompt as a user's message in the model's chat template, against transformers' own ``apply_chat_template``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.models.folders import induction_checkpoint, llama_tokenizer, tokenizer_files
from tui.models import chat
from tui.models.errors import ModelError
from tui.models.load import load
from tui.models.tokens import HubTokenizer, ListTokenizer, Tokenizer

PLAIN = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}[end]{% endfor %}"
    "{% if add_generation_prompt %}[says]{% endif %}"
)
WITH_BOS = "{{ bos_token }}" + PLAIN
TRIMMED = WITH_BOS.replace("m.content", "m.content | trim")


def made(path: Path, template: object, n_ctx: int = 64) -> HubTokenizer:
    """A tokenizer folder with a chat template in tokenizer_config.json."""
    from transformers import AutoTokenizer

    size = tokenizer_files(path)
    file = path / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "chat_template": template}))
    return HubTokenizer(AutoTokenizer.from_pretrained(path), size, n_ctx)


@pytest.mark.parametrize("template", [PLAIN, WITH_BOS, TRIMMED])
@pytest.mark.parametrize("text", ["the king", " the capital of France ", "東", "", "[end]", "<|bos|>", "a[user]a"])
def test_as_transformers_does(tmp_path: Path, template: str, text: str) -> None:
    tokens = made(tmp_path, template)
    own = tokens._tokenizer.apply_chat_template([{"role": "user", "content": text}], add_generation_prompt=True)
    for bos in (True, False):
        assert tokens.encode(text, bos, True).ids == tuple(own["input_ids"]), "the template alone says what there is"
    encoded = tokens.encode(text, True, True)
    begins = template != PLAIN
    assert (encoded.bos, encoded.bos_from, encoded.chat) == (begins, "template" if begins else "", True)
    assert encoded.ids.count(tokens.bos_id) == begins + text.count("<|bos|>"), "no second BOS"
    kept = text.strip() if template == TRIMMED else text
    mine = [i for i, of_template in zip(encoded.ids, encoded.template, strict=True) if not of_template]
    assert mine == tokens._ids(kept)


def test_which_tokens_are_the_templates(tmp_path: Path) -> None:
    encoded = made(tmp_path, WITH_BOS).encode(" the king", False, True)
    read = "".join("·" if of_template else text for text, of_template in
                   zip(encoded.texts, encoded.template, strict=True))  # fmt: skip
    assert read == "·" * len("B[user]") + " the king" + "·" * len("[end][says]")
    assert "".join(encoded.texts) == "<|bos|>[user] the king[end][says]"


def test_sentencepiece(tmp_path: Path) -> None:
    """Where the first word melts into a blank that the tokenizer adds, it is still the user's."""
    from transformers import PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast(tokenizer_object=llama_tokenizer(), unk_token="<unk>")
    fast.chat_template = "{% for m in messages %}a {{ m.content }} a{% endfor %}"
    encoded = HubTokenizer(fast, len(fast), 32).encode("her him", True, True)
    shown = list(zip(encoded.texts, encoded.template, strict=True))
    assert shown == [(" a", True), (" her", False), (" h", False), ("im", False), (" a", True)]


def test_template_of_a_file(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    size = tokenizer_files(tmp_path)
    (tmp_path / "chat_template.jinja").write_text(WITH_BOS)
    tokens = HubTokenizer(AutoTokenizer.from_pretrained(tmp_path), size, 64)
    assert tokens.no_chat == ""
    assert "".join(tokens.encode("a", False, True).texts) == "<|bos|>[user]a[end][says]"


def test_several_templates_by_name(tmp_path: Path) -> None:
    named = [{"name": "default", "template": PLAIN}, {"name": "tool_use", "template": "{{ 1 / 0 }}"}]
    assert "".join(made(tmp_path, named).encode("a", False, True).texts) == "[user]a[end][says]"


@pytest.mark.parametrize(
    "template",
    ["{% for m in messages %}", "{{ raise_exception('only the tool role') }}", "{{ 1 / 0 }}", "{{ gone.x }}"],
)
def test_broken_templates(tmp_path: Path, template: str) -> None:
    tokens = made(tmp_path, template)
    with pytest.raises(ModelError, match=r"^The model's chat template cannot be applied: ") as raised:
        tokens.encode("a", False, True)
    assert "chat_template" in raised.value.hint
    assert tokens.encode("a", False).texts == ("a",), "without it the prompt is read"


def test_no_template() -> None:
    from transformers import PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast(tokenizer_object=llama_tokenizer(), unk_token="<unk>")
    for tokens, why in (
        (HubTokenizer(fast, len(fast), 32), chat.NO_TEMPLATE),
        (ListTokenizer(["a"], 1, 4), chat.NO_TOKENIZER),
        (Tokenizer(4, 4), chat.NO_TOKENIZER),
    ):
        assert tokens.no_chat == why
        with pytest.raises(ModelError) as raised:
            tokens.encode("a", False, True)
        assert raised.value.message == why


def test_too_long_with_its_template(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="The prompt is 19 tokens long, but this model takes at most 18"):
        made(tmp_path, WITH_BOS, n_ctx=18).encode("a", False, True)


def test_a_model_says_whether_it_chats(tmp_path: Path, folder_of: Callable[[str], Path]) -> None:
    folder = Path(shutil.copytree(folder_of("gpt2"), tmp_path / "model"))
    assert load(str(folder), device="cpu").info.no_chat == chat.NO_TEMPLATE
    (folder / "chat_template.jinja").write_text(WITH_BOS)
    assert load(str(folder), device="cpu").info.no_chat == ""
    assert load(str(induction_checkpoint(tmp_path / "toy")), device="cpu").info.no_chat == chat.NO_TOKENIZER


# --- a tokenizer that is larger than its model ---


def test_larger_tokenizer(tmp_path: Path, folder_of: Callable[[str], Path]) -> None:
    from tokenizers import Tokenizer as Fast

    folder = Path(shutil.copytree(folder_of("gpt2"), tmp_path / "model"))
    fast = Fast.from_file(str(folder / "tokenizer.json"))
    fast.add_special_tokens(["<|im_start|>"])
    fast.add_tokens(["zebra"])
    fast.save(str(folder / "tokenizer.json"))
    live = load(str(folder), device="cpu")
    assert live.info.notes == (
        "the tokenizer has 272 tokens, the model 270: text with <|im_start|>, zebra (ids from 270) is refused",
    )
    with pytest.raises(ModelError) as raised:
        live.tokens.encode("<|im_start|> the zebra a zebra", bos=False)
    assert raised.value.message == 'The model has 270 tokens, fewer than its tokenizer: it has none for '\
                                   '"<|im_start|>" (270), "zebra" (271).'  # fmt: skip
    assert raised.value.hint.startswith("Leave these words out")
    with pytest.raises(ModelError, match='"zebra" \\(271\\)'):
        live.tokens.words("zebra")
    assert live.tokens.encode(" the", bos=False).texts == (" the",)
    listed = ListTokenizer(["a", "b", "c"], 2, 4)
    assert listed.notes == ("the tokenizer has 3 tokens, the model 2: text with c (ids from 2) is refused",)
    with pytest.raises(ModelError, match='"c" \\(2\\)'):
        listed.encode("a c", bos=False)
