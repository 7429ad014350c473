"""A prompt as a user's message in the model's own chat template (``chat_template`` of the tokenizer, in jinja)."""

from __future__ import annotations

from typing import Any

from .errors import ModelError, first_line

NO_TOKENIZER = (
    "This model has no tokenizer, so it has no chat template: put tokenizer.json and chat_template.jinja beside "
    "config.json."
)
NO_TEMPLATE = (
    "This model's tokenizer has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json): "
    "prompts are read as plain text. Save one beside the tokenizer, or open an instruction-tuned model."
)
_MARK = "\ue000user\ue000"
"""A message that no template knows: where it is written, a user's text would be."""


def template_of(tokenizer: Any) -> bool:
    """Whether a transformers tokenizer brings a chat template."""
    return bool(getattr(tokenizer, "chat_template", None))


def rendered(tokenizer: Any, text: str) -> tuple[str, int, int]:
    """The text that the model reads for one user message, up to where the answer begins, and where (characters from,
    to) the message stands in it. ModelError where the template cannot be applied."""
    whole = _applied(tokenizer, text)
    before, mark, behind = _applied(tokenizer, _MARK).partition(_MARK)
    ends = len(whole) - len(behind)
    if mark and whole.startswith(before) and whole.endswith(behind) and len(before) <= ends:
        return whole, len(before), ends
    at = whole.find(text)  # a template that writes something else around some messages
    return (whole, at, at + len(text)) if at >= 0 else (whole, 0, len(whole))


def _applied(tokenizer: Any, text: str) -> str:
    message = [{"role": "user", "content": text}]
    try:
        return str(tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True))
    except ImportError as error:
        raise ModelError(f"A chat template needs jinja2: {first_line(error)}.", "Run: pip install jinja2") from error
    except Exception as error:
        raise ModelError(
            f"The model's chat template cannot be applied: {first_line(error)}.",
            "Correct chat_template.jinja (or chat_template in tokenizer_config.json), or leave the chat out.",
        ) from error
