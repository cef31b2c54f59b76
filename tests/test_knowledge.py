"""The knowledge base: whole, right about classes and scales, refused where it is not, repeated nowhere in code."""

import ast
import copy
import json
import re
import shutil

import pytest
import yaml

from jwvl_lib import instruments, knowledge, prompts

ENTRIES = [e for s in knowledge.load().sections.values() for e in s.entries.values()]
RAW = yaml.safe_load(knowledge.TABLE.read_text(encoding="utf-8"))
SHOWN = set("mcintosh_z mcintosh_p mcintosh_c hale_class goes_class activity_level R S G flag index unit".split())


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.key)
def test_every_entry_has_both_languages_and_a_source(entry):
    assert all(entry.names[language].strip() for language in ("en", "zh"))
    assert entry.sources
    assert set(entry.sources) <= set(knowledge.load().sources)
    assert set(entry.says) in (set(), {"en", "zh"})
    assert entry.says or entry.section == "answer"
    for text in entry.says.values():
        assert not text.endswith((".", "。")), "glossaries join these lines"
    assert not re.search(r"[\u4e00-\u9fff]", entry.names["en"] + entry.says.get("en", ""))


def test_a_source_is_a_paper_with_its_pages_or_a_page():
    for name, source in knowledge.load().sources.items():
        paper = re.search(r"(?:18|19|20)\d\d, .*\d", source["text"])
        assert name == "project" or source["url"].startswith("http"), name
        if re.search(r"\d{4}$", name):
            assert paper, f"{name}: year, title, journal, volume, page"


def test_every_instrument_and_layer_of_the_table_is_called_something():
    rows = instruments.load_instruments()
    assert {r.observatory for r in rows} <= set(knowledge.values("observatory"))
    assert {r.instrument for r in rows} <= set(knowledge.values("instrument"))
    assert {r.layer for r in rows} <= set(knowledge.values("layer"))
    worded = {r.measurement for r in rows if not re.search(r"\d|^B[rpt]$|^Stokes", r.measurement)}
    assert worded <= set(knowledge.values("measurement"))


# --------------------------------------------------------------------------------------------------------------------
# classes and scales


def test_the_sixty_mcintosh_classes_follow_from_the_letters():
    """McIntosh 1990: A and B without penumbra, unipolar groups without c, compact only with a mature penumbra."""
    classes = knowledge.mcintosh_classes()
    by_hand = {"Axx", "Bxo", "Bxi", *(f"H{p}x" for p in "rsahk"), *(f"C{p}{c}" for p in "rsahk" for c in "oi")}
    by_hand |= {f"{z}{p}{c}" for z in "DEF" for p in "rsahk" for c in "oic" if p + c != "rc"}
    assert len(classes) == len(set(classes)) == 60
    assert set(classes) == by_hand
    for refused in ("Ckc", "Drc", "Hso", "Hxx", "Axo", "Bxc", "Fri "):
        assert refused not in classes
        assert knowledge.read_mcintosh(refused) == []


def test_a_class_is_read_letter_by_letter():
    assert [e.key for e in knowledge.read_mcintosh("Ekc")] == ["mcintosh_z.E", "mcintosh_p.k", "mcintosh_c.c"]
    assert [e.key for e in knowledge.read_mcintosh("Hsx")] == ["mcintosh_z.H", "mcintosh_p.s", "mcintosh_c.x"]


def test_classes_of_real_summaries_are_known(shared_data):
    """The Mount Wilson classes that eight years of summaries print are entries, and nothing else is."""
    table = (shared_data / "mcintosh_flare_rates_sc23_24.csv").read_text()
    assert set(re.findall(r"\b[A-H][xrsahk][xoic]\b", table)) <= set(knowledge.mcintosh_classes())
    assert set(knowledge.values("hale_class")) == {
        *("Alpha", "Beta", "Gamma", "Delta", "Beta-Gamma", "Beta-Delta", "Gamma-Delta", "Beta-Gamma-Delta")
    }


def test_scales_begin_where_noaa_says():
    assert dict(knowledge.grades("R")) == {"R1": "M1.0", "R2": "M5.0", "R3": "X1.0", "R4": "X10.0", "R5": "X20.0"}
    assert dict(knowledge.grades("S")) == {f"S{n}": 10**n for n in range(1, 6)}
    assert dict(knowledge.grades("G")) == {f"G{n}": n + 4 for n in range(1, 6)}
    fluxes = dict(reversed(knowledge.grades("goes_class", "from_w_m2")))
    assert fluxes == {"A": 1e-8, "B": 1e-7, "C": 1e-6, "M": 1e-5, "X": 1e-4}
    for name in "RSG":
        assert [v for v, _ in knowledge.grades(name)] == [f"{name}{n}" for n in range(5, 0, -1)]


# --------------------------------------------------------------------------------------------------------------------
# words


def test_terms_and_words():
    assert knowledge.term("layer.corona", "zh") == "日冕"
    assert knowledge.values("layer") == ("photosphere", "chromosphere", "transition region", "corona")
    assert knowledge.words("observatory", "zh")["夸父一号"] == "ASO-S"
    lengths = [len(w) for w in knowledge.words("feature", "en")]
    assert lengths == sorted(lengths, reverse=True)


@pytest.mark.parametrize(
    ("language", "text", "keys"),
    [
        ("en", "What is a coronal hole?", ["feature.coronal_hole"]),
        ("en", "Why does the R3 blackout follow an X-class flare?", ["R.R3", "feature.flare"]),
        ("en", "Beta-Gamma-Delta in HMI", ["hale_class.Beta-Gamma-Delta", "instrument.HMI"]),
        ("en", "the new high is low and moderate, first and second", []),
        ("zh", "βγδ型黑子群是什么？", ["hale_class.Beta-Gamma-Delta", "feature.sunspot_group"]),
        ("zh", "大气成像组件看到日冕和冕洞", ["instrument.AIA", "layer.corona", "feature.coronal_hole"]),
    ],
)  # fmt: skip
def test_what_a_text_names(language, text, keys):
    assert [e.key for e in knowledge.named_in(text, language)] == keys


def test_a_wrong_word_is_one_line_with_the_nearest():
    for call, line in (
        (lambda: knowledge.term("layer.coronna", "zh"), "of layer 'coronna' is not in .*; the nearest is 'corona'"),
        (lambda: knowledge.term("layer.corona", "fr"), "language 'fr' is not in"),
        (lambda: knowledge.section("layers"), "section 'layers' is not in .*; the nearest is 'layer'"),
    ):
        with pytest.raises(knowledge.KnowledgeError, match=line):
            call()


def test_glossary_of_the_report_has_both_languages_and_sources():
    rows = {language: knowledge.glossary(language, sorted(SHOWN)) for language in ("zh", "en")}
    assert [r["key"] for r in rows["zh"]] == [r["key"] for r in rows["en"]]
    assert all(r["says"] and r["sources"][0]["text"] for both in rows.values() for r in both)
    assert {r["section"] for r in rows["en"]} == SHOWN


def test_prompts_take_their_names_from_here(tmp_path):
    folder = tmp_path / "prompts"
    shutil.copytree(prompts.resolve("params/prompts"), folder)
    known = prompts.load_prompts(folder)
    assert known["qa.layer"].name("layer", "transition region", "zh") == knowledge.term("layer.transition region", "zh")
    assert known["qa.largest_quadrant"].name("quadrant", "NE", "zh") == "东北"
    assert known["qa.layer"].name("mcintosh_class", "untold", "en") == "cannot be told"
    qa = folder / "qa.yaml"
    qa.write_text(qa.read_text("utf-8").replace("quadrant: [NE,", "quadrant: [NNE,"), "utf-8")
    with pytest.raises(prompts.PromptError, match="qa.yaml: names of prompt 'qa.instrument': .*'NNE' is not in"):
        prompts.load_prompts(folder)


def test_a_changed_term_needs_a_new_version_of_the_prompt(monkeypatch):
    """A version always means the same text, and the terms are part of it."""
    monkeypatch.setattr(knowledge, "term", lambda key, language: f"{key} {language}")
    with pytest.raises(prompts.PromptError, match="the text of description version 3 changed.*raise its version"):
        prompts.load_prompts("params/prompts")


# --------------------------------------------------------------------------------------------------------------------
# refused files


def _broken(tmp_path, change):
    raw = copy.deepcopy(RAW)
    change(raw)
    path = tmp_path / "knowledge.yaml"
    path.write_text(json.dumps(raw, ensure_ascii=False), encoding="utf-8")  # which is YAML, too
    return path


def _corona(raw):
    return raw["sections"]["layer"]["entries"]["corona"]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda r: _corona(r).pop("zh"), "layer.corona lacks zh; every entry needs"),
        (lambda r: _corona(r).pop("source"), "layer.corona lacks source"),
        (lambda r: _corona(r).update(source=["nobody"]), "names source .*nobody"),
        (lambda r: _corona(r).update(en=True), "layer.corona.en is True; write a text"),
        (lambda r: _corona(r)["says"].pop("zh"), "layer.corona.says lacks zh"),
        (lambda r: _corona(r).update(also={"de": ["Korona"]}), "corona.also must give"),
        (lambda r: r["sections"]["layer"].pop("title"), "layer lacks title"),
        (lambda r: r["sources"]["project"].pop("text"), "source project lacks text"),
        (lambda r: r["sources"].update(extra={"text": "x", "url": ""}), "no entry names source extra"),
        (lambda r: r.pop("sources"), "must hold `sources` and `sections`"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_whole_is_refused_in_one_line(tmp_path, change, line):
    with pytest.raises(knowledge.KnowledgeError, match=line) as error:
        knowledge.load(_broken(tmp_path, change))
    assert "\n" not in str(error.value)
    assert "knowledge.yaml" in str(error.value)


# --------------------------------------------------------------------------------------------------------------------
# nothing of it in code

LIBRARY = knowledge.TABLE.parents[1]
# not about the Sun: where a shape of the general pictures lies
APART = {"general_task.py": "quadrant"}
MANY = 3  # so many words of one section in one literal are a repeated list
STRUNG = {"".join(knowledge.values(name)) for name in ("goes_class", *knowledge.PLACES)} | {"rsahk", "[A-H]"}
LISTED = ("layer", "hale_class", "activity_level", "R", "S", "G")  # whose values alone, in a row, are a list of terms
KEYED = ("goes_class", "R", "S", "G")  # whose values in a mapping carry the thresholds


def _words_of(name):
    """word -> value: Chinese words, and English ones that are more than the value itself."""
    known = knowledge.words(name, "zh") | {w: v for w, v in knowledge.words(name, "en").items() if w != v}
    return {w: v for w, v in known.items() if len(w) > 1 or not w.isascii()}


VALUES = {name: set(s.entries) for name, s in knowledge.load().sections.items()}
VOCABULARY = {name: _words_of(name) for name, s in knowledge.load().sections.items() if len(s.entries) >= MANY}


def _texts(nodes):
    """The strings among the elements of a literal and of the tuples in it."""
    flat = [e for n in nodes for e in (n.elts if isinstance(n, ast.Tuple | ast.List | ast.Set) else [n])]
    return [n.value for n in flat if isinstance(n, ast.Constant) and isinstance(n.value, str)]


def _repeated(source, is_python=True):
    """(line, section or letters) of every literal that repeats a list of the knowledge base."""
    tree = ast.parse(source) if is_python else None
    scopes = [n for n in ast.walk(tree) if isinstance(n, ast.Module | ast.FunctionDef | ast.ClassDef)]
    said = {id(n.body[0].value) for n in scopes if n.body and isinstance(n.body[0], ast.Expr)}  # docstrings
    for node in ast.walk(tree):
        values, keys = [], []
        if isinstance(node, ast.Dict):
            values, keys = _texts(node.values), _texts([k for k in node.keys if k is not None])
        elif isinstance(node, ast.List | ast.Tuple | ast.Set):
            values = _texts(node.elts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            values = re.split(r"\s*[|,、]\s*|\s+or\s+", node.value)
            yield from ((node.lineno, letters) for letters in STRUNG if letters in node.value)
        for name, known in VOCABULARY.items() if len({*values, *keys}) >= MANY else ():
            listed = {known[w] for w in (*values, *(k for k in keys if not k.isascii())) if w in known}
            listed |= {v for v in values if name in LISTED and v in VALUES[name]}
            if len(listed) >= MANY or (name in KEYED and set(keys) >= VALUES[name]):
                yield node.lineno, name


@pytest.mark.parametrize(
    ("code", "section"),
    [
        ('LAYERS = ("photosphere", "chromosphere", "transition region", "corona")', "layer"),
        ('ZH = {"光球": "photosphere", "色球": "chromosphere", "日冕": "corona"}', "layer"),
        ('REGEX = "光球|色球|过渡区|日冕"', "layer"),
        ('KINDS = {"layer": "photosphere, chromosphere, transition region or corona"}', "layer"),
        ('LEVELS = {"very low": "很低", "low": "低", "high": "高"}', "activity_level"),
        ('R_SCALE = (("X20.0", "R5"), ("X10.0", "R4"), ("X1.0", "R3"))', "R"),
        ('NAMES = {"srs": ("Solar Region Summary", "活动区摘要"), "x": ("事件表", "预报讨论")}', "product"),
        ('GREEK = {"阿尔法": "Alpha", "贝塔": "Beta", "伽马": "Gamma"}', "hale_class"),
        ('FLUX = {"A": 1e-8, "B": 1e-7, "C": 1e-6, "M": 1e-5, "X": 1e-4}', "goes_class"),
        ('re.compile(r"([ABCMX]\\d+)")', "ABCMX"),
        ('[f"{z}{p}" for z in "DEF" for p in "rsahk"]', "rsahk"),
    ],
)  # fmt: skip
def test_a_repeated_list_would_be_found(code, section):
    assert section in {name for _, name in _repeated(code)}


@pytest.mark.parametrize(
    "code",
    [
        'if layer in ("corona", "transition region"): pass',
        'LEVELS = ("C", "M", "X")',
        'TESTS = {"delta": 1, "growing": 2, "new": 3}',
        'COLORS = {"supported": "green", "contradicted": "red", "unsupported": "grey"}',
        '"""Layers: photosphere, chromosphere, corona."""',
    ],
)
def test_a_use_of_the_entries_is_no_list(code):
    assert list(_repeated(code)) == []


@pytest.mark.parametrize("path", sorted(LIBRARY.glob("*.py")), ids=lambda p: p.stem)
def test_nothing_of_it_is_repeated_in_code(path):
    found = [(line, name) for line, name in _repeated(path.read_text("utf-8")) if APART.get(path.name) != name]
    assert found == [], "take the words from jwvl_lib/knowledge.py"


@pytest.mark.parametrize("path", sorted((LIBRARY / "data").glob("*.j2")), ids=lambda p: p.name)
def test_nothing_of_it_is_repeated_in_templates(path):
    text = path.read_text("utf-8")
    assert [letters for letters in STRUNG if letters in text] == []
    for name in ("layer", "hale_class", "product", "verdict", "flag", "mcintosh_z"):
        assert len({v for w, v in VOCABULARY[name].items() if f'"{w}"' in text}) < MANY, name
