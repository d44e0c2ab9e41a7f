"""Readers under bytes nobody would write: refused as documented, never anything else.

Bounded here, other bytes in every run (`ROLLOUT_SEED`); `ROLLOUT_FUZZ_EXAMPLES=100000` asks for more, and
`atheris_targets.py` lets coverage lead the way.
"""

import os
import re

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from targets import TARGETS

EXAMPLES = int(os.environ.get("ROLLOUT_FUZZ_EXAMPLES", "150"))
EDITS_MAX = 12
WORD = re.compile(rb"[\w.%/+-]+")


@st.composite
def edited(draw, target):
    """Bytes of the corpus with some edits: cut, repeated, joined; a token, a word or bytes in the place of others."""
    data = draw(st.sampled_from(target.corpus))
    for _ in range(draw(st.integers(0, EDITS_MAX))):
        # near to each other as often as not, so that one part is changed in several ways
        start = draw(st.integers(0, len(data)))
        stop = min(len(data), start + draw(st.integers(0, 8) | st.integers(0, len(data))))
        match draw(st.integers(0, 5)):
            case 0:
                data = data[:start] + data[stop:]
            case 1:
                data = data[:stop] + data[start:]
            case 2:
                data = data[:start] + draw(st.sampled_from(target.corpus))[start:]
            case 3 if target.tokens:
                data = data[:start] + draw(st.sampled_from(target.tokens)) + data[stop:]
            case 4 if target.tokens and (words := list(WORD.finditer(data))):
                # what stands around it stays sound
                word = draw(st.sampled_from(words))
                other = draw(st.sampled_from((*target.tokens, draw(st.sampled_from(words))[0])))
                data = data[: word.start()] + other + data[word.end() :]
            case _:
                data = data[:start] + draw(st.binary(min_size=1, max_size=8)) + data[stop:]
    return data


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_but_documented_answers(name):
    """Whatever the bytes are, the reader takes them or refuses them in its own words."""
    target = TARGETS[name]
    for data in target.corpus:
        target.run(data)

    @seed(int(os.environ["ROLLOUT_SEED"]))
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(edited(target) | st.binary(max_size=64) | st.text(max_size=64).map(str.encode))
    def read(data):
        target.run(data)

    read()
