"""The conversation of InternVL's own `model.chat()`, which the papers on video anomaly detection call.

It begins with a system turn, which the template of a checkpoint in transformers' layout leaves out. The texts are those
of `conversation.py` in the repository of InternVL.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vadprobe.extract.families.chat import ChatText, refuse_control_tokens
from vadprobe.store.errors import VadprobeError
from vadprobe.store.files.digests import digest_json

NAME = "internvl-chat"
"""The value of the setting `backbone.chat` that asks for this conversation."""

_STORED_NAME = "papers"  # the setting's first name stays in recipes, so that existing stores can be continued
_START, _END = "<|im_start|>", "<|im_end|>"
_TRIAL_PROMPT = "A"

OLDER_SYSTEM = (
    "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, 是一个有用无害的人工智能助手。"
)
"""System message of "internlm2-chat" and "Hermes-2": InternVL2, and Holmes-VAU, which was tuned from it."""

NEWER_SYSTEM = (
    "你是书生·万象，英文名是InternVL，是由上海人工智能实验室、清华大学及多家合作单位联合开发的多模态大语言模型。"
)
"""System message of "internvl2_5": InternVL2.5 and InternVL3."""

_MESSAGES = {f"{_END}\n": NEWER_SYSTEM, _END: OLDER_SYSTEM}  # by the end of a turn


@dataclass(frozen=True)
class InternVLChat(ChatText):
    """A system turn, one user turn with the video before the prompt, and the answer's beginning.

    Args:
        turn_end: text at the end of a turn.
        lead: text that the checkpoint's template writes before the first turn, such as a begin token.
    """

    turn_end: str = ""
    lead: str = ""

    @classmethod
    def load(cls, tokenizer: Any, folder: Path | None, system: str | None = None) -> "InternVLChat":
        """Choose the conversation whose turns end as those of the checkpoint's own template.

        Raises:
            VadprobeError: if the template's turns have another form, it begins with another system message, or
                `system` is given.
        """
        if system is not None:
            raise VadprobeError(f"backbone.chat = {NAME!r} brings its own system message; leave backbone.system out.")
        native = ChatText.load(tokenizer, folder)
        text = native.render(_TRIAL_PROMPT)
        lead = tokenizer.bos_token or ""
        lead = lead if text.startswith(lead) else ""
        for turn_end, message in _MESSAGES.items():
            chat = cls(tokenizer, native.template, message, turn_end, lead)
            if text in (lead + chat._user_turn(_TRIAL_PROMPT), chat._text(_TRIAL_PROMPT)):
                return chat
        raise VadprobeError(
            f"backbone.chat is {NAME!r}, but the checkpoint's chat template writes {text!r}, which is not how "
            "InternVL's own code writes a question; set it to 'native'."
        )

    def recipe(self) -> dict[str, Any]:
        """Return the choice, the system message, and the digest of the whole conversation instead of the template's."""
        return {"chat_template": digest_json(self._text("{prompt}")), "chat": _STORED_NAME, "system": self.system}

    def render(self, prompt: str, before: str = "") -> str:
        """Return the conversation, up to where the answer begins; arguments as of `ChatText.render`.

        Raises:
            VadprobeError: if a text contains a special token of the model.
        """
        refuse_control_tokens(self.tokenizer, "prompt", prompt)
        refuse_control_tokens(self.tokenizer, "text before the video", before)
        return self._text(prompt, before)

    def _text(self, prompt: str, before: str = "") -> str:
        return f"{self.lead}{_START}system\n{self.system}{self.turn_end}{self._user_turn(prompt, before)}"

    def _user_turn(self, prompt: str, before: str = "") -> str:
        video = f"{before}\n{self.tokenizer.video_token}" if before else self.tokenizer.video_token
        return f"{_START}user\n{video}\n{prompt}{self.turn_end}{_START}assistant\n"
