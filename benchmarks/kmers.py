"""k-mer encoding beside the plain way (cut strings, look them up) and a copy of memory.

python -m benchmarks.kmers
"""

import numpy as np
import typer

from benchmarks.record import median_seconds, record
from dnabert.sequence import kmers
from dnabert.sequence.alphabet import decode_bases

K = 6


def plainly(sequence: str, ids: dict[str, int]) -> list[int]:
    """Cut a sequence into k-mer strings and look each up."""
    words = [sequence[i : i + K] for i in range(len(sequence) - K + 1)]
    return [ids.get(word, kmers.UNK) for word in words]


def main() -> None:
    """Encode 100 Mb, and 1 Mb of it the plain way."""
    codes = np.random.default_rng(0).integers(0, 4, 100_000_000).astype(np.uint8)
    part = decode_bases(codes[:1_000_000])
    ids = {token: i for i, token in enumerate(kmers.vocabulary(K))}
    assert plainly(part, ids) == kmers.encode(codes[:1_000_000], K).tolist()
    encode = 100 / median_seconds(lambda: kmers.encode(codes, K), 9)
    plain = 1 / median_seconds(lambda: plainly(part, ids))
    copy = 100 / median_seconds(codes.copy, 9)
    one = codes[:1_000_000]
    record(
        "kmers",
        {
            "encode, k = 6, 100 Mb (Mb/s)": round(encode),
            "encode, k = 6, 1 Mb, one thread (Mb/s)": round(1 / median_seconds(lambda: kmers.encode(one, K), 9)),
            "plain way, 1 Mb (Mb/s)": round(plain, 2),
            "ratio to the plain way": round(encode / plain),
            "copy of the base codes (Mb/s)": round(copy),
        },
    )


if __name__ == "__main__":
    typer.run(main)
