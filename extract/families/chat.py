"""A checkpoint's chat template around one video and one prompt."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from torch import Tensor

from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.atomic_files import read_json
from vadprobe.store.files.digests import digest_json

Turns = list[dict[str, Any]]
"""Messages of a conversation, as chat templates take them."""


@dataclass(frozen=True)
class ChatText:
    """A checkpoint's own chat template around one video and one prompt.

    `system` is the message of a system turn before the user's; with None the template decides.
    """

    tokenizer: Any
    template: str
    system: str | None = None

    @classmethod
    def load(cls, tokenizer: Any, folder: Path | None, system: str | None = None) -> "ChatText":
        """Read the tokenizer's template, or `chat_template.json` of an older checkpoint folder.

        Raises:
            VadprobeError: if the checkpoint has no chat template, or one that takes no system message.
        """
        template = tokenizer.chat_template
        older = folder / "chat_template.json" if folder else None
        if template is None and older is not None and older.exists():
            template = read_json(older)["chat_template"]
        if not isinstance(template, str):
            raise VadprobeError(
                "the checkpoint has no chat template (chat_template.jinja, chat_template.json or an entry in "
                "tokenizer_config.json); without it the prompt's tokens would not be those the model was trained on."
            )
        chat = cls(tokenizer, template, system)
        if system is not None:
            refuse_control_tokens(tokenizer, "system message", system)
            chat.render("")
        return chat

    def recipe(self) -> dict[str, Any]:
        """Return the SHA-256 of the template, and the system message if one is set."""
        return {"chat_template": digest_json(self.template), **({} if self.system is None else {"system": self.system})}

    def render(self, prompt: str, before: str = "") -> str:
        """Return the conversation of one user turn, a video before the prompt, up to where the answer begins.

        Args:
            prompt: the text behind the video.
            before: the text before it, if any.

        Raises:
            VadprobeError: if a text contains a special token of the model, or the template takes no system message, or
                no text before the video.
        """
        refuse_control_tokens(self.tokenizer, "prompt", prompt)
        video, after = {"type": "video"}, {"type": "text", "text": prompt}
        if not before:
            return render_turns(self._apply, [video, after], self.system)
        refuse_control_tokens(self.tokenizer, "text before the video", before)
        content = [{"type": "text", "text": before}, video, after]
        return check_before(render_turns(self._apply, content, self.system), before, prompt)

    def _apply(self, turns: Turns) -> str:
        text = self.tokenizer.apply_chat_template(
            turns, chat_template=self.template, tokenize=False, add_generation_prompt=True
        )
        return str(text)

    def ids(self, text: str) -> Tensor:
        """Return token ids (1, tokens) int64 of a rendered text."""
        start = self.tokenizer.bos_token
        written = start is not None and text.startswith(start)  # a template may write the first token itself
        ids: Tensor = self.tokenizer(text, return_tensors="pt", add_special_tokens=not written)["input_ids"]
        return ids


def refuse_control_tokens(tokenizer: Any, what: str, text: str) -> None:
    """Refuse a text that would not reach the model as text.

    Raises:
        VadprobeError: if it contains a special token of the model.
    """
    found = [token for token in tokenizer.get_added_vocab() if token in text]
    if found:
        raise VadprobeError(
            f"the {what} {text!r} contains {found[0]!r}, which the model reads as a control token; reword it."
        )


def render_turns(apply: Callable[[Turns], str], content: list[dict[str, Any]], system: str | None) -> str:
    """Render a user turn of some content, behind a system turn if there is a message for one.

    Args:
        apply: the chat template.
        content: parts of the user turn.
        system: the message; None for no system turn. Some templates take it as a string, others as a list of parts:
            the first form is taken with which the message appears in the rendered text.

    Raises:
        VadprobeError: if the template takes no system turn: it refuses one, or the message is not in the text.
    """
    user = {"role": "user", "content": content}
    if system is None:
        return apply([user])
    bare = [{"role": "user", "content": [part for part in content if part["type"] != "text"]}]
    for message in (system, [{"type": "text", "text": system}]):
        turn = {"role": "system", "content": message}
        with suppress(TemplateError, TypeError):  # TypeError: the template joins strings, or looks into parts
            if system in apply([turn, *bare]):
                return apply([turn, user])
    raise VadprobeError(
        f"the checkpoint's chat template takes no system message, so {system!r} would not reach the model; leave "
        "backbone.system out."
    )


def check_before(rendered: str, before: str, prompt: str) -> str:
    """Return a rendered conversation after checking that the video stands between the two texts.

    Args:
        rendered: the conversation.
        before: the text before the video.
        prompt: the text behind the video.

    Raises:
        VadprobeError: if nothing stands between the texts; some templates put every video first.
    """
    start = rendered.find(before)
    between = rendered[start + len(before) : rendered.rfind(prompt)] if start >= 0 else ""
    if not between.strip():
        raise VadprobeError(
            f"the checkpoint's chat template does not put the text {before!r} before the video; leave the prompt's "
            "'before' out."
        )
    return rendered


def expand(text: str, placeholder: str, replacement: str) -> str:
    """Replace the one video placeholder of a rendered conversation.

    Raises:
        VadprobeError: if the placeholder does not occur exactly once.
    """
    if text.count(placeholder) != 1:
        raise VadprobeError(
            f"the chat template must write the video placeholder {placeholder!r} exactly once, got "
            f"{text.count(placeholder)}. Check the checkpoint's chat template, and that no prompt contains the "
            "placeholder."
        )
    return text.replace(placeholder, replacement)
