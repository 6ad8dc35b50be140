"""Sentences of the demonstration tasks, drawn from templates split into training and test."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from . import words as w

Split = Literal["train", "test"]

IOI: Final[dict[Split, list[str]]] = {
    "train": [
        "When {A} and {B} went to the {P}, {S} gave a {O} to",
        "After {A} and {B} arrived at the {P}, {S} handed a {O} to",
        "While {A} and {B} were working at the {P}, {S} decided to give a {O} to",
        "Friends {A} and {B} found a {O} at the {P}. {S} gave it to",
        "The {P} was busy when {A} and {B} came in. {S} passed the {O} to",
        "{A} and {B} had a long talk at the {P}, and {S} sold a {O} to",
        "Yesterday {A} met {B} at the {P}. {S} showed the {O} to",
        "Then {A} and {B} had a {O}. Later {S} decided to sell it to",
        "{A} saw {B} near the {P} and {S} sent a {O} to",
        "At the {P}, {A} and {B} looked for a {O}. Then {S} brought one to",
        "Once {A} and {B} were at the {P}, {S} offered the {O} to",
        "The {O} was old, but {A} and {B} liked it. So {S} gave the {O} to",
    ],
    "test": [
        "Then {A} and {B} went to the {P}. {S} gave a {O} to",
        "When {A} and {B} found a {O} at the {P}, {S} decided to give it to",
        "After {A} and {B} had a long talk at the {P}, {S} passed a {O} to",
        "Friends {A} and {B} were working at the {P}. Then {S} offered the {O} to",
    ],
}
GREATER_THAN: Final[dict[Split, list[str]]] = {
    "train": [
        "The {N} lasted from the year {C}{Y} to the year {C}",
        "The {N} began in the year {C}{Y} and ended in the year {C}",
        "From the year {C}{Y} the {N} went on to the year {C}",
    ],
    "test": ["The {N} lasted from the year {C}{Y} to the year {C}"],
}
GENDER: Final[dict[Split, list[str]]] = {
    "train": [
        "So {W} is a really good friend, isn't",
        "{W} lost the {O}, and then",
        "{W} went to the {P} because",
        "The {O} was new, so {W} said that",
        "When {W} came to the {P},",
        "{W} found a {O} when",
        "{W} looked tired, so",
        "At the {P} {W} said that",
    ],
    "test": [
        "{W} found a {O} because",
        "{W} lost the {O} when",
        "{W} went to the {P}, and then",
        "The {O} was old, so {W} said that",
    ],
}
AGREEMENT: Final[dict[Split, list[str]]] = {
    "train": [
        "The {H} near the {M}",
        "The {H} behind the {M}",
        "The {H} that the {M} saw",
        "The {H} with the {M}",
        "The {J} {H}",
        "The {H}",
        "Yesterday the {H} from the {M}",
    ],
    "test": [
        "The {J} {H} near the {M}",
        "The {H} behind the {J} {M}",
        "Yesterday the {H} with the {M}",
    ],
}
CAPITALS: Final[dict[Split, list[str]]] = {
    "train": [
        "{W} flew to {C} and landed in",
        "{W} lives in {C}, in the city of",
        "The king of {C} has a house in",
        "The big city in {C} is",
        "The capital of {C} is called",
    ],
    "test": [
        "The capital of {C} is",
        "The king of {C} lives in",
        "{W} flew to {C}, to the city of",
    ],
}
SENTIMENT: Final[dict[Split, list[tuple[str, str, str, str]]]] = {
    "train": [
        ("The {K} was {J}. {W}", "loved", "hated", " it."),
        ("{W} saw a {J} {K} and", "loved", "hated", " it."),
        ("What a {J} {K}! Everyone felt", "happy", "sad", "."),
        ("After the {J} {K} {W} felt", "happy", "sad", "."),
        ("{W} said that the {K} was {J}. It made {W}", "smile", "cry", "."),
        ("The {J} {K} made {W}", "smile", "cry", "."),
    ],
    "test": [
        ("What a {J} {K}! {W}", "loved", "hated", " it."),
        ("{W} said that the {K} was {J}. Everyone felt", "happy", "sad", "."),
        ("The {K} was {J}. It made {W}", "smile", "cry", "."),
    ],
}
COLOUR: Final[dict[Split, list[tuple[str, str]]]] = {
    "train": [
        ("the {X} is {C}", "The colour of the {X} is"),
        ("the {X} is {C}", "So the {X} is"),
        ("the {X} was {C}", "The colour of the {X} was"),
        ("there is a {C} {X}", "The colour of the {X} is"),
    ],
    "test": [("the {X} is {C}", "The colour of the {X} is")],
}
PRONOUNS: Final = (" he", " she")
VERBS: Final = [(" is", " are"), (" was", " were"), (" has", " have")]


@dataclass(frozen=True)
class Sentence:
    """One drawn prompt.

    Attributes
    ----------
    task : str
        Task name, a key of `SENTENCES`.
    prompt : str
        Text up to the answer.
    answer, foil : str
        Right and wrong continuation, with their leading space.
    rest : str
        Text that closes the sentence.
    corrupted : dict of str to str
        Corrupted prompt of each corruption.
    marks : dict of str to (str, int)
        Named words of the clean prompt: the word and which occurrence it is, from 0.
    """

    task: str
    prompt: str
    answer: str
    foil: str
    rest: str = "."
    corrupted: dict[str, str] = field(default_factory=dict)
    marks: dict[str, tuple[str, int]] = field(default_factory=dict)


def _capitalise(text: str) -> str:
    return text[:1].upper() + text[1:]


def _other(rng: random.Random, items: list[str], *used: str) -> str:
    return rng.choice([item for item in items if item not in used])


def ioi(rng: random.Random, split: Split) -> Sentence:
    """Draw an indirect object to identify (arXiv:2211.00593)."""
    held = split == "test"
    pool = [n for n in w.NAMES if (n in w.HELD_OUT_NAMES) == held]
    io, s, x, y, z = rng.sample(pool, 5)
    a, b = rng.choice([(io, s), (s, io)])
    template = rng.choice(IOI[split])
    fill = {"P": rng.choice(w.PLACES), "O": rng.choice(w.OBJECTS)}

    def make(first: str, second: str, subject: str) -> str:
        return template.format(A=first, B=second, S=subject, **fill)

    return Sentence(
        "ioi",
        make(a, b, s),
        " " + io,
        " " + s,
        corrupted={"abc": make(x, y, z), "s2": make(a, b, x), "swap": make(a, b, io)},
        marks={"IO": (io, 0), "S1": (s, 0), "S2": (s, 1)},
    )


def greater_than(rng: random.Random, split: Split) -> Sentence:
    """Draw a year above a given one (arXiv:2305.00586)."""
    held = split == "test"
    while True:
        century, year = rng.randint(11, 19), rng.randint(2, 97)
        if w.held_out_year(century, year) == held:
            break
    noun = rng.choice(
        w.HELD_OUT_EVENTS if held else [n for n in w.EVENTS if n not in w.HELD_OUT_EVENTS]
    )
    template = rng.choice(GREATER_THAN[split])

    def make(start: int) -> str:
        return template.format(N=noun, C=century, Y=f"{start:02d}")

    return Sentence(
        "greater_than",
        make(year),
        f"{rng.randint(year + 1, 99):02d}",
        f"{year:02d}",
        corrupted={"01": make(1)},
        marks={"noun": (noun, 0), "year": (f"{century}{year:02d}", 0)},
    )


def gender(rng: random.Random, split: Split) -> Sentence:
    """Draw the pronoun that fits a name or a role."""
    if rng.random() < 0.7:
        pair = (rng.choice(w.MALE), rng.choice(w.FEMALE))
        subjects = pair
    else:
        pair = rng.choice(w.ROLES)
        subjects = (f"the {pair[0]}", f"the {pair[1]}")
    i = rng.randrange(2)
    template = rng.choice(GENDER[split])
    fill = {"P": rng.choice(w.PLACES), "O": rng.choice(w.OBJECTS)}
    tag = "isn't" in template
    clean, corrupted = (_capitalise(template.format(W=subjects[k], **fill)) for k in (i, 1 - i))
    return Sentence(
        "gender",
        clean,
        PRONOUNS[i],
        PRONOUNS[1 - i],
        rest="?" if tag else rng.choice([" was late.", " was tired.", " went home."]),
        corrupted={"name": corrupted},
        marks={"subject": (pair[i], 0)},
    )


def agreement(rng: random.Random, split: Split) -> Sentence:
    """Draw a verb that agrees in number; in the test the noun in between always disagrees."""
    noun, between = rng.sample(w.NOUNS, 2)
    many = rng.randrange(2)
    attractor = 1 - many if split == "test" else rng.randrange(2)
    template = rng.choice(AGREEMENT[split])
    verbs = rng.choice(VERBS)
    forms = (noun, w.plural(noun))
    middle = w.plural(between) if attractor else between
    adjective = rng.choice(w.ADJECTIVES)
    clean, corrupted = (
        template.format(H=forms[k], M=middle, J=adjective) for k in (many, 1 - many)
    )
    return Sentence(
        "agreement",
        clean,
        verbs[many],
        verbs[1 - many],
        rest=" been here." if verbs[0] == " has" else f" {rng.choice(w.ADJECTIVES)}.",
        corrupted={"number": corrupted},
        marks={"subject": (forms[many], 0)},
    )


def capitals(rng: random.Random, split: Split) -> Sentence:
    """Draw the capital of a country."""
    country, other = rng.sample(list(w.CAPITALS), 2)
    template = rng.choice(CAPITALS[split])
    name = rng.choice(w.NAMES)
    return Sentence(
        "capitals",
        template.format(C=country, W=name),
        " " + w.CAPITALS[country],
        " " + w.CAPITALS[other],
        corrupted={"country": template.format(C=other, W=name)},
        marks={"country": (country, 0)},
    )


def sentiment(rng: random.Random, split: Split) -> Sentence:
    """Draw the reaction that fits an evaluation."""
    template, good, bad, rest = rng.choice(SENTIMENT[split])
    i = rng.randrange(2)
    adjectives = (rng.choice(w.POSITIVE), rng.choice(w.NEGATIVE))
    fill = {"K": rng.choice(w.WORKS), "W": rng.choice(w.NAMES)}
    answers = (" " + good, " " + bad)
    return Sentence(
        "sentiment",
        template.format(J=adjectives[i], **fill),
        answers[i],
        answers[1 - i],
        rest=rest,
        corrupted={"adjective": template.format(J=adjectives[1 - i], **fill)},
        marks={"adjective": (adjectives[i], 0)},
    )


def colour_recall(rng: random.Random, split: Split) -> Sentence:
    """Draw the colour that was bound to a thing earlier in the prompt."""
    count = rng.choice((2, 3))
    things, colours = rng.sample(w.THINGS, count), rng.sample(w.COLOURS, count)
    fact, question = rng.choice(COLOUR[split])
    facts = [fact.format(X=x, C=c) for x, c in zip(things, colours, strict=True)]
    opening = _capitalise(", ".join(facts[:-1]) + " and " + facts[-1]) + ". "
    i, j = rng.sample(range(count), 2)
    return Sentence(
        "colour_recall",
        opening + question.format(X=things[i]),
        " " + colours[i],
        " " + colours[j],
        corrupted={"query": opening + question.format(X=things[j])},
        marks={
            "thing": (things[i], 0),
            "colour": (colours[i], 0),
            "query": (things[i], 1),
        },
    )


def induction(rng: random.Random, split: Split) -> Sentence:
    """Draw a list of unrelated words that starts again (arXiv:2209.11895)."""
    held = split == "test"
    length = rng.choice([n for n in range(4, 20) if w.held_out_length(n) == held])
    pool = w.THINGS + w.COLOURS + w.OBJECTS + w.PLACES + w.EVENTS + w.WORKS + w.COMMON
    block = rng.sample(sorted(set(pool)), length + 1)
    block, foil = block[:-1], block[-1]
    stop = rng.randrange(1, length)
    again = block[:stop]
    broken = [*block[:stop], foil, *block[stop + 1 :]]
    return Sentence(
        "induction",
        " " + " ".join(block + again),
        " " + block[stop],
        " " + foil,
        rest="",
        corrupted={"successor": " " + " ".join(broken + again)},
        marks={
            "previous": (block[stop - 1], 0),
            "successor": (block[stop], 0),
            "repeat": (block[stop - 1], 1),
        },
    )


SENTENCES: Final[dict[str, Callable[[random.Random, Split], Sentence]]] = {
    "ioi": ioi,
    "greater_than": greater_than,
    "gender": gender,
    "agreement": agreement,
    "capitals": capitals,
    "sentiment": sentiment,
    "colour_recall": colour_recall,
    "induction": induction,
}
