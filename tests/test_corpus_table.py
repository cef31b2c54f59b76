"""The first of each picture is kept, in order, and every later one is told of; whatever the digests share."""

import hashlib

from hypothesis import given, settings
from hypothesis import strategies as st

from jwvl_lib import corpus_table

ROW = {"path": "images/a.png", "group_id": "2014-10-25", "simulated": True, "facts": "[]"}


def entries_of(digests):
    rows = [ROW | {"source": f"file {k}", "pixels": digest.hex()} for k, digest in enumerate(digests)]
    return list(corpus_table.entries("job.json", rows))


def by_the_book(found):
    """(kept, rejects) as a loop over a dictionary gives them."""
    first, kept, rejects = {}, [], []
    for entry in found:
        earlier = first.setdefault(entry.pixels, entry)
        if earlier is entry:
            kept.append(entry)
        else:
            reason = f"same pixels as {earlier.source}; the first is kept"
            rejects.append({"path": entry.source, "reason": reason})
    return kept, rejects


# digests that differ, that share their first eight bytes only, and that are the same
DIGESTS = st.tuples(st.integers(0, 3), st.integers(0, 3)).map(lambda two: b"%08d" % two[0] + b"%024d" % two[1])


@settings(max_examples=60, deadline=None)
@given(st.lists(DIGESTS, max_size=40))
def test_the_first_of_each_picture_is_kept(digests):
    found = entries_of(digests)
    assert corpus_table.without_duplicates(found) == by_the_book(found)


def test_a_picture_given_a_thousand_times_is_kept_once():
    kept, rejects = corpus_table.without_duplicates(entries_of([hashlib.sha256().digest()] * 1000))
    assert [entry.source for entry in kept] == ["file 0"]
    assert [r["path"] for r in rejects] == [f"file {k}" for k in range(1, 1000)]
    assert {r["reason"] for r in rejects} == {"same pixels as file 0; the first is kept"}
