"""The commands describe and explain: the backbone's own texts about segments and about events."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from vadprobe.flows.commands.options import OptionalPositive, Positive, Whole
from vadprobe.flows.jobs.progress import Bar


def describe(
    config: Path,
    /,
    *,
    words: Annotated[tuple[str, ...], Parameter(consume_multiple=(1, None), metavar="WORD")] = (),
    max_tokens: Positive = 48,
    shown: Whole = 10,
) -> int:
    """Let the backbone describe the scored segments in words, as a baseline of the methods.

    For each segment it keeps the model's own text, the probability that the text says one of some words, and whether it
    does. The tables 'comparison' measure both. An interrupted run goes on where it stopped.

    Example: vadprobe describe my-job.toml --words "fire,smoke,fight"

    Args:
        config: job file whose features are extracted
        words: words of an event, each one word of letters alone; by default those that the demo's captioner was taught
        max_tokens: largest number of tokens of a text
        shown: texts of test segments to show beside the truth
    """
    from vadprobe.flows.jobs.analyze_job import open_analysis
    from vadprobe.flows.jobs.job import load_job
    from vadprobe.flows.jobs.texts.captions import caption_lines, sampled_captions
    from vadprobe.flows.jobs.texts.event_words import words_of_events
    from vadprobe.flows.jobs.texts.text_generation import write_texts

    job = load_job(config)
    wanted = {word.lower() for word in words} or words_of_events(job)
    path = write_texts(job, wanted, max_tokens=max_tokens, progress=Bar("describing", "video"))
    inputs = open_analysis(job)
    notes = [f"Note: {note}" for note in inputs.store.spec.notes]
    print("\n".join([*notes, *caption_lines(sampled_captions(path, inputs.truth, 0, shown)), f"Texts: {path}"]))
    return 0


def explain(
    config: Path,
    /,
    *,
    prompt: str = "detailed",
    frames: OptionalPositive = None,
    max_tokens: Positive = 64,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: Whole = 0,
    normal: Whole = 0,
    normal_rule: Literal["longest", "seed"] = "longest",
    batch: Positive = 16,
    shown: Whole = 10,
) -> int:
    """Let the backbone say what happens in each detected event of a finished result.

    The texts are written beside the events. They are generated: they may be wrong, and no score depends on them. An
    interrupted run goes on where it stopped. Exit code 3 if some frames cannot be read.

    Example: vadprobe explain my-job.toml

    Args:
        config: job file whose analysis is finished
        prompt: the question: the key of a prompt of the job or of a shipped prompt, or the text itself
        frames: frames of an event that the backbone sees; by default as many as of a scored segment
        max_tokens: largest number of tokens of a text
        temperature: 0 takes the likeliest token; above 0, tokens are drawn
        top_p: tokens are drawn from the likeliest ones that together have this probability
        seed: seed of drawn tokens, and of drawn normal segments
        normal: normal segments to explain beside the events, at most
        normal_rule: which normal segments: the longest, or drawn by the seed
        batch: texts that are generated at once
        shown: texts to show beside the truth
    """
    from vadprobe.analyze.locator.explanation_files import EXPLANATIONS_PARQUET
    from vadprobe.extract.model.texts.explanations import ExplanationSettings
    from vadprobe.extract.model.texts.token_choice import TokenChoice
    from vadprobe.flows.jobs.analyze_job import open_truth_of
    from vadprobe.flows.jobs.job import load_job
    from vadprobe.flows.jobs.texts import explanations
    from vadprobe.flows.jobs.texts.chosen_segments import NormalChoice
    from vadprobe.flows.jobs.texts.explanation_plan import ExplanationPlan, prompt_text
    from vadprobe.flows.jobs.texts.shown_explanations import explanation_lines

    job = load_job(config)
    settings = ExplanationSettings(max_tokens, TokenChoice(temperature, top_p, seed))
    chosen = NormalChoice(normal, normal_rule, seed)
    plan = ExplanationPlan(prompt_text(job, prompt), frames, settings, chosen, batch)
    found = explanations.explain(job, plan, Bar("explaining", "segment"))
    lines = [*(f"Note: {note}" for note in found.notes), *explanation_lines(found, open_truth_of(job)[0], shown)]
    print("\n".join([*lines, f"Explanations: {job.out / EXPLANATIONS_PARQUET}"]))
    return 0 if all(row["text"] is not None for row in found.rows) else 3
