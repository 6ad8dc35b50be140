"""Training sentences beside the tasks: names in other roles, counting, and lists.

They keep shortcuts from solving the tasks: the name to predict is not always the one that the last
subject could have found by itself.
"""

from __future__ import annotations

import random
from typing import Final

from . import words as w
from .language import SENTENCES, Sentence

_PLACE: Final = [
    "When {A} and {B} went to the {P}, ",
    "{A} and {B} were at the {P}. ",
    "After {A} and {B} came to the {P}, ",
    "Friends {A} and {B} met at the {P}. ",
]
_ROLES: Final = [
    ("{S} wanted the {O}, so {I} gave it to", "S"),
    ("{S} got a {O} from", "I"),
    ("then {S} thanked", "I"),
    ("{S} liked it. Then {S} gave a {O} to", "I"),
    ("{S} had a {O}. So {S} gave the {O} to", "I"),
    ("{S} saw a {O}. Then {R} gave the {O} to", "I"),
    ("{S} had a {O}, and then {I} received it from", "S"),
]
_THREE: Final = [
    "{A}, {B} and {C} went to the {P}. {X} and {Y} gave a {O} to",
    "When {A}, {B} and {C} were at the {P}, {X} and {Y} passed the {O} to",
    "{A}, {B} and {C} had a long talk. Then {X} and {Y} sold a {O} to",
]


def _names(rng: random.Random, count: int) -> list[str]:
    return rng.sample(w.NAMES, count)


def roles(rng: random.Random) -> Sentence:
    """Draw two names, in which the verb says who receives."""
    a, b = _names(rng, 2)
    s, i = rng.choice([(a, b), (b, a)])
    ending, answer = rng.choice(_ROLES)
    pronoun = "he" if s in w.MALE else "she"
    text = (rng.choice(_PLACE) + ending).format(
        A=a, B=b, S=s, I=i, R=pronoun, P=rng.choice(w.PLACES), O=rng.choice(w.OBJECTS)
    )
    return Sentence("roles", text, " " + (s if answer == "S" else i), "")


def three(rng: random.Random) -> Sentence:
    """Draw three names, of which two are repeated."""
    abc = _names(rng, 3)
    x, y, left = rng.sample(abc, 3)
    text = rng.choice(_THREE).format(
        A=abc[0], B=abc[1], C=abc[2], X=x, Y=y, P=rng.choice(w.PLACES), O=rng.choice(w.OBJECTS)
    )
    return Sentence("three", text, " " + left, "")


def stranger(rng: random.Random) -> Sentence:
    """Draw a third name that gives; either of the first two receives."""
    a, b, c = _names(rng, 3)
    ending = rng.choice(["{C} gave a {O} to", "{C} passed the {O} to", "{C} showed a {O} to"])
    text = (rng.choice(_PLACE) + ending).format(
        A=a, B=b, C=c, P=rng.choice(w.PLACES), O=rng.choice(w.OBJECTS)
    )
    return Sentence("stranger", text, " " + rng.choice((a, b)), "")


def counting(rng: random.Random) -> Sentence:
    """Draw numbers in order."""
    start, length = rng.randint(10, 92), rng.randint(3, 6)
    numbers = [str(start + k) for k in range(length)]
    return Sentence("counting", "Count: " + " ".join(numbers[:-1]), " " + numbers[-1], "")


def again(rng: random.Random) -> Sentence:
    """Draw a whole sentence said twice."""
    task = rng.choice(("ioi", "colour_recall", "gender", "sentiment"))
    said = SENTENCES[task](rng, "train")
    text = said.prompt + said.answer + said.rest
    return Sentence("again", text + " " + said.prompt, said.answer, "", said.rest)
