"""Word lists of the generated language, and which pairs, years and lengths are held out."""

from __future__ import annotations

from typing import Final


def _words(text: str) -> list[str]:
    return text.split()


MALE: Final = _words(
    "John Tom James Paul Mark David Peter Jack Henry George Robert Simon Daniel Michael Adam "
    "Brian Carl Eric Frank Kevin Luke Oscar Victor Walter Martin Steven Andrew Thomas"
)
FEMALE: Final = _words(
    "Mary Anna Sarah Emma Lucy Alice Susan Kate Jane Laura Rachel Helen Julia Emily Grace Clara "
    "Diana Eva Fiona Nina Olivia Ruth Sophie Vera Amy Linda Maria Lisa"
)
NAMES: Final = MALE + FEMALE
PLACES: Final = _words(
    "store park school office garden station market library beach hospital museum restaurant "
    "hotel farm church kitchen"
)
OBJECTS: Final = _words(
    "drink book key ring ball letter basket coin hat ticket apple flower lamp map phone watch"
)
COLOURS: Final = _words("red blue green yellow black white brown pink")
THINGS: Final = _words(
    "box cup pen chair table door shirt car boat bag house cat dog bird horse bowl"
)
EVENTS: Final = _words(
    "war strike voyage project reign siege trial treaty journey plague drought famine debate "
    "contract mission alliance"
)
HELD_OUT_EVENTS: Final = _words("siege journey debate mission")
NOUNS: Final = _words(
    "key dog boy girl teacher doctor picture car house bird friend king farmer door letter book"
)
ADJECTIVES: Final = _words("old new big small good bad tall nice")
ROLES: Final = [
    ("king", "queen"),
    ("man", "woman"),
    ("boy", "girl"),
    ("father", "mother"),
    ("brother", "sister"),
    ("uncle", "aunt"),
    ("son", "daughter"),
    ("husband", "wife"),
    ("prince", "princess"),
    ("actor", "actress"),
]
CAPITALS: Final = dict(
    pair.split("-")
    for pair in _words(
        "France-Paris Japan-Tokyo Italy-Rome Spain-Madrid Germany-Berlin England-London "
        "Russia-Moscow China-Beijing Egypt-Cairo Greece-Athens Austria-Vienna Norway-Oslo "
        "Sweden-Stockholm Finland-Helsinki Portugal-Lisbon Ireland-Dublin Poland-Warsaw "
        "Hungary-Budapest Cuba-Havana Peru-Lima Kenya-Nairobi Iran-Tehran Iraq-Baghdad "
        "Canada-Ottawa India-Delhi Turkey-Ankara Chile-Santiago Denmark-Copenhagen"
    )
)
POSITIVE: Final = _words("wonderful great lovely brilliant charming excellent delightful superb")
NEGATIVE: Final = _words("terrible awful boring horrible dull dreadful poor disappointing")
WORKS: Final = _words("film book play song story meal game show concert trip")
COMMON: Final = _words(
    "all am an any at back be been but by can come could day did do down each even every first "
    "for from get go had have her here him his how if into its just know like little long look "
    "make may more most much must my name never no not now of off on one only or other our out "
    "over people say see should so some take than their them then these they thing think this "
    "time two up us very want was water way we well were what who will with word work would year "
    "you your quick fox jumps lazy sky sun moon star tree river sea road city world hand head "
    "eye face life night light fire wind rain snow summer winter music paper money"
)


def plural(noun: str) -> str:
    """Return the regular plural of a noun of `NOUNS`."""
    return noun + "s"


def held_out_pair(a: str, b: str) -> bool:
    """Tell whether two names never occur together in the IOI sentences of training."""
    i, j = sorted((NAMES.index(a), NAMES.index(b)))
    return (7 * i + 3 * j) % 5 == 0


def held_out_year(century: int, year: int) -> bool:
    """Tell whether a start year (``century`` 17, ``year`` 32 for 1732) is kept out of training."""
    return (7 * century + 3 * year) % 5 == 0


def held_out_length(period: int) -> bool:
    """Tell whether blocks of ``period`` tokens are never repeated in training."""
    return period % 5 == 3
