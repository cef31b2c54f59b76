"""Answers of the chat from the facts of the day: sentences by templates, each with the source lines it rests on.

Reads the dict of `report.json`; writes nothing. What the report does not hold is said to be unknown, with the reason.
"""

import re
from collections.abc import Iterable

from jwvl_lib import chat_regions, knowledge, narrative
from jwvl_lib.chat_sentences import Sentence, banner, quoted, told, unknown
from jwvl_lib.chat_words import Asked
from jwvl_lib.report_flares import goes_flux

INDEX_NAMES = knowledge.names("index")
OF_A_REGION = (*chat_regions.FIELDS, *chat_regions.MORE)
MOST_FLARES = 12
UNIT_ASIDE = re.compile(r"面积(\d+)（太阳半球的百万分之一）")


def answer(asked: Asked, report: dict, focus: tuple[int, ...] = ()) -> tuple[list[Sentence], tuple[int, ...]]:
    """(sentences, regions spoken of); no sentences where the question asks for nothing that a report could hold.

    `focus` are the regions of the turn before, which "it" points to.
    """
    regions, missing = _regions_meant(asked, report, focus)
    if (day := _another_day(asked, report)) and not missing:
        told_then = [s for r in regions for s in chat_regions.on_day(r, day, asked)]
        return told_then or [_not_of_that_day(report, asked)], tuple(r["noaa_ar"] for r in regions)
    sentences = [_no_such_region(n, report, asked.language) for n in missing]
    for topic in _topics(asked, regions) if regions or not missing else ():
        if regions and topic in chat_regions.MAKERS:
            sentences += [s for r in regions for s in chat_regions.MAKERS[topic](r, report, asked)]
        elif regions and topic == "flares":
            sentences += [s for r in regions for s in _region_flares(r, report, asked)]
        elif topic in _OF_DAY and (topic != "largest" or not (regions or "flares" in asked.topics)):
            sentences += _OF_DAY[topic](report, asked)
    return sentences, tuple(r["noaa_ar"] for r in regions) or _singled_out(asked, report)


def _another_day(asked: Asked, report: dict) -> str:
    """The first day that the question names and the report is not about; "" where there is none or it is compared."""
    own = [report[k] for k in ("report_date", "flares_date", "issued_utc", "valid_utc")]
    others = [d for d in asked.days if not any(chat_regions.is_day(d, at) for at in own)]
    return others[0] if others and (asked.topics or asked.regions) and "change" not in asked.topics else ""


def _not_of_that_day(report: dict, asked: Asked) -> Sentence:
    day, eve = report["report_date"], report["flares_date"]
    en = f"this is the report of {day}, with the flares of {eve}; of the day asked for it does not tell this."
    zh = f"这是{day}的日报，耀斑为{eve}的；其中没有所问日期的这一内容。"
    return unknown(asked.language, en, zh, report["summary_evidence"])


def _topics(asked: Asked, regions: list[dict]) -> tuple[str, ...]:
    """Topics of the question; where a region is all that it names, the whole region is one."""
    if regions and not set(asked.topics) & set(OF_A_REGION):
        return ("region", *(t for t in asked.topics if t in ("impacts", "indices", "level")))
    return asked.topics


def _regions_meant(asked: Asked, report: dict, focus: tuple[int, ...]) -> tuple[list[dict], list[int]]:
    """Regions of the report that a question names or points to, and numbers it names that are not there."""
    known = {r["noaa_ar"]: r for r in report["regions"]}
    matched = {a: next((r for n, r in known.items() if a in (n, n % 10_000)), None) for a in asked.regions}
    found, missing = [r for r in matched.values() if r], [a for a, r in matched.items() if r is None]
    if asked.regions:
        return found, missing
    if "largest" in asked.topics and "flares" not in asked.topics:
        sized = [r for r in report["regions"] if r["area_msh"] is not None]
        return sorted(sized, key=lambda r: -r["area_msh"])[:1], []
    pointed = asked.it or (len(focus) == 1 and set(asked.topics) and set(asked.topics) <= set(chat_regions.FIELDS))
    return ([known[n] for n in focus if n in known] if pointed and set(asked.topics) & set(OF_A_REGION) else []), []


def _singled_out(asked: Asked, report: dict) -> tuple[int, ...]:
    """The one region an answer about the whole day singles out, so that "it" may follow."""
    if "watch" in asked.topics and report["watch_list"]:
        return (report["watch_list"][0]["noaa_ar"],)
    if "chance" in asked.topics and (top := _likeliest(report)):
        return (top["noaa_ar"],)
    top = max(report["flares"], key=lambda f: goes_flux(f["goes_class"]), default=None)
    return (top["noaa_ar"],) if "flares" in asked.topics and top and top["noaa_ar"] else ()


def _likeliest(report: dict) -> dict | None:
    return max((r for r in report["regions"] if r["p_m"]), key=lambda r: r["p_m"]["value"], default=None)


def _no_such_region(number: int, report: dict, language: str) -> Sentence:
    numbers = [str(r["noaa_ar"]) for r in report["regions"]]
    day = report["report_date"]
    return unknown(
        language,
        f"the report of {day} lists no region {number}; it lists {', '.join(numbers) or 'none'}.",
        f"{day}的报告中没有活动区{number}，列出的是{'、'.join(numbers) or '无'}。",
        [*report["summary_evidence"], *(r["evidence"][0] for r in report["regions"])],
    )


# --------------------------------------------------------------------------------------------------------------------
# the whole day


def _narrated(report: dict, language: str) -> list[dict]:
    """The report's own sentences, in words that the claim check reads as they are meant."""
    claims = narrative.narrative_claims(report, (language,))
    return [{**c, "text": _in_plain_words(c["text"])} for c in claims]


def _in_plain_words(text: str) -> str:
    # "(one millionth of the hemisphere)" reads as an area of 1, "the largest change" as the largest region
    return UNIT_ASIDE.sub(r"面积为太阳半球的百万分之\1", text).replace("面积变化最大的是", "面积变化最显著的是")


def _summary(report: dict, asked: Asked) -> Iterable[Sentence]:
    return [Sentence(c["text"], "facts", tuple(c["evidence"])) for c in _narrated(report, asked.language)]


def _level(report: dict, asked: Asked) -> Iterable[Sentence]:
    level, first = report["activity_level"], _narrated(report, asked.language)[0]
    if level["value"] == "not known":
        day = report["flares_date"]
        why = f"the activity level of {day}: {level['reason']}.", f"{day}的活动水平：{level['reason_zh']}。"
        return [unknown(asked.language, *why, first["evidence"])]
    return [Sentence(first["text"], "facts", tuple(first["evidence"]))]


def _regions(report: dict, asked: Asked) -> Iterable[Sentence]:
    regions, heads = report["regions"], report["summary_evidence"]
    if report["regions_from"] is None:
        return [unknown(asked.language, "no readable region summary was given.", "没有可读的活动区摘要。")]
    numbers, lines = [str(r["noaa_ar"]) for r in regions], [*heads, *(r["evidence"][0] for r in regions)]
    en = f"{len(regions)} numbered regions with spots are listed: {', '.join(numbers)}."
    zh = f"日面上共有{len(regions)}个活动区：{'、'.join(numbers)}。"
    if len(regions) < 2:
        en = f"One numbered region with spots is listed: {numbers[0]}." if regions else "No numbered region is listed."
        zh = zh if regions else "没有列出带黑子的编号活动区。"
    return [told(asked.language, en, zh, lines)]


def _each(kind: str):
    def make(report: dict, asked: Asked) -> Iterable[Sentence]:
        """A value of every region, in one sentence each."""
        ordered = sorted(report["regions"], key=lambda r: -(r["area_msh"] or 0))
        return [s for r in ordered for s in chat_regions.MAKERS[kind](r, report, asked)] or _regions(report, asked)

    return make


def _changes(report: dict, asked: Asked) -> Iterable[Sentence]:
    known = [r for r in report["regions"] if r["area_change_msh"] is not None]
    moved = sorted(known, key=lambda r: -abs(r["area_change_msh"]))
    if not moved:
        return [unknown(asked.language, "no region has an earlier summary to compare with.", "没有可比较的更早摘要。")]
    return [s for r in moved[:5] for s in list(chat_regions.change(r, report, asked))[:1]]


def _chances(report: dict, asked: Asked) -> Iterable[Sentence]:
    top, disk = _likeliest(report), (report["rates"].get("model") or {}).get("disk")
    if top is None:
        return [unknown(asked.language, "no probability is given on this day.", "当日没有给出概率。")]
    made = []
    if disk:
        lines = report["rates"]["model"]["evidence"]
        made.append(chat_regions.chances_of(asked, "Full disk", "全日面", disk, lines))
    return [*made, *chat_regions.chance(top, report, asked)]


def _flares(report: dict, asked: Asked) -> Iterable[Sentence]:
    level = report["activity_level"]
    if level["value"] == "not known" and not report["flares"]:
        day = report["flares_date"]
        why = f"the flares of {day}: {level['reason']}.", f"{day}的耀斑：{level['reason_zh']}。"
        return [unknown(asked.language, *why, _narrated(report, "en")[0]["evidence"])]
    return _flare_list(report["flares"], report, asked, "", "")


def _region_flares(region: dict, report: dict, asked: Asked) -> Iterable[Sentence]:
    if report["activity_level"]["value"] == "not known" and not report["flares"]:
        return _flares(report, asked)
    own = [f for f in report["flares"] if f["noaa_ar"] == region["noaa_ar"]]
    names = (f" of {chat_regions.name_of(region['noaa_ar'], 'en')}", chat_regions.name_of(region["noaa_ar"], "zh"))
    return [*_flare_list(own, report, asked, *names), *chat_regions.flare_history(region, report, asked)]


def _flare_list(flares: list[dict], report: dict, asked: Asked, of: str, of_zh: str) -> Iterable[Sentence]:
    day, letter = report["flares_date"], asked.flare_letter
    kept = [f for f in flares if f["goes_class"][0] == letter] if letter else flares
    kind, kind_zh = (f"{letter}-class flare", f"{letter}级耀斑") if letter else ("X-ray flare", "X射线耀斑")
    date, date_zh = narrative.date_en(day), narrative.date_zh(day)
    if not kept:
        lines = [e for f in report["flares"] for e in f["evidence"][:1]] or report["activity_level"]["evidence"]
        lines = lines or report["impacts"]["R"]["evidence"]
        none = f"The events list of {date} holds no {kind}{of}.", f"{date_zh}的事件表中{of_zh}没有{kind_zh}。"
        return [told(asked.language, *none, lines)]
    if "largest" in asked.topics:
        kept = [max(kept, key=lambda f: goes_flux(f["goes_class"]))]
    shown = sorted(kept, key=lambda f: -goes_flux(f["goes_class"]))[:MOST_FLARES]
    made = [_one_flare(f, day, asked.language) for f in sorted(shown, key=lambda f: f["peak"] or f["begin"])]
    if len(kept) > 1:
        many = (
            f"The events list of {date} holds {len(kept)} {kind}s{of}",
            f"{date_zh}的事件表中{of_zh}有{len(kept)}次{kind_zh}",
        )
        rest = (
            ("", "") if len(kept) <= MOST_FLARES else (f", the {MOST_FLARES} strongest:", f"，最强的{MOST_FLARES}次：")
        )
        lines = [e for f in kept for e in f["evidence"][:1]]
        made.insert(0, told(asked.language, f"{many[0]}{rest[0] or '.'}", f"{many[1]}{rest[1] or '。'}", lines))
    return made


def _one_flare(flare: dict, day: str, language: str) -> Sentence:
    word, word_zh, at = ("peaked", "峰值", flare["peak"]) if flare["peak"] else ("began", "开始于", flare["begin"])
    number, place = flare["noaa_ar"], flare["location"]
    where = f" in AR {number}" if number else ""
    where_zh = f"，位于活动区{number}" if number else ""
    where, where_zh = (f"{where} at {place}", f"{where_zh}（{place}）") if place else (where, where_zh)
    en = f"{flare['goes_class']}{where} {word} at {narrative.clock_en(at, day)}."
    zh = f"{flare['goes_class']}{where_zh}，{word_zh}{narrative.clock_zh(at, day)}。"
    return told(language, en, zh, flare["evidence"])


def _watch(report: dict, asked: Asked) -> Iterable[Sentence]:
    lines = {r["noaa_ar"]: r["evidence"] for r in report["regions"]}
    if not report["watch_list"]:
        heads = [*report["summary_evidence"], *(v[0] for v in lines.values())]
        return [told(asked.language, "No rule flags a region for watching.", "没有活动区被规则列为需要关注。", heads)]
    return [s for w in report["watch_list"] for s in chat_regions.watched(w, lines[w["noaa_ar"]], asked.language)]


def _impacts(report: dict, asked: Asked) -> Iterable[Sentence]:
    for letter, scale in report["impacts"].items():
        en, zh = knowledge.title(letter, "en"), knowledge.title(letter, "zh")
        reason, reason_zh = scale["reason"], scale.get("reason_zh", scale["reason"])
        if scale["value"] == "not known":
            yield unknown(asked.language, f"{en}: {reason}.", f"{zh}：{reason_zh}。", scale["evidence"])
        else:
            value = "没有达到" if scale["value"] == "none" else scale["value"]
            said = f"{en}: {scale['value']} ({reason}).", f"{zh}：{value}（{reason_zh}）。"
            yield told(asked.language, *said, scale["evidence"])


def _indices(report: dict, asked: Asked) -> Iterable[Sentence]:
    if not report["indices"]:
        return [unknown(asked.language, "no product with indices was given.", "没有给出含指数的产品。")]
    names = knowledge.names("index")
    named = [(*names[i["name"]], i) for i in report["indices"] if i["name"] in names]
    return [told(asked.language, f"{en}: {i['value']}.", f"{zh}：{i['value']}。", i["evidence"]) for en, zh, i in named]


def _returning(report: dict, asked: Asked) -> Iterable[Sentence]:
    if not report["returning"]:
        text = "Nothing is listed as due to return.", "没有列出即将返回者。"
        return [told(asked.language, *text, report["summary_evidence"])]
    return [
        told(
            asked.language, f"Due to return: region {p['noaa_ar']}.", f"即将返回：活动区{p['noaa_ar']}。", p["evidence"]
        )
        for p in report["returning"]
    ]


def _discussion(report: dict, asked: Asked) -> Iterable[Sentence]:
    parts = [p for p in report["discussion"] if p["lines"]]
    if not parts:
        return [unknown(asked.language, "no forecast discussion was given.", "没有给出预报讨论。")]
    parts = [(p["title"], p["part"], " ".join(e["text"].strip() for e in p["lines"]), p["lines"]) for p in parts[:2]]
    return [quoted(f"{title}, {part}: “{text}”", lines) for title, part, text, lines in parts]


def _sources(report: dict, asked: Asked) -> Iterable[Sentence]:
    names = [s["path"].removeprefix("sources/") for s in report["sources"]]
    heads = report["summary_evidence"]
    files = f"The report rests on {', '.join(names)}.", f"报告依据：{'、'.join(names)}。"
    zh = asked.language == "zh"
    warnings = report["warnings_zh" if zh else "warnings"]
    return [told(asked.language, *files, heads), *(banner(f"{w}。" if zh else f"{w}.", heads) for w in warnings)]


_OF_DAY = {
    "summary": _summary,
    "level": _level,
    "largest": _regions,
    "regions": _regions,
    **{kind: _each(kind) for kind in chat_regions.FIELDS},
    "change": _changes,
    "chance": _chances,
    "flares": _flares,
    "watch": _watch,
    "impacts": _impacts,
    "indices": _indices,
    "returning": _returning,
    "discussion": _discussion,
    "sources": _sources,
}
