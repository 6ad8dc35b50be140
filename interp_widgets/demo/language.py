"""Sentences of the demonstration tasks: openings and endings, a fifth of their pairs held out."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from . import words as w

Split = Literal["train", "test"]

IOI: Final = (
    (
        "When {A} and {B} went to the {P}, ",
        "After {A} and {B} arrived at the {P}, ",
        "While {A} and {B} were working at the {P}, ",
        "Friends {A} and {B} met at the {P}. ",
        "The {P} was busy when {A} and {B} came in. ",
        "{A} and {B} had a long talk at the {P}, and ",
        "Yesterday {A} met {B} at the {P}. ",
        "Then {A} and {B} went to the {P}. ",
        "{A} saw {B} near the {P} and ",
        "At the {P}, {A} and {B} looked for a friend. Then ",
        "Once {A} and {B} were at the {P}, ",
        "The {P} was old, but {A} and {B} liked it. So ",
    ),
    (
        "{S} gave a {O} to",
        "{S} handed a {O} to",
        "{S} decided to give a {O} to",
        "{S} found a {O} and gave it to",
        "{S} passed the {O} to",
        "{S} sold a {O} to",
        "{S} showed the {O} to",
        "{S} sent a {O} to",
        "{S} brought a {O} and offered it to",
        "{S} offered the {O} to",
        "{S} wanted to sell the {O} to",
    ),
)
GREATER_THAN: Final = (
    "The {N} lasted from the year {C}{Y} to the year {C}",
    "The {N} began in the year {C}{Y} and ended in the year {C}",
    "From the year {C}{Y} the {N} went on to the year {C}",
)
GENDER: Final = (
    (
        "{W} lost the {O}",
        "{W} went to the {P}",
        "{W} found a {O}",
        "{W} came to the {P}",
        "{W} looked tired",
        "{W} liked the {O}",
        "The {O} was new and {W} wanted it",
        "At the {P} {W} was happy",
    ),
    (", and then", " because", " when", ", so", ", but", " before", " and said that"),
)
FRIEND: Final = "So {W} is a really good friend, isn't"
AGREEMENT: Final = (
    ("The {H}", "The {J} {H}", "Yesterday the {H}", "Now the {J} {H}"),
    (
        "",
        " near the {M}",
        " behind the {M}",
        " that the {M} saw",
        " with the {M}",
        " from the {M}",
        " behind the {J} {M}",
    ),
)
CAPITALS: Final = (
    (
        "The capital of {C}",
        "The big city in {C}",
        "The king of {C} has a house and it",
        "{W} lives in {C} and the city",
        "{W} flew to {C}. The city",
        "{W} came from {C}. The capital",
    ),
    (" is", " is called", " was", " is now called", " was called"),
)
SENTIMENT: Final = (
    (
        "The {K} was {J}.",
        "What a {J} {K}!",
        "{W} saw a {J} {K}.",
        "It was a {J} {K}.",
        "{W} said that the {K} was {J}.",
        "After the {K} {W} thought that it was {J}.",
    ),
    (
        (" {W}", "loved", "hated", " it."),
        (" Everyone felt", "happy", "sad", "."),
        (" It made {W}", "smile", "cry", "."),
        (" So they", "loved", "hated", " it."),
        (" Then {W} was", "happy", "sad", "."),
    ),
)
COLOUR: Final = (
    ("the {X} is {C}", "The colour of the {X} is"),
    ("the {X} is {C}", "So the {X} is"),
    ("the {X} was {C}", "The colour of the {X} was"),
    ("the {X} was {C}", "We know that the {X} was"),
)
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


def _combine(
    rng: random.Random, first: tuple[Any, ...], second: tuple[Any, ...], split: Split
) -> tuple[Any, Any]:
    """Draw an opening and an ending; a fifth of their combinations occurs only in the test."""
    while True:
        i, j = rng.randrange(len(first)), rng.randrange(len(second))
        if ((3 * i + 2 * j) % 5 == 1) == (split == "test"):
            return first[i], second[j]


def ioi(rng: random.Random, split: Split) -> Sentence:
    """Draw an indirect object to identify (arXiv:2211.00593)."""
    while True:
        io, s, x, y, z = rng.sample(w.NAMES, 5)
        if w.held_out_pair(io, s) == (split == "test"):
            break
    a, b = rng.choice([(io, s), (s, io)])
    template = "".join(_combine(rng, *IOI, split))
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
    template = rng.choice(GREATER_THAN)
    # Most events are short: half of the ends lie within twelve years, which sharpens the edge.
    latest = min(99, year + 12) if rng.random() < 0.5 else 99

    def make(start: int) -> str:
        return template.format(N=noun, C=century, Y=f"{start:02d}")

    return Sentence(
        "greater_than",
        make(year),
        f"{rng.randint(year + 1, latest):02d}",
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
    template = "".join(_combine(rng, *GENDER, split))
    if split == "train" and rng.random() < 0.1:
        template = FRIEND
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
    template = "".join(_combine(rng, *AGREEMENT, split))
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
    template = "".join(_combine(rng, *CAPITALS, split))
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
    opening, (ending, good, bad, rest) = _combine(rng, *SENTIMENT, split)
    template = opening + ending
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
    fact, question = COLOUR[0] if split == "test" else rng.choice(COLOUR)
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
