"""The grammar of claims, English and Chinese, put in order: what is most specific first. Reads and writes nothing.

A stretch of text that one pattern has taken is closed to the later ones: times come before anything else that has
digits, region numbers before their digits can be anything else, channels before counts (171 is never a count), and what
the picture is comes last. The patterns themselves stand by sense in `claim_dates`, `claim_regions`, `claim_channels` and
`claim_counts`.
"""

import re

from jwvl_lib.claim_channels import CHANNELS, PICTURE
from jwvl_lib.claim_counts import COUNTS, FLARES
from jwvl_lib.claim_dates import DATES
from jwvl_lib.claim_grammar import Pattern
from jwvl_lib.claim_regions import CLASSES, NUMBERS, PLACES, POLARITY
from jwvl_lib.claim_scope import SENTENCE_END

__all__ = ["BARE", "PATTERNS", "SENTENCE_END"]

PATTERNS: list[Pattern] = [*DATES, *CHANNELS, *NUMBERS, *CLASSES, *PLACES, *FLARES, *COUNTS, *POLARITY, *PICTURE]

# answers of one or two words, whose meaning comes from the question
BARE = {
    "n_regions": re.compile(r"(?P<n>\d+)(?:\s*[-–]\s*(?P<m>\d+))?\s*个?\s*(?P<more>or more|或更多|及以上)?"),
    "spots_visible": re.compile(r"(?P<yes>yes|是|有|可见)|(?P<no>no|否|没有|不可见)", re.I),
    "leading_polarity": re.compile(r"(?P<sign>positive|negative|正|负)(?: polarity|极性?)?", re.I),
}
