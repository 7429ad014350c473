"""The embedded model: files, vocabulary, tokenizer, honest splits and a quick reproduction of recorded figures."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).resolve().parents[2] / "assets" / "demo"
sys.path.insert(0, str(DEMO))

import corpus  # noqa: E402
import evaluate  # noqa: E402

COUNTRIES = """France Germany Italy Spain Russia Japan China Egypt Greece Poland Sweden Norway Turkey Cuba Peru Kenya
Austria Hungary Ireland Portugal""".split()  # noqa: SIM905
NAMES = "Mary John Tom Anna James Sarah Paul Laura Peter Alice".split()  # noqa: SIM905
TOLERANCE = 0.02


@pytest.fixture(scope="module")
def model() -> evaluate.Demo:
    return evaluate.Demo(DEMO)


@pytest.fixture(scope="module")
def recorded() -> dict[str, dict[str, object]]:
    return json.loads((DEMO / "evaluation.json").read_text())


def test_files_and_size() -> None:
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md"):
        assert (DEMO / name).is_file(), name
    assert (DEMO / "model.safetensors").stat().st_size <= 6_000_000
    config = json.loads((DEMO / "config.json").read_text())
    assert config["model_type"] == "gpt2"
    assert config["architectures"] == ["GPT2LMHeadModel"]


def test_weights_match_the_config(model: evaluate.Demo) -> None:
    d, v, inner = model.d, model.vocab, model.cfg["n_inner"]
    shapes = {"transformer.wte.weight": (v, d), "lm_head.weight": (v, d), "transformer.wpe.weight": (model.n_ctx, d)}
    shapes |= {f"transformer.ln_f.{n}": (d,) for n in ("weight", "bias")}
    for i in range(model.n_layer):
        p = f"transformer.h.{i}."
        shapes |= {f"{p}{ln}.{n}": (d,) for ln in ("ln_1", "ln_2") for n in ("weight", "bias")}
        shapes |= {p + "attn.c_attn.weight": (d, 3 * d), p + "attn.c_attn.bias": (3 * d,)}
        shapes |= {p + "attn.c_proj.weight": (d, d), p + "attn.c_proj.bias": (d,)}
        shapes |= {p + "mlp.c_fc.weight": (d, inner), p + "mlp.c_fc.bias": (inner,)}
        shapes |= {p + "mlp.c_proj.weight": (inner, d), p + "mlp.c_proj.bias": (d,)}
    assert {k: tuple(t.shape) for k, t in model.w.items()} == shapes


def test_word_lists() -> None:
    assert len(corpus.word_list()) >= 1000
    assert len(corpus.CAPITALS) >= 40
    assert set(COUNTRIES) <= set(corpus.CAPITALS)
    assert len(corpus.GENDER) >= 30
    assert corpus.GENDER["king"] == "queen"
    assert len(corpus.OPPOSITES) >= 30
    assert len(set(corpus.NAMES)) >= 100
    assert set(NAMES) <= set(corpus.NAMES)


def test_every_fact_word_has_one_partner() -> None:
    words = [w for t in (corpus.CAPITALS, corpus.GENDER, corpus.OPPOSITES) for pair in t.items() for w in pair]
    assert len(words) == len(set(words))
    assert not set(words) & set(corpus.NAMES)


def test_vocabulary_is_the_corpus(model: evaluate.Demo) -> None:
    assert model.tokenizer.get_vocab() == corpus.vocabulary()
    assert model.vocab == len(corpus.vocabulary())


def test_words_are_single_tokens(model: evaluate.Demo) -> None:
    for word in corpus.word_list():
        ids = model.tokenizer.encode(word).ids
        assert ids == [model.id(word)], word
        assert model.tokenizer.encode(" " + word).ids == ids, word


def test_bytes_fall_back_and_round_trip(model: evaluate.Demo) -> None:
    for text in ("Zanzibar", "naïve 日本 🙂", "xq\tzz\x00zq\n", "franceparis"):
        ids = model.tokenizer.encode(text).ids
        assert all(0 < i <= 256 for i in ids), text
        # one leading space, the same that every word's token carries
        assert model.tokenizer.decode(ids) == " " + text


def test_corpus_text_encodes_to_its_own_tokens(model: evaluate.Demo) -> None:
    rng, ids = random.Random(1), {t.replace("Ġ", " "): i for t, i in model.tokenizer.get_vocab().items()}
    for make in corpus.SENTENCES.values():
        for _ in range(30):
            sentence = make(rng)
            assert model.tokenizer.encode(sentence.text()).ids == [ids[t] for t in sentence.tokens], sentence.text()


def test_loaders_take_the_gpt2_path(model: evaluate.Demo) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(DEMO), local_files_only=True)
    assert tokenizer.bos_token == corpus.BOS
    assert tokenizer.bos_token_id == model.bos
    assert tokenizer("The capital of France is")["input_ids"] == model.encode("The capital of France is")[1:]
    other = transformers.GPT2LMHeadModel.from_pretrained(str(DEMO), local_files_only=True, attn_implementation="eager")
    ids = evaluate.repeats(model, 8, rows=4)
    want, got = other(ids).logits.detach(), model.forward(ids)[0]
    assert (got - want).abs().max() / want.abs().max() < 5e-5
    assert not (DEMO / "generation_config.json").exists()


def test_held_out_splits_are_disjoint() -> None:
    assert not set(corpus.CAPITAL_TRAIN) & set(corpus.CAPITAL_HELDOUT + corpus.CAPITAL_BLIND)
    assert not set(corpus.COUNTRY_TRAIN) & set(corpus.COUNTRY_HELDOUT)
    assert frozenset(("Mary", "John")) in corpus.HELDOUT_PAIRS
    rows = corpus.Rows(corpus.vocabulary(), {"ioi": 0.5, "capital": 0.25, "country": 0.25}, seed=3)
    words = {i: t.strip() for t, i in rows.ids.items()}
    unseen = set()
    capitals, countries = corpus.CAPITAL_HELDOUT + corpus.CAPITAL_BLIND, corpus.COUNTRY_HELDOUT
    for template, slot in [(t, "k") for t in capitals] + [(t, "c") for t in countries]:
        for c, k in corpus.CAPITALS.items():
            unseen.add(" ".join(words[i] for i in rows.encode(corpus.fill(template, slot, c=c, k=k).tokens)))
    names, seen = set(corpus.NAMES), 0
    for _ in range(400):
        ids, _ = rows.row(rows.rng.choice(rows.kinds), 64)
        text = " ".join(words.get(i, "") for i in ids[1:])
        # a row is cut into sentences at its full stops; IOI sentences may hold one, which does not matter here
        sentences = text.split(" . ")
        assert not {s.strip(" .") + " ." for s in sentences} & unseen
        for sentence in sentences:
            met = {w for w in sentence.split() if w in names}
            if len(met) == 2:
                seen += 1
                assert frozenset(met) not in corpus.HELDOUT_PAIRS
    assert seen > 200


def test_the_corpus_is_seeded() -> None:
    mix = {"repeat": 1.0, "ioi": 1.0, "list": 1.0, "mixed": 1.0}
    first, second = (corpus.Rows(corpus.vocabulary(), mix, seed=9).batch(8, 64) for _ in range(2))
    assert first == second


def test_the_card_shows_the_recorded_table(recorded: dict[str, dict[str, object]]) -> None:
    assert evaluate.markdown(recorded) in (DEMO / "README.md").read_text()


def test_key_figures_reproduce(model: evaluate.Demo, recorded: dict[str, dict[str, object]]) -> None:
    scores = evaluate.head_scores(model, 15)
    found = {
        "induction score, best head, 15": max(scores["induction"].values()),
        "previous-token score, best head, 15": max(scores["previous"].values()),
        "capitals, canonical": evaluate.accuracy(model, evaluate.capital_sentences([corpus.CANONICAL], "k")),
    }
    pairs = list(corpus.CAPITALS.items())
    ranks = {h: evaluate.ov_ranks(model, h, pairs) for h in model.heads()}
    found["full OV, country → capital, top 1"] = max((r < 1).float().mean().item() for r in ranks.values())
    partners = pairs + [(k, c) for c, k in pairs] + corpus.pair_table(corpus.GENDER)
    ranks = {h: evaluate.qk_ranks(model, h, partners) for h in model.heads()}
    found["QK, the partner in the row's top 5"] = max((r < 5).float().mean().item() for r in ranks.values())
    for name, value in found.items():
        assert value >= recorded[name]["value"] - TOLERANCE, name


def test_the_article_s_prompts(model: evaluate.Demo) -> None:
    def top(prompt: str) -> str:
        return model.tokenizer.id_to_token(int(evaluate.answers(model, [prompt])[0].argmax()))

    assert top("The capital of France is") == "ĠParis"
    assert top("When Mary and John went to the store, John gave a drink to") == "ĠMary"
    assert top("The opposite of hot is") == "Ġcold"
