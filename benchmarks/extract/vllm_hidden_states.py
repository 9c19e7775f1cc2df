"""Hidden states of every layer through vLLM: its own extraction, with and without automatic prefix caching.

The prompts are token ids: for each clip as many random ids as its video has tokens, then a text that begins differently
for each prompt. So only the language model is measured, as in `benchmarks.extract.extraction` behind the vision tower.
vLLM writes a file for each request with the states of every token, which is part of its time.
"""

import gc
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.support.backbone_shapes import small_files

VIDEO_TOKENS, TEXT_TOKENS = 1024, 40
FIRST_ID, STOP_ID = 2000, 20000  # ids that are neither special nor placeholders in the shapes' vocabularies


def token_ids(n_clips: int, n_prompts: int, seed: int) -> list[dict[str, list[int]]]:
    """Return the requests, clip by clip: all prompts of a clip begin with the same ids, prompts of others do not."""
    make = np.random.default_rng(seed)
    texts = make.integers(FIRST_ID, STOP_ID, (n_prompts, TEXT_TOKENS))
    videos = make.integers(FIRST_ID, STOP_ID, (n_clips, VIDEO_TOKENS))
    return [{"prompt_token_ids": [*video.tolist(), *text.tolist()]} for video in videos for text in texts]


def engine(path: Path, n_layers: int, folder: Path, *, caching: bool) -> Any:
    """Start vLLM on a shape's small files, with weights that it draws itself and every layer extracted."""
    from vllm import LLM  # noqa: PLC0415 - a peer, installed for the benchmark only

    layers = {"eagle_aux_hidden_state_layer_ids": list(range(1, n_layers + 1))}
    return LLM(
        model=str(path),
        load_format="dummy",
        dtype="bfloat16",
        max_model_len=2 * (VIDEO_TOKENS + TEXT_TOKENS),
        enable_prefix_caching=caching,
        enable_chunked_prefill=False,
        limit_mm_per_prompt={"image": 0, "video": 0},
        speculative_config={
            "method": "extract_hidden_states",
            "num_speculative_tokens": 1,
            "draft_model_config": {"hf_config": layers},
        },
        kv_transfer_config={
            "kv_connector": "ExampleHiddenStatesConnector",
            "kv_role": "kv_producer",
            "kv_connector_extra_config": {"shared_storage_path": str(folder)},
        },
    )


def measure(shape: str, n_clips: int, n_prompts: int, folder: Path) -> dict[str, Any]:
    """Return seconds of all requests with and without prefix caching; the first requests only warm up."""
    from vllm import SamplingParams  # noqa: PLC0415

    path = small_files(shape, folder / "shape")
    n_layers = json.loads((path / "config.json").read_text())["text_config"]["num_hidden_layers"]
    one = SamplingParams(max_tokens=1, temperature=0.0)
    seconds = {}
    for name, caching in (("prefix caching", True), ("no caching", False)):
        written = folder / name
        written.mkdir()
        model = engine(path, n_layers, written, caching=caching)
        model.generate(token_ids(1, n_prompts, seed=1), one)
        begun = time.perf_counter()
        outputs = model.generate(token_ids(n_clips, n_prompts, seed=2), one)
        seconds[name] = time.perf_counter() - begun
        if any(not (output.kv_transfer_params or {}).get("hidden_states_path") for output in outputs):
            raise SystemExit("vLLM wrote no hidden states for a request")
        del model
        gc.collect()
        torch.cuda.empty_cache()
    tokens = VIDEO_TOKENS + TEXT_TOKENS
    return {"seconds": seconds, "clips": n_clips, "prompts": n_prompts, "tokens": tokens, "layers": n_layers}
