"""Claims found and judged in the hand-written sentences, beside the clock: process time, one thread."""

import time

import claim_scoring
import pytest

from jwvl_lib import claims

pytestmark = pytest.mark.heavy
ROUNDS = 5
LEAST_PER_S = 900


def test_hundreds_of_sentences_are_checked_in_a_second():
    entries = claim_scoring.load()
    rates = []
    for round_ in range(ROUNDS + 1):
        claims.extracted.cache_clear()
        started = time.process_time()
        n_claims = sum(len(claims.check(entry["text"], entry["facts"], entry["language"])) for entry in entries)
        if round_:  # the first compiles the patterns
            rates.append(len(entries) / (time.process_time() - started))
    # the quickest round, as timeit has it: the others say how busy the machine was
    print(f"\n{len(entries)} sentences, {n_claims} claims: {max(rates):,.0f} sentences/s (slowest {min(rates):,.0f})")
    assert n_claims > len(entries)
    assert max(rates) >= LEAST_PER_S
