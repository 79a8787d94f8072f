"""What a judge is asked about a video and a prompt, and how its answer becomes a score.

The words are those of the authors, as they decide the scores: "true" is TOPReward
(jcoleharrison/TOPReward, clients/qwen.py), "yes" VQAScore (linzhiqiu/t2v_metrics), "rank" how
QwenLM/Qwen3-VL-Embedding asks Qwen3-VL-Reranker. docs/references.md has the papers.
"""

from typing import TYPE_CHECKING, Any

from hf_models import check_prompts
from trajeval.terminal import UserError

if TYPE_CHECKING:
    import torch

LABELS = {"true": "log p(True)", "yes": "p(Yes)", "rank": "logit(yes) - logit(no)"}

STATEMENT = (
    "The above video shows a robot manipulation trajectory that completes the following task: "
)
DECIDE = " Decide whether the above statement is True or not. The answer is:"
FIGURE = 'Does this figure show "{}"? Please answer Yes or No.'
RANKED = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and "
    'the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n<Instruct>: Given a search query, retrieve relevant candidates that answer "
    "the query.<Query>:{}\n<Document>:<|vision_start|><|video_pad|><|vision_end|><|im_end|>\n"
    "<|im_start|>assistant\n"
)


def text_of(question: str, prompt: str, processor: Any, chat_template: bool) -> str:
    """The question about a prompt, with a placeholder for the video; "true" and "yes" end with the
    answer whose probability is the score. chat_template: "true" is asked as a whole message, not
    within one that is left open. Raises UserError for a prompt with a token of the model's own."""
    check_prompts([prompt], processor.tokenizer)
    if question == "rank":
        return RANKED.format(prompt)
    if question == "yes":
        return message(processor, FIGURE.format(prompt), "Yes")
    if chat_template:
        return message(processor, STATEMENT + prompt + DECIDE, "True")
    opened, end = message(processor, STATEMENT), processor.tokenizer.eos_token
    return (opened.split(end)[0] if end else opened) + prompt + DECIDE + " True"


def message(processor: Any, text: str, answer: str | None = None) -> str:
    """A user's message of a video and a text, and the answer to it, in the model's template."""
    content = [{"type": "video"}, {"type": "text", "text": text}]
    said = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=answer is not None,
        tokenize=False,
    )
    return said + (answer or "")


def answer_tokens(question: str, processor: Any, chat_template: bool) -> list[int]:
    """The tokens of the answer; for "rank" that of yes and that of no. Raises UserError for a model
    that cannot be asked so."""
    try:
        text = text_of(question, "this", processor, chat_template)
    except ValueError:
        raise UserError(f"--question {question}: the model has no chat template") from None
    place, asked = getattr(processor, "video_token", None), f"--question {question}"
    if place is None or text.count(place) != 1:
        kind = "Qwen3-VL-Reranker and its kin" if question == "rank" else "models with such a place"
        raise UserError(f"{asked}: the model has no place for a video in its words; takes {kind}")
    words = {"true": ["True" if chat_template else " True"], "yes": ["Yes"], "rank": ["yes", "no"]}
    tokens, ids = [], encoded(processor, text)
    for word in words[question]:
        found = encoded(processor, word)
        if len(found) != 1 and question != "yes":
            raise UserError(
                f'{asked}: to the model, "{word}" is {len(found)} tokens and not one; '
                "--question yes takes several"
            )
        tokens += found
    if question != "rank" and ids[-len(tokens) :] != tokens:
        raise UserError(f'{asked}: the model reads "{word}" together with what stands before it')
    return tokens


def encoded(processor: Any, text: str) -> list[int]:
    """The tokens of a text alone."""
    return processor.tokenizer(text, add_special_tokens=False)["input_ids"]


def score_of(question: str, logits: "torch.Tensor", tokens: list[int]) -> float:
    """The score of an answer. logits: float32 [n, V], what the network says of each of its n
    tokens; of "rank" [1, V]."""
    if question == "rank":
        yes, no = tokens
        return (logits[-1, yes] - logits[-1, no]).item()
    chosen = logits.log_softmax(1)[range(len(tokens)), tokens]
    return chosen.item() if question == "true" else chosen.mean().exp().item()
