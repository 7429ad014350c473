# ruff: noqa: SIM905 - word lists read better as words than as lists of strings
"""Synthetic corpus of the embedded demo model: word tables, templates and a seeded row generator.

Everything here was written for this project; no outside text is used. A *row* is one training sample: `<|bos|>`, then
sentences of one kind until the row is full. Each target carries a loss weight, because a small model trained for
minutes only learns when the loss is spent on what can be predicted:

* 1 on a slot whose answer follows from the row (a capital, a list number; `IOI` on the indirect object),
* `FREE` on every other token (which name, which country comes next is chance),
* `REPEAT` on the second copy of random repeats and 0 on the first copy, which is noise.

Every word of the fact tables belongs to exactly one pair. A word with several partners (a capital, a language, a
continent) makes heads share the work, and no single head's OV circuit shows the whole map any more.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

BOS = "<|bos|>"
FREE = 0.15
REPEAT = 0.5
# an indirect-object row has three answers, a row of repeats about twenty: without this the task is 3 % of the loss
IOI = 4.0

CAPITALS: dict[str, str] = dict(
    pair.split()
    for pair in """France Paris|Germany Berlin|Italy Rome|Spain Madrid|Russia Moscow|Japan Tokyo|China Beijing
|Egypt Cairo|Greece Athens|Poland Warsaw|Sweden Stockholm|Norway Oslo|Turkey Ankara|Cuba Havana|Peru Lima|Kenya Nairobi
|Austria Vienna|Hungary Budapest|Ireland Dublin|Portugal Lisbon|Finland Helsinki|Denmark Copenhagen
|Belgium Brussels|Switzerland Bern|Romania Bucharest|Bulgaria Sofia|Serbia Belgrade|Croatia Zagreb
|Canada Ottawa|India Delhi|Iran Tehran|Iraq Baghdad|Morocco Rabat|Ghana Accra|Nigeria Abuja|Senegal Dakar
|Uganda Kampala|Chile Santiago|Colombia Bogota|Venezuela Caracas|Ecuador Quito|Thailand Bangkok|Vietnam Hanoi
|Nepal Kathmandu""".replace("\n", "").split("|")
)

GENDER: dict[str, str] = dict(
    pair.split("/")
    for pair in """king/queen man/woman boy/girl father/mother brother/sister son/daughter husband/wife
uncle/aunt nephew/niece grandfather/grandmother grandson/granddaughter prince/princess actor/actress
waiter/waitress host/hostess hero/heroine god/goddess duke/duchess emperor/empress baron/baroness lord/lady
sir/madam monk/nun wizard/witch groom/bride widower/widow bull/cow rooster/hen stallion/mare ram/ewe
lion/lioness tiger/tigress heir/heiress landlord/landlady""".split()
)

OPPOSITES: dict[str, str] = dict(
    pair.split("/")
    for pair in """hot/cold big/small tall/short fast/slow old/young light/dark early/late rich/poor strong/weak
happy/sad good/bad open/closed full/empty wet/dry hard/soft high/low loud/quiet clean/dirty near/far true/false
up/down left/right inside/outside love/hate war/peace win/lose buy/sell push/pull north/south east/west
black/white thick/thin wide/narrow deep/shallow sweet/bitter cheap/expensive always/never alive/dead""".split()
)

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()

NAMES = """Mary John Tom Anna James Sarah Paul Laura Peter Alice Robert Linda David Susan Daniel Karen Mark Nancy
Steven Betty Kevin Helen Brian Sandra George Donna Edward Carol Ronald Ruth Anthony Sharon Frank Michelle Scott Emily
Eric Kate Stephen Julia Andrew Rachel Simon Emma Joshua Olivia Patrick Megan Jack Grace Dennis Amy Jerry Angela Aaron
Diana Henry Sophie Adam Claire Nathan Lucy Oscar Nina Victor Rosa Martin Vera Felix Clara Leo Eva Max Ivy Hugo Maria
Ian Jane Luke Ella Sam Lily Ben Chloe Carl Hannah Walter Martha Arthur Irene Philip Joan Roger Judy Albert Rita Lewis
Anita Oliver Bella Louis Greta Owen Holly Colin Wendy Neil Tina Gary Monica Keith Paula Ralph Nora Bruno Elsa Ivan
Olga Dylan Zoe""".split()

PLACES = """store shops school park garden office station market library museum church hospital beach river lake
forest farm harbor airport bakery cafe restaurant kitchen cinema theater stadium bridge castle tower palace village
factory bank hotel zoo gym pool playground square street mountain valley island desert meadow field barn mill mine
temple university college laboratory studio workshop garage cellar attic balcony corridor hall lobby elevator
courtyard fountain cemetery port dock shipyard lighthouse cave cliff canyon waterfall glacier volcano swamp jungle
orchard vineyard greenhouse stable kennel aquarium gallery circus fair carnival arena court prison embassy mansion
cottage cabin tent camp""".split()

OBJECTS = """drink bag book ring ball letter key gift flower cup plate spoon fork knife bottle basket box hat coat
shoe shirt scarf glove watch lamp candle mirror chair table pillow blanket towel brush comb pen pencil notebook paper
map ticket coin card stamp photo painting drum guitar violin flute piano trumpet radio phone camera computer battery
hammer nail saw rope ladder bucket shovel wheel kite doll puzzle toy sword shield helmet necklace bracelet medal crown
cake pie cookie apple banana pear peach plum grape lemon orange cherry melon berry carrot potato tomato onion pepper
bean corn bread cheese butter egg fish steak soup salad pizza sandwich noodle rice pasta sausage chocolate candy honey
jam milk coffee tea juice water wine beer soda""".split()

ANIMALS = """cat dog horse pig goat duck goose turtle frog snake lizard rabbit mouse rat squirrel fox wolf bear deer
moose elk camel donkey monkey gorilla elephant giraffe zebra hippo rhino leopard panther cheetah jaguar otter beaver
badger hedgehog bat eagle hawk owl crow raven swan pigeon parrot penguin ostrich sparrow robin whale dolphin shark
salmon trout crab lobster octopus spider ant bee wasp butterfly moth beetle snail worm""".split()

JOBS = """doctor nurse teacher farmer baker butcher painter sailor soldier pilot driver lawyer judge dentist engineer
scientist writer singer dancer musician carpenter plumber mechanic tailor barber chef gardener hunter guard thief
detective banker merchant clerk mayor priest professor student pupil athlete coach captain general spy
tourist""".split()

VERBS = """saw heard followed watched helped liked found called met chased carried washed fed drew painted pushed
moved lifted dropped caught kicked threw held hid showed bought sold stole borrowed lost wanted needed loved feared
trusted missed remembered forgot touched cleaned fixed broke""".split()

ADJECTIVES = """red blue green yellow purple brown gray pink golden silver tiny huge gentle fierce brave shy clever
lazy busy hungry thirsty tired angry calm proud funny serious strange famous ancient modern wooden broken shiny smooth
rough round square striped spotted fluffy muddy dusty sunny rainy windy foggy""".split()

EXTRA = """sun moon star sky cloud rain snow wind storm thunder fire smoke ash stone rock sand mud grass leaf tree
root branch seed fruit hand foot arm leg head face eye ear nose mouth neck shoulder finger toe knee heart bone blood
skin hair beard door window wall floor roof stairs room bed desk shelf drawer curtain carpet clock bell lock road path
car bus train ship boat plane bicycle truck wagon engine morning evening night week year hour minute second century
spring summer autumn winter one two three four five six seven eight nine ten eleven twelve thirteen twenty thirty
forty fifty hundred thousand million story song poem dance game dream idea question answer problem plan secret promise
reason luck hope joy anger fear pain pride shame truth lie law rule price money gold iron steel copper glass wood
plastic cotton wool silk leather sugar salt flour oil language music history science art math physics chemistry
biology geography sport football tennis chess hockey army navy team family friend neighbor guest crowd nation city
country world ocean sea coast border""".split()

MAX_LIST = 12
NUMBERS = [str(n) for n in range(1, 21)]

# "{c}" country, "{k}" its capital; the last slot of a template is the answer
CANONICAL = "The capital of {c} is {k}."
CAPITAL_TRAIN = [
    CANONICAL,
    "The capital city of {c} is {k}.",
    "{c} has its capital in {k}.",
    "In {c}, the capital is {k}.",
    "The seat of government of {c} is {k}.",
    "The main city of {c} is {k}.",
    "People in {c} call their capital {k}.",
    "The government of {c} sits in {k}.",
    "To see the capital of {c}, you must go to {k}.",
    "Everyone knows that the capital of {c} is {k}.",
    "The flag of {c} flies over {k}.",
    "Trains across {c} stop in {k}.",
    "The name of the main city in {c} is {k}.",
    "I think that the capital city of {c} is called {k}.",
    "When you visit {c}, you will see {k}.",
    "If you live in {c}, your capital is {k}.",
    "For {c}, the capital city is {k}.",
    "The president of {c} lives in {k}.",
    "People know that the capital of {c} is {k}.",
    "I live in {c} and my capital is {k}.",
    "You will find the capital of {c} in {k}.",
    "The main city of {c} must be {k}.",
    "Of course the capital city of {c} will be {k}.",
    "When you go to {c}, you will stop in {k}.",
    "When we travel in {c}, the main city we see is {k}.",
    "In {c}, the city you will see is {k}.",
]
CAPITAL_HELDOUT = [
    "The capital of {c} is called {k}.",
    "The name of the capital of {c} is {k}.",
    "I think that the capital of {c} must be {k}.",
    "People in {c} know that their capital is {k}.",
    "When you go to {c}, the capital city you will see is {k}.",
    "The main seat of government in {c} is {k}.",
]
# written after the last training, out of words that the corpus has: nothing was tuned on these
CAPITAL_BLIND = [
    "I know that the capital of {c} is {k}.",
    "The capital you will find in {c} is {k}.",
    "Everyone in {c} knows that the main city is {k}.",
    "If you go to {c}, you must see {k}.",
    "People think that the seat of government of {c} is in {k}.",
    "After we visit {c}, we know that its capital is {k}.",
]
COUNTRY_TRAIN = [
    "{k} is the capital of {c}.",
    "{k} is the capital city of {c}.",
    "{k} is a city in {c}.",
    "The city of {k} lies in {c}.",
    "If you are in {k}, you are in {c}.",
    "People who live in {k} live in {c}.",
    "Everyone knows that {k} is the capital of {c}.",
    "If this is {k}, we must be in {c}.",
    "People in {k} know that they are in {c}.",
    "Of course {k} is a city of {c}.",
]
COUNTRY_HELDOUT = ["{k} is the main city of {c}.", "I think that {k} is the capital of {c}.", "{k} lies in {c}."]
GENDER_TRAIN = [
    "The {a} and the {b}.",
    "The {a} married the {b}.",
    "Where the {a} goes, the {b} goes.",
    "If he or she is not a {a}, then a {b}.",
    "The word for the other gender of {a} is {b}.",
]
OPPOSITE_TRAIN = [
    "The opposite of {a} is {b}.",
    "It is not {a} but {b}.",
    "If it is not {a}, it must be {b}.",
    "Some like it {a} and others like it {b}.",
    "The word {a} means the reverse of {b}.",
]
DAY_TRAIN = ["After {a} comes {b}.", "The day after {a} is {b}.", "When {a} ends, it is {b}."]
MONTH_TRAIN = ["After {a} comes {b}.", "The month after {a} is {b}.", "When {a} ends, it is {b}."]
# {x} {y} the two names in order, {s} the subject (one of them), {i} the indirect object (the other one)
IOI_TEMPLATES = [
    "When {x} and {y} went to the {p}, {s} gave a {o} to {i}.",
    "Then {x} and {y} went to the {p}. {s} gave a {o} to {i}.",
    "After {x} and {y} went to the {p}, {s} gave the {o} to {i}.",
    "When {x} and {y} got a {o} at the {p}, {s} decided to give it to {i}.",
    "While {x} and {y} were working at the {p}, {s} sent a {o} to {i}.",
    "{x} and {y} walked to the {p}. {s} passed the {o} to {i}.",
    "Then, {x} and {y} had a long talk at the {p}, and {s} handed the {o} to {i}.",
    "Friends {x} and {y} found a {o} at the {p}. {s} gave it to {i}.",
]
STORY_TEMPLATES = [
    "The {adj} {animal} {verb} a {obj} at the {place}.",
    "The {job} {verb} the {adj} {animal}.",
    "{name} {verb} the {animal} and the {obj}.",
    "{name} the {job} went to the {adj} {place}.",
    "A {adj} {job} {verb} {name} at the {place}.",
]


def pair_table(table: dict[str, str]) -> list[tuple[str, str]]:
    """Both directions of a table of pairs."""
    return list(table.items()) + [(b, a) for a, b in table.items()]


def heldout_pairs(share: float = 0.1) -> frozenset[frozenset[str]]:
    """Unordered name pairs that never meet in a training sentence; the classic Mary and John are among them."""
    rng = random.Random(20)
    pairs = [frozenset((a, b)) for i, a in enumerate(NAMES) for b in NAMES[i + 1 :]]
    return frozenset(rng.sample(pairs, round(share * len(pairs)))) | {frozenset(("Mary", "John"))}


HELDOUT_PAIRS = heldout_pairs()
# GPT-2's pre-tokenizer on our own texts: a word keeps its leading space, punctuation stands alone
_PIECE = re.compile(r" ?[A-Za-z0-9]+|\{[a-z]+\}| ?[^\sA-Za-z0-9{}]")


def pieces(text: str) -> list[str]:
    """Split a text or template into token strings; words carry their leading space, `{slot}` stays whole."""
    text = " " + text.strip()
    return _PIECE.findall(re.sub(r" (\{[a-z]+\})", r"\1", text))


def word_list() -> list[str]:
    """Every corpus word once, in a fixed order (the vocabulary after the bytes)."""
    words: list[str] = []
    for table in (CAPITALS, GENDER, OPPOSITES):
        for a, b in table.items():
            words += [a, b]
    for group in (DAYS, MONTHS, NAMES, PLACES, OBJECTS, ANIMALS, JOBS, VERBS, ADJECTIVES, EXTRA, NUMBERS, ["List"]):
        words += group
    templates = CAPITAL_TRAIN + CAPITAL_HELDOUT + COUNTRY_TRAIN + COUNTRY_HELDOUT + GENDER_TRAIN + OPPOSITE_TRAIN
    templates += DAY_TRAIN + MONTH_TRAIN + IOI_TEMPLATES + STORY_TEMPLATES
    for template in templates:
        words += [p[1:] for p in pieces(template) if p[0] == " " and p[1:].isalnum()]
    return list(dict.fromkeys(words))


def byte_alphabet() -> list[str]:
    """The 256 printable stand-ins of GPT-2's byte-level alphabet, in byte order."""
    keep = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    table = {b: chr(b) for b in keep}
    extra = 0
    for b in range(256):
        if b not in table:
            table[b] = chr(256 + extra)
            extra += 1
    return [table[b] for b in range(256)]


def vocabulary() -> dict[str, int]:
    """Token string (byte-level form, `Ġ` for the space) to id: BOS, 256 bytes, then the words."""
    tokens = [BOS, *byte_alphabet(), *("Ġ" + w for w in word_list())]
    return {t: i for i, t in enumerate(tokens)}


@dataclass(frozen=True)
class Sentence:
    """Token strings and the index of the answer among them (`None`: nothing to predict)."""

    tokens: tuple[str, ...]
    answer: int | None

    def text(self) -> str:
        """The sentence as one would type it."""
        return "".join(self.tokens)[1:]

    def prompt(self) -> str:
        """The text up to the answer."""
        assert self.answer is not None
        return "".join(self.tokens[: self.answer])[1:]


_CACHE: dict[str, list[str]] = {}


def fill(template: str, answer: str | None, **slots: str) -> Sentence:
    """Fill a template; `answer` names the slot to predict."""
    parts = _CACHE.get(template)
    if parts is None:
        parts = _CACHE[template] = pieces(template)
    out, index = [], None
    for i, part in enumerate(parts):
        if part[0] == "{":
            name = part[1:-1]
            out.append(" " + slots[name])
            if name == answer:
                index = i
        else:
            out.append(part)
    return Sentence(tuple(out), index)


def capital(rng: random.Random) -> Sentence:
    """Country to capital, training templates; the canonical one in a quarter of the cases."""
    c = rng.choice(_COUNTRIES)
    template = CANONICAL if rng.random() < 0.25 else rng.choice(CAPITAL_TRAIN)
    return fill(template, "k", c=c, k=CAPITALS[c])


def country(rng: random.Random) -> Sentence:
    """Capital to country."""
    c = rng.choice(_COUNTRIES)
    return fill(rng.choice(COUNTRY_TRAIN), "c", c=c, k=CAPITALS[c])


def gender(rng: random.Random) -> Sentence:
    """Gender pair, either direction."""
    a, b = rng.choice(_GENDER)
    return fill(rng.choice(GENDER_TRAIN), "b", a=a, b=b)


def opposite(rng: random.Random) -> Sentence:
    """Opposites, either direction."""
    a, b = rng.choice(_OPPOSITES)
    return fill(rng.choice(OPPOSITE_TRAIN), "b", a=a, b=b)


def calendar(rng: random.Random) -> Sentence:
    """The next day or month."""
    names, templates = (DAYS, DAY_TRAIN) if rng.random() < 0.4 else (MONTHS, MONTH_TRAIN)
    i = rng.randrange(len(names))
    return fill(rng.choice(templates), "b", a=names[i], b=names[(i + 1) % len(names)])


def indirect_object(rng: random.Random, heldout: bool = False) -> Sentence:
    """Indirect object; `heldout` draws the name pair from the pairs that training never shows."""
    if heldout:
        x, y = rng.sample(sorted(rng.choice(_HELDOUT)), 2)
    else:
        while True:
            x, y = rng.sample(NAMES, 2)
            if frozenset((x, y)) not in HELDOUT_PAIRS:
                break
    s, i = (x, y) if rng.random() < 0.5 else (y, x)
    template = rng.choice(IOI_TEMPLATES)
    return fill(template, "i", x=x, y=y, s=s, i=i, p=rng.choice(PLACES), o=rng.choice(OBJECTS))


def story(rng: random.Random) -> Sentence:
    """A sentence without anything to predict, so that ordinary words are seen in ordinary places."""
    choose: Callable[[list[str]], str] = rng.choice
    return fill(
        rng.choice(STORY_TEMPLATES), None, adj=choose(ADJECTIVES), animal=choose(ANIMALS), verb=choose(VERBS),
        obj=choose(OBJECTS), place=choose(PLACES), job=choose(JOBS), name=choose(NAMES),
    )  # fmt: skip


_COUNTRIES = list(CAPITALS)
_GENDER = pair_table(GENDER)
_OPPOSITES = pair_table(OPPOSITES)
_HELDOUT = sorted(HELDOUT_PAIRS, key=sorted)
_LISTED = list(CAPITALS.items()) + list(GENDER.items())
SENTENCES: dict[str, Callable[[random.Random], Sentence]] = {
    "capital": capital, "country": country, "gender": gender, "opposite": opposite, "calendar": calendar,
    "ioi": indirect_object, "story": story,
}  # fmt: skip


def partner_list(rng: random.Random, length: int) -> tuple[list[str], list[float]]:
    """`List: France uncle Rome Mary. Paris 1 Italy 3 Mary 4 aunt 2`: where did the word or its partner stand?

    The answer is a fact of this row and is found at the partner's position only (as its position), so the way there is
    attention from a word to its partner by token identity: the QK circuit that ties France to Paris and king to queen.
    Every listed word is asked for by its partner, and, room permitting, by itself, which is easier and is learnt first.
    """
    n = rng.randint(2, min(MAX_LIST, (length - 4) // 4))
    listed = [(a, b) if rng.random() < 0.5 else (b, a) for a, b in rng.sample(_LISTED, n)]
    for i in rng.sample(range(n), n // 4):
        name = rng.choice(NAMES)
        if all(name != a for a, _ in listed):
            listed[i] = (name, name)
    tokens = [" List", ":", *(" " + a for a, _ in listed), "."]
    weights = [FREE] * len(tokens)
    asked = [(i, b) for i, (_, b) in enumerate(listed)]
    again = [(i, a) for i, (a, b) in enumerate(listed) if a != b]
    room = (length - 1 - len(tokens)) // 2 - len(asked)
    asked += rng.sample(again, max(0, min(room, len(again) // 2)))
    rng.shuffle(asked)
    for i, word in asked:
        tokens += [" " + word, " " + NUMBERS[i]]
        weights += [0.0, 1.0]
    return tokens, weights


class Rows:
    """Seeded generator of training rows: token ids, loss weights and the kind of each row."""

    def __init__(self, vocab: dict[str, int], mix: dict[str, float], seed: int) -> None:
        self.ids = {t.replace("Ġ", " "): i for t, i in vocab.items() if t.startswith("Ġ") and len(t) > 1}
        self.ids |= {chr(b): vocab[c] for b, c in enumerate(byte_alphabet()) if 33 <= b < 127}
        self.bos = vocab[BOS]
        self.size = len(vocab)
        self.kinds, self.shares = list(mix), list(mix.values())
        self.rng = random.Random(seed)

    def encode(self, tokens: list[str] | tuple[str, ...]) -> list[int]:
        """Token strings to ids."""
        return [self.ids[t] for t in tokens]

    def repeats(self, length: int) -> tuple[list[int], list[float]]:
        """Random tokens (any but BOS) without replacement, then the same again; until the row is full.

        Noise before and between the copies keeps the distance of the two copies from being guessed: without it a head
        learns to look back by the most frequent distance instead of looking for the token. In half of the copies words
        come back within the copy, so that one token does not tell the place and the token before it is needed too. This
        and the echo rows brought a previous-token head; before them induction appeared without one.
        """
        ids: list[int] = []
        weights: list[float] = []
        while length - len(ids) >= 4:
            room = length - len(ids)
            n = self.rng.randint(2, room // 2)
            spare = room - 2 * n
            before, between = (
                self.rng.randint(0, min(spare // 2, 6)) if self.rng.random() < 0.5 else 0 for _ in range(2)
            )
            drawn = self.rng.sample(range(1, self.size), before + n + between)
            segment = drawn[:n]
            if self.rng.random() < 0.5:
                segment = self.rng.choices(segment[: self.rng.randint(max(2, n // 3), n)], k=n)
            ids += drawn[n : n + before] + segment + drawn[n + before :] + segment
            weights += [0.0] * (before + n + between + 1) + [REPEAT] * (n - 1)
        pad = length - len(ids)
        return ids + self.rng.sample(range(1, self.size), pad), weights + [0.0] * pad

    def echoes(self, length: int) -> tuple[list[int], list[float]]:
        """Random tokens `a s a b t b ...`: in the middle of each three the answer is the token before."""
        ids: list[int] = []
        weights: list[float] = []
        drawn = self.rng.sample(range(1, self.size), 2 * (length // 3 + 1))
        for a, s in zip(drawn[::2], drawn[1::2], strict=True):
            ids += [a, s, a]
            weights += [0.0, 0.0, 1.0]
        return ids[:length], weights[:length]

    def row(self, kind: str, length: int) -> tuple[list[int], list[float]]:
        """One row of `length` tokens with BOS in front; `weights[t]` is the weight of *predicting* token t."""
        room = length - 1
        ids: list[int] = []
        weights: list[float] = []
        if kind == "repeat":
            ids, weights = self.repeats(room)
        elif kind == "echo":
            ids, weights = self.echoes(room)
        elif kind == "list":
            tokens, weights = partner_list(self.rng, length)
            ids = self.encode(tokens)
        else:
            make = (
                (lambda: SENTENCES[self.rng.choice(("capital", "country", "gender", "opposite"))](self.rng))
                if kind == "mixed"
                else (lambda: SENTENCES[kind](self.rng))
            )
            while len(ids) < room:
                sentence = make()
                if ids and len(ids) + len(sentence.tokens) > room:
                    break
                ids += self.encode(sentence.tokens)
                answer = IOI if kind == "ioi" else 1.0
                weights += [answer if i == sentence.answer else FREE for i in range(len(sentence.tokens))]
        ids, weights = ids[:room], weights[:room]
        pad = room - len(ids)
        # the filler is never predicted and, being last, never attended to by anything that counts
        return [self.bos, *ids, *([self.bos] * pad)], [0.0, *weights, *([0.0] * pad)]

    def batch(self, size: int, length: int) -> tuple[list[list[int]], list[list[float]], list[str]]:
        """`size` rows: ids, weights, kinds."""
        kinds = self.rng.choices(self.kinds, self.shares, k=size)
        rows = [self.row(kind, length) for kind in kinds]
        return [r[0] for r in rows], [r[1] for r in rows], kinds
