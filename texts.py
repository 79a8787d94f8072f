"""What a network that reads tokens will not see of a prompt."""

from bisect import bisect_left


def unseen(prompts: list[str], tokenize, context: int) -> list[list[str]]:
    """For each prompt, a message for each thing that the network will not see of it.

    tokenize: (list of P texts, context) -> token ids, a tensor [P, context]; any tokenizer that
    cuts what is too long and may put an end of text last. context: tokens that the network reads.
    """

    def tokens(text, context=context):
        return tokenize([text], context)[0].tolist()

    def is_cut(text):  # with more room, another token stands where the end of text stood
        return tokens(text, context + 1)[:context] != tokens(text)

    warnings, first = [], {}
    for prompt in prompts:
        messages, ids = [], tokens(prompt)
        if is_cut(prompt):
            words = prompt.split()
            starts = [" ".join(words[:n]) for n in range(len(words) + 1)]
            seen = bisect_left(starts, True, key=lambda start: tokens(start) == ids)
            where = "off"
            if is_cut(starts[seen]):
                where, seen = "within", seen - 1
            cut = " ".join(words[seen:])
            messages.append(f"longer than the network's {context} tokens, cut {where}: {cut}")
        if same := first.get(tuple(ids)):
            messages.append(f'the same tokens to the network as in "{same}"')
        first.setdefault(tuple(ids), prompt)
        warnings.append(messages)
    return warnings
