"""Figures of the benchmark beyond its bars: boxes, reliability, risk, readers of banners, the gallery of answers.

Each takes axes, or makes a `matplotlib.figure.Figure`, and returns it; reads and writes nothing. Labels are Latin:
matplotlib's own fonts hold no Chinese. What a model wrote in it is drawn where the machine has a font for it.
"""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from jwvl_lib.plots import VERDICT_COLOURS, VERDICT_MARKS, text_fonts

TRUE_COLOUR, HIT_COLOUR, MISS_COLOUR = "#ffffff", "#35d07f", "#ff4d4d"
READERS = {"tuned": "#08519c", "base": "#9ecae1", "tesseract": "#b45309", "rapidocr": "#6b7280"}
LINE = 0.064  # height of a line of the gallery's text, in its panel
WIDE = 60  # characters of one


def plot_boxes(
    ax: Axes,
    image: Image.Image,
    true: Sequence[Sequence[float]],
    said: Sequence[Sequence[float]] | None,
    hits: set[int],
) -> Axes:
    """The right boxes (white, dashed) and those of an answer: green those in `hits` (their places in `said`), else red.

    `said` None: the answer could not be read; an answer that names none says so on the picture.
    """
    ax.imshow(np.asarray(image), interpolation="nearest")
    ax.set_axis_off()
    for box in true:
        ax.add_patch(_rectangle(box, edgecolor=TRUE_COLOUR, linestyle=(0, (3, 2)), linewidth=1.3))
    for k, box in enumerate(said or ()):
        ax.add_patch(_rectangle(box, edgecolor=HIT_COLOUR if k in hits else MISS_COLOUR, linewidth=1.5))
    if not said:
        note = "no boxes in the answer" if said is None else "says: no regions"
        colour = HIT_COLOUR if said is not None and not true else MISS_COLOUR
        told = ax.text(0.5, 0.98, note, transform=ax.transAxes, ha="center", va="top", color=colour, fontsize=8)
        told.set_bbox({"facecolor": "black", "edgecolor": "none", "alpha": 0.7, "pad": 1.5})  # read on any picture
    return ax


def _rectangle(box: Sequence[float], **style) -> Rectangle:
    # a box counts from pixel edges, imshow from pixel centres
    return Rectangle((box[0] - 0.5, box[1] - 0.5), box[2] - box[0], box[3] - box[1], fill=False, **style)


def plot_calibration(ax: Axes, bins: Sequence[Mapping], title: str = "") -> Axes:
    """Share of right answers against how sure the model was (`calibration.reliability`), 95 % bars, n of each bin.

    Below the diagonal a model is surer than it may be.
    """
    ax.plot([0, 1], [0, 1], color="0.7", lw=0.8, zorder=0)
    for b in bins:
        ax.bar((b["low"] + b["high"]) / 2, b["right"], width=0.94 * (b["high"] - b["low"]), color="#c6dbef", zorder=1)
    x, y = ([b[name] for b in bins] for name in ("sure", "right"))
    ax.vlines(x, [b["right_low"] for b in bins], [b["right_high"] for b in bins], color="#08519c", lw=1.2, zorder=2)
    ax.plot(x, y, "o", color="#08519c", ms=4, zorder=3)
    for b in bins:
        ax.text((b["low"] + b["high"]) / 2, 1.02, f"{b['n']}", ha="center", va="bottom", fontsize=7, color="0.35")
    ax.set(xlim=(0, 1), ylim=(0, 1.1), xlabel="probability of the chosen option", ylabel="share of right choices")
    ax.set_aspect("equal")
    ax.set_title(title, fontsize=9)
    return ax


def plot_risk(ax: Axes, curves: Mapping[str, pd.DataFrame], alpha: float, threshold: float, title: str = "") -> Axes:
    """Share of wrong answers among those kept against the share kept (`backoff.risk_coverage`), a line a curve.

    The curve named `test` is drawn strongest, with a ring where `threshold` puts it (none where that is infinite); the
    dashed line is the risk allowed. The surest few are left out, where one error moves the curve from 0 to 1.
    """
    styles = {"test": ("#08519c", "-", 1.8), "validation": ("#08519c", ":", 1.2)}
    for name, curve in curves.items():
        colour, style, width = styles.get(name, ("#9ca3af", "-", 1.2))
        shown = curve[curve.n >= min(20, curve.n.max())]
        ax.plot(shown.coverage, shown.risk, color=colour, linestyle=style, lw=width, label=name)
    ax.axhline(alpha, color="#b45309", lw=1, ls="--", label=f"allowed: {alpha:g}")
    at = curves["test"][curves["test"].threshold >= threshold]
    if len(at):
        ax.plot(at.coverage.iloc[-1], at.risk.iloc[-1], "o", ms=9, mfc="none", mec="#b45309", mew=1.6, label="kept")
    else:
        title += f"\nno threshold holds {alpha:g}: silent throughout"
    ax.set(xlim=(0, 1.02), ylim=(0, None), xlabel="share of answers of which something is kept")
    ax.set_ylabel("share of these with something wrong")
    ax.set_title(title, fontsize=9)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=8, loc="best")
    return ax


def plot_readers(axes: Sequence[Axes], table: pd.DataFrame, metric: str = "exact") -> Sequence[Axes]:
    """A panel a language of `ocr_peers.scores`: a group of bars a degradation, a bar a reader; n under the title."""
    for ax, language in zip(axes, ("en", "zh"), strict=True):
        part = table[table.language == language]
        models = [m for m in READERS if m in set(part.model)]
        hows = list(dict.fromkeys(part.degradation))
        width = 0.8 / max(1, len(models))
        for k, model in enumerate(models):
            rows = part[part.model == model].set_index("degradation").reindex(hows)
            at = np.arange(len(hows)) + (k - (len(models) - 1) / 2) * width
            ax.bar(at, rows[metric], width=0.92 * width, color=READERS[model], label=model)
            for place in at[rows[metric] == 0]:  # a bar of no height is no bar
                ax.text(place, 0.01, "0", ha="center", va="bottom", fontsize=7, color=READERS[model])
            if metric == "exact":
                ax.vlines(at, rows["exact_low"], rows["exact_high"], color="black", lw=0.9)
        ax.set_xticks(range(len(hows)), [h.replace("_", " ") for h in hows])
        ax.set_ylim(0, 1.02)
        ax.set_ylabel(f"{metric.replace('_', ' ')}, share")
        ax.set_title(f"asked in {'English' if language == 'en' else 'Chinese'}, n = {part.n.max()} banners", fontsize=9)
        ax.spines[["top", "right"]].set_visible(False)
    axes[1].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return axes


# --------------------------------------------------------------------------------------------------------------------
# the gallery


def gallery(panels: Sequence[Mapping], stamp: str, columns: int = 2) -> Figure:
    """Pictures, each with the question, the truth, and what base and tuned say, their claims marked and coloured.

    A panel has image, title, why, question, target, base, tuned (texts), base_claims and tuned_claims
    (`gallery.judged`).
    """
    rows = -(-len(panels) // columns)
    fig = Figure(figsize=(6.4 * columns, 2.9 * rows + 0.4), layout="constrained")
    fig.suptitle(stamp, fontsize=9)
    grid = fig.add_gridspec(rows, 2 * columns, width_ratios=[1, 1.35] * columns)
    for k, panel in enumerate(panels):
        row, column = divmod(k, columns)
        ax = fig.add_subplot(grid[row, 2 * column])
        ax.imshow(np.asarray(panel["image"]), interpolation="nearest")
        ax.set_axis_off()
        ax.set_title(panel["title"], fontsize=7)
        _write(fig.add_subplot(grid[row, 2 * column + 1]), panel)
    return fig


def _write(ax: Axes, panel: Mapping) -> None:
    ax.set_axis_off()
    ax.set(xlim=(0, 1), ylim=(0, 1))
    lines = [(panel["why"], "black", "bold")]
    lines += _wrapped("Q: ", panel["question"], "0.35") + _wrapped("truth: ", panel["target"], "0.35")
    for model in ("base", "tuned"):
        lines += _wrapped(f"{model}: ", panel[model] or "(no answer)", "black")
        lines += [(_mark(c), VERDICT_COLOURS[c["verdict"]], "normal") for c in panel[f"{model}_claims"][:MOST_CLAIMS]]
        if hidden := len(panel[f"{model}_claims"][MOST_CLAIMS:]):
            lines.append((f"      and {hidden} more", "0.35", "normal"))
    step, fonts = min(LINE, 1 / (len(lines) + 1)), list(text_fonts())
    for k, (text, colour, weight) in enumerate(lines):
        family = fonts if weight == "normal" else fonts[0]  # the heading is Latin, and a second font is rarely bold
        ax.text(0, 1 - k * step, text, va="top", fontsize=7, color=colour, weight=weight, family=family)


MOST_CLAIMS = 8


def _wrapped(head: str, text: str, colour: str) -> list[tuple[str, str, str]]:
    lines = textwrap.wrap(
        head + " ".join(text.split()), WIDE, subsequent_indent="    ", max_lines=4, placeholder=" ..."
    )
    return [(line, colour, "normal") for line in lines]


def _mark(claim: Mapping) -> str:
    return f"    {VERDICT_MARKS[claim['verdict']]} {claim['kind'].replace('_', ' ')}: {claim['value']}"
