"""What the chat says of one active region: sentences by templates from a report's region, each with its source lines.

Reads the dict of `report.json`; writes nothing. Each maker takes a region, the report and the question as understood.
"""

from collections.abc import Callable, Iterable, Sequence

from jwvl_lib import narrative
from jwvl_lib.chat_sentences import Sentence, told, unknown
from jwvl_lib.chat_words import Asked
from jwvl_lib.report_page import interval_text

FIELDS = {
    "location": ("stands at {v}", "位于{v}"),
    "area_msh": ("covers {v} millionths of the solar hemisphere", "面积为太阳半球的百万分之{v}"),
    "mcintosh_class": ("is of McIntosh class {v}", "McIntosh分类为{v}"),
    "hale_class": ("is of magnetic class {v}", "磁分类为{v}"),
    "n_spots": ("has {v} spots", "有{v}个黑子"),
}
MORE = ("change", "chance", "flares", "watch")  # what a question may ask of a region beside its fields
TO_ZH = str.maketrans("()", "（）")
CLASS_NAMES = {"mcintosh_class": ("McIntosh class", "McIntosh分类"), "hale_class": ("magnetic class", "磁分类")}


def name_of(noaa_ar: int, language: str) -> str:
    """`AR 12192`, `活动区12192`."""
    return f"活动区{noaa_ar}" if language == "zh" else f"AR {noaa_ar}"


def _names(region: dict) -> tuple[str, str]:
    return name_of(region["noaa_ar"], "en"), name_of(region["noaa_ar"], "zh")


def _phrase(kind: str, value: object, language: str) -> str:
    text = FIELDS[kind][language == "zh"].format(v=value)
    return "has 1 spot" if text == "has 1 spots" else text


def _field(kind: str) -> Callable[[dict, dict, Asked], Iterable[Sentence]]:
    def make(region: dict, report: dict, asked: Asked) -> Iterable[Sentence]:
        (en, zh), value, lines = _names(region), region[kind], region["evidence"][:1]
        if value is None:
            empty = f"the summary leaves this field of {en} empty.", f"摘要中{zh}的这一栏是空的。"
            yield unknown(asked.language, *empty, lines)
        else:
            said = f"{en} {_phrase(kind, value, 'en')}.", f"{zh}{_phrase(kind, value, 'zh')}。"
            yield told(asked.language, *said, lines)

    return make


def whole(region: dict, report: dict, asked: Asked) -> Iterable[Sentence]:
    """All of a region: its row, change, chances, and why it is watched."""
    en, zh = _row_said(_names(region), region, [k for k in FIELDS if region[k] is not None])
    yield told(asked.language, en, zh, region["evidence"][:1])
    for maker in (change, chance, watch):
        yield from (s for s in maker(region, report, asked) if s.origin == "facts")


def _row_said(names: tuple[str, str], row: dict, kinds: Sequence[str]) -> tuple[str, str]:
    """What a summary's row gives of these fields, a sentence in each language."""
    said = {language: [_phrase(k, row[k], language) for k in kinds] for language in ("en", "zh")}
    return f"{names[0]} {', '.join(said['en'])}.", f"{names[1]}{'，'.join(said['zh'])}。"


def on_day(region: dict, day: str, asked: Asked) -> Iterable[Sentence]:
    """What an earlier summary, issued on that day, gives of the fields asked for, or of all where none is."""
    then = next((h for h in region["history"] if is_day(day, h["issued"])), None)
    kinds = [k for k in FIELDS if k in asked.topics] or ([] if set(asked.topics) & set(MORE) else list(FIELDS))
    kinds = [k for k in kinds if then and then[k] is not None]
    if kinds:
        on, on_zh = narrative.date_en(then["issued"]), narrative.date_zh(then["issued"])
        en, zh = _row_said(_names(region), then, kinds)
        yield told(asked.language, f"In the summary of {on} {en}", f"{on_zh}的摘要中，{zh}", then["evidence"])


def is_day(day: str, at: str) -> bool:
    """Whether an ISO time is of a day of `Asked.days`, which may leave the year out."""
    return at[:10].endswith(day.removeprefix("-"))


def change(region: dict, report: dict, asked: Asked) -> Iterable[Sentence]:
    """Area then and now, and the last changes of class."""
    (en, zh), before, now = _names(region), region["previous"], region["evidence"][:1]
    grew = region["area_change_msh"]
    if before is None or grew is None:
        text = f"no earlier summary of {en} to compare with is at hand.", f"{zh}没有可比较的更早摘要。"
        yield unknown(asked.language, *text, now)
        return
    verb, verb_zh = ("grew", "增大到") if grew > 0 else ("shrank", "减小到") if grew else ("stayed", "仍为")
    since, since_zh = narrative.date_en(before["issued"]), narrative.date_zh(before["issued"])
    a, b = before["area_msh"], region["area_msh"]
    yield told(
        asked.language,
        f"{en} {verb} from {a} to {b} millionths since the summary of {since}.",
        f"自{since_zh}的摘要以来，{zh}的面积由{a}{verb_zh}{b}。",
        [*before["evidence"], *now],
    )
    yield from _transitions(region, asked.language)


def _transitions(region: dict, language: str) -> Iterable[Sentence]:
    for t in region.get("transitions", ())[-2:]:
        en, zh = CLASS_NAMES[t["kind"]]
        yield told(
            language,
            f"In the summary of {narrative.date_en(t['issued'])} its {en} went from {t['before']} to {t['after']}.",
            f"{narrative.date_zh(t['issued'])}的摘要中，其{zh}由{t['before']}变为{t['after']}。",
            t["evidence"],
        )


def chance(region: dict, report: dict, asked: Asked) -> Iterable[Sentence]:
    """Chances within a day, of the class asked for or of C, M and X, with their intervals."""
    en, zh = _names(region)
    if region["p_m"] is None:
        text = f"no probability is given for {en}.", f"{zh}没有给出概率。"
        yield unknown(asked.language, *text, region["evidence"][:1])
        return
    yield chances_of(asked, en, zh, region, region["evidence"])


def chances_of(asked: Asked, en: str, zh: str, holder: dict, lines: Iterable[dict]) -> Sentence:
    """The chances that a dict holds as `p_c`, `p_m`, `p_x`, in one sentence that claims no flare."""
    letters = asked.flare_letter if asked.flare_letter in ("C", "M", "X") else "CMX"
    found = [(c, interval_text(holder[f"p_{c.lower()}"])) for c in letters or "CMX"]
    said_en = ", ".join(f"chance of {'a' if c == 'C' else 'an'} {c}-class or stronger flare {p}" for c, p in found)
    said_zh = "，".join(
        f"{c}级或更强耀斑的概率{p.translate(TO_ZH).replace(' to ', '至').replace(' （', '（')}" for c, p in found
    )
    return told(
        asked.language,
        f"{en}, within a day (90% interval): {said_en}; assistive, not an operational forecast.",
        f"{zh}，一天之内（90%区间）：{said_zh}；仅供参考，不是业务预报。",
        lines,
    )


def flare_history(region: dict, report: dict, asked: Asked) -> Iterable[Sentence]:
    """Flares of the days before, where events lists of them are at hand."""
    past = region.get("flare_history") or {"days": 0, "evidence": []}
    if not past["days"] or not past["evidence"]:
        return
    en, zh = _names(region)
    counts = [(past[c], c) for c in "CMX" if past[c]]
    if not counts:
        none = f"The events lists of {past['days']} days hold no X-ray flare of {en} of class C or stronger."
        text = none, f"{past['days']}天的事件表中{zh}没有C级或更强的X射线耀斑。"
        yield told(asked.language, *text, past["evidence"])
        return
    said_en, said_zh = ", ".join(f"{n} {c}" for n, c in counts), "、".join(f"{c}级{n}次" for n, c in counts)
    yield told(
        asked.language,
        f"Counted over the events lists of {past['days']} days, {en} produced flares of class {said_en}.",
        f"按{past['days']}天的事件表统计，{zh}产生的耀斑：{said_zh}。",
        past["evidence"],
    )


def watch(region: dict, report: dict, asked: Asked) -> Iterable[Sentence]:
    """Why a region is to be watched and how to observe it, or that no rule flags it."""
    entry = next((w for w in report["watch_list"] if w["noaa_ar"] == region["noaa_ar"]), None)
    if entry is None:
        en, zh = _names(region)
        text = f"No rule flags {en} for watching.", f"没有规则把{zh}列为需要关注。"
        yield told(asked.language, *text, region["evidence"][:1])
    else:
        yield from watched(entry, region["evidence"], asked.language)


def watched(entry: dict, lines: Iterable[dict], language: str) -> Iterable[Sentence]:
    """One entry of the watch list: reasons, then the observing advice."""
    (en, zh), lines = _names(entry), entry.get("evidence") or lines
    reasons = "; ".join(entry["reasons"]).replace("all regions: ", "all regions ")  # else it reads as a count of them
    reasons_zh = "；".join(entry["reasons_zh"])
    yield told(language, f"{en} is to be watched: {reasons}.", f"需要关注{zh}：{reasons_zh}。", lines)
    if entry.get("observe"):
        advice, advice_zh = "; ".join(entry["observe"]), "；".join(entry["observe_zh"])
        yield told(language, f"How to observe it: {advice}.", f"观测建议：{advice_zh}。", lines)


MAKERS = {
    **{kind: _field(kind) for kind in FIELDS},
    "change": change,
    "chance": chance,
    "watch": watch,
    "region": whole,
}
