"""The day's flares, its activity level, the NOAA scales and the indices, each with the lines it comes from.

Reads parsed products (`report_products`) and returns the parts of `report.json` they give; writes nothing.
"""

from datetime import date, datetime, timedelta

import pandas as pd

from jwvl_lib import knowledge, swpc_products
from jwvl_lib.flare_features import goes_flux
from jwvl_lib.report_products import Events, Products, evidence

PLACE = swpc_products.PLACE
CONVENTIONS = knowledge.values("activity_convention")
CURVE_STEP_MIN = 10
LONG_CHANNEL = "0.1-0.8nm"
NO_PRODUCT = ("no product given", "没有相应产品")
NO_EVENTS = ("no events list of the day", "没有当日事件表")


def activity_level(events: pd.DataFrame | list[dict] | None, convention: str = "swpc") -> dict:
    """`{value, convention, reason, evidence}` of one day's events (of `swpc.read_events` or `swpc.parse_events`).

    swpc: very low (below C), low (C), moderate (1-4 M), high (5 or more M, or 1-4 of M5 and above), very high (5 or
    more of M5 and above), from the SWPC glossary. rwcc, the convention of the Chinese warning centre: the same, but
    any X-class flare makes it very high. None gives "not known"; an unknown convention is a ValueError.
    """
    if convention not in CONVENTIONS:
        raise ValueError(f"convention {convention!r} is not known; use swpc or rwcc")
    if events is None:
        return unknown_level(convention, NO_EVENTS)
    rows = events if isinstance(events, list) else events.astype(object).where(events.notna(), None).to_dict("records")
    flares = xray_flares(rows)
    at_least = {
        c: [f for f in flares if goes_flux(f["goes_class"]) >= goes_flux(c)] for c in ("C1.0", "M1.0", "M5.0", "X1.0")
    }
    n_m, n_m5 = len(at_least["M1.0"]), len(at_least["M5.0"])
    if n_m5 >= 5 or (convention == "rwcc" and at_least["X1.0"]):
        value, deciding = "very high", at_least["M5.0"]
    elif n_m >= 5 or n_m5:
        value, deciding = "high", at_least["M1.0"]
    elif n_m:
        value, deciding = "moderate", at_least["M1.0"]
    else:
        value, deciding = ("low" if at_least["C1.0"] else "very low"), at_least["C1.0"]
    n_c, n_x = len(at_least["C1.0"]), len(at_least["X1.0"])
    return {
        "value": value,
        "convention": convention,
        "reason": f"C or above: {n_c}, M or above: {n_m}, M5 or above: {n_m5}, X: {n_x}",
        "reason_zh": f"C级及以上 {n_c}，M级及以上 {n_m}，M5级及以上 {n_m5}，X级 {n_x}",
        "evidence": [evidence(f) for f in [*deciding, *(f for f in at_least["C1.0"] if f not in deciding)]],
    }


def unknown_level(convention: str, why: tuple[str, str]) -> dict:
    """The level of a day whose flares are not known, and why (English, Chinese)."""
    return {"value": "not known", "convention": convention, "reason": why[0], "reason_zh": why[1], "evidence": []}


def level_of(events: Events | None, convention: str) -> dict:
    """`activity_level` of parsed events; a list of the strongest events alone cannot show that a day was quiet."""
    if events is None:
        return activity_level(None, convention)
    level = activity_level(events.rows, convention)
    if events.product == "sgas" and level["value"] in ("low", "very low"):
        why = ("no events list; the SGAS names no M-class flare", "没有事件表；概要中没有M级耀斑")
        level = unknown_level(convention, why)
    return {**level, "evidence": level["evidence"] or [events.head]}


def xray_flares(rows: list[dict]) -> list[dict]:
    """X-ray flares in order of begin; the same flare printed twice counts once."""
    seen = {}
    for row in sorted(rows, key=lambda r: (r["begin"] or r["date"], r["line"])):
        if row["goes_class"] is not None and (row["begin"] or row["peak"]):
            seen.setdefault((row["begin"], row["peak"], row["goes_class"], row["noaa_ar"]), row)
    return list(seen.values())


def flares_of(events: Events | None) -> list[dict]:
    """X-ray flares of a day as `report.json` holds them, with the place of the first optical report of the event."""
    if events is None:
        return []
    seen = {}
    for row in sorted(events.rows, key=lambda r: (r["begin"] or r["date"], r["line"])):
        if row["type"] == "FLA" and PLACE.fullmatch(row["location"] or ""):
            seen.setdefault(row["event_id"], row)
    return [_flare(f, seen.get(f["event_id"])) for f in xray_flares(events.rows)]


def _flare(xray: dict, optical: dict | None) -> dict:
    own = xray["location"] if PLACE.fullmatch(xray["location"] or "") else None
    return {
        "goes_class": xray["goes_class"],
        **{k: xray[k] and xray[k].isoformat() for k in ("begin", "peak", "end")},
        "noaa_ar": None if xray["noaa_ar"] is None else int(xray["noaa_ar"]),
        "location": optical["location"] if optical else own,
        "evidence": [evidence(row) for row in (xray, optical) if row],
    }


# --------------------------------------------------------------------------------------------------------------------
# NOAA scales and indices


def impacts(flares: list[dict], events: Events | None, found: Products, eve: date) -> dict:
    """NOAA scales of the day before: R from the largest flare, S from the SGAS, G from the planetary K index."""
    return {"R": _radio(flares, events), "S": _radiation(found, eve), "G": _geomagnetic(found, eve)}


def _scale(value: str, en: str, zh: str, lines: list[dict]) -> dict:
    return {"value": value, "reason": en, "reason_zh": zh, "evidence": lines}


def _radio(flares: list[dict], events: Events | None) -> dict:
    if events is None:
        return _scale("not known", *NO_EVENTS, [])
    top = max(flares, key=lambda f: goes_flux(f["goes_class"]), default=None)
    grade = next((r for r, c in knowledge.grades("R") if top and goes_flux(top["goes_class"]) >= goes_flux(c)), "none")
    if events.product == "sgas" and grade == "none":
        return _scale(grade, "no M-class flare in the SGAS", "概要中无M级耀斑", [events.head])
    if top is None:
        return _scale(grade, "no X-ray flare", "无X射线耀斑", [events.head])
    return _scale(grade, f"largest flare {top['goes_class']}", f"最大耀斑{top['goes_class']}", top["evidence"][:1])


def _sgas_of(found: Products, eve: date) -> dict | None:
    return found.sgas if found.sgas and found.sgas["issued"].date() - timedelta(days=1) == eve else None


def _radiation(found: Products, eve: date) -> dict:
    protons = (_sgas_of(found, eve) or {}).get("protons")
    if protons is None:
        return _scale("not known", *NO_PRODUCT, [])
    line = [evidence({**protons, "source": found.sgas["source"]})]
    if protons["none"]:
        return _scale("none", "no proton event", "无质子事件", line)
    if protons["pfu"] is None:
        return _scale("not known", "a proton event without its flux", "有质子事件但未给出流量", line)
    grade = next((s for s, flux in knowledge.grades("S") if protons["pfu"] >= flux), "none")
    return _scale(grade, f"{protons['pfu']:g} pfu", f"{protons['pfu']:g} pfu", line)


def _geomagnetic(found: Products, eve: date) -> dict:
    kp = largest_kp(found, eve)
    if kp is None:
        return _scale("not known", *NO_PRODUCT, [])
    return _scale(
        knowledge.storm_grade(kp["value"]),
        f"largest Kp {kp['value']:g}, {kp['covers'][0]}",
        f"最大Kp {kp['value']:g}，{kp['covers'][1]}",
        kp["evidence"],
    )


def largest_kp(found: Products, eve: date) -> dict | None:
    """`{value, covers, evidence}`: the largest planetary K of a day from the JSON service, else from the SGAS."""
    rows = []
    for row in found.rows.get("planetary_kp", []):
        at = swpc_products.time_of(row.get("time_tag"))
        value = next((v for k in ("estimated_kp", "Kp", "kp_index") if (v := _number(row.get(k))) is not None), None)
        if at and at.date() == eve and value is not None and 0 <= value <= 9:
            rows.append((value, at, row))
    if rows:
        value, _, row = max(rows, key=lambda r: (r[0], -r[2]["line"]))
        times = [at for _, at, _ in rows]
        span = min(times), max(times)
        return {
            "value": round(value, 2),
            "covers": (f"from {span[0]:%H:%M} to {span[1]:%H:%M} UT", f"{span[0]:%H:%M}—{span[1]:%H:%M} UT"),
            "evidence": [evidence(row), *(evidence(r) for _, at, r in rows if at in span)],
        }
    sgas = _sgas_of(found, eve)
    if not sgas or not sgas["kp"]:
        return None
    line = evidence({**sgas["kp"], "source": sgas["source"]})
    return {"value": float(max(sgas["kp"]["values"])), "covers": ("over the day", "全天"), "evidence": [line]}


def _number(value: object) -> float | None:
    return swpc_products.number(value)


def indices(found: Products, eve: date) -> list[dict]:
    """Numbers of the day that no scale holds: `{name, value, evidence}`; F10.7 in solar flux units."""
    made, sgas = _f107(found, eve), _sgas_of(found, eve)
    for name, entry in (sgas["indices"] if sgas else {}).items():
        if name not in {m["name"] for m in made}:
            line = evidence({"line": entry["line"], "text": entry["text"], "source": sgas["source"]})
            made.append({"name": name, "value": entry["value"], "evidence": [line]})
    return made


def _f107(found: Products, eve: date) -> list[dict]:
    """The noon value of the day (Penticton, 20 UT), else its latest, and the 90 day mean that comes with it."""
    rows = []
    for row in found.rows.get("f107_flux", []):
        at, flux = swpc_products.time_of(row.get("time_tag")), _number(row.get("flux"))
        if at and at.date() == eve and flux is not None:
            rows.append((row.get("reporting_schedule") == "Noon", at, flux, row))
    if not rows:
        return []
    _, _, flux, row = max(rows, key=lambda r: (r[0], r[1]))
    made = [{"name": "f107_sfu", "value": round(flux, 1), "evidence": [evidence(row)]}]
    mean = _number(row.get("ninety_day_mean"))
    if mean is not None:
        made.append({"name": "f107_90_day_mean_sfu", "value": round(mean, 1), "evidence": [evidence(row)]})
    return made


def xray_curve(found: Products, eve: date) -> dict | None:
    """GOES 1-8 angstrom flux of a day: the largest value of each `CURVE_STEP_MIN` minutes, each with its line.

    `{source, points: [{time, flux_w_m2, line}], evidence}`, the evidence being the largest of all; None where the
    service has no record of the day.
    """
    best: dict[datetime, tuple] = {}
    for row in found.rows.get("xray_flux", []):
        at, flux = swpc_products.time_of(row.get("time_tag")), _number(row.get("flux"))
        if at is None or at.date() != eve or row.get("energy") != LONG_CHANNEL or not flux or flux <= 0:
            continue
        step = at.replace(minute=at.minute - at.minute % CURVE_STEP_MIN, second=0)
        if step not in best or flux > best[step][0]:
            best[step] = (flux, at, row)
    if not best:
        return None
    points = [best[step] for step in sorted(best)]
    top = max(points, key=lambda p: p[0])
    return {
        "source": top[2]["source"],
        "points": [{"time": at.isoformat(), "flux_w_m2": flux, "line": row["line"]} for flux, at, row in points],
        "evidence": [evidence(top[2])],
    }
